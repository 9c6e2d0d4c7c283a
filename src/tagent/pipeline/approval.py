"""What somebody has to say yes to: that a step starts, or that its output counts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

ApprovalOf = Literal["start", "output"]
"""What is approved of a step: that it starts, or what it gave."""

AskedOf = Literal["start", "output", "call"]
"""What somebody is asked about: also whether a call is made again that a crash cut off and that may have happened."""

ApprovalDefault = Literal["approve", "reject"]
"""What counts as the answer when nobody has given one in time."""

VERDICTS: Final[Mapping[ApprovalDefault, str]] = {"approve": "approved", "reject": "rejected"}
"""An answer -> what a step is after it."""


@dataclass(frozen=True, slots=True)
class Approval:
    """A word that a step waits for, durably: the process may end meanwhile.

    Attributes:
        of: `start` before anything of the step runs, or `output` before what it gave counts, and with that what the
            step itself learned, saved, wrote and sent. What its items, branches and rounds did, or the steps of the
            pipeline inside it, counts with their own success.
        question: What whoever decides is asked; placeholders as in a goal, and `{output}` for what the step gave.
            Empty for a plain question.
        timeout: Seconds until `default` counts as the answer; None means that it waits for ever.
        default: What counts as the answer when nobody has given one in time.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> ask = Approval(question="Refund {order.amount} EUR?", timeout=3600)
        >>> pipeline = Pipeline("refunds").step("order", run=lambda: {"amount": 40})
        >>> len(pipeline.step("refund", run=lambda order: order["amount"], approval=ask).steps)
        2
    """

    of: ApprovalOf = "start"
    question: str = ""
    timeout: float | None = None
    default: ApprovalDefault = "reject"


def verdict(*, is_approved: bool) -> str:
    """Return what a step is after a yes or a no, for people.

    Example:
        >>> verdict(is_approved=False)
        'rejected'
    """
    return VERDICTS["approve" if is_approved else "reject"]


def approval_of(given: object) -> Approval | None:
    """Return what the option `approval` of a step stands for: `True` and `"start"` for an `Approval()`; None for none.

    Raises:
        ValueError: If it is something else; validation says so first.

    Example:
        >>> approval_of("output")
        Approval(of='output', question='', timeout=None, default='reject')
    """
    if given is None or given is False:
        return None
    if isinstance(given, Approval):
        return given
    if given is True or given == "start":
        return Approval()
    if given == "output":
        return Approval("output")
    raise ValueError(f"{given!r} is no approval.")
