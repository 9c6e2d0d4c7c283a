"""How long a run has waited for people alone: no deadline counts that."""

from collections import defaultdict

from tagent.pipeline.state import PipelineState


class Standing:
    """The time in which a run in memory stood still. One that can be left pauses instead, and its journal says so.

    Args:
        state: The run's state; it is only read.

    Attributes:
        seconds: How long that was in all.
    """

    def __init__(self, state: PipelineState) -> None:
        self._state = state
        self._of_steps: defaultdict[str, float] = defaultdict(float)
        self.seconds = 0.0

    def note(self, seconds: float) -> None:
        """Note that the run has just stood still for so long, and what of it had begun."""
        self.seconds += seconds
        for name, record in self._state.steps.items():
            if record.opened_at is not None and not self._state.statuses[name].is_terminal:
                self._of_steps[name] += seconds

    def began_at(self, step: str) -> float | None:
        """Return from when the deadlines of a step count; None before it has begun."""
        opened_at = self._state.steps[step].opened_at
        return None if opened_at is None else opened_at + self._of_steps[step]
