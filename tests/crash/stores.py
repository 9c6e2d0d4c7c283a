"""The stores that survive a crash: where a case finds a fresh one, how it is looked at, and how it is disturbed.

What the points of a store's write path are, `write_path` says.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import ClassVar

import psycopg
import pytest

from crash.orders import server_side_name
from postgres import PostgresServer, server
from redis_server import RedisServer, redis_server
from tagent.adapters.storage.sql.postgresql import read_revision

LONGEST_SECONDS = 90
"""After this long something is stuck, and the test fails instead of waiting for ever."""


def until(holds: Callable[[], bool], what: str) -> None:
    """Return as soon as `holds()`; look every 5 ms, and fail in the end."""
    for _ in range(LONGEST_SECONDS * 200):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError(f"{what}: waited for it in vain.")


class BusyError(Exception):
    """Somebody is writing."""


class DurableStore(ABC):
    """A kind of store.

    Attributes:
        name: What it is called.
        deep: How the names of the points in its own write path begin.
        sample: Kills that are in every test run, as `name@passing` or `name@passing, lingering`. The lingering
            one is at a commit behind which another step starts: it shows an answer that comes too early.
    """

    name: ClassVar[str]
    deep: ClassVar[str]
    sample: ClassVar[tuple[str, ...]]

    @abstractmethod
    def url(self, folder: Path) -> str:
        """Return the URL of a place that is empty at first, the same for the same folder."""

    @abstractmethod
    @contextmanager
    def shown(self, folder: Path, url: str) -> Iterator[str | None]:
        """Give the URL at which to read what is there without touching it, None if nothing is."""

    @abstractmethod
    @contextmanager
    def locked(self, folder: Path, url: str) -> Iterator[None]:
        """Keep every other process from writing.

        Raises:
            BusyError: If one is writing.
        """

    def settle(self, pid: int) -> None:  # noqa: B027 - most have nothing to wait for
        """Return when nothing that the dead process had sent is still on its way."""


class SQLite(DurableStore):
    """A file."""

    name = "sqlite"
    deep = "writer."
    sample = (
        "schema.migrate.after@1",
        "store.create_run.before@1",
        "store.create_run.after@1",
        "store.commit.before@1",
        "store.commit.after@9",
        "store.renew.after@2",
        "writer.commit.after@1",
        "writer.begin.after@5",
        "writer.statement.after@20",
        "writer.commit.before@8, lingering",
        "writer.commit.after@17",
        "attempt.before@4",
        "attempt.after@8",
        "effect.before@11",
        "effect.after@14",
    )

    def url(self, folder: Path) -> str:
        return f"sqlite:///{folder}/runs.db"

    @contextmanager
    def shown(self, folder: Path, url: str) -> Iterator[str | None]:
        """Show a copy: opening repairs and tidies."""
        scene = folder / "scene"
        scene.mkdir()
        for file in folder.glob("runs.db*"):
            if not file.name.endswith("-shm"):  # only an index, made again from the log
                shutil.copy(file, scene)
        yield self.url(scene) if (scene / "runs.db").exists() else None
        shutil.rmtree(scene)

    @contextmanager
    def locked(self, folder: Path, url: str) -> Iterator[None]:
        with closing(sqlite3.connect(folder / "runs.db", timeout=0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                raise BusyError from error
            yield
            connection.execute("ROLLBACK")


class Files(DurableStore):
    """A directory."""

    name = "file"
    deep = "log."
    sample = ("log.new_file.after@1", "log.write.torn@6", "log.write.torn@7, lingering", "log.append.after@9")

    def url(self, folder: Path) -> str:
        return f"file:///{folder}/runs"

    @contextmanager
    def shown(self, folder: Path, url: str) -> Iterator[str | None]:
        """Show a copy: opening repairs and tidies."""
        scene, runs = folder / "scene", folder / "runs"
        if runs.exists():
            shutil.copytree(runs, scene / "runs")
        yield self.url(scene) if runs.exists() else None
        shutil.rmtree(scene, ignore_errors=True)

    @contextmanager
    def locked(self, folder: Path, url: str) -> Iterator[None]:
        with (folder / "runs" / "lock").open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BusyError from error
            yield


class Served(DurableStore):
    """A store on a server, which may die as well."""

    @abstractmethod
    def kill_server(self) -> None:
        """Kill the server at once, wherever it is."""

    @abstractmethod
    def start_server(self) -> None:
        """Start the server again; return when it serves."""

    def restart_server(self) -> None:
        """Kill the server and start it again."""
        self.kill_server()
        self.start_server()


class PostgreSQL(Served):
    """A schema.

    Args:
        ask: Returns the server.
    """

    name = "postgresql"
    deep = "writer."
    sample = (
        "schema.migrate.after@1",
        "writer.statement.after@20",
        "writer.commit.before@8, lingering",
        "writer.commit.after@9",
    )

    def __init__(self, ask: Callable[[], PostgresServer]) -> None:
        self._ask = ask

    def url(self, folder: Path) -> str:
        return self._ask().place(folder)

    @contextmanager
    def shown(self, folder: Path, url: str) -> Iterator[str | None]:
        yield url if read_revision(url) else None  # opening an empty one would make its tables

    @contextmanager
    def locked(self, folder: Path, url: str) -> Iterator[None]:
        with closing(psycopg.connect(url)) as connection:
            try:
                connection.execute("LOCK TABLE run, event IN EXCLUSIVE MODE NOWAIT")
            except psycopg.errors.LockNotAvailable as error:
                raise BusyError from error
            yield

    def settle(self, pid: int) -> None:
        """Return when the server knows that the process is gone: until then it may carry out what it was sent."""
        name = server_side_name(pid)
        with closing(self._ask().connect()) as connection:
            query = "SELECT 1 FROM pg_stat_activity WHERE application_name = %s"
            until(lambda: not connection.execute(query, [name]).fetchall(), f"{name} is gone")

    def kill_server(self) -> None:
        """Kill the server with all its processes; return when none of them uses its memory any more."""
        process = self._ask()._process
        assert process is not None
        process.send_signal(signal.SIGSTOP)  # it must not make others in place of those that die
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        for child in children:
            os.kill(int(child), signal.SIGKILL)  # dead or not, the id is its own until its parent has seen its end
        until(lambda: all(map(_is_dead, children)), "its processes die")
        process.kill()
        process.wait()
        self._ask()._process = None

    def start_server(self) -> None:
        self._ask().start()


def _is_dead(pid: str) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


class Redis(Served):
    """A prefix.

    Args:
        ask: Returns the server.
    """

    name = "redis"
    deep = "script."
    sample = (
        "script.send.before@8, lingering",
        "script.send.after@9",
        "script.reply.after@13",
        "store.create_run.after@1",
    )

    def __init__(self, ask: Callable[[], RedisServer]) -> None:
        self._ask = ask

    def url(self, folder: Path) -> str:
        return self._ask().url(hashlib.sha256(str(folder).encode()).hexdigest()[:16])

    @contextmanager
    def shown(self, folder: Path, url: str) -> Iterator[str | None]:
        # What a dead process had sent comes first: the server takes its connections in turn.
        yield url

    @contextmanager
    def locked(self, folder: Path, url: str) -> Iterator[None]:
        yield  # nobody can lock it: a script is carried out whole, whatever becomes of who sent it

    def kill_server(self) -> None:
        self._ask().kill()

    def start_server(self) -> None:
        self._ask().start()


def on_stores(*stores: DurableStore) -> pytest.MarkDecorator:
    """Return the mark of a test that is made on each of these stores: on SQLite always, else in the sweep."""
    return pytest.mark.parametrize(
        "store",
        [pytest.param(it, id=it.name, marks=() if it is SQLITE else pytest.mark.crash) for it in stores],
    )


SQLITE = SQLite()
STORES: tuple[DurableStore, ...] = (SQLITE, Files(), PostgreSQL(server), Redis(redis_server))
on_every_store = on_stores(*STORES)
