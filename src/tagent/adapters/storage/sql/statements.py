"""Every statement of the writer, compiled once to the driver's own text.

The writer gives them to the driver's cursor itself: by way of SQLAlchemy's connection each took 8 us
more, which is more than SQLite needs for it. Parameters are named and come as a dict, except
those of the one that is executed for every record: its rows come in the order of the columns.
"""

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from sqlalchemy import (
    BigInteger,
    ClauseElement,
    Column,
    ColumnElement,
    Double,
    Text,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from tagent.adapters.storage.sql.tables import RUN_RECORD, blob, definition, event, run, run_blob

NEWEST_IDS = (
    select(run.c.run_id).order_by(run.c.created_at.desc()).limit(literal_column("1000")).offset(literal_column("0"))
)
"""Among these the id is looked for that somebody may have meant. Literals, because the writer gives no values."""


class DatabaseNow(FunctionElement[float]):
    """The database's clock, in seconds since 1970-01-01 UTC: the one that everybody who claims shares."""

    type = Double()
    inherit_cache = True


@compiles(DatabaseNow, "sqlite")
def _sqlite_now(element: DatabaseNow, compiler: SQLCompiler, **_: object) -> str:
    """Return it in milliseconds; `unixepoch('subsec')` needs SQLite 3.42, which many systems do not have yet."""
    del element, compiler
    return "((julianday('now') - 2440587.5) * 86400.0)"


@compiles(DatabaseNow, "postgresql")
def _postgresql_now(element: DatabaseNow, compiler: SQLCompiler, **_: object) -> str:
    """Return the time of the statement: `now()` would be that of the transaction, which may have waited."""
    del element, compiler
    return "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"


class Position(FunctionElement[int]):
    """Where a text is found in another, from 1, letter by letter; 0 if nowhere."""

    type = BigInteger()
    inherit_cache = True


@compiles(Position, "sqlite")
def _sqlite_position(element: Position, compiler: SQLCompiler, **keywords: Any) -> str:
    return f"instr({compiler.process(element.clauses, **keywords)})"


@compiles(Position, "postgresql")
def _postgresql_position(element: Position, compiler: SQLCompiler, **keywords: Any) -> str:
    return f"strpos({compiler.process(element.clauses, **keywords)})"


Values = dict[str, ColumnElement[object]]
"""Column name -> what it is set to."""


class Statements:
    """The statements as text.

    Args:
        dialect: How the database spells them; its `paramstyle` must be one that takes a dict.
    """

    def __init__(self, dialect: Dialect) -> None:
        by_position = "qmark" if dialect.name == "sqlite" else "format"
        positional = type(dialect)(paramstyle=by_position)  # type: ignore[call-arg]  # every real dialect takes it

        def text(statement: ClauseElement) -> str:
            return str(statement.compile(dialect=dialect))

        insert = import_module(f"sqlalchemy.dialects.{dialect.name}").insert
        this_run = run.c.run_id == bindparam("this_run")
        this_claim = this_run & (run.c.epoch == bindparam("this_epoch"))
        nobody: ColumnElement[str] = literal_column("''")
        lease_until = DatabaseNow() + bindparam("lease_seconds", type_=Double())
        is_free = or_(run.c.owner == nobody, run.c.lease_until <= DatabaseNow(), run.c.owner == bindparam("gone_owner"))
        journal_end: Values = {"last_seq": bindparam("new_seq")}
        summary: Values = {
            name: bindparam(f"new_{name}") for name in ("status", "updated_at", "finished_at", "cost_usd")
        }
        # Cast, because PostgreSQL asks for the type of a value of which it only hears whether it is one.
        is_finished = cast(bindparam("new_finished_at", type_=Double()), Double()).is_not(None)
        summary["owner"] = case((is_finished, nobody), else_=run.c.owner)
        summary["text"] = func.coalesce(bindparam("new_text", type_=Text()), run.c.text)
        of_run = run_blob.c.run_id == bindparam("this_run")
        other = run_blob.alias("other")
        is_needed = exists().where(other.c.hash == blob.c.hash, other.c.run_id != bindparam("this_run"))
        continues = this_claim & (run.c.last_seq == bindparam("expected_seq"))

        is_sqlite = dialect.name == "sqlite"
        # PostgreSQL may have been set up with another level, at which a write that waited for another one fails.
        self.begin = "BEGIN IMMEDIATE" if is_sqlite else "BEGIN ISOLATION LEVEL READ COMMITTED"
        self.insert_definition = text(
            insert(definition).values(_values_of(definition.columns)).on_conflict_do_nothing()
        )
        self.insert_run = text(
            insert(run)
            .values(
                _values_of(RUN_RECORD)
                | {"labels": _labels(dialect), "text": bindparam("text"), "lease_until": lease_until}
            )
            .on_conflict_do_nothing()
        )
        self.insert_blob = text(insert(blob).values(_values_of(blob.columns)).on_conflict_do_nothing())
        self.insert_run_blob = text(insert(run_blob).values(_values_of(run_blob.columns)).on_conflict_do_nothing())
        # An update, because that keeps a deletion by another process waiting; reading would not.
        self.keep_blob = text(update(blob).where(blob.c.hash == bindparam("hash")).values(hash=blob.c.hash))
        self.insert_event = str(insert(event).compile(dialect=positional))
        self.extend = text(update(run).where(continues).values(journal_end))
        self.extend_and_summarize = text(update(run).where(continues).values(journal_end | summary))
        self.keep = text(update(run).where(this_claim).values(epoch=bindparam("this_epoch")))
        self.summarize = text(update(run).where(this_claim).values(summary))
        self.claim = text(
            update(run)
            .where(this_run, is_free)
            .values(epoch=run.c.epoch + literal_column("1"), owner=bindparam("new_owner"), lease_until=lease_until)
        )
        self.renew = text(update(run).where(this_claim).values(lease_until=lease_until))
        self.release = text(update(run).where(this_claim).values(owner=nobody))
        # In SQLite nobody else writes. In PostgreSQL whoever writes a definition or a blob passes by this one lock
        # first, before any other that he may come to wait for; a deletion closes it, so that nobody comes to need
        # what it finds unneeded.
        self.keep_deletions_out = "" if is_sqlite else "LOCK TABLE blob IN ROW EXCLUSIVE MODE"
        self.keep_others_out = "" if is_sqlite else "LOCK TABLE blob IN SHARE ROW EXCLUSIVE MODE"
        is_finished_and_free = this_run & run.c.finished_at.is_not(None) & is_free
        self.delete_run = text(delete(run).where(is_finished_and_free))
        self.delete_events = text(delete(event).where(event.c.run_id == bindparam("this_run")))
        self.delete_blobs = text(delete(blob).where(blob.c.hash.in_(select(run_blob.c.hash).where(of_run)), ~is_needed))
        self.delete_run_blobs = text(delete(run_blob).where(of_run))
        self.delete_definition = text(
            delete(definition).where(
                definition.c.hash == bindparam("this_hash"),
                ~exists().where(run.c.definition_hash == bindparam("this_hash")),
            )
        )
        self.select_run = text(select(*RUN_RECORD).where(this_run))
        self.select_seconds_left = text(select(run.c.lease_until - DatabaseNow()).where(this_run))
        self.select_newest_ids = text(NEWEST_IDS)


def _labels(dialect: Dialect) -> ColumnElement[object]:
    """Return the parameter of a run's labels, as JSON text."""
    if dialect.name == "sqlite":
        return bindparam("labels")
    jsonb = import_module("sqlalchemy.dialects.postgresql").JSONB  # refuses what could be kept and never searched
    return cast(bindparam("labels", type_=Text()), jsonb)


def _values_of(columns: Iterable[Column[Any]]) -> Values:
    """Return a parameter of the same name for each column."""
    return {column.name: bindparam(column.name) for column in columns}
