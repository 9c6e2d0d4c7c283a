"""Functions that steps find by name: those whose outputs are kept, and the one of steps that other steps add."""

import asyncio
from contextvars import ContextVar
from typing import TYPE_CHECKING

from property.flow_plans import adder_of
from property.flow_values import output_of
from tagent.pipeline import StepContext

if TYPE_CHECKING:
    from property.flow_world import World

WORLD: ContextVar["World"] = ContextVar("WORLD")
"""The world in which they run."""


async def _computed(number: int) -> object:
    WORLD.get().computed[number] += 1
    for _ in range(3):
        await asyncio.sleep(0)
    return output_of(number, {})


async def kept_0(things: list[int]) -> object:
    """Return what the first work gives."""
    return await _computed(0)


async def kept_1(things: list[int]) -> object:
    """Return what the second work gives."""
    return await _computed(1)


async def kept_2(things: list[int]) -> object:
    """Return what the third work gives."""
    return await _computed(2)


async def kept_3(things: list[int]) -> object:
    """Return what the fourth work gives."""
    return await _computed(3)


KEPT = (kept_0, kept_1, kept_2, kept_3)


async def added(context: StepContext, seed: object = None, **outputs: object) -> object:
    """Return what a step gives that another one added."""
    world = WORLD.get()
    flow, place = world.known[context.step]
    change = flow.steps[adder_of(place)[1]].change
    assert change is not None
    await world.work(context, change.work)
    return output_of(place, outputs, seed)
