"""What the cache has to be told of a work, so that its output may be used again."""

from typing import Protocol

from tagent.task_agent.attempt import Attempt


class Keyed(Protocol):
    """Something of which it can be told whether another one is the same, and reads the same."""

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
            TAgentError: If something is not there; as to do it would.
        """
        ...
