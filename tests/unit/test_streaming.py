"""Reading the events of a run while it happens: what is seen, what goes wrong, and what is left behind."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from agent_runs import call
from builders import chain, returning
from tagent import RunStream, aresume, stream
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.pipeline import Pipeline, PipelineValidationError, RunStatus
from tagent.pipeline.events import AgentNoticed, RunFinished, RunStarted, StepCompleted, StepFailed, StepStarted
from tagent.pipeline.journal.loading import load_events
from tagent.ports import ModelRequest, RunRecord
from tagent.ports.language_model import AnswerStreamed, ModelReply
from tagent.ports.model_errors import ModelUnavailableError
from tagent.ports.store_errors import StoreUnavailableError
from tagent.runtime import open_services
from tagent.streaming import StreamError
from tagent.task_agent.events import AgentStarted, Finalized
from tagent.testing import ScriptedModel


class City(BaseModel):
    name: str
    people: int


@pytest.fixture(autouse=True)
async def _clean(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """No settings but those of the test, and no task that outlives it."""
    monkeypatch.chdir(tmp_path)
    for name in TAgentConfig.model_fields:
        monkeypatch.delenv(f"TAGENT_{name.upper()}", raising=False)
    monkeypatch.delenv("TAGENT_CONFIG", raising=False)
    yield
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store that can be looked at when the run is over."""
    return f"file://{tmp_path}/runs"


def kind(event: object) -> str:
    return type(event).__name__


async def recorded(store: str, run_id: str) -> tuple[RunRecord, list[object]]:
    """Return what lists know of a run, and its journal."""
    async with open_services(TAgentConfig(store=store)) as services:
        return await services.store.run(run_id), list(await load_events(services.store, run_id))


class Blocked:
    """A step that waits until it is let go, and says whether it was stopped."""

    def __init__(self) -> None:
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self.was_stopped = False

    async def __call__(self) -> str:
        self.has_begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)  # stopping takes a moment
            self.was_stopped = True
            raise
        return "done"


async def test_what_is_read_is_the_journal(store: str) -> None:
    """Every event, in the order in which it was committed, and nothing else."""
    events = stream(chain("a", "b"), store=store)
    read = [event async for event in events]
    _, journal = await recorded(store, events.run_id)
    assert read == journal
    assert [*map(kind, read)][-3:] == ["StepStarted", "StepCompleted", "RunFinished"]
    assert (events.result.final_output, events.result.run_id) == ("b", events.run_id)


async def test_an_event_is_read_while_the_run_goes_on() -> None:
    """Else it would be a list, and not a stream."""
    step = Blocked()
    events = stream(Pipeline("p").step("s", run=step))
    async for event in events:
        if isinstance(event, RunStarted):
            assert events.run_id == event.run_id
        if isinstance(event, StepStarted):
            step.may_end.set()  # nobody else does
    assert events.result.success


async def test_inputs_labels_and_settings_reach_the_run(store: str) -> None:
    """It is a run like any other."""
    pipeline = Pipeline("p", config={"store": store}).step("s", "Greet {name}")
    model = ScriptedModel(["Dear Ada."])
    events = stream(pipeline, {"model": model}, inputs={"name": "Ada"}, labels={"team": "blue"})
    async for _ in events:
        pass
    run, _ = await recorded(store, events.run_id)
    assert run.labels == {"team": "blue"}
    assert events.result.final_output == "Dear Ada."
    assert "Ada" in str(model.requests[0].messages)


async def test_the_text_of_an_answer_is_read_while_it_comes() -> None:
    """A page that shows it word by word needs nothing else."""
    async with stream(Pipeline("p").step("s", "Greet"), model=ScriptedModel(["Dear Ada"]), stream=True) as events:
        read = [event async for event in events]
    texts = [event.notice for event in read if isinstance(event, AgentNoticed)]
    assert texts[-1] == AnswerStreamed("Dear Ada")


async def test_what_is_read_is_redacted() -> None:
    """A reader is a subscriber like others."""
    async with stream(Pipeline("p").step("s", run=lambda: "secret"), redact=lambda value: "***") as events:
        read = [event async for event in events]
    assert [event.output for event in read if isinstance(event, StepCompleted)] == ["***"]
    assert events.result.final_output == "secret"


async def test_a_failed_step_is_in_the_result() -> None:
    """As everywhere: it is an event like others."""
    events = stream(Pipeline("p").step("s", run=lambda: 1 / 0, max_retries=0))
    read = [event async for event in events]
    assert [event.code for event in read if isinstance(event, StepFailed)] == ["step.failed"]
    assert events.result.status is RunStatus.FAILED


async def test_what_is_wrong_with_the_call_is_raised_where_the_events_are_read() -> None:
    """One place to handle errors in."""
    for wrong, error in [
        (stream(Pipeline("p").step("a", run=returning(1), depends_on=["b"])), PipelineValidationError),
        (stream(chain("a"), store="nonsense://"), ConfigurationError),
        (stream(chain("a"), modle="embedded"), ConfigurationError),  # type: ignore[call-overload]  # the mistake
        (stream(chain("a"), output_format=int), ConfigurationError),  # type: ignore[call-overload]  # the mistake
        (stream("Greet", labels={"a": "b"}), ConfigurationError),  # type: ignore[call-overload]  # the mistake
        (stream("Greet", inputs={"a": "b"}), ConfigurationError),  # type: ignore[call-overload]  # the mistake
        (stream(7), ConfigurationError),  # type: ignore[call-overload]  # the mistake
    ]:
        with pytest.raises(error):
            _ = [event async for event in wrong]
        with pytest.raises(StreamError, match="ended in an error"):
            _ = wrong.result


async def test_an_error_comes_after_the_events_before_it() -> None:
    """What was committed has happened, whatever comes then."""

    async def fails(show: Callable[[str], None]) -> int:
        show("first")
        show("second")
        raise StoreUnavailableError("It is away.")

    async with RunStream(fails) as events:
        assert [await anext(events), await anext(events)] == ["first", "second"]
        with pytest.raises(StoreUnavailableError):
            await anext(events)


async def test_an_error_does_not_cancel_what_its_reader_does() -> None:
    """The reader may be in the middle of writing something down; it is told when it reads on."""
    gate = asyncio.Event()

    async def fails(show: Callable[[str], None]) -> int:
        show("first")
        await gate.wait()
        raise StoreUnavailableError("It is away.")

    async with RunStream(fails) as events:
        assert await anext(events) == "first"
        gate.set()
        for _ in range(20):
            await asyncio.sleep(0)  # the work fails meanwhile
        with pytest.raises(StoreUnavailableError):
            await anext(events)


async def test_leaving_the_block_early_stops_the_run_and_it_can_be_resumed(store: str) -> None:
    """Whoever has seen enough pays for no more, and loses nothing."""
    step = Blocked()
    pipeline = Pipeline("p").step("a", run=returning("a")).step("b", run=step, depends_on=["a"])
    async with stream(pipeline, store=store) as events:
        async for event in events:
            if isinstance(event, StepStarted) and event.step == "b":
                await step.has_begun.wait()
                break
    assert step.was_stopped
    run, journal = await recorded(store, events.run_id)
    assert (run.owner, run.finished_at) == ("", None)
    assert not any(isinstance(event, RunFinished) for event in journal)
    with pytest.raises(StreamError, match=rf"left before.* resume\('{events.run_id}'"):
        _ = events.result
    step.may_end.set()
    assert (await aresume(events.run_id, pipeline, store=store)).step_outputs == {"a": "a", "b": "done"}


@pytest.mark.parametrize("seen", range(1, 7))
async def test_wherever_it_is_left_the_run_can_be_resumed(seen: int, store: str) -> None:
    """Before the first step, between two, after the last: what is committed is kept, and the claim is given up."""
    async with stream(chain("a", "b"), store=store) as events:
        read = [kind(await anext(events)) for _ in range(seen)]
    _, journal = await recorded(store, events.run_id)
    assert [*map(kind, journal)][:seen] == read
    result = await aresume(events.run_id, chain("a", "b"), store=store)
    assert (result.status, result.final_output) == (RunStatus.COMPLETED, "b")


async def test_a_plain_break_stops_the_run_soon() -> None:
    """Python disposes of the iterator, so the run ends without being asked; only not before the next line."""
    step = Blocked()
    async for event in stream(Pipeline("p").step("s", run=step)):
        if isinstance(event, StepStarted):
            await step.has_begun.wait()
            break
    while len(asyncio.all_tasks()) > 1:  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0)
    assert step.was_stopped


PROGRAM = """
import asyncio, sys
from tagent import stream
from tagent.pipeline import Pipeline

async def forever():
    await asyncio.Event().wait()

def left_by_raising():
    raise ValueError("mine")

async def left_by_cancelling():
    asyncio.current_task().cancel()
    await asyncio.sleep(0)

async def plainly(leave):
    async for event in stream(pipeline, store=sys.argv[1]):
        if leave is None:
            break
        if (left := leave()) is not None:
            await left

async def in_a_block(leave):
    async with stream(pipeline, store=sys.argv[1]) as events:
        async for event in events:
            if leave is None:
                return
            if (left := leave()) is not None:
                await left

pipeline = Pipeline("p").step("s", run=forever)
for read in plainly, in_a_block:
    for leave in None, left_by_raising, left_by_cancelling:
        try:
            print(read.__name__, asyncio.run(read(leave)))
        except (ValueError, asyncio.CancelledError) as error:
            print(read.__name__, repr(error))
"""


@pytest.mark.parametrize("scheme", ["file", "sqlite"])
def test_a_program_that_leaves_its_stream_and_ends_leaves_nothing_behind(scheme: str, tmp_path: Path) -> None:
    """No task that is destroyed while it is pending, no client that nobody closed: Python would say so."""
    command = [sys.executable, "-W", "error", "-c", PROGRAM, f"{scheme}:///{tmp_path}/store"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    ways = ("None", "ValueError('mine')", "CancelledError()")
    said = [f"{read} {way}" for read in ("plainly", "in_a_block") for way in ways]
    assert (ended.stderr, ended.stdout.splitlines(), ended.returncode) == ("", said, 0)


async def test_a_cancelled_reader_stops_the_run_and_is_cancelled() -> None:
    """A client that hangs up cancels the reader; the run must not go on for nobody."""
    step = Blocked()

    async def read() -> None:
        async for _ in stream(Pipeline("p").step("s", run=step)):
            pass

    async with asyncio.TaskGroup() as group:
        reader = group.create_task(read())
        await step.has_begun.wait()
        reader.cancel()
    assert (reader.cancelled(), step.was_stopped) == (True, True)


async def test_what_the_reader_raises_comes_out_as_it_is() -> None:
    """Not in a group, whatever drives the run."""
    step = Blocked()

    async def read() -> None:
        async with stream(Pipeline("p").step("s", run=step)) as events:
            async for event in events:
                if isinstance(event, StepStarted):
                    raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        await read()


async def test_a_stream_can_be_closed_from_elsewhere() -> None:
    """`aclosing` does so, and so does a server that shuts down; the reader then finds the end."""
    step = Blocked()
    async with aclosing(stream(Pipeline("p").step("s", run=step))) as events, asyncio.TaskGroup() as group:
        reader = group.create_task(_read_all(events))
        await step.has_begun.wait()
        await events.aclose()
    assert (reader.result(), step.was_stopped) == (["RunStarted", "StepStarted"], True)
    with pytest.raises(StreamError, match="read already"):
        await _read_all(events)


async def _read_all(events: AsyncIterator[object]) -> list[str]:
    return [kind(event) async for event in events]


async def test_the_run_does_not_wait_for_its_reader() -> None:
    """A slow page must not hold up the work, nor time it out."""
    async with stream(chain("a", "b", "c")) as events:
        assert kind(await anext(events)) == "RunStarted"
        await _ended(events)
        assert events.result.success
        assert (await _read_all(events))[-1] == "RunFinished"


async def test_of_an_answer_that_comes_faster_than_it_is_read_only_the_latest_text_is_kept() -> None:
    """What is unread does not grow with every word of every answer."""
    words = " ".join(["word"] * 1000)
    async with stream(Pipeline("p").step("s", "Greet"), model=ScriptedModel([words]), stream=True) as events:
        await anext(events)
        await _ended(events)
        read = [event async for event in events]
    texts = [event.notice for event in read if isinstance(event, AgentNoticed)]
    assert [notice for notice in texts if isinstance(notice, AnswerStreamed)] == [AnswerStreamed(words)]
    assert kind(read[-1]) == "RunFinished"


async def test_a_text_that_is_kept_stands_where_it_came() -> None:
    """Behind what happened before it, as the new beginning of an answer whose stream was cut."""

    async def answers(show: Callable[[object], None]) -> str:
        for event in (AnswerStreamed("De"), "asked again", AnswerStreamed("Dear")):
            show(event)
        return "Dear"

    async with RunStream(answers) as events:
        await _ended(events)
        assert [event async for event in events] == ["asked again", AnswerStreamed("Dear")]


async def _ended(events: RunStream[Any, Any]) -> None:
    """Return when there is a result."""
    while True:
        try:
            _ = events.result
        except StreamError:
            await asyncio.sleep(0)
        else:
            return


async def test_inside_a_block_reading_may_be_interrupted_and_go_on() -> None:
    """First the beginning, then all else."""
    async with stream(chain("a")) as events:
        first = await anext(events)
        async for event in events:
            second = event
            break
        rest = await _read_all(events)
        assert await _read_all(events) == []
    assert [kind(first), kind(second), *rest] == ["RunStarted", "StepStarted", "StepCompleted", "RunFinished"]


async def test_a_stream_is_read_once() -> None:
    """A second run would be a surprise, and an empty second reading as well."""
    events = stream(chain("a"))
    await _read_all(events)
    with pytest.raises(StreamError, match="read already"):
        await _read_all(events)
    with pytest.raises(StreamError, match="read already"):
        async with events:
            pass
    assert events.result.success


async def test_nothing_runs_before_the_events_are_read() -> None:
    """So a stream that is never read leaves nothing behind."""
    ran = []
    events = stream(Pipeline("p").step("s", run=lambda: ran.append(1)))
    await asyncio.sleep(0)
    with pytest.raises(StreamError, match="no result yet"):
        _ = events.result
    with pytest.raises(StreamError, match="not open"):
        await anext(events)
    await events.aclose()
    await events.aclose()
    assert (ran, events.run_id) == ([], "")


async def test_a_goal_is_read_like_a_pipeline() -> None:
    """What its agent does, and the text of its answer while it comes."""

    def search() -> str:
        """Search."""
        return "seven hills"

    model = ScriptedModel([[call("search")], "Seven hills"])
    events = stream("Describe Lisbon", model=model, tools=[search], stream=True)
    read: list[object] = [event async for event in events]
    assert isinstance(read[0], AgentStarted)
    assert AnswerStreamed("Seven hills") in read
    assert isinstance(read[-1], Finalized)
    assert events.result.output == "Seven hills"


async def test_a_goals_output_has_the_type_asked_for() -> None:
    """The same types as without a stream, for people and for mypy."""
    model = ScriptedModel([{"name": "Oslo", "people": 700_000}])
    async with stream("Describe Oslo", model=model, output_format=City) as events:
        await _read_all(events)
    city: City | None = events.result.output
    assert city == City(name="Oslo", people=700_000)


@pytest.mark.parametrize(
    ("option", "told"), [("only", "A goal is run as a whole"), ("labels", "A goal takes no labels")]
)
async def test_a_goal_takes_nothing_that_is_for_pipelines(option: str, told: str) -> None:
    """It is said in the same words as where nothing is read."""
    options: dict[str, Any] = {option: ["a"]}
    events = stream("Greet", model=ScriptedModel(["x"]), **options)
    with pytest.raises(ConfigurationError, match=told):
        await _read_all(events)


async def test_a_goals_error_is_raised_where_its_events_are_read() -> None:
    """A goal without an answer is an error there, too."""
    events = stream("Greet", model=ScriptedModel([ModelUnavailableError("scripted", "It is down.")]))
    with pytest.raises(ModelUnavailableError):
        await _read_all(events)


async def test_an_error_that_nobody_reads_any_more_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """Never silently; but without what it may say of the contents."""

    class Sulking:
        name = "sulking"
        context_tokens: int | None = None

        async def ask(self, request: ModelRequest) -> ModelReply:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise RuntimeError("private") from None
            raise AssertionError

    with caplog.at_level(logging.WARNING, "tagent"):
        async with stream("Greet", model=Sulking()) as events:
            async for event in events:
                if kind(event) == "ModelAsked":
                    await asyncio.sleep(0)
                    break
    assert "Work whose events nobody reads any more failed: RuntimeError" in caplog.text
    assert "private" not in caplog.text
