"""`Leftovers`: runs that nobody drives, and the code to go on with them."""

import logging

from tagent.exceptions import TAgentError
from tagent.pipeline.journal.loading import first_definition
from tagent.pipeline.journal.paging import every_run
from tagent.pipeline.models import Pipeline, RunStatus
from tagent.pipeline.stored.origins import code_of
from tagent.ports.records import RunQuery, RunRecord
from tagent.ports.services import Services
from tagent.ports.store_errors import ConflictError, RunHeldError, StoreUnavailableError, UnknownRunError
from tagent.worker.approvals import Answers, Word
from tagent.worker.crew import Crew
from tagent.worker.status import note

OPEN = RunQuery(statuses=(RunStatus.RUNNING.value,))
"""Not those that wait: somebody is to let them go on. Those of which he has said so are found by their approvals."""


class Leftovers:
    """Takes up runs whose driver is gone, and runs that waited for somebody who has answered, or whose time is over.

    Args:
        services: Where the runs are.
        crew: Drives them.
        pipelines: Name -> the pipeline to go on with; of others the file is loaded that the run remembers.
    """

    def __init__(self, services: Services, crew: Crew, pipelines: dict[str, Pipeline]) -> None:
        self._store = services.store
        self._clock = services.clock
        self._processes = services.processes
        self._crew = crew
        self._pipelines = pipelines
        self._loaded: dict[str, Pipeline] = {}
        self._held_until: dict[str, float] = {}
        self._left_at: dict[str, int] = {}
        self._answers = Answers(services)

    def due_at(self) -> float:
        """Return when the next approval is due, so that its run goes on; infinite for never."""
        return self._answers.due_at()

    async def take_up(self) -> None:
        """Take up the oldest runs that nobody drives, as long as there is room.

        Raises:
            StoreUnavailableError: If the store cannot be reached.
        """
        found = [run async for run in every_run(self._store, OPEN)]
        words = await self._answers.found()
        ids = {run.run_id for run in found} | {word.run_id for word in words}
        driven = self._crew.run_ids()
        self._held_until = {run_id: at for run_id, at in self._held_until.items() if run_id in ids}
        self._left_at = {run_id: epoch for run_id, epoch in self._left_at.items() if run_id in ids}
        for run in reversed(found):
            if not self._crew.has_room:
                return
            if run.run_id not in driven and self._is_open(run):
                await self._take_up(run)
        for word in words:
            if not self._crew.has_room:
                return
            if word.run_id not in self._crew.run_ids():
                await self._go_on(word)

    async def _go_on(self, word: Word) -> None:
        """Take up the run that waited for this word, unless another one does."""
        try:
            run = await self._store.run(word.run_id)
        except UnknownRunError:  # it is deleted, or the approval was made up
            self._answers.settle(word)
            return
        if run.status == RunStatus.WAITING and self._is_open(run) and await self._take_up(run):
            self._answers.settle(word)

    def _is_open(self, run: RunRecord) -> bool:
        if self._left_at.get(run.run_id) == run.epoch:
            return False
        is_held = run.owner and self._clock.now() < self._held_until.get(run.run_id, 0.0)
        return not is_held or self._processes.is_gone(run.owner)

    async def _take_up(self, run: RunRecord) -> bool:
        """Take a run up; False if somebody else has it now."""
        try:
            await self._crew.resume(run.run_id, await self._code_of(run))
        except RunHeldError as error:
            self._held_until[run.run_id] = self._clock.now() + error.seconds_left
            return False
        except StoreUnavailableError:
            raise
        except ConflictError:
            return False  # another worker was faster
        except TAgentError as error:
            self._left_at[run.run_id] = (await self._store.run(run.run_id)).epoch
            message = f"{run.pipeline} {run.run_id} cannot be resumed: {error}"
            note(
                "run_not_resumable",
                message,
                level=logging.WARNING,
                run_id=run.run_id,
                pipeline=run.pipeline,
                code=error.code,
            )
        return True

    async def _code_of(self, run: RunRecord) -> Pipeline:
        if run.pipeline in self._pipelines:
            return self._pipelines[run.pipeline]
        if run.definition_hash not in self._loaded:
            stored = await first_definition(self._store, run.run_id)
            hint = "Start a worker with the file that defines it."
            self._loaded[run.definition_hash] = code_of(stored, run_id=run.run_id, hint=hint)
        return self._loaded[run.definition_hash]
