"""A local OpenAI-compatible endpoint that behaves well and counts what it is asked, on 127.0.0.1 at a free port.

One thread and no task per request: it serves a thousand kept-alive connections at once. Run as a script, it prints its
port and serves until its standard input is closed. `GET /figures` tells what it counted since `DELETE /figures`.
"""

import argparse
import asyncio
import json
import resource
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypedDict

from benchmarks.agents.good_model import NotUnderstoodError, reply_to
from benchmarks.agents.prompt_size import CHARACTERS_PER_TOKEN, PromptSize, prompt_size

THINK_SECONDS = 0.02
"""How long each answer takes, unless the command line says otherwise."""

ANSWERING_MODEL = "good-model"
BACKLOG = 2048
PIECE_CHARACTERS = 16
"""How much of the answer each part of a streamed one holds."""


class Figures(TypedDict):
    """What was counted.

    Attributes:
        calls: Chat completions that were asked for.
        refused: Those answered with an error.
        message_characters: Of the messages of all calls.
        schema_characters: Of the schemas of all calls.
        connections: Connections that brought a call.
        most_at_once: The most calls that were being answered at one time.
        cpu_seconds: What the endpoint itself has used since it started.
    """

    calls: int
    refused: int
    message_characters: int
    schema_characters: int
    connections: int
    most_at_once: int
    cpu_seconds: float


class Endpoint:
    """What all connections share.

    Attributes:
        think_seconds: How long each answer takes.
        base_url: What to pass as `base_url`, once it is served.
        transports: Of the connections that are open.
    """

    def __init__(self, think_seconds: float) -> None:
        self.think_seconds = think_seconds
        self.base_url = ""
        self.transports: set[asyncio.Transport] = set()
        self.reset()

    def reset(self) -> None:
        """Forget what was counted."""
        self._size = PromptSize()
        self._calls = self._refused = self._most_at_once = 0
        self._connections: set[int] = set()
        self._at_once = 0

    def figures(self) -> Figures:
        """Return what was counted."""
        used = resource.getrusage(resource.RUSAGE_SELF)
        return Figures(
            calls=self._calls,
            refused=self._refused,
            message_characters=self._size.message_characters,
            schema_characters=self._size.schema_characters,
            connections=len(self._connections),
            most_at_once=self._most_at_once,
            cpu_seconds=used.ru_utime + used.ru_stime,
        )

    def ask(self, body: Mapping[str, Any], *, connection: int) -> tuple[int, str]:
        """Count a call and return the status and the content, or the error, that answers it."""
        size = prompt_size(body)
        self._size += size
        self._calls += 1
        self._at_once += 1
        self._most_at_once = max(self._most_at_once, self._at_once)
        self._connections.add(connection)
        try:
            return 200, reply_to(body)
        except NotUnderstoodError as error:
            self._refused += 1
            return 400, str(error)

    def answered(self) -> None:
        """Note that a call has its answer, or that nobody waits for it any more."""
        self._at_once -= 1


class _Connection(asyncio.Protocol):
    """Reads one request after the other and answers each after the time to think."""

    latest = 0

    def __init__(self, endpoint: Endpoint) -> None:
        _Connection.latest += 1
        self._number = _Connection.latest
        self._endpoint = endpoint
        self._received = bytearray()
        self._thinking: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - a TCP server's can be written to
        self._transport = transport
        self._endpoint.transports.add(transport)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the parent's parameter
        if self._thinking is not None:
            self._thinking.cancel()
            self._thinking = None
            self._endpoint.answered()
        if self._transport is not None:
            self._endpoint.transports.discard(self._transport)
            self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, separator, rest = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        length = _content_length(bytes(head))
        if len(rest) < length:
            return
        method, path, _ = head.split(b"\r\n", 1)[0].decode().split(" ", 2)
        body = bytes(rest[:length])
        del self._received[: len(head) + len(separator) + length]
        self._respond(method, path, body)

    def _respond(self, method: str, path: str, body: bytes) -> None:
        match method, path:
            case "POST", "/v1/chat/completions":
                request = json.loads(body)
                status, content = self._endpoint.ask(request, connection=self._number)
                loop = asyncio.get_running_loop()
                self._thinking = loop.call_later(self._endpoint.think_seconds, self._answer, request, status, content)
            case "GET", "/figures":
                self._write(200, json.dumps(self._endpoint.figures()))
            case "DELETE", "/figures":
                self._endpoint.reset()
                self._write(200, "{}")
            case _:
                self._write(404, json.dumps({"error": {"message": f"There is no {method} {path}."}}))

    def _answer(self, request: Mapping[str, Any], status: int, content: str) -> None:
        self._thinking = None
        self._endpoint.answered()
        if status != 200:
            self._write(status, json.dumps({"error": {"message": content, "type": "invalid_request_error"}}))
        elif request.get("stream"):
            self._write_chunks(_streamed(request, content))
        else:
            self._write(200, json.dumps(_completion(request, content)))

    def _write(self, status: int, body: str) -> None:
        payload = body.encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
        if self._transport is not None:
            self._transport.write(head.encode() + payload)

    def _write_chunks(self, events: Iterator[str]) -> None:
        if self._transport is None:
            return
        self._transport.write(
            b"HTTP/1.1 200 -\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        for event in events:
            payload = f"data: {event}\n\n".encode()
            self._transport.write(f"{len(payload):x}\r\n".encode() + payload + b"\r\n")
        self._transport.write(b"0\r\n\r\n")


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"content-length":
            return int(value)
    return 0


def _usage(request: Mapping[str, Any], content: str) -> dict[str, int]:
    prompt = prompt_size(request).tokens
    completion = -(-len(content) // CHARACTERS_PER_TOKEN)
    return {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}


def _completion(request: Mapping[str, Any], content: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": content}
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": ANSWERING_MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": _usage(request, content),
    }


def _streamed(request: Mapping[str, Any], content: str) -> Iterator[str]:
    """Yield the events of a streamed answer: its pieces, its end, its usage where that is wanted."""
    common = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": ANSWERING_MODEL}
    for start in range(0, len(content), PIECE_CHARACTERS):
        delta = {"role": "assistant", "content": content[start : start + PIECE_CHARACTERS]}
        yield json.dumps(common | {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    yield json.dumps(common | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if (request.get("stream_options") or {}).get("include_usage"):
        yield json.dumps(common | {"choices": [], "usage": _usage(request, content)})
    yield "[DONE]"


@asynccontextmanager
async def serving(think_seconds: float = THINK_SECONDS) -> AsyncIterator[Endpoint]:
    """Serve an endpoint on the running loop until the block ends."""
    endpoint = Endpoint(think_seconds)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(endpoint), "127.0.0.1", 0, backlog=BACKLOG)
    endpoint.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    async with server:
        try:
            yield endpoint
        finally:  # a server waits for its connections to end, and clients keep them
            for transport in tuple(endpoint.transports):
                transport.abort()


async def _serve_until_closed(think_seconds: float) -> None:
    async with serving(think_seconds) as endpoint:
        print(json.dumps({"base_url": endpoint.base_url}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Serve a model that behaves well until standard input is closed.")
    parser.add_argument("--think-seconds", type=float, default=THINK_SECONDS, help="for each answer (%(default)s)")
    asyncio.run(_serve_until_closed(parser.parse_args().think_seconds))
