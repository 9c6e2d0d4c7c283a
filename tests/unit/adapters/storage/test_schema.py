"""The schema: migrations and tables agree, versions are checked, and many may open a new store at once."""

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from postgres import server
from tagent.adapters.storage.sql import postgresql, schema, sqlite
from tagent.adapters.storage.sql.dialects import MIGRATION_LOCK
from tagent.adapters.storage.sql.postgresql import connect, open_postgresql
from tagent.adapters.storage.sql.postgresql_address import address_of
from tagent.adapters.storage.sql.schema import REVISIONS
from tagent.adapters.storage.sql.sqlite import open_sqlite
from tagent.adapters.storage.sql.store import SqlStore
from tagent.adapters.storage.sql.tables import metadata
from tagent.adapters.storage.urls import open_store
from tagent.exceptions import StoreError
from tagent.ports.documents import Put
from tagent.ports.effects import Effects, Written
from tagent.ports.messages import NewMessage
from tagent.ports.records import Batch, Record, RunQuery, RunSummary
from tagent.ports.store_errors import StoreVersionError

OPEN_AND_BEGIN_A_RUN = """
import asyncio, sys
from tagent.adapters.storage.urls import open_store
from tagent.exceptions import StoreError
from tagent.ports.records import NewRun

async def begin():
    store = open_store(sys.argv[1])
    await store.create_run(NewRun(sys.argv[2], "p", b"{}", "hash", "me", 60.0, 1.0))
    await store.close()

print("ready", flush=True)
sys.stdin.readline()
asyncio.run(begin())
"""

OPEN_AND_LIST_MODULES = """
import asyncio, json, sys
from tagent.adapters.storage.urls import open_store
from tagent.exceptions import StoreError

asyncio.run(open_store(sys.argv[1]).close())
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

A_RUN = (
    "run_id, pipeline, definition_hash, status, epoch, last_seq, owner, created_at, updated_at, cost_usd, lease_until"
)
"""The columns of a run in the first revision that may not be empty."""

EARLIER = {
    "0001": (
        "INSERT INTO definition (hash, spec) VALUES ('hash', :bytes)",
        "INSERT INTO run (run_id, pipeline, definition_hash, status, epoch, last_seq, owner, created_at, updated_at,"
        " cost_usd, lease_until) VALUES ('r', 'Tea', 'hash', 'failed', 3, 1, '', 1.5, 2.5, 0.25, 9)",
        "INSERT INTO event (run_id, seq, epoch, at, kind, payload) VALUES ('r', 1, 3, 1.5, 'Happened', :bytes)",
    ),
    "0002": (
        "INSERT INTO definition (hash, spec) VALUES ('hash', :bytes)",
        "INSERT INTO run (run_id, pipeline, definition_hash, status, epoch, last_seq, owner, created_at, updated_at,"
        " cost_usd, labels, parent, forked_seq, text, lease_until) VALUES"
        " ('r', 'Tea', 'hash', 'failed', 3, 1, '', 1.5, 2.5, 0.25, '{}', '', 0, 'tea', 9)",
        "INSERT INTO event (run_id, seq, epoch, at, kind, payload) VALUES ('r', 1, 3, 1.5, 'Happened', :bytes)",
    ),
}
"""Revision -> the statements that leave the run `r` in its tables."""


@dataclass(frozen=True)
class Database:
    """One that is empty at first."""

    url: str
    open: Callable[[], SqlStore]
    read_revision: Callable[[], str]
    begin: str

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """Give a connection, and commit what was done on it."""
        if self.url.startswith("sqlite"):
            engine = create_engine(self.url)
        else:
            engine = create_engine(
                "postgresql+psycopg://",
                creator=lambda: connect(address_of(self.url)),
                isolation_level="READ COMMITTED",
            )
        try:
            with engine.connect() as connection:
                yield connection
                connection.commit()
        finally:
            engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    if request.param == "sqlite":
        path = tmp_path / "runs.db"
        return Database(
            f"sqlite:///{path}", lambda: open_sqlite(path), lambda: sqlite.read_revision(path), "BEGIN IMMEDIATE"
        )
    url = server().place(tmp_path)
    return Database(url, lambda: open_postgresql(url), lambda: postgresql.read_revision(url), "SELECT 1")


def alembic_config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config


def modules_after_opening(url: str) -> list[str]:
    """Return the top-level packages that a fresh process has imported once it has opened and closed the store."""
    command = [sys.executable, "-W", "error", "-c", OPEN_AND_LIST_MODULES, url]
    found: list[str] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


async def test_the_migrations_make_the_tables(database: Database) -> None:
    """A table changed without its migration would work only for those who have no store yet."""
    await database.open().close()
    with database.connection() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []
        command.check(alembic_config(connection))
    assert database.read_revision() == REVISIONS[-1]


def test_the_known_revisions_are_the_migrations() -> None:
    """They are written down twice, so that opening a store need not import Alembic."""
    config = Config()
    config.set_main_option("script_location", str(Path(schema.__file__).parent / "migrations"))
    scripts = ScriptDirectory.from_config(config).walk_revisions()
    assert tuple(script.revision for script in scripts)[::-1] == REVISIONS


def test_every_earlier_revision_is_known_to_the_next_test() -> None:
    """Whoever adds a migration says what was there before it."""
    assert tuple(EARLIER) == REVISIONS[:-1]


@pytest.mark.parametrize("revision", EARLIER)
async def test_a_run_of_an_earlier_revision_can_be_read_and_taken_up(database: Database, revision: str) -> None:
    """An upgrade loses nothing."""
    with database.connection() as connection:
        command.upgrade(alembic_config(connection), revision)
        for statement in EARLIER[revision]:
            connection.execute(text(statement), {"bytes": b'{"old": true}'} if ":bytes" in statement else {})
    assert database.read_revision() == revision
    store = database.open()
    try:
        (run,) = await store.runs(RunQuery(words=("tea",), pipelines=("Tea",)))
        assert run == await store.run("r")
        assert (run.status, run.cost_usd, run.labels, run.parent, run.forked_seq) == ("failed", 0.25, {}, "", 0)
        assert list(await store.records("r")) == [Record(1, "Happened", 1.5, b'{"old": true}')]
        assert await store.definition("hash") == b'{"old": true}'
        assert (await store.claim("r", owner="me", lease_seconds=9, is_gone=bool)).epoch == 4
        await store.commit(Batch("r", 4, (Record(2, "Happened", 3.0, b"{}"),), RunSummary("done", 3.0, text="new")))
        assert [it.seq for it in await store.records("r")] == [1, 2]
        assert await store.write(Effects((Put("s", "k", b"1"),), (NewMessage("t", b"1"),))) == Written((1,), (1,))
    finally:
        await store.close()
    assert database.read_revision() == REVISIONS[-1]


async def test_a_store_of_a_newer_version_is_refused_and_left_as_it_is(database: Database) -> None:
    """Its journals may mean what this version does not understand."""
    await database.open().close()
    with database.connection() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreVersionError, match=r"The store .*(runs\.db|127\.0\.0\.1).* 9999.*Upgrade tagent"):
        database.open()
    assert database.read_revision() == "9999"


async def test_an_empty_database_has_no_revision(database: Database, tmp_path: Path) -> None:
    """Looking at it makes nothing in it."""
    (tmp_path / "runs.db").touch()
    assert database.read_revision() == ""
    assert database.read_revision() == ""


async def test_a_migration_that_was_interrupted_is_done_again(database: Database, tmp_path: Path) -> None:
    """It is one transaction: a crash leaves an empty database."""
    (tmp_path / "runs.db").touch()
    with database.connection() as connection:
        connection.exec_driver_sql(database.begin)
        command.upgrade(alembic_config(connection), "head")
        connection.rollback()
    assert database.read_revision() == ""
    store = database.open()
    assert list(await store.runs()) == []
    await store.close()


def test_processes_that_open_a_new_store_at_once_all_get_it(database: Database) -> None:
    """A script starts several runs in a new directory."""
    command = [sys.executable, "-W", "error", "-c", OPEN_AND_BEGIN_A_RUN, database.url]
    processes = [
        subprocess.Popen(
            [*command, f"r{number}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for number in range(4)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    errors = [process.communicate()[1].decode() for process in processes]
    assert errors == [""] * 4
    with database.connection() as connection:
        assert connection.execute(text("SELECT count(*) FROM run")).scalar() == 4


def test_who_opens_a_database_that_another_process_migrates_waits_for_it(tmp_path: Path) -> None:
    """In PostgreSQL both would else make the same tables, and one of them fail."""
    url = server().place(tmp_path)
    database = Database(url, lambda: open_postgresql(url), lambda: postgresql.read_revision(url), "")
    opened: Future[SqlStore] = Future()

    def open_it() -> None:
        try:
            opened.set_result(database.open())
        except StoreError as error:
            opened.set_exception(error)

    with database.connection() as connection:
        connection.exec_driver_sql(MIGRATION_LOCK)
        command.upgrade(alembic_config(connection), "head")
        thread = threading.Thread(target=open_it)
        thread.start()
        while not server().waits_for_a_lock() and not opened.done():
            pass
    thread.join()
    asyncio.run(opened.result().close())


@pytest.mark.parametrize("places", [["a"] * 4, ["a", "b", "c", "d"]], ids=["one store", "four stores"])
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
async def test_threads_that_open_new_stores_at_once_all_get_them(tmp_path: Path, kind: str, places: list[str]) -> None:
    """Alembic keeps its state in globals."""
    urls = [f"sqlite:///{tmp_path}/{it}" if kind == "sqlite" else server().place(tmp_path / it) for it in places]
    stores = []

    def open_it(url: str) -> None:
        stores.append(open_store(url))

    threads = [threading.Thread(target=open_it, args=(url,)) for url in urls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for store in stores:
        await store.close()
    assert len(stores) == 4


async def test_opening_a_store_that_is_up_to_date_imports_what_migrates_not(database: Database) -> None:
    """It takes a third of a second, and is of use once in the life of a store."""
    await database.open().close()
    modules = modules_after_opening(database.url)
    assert not {"sqlalchemy", "alembic"} & set(modules)
    assert ("psycopg" in modules) == database.url.startswith("postgresql")
