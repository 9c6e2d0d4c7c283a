"""A pipeline of all that decides what runs: conditions, items, branches, fallbacks, soft and checked dependencies.

However it is killed it comes to the same. What each part does is on the log under the name of its idempotency key.
"""

import asyncio
import re

from pydantic import BaseModel

from crash.effects import done, happened, has_happened_here, held, points
from crash.victim_pipeline import PRICE_USD, added, at_once
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Fallback, Pipeline, RetryPolicy, StepContext
from tagent.ports import ModelRequest
from tagent.testing import ScriptedModel

ASKED = frozenset({"blurbs"})
"""The steps whose items are goals: each is one model call."""

BLIND = frozenset({"digest"})
"""What sees another output when it begins anew than when it goes on; no other step reads it."""

LOOKS = 6_000
"""How often a step looks for what it waits for, every 5 ms: in a run that died with its parent it gives up."""

soon = RetryPolicy(base_seconds=0.003, ceiling_seconds=0.006)


class Line(BaseModel):
    """What was ordered."""

    article: str
    count: int


class Order(BaseModel):
    """All that was ordered."""

    lines: list[Line]
    total: int


def order(context: StepContext) -> Order:
    done(context)
    counts = {"tea": 2, "milk": 1, "salt": 0, "flour": 4, "eggs": 6}
    return Order(lines=[Line(article=it, count=n) for it, n in counts.items()], total=sum(counts.values()))


def large(order: Order, context: StepContext) -> str:
    done(context)
    return f"{order.total} pieces"


def never(context: StepContext) -> str:
    done(context)
    raise AssertionError("It was left out.")


def is_fragile(order: Order, context: StepContext) -> bool:
    done(context)
    if context.attempt < 2:
        raise ConnectionError("not yet")
    return order.lines[-1].article == "eggs"


def is_heavy(order: Order, context: StepContext) -> bool:
    done(context)
    return order.total > 100


def is_known(output: Order, context: StepContext) -> bool:
    done(context)
    return output.total == 13


async def padded(context: StepContext) -> str:
    done(context)
    return "with straw"


async def packed(item: Line, index: int, context: StepContext) -> str:
    done(context)
    context.memory.pipeline.put("packed", 1, merge=added)
    context.messages.broadcast("crash.packed", item.article)
    if item.count == 0:
        raise ConnectionError("there is none")
    if item.count == 1 and context.attempt < 3:
        raise ConnectionError("not yet")
    await asyncio.sleep(0.001)
    return f"{index}: {item.count} x {item.article}"


def front(order: Order, context: StepContext) -> int:
    done(context)
    context.save("front", order.total)
    return order.total


async def back(context: StepContext, large: str = "nothing") -> str:
    done(context)
    if context.attempt < 2:
        raise ConnectionError("not yet")
    context.learn("back", large)
    return f"back of {large}"


def labelled(parts: dict[str, object]) -> str:
    happened("labels")
    return f"{parts['front']}, {parts['back']}"


def rate(context: StepContext) -> float:
    done(context)
    raise ConnectionError("nobody answers")


def no_answer(context: StepContext) -> str:
    done(context)
    raise ConnectionError("nobody answers")


def old_rate(order: Order, context: StepContext) -> float:
    done(context)
    return order.total / 4


def price(rate: float, weather: str, context: StepContext) -> str:
    done(context)
    return f"{rate} when it is {weather}"


async def late(order: Order, context: StepContext) -> str:
    """Come when the digest has begun without it, and before that ends."""
    done(context)
    for _ in range(LOOKS):
        if has_happened_here("digest"):
            return f"news of {order.total}"
        await asyncio.sleep(0.005)
    raise AssertionError("there is no digest")


async def digest(context: StepContext, late: str = "no news", advert: str = "no advert") -> str:
    done(context)
    await asyncio.sleep(0.03)
    points.passed("digest.behind_late")
    await held("digest")
    return f"{late} and {advert}"


def notice(context: StepContext, advert: str = "no advert", large: str = "nothing") -> str:
    done(context)
    return f"{advert} for {large}"


def bill(parts: dict[str, object]) -> dict[str, object]:
    happened("bill")
    return {"paid": parts["price"], "long": "x" * 20_000}


def sent(packed: list[str], labels: str, bill: dict[str, object], blurbs: list[str], context: StepContext) -> str:
    done(context)
    return f"{packed} {labels} {bill['paid']} {blurbs}"


def answer(request: ModelRequest) -> str:
    """Answer by the number of the item."""
    found = re.search(r'name="index">(\d)<', request.messages[-1].content)
    assert found
    happened(f"blurbs/{found[1]}.answer")
    return f"number {found[1]} is good"


pipeline = Pipeline("flow", default_mode=at_once, final="sent")
pipeline.step("order", run=order)
pipeline.step("large", run=large, condition="steps.order.total > 5")
pipeline.step("small", run=never, condition="steps.order.total < 5")
pipeline.step("padded", run=padded, condition=is_fragile, retry=soon)
pipeline.step("hoisted", run=never, condition=is_heavy)
pipeline.step(
    "accepted", run=padded, depends_on=[Dependency("order", DependencyType.VALIDATION, check=is_known)], retry=soon
)
pipeline.step("packed", run=packed, for_each="order.lines", max_concurrency=2, min_success=4, max_retries=2, retry=soon)
pipeline.step(
    "blurbs", "Praise number {index}", for_each="order.lines", model=ScriptedModel(answer, cost_usd=PRICE_USD)
)
pipeline.step("labels", branches={"front": front, "back": back}, merge=labelled, retry=soon)
pipeline.step("rate", run=rate, depends_on=["order"], max_retries=1, retry=soon, on_error="old_rate")
pipeline.step("old_rate", run=old_rate)
pipeline.step("weather", run=no_answer, max_retries=1, retry=soon, on_error=Fallback(output="dry"))
pipeline.step("price", run=price)
pipeline.step("advert", run=no_answer, max_retries=0, optional=True)
pipeline.step("notice", run=notice, depends_on=[Dependency("advert", DependencyType.SOFT, wait_seconds=60.0)])
pipeline.step("late", run=late)
pipeline.step("digest", run=digest, depends_on=[Dependency("late", DependencyType.SOFT, wait_seconds=0.005)])
pipeline.step("bill", merge=bill, depends_on=["price"], execution_mode=ExecutionMode.PARALLEL_MERGE)
pipeline.step("sent", run=sent, depends_on=["padded", "accepted", "notice"])
