"""Memory and messages: documents in scopes, ordered topics, and how far subscribers have read."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Create the tables."""
    # By code point: PostgreSQL would else sort as the language of the database wants it.
    name = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    op.create_table(
        "scope",
        sa.Column("scope", name, nullable=False),
        sa.Column("last_version", sa.BigInteger(), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("scope", name="pk_scope"),
    )
    op.create_table(
        "document",
        sa.Column("scope", name, nullable=False),
        sa.Column("key", name, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("scope", "key", name="pk_document"),
    )
    is_mortal = sa.text("expires_at IS NOT NULL")
    op.create_index(
        "ix_document_expires_at", "document", ["expires_at"], sqlite_where=is_mortal, postgresql_where=is_mortal
    )
    op.create_table(
        "topic",
        sa.Column("topic", name, nullable=False),
        sa.Column("last_seq", sa.BigInteger(), nullable=False),
        sa.Column("messages", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("topic", name="pk_topic"),
    )
    op.create_table(
        "message",
        sa.Column("topic", name, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.Column("key", name, nullable=False),
        sa.Column("sender", sa.Text(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("topic", "seq", name="pk_message"),
    )
    has_key = sa.text("key <> ''")
    op.create_index(
        "ix_message_key", "message", ["topic", "key"], unique=True, sqlite_where=has_key, postgresql_where=has_key
    )
    op.create_table(
        "cursor",
        sa.Column("subscriber", name, nullable=False),
        sa.Column("topic", name, nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("subscriber", "topic", name="pk_cursor"),
    )
    op.create_index("ix_cursor_topic", "cursor", ["topic"])
