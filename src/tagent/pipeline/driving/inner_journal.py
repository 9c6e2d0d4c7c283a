"""The journal of a run inside a step: what happens there is written by the run around it, among its own events."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

from tagent.pipeline.events import RunEvent
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.records import RunSummary
from tagent.ports.store_errors import ConflictError
from tagent.task_agent.attempt import CommitInner


class InnerJournal:
    """Hands events on to the attempt that the run is the work of. It holds no claim: the run around it does.

    Attributes:
        run_id: The run inside.
        place: The way there, like `RUN/outer/2`. The run's id has more to it once it was undone.
        is_inner: True.

    Args:
        run_id: The run inside.
        place: The way there.
        commit: Commits its events.
    """

    is_inner = True

    def __init__(self, run_id: str, place: str, commit: CommitInner) -> None:
        self.run_id = run_id
        self.place = place
        self._commit = commit

    def hold(self, *, on_lost: Callable[[ConflictError], None]) -> None:
        """Do nothing: whoever loses the claim cancels the attempt."""

    def watched(self, group: asyncio.TaskGroup) -> AbstractContextManager[None]:  # noqa: ARG002 - like every journal
        """Watch nothing during the block: there is no claim to lose."""
        return nullcontext()

    async def release(self) -> None:
        """Do nothing: there is no claim to give up."""

    async def commit(
        self,
        events: Sequence[RunEvent],
        summary: RunSummary | None = None,  # noqa: ARG002 - lists show the run around it
        effects: Effects = NO_EFFECTS,
    ) -> Mapping[str, StoredOutput]:
        """Commit `events` together, with their effects; when this returns, they are what happened.

        Returns:
            Nothing: large outputs of a run inside a step stay in memory until that has ended.

        Raises:
            EffectRefusedError: If an effect cannot be had; nothing was written.
        """
        await self._commit(events, effects)
        return {}
