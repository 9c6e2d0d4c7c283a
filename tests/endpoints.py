"""A small OpenAI-compatible server that behaves as badly as a test wants, on 127.0.0.1 at a free port."""

import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

ANSWERING_MODEL = "any-2026-11-24"
"""What the server says that it is."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response."""

    body: str
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Silence:
    """No response at all: the connection stays open until the client gives up."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The beginning of a response, then a broken connection."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a client sent; the headers' names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: Any


def completion(content: str | None, **changes: object) -> Reply:
    """Return a chat completion whose message is `content`; `changes` replace its top-level fields."""
    message = {"role": "assistant", "content": content}
    fields: dict[str, object] = {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": ANSWERING_MODEL,
        "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return Reply(json.dumps(fields | changes))


def answer(output: object) -> Reply:
    """Return a completion that fits the agent's last question."""
    return completion(json.dumps({"output": output, "not_achieved_because": None}))


def cut(content: str) -> Reply:
    """Return a completion that ends at the limit of output tokens."""
    message = {"role": "assistant", "content": content}
    return completion("", choices=[{"index": 0, "finish_reason": "length", "message": message}])


def failure(status: int, *, code: str = "", message: str = "no", headers: Mapping[str, str] | None = None) -> Reply:
    """Return an error in OpenAI's form."""
    return Reply(json.dumps({"error": {"message": message, "code": code}}), status, headers or {})


class Endpoint:
    """Gives the scripted responses in order, the last one for ever; use it with `with`.

    Attributes:
        base_url: What to pass as `base_url`.
        requests: What was received, in order.
        hung_up: Set when a client closed the connection instead of waiting on.
    """

    def __init__(self, *script: Reply | Silence | Reset) -> None:
        self.requests: list[Request] = []
        self.hung_up = threading.Event()
        self.asked = threading.Event()
        self._script = script
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self
        self.base_url = f"http://127.0.0.1:{self._server.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="endpoint")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def respond(self, request: Request) -> Reply | Silence | Reset:
        """Note the request and return what the script has for it."""
        self.requests.append(request)
        self.asked.set()
        return self._script[min(len(self.requests), len(self._script)) - 1]


class _Server(ThreadingHTTPServer):
    endpoint: Endpoint
    daemon_threads = True  # closing does not wait for them: a client that leaks its connection must not hang the test


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        request = Request(
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            json.loads(self.rfile.read(length)),
        )
        match self.server.endpoint.respond(request):
            case Reply() as reply:
                self._send(reply)
            case Silence():
                if not self.connection.recv(1):
                    self.server.endpoint.hung_up.set()
            case Reset():
                self._send(Reply('{"id": '), length=1000)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()

    def _send(self, reply: Reply, *, length: int | None = None) -> None:
        body = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.content_type)
        self.send_header("Content-Length", str(length or len(body)))
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the parent's parameter
        """Stay quiet: tests look at `requests`."""
