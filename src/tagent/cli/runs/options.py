"""What the commands on runs share: their options, and how they look into the store."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, TypeVar

import click

from tagent.cli.stores import store_url, without_password
from tagent.cli.tables import table_lines
from tagent.cli.times import time_text
from tagent.exceptions import TAgentError
from tagent.ports import RunRecord, Services
from tagent.ports.store_errors import UnknownRunError
from tagent.runtime import open_services, open_services_on

if TYPE_CHECKING:
    from tagent.config import TAgentConfig

__all__ = [
    "FINISHED",
    "LEAST",
    "INTERRUPTED",
    "RUNNING",
    "STATUSES",
    "WAITING",
    "counted",
    "json_option",
    "listed",
    "look_at",
    "run_table",
    "shown_status",
    "store_option",
    "time_text",
    "verbose_option",
    "with_its_store",
    "with_services",
]

_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.\d{3}\+00:00")

Result = TypeVar("Result")
Refused = TypeVar("Refused", bound=TAgentError)

LEAST = 4
"""Characters of an id that name its run, if no other one begins with them."""

RUNNING = "running"
INTERRUPTED = "interrupted"
"""What `running` is called when nobody drives the run any more."""

WAITING = "waiting"

FINISHED = ("completed", "partial", "failed", "cancelled")
"""How a run may have ended. Known by heart, as the pipeline takes long to import; a test compares."""

STATUSES = (RUNNING, INTERRUPTED, WAITING, *FINISHED)
"""Where lists may say that a run stands."""

WHERE_RUNS_ARE = (
    "Where the runs are kept.  [default: TAGENT_STORE, else the settings, else sqlite:///.tagent/runs.db; "
    "without tagent[persistence] file:///.tagent/runs]"
)

store_option = click.option("--store", metavar="URL", help=WHERE_RUNS_ARE)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
verbose_option = click.option(
    "--verbose", is_flag=True, expose_value=False, help="Show a traceback when something goes wrong."
)


def look_at(store: str | None, look: Callable[[Services], Awaitable[Result]]) -> Result:
    """Return what `look` returns, given the services with the store to use."""
    url = store_url(store)
    return asyncio.run(_given(open_services_on(url), look, url))


async def with_services(config: "TAgentConfig", look: Callable[[Services], Awaitable[Result]]) -> Result:
    """Return what `look` returns, given the services that `config` names."""
    return await _given(open_services(config), look, config.store)


async def _given(
    opening: AbstractAsyncContextManager[Services], look: Callable[[Services], Awaitable[Result]], url: str
) -> Result:
    try:
        async with opening as services:
            return await look(services)
    except UnknownRunError as error:
        raise with_its_store(error, url) from error


def with_its_store(error: Refused, url: str) -> Refused | UnknownRunError:
    """Return an error; one that there is no such run with the store that was looked in, and how much of an id does."""
    if not isinstance(error, UnknownRunError):
        return error
    looked = error.looked_for_in(without_password(url))
    if len(error.run_id) < LEAST:
        looked.hint = f"Of an id, {LEAST} characters or more do. {looked.hint}"
    return looked


def shown_status(run: RunRecord, services: Services) -> str:
    """Return where the run stands: what it says itself, or `interrupted` if nobody drives it any more."""
    is_left = run.status == RUNNING and (not run.owner or services.processes.is_gone(run.owner))
    return INTERRUPTED if is_left else run.status


def listed(run: RunRecord, services: Services) -> dict[str, object]:
    """Return what lists show of a run, as JSON values."""
    return {
        "run_id": run.run_id,
        "pipeline": run.pipeline,
        "status": shown_status(run, services),
        "created_at": time_text(run.created_at),
        "updated_at": time_text(run.updated_at),
        "finished_at": None if run.finished_at is None else time_text(run.finished_at),
        "cost_usd": run.cost_usd,
        "labels": dict(run.labels),
        "parent": run.parent or None,
    }


def counted(runs: int) -> str:
    """Return a number of runs in words.

    Example:
        >>> counted(1)
        '1 run'
    """
    return f"{runs} run" if runs == 1 else f"{runs} runs"


def run_table(found: Sequence[Mapping[str, object]]) -> Sequence[str]:
    """Return the lines of a table of runs; forks and labels have columns if any run has one."""
    columns = {"run": "run_id", "status": "status", "pipeline": "pipeline", "started": "created_at"}
    headers = [*columns, "cost"]
    rows = [[_brief(run[key]) for key in columns.values()] + [_cost_text(run)] for run in found]
    for header, values in {
        "forked from": [str(run["parent"] or "") for run in found],
        "labels": [_labels_text(run["labels"]) for run in found],
        "waits for approval of": [_approvals_text(run) for run in found],
    }.items():
        if any(values):
            headers.append(header)
            for row, value in zip(rows, values, strict=True):
                row.append(value)
    return list(table_lines(headers, rows))


def _cost_text(run: Mapping[str, object]) -> str:
    """Return what a run has cost; of one that was not left in order, what it had cost at least when it began."""
    is_open = run["status"] in (RUNNING, INTERRUPTED)
    return f"{'≥ ' if is_open else ''}${run['cost_usd']:.4f}"


def _labels_text(labels: object) -> str:
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items())) if isinstance(labels, dict) else ""


def _approvals_text(run: Mapping[str, object]) -> str:
    """Return what a run waits for: the first step, since and until when, the question, and how many more there are.

    Behind it stands the first answer that the run has not taken up.
    """
    asked, answered = run.get("approvals"), run.get("answered")
    told = []
    if isinstance(asked, list) and asked:
        first = asked[0]
        more = f" and {len(asked) - 1} more" if len(asked) > 1 else ""
        until = f" until {_brief(first['due_at'])}, then {first['then']}" if first["due_at"] else ""
        told.append(f"{first['step']}{more} since {_brief(first['at'])}{until}: {first['question']}")
    if isinstance(answered, list) and answered:
        first = answered[0]
        then = "" if run["status"] == RUNNING else "; resume the run"
        told.append(f"{first['step']} {first['said']} (at {_brief(first['at'])}){then}")
    return "; ".join(told)


def _brief(written: object) -> str:
    """Return what is written in a table, times to the second.

    Example:
        >>> _brief("2026-07-28T12:00:00.250+00:00")
        '2026-07-28T12:00:00Z'
    """
    return _TIME.sub(r"\1Z", str(written))
