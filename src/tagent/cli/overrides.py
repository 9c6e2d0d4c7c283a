"""The options of `tagent run` that stand over all settings: which model, and what it may cost."""

from collections.abc import Callable
from functools import wraps
from typing import TypeVar

import click

from tagent.config import TAgentConfig

Returned = TypeVar("Returned")


def overrides_option(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Give a command the options, and what they say as `overrides`."""

    @click.option("--model", help="The model: provider:name, or embedded.")
    @click.option(
        "--max-cost",
        type=click.FloatRange(min=0, min_open=True),
        metavar="USD",
        help="What the model calls of each agent may cost.",
    )
    @wraps(command)
    def with_overrides(*, model: str | None, max_cost: float | None, **options: object) -> Returned:
        asked = {"model": model or None, "max_cost_usd": max_cost}
        overrides = TAgentConfig.of({name: value for name, value in asked.items() if value is not None})
        return command(overrides=overrides, **options)

    return with_overrides
