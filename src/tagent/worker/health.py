"""An endpoint that says how a worker is: `GET /health` on this machine only.

It is answered by the event loop of the worker, so one that is stuck does not answer.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict
from datetime import UTC, datetime

from pydantic_core import to_json

from tagent.worker.status import WorkerStatus

HOST = "127.0.0.1"
REQUEST_SECONDS = 5.0
"""How long somebody who asks may take for it."""


@asynccontextmanager
async def health_endpoint(port: int, status: Callable[[], WorkerStatus]) -> AsyncIterator[int]:
    """Answer during the block; gives the port.

    Args:
        port: Where to listen; 0 takes one that is free.
        status: What to tell.

    Raises:
        OSError: If the port is taken.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(_answer(request, status()))
                await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, HOST, port)
    async with server:
        yield server.sockets[0].getsockname()[1]


def _answer(request: bytes, status: WorkerStatus) -> bytes:
    method, _, rest = request.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0]
    if path != b"/health":
        return _response("404 Not Found", {"error": "Ask for /health."})
    if method != b"GET":
        return _response("405 Method Not Allowed", {"error": "Ask with GET."})
    told = asdict(status) | {"since": datetime.fromtimestamp(status.since, UTC).isoformat(timespec="seconds")}
    return _response("200 OK" if status.is_healthy else "503 Service Unavailable", told)


def _response(status: str, body: object) -> bytes:
    content = to_json(body)
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(content)}",
        "Cache-Control: no-store",
        "Connection: close",
    )
    return "\r\n".join((*lines, "", "")).encode() + content
