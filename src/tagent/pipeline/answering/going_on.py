"""Who goes on with a run once it has the word that it waited for."""

from pathlib import Path
from typing import Literal

from tagent.exceptions import StoreError
from tagent.pipeline.answering.documents import SCOPE
from tagent.pipeline.answering.workers import LivingWorker, living_workers
from tagent.pipeline.kinds import RunStatus
from tagent.pipeline.persistence import first_definition
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


LOOKS = 40
LOOK_SECONDS = 0.05
"""So often it is looked whether the process that drives a run has heard of an answer, and so long it is in between."""


async def who_goes_on(run_id: str, services: Services, *, key: str = "") -> GoesOn:
    """Return who goes on with the run; `unknown` if the store does not tell, as what was written counts all the same.

    Somebody who drives it may die the next moment, of course, and a worker may be busy for a while.

    Args:
        run_id: The run.
        services: Where it is.
        key: The approval that was answered. The process that drives the run may have been about to give it up, and
            not have looked again; so it is asked until it has taken the answer, for two seconds at most.
    """
    try:
        run = await services.store.run(run_id)
        owner = run.owner
        for _ in range(LOOKS if key else 1):
            if not _is_driven(run, services):
                break
            if not key or await services.store.document(SCOPE, key) is None:
                return GoesOn("driver", place_of_process(run.owner))
            await services.clock.sleep(LOOK_SECONDS)
            run = await services.store.run(run_id)
            owner = run.owner or owner
        else:
            return GoesOn("driver", place_of_process(owner))
        if key and run.finished_at is not None:  # whoever took the answer was done with the run before we looked
            owner = owner or ("" if services.store_url else services.processes.this_process())
            return GoesOn("driver", place_of_process(owner)) if owner else GoesOn("unknown")
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
