"""Real MCP servers for tests: as a child of the client, or as a process of its own behind a port."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, Self

from tagent.ports.toolsets import MCPServer

SCRIPT = str(Path(__file__).with_name("mcp_server.py"))

PATIENCE_SECONDS = 60.0
"""For a server to start on a busy machine."""


def child(**options: Any) -> MCPServer:
    """Return a server that the client starts itself."""
    return MCPServer.stdio(sys.executable, SCRIPT, "stdio", **options)


class HttpServer:
    """A server behind a port that can be ended and started again."""

    def __init__(self, mode: str = "http", *, key: str = "") -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._arguments = [mode, str(self.port), *([key] if key else [])]
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def at(self, path: str = "/mcp", **options: Any) -> MCPServer:
        """Return the server as a client knows it."""
        return MCPServer.http(f"http://127.0.0.1:{self.port}{path}", **options)

    def start(self) -> None:
        """Start it, and wait until it listens."""
        self._process = subprocess.Popen([sys.executable, SCRIPT, *self._arguments])
        pause = threading.Event()
        for _ in range(int(PATIENCE_SECONDS / 0.05)):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            pause.wait(0.05)
        raise TimeoutError("The MCP server does not start.")

    def stop(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """End it and start it again behind the same port."""
        self.stop()
        self.start()


def runs(pid: int) -> bool:
    """Return whether a process of this number runs; one that has ended but was not waited for counts too."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
