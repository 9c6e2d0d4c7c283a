"""The few words in which SQLite and PostgreSQL differ. All other SQL is written once, in `statements`."""

import re
from dataclasses import dataclass

MIGRATION_LOCK = "SELECT pg_advisory_xact_lock(7161019716)"
"""Keeps other processes from migrating until the transaction ends; the number is ours, and means nothing else."""

_SQLITE_NOW = "((julianday('now') - 2440587.5) * 86400.0)"
"""In milliseconds; `unixepoch('subsec')` needs SQLite 3.42, which many systems do not have yet."""

_POSTGRESQL_NOW = "CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION)"
"""The time of the statement: `now()` would be that of the transaction, which may have waited."""

_EFFECTS_LOCK = "pg_advisory_xact_lock(716101971, CAST(CAST(CAST('topic' AS REGCLASS) AS OID) AS INT))"
"""Keeps other processes from writing effects to the same tables; the first number is ours, and means nothing else."""

_LOCKED_NOW = f"SELECT {_POSTGRESQL_NOW} FROM (SELECT {_EFFECTS_LOCK} OFFSET 0) AS held"  # noqa: S608 - our own words
"""The time when the lock was had."""

_PARAMETER = re.compile(r":(\w+)|\?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """How a database says what there is no common word for.

    Attributes:
        name: What SQLAlchemy calls the database and its driver.
        named: How the driver writes a parameter that has a name, `%s` in its place.
        positional: How it writes one that has none.
        begin: Begins a transaction that may write.
        begin_migration: Begins one that keeps other migrations out.
        has_version: Finds a row if the database has Alembic's table.
        now: The database's clock, in seconds since 1970-01-01 UTC: the one that everybody who claims shares.
        position: The function that tells where a text is found in another, letter by letter; 0 for nowhere.
        labels: The parameter of a run's labels, as JSON text.
        members: The function that lists the keys and values of a JSON object.
        keep_deletions_out: Lets no other process delete what the transaction comes to need; "" where none can.
        keep_others_out: Lets no other process come to need what the transaction deletes; "" where none can.
        join_messages: Joins for each row on the left the messages for which `%s` holds, found by their index.
        begin_effects: Lets no other process write effects until the transaction ends, and returns the clock then.
    """

    name: str
    named: str
    positional: str
    begin: str
    begin_migration: str
    has_version: str
    now: str
    position: str
    labels: str
    members: str
    keep_deletions_out: str
    keep_others_out: str
    join_messages: str
    begin_effects: str

    def text(self, statement: str) -> str:
        """Return `statement`, whose parameters are `:name` or `?`, as the driver takes it."""
        return _PARAMETER.sub(lambda found: self.named % found[1] if found[1] else self.positional, statement)


SQLITE = Dialect(
    name="sqlite",
    named=":%s",
    positional="?",
    begin="BEGIN IMMEDIATE",
    begin_migration="BEGIN IMMEDIATE",
    has_version="SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'",
    now=_SQLITE_NOW,
    position="instr",
    labels=":labels",
    members="json_each",
    keep_deletions_out="",  # there is only one who writes at a time
    keep_others_out="",
    join_messages="JOIN message ON %s",
    begin_effects=f"SELECT {_SQLITE_NOW}",
)

POSTGRESQL = Dialect(
    name="postgresql+psycopg",
    named="%%(%s)s",
    positional="%s",
    # The server may have been set up with another level, at which a write that waited for another one fails.
    begin="BEGIN ISOLATION LEVEL READ COMMITTED",
    begin_migration=f"BEGIN ISOLATION LEVEL READ COMMITTED; {MIGRATION_LOCK}",
    has_version="SELECT 1 WHERE to_regclass('alembic_version') IS NOT NULL",
    now=_POSTGRESQL_NOW,
    position="strpos",
    labels="CAST(:labels AS JSONB)",  # JSONB refuses what the column's JSON could keep and nobody ever search
    members="json_each_text",
    # Whoever writes a definition or a blob passes by this one lock first, before any other that he may come to
    # wait for; a deletion closes it, so that nobody comes to need what it finds unneeded.
    keep_deletions_out="LOCK TABLE blob IN ROW EXCLUSIVE MODE",
    keep_others_out="LOCK TABLE blob IN SHARE ROW EXCLUSIVE MODE",
    # OFFSET keeps the server from joining in another way: for many topics it would read the whole table.
    join_messages="CROSS JOIN LATERAL (SELECT * FROM message WHERE %s OFFSET 0) AS message",
    # One lock for all effects: whoever has it can read what he decides on, and nobody waits for him in a circle.
    begin_effects=_LOCKED_NOW,
)
