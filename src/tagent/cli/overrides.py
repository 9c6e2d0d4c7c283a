"""Options that say the settings: the file with them, and over all of them which model and what the run may cost."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TypeVar

import click

from tagent.config import TAgentConfig

Returned = TypeVar("Returned")

config_option = click.option(
    "--config", "config_file", type=click.Path(path_type=Path), help="Settings from a TOML file."
)


def overrides_option(command: Callable[..., Returned]) -> Callable[..., Returned]:
    """Give a command the options, and what they say as `overrides`."""

    @click.option("--model", help="The model: provider:name, or embedded.  [default: see tagent --help]")
    @click.option(
        "--max-cost",
        type=click.FloatRange(min=0, min_open=True),
        metavar="USD",
        help="What the model calls of the run may cost, all steps together.",
    )
    @wraps(command)
    def with_overrides(*, model: str | None, max_cost: float | None, **options: object) -> Returned:
        asked = {"model": model or None, "max_cost_usd": max_cost}
        overrides = TAgentConfig.of({name: value for name, value in asked.items() if value is not None})
        return command(overrides=overrides, **options)

    return with_overrides
