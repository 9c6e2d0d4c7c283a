"""The functions of the steps. They stand in a module of their own, as code that is found by name must."""

from collections.abc import Mapping

from benchmarks.flow.work import CHANGES, ITEMS
from tagent.pipeline import StepContext


async def one_more(previous: Mapping[str, int] | None) -> dict[str, int]:
    """Return the count of the round before plus one."""
    return {"n": 1 if previous is None else previous["n"] + 1}


async def first(n: int) -> dict[str, int]:
    """Return the count that the pipeline is given, plus one."""
    return {"n": n + 1}


async def second(first: Mapping[str, int]) -> dict[str, int]:
    """Return the first one's count plus one."""
    return {"n": first["n"] + 1}


async def third(second: Mapping[str, int]) -> dict[str, int]:
    """Return the second one's count plus one."""
    return {"n": second["n"] + 1}


async def one() -> dict[str, int]:
    """Return a value to add up."""
    return {"v": 1}


async def numbers() -> list[int]:
    """Return the items."""
    return list(range(ITEMS))


async def doubled(item: int) -> int:
    """Return twice the item."""
    return 2 * item


async def grown(context: StepContext) -> dict[str, int]:
    """Return how many steps there are so far, and add the next one unless these are all."""
    number = int(context.step.removeprefix("s"))
    if number < CHANGES:
        context.plan.step(f"s{number + 1}", run=grown, depends_on=[context.step])
    return {"n": number + 1}
