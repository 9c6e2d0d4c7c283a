"""What we use of a database driver (PEP 249), as far as it is the same for all."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol


class Cursor(Protocol):
    """Executes statements."""

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        ...

    def execute(self, statement: str, parameters: Mapping[str, object] | Sequence[object] = ..., /) -> object:
        """Execute a statement; whether its parameters have names, its text tells."""
        ...

    def executemany(self, statement: str, parameters: Sequence[Sequence[object]], /) -> object:
        """Execute a statement once for each set of parameters."""
        ...

    def fetchall(self) -> Sequence[Sequence[Any]]:
        """Return the rows that the last statement found."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class DriverConnection(Protocol):
    """A connection that commits each statement unless it was told to begin a transaction."""

    def cursor(self) -> Cursor:
        """Return a new cursor."""
        ...

    def commit(self) -> None:
        """Make the transaction durable; does nothing when none is open."""
        ...

    def rollback(self) -> None:
        """Undo the transaction; does nothing when none is open."""
        ...

    def close(self) -> None:
        """Disconnect."""
        ...
