"""Stores in SQL databases: plain SQL, one writer thread with group commit, pooled readers, Alembic migrations."""
