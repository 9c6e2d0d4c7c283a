"""A server of the Model Context Protocol, run as a program.

`mcp_server.py stdio`, `mcp_server.py http PORT [KEY]` or `mcp_server.py old-http PORT`.

Its tools do what real ones do: return, fail, take long, end in the middle.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import uvicorn
from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import ToolAnnotations
from pydantic import BaseModel

server = MCPServer("notes", log_level="ERROR")

READS = ToolAnnotations(read_only_hint=True)


class Note(BaseModel):
    """A note."""

    title: str
    words: int


@server.tool(annotations=READS)
def note(title: str, times: int = 1) -> Note:
    """Return the note of a title."""
    return Note(title=title, words=len(title.split()) * times)


@server.tool(annotations=READS, structured_output=False)
def shout(text: str) -> str:
    """Return a text in capital letters."""
    return text.upper()


@server.tool(annotations=READS)
def process() -> dict[str, int]:
    """Return the number of this process, and how often it has been asked."""
    process_calls.append(None)
    return {"pid": os.getpid(), "calls": len(process_calls)}


process_calls: list[None] = []


@server.tool(annotations=READS)
def variables(name: str) -> dict[str, str]:
    """Return a variable of the environment."""
    return {"value": os.environ.get(name, "")}


@server.tool(annotations=READS)
def where() -> dict[str, str]:
    """Return the folder that it runs in."""
    return {"folder": str(Path.cwd())}


@server.tool(annotations=READS)
def broken(secret: str = "") -> str:
    """Fail, repeating what it is told."""
    raise ToolError(f"out of order {secret}")


@server.tool(annotations=READS, structured_output=False)
def picture() -> list[Any]:
    """Return a picture."""
    return ["a dot", Image(data=b"\x89PNG-no-picture", format="png")]


@server.tool(annotations=READS)
async def slow(seconds: float) -> str:
    """Return after some seconds."""
    await asyncio.sleep(seconds)
    return "done"


@server.tool()
def crash() -> str:
    """End the server in the middle of a call."""
    os._exit(3)


@server.tool()
def write(path: str) -> str:
    """Append a line to a file."""
    with Path(path).open("a", encoding="utf-8") as file:
        file.write("written\n")
    return "written"


@server.tool(annotations=ToolAnnotations(destructive_hint=True, idempotent_hint=True))
def delete(path: str) -> str:
    """Delete a file; a second time changes nothing."""
    Path(path).unlink(missing_ok=True)
    return "deleted"


class OldServer:
    """The server as it was before it could be asked without a session."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        body = b""
        while True:
            part = await receive()
            body += part.get("body", b"")
            if not part.get("more_body"):
                break
        asked = json.loads(body)
        if asked.get("method") == "server/discover":
            error = {"jsonrpc": "2.0", "id": asked["id"], "error": {"code": -32601, "message": "Method not found"}}
            headers = [(b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": json.dumps(error).encode()})
            return
        parts = [{"type": "http.request", "body": body, "more_body": False}]
        await self._app(scope, lambda: _next(parts, receive), send)


async def _next(parts: list[Any], receive: Any) -> Any:
    return parts.pop() if parts else await receive()


class Locked:
    """The server behind a key."""

    def __init__(self, app: Any, key: str) -> None:
        self._app = app
        self._key = f"Bearer {key}".encode()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http" and dict(scope["headers"]).get(b"authorization") != self._key:
            await send({"type": "http.response.start", "status": 401, "headers": []})
            await send({"type": "http.response.body", "body": b""})
            return
        await self._app(scope, receive, send)


def serve(app: Any, port: int) -> None:
    """Serve over HTTP until the process is ended."""
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["stdio"]:
            server.run("stdio")
        case ["http", port]:
            serve(server.streamable_http_app(), int(port))
        case ["http", port, key]:
            serve(Locked(server.streamable_http_app(), key), int(port))
        case ["old-http", port]:
            serve(OldServer(server.streamable_http_app()), int(port))
        case given:
            sys.exit(f"unknown arguments: {given}")
