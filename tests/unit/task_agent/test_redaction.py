"""What subscribers see of contents when a function decides it."""

import logging
from dataclasses import fields
from typing import get_args

import pytest

from agent_runs import call
from tagent import run_agent
from tagent.ports.effects import Effects
from tagent.ports.language_model import AnswerStreamed, ModelRetried, ModelSwitched, TokenUsage
from tagent.task_agent.events import (
    AgentEvent,
    AgentNotice,
    AgentStarted,
    BudgetExceeded,
    Evaluated,
    Finalized,
    ModelAsked,
    ModelFailed,
    Planned,
    PlanRejected,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
    ToolAsked,
)
from tagent.task_agent.models import ModelCall, Task
from tagent.task_agent.redaction import redacted
from tagent.testing import ScriptedModel

CALL = ModelCall("m", TokenUsage(1, 1, 1))
WORDS = "my private words"

EVENTS: tuple[AgentEvent | AgentNotice, ...] = (
    AgentStarted(has_tools=True, max_planning_cycles=1),
    Planned((Task(0, WORDS, "search", {"query": [WORDS]}),), CALL),
    PlanRejected(WORDS, CALL),
    TaskStarted(0, "search"),
    ToolAsked(0, CALL),
    TaskCompleted(0, {"found": WORDS}, 1.0, Effects(), "price"),
    TaskFailed(0, "tool.failed", WORDS),
    Evaluated(WORDS, WORDS, CALL),
    Finalized({"answer": WORDS}, CALL),
    ModelRetried("m", "model.unavailable", 1, 0.5),
    ModelSwitched("m", "model.unavailable", "n"),
    ModelFailed("model.unavailable", WORDS, is_retryable=True, call=CALL),
    BudgetExceeded("max_tokens", 1, 2),
    ModelAsked("plan", "m"),
    AnswerStreamed(WORDS),
)


def test_every_kind_of_event_is_looked_at() -> None:
    """One that is added later is tested too."""
    assert {type(event) for event in EVENTS} == {*get_args(AgentEvent), *get_args(AgentNotice)}


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_no_content_passes_and_the_structure_stays(event: AgentEvent | AgentNotice) -> None:
    """Who watches still sees how the work goes."""
    shown = redacted(event, lambda value: "***")
    assert WORDS not in repr(shown)
    assert type(shown) is type(event)
    kept = {"index", "code", "call", "seconds", "key", "tool_name", "model", "limit", "purpose"}
    assert all(getattr(shown, f.name) == getattr(event, f.name) for f in fields(event) if f.name in kept)


def test_an_agent_shows_what_the_function_lets_through() -> None:
    """Its own result stays whole."""

    def search(query: str) -> str:
        """Search."""
        return f"{query} found"

    shown: list[object] = []
    model = ScriptedModel([[call("search", query=WORDS)], f"{WORDS} indeed"])
    result = run_agent("g", model=model, tools=[search], stream=True, redact=lambda value: "***", on_event=shown.append)
    assert result.output == f"{WORDS} indeed"
    assert WORDS not in repr(shown)
    assert {type(event) for event in shown} >= {Planned, TaskCompleted, Finalized, ModelAsked}
    assert not any(isinstance(event, AnswerStreamed) for event in shown)  # beginnings of a text cannot be redacted


def test_a_subscriber_or_a_redaction_that_raises_does_no_harm(caplog: pytest.LogCaptureFixture) -> None:
    """And what could not be redacted is not shown."""

    def broken(value: object) -> object:
        raise ValueError("no")

    shown: list[object] = []
    with caplog.at_level(logging.ERROR, "tagent"):
        result = run_agent("g", model=ScriptedModel(["x"]), redact=broken, on_event=shown.append)
    assert (result.output, "Showing Finalized failed" in caplog.text) == ("x", True)
    assert not any(isinstance(event, Finalized) for event in shown)
