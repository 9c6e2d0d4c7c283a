"""An answer that is shown while it comes."""

from itertools import pairwise
from typing import Any

import pytest
from pydantic import BaseModel

from endpoints import Endpoint, answer, completion, streamed
from model_calls import Colour, Notes, ask, config_for, isolate, request_for
from tagent.adapters.models import streaming
from tagent.ports import TokenUsage
from tagent.ports.language_model import AnswerStreamed, ModelRetried

TEXT = "A blue as deep as the sea."
WHOLE = f'{{"output": "{TEXT}", "not_achieved_because": null}}'


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine, and every piece is shown."""
    isolate(monkeypatch)
    monkeypatch.setattr(streaming, "INTERVAL_SECONDS", 0.0)


async def streamed_texts(endpoint: Endpoint, output_type: object = Colour) -> tuple[Any, list[str]]:
    """Return the output, and the texts that were shown on the way."""
    notes = Notes()
    reply = await ask(config_for(endpoint), request_for(output_type, notes=notes, streams=True))
    return reply, [event.text for event in notes.of(AnswerStreamed)]


async def test_shows_the_output_while_it_comes() -> None:
    """The reader sees the answer, not the JSON around it; usage is counted all the same."""
    with Endpoint(streamed(WHOLE)) as endpoint:
        reply, texts = await streamed_texts(endpoint)
    assert reply.output.output == TEXT
    assert len(texts) > 2
    assert texts[-1] == TEXT
    assert all(later.startswith(earlier) and later != earlier for earlier, later in pairwise(texts))
    assert reply.usage == TokenUsage(10, 5, 1)
    [request] = endpoint.requests
    assert request.body["stream"] is True
    assert request.body["stream_options"] == {"include_usage": True}


class Refused(BaseModel):
    output: str | None
    not_achieved_because: str


class Sky(BaseModel):
    output: list[str]


async def test_shows_other_types_as_json() -> None:
    """What is not text is shown as far as it is there."""
    with Endpoint(streamed('{"output": ["deep", "blue"]}', size=3)) as endpoint:
        reply, texts = await streamed_texts(endpoint, Sky)
    assert reply.output.output == ["deep", "blue"]
    assert texts[-1] == '["deep","blue"]'


async def test_shows_free_text() -> None:
    """An answer that is text is its own output."""
    with Endpoint(streamed(TEXT)) as endpoint:
        reply, texts = await streamed_texts(endpoint, str)
    assert reply.output == texts[-1] == TEXT


async def test_does_not_show_more_often_than_anyone_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first piece and the whole; parsing all of the text for each character costs time."""
    monkeypatch.setattr(streaming, "INTERVAL_SECONDS", 3600.0)
    with Endpoint(streamed(WHOLE, size=1)) as endpoint:
        _, texts = await streamed_texts(endpoint)
    assert texts == ["A", TEXT]


async def test_begins_anew_when_the_stream_was_cut() -> None:
    """The text of a failed try is not glued to that of the next."""
    notes = Notes()
    with Endpoint(streamed(WHOLE, end="cut"), streamed(WHOLE)) as endpoint:
        await ask(config_for(endpoint), request_for(notes=notes, streams=True))
    cut_at = next(place for place, event in enumerate(notes.events) if isinstance(event, ModelRetried))
    first, second = notes.events[:cut_at], notes.events[cut_at + 1 :]
    assert isinstance(second[0], AnswerStreamed)
    assert len(second[0].text) < len(TEXT)
    assert second[-1] == AnswerStreamed(TEXT)
    assert all(isinstance(event, AnswerStreamed) for event in first)


async def test_shows_nothing_of_a_refusal() -> None:
    """There is no output to show."""
    with Endpoint(streamed('{"output": null, "not_achieved_because": "no sky"}')) as endpoint:
        _, texts = await streamed_texts(endpoint, Refused)
    assert texts == []


async def test_does_not_stream_for_nobody() -> None:
    """Without a listener the plain form is sturdier."""
    with Endpoint(answer("blue")) as endpoint:
        await ask(config_for(endpoint), request_for(streams=True))
        await ask(config_for(endpoint), request_for(notes=Notes()))
    assert [request.body["stream"] for request in endpoint.requests] == [False, False]


async def test_a_provider_that_does_not_stream_is_not_believed() -> None:
    """A plain answer to a request for a stream ends in an error with a name, not in an empty answer."""
    notes = Notes()
    with (
        Endpoint(completion(WHOLE)) as endpoint,
        pytest.raises(Exception, match="cannot be read|ended|fails") as raised,
    ):
        await ask(config_for(endpoint), request_for(notes=notes, streams=True))
    assert getattr(raised.value, "code", None) == "model.unavailable"
