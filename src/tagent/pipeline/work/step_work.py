"""What all works of steps have in common."""

from typing import Protocol, runtime_checkable

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
class KeyedWork(StepWork, Protocol):
    """A work of which it can be told whether another one is the same, so that its output may be used again."""

    @property
    def is_whole(self) -> bool:
        """Whether all of it happened in the last attempt: what was done in an earlier one, nobody has seen."""
        ...

    async def made_of(self) -> object:
        """Return its code, texts, settings, models and tools, as JSON values.

        Raises:
            UnkeyableError: If something of it cannot be looked at.
            ModelError: If a model cannot be had.
        """
        ...

    async def reads(self, attempt: Attempt) -> object:
        """Return the data that it reads in an attempt, as JSON values.

        Raises:
            TAgentError: If something is not there; as `run` would.
        """
        ...
