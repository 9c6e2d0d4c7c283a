"""Why an approval cannot be answered."""

from collections.abc import Sequence
from datetime import UTC, datetime

from tagent.exceptions import nearest
from tagent.pipeline.answering.going_on import GoesOn
from tagent.pipeline.exceptions import PipelineError

MOST_NAMED = 10
"""So many open approvals a message names."""


class ApprovalAnsweredError(PipelineError):
    """Somebody else was faster, or the time for it was over: the approval has its answer.

    Attributes:
        run_id: The run.
        step: The step.
        is_approved: What the answer was.
        actor: Who gave it; empty if it is what counts when nobody does in time.
        at: When, in seconds since 1970-01-01 UTC.
        comment: What was said with it.
        goes_on: Who goes on with the run, which has not taken up the answer yet; None if it has, or has ended.

    Example:
        >>> str(ApprovalAnsweredError("1f2e", "refund", is_approved=False, actor="ana@desk", at=0.0))
        "The step 'refund' of run 1f2e was rejected already, by ana@desk at 1970-01-01T00:00:00+00:00."
    """

    code = "approval.answered"

    def __init__(
        self,
        run_id: str,
        step: str,
        *,
        is_approved: bool,
        actor: str,
        at: float,
        comment: str = "",
        goes_on: GoesOn | None = None,
    ) -> None:
        self.run_id = run_id
        self.step = step
        self.is_approved = is_approved
        self.actor = actor
        self.at = at
        self.comment = comment
        self.goes_on = goes_on
        what = "approved" if is_approved else "rejected"
        who = f"by {actor}" if actor else "as nobody had answered in time,"
        when = datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")
        hint = "" if goes_on is None else _what_follows(goes_on, run_id)
        super().__init__(f"The step {step!r} of run {run_id} was {what} already, {who} at {when}.", hint=hint)


def _what_follows(goes_on: GoesOn, run_id: str) -> str:
    """Return who goes on with a run that has its answer, or how somebody does."""
    match goes_on.by:
        case "driver":
            return f"The process that drives the run goes on with it ({goes_on.process})."
        case "worker":
            return f"A worker goes on with the run ({goes_on.process})."
        case _:
            told = "Nobody drives the run" if goes_on.by == "nobody" else "If nobody drives the run"
            return f"{told}: go on with it by resume({run_id!r}), or `tagent runs resume {run_id}`."


class ApprovalNotOpenError(PipelineError):
    """Nobody is asked about this step of the run now.

    Attributes:
        run_id: The run.
        step: The step.
        open: The steps of the run about which somebody is asked, each by its path.

    Example:
        >>> str(ApprovalNotOpenError("1f2e", "refnd", open=["refund"]))
        "The step 'refnd' of run 1f2e waits for no approval. Did you mean 'refund'? It waits for one of 'refund'."
    """

    code = "approval.not_open"

    def __init__(self, run_id: str, step: str, *, open: Sequence[str] = (), status: str = "") -> None:  # noqa: A002
        self.run_id = run_id
        self.step = step
        self.open = tuple(open)
        names = [*map(repr, self.open[:MOST_NAMED]), *(["..."] if len(self.open) > MOST_NAMED else [])]
        if status:
            hint = f"The run has ended: it is {status}."
        else:
            hint = f"It waits for one of {', '.join(names)}." if names else "No step of the run waits for one."
        message = f"The step {step!r} of run {run_id} waits for no approval.{nearest(step, self.open)}"
        super().__init__(message, hint=hint)


class ApprovalOutputError(PipelineError):
    """An output was given with an answer, and cannot take the place of what the step gave.

    Attributes:
        run_id: The run.
        step: The step.

    Example:
        >>> raise ApprovalOutputError("1f2e", "refund", "It is asked about before it starts.")
        Traceback (most recent call last):
        ...
        tagent.pipeline.answering.errors.ApprovalOutputError: The output of the step 'refund' of run 1f2e cannot be \
edited. It is asked about before it starts.
    """

    code = "approval.output"

    def __init__(self, run_id: str, step: str, why: str) -> None:
        self.run_id = run_id
        self.step = step
        super().__init__(f"The output of the step {step!r} of run {run_id} cannot be edited.", hint=why)
