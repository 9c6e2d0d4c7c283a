"""How large the run may become that a file tells of: a few bytes can stand for much of it."""

from tagent.pipeline.transfer.documents import RunImportError

MAX_PARTS = 1_000_000
"""Parts that all steps of a run may have together: an event of a few bytes makes as many as it says."""

MAX_INNER_STEPS = 200_000
"""Steps that the runs inside steps may have together: an event of a few bytes begins one of them."""

MAX_RECOUNTED = 5_000_000
"""Steps that may be counted anew: taking a run up, and changing it, goes through all that it has."""


class Sizes:
    """Counts what the events of a file make of it, those of inner runs included."""

    def __init__(self) -> None:
        self._parts = 0
        self._inner_steps = 0
        self._recounted = 0

    def add_parts(self, count: int) -> None:
        """Count the parts of a step.

        Raises:
            RunImportError: If they are too many together.
        """
        self._parts += count
        if self._parts > MAX_PARTS:
            raise RunImportError(f"its steps have more than {MAX_PARTS:,} parts together.")

    def add_inner_steps(self, count: int) -> None:
        """Count the steps of a run inside a step.

        Raises:
            RunImportError: If they are too many together.
        """
        self._inner_steps += count
        if self._inner_steps > MAX_INNER_STEPS:
            raise RunImportError(f"the runs inside its steps have more than {MAX_INNER_STEPS:,} steps together.")

    def recount(self, count: int) -> None:
        """Count the steps of a run that an event goes through.

        Raises:
            RunImportError: If that is too often.
        """
        self._recounted += count
        if self._recounted > MAX_RECOUNTED:
            raise RunImportError("it is taken up or changed so often that reading it would take too long.")
