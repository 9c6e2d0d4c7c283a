"""A small OpenAI-compatible server that behaves as badly as a test wants, on 127.0.0.1 at a free port."""

import contextlib
import json
import socket
import struct
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tagent.adapters.models.breaker import circuit_breakers
from tagent.adapters.models.limits import process_limiters

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
class Slow:
    """A response of which nothing comes for a while."""

    reply: Reply
    seconds: float


@dataclass(frozen=True, slots=True)
class Truncated:
    """The beginning of a response that ends before its announced length."""

    reply: Reply


@dataclass(frozen=True, slots=True)
class Stream:
    """A response in parts, as server-sent events.

    Attributes:
        parts: The data of each event.
        pause_seconds: Between two parts.
        end: How it ends after the last part: `whole`; `stall`, silent until the client gives up; `cut`, the
            connection breaks; `early`, a clean end without the closing events.
    """

    parts: tuple[str, ...]
    pause_seconds: float = 0.0
    end: str = "whole"


Response = Reply | Silence | Reset | Slow | Truncated | Stream
"""What an endpoint can do."""


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


def streamed(content: str, *, size: int = 8, end: str = "whole", pause_seconds: float = 0.0) -> Stream:
    """Return a completion that comes in pieces of `size` characters."""
    pieces = [content[start : start + size] for start in range(0, len(content), size)]
    common = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": ANSWERING_MODEL}

    def event(delta: object, *, finish: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return json.dumps({**common, "choices": [choice]})

    parts = [event({"role": "assistant", "content": ""}), *(event({"content": piece}) for piece in pieces)]
    if end == "whole":
        usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
        parts += [event({}, finish="stop"), json.dumps({**common, "choices": [], "usage": usage}), "[DONE]"]
    return Stream(tuple(parts), pause_seconds, end)


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
        accepted: How many connections clients have opened so far.
        answering: How many requests are being answered.
        most_answering: The most that there were of them at once.
    """

    def __init__(self, *script: Response) -> None:
        self.requests: list[Request] = []
        self.hung_up = threading.Event()
        self.accepted = 0
        self.answering = 0
        self.most_answering = 0
        self._changed = threading.Condition()
        self._open = 0
        self.asked = threading.Event()
        self._script = script
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.endpoint = self
        self._be_unknown()
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

    def _be_unknown(self) -> None:
        """Let the process forget an earlier test's server at this port: its failures are not this one's."""
        for kept in (circuit_breakers, process_limiters):
            kept._kept.pop(f"127.0.0.1:{self._server.server_port}", None)

    def respond(self, request: Request) -> Response:
        """Note the request and return what the script has for it."""
        with self._changed:
            self.requests.append(request)
            self.answering += 1
            self.most_answering = max(self.most_answering, self.answering)
            place = min(len(self.requests), len(self._script)) - 1
        self.asked.set()
        return self._script[place]

    def answered(self) -> None:
        """Note that nothing more is sent for a request."""
        with self._changed:
            self.answering -= 1

    def connected(self, change: int) -> None:
        """Note that a client opened (1) or closed (-1) a connection."""
        with self._changed:
            self.accepted += max(0, change)
            self._open += change
            self._changed.notify_all()

    def all_closed(self, seconds: float = 30.0) -> bool:
        """Return whether no client keeps a connection; wait for that up to `seconds`."""
        with self._changed:
            return self._changed.wait_for(lambda: self._open == 0, seconds)


class _Server(ThreadingHTTPServer):
    endpoint: Endpoint
    daemon_threads = True  # closing does not wait for them: a client that leaks its connection must not hang the test
    request_queue_size = 512


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"  # connections are kept, as real endpoints do

    def setup(self) -> None:
        self.server.endpoint.connected(1)
        super().setup()

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):  # the client gave up
            super().handle()

    def finish(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().finish()
        self.server.endpoint.connected(-1)

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        request = Request(
            self.path,
            {name.lower(): value for name, value in self.headers.items()},
            json.loads(self.rfile.read(length)),
        )
        try:
            self._respond(self.server.endpoint.respond(request))
        finally:
            self.server.endpoint.answered()

    def _respond(self, response: Response) -> None:
        match response:
            case Reply():
                self._send(response)
            case Silence():
                self._wait_for_the_client_to_go()
            case Slow(reply, seconds):
                if self._client_goes_within(seconds):
                    self.close_connection = True
                else:
                    self._send(reply)
            case Truncated(reply):
                self._send(replace(reply, body=reply.body[: len(reply.body) // 2]), length=len(reply.body))
                self.close_connection = True
            case Reset():
                self._send(Reply('{"id": '), length=1000)
                self._break()
            case Stream():
                self._stream(response)

    def _stream(self, stream: Stream) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in stream.parts:
            if stream.pause_seconds and self._client_goes_within(stream.pause_seconds):
                self.close_connection = True
                return
            data = f"data: {part}\n\n".encode()
            self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        match stream.end:
            case "stall":
                self._wait_for_the_client_to_go()
            case "cut":
                self._break()
            case _:
                self.wfile.write(b"0\r\n\r\n")

    def _client_goes_within(self, seconds: float) -> bool:
        """Return whether the client closes the connection; a client that waits sends nothing."""
        self.connection.settimeout(seconds)
        try:
            is_gone = not self.connection.recv(1)
        except TimeoutError:
            return False
        finally:
            self.connection.settimeout(None)
        if is_gone:
            self.server.endpoint.hung_up.set()
        return is_gone

    def _wait_for_the_client_to_go(self) -> None:
        if not self.connection.recv(1):
            self.server.endpoint.hung_up.set()
        self.close_connection = True

    def _break(self) -> None:
        """Close the connection in such a way that the client sees it broken."""
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

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
