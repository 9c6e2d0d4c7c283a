"""What all works of steps have in common."""

from typing import Protocol, runtime_checkable

from tagent.pipeline.caching.keyed import Keyed
from tagent.pipeline.context import StepContext
from tagent.task_agent.attempt import Attempt
from tagent.threads import ThreadedCall


class StepWork(Protocol):
    """Something that an attempt does."""

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls of it that were given up and may still run."""
        ...

    async def run(self, attempt: Attempt) -> tuple[object, StepContext | None]:
        """Return what it gives, and the context that it asked for."""
        ...


@runtime_checkable
class KeyedWork(StepWork, Keyed, Protocol):
    """A work whose output may be used again."""
