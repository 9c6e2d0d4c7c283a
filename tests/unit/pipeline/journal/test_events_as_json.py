"""Events as JSON, for a browser that watches a run."""

import json
from typing import get_args

from builders import run
from tagent import stream
from tagent.pipeline import Pipeline, event_json
from tagent.pipeline.events import AgentNoticed, RunEvent
from tagent.testing import ScriptedModel


def search(query: str) -> dict[str, str]:
    """Search."""
    return {"found": query}


async def test_every_event_of_a_stream_is_a_line_of_json() -> None:
    """That is what a server-sent event takes."""
    plan = [{"tool_name": "search", "tool_args": {"query": "tea"}}]
    model = ScriptedModel(lambda request: plan if request.purpose == "plan" else "two\nlines")
    pipeline = Pipeline("p").step("facts", run=lambda: {"hills": 7}).step("text", "Say {facts}", tools=[search])
    lines = [event_json(event) async for event in stream(pipeline, model=model)]
    told = [json.loads(line) for line in lines]
    assert not any("\n" in line for line in lines)
    assert (told[0]["kind"], told[0]["pipeline"], told[-1]["kind"], told[-1]["status"]) == (
        "RunStarted",
        "p",
        "RunFinished",
        "completed",
    )
    assert {"hills": 7} in [it["output"] for it in told if it["kind"] == "StepCompleted"]
    inside = [it["event"]["kind"] for it in told if it["kind"] == "AgentProgressed"]
    assert inside == ["AgentStarted", "Planned", "TaskStarted", "TaskCompleted", "Finalized"]
    assert next(it["notice"]["kind"] for it in told if it["kind"] == "AgentNoticed") == "ModelAsked"


async def test_the_events_of_a_goal_have_the_same_form() -> None:
    """One page may show both."""
    kinds = [json.loads(event_json(event))["kind"] async for event in stream("Say it", model=ScriptedModel(["x"]))]
    assert kinds[0] == "AgentStarted"
    assert kinds[-1] == "Finalized"


async def test_no_field_is_called_like_the_name_of_the_event() -> None:
    """It would overwrite it."""
    assert not [event for event in (*get_args(RunEvent), AgentNoticed) if "kind" in event.__dataclass_fields__]
    ran = await run(Pipeline("p").step("a", run=lambda: 1))
    assert [json.loads(event_json(it))["kind"] for it in ran.events] == [type(it).__name__ for it in ran.events]
