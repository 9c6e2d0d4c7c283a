"""Stores in SQL databases: SQLAlchemy Core, one writer thread with group commit, Alembic migrations."""
