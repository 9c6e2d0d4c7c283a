"""Who holds a run, on whose behalf, and whether that process still exists."""

from typing import Protocol


class ProcessTable(Protocol):
    """Names this process, and tells whether another one is gone.

    Example:
        >>> from tagent.adapters.processes import MachineProcesses
        >>> processes: ProcessTable = MachineProcesses()
        >>> processes.is_gone(processes.this_process())
        False
    """

    def this_process(self) -> str:
        """Return a text that names this process on this machine, and no other one before or after it."""
        ...

    def user(self) -> str:
        """Return who is behind this process, as `user@host`: the actor in a run's history."""
        ...

    def is_gone(self, name: str) -> bool:
        """Return True if the process of this name certainly no longer exists; False if it does or nobody can tell."""
        ...
