"""Every fault of a model's endpoint: what it costs, what it is called, and that nothing of it stays behind."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest

from endpoints import (
    Endpoint,
    Reply,
    Reset,
    Response,
    Silence,
    Slow,
    Truncated,
    answer,
    completion,
    cut,
    failure,
    streamed,
)
from model_calls import Colour, Notes, Running, ask, ask_in_vain, config_for, isolate, request_for
from tagent import TAgentConfig
from tagent.ports import ModelError, ModelOutputError, ModelTimeoutError
from tagent.ports.language_model import AnswerStreamed, ModelRetried

BLUE = '{"output": "blue"}'
TRIES = 3
REASKS = 2
SECONDS = 30.0
SHORT_SECONDS = 0.3


@dataclass(frozen=True, slots=True)
class Fault:
    """What an endpoint does, and what comes of it.

    Attributes:
        script: What it does, request by request, the last for ever.
        requests: How many it gets.
        code: Of the error; None when there is an answer after all.
        streams: Whether the answer is streamed.
        seconds: The deadline.
    """

    script: tuple[Response, ...]
    requests: int
    code: str | None = None
    streams: bool = False
    seconds: float = SECONDS


def filtered() -> Reply:
    """Return an answer that the provider's content filter has stopped."""
    choice = {"index": 0, "finish_reason": "content_filter", "message": {"role": "assistant", "content": None}}
    return completion("", choices=[choice])


HTML = Reply("<html>Bad gateway</html>", 502, content_type="text/html")
PAGE = Reply("<html>Welcome</html>", content_type="text/html")
PROSE = completion(f"Of course! {BLUE} Anything else?")
FENCED = completion(f"Here it is:\n```json\n{BLUE}\n```\nI hope that it [helps].")
FENCED_WITHOUT_NAME = completion(f"```\n{BLUE}\n```")
SEVERAL_FENCED = completion(f'Like ```json\n{{"output": "grey"}}\n```: ```json\n{BLUE}\n```')
SEVERAL = completion(f'Either {BLUE} or {{"output": "grey"}}.')
WRONG = completion('{"output": 1}')

FAULTS = {
    # Passes after a while
    "429 once": Fault((failure(429), answer("blue")), 2),
    "429 with Retry-After once": Fault((failure(429, headers={"retry-after-ms": "5"}), answer("blue")), 2),
    "500 once": Fault((failure(500), answer("blue")), 2),
    "503 with Retry-After once": Fault((failure(503, headers={"retry-after-ms": "5"}), answer("blue")), 2),
    "503 twice": Fault((failure(503), failure(503), answer("blue")), 3),
    "408 once": Fault((failure(408), answer("blue")), 2),
    "reset once": Fault((Reset(), answer("blue")), 2),
    "truncated once": Fault((Truncated(answer("blue")), answer("blue")), 2),
    "not JSON once": Fault((Reply("hello"), answer("blue")), 2),
    "wrong schema once": Fault((WRONG, answer("blue")), 2),
    "slow first byte": Fault((Slow(answer("blue"), 0.05),), 1),
    "in prose": Fault((PROSE,), 1),
    "in a fence": Fault((FENCED,), 1),
    "in a fence without a name": Fault((FENCED_WITHOUT_NAME,), 1),
    "several in fences once": Fault((SEVERAL_FENCED, answer("blue")), 2),
    "several in prose once": Fault((SEVERAL, answer("blue")), 2),
    # Does not pass
    "429": Fault((failure(429),), TRIES, "model.rate_limited"),
    "429 for an hour": Fault((failure(429, headers={"Retry-After": "3600"}),), 1, "model.rate_limited"),
    "503 for an hour": Fault((failure(503, headers={"Retry-After": "3600"}),), 1, "model.unavailable"),
    "500": Fault((failure(500),), TRIES, "model.unavailable"),
    "502 with a page": Fault((HTML,), TRIES, "model.unavailable"),
    "reset": Fault((Reset(),), TRIES, "model.unavailable"),
    "truncated": Fault((Truncated(answer("blue")),), TRIES, "model.unavailable"),
    "not JSON": Fault((Reply("hello"),), TRIES, "model.unavailable"),
    "a page": Fault((PAGE,), TRIES, "model.unavailable"),
    "no choices": Fault((Reply('{"id": "1"}'),), TRIES, "model.unavailable"),
    "empty choices": Fault((completion("", choices=[]),), TRIES, "model.unavailable"),
    "null choices": Fault((completion("", choices=None),), TRIES, "model.unavailable"),
    "an error in a 200": Fault((Reply('{"error": {"message": "no", "code": 500}}'),), TRIES, "model.unavailable"),
    "wrong schema": Fault((WRONG,), 1 + REASKS, "model.output"),
    "prose alone": Fault((completion("Blue, I think."),), 1 + REASKS, "model.output"),
    "several in prose": Fault((SEVERAL,), 1 + REASKS, "model.output"),
    "nothing": Fault((completion(""),), 1 + REASKS, "model.output"),
    "cut at its longest": Fault((cut('{"output": "bl'),), 1, "model.output"),
    "cut at its longest, yet JSON": Fault((cut("bl"),), 1, "model.output"),
    "silence": Fault((Silence(),), 1, "model.timeout", seconds=SHORT_SECONDS),
    "first byte too late": Fault((Slow(answer("blue"), 60),), 1, "model.timeout", seconds=SHORT_SECONDS),
    # Refusals
    "401": Fault((failure(401),), 1, "model.authentication"),
    "403": Fault((failure(403),), 1, "model.authentication"),
    "404": Fault((failure(404, code="model_not_found"),), 1, "model.unknown"),
    "400": Fault((failure(400),), 1, "model.rejected"),
    "context too long": Fault((failure(400, code="context_length_exceeded"),), 1, "model.rejected"),
    "quota": Fault((failure(429, code="insufficient_quota"),), 1, "model.rejected"),
    "content filter": Fault((filtered(),), 1, "model.rejected"),
    # Streamed
    "stream": Fault((streamed(BLUE),), 1, streams=True),
    "stream slow": Fault((streamed(BLUE, pause_seconds=0.02),), 1, streams=True),
    "stream in a fence": Fault((streamed(f"```json\n{BLUE}\n```"),), 1, streams=True),
    "stream cut once": Fault((streamed(BLUE, end="cut"), streamed(BLUE)), 2, streams=True),
    "stream cut": Fault((streamed(BLUE, end="cut"),), TRIES, "model.unavailable", streams=True),
    "stream without its end": Fault((streamed(BLUE, end="early"),), TRIES, "model.unavailable", streams=True),
    "stream of the wrong schema": Fault((streamed('{"output": 1}'),), 1 + REASKS, "model.output", streams=True),
    "stream stalls": Fault((streamed(BLUE, end="stall"),), 1, "model.timeout", streams=True, seconds=SHORT_SECONDS),
    "stream of silence": Fault((Silence(),), 1, "model.timeout", streams=True, seconds=SHORT_SECONDS),
    "stream is refused": Fault((failure(401),), 1, "model.authentication", streams=True),
    "stream fails": Fault((failure(500),), TRIES, "model.unavailable", streams=True),
}


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and no waiting."""
    isolate(monkeypatch)


@contextmanager
def nothing_left(endpoint: Endpoint) -> Iterator[None]:
    """Check that no task, thread or connection outlives what is done within."""
    before = Running.now()
    yield
    assert Running.now() == before
    assert endpoint.all_closed()


@pytest.mark.parametrize("name", FAULTS)
async def test_survives_the_fault(name: str) -> None:
    """As often as the table says, called by its code, within the deadline, and nothing stays behind."""
    fault = FAULTS[name]
    notes = Notes()
    with Endpoint(*fault.script) as endpoint, nothing_left(endpoint):
        config = config_for(endpoint, request_timeout_seconds=fault.seconds)
        request = request_for(notes=notes, streams=fault.streams)
        if fault.code is None:
            assert (await ask(config, request)).output == Colour(output="blue")
        else:
            error = await ask_in_vain(config, request)
            assert error.code == fault.code
            if isinstance(error, ModelTimeoutError):
                assert error.seconds == fault.seconds
    assert len(endpoint.requests) == fault.requests
    assert all(request.body.get("stream", False) is fault.streams for request in endpoint.requests)
    assert all(event.text != "blue" or fault.streams for event in notes.of(AnswerStreamed))


async def test_survives_that_nothing_listens() -> None:
    """The server is not running: the most common mistake of all."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        notes = Notes()
        error = await ask_in_vain(TAgentConfig(model="any", base_url=address), request_for(notes=notes))
    assert error.code == "model.unavailable"
    assert "cannot be reached" in error.message
    assert [event.tries for event in notes.of(ModelRetried)] == [1, 2]


async def test_tells_of_each_try() -> None:
    """Who watches sees why an answer takes long."""
    notes = Notes()
    with Endpoint(failure(500), failure(429, headers={"retry-after-ms": "7"}), answer("blue")) as endpoint:
        await ask(config_for(endpoint), request_for(notes=notes))
    assert notes.events == [
        ModelRetried("openai-chat:any", "model.unavailable", 1, 0.0),
        ModelRetried("openai-chat:any", "model.rate_limited", 2, 0.007),
    ]


@pytest.mark.parametrize("reasks", [0, 1, 3])
async def test_asks_again_as_often_as_the_request_says(reasks: int) -> None:
    """A caller that can repair an answer itself pays for no further one."""
    with Endpoint(WRONG) as endpoint:
        error = await ask_in_vain(config_for(endpoint), request_for(max_reasks=reasks))
    assert len(endpoint.requests) == 1 + reasks
    assert error.spent is not None
    assert error.spent.usage.requests == 1 + reasks


async def test_says_what_was_wrong_without_repeating_it() -> None:
    """The next plan can do better; what the model wrote stays out of errors."""
    with Endpoint(completion('{"output": {"my-secret": "x"}}')) as endpoint:
        error = await ask_in_vain(config_for(endpoint))
    assert isinstance(error, ModelOutputError)
    assert error.problems == "output: Input should be a valid string"


async def test_the_tries_of_a_re_ask_do_not_begin_anew() -> None:
    """An answer that was paid for is not asked for a second time because a later request failed."""
    with Endpoint(WRONG, failure(500), answer("blue")) as endpoint:
        reply = await ask(config_for(endpoint))
    assert [len(request.body["messages"]) > 2 for request in endpoint.requests] == [False, True, True]
    assert reply.usage.requests == 2


class NotifyError(Exception):
    """What whoever is notified raises."""


async def test_an_error_of_who_is_notified_is_not_the_model_s() -> None:
    """A journal that cannot be written must not look like a model that is down."""

    async def notify(event: object) -> None:
        raise NotifyError

    for response, streams in ((failure(500), False), (streamed(BLUE), True)):
        request = replace(request_for(streams=streams), notify=notify)
        with Endpoint(response) as endpoint, nothing_left(endpoint), pytest.raises(NotifyError):
            await ask(config_for(endpoint), request)
        assert len(endpoint.requests) == 1


@pytest.mark.parametrize("name", [name for name, fault in FAULTS.items() if fault.code])
async def test_keeps_the_vendor_s_error_out_of_the_traceback(name: str) -> None:
    """Its text may repeat the key or the prompt, and whoever logs an error logs its causes."""
    fault = FAULTS[name]
    with Endpoint(*fault.script) as endpoint:
        error: ModelError = await ask_in_vain(
            config_for(endpoint, request_timeout_seconds=fault.seconds), request_for(streams=fault.streams)
        )
    assert error.__cause__ is None
    assert error.__context__ is None
