"""What the subscribers of a run are shown: events once they count, notices at once, contents as the user allows."""

import logging

import pytest

from agent_runs import call
from builders import Recorder, run
from tagent.pipeline import Pipeline
from tagent.pipeline.course.showing import Audience, redacted
from tagent.pipeline.events import (
    AgentNoticed,
    AgentProgressed,
    RunFinished,
    RunForked,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tagent.pipeline.models import RunStatus
from tagent.ports.language_model import AnswerStreamed
from tagent.task_agent.events import Finalized, ModelAsked
from tagent.task_agent.models import ModelCall
from tagent.testing import ScriptedModel

WORDS = "my private words"

EVENTS = (
    RunStarted("r", "p", {"a": WORDS}, {"b": WORDS}, 0.0),
    RunResumed(2, "ada", "hash", 0.0),
    RunForked("r", 3, "ada", {"inputs": WORDS}, 0.0),
    StepStarted("s", 1, "r/s", 0.0),
    AgentProgressed("s", 1, Finalized(WORDS, ModelCall("m")), 0.0),
    AgentNoticed("s", 1, AnswerStreamed(WORDS), 0.0),
    StepCompleted("s", 1, [WORDS], 0.0, {"fact": WORDS}, {"memory": WORDS}),
    StepFailed("s", 1, "step.failed", WORDS, None, 0.0),
    StepSkipped("s", "upstream_failed", WORDS, 0.0),
    RunFinished(RunStatus.FAILED, 0.0, "run.crash_loop", WORDS),
)


def search() -> str:
    """Search."""
    return WORDS


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_no_content_passes_the_redaction(event: StepCompleted) -> None:
    """Whatever kind of event holds it; names, codes and times stay."""
    shown = redacted(event, lambda value: "***")
    assert WORDS not in repr(shown)
    assert (type(shown), shown.at) == (type(event), event.at)


async def test_subscribers_see_what_an_agent_does_right_now_and_the_journal_does_not() -> None:
    """The live view lives on it; a resume does not need it."""
    sink = Recorder()
    pipeline = Pipeline("p", config={"stream": True}).step("s", "Find it", tools=[search])
    model = ScriptedModel([[call("search")], "found it here"])
    ran = await run(pipeline, sinks=(sink,), model=model)
    shown: list[object] = list(sink.events)
    notices = [event.notice for event in shown if isinstance(event, AgentNoticed)]
    assert notices == [
        ModelAsked("plan", "scripted"),
        ModelAsked("answer", "scripted"),
        AnswerStreamed("found"),
        AnswerStreamed("found it"),
        AnswerStreamed("found it here"),
    ]
    assert ran.result.final_output == "found it here"


async def test_a_run_is_shown_redacted_and_comes_to_the_same() -> None:
    """Only subscribers are kept from the contents."""
    sink = Recorder()
    pipeline = Pipeline("p", config={"redact": lambda value: "***"})
    pipeline.step("s", "Find it", tools=[search]).step("t", run=lambda s: s)
    model = ScriptedModel([[call("search")], WORDS])
    ran = await run(pipeline, sinks=(sink,), model=model)
    assert ran.result.step_outputs == {"s": WORDS, "t": WORDS}
    assert WORDS not in repr(sink.events)
    assert any(isinstance(event, StepCompleted) and event.output == "***" for event in sink.events)


def test_what_cannot_be_redacted_is_not_shown(caplog: pytest.LogCaptureFixture) -> None:
    """Rather nothing than the secret."""

    def broken(value: object) -> object:
        raise ValueError("no")

    sink = Recorder()
    with caplog.at_level(logging.ERROR, "tagent"):
        Audience((sink,), broken).show(StepCompleted("s", 1, WORDS, 0.0))
    assert (list(sink.events), "The redaction failed on StepCompleted" in caplog.text) == ([], True)
