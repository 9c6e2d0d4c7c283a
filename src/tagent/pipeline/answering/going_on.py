"""Who goes on with a run once it has the word that it waited for."""

from pathlib import Path
from typing import Literal

from tagent.exceptions import StoreError
from tagent.pipeline.answering.workers import LivingWorker, living_workers
from tagent.pipeline.journal.loading import first_definition
from tagent.pipeline.kinds import RunStatus
from tagent.pipeline.stored.definition import Definition
from tagent.pipeline.stored.origins import is_goal
from tagent.ports.records import RunRecord
from tagent.ports.services import Services
from tagent.values import value

By = Literal["driver", "worker", "nobody", "unknown"]
"""The process that drives the run, a worker that takes it up, nobody until somebody resumes it; or it is not known."""


@value
class GoesOn:
    """Who goes on with a run.

    Attributes:
        by: Who.
        process: Where, for people: `pid 4711 on desk`; empty for nobody.

    Example:
        >>> GoesOn("driver", "pid 4711 on desk").by
        'driver'
    """

    by: By
    process: str = ""


async def who_goes_on(run_id: str, services: Services, *, driven_by: str = "") -> GoesOn:
    """Return who goes on with the run; `unknown` if the store does not tell, as what was written counts all the same.

    A process that drives the run hears of every answer that was written while it did: it gives the run up only if
    there is none. It may die the next moment, of course, and a worker may be busy for a while.

    Args:
        run_id: The run.
        services: Where it is.
        driven_by: Who drove it before it was answered; he may have taken the answer and be done with the run already.
    """
    try:
        run = await services.store.run(run_id)
        if _is_driven(run, services):
            return GoesOn("driver", place_of_process(run.owner))
        if run.finished_at is not None:
            return GoesOn("driver", place_of_process(driven_by)) if driven_by else GoesOn("unknown")
        for worker in await living_workers(services):
            if run.pipeline in worker.pipelines or await _can_load(worker, run, services):
                return GoesOn("worker", place_of_process(worker.process))
    except StoreError:
        if services.store_url:
            return GoesOn("unknown")
        # A store in memory ends with its run, which has ended now; for that somebody of this process has driven it.
        return GoesOn("driver", place_of_process(services.processes.this_process()))
    return GoesOn("nobody")


def _is_driven(run: RunRecord, services: Services) -> bool:
    """Return whether a process has the run in hand: one that gives up a run that waits drives it no more."""
    return run.status == RunStatus.RUNNING and bool(run.owner) and not services.processes.is_gone(run.owner)


async def _can_load(worker: LivingWorker, run: RunRecord, services: Services) -> bool:
    """Return whether a worker finds the code of a run that it was not given: it sees the files that we see."""
    if _host_of(worker.process) != _host_of(services.processes.this_process()):
        return False
    return _is_loadable(await first_definition(services.store, run.run_id))


def _is_loadable(definition: Definition) -> bool:
    file = definition.origin.file
    return Path(file).is_file() if file else is_goal(definition)


def place_of_process(name: str) -> str:
    """Return what people call a process.

    Example:
        >>> place_of_process("desk/4f2c/pid:[1] 4711 99281")
        'pid 4711 on desk'
        >>> place_of_process("worker-1")
        'worker-1'
    """
    match name.split(" "):
        case [host, pid, _] if pid.isdecimal():
            return f"pid {pid} on {host.split('/')[0]}"
        case _:
            return name


def _host_of(name: str) -> str:
    """Return the machine of a process, with its boot and its namespace of process numbers."""
    return name.partition(" ")[0]
