"""The tables, the same for SQLite and PostgreSQL. Every change here needs a migration; a test compares.

There are no foreign keys: a batch updates its run's row in the same transaction, which proves that
the run exists, and looking that up once more for every record would cost.
"""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, BigInteger, Column, Double, Index, LargeBinary, MetaData, Table, Text

from tagent.ports.records import RunRecord

metadata = MetaData(naming_convention={"pk": "pk_%(table_name)s"})

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

RUN_RECORD = tuple(column for column in run.columns if column.name not in {"text", "lease_until"})
"""The columns of a `RunRecord`, in its order."""

_NAMES = tuple(column.name for column in RUN_RECORD)


def run_record(row: Sequence[Any]) -> RunRecord:
    """Return the record that a row of `RUN_RECORD` holds, as a driver gives it or as SQLAlchemy does."""
    known = dict(zip(_NAMES, row, strict=True))
    if isinstance(known["labels"], str):
        known["labels"] = json.loads(known["labels"])
    return RunRecord(**known)
