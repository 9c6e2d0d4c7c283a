"""The tables, the same for SQLite and PostgreSQL: what the migrations lead to, and only they import.

Every change here needs a migration; a test compares. What is asked of the tables is in `statements`.

There are no foreign keys: a batch updates its run's row in the same transaction, which proves that
the run exists, and looking that up once more for every record would cost.
"""

from sqlalchemy import JSON, BigInteger, Column, Double, Index, LargeBinary, MetaData, Table, Text, text

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})

Name = Text().with_variant(Text(collation="C"), "postgresql")
"""A text that sorts by code point, so that what begins alike is a range; as SQLite sorts every text."""

definition = Table(
    "definition",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("spec", LargeBinary, nullable=False),
)
"""Pipelines as JSON, each stored once however many runs it has."""

run = Table(
    "run",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("pipeline", Text, nullable=False),
    Column("definition_hash", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("last_seq", BigInteger, nullable=False),
    Column("owner", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("updated_at", Double, nullable=False),
    Column("finished_at", Double),
    Column("cost_usd", Double, nullable=False),
    Column("labels", JSON, nullable=False),
    Column("parent", Text, nullable=False),
    Column("forked_seq", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
    Column("lease_until", Double, nullable=False),
    Index("ix_run_created_at", "created_at", "run_id"),
    Index("ix_run_definition_hash", "definition_hash"),
)
"""A row for each run: its claim, the end of its journal, and what lists show of it; they show the newest first."""

event = Table(
    "event",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("epoch", BigInteger, nullable=False),
    Column("at", Double, nullable=False),
    Column("kind", Text, nullable=False),
    Column("payload", LargeBinary, nullable=False),
)
"""The journals. An ordinary rowid table, so that runs which write at once fill the same pages: a group of
100 took 26 us for a batch; ordered by (run_id, seq) alone, it touched a page for each run and took 60."""

blob = Table(
    "blob",
    metadata,
    Column("hash", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)
"""What records name by its hash, each stored once."""

run_blob = Table(
    "run_blob",
    metadata,
    Column("run_id", Text, primary_key=True),
    Column("hash", Text, primary_key=True),
    Index("ix_run_blob_hash", "hash"),
)
"""Which runs need which blobs; one that none needs is deleted with the last."""

scope = Table(
    "scope",
    metadata,
    Column("scope", Name, primary_key=True),
    Column("last_version", BigInteger, nullable=False),
    Column("documents", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
)
"""What each scope holds, counted as it is written, and the last version that it gave; stays when it is empty."""

document = Table(
    "document",
    metadata,
    Column("scope", Name, primary_key=True),
    Column("key", Name, primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("value", LargeBinary, nullable=False),
    Column("text", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("expires_at", Double),
)
"""Memory. What has expired is there until somebody needs its room, but nobody sees it."""

_is_mortal = text("expires_at IS NOT NULL")
Index("ix_document_expires_at", document.c.expires_at, sqlite_where=_is_mortal, postgresql_where=_is_mortal)

topic = Table(
    "topic",
    metadata,
    Column("topic", Name, primary_key=True),
    Column("last_seq", BigInteger, nullable=False),
    Column("messages", BigInteger, nullable=False),
)
"""The newest place of each topic, and how many messages up to there are kept: those, without gaps."""

message = Table(
    "message",
    metadata,
    Column("topic", Name, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("at", Double, nullable=False),
    Column("payload", LargeBinary, nullable=False),
    Column("key", Name, nullable=False),
    Column("sender", Text, nullable=False),
    Column("reply_to", Text, nullable=False),
)
"""The messages that are kept."""

_has_key = text("key <> ''")
Index(
    "ix_message_key",
    message.c.topic,
    message.c.key,
    unique=True,
    sqlite_where=_has_key,
    postgresql_where=_has_key,
)

cursor = Table(
    "cursor",
    metadata,
    Column("subscriber", Name, primary_key=True),
    Column("topic", Name, primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("failures", BigInteger, nullable=False),
    Index("ix_cursor_topic", "topic"),
)
"""How far each subscriber has read."""
