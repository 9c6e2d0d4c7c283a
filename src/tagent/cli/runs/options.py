"""What the commands on runs share: their options, and how they look into the store."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

from tagent.cli.stores import with_store
from tagent.config import TAgentConfig
from tagent.ports import RunRecord, Services
from tagent.runtime import open_services

Result = TypeVar("Result")

store_option = click.option("--store", metavar="URL", help="Where the runs are kept, else sqlite:///.tagent/runs.db.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbose_option = click.option(
    "--verbose", is_flag=True, expose_value=False, help="Show a traceback when something goes wrong."
)


def look_at(store: str | None, look: Callable[[Services], Awaitable[Result]]) -> Result:
    """Return what `look` returns, given the services with the store to use."""
    return asyncio.run(with_services(with_store(TAgentConfig.load(), store), look))


async def with_services(config: TAgentConfig, look: Callable[[Services], Awaitable[Result]]) -> Result:
    """Return what `look` returns, given the services that `config` names."""
    async with open_services(config) as services:
        return await look(services)


def time_text(at: float) -> str:
    """Return a time as people and programs read it."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")


def listed(run: RunRecord, services: Services) -> dict[str, object]:
    """Return what lists show of a run, as JSON values."""
    is_left = run.status == "running" and (not run.owner or services.processes.is_gone(run.owner))
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "status": "interrupted" if is_left else run.status,
        "created_at": time_text(run.created_at),
        "updated_at": time_text(run.updated_at),
        "finished_at": None if run.finished_at is None else time_text(run.finished_at),
        "cost_usd": run.cost_usd,
    }
