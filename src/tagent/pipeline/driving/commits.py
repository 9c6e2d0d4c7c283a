"""What one run writes: events, with whatever else becomes true with them."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tagent.effects import EffectBuffer
from tagent.exceptions import StoreError
from tagent.payloads import PayloadError
from tagent.pipeline.events import PartCompleted, RunEvent, StepCompleted
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.journal.patience import PatientStore
from tagent.pipeline.persistence import Journal
from tagent.pipeline.step_executor import failed_by
from tagent.pipeline.work.large_outputs import LargeOutputs
from tagent.ports.effect_errors import EffectRefusedError
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.records import RunSummary
from tagent.ports.services import Services
from tagent.task_agent.models import Failure


class Commits:
    """Commits to the journal of one run. Large outputs leave memory with the commit that has them.

    Args:
        journal: The run's.
        large: Its large outputs.
        services: Its store and clock.
    """

    def __init__(self, journal: Journal, large: LargeOutputs, services: Services) -> None:
        self._journal = journal
        self._large = large
        self._services = services
        self._spare = EffectBuffer()

    def add(self, effects: EffectBuffer | None) -> None:
        """Have effects that can be done without, if there are any, be written with the next commit."""
        if effects is not None:
            self._spare.join(effects)

    def add_inside(self, effects: Effects) -> None:
        """Do the same with those of a pipeline inside a step."""
        self._spare.absorb(effects)

    async def commit(
        self, events: Sequence[RunEvent], summary: RunSummary | None = None, effects: Effects = NO_EFFECTS
    ) -> None:
        """Commit events and effects, all or nothing, and as far as there is room what can be done without.

        Raises:
            EffectRefusedError: If `effects` cannot be had; nothing is written.
            StoreError: If nothing could be written.
        """
        if not self._spare:
            self._large.committed(await self._journal.commit(events, summary, effects))
            return

        async def write(spare: Effects) -> Mapping[str, StoredOutput]:
            return await self._journal.commit(events, summary, effects.plus(spare))

        self._large.committed(await self._spare.write(self._services.store, write))
        self._spare = EffectBuffer()

    async def commit_alone(
        self, success: StepCompleted | PartCompleted, effects: EffectBuffer, *, then: Callable[[RunEvent], None]
    ) -> Failure | None:
        """Commit a success with effects that may be refused: what is decided on it could not be undone.

        Args:
            success: What happened; nobody has applied it yet.
            effects: What else becomes true.
            then: Applies it once it is written, before a large output of it leaves memory.

        Returns:
            Why they were refused, so that nothing is written; None if they were not.

        Raises:
            StoreError: If nothing could be written for another reason.
        """
        patient = PatientStore(self._services.store, self._services.clock)
        try:
            stored = await effects.write(patient, partial(self._write, success))
        except (EffectRefusedError, PayloadError) as error:
            return Failure(error.code, str(error), error.is_retryable)
        except StoreError:
            raise
        except Exception as error:  # noqa: BLE001 - a merge of the user's
            return failed_by(success.step, error).failure
        then(success)
        self._large.committed(stored)
        return None

    async def _write(self, event: RunEvent, effects: Effects) -> Mapping[str, StoredOutput]:
        return await self._journal.commit([event], effects=effects)
