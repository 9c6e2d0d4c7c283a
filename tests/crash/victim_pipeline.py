"""The pipeline that is killed: every kind of step, each of whose effects is on the log before it returns.

Its outputs depend on nothing but each other, so that two runs can be compared.
"""

import asyncio
import time
from typing import Literal

from pydantic import BaseModel

from crash.effects import folder, happened, is_held
from tagent import ToolContext
from tagent.pipeline import ExecutionMode, Pipeline, RetryPolicy, StepContext
from tagent.ports import ModelRequest
from tagent.testing import ScriptedModel

PRICE_USD = 0.25
"""Of each model call; a sum of them is exact."""

LOOKS = 6_000
"""How often a held step looks whether it may go on, every 10 ms: then it gives up, a parent that died opens nothing."""

PLAN = [
    {"tool_name": "look_up", "tool_args": {"word": "tea"}},
    {"tool_name": "look_up", "tool_args": {"word": "milk"}},
    {"tool_name": "count", "tool_args": {"text": "{{tasks.0.output.text}}"}},
]

CALLS = {
    ("research", "Planned"): "research.plan",
    ("research", 0): "look_up:tea",
    ("research", 1): "look_up:milk",
    ("research", 2): "count:tea, found",
    ("research", "Finalized"): "research.answer",
    ("title", "Finalized"): "title.answer",
}
"""Agent step and finishing event, or number of the task -> the effect of that call."""


class Size(BaseModel):
    """How much there is."""

    n: int
    unit: Literal["words", "cups"] = "cups"


COUNTED = ("left", "right", "far_right")
"""The steps that count themselves, at the same time, in the memory of their pipeline."""


def added(there: object, mine: object) -> object:
    """Return the sum of two numbers."""
    assert isinstance(there, int)
    assert isinstance(mine, int)
    return there + mine


def count_in(context: StepContext) -> None:
    """Count one more, when the step succeeds."""
    context.memory.pipeline.put("count", 1, merge=added)


def begun() -> list[int]:
    happened("begun")
    return [1, 2, 3]


async def measured(begun: list[int], context: StepContext) -> Size:
    happened("measured")
    context.save("unit", "cups")
    context.messages.broadcast("crash.measured", sum(begun))
    return Size(n=sum(begun))


async def flaky(measured: Size, context: StepContext) -> str:
    happened("flaky", context.attempt)
    context.messages.broadcast("crash.tried", context.attempt)
    if context.attempt < 3:
        raise ConnectionError("not yet")
    return f"{measured.n} {measured.unit} at attempt {context.attempt}"


async def left(flaky: str, context: StepContext) -> str:
    happened("left")
    count_in(context)
    await asyncio.sleep(0.002)
    return f"left of {flaky}"


async def middle(flaky: str) -> Size:
    await asyncio.sleep(0.001)
    happened("middle")
    return Size(n=len(flaky))


def right(flaky: str, context: StepContext) -> str:
    happened("right")
    count_in(context)
    time.sleep(0.001)
    return f"right of {flaky}"


def far_right(flaky: str, context: StepContext) -> str:
    time.sleep(0.002)
    happened("far_right")
    count_in(context)
    context.learn("longest", len(flaky))
    return flaky.upper()


async def gathered(left: str, middle: Size, right: str, far_right: str, context: StepContext) -> dict[str, object]:
    happened("gathered")
    for number in (1, 2):
        context.messages.send(f"run:{context.run_id}", number)
    try:
        for _ in range(LOOKS):
            if not is_held("gathered"):
                break
            await asyncio.sleep(0.01)
    except asyncio.CancelledError:
        (folder() / "was-stopped").touch()
        raise
    return {"all": [left, right, far_right], "n": middle.n, "long": "x" * 20_000}


def checked(gathered: dict[str, object], context: StepContext) -> bool:
    happened("checked")
    for _ in range(LOOKS):
        if not is_held("checked") or context.cancelled:
            break
        time.sleep(0.01)
    numbers = [context.messages.receive(source="run", timeout=0).data for _ in range(2)]
    return gathered["n"] == 21 and numbers == [1, 2]


async def look_up(word: str, context: ToolContext) -> dict[str, str]:
    """Look a word up."""
    await asyncio.sleep(0.001)
    happened(f"look_up:{word}")
    context.memory.pipeline.put(word, "found")
    context.messages.broadcast("crash.found", word)
    return {"text": f"{word}, found"}


def count(text: str) -> int:
    """Count letters."""
    happened(f"count:{text}")
    return len(text)


def answer(request: ModelRequest) -> object:
    """Answer by what is asked, in whatever order it is."""
    is_title = "Goal: Give" in request.messages[-1].content
    happened(f"{'title' if is_title else 'research'}.{request.purpose}")
    if request.purpose == "plan":
        return PLAN
    return Size(n=3, unit="words") if is_title else "tea has 10 letters"


async def printed(title: Size, research: str, checked: bool) -> str:  # noqa: FBT001 - an output, given by name
    happened("printed")
    return f"{title.n} {title.unit}: {research} ({checked})"


model = ScriptedModel(answer, cost_usd=PRICE_USD, seconds=0.001)
at_once = ExecutionMode.CONCURRENT
pipeline = (
    Pipeline("victim", shared_context={"place": "kitchen"})
    .step("begun", run=begun)
    .step("measured", run=measured)
    .step("flaky", run=flaky, retry=RetryPolicy(base_seconds=0.004, ceiling_seconds=0.008))
    .step("left", run=left, execution_mode=at_once)
    .step("middle", run=middle, execution_mode=at_once)
    .step("right", run=right, execution_mode=at_once)
    .step("far_right", run=far_right, execution_mode=at_once)
    .step("gathered", run=gathered)
    .step("checked", run=checked)
    .step("research", "Find what {left} needs", tools=[look_up, count], model=model, execution_mode=at_once)
    .step("title", "Give {research} a size", output_schema=Size, model=model)
    .step("printed", run=printed, depends_on=["right"])
)
