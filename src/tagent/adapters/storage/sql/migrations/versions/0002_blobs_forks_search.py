"""Blobs, where a run was forked from, and what runs are searched by."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the tables of blobs, and the new columns with what earlier runs have in them."""
    op.create_table(
        "blob",
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("hash", name="pk_blob"),
    )
    op.create_table(
        "run_blob",
        sa.Column("run_id", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "hash", name="pk_run_blob"),
    )
    op.create_index("ix_run_blob_hash", "run_blob", ["hash"])
    with op.batch_alter_table("run") as run:
        run.add_column(sa.Column("labels", sa.JSON(), nullable=True))
        run.add_column(sa.Column("parent", sa.Text(), nullable=True))
        run.add_column(sa.Column("forked_seq", sa.BigInteger(), nullable=True))
        run.add_column(sa.Column("text", sa.Text(), nullable=True))
    op.execute("UPDATE run SET labels = '{}', parent = '', forked_seq = 0, text = lower(pipeline)")
    with op.batch_alter_table("run") as run:
        for name in ("labels", "parent", "forked_seq", "text"):
            run.alter_column(name, nullable=False)
    op.create_index("ix_run_definition_hash", "run", ["definition_hash"])
