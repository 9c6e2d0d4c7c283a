"""A pipeline that fails and undoes what it did: one step after another is compensated, one cannot be."""

import asyncio

from crash.effects import done, folder, has_happened_here, held
from crash.flow_pipeline import LOOKS, soon
from crash.victim_pipeline import added, at_once
from tagent.pipeline import Pipeline, StepContext

MENDED = "mended"
"""The file with which the payment succeeds."""


def persons(context: StepContext) -> list[int]:
    done(context)
    return [1, 2, 3]


def hotel(persons: list[int], context: StepContext) -> str:
    done(context)
    context.memory.pipeline.put("booked", 1, merge=added)
    return f"H7 for {len(persons)}"


def no_hotel(hotel: str, context: StepContext) -> None:
    done(context)
    context.memory.pipeline.put("booked", -1, merge=added)
    if context.attempt < 2:
        raise ConnectionError(f"not yet {hotel}")


async def seats(item: int, context: StepContext) -> str:
    done(context)
    context.memory.pipeline.put("booked", 1, merge=added)
    return f"seat {item}"


async def no_seats(seats: list[str], hotel: str, context: StepContext) -> int:
    done(context)
    await asyncio.sleep(0.02)
    context.memory.pipeline.put("booked", -len(seats), merge=added)
    context.messages.broadcast("crash.undone", f"{hotel} {len(seats)}")
    return len(seats)


def tour(hotel: str, context: StepContext) -> str:
    done(context)
    return f"from {hotel}"


def no_tour(context: StepContext) -> None:
    done(context)
    raise ConnectionError("nobody answers")


async def visa(context: StepContext) -> str:
    done(context)
    await held("visa")
    return "stamped"


async def guide(visa: str, context: StepContext) -> str:
    """Take longer than the run."""
    done(context)
    for _ in range(LOOKS):
        if (folder() / MENDED).exists():
            return f"guided, {visa}"
        await asyncio.sleep(0.005)
    raise AssertionError("nobody has stopped it")


async def pay(tour: str, context: StepContext) -> str:
    """Fail when the guide is on his way, so that it is always the same that is stopped."""
    done(context)
    for _ in range(LOOKS):
        if (folder() / MENDED).exists():
            return f"paid {tour}"
        if has_happened_here("guide"):
            raise ConnectionError("the card is refused")
        await asyncio.sleep(0.005)
    raise AssertionError("there is no guide")


def thanks(pay: str, context: StepContext) -> str:
    done(context)
    return f"thanks, {pay}"


pipeline = Pipeline("trip", on_failure="rollback")
pipeline.step("persons", run=persons)
pipeline.step("hotel", run=hotel, compensate=no_hotel, retry=soon)
pipeline.step("seats", run=seats, for_each="persons", compensate=no_seats, depends_on=["hotel"])
pipeline.step("tour", run=tour, compensate=no_tour, max_retries=1, retry=soon, depends_on=["seats"])
pipeline.step("visa", run=visa, depends_on=["tour"])
pipeline.step("guide", run=guide, execution_mode=at_once)
pipeline.step("pay", run=pay, depends_on=["visa"], max_retries=1, retry=soon, execution_mode=at_once)
pipeline.step("thanks", run=thanks)
