"""What a run is to do next: the words in which the scheduler speaks. Plain values."""

from tagent.pipeline.kinds import RunStatus
from tagent.values import value


@value
class JudgeStep:
    """Put on record what a step's condition comes to."""

    step: str
    holds: bool
    reason: str


@value
class AskApproval:
    """Ask somebody whether a step may start."""

    step: str


@value
class ExpandStep:
    """Have the parts of a step done, of which there are so many."""

    step: str
    count: int


@value
class StartStep:
    """Begin an attempt at a step."""

    step: str
    attempt: int


@value
class StartPart:
    """Begin an attempt at a part of a step."""

    step: str
    part: str
    attempt: int


@value
class WithdrawApproval:
    """Let a step go on that waits for a word for which its definition does not ask any more."""

    step: str


@value
class SubstituteStep:
    """Give a step that failed the output of another one; `by` is empty for its default."""

    step: str
    by: str


@value
class SkipStep:
    """Give a step up, because of what happened before it."""

    step: str
    code: str
    reason: str


@value
class FailStep:
    """Have a step fail without an attempt."""

    step: str
    code: str
    reason: str


@value
class CancelStep:
    """Stop a step, because the run ends."""

    step: str
    code: str
    reason: str


@value
class HaltRun:
    """Begin nothing any more, and stop what runs."""

    code: str
    reason: str
    step: str = ""


@value
class WaitUntil:
    """Nothing is due before this time, unless something running reports earlier."""

    at: float


@value
class PauseRun:
    """Nothing can move before somebody acts: gives an answer, or a larger budget."""

    code: str
    reason: str


@value
class FinishRun:
    """Every step has its final status."""

    status: RunStatus


Settling = JudgeStep | WithdrawApproval | SubstituteStep | SkipStep | FailStep | CancelStep | HaltRun
Start = ExpandStep | StartStep | StartPart
Command = Settling | AskApproval | Start | WaitUntil | PauseRun | FinishRun
