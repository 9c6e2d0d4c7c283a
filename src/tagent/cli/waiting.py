"""What waits for somebody's word, and how he gives it, in words. Pure: facts in, text out."""

import shlex
from collections.abc import Iterator

from tagent.cli.errors import printable
from tagent.cli.stores import resume_command, without_password
from tagent.cli.telling import bounded
from tagent.cli.times import brief_time_text
from tagent.cli.values import shortened
from tagent.pipeline.answering.documents import Answer, OpenApproval
from tagent.pipeline.answering.going_on import GoesOn
from tagent.pipeline.approval import VERDICTS, verdict
from tagent.pipeline.events import ApprovalAnswered, ApprovalRequested
from tagent.pipeline.journal.blobs import StoredOutput


def what_is_asked(asked: OpenApproval | ApprovalRequested) -> str:
    """Return what somebody is asked about a step, in one line.

    Example:
        >>> what_is_asked(ApprovalRequested("refund", "start", 0, "", at=0.0))
        'May it start?'
    """
    plain = {"start": "May it start?", "output": "Is its output right?", "call": "May its call be made again?"}
    return bounded(asked.question) or plain[asked.of]


def until(asked: OpenApproval | ApprovalRequested) -> str:
    """Return until when somebody may answer, and what counts then; empty for ever.

    Example:
        >>> until(ApprovalRequested("refund", "start", 0, "", at=0.0, due_at=60.0, default="approve"))
        'until 1970-01-01T00:01:00Z, then approved'
    """
    return "" if asked.due_at is None else f"until {brief_time_text(asked.due_at)}, then {VERDICTS[asked.default]}"


def said(answered: ApprovalAnswered | Answer) -> str:
    """Return what somebody said, in one line.

    Example:
        >>> said(ApprovalAnswered("refund", False, at=0.0, actor="ana@desk", comment="Too late."))
        'rejected by ana@desk: Too late.'
        >>> said(ApprovalAnswered("refund", False, at=0.0, by_default=True))
        'rejected, as nobody answered in time'
    """
    what = verdict(is_approved=answered.is_approved)
    edited = " with another output" if answered.is_edited else ""
    who = f" by {answered.actor}" if answered.actor else ""
    who = ", as nobody answered in time" if answered.by_default else who
    return bounded(f"{what}{edited}{who}{f': {answered.comment}' if answered.comment else ''}")


def how_to_answer(run_id: str, path: str, store: str | None) -> tuple[str, str]:
    """Return what to type to approve, and to reject; no store is named for None."""
    what = f"{shlex.quote(run_id)} {shlex.quote(path)}{_named(store)}"
    return f"tagent runs approve {what}", f"tagent runs reject {what}"


def how_to_read(run_id: str, path: str, store: str | None) -> str:
    """Return what to type to read all of what a step gave; no store is named for None."""
    return f"tagent runs show {shlex.quote(run_id)} --step {shlex.quote(path)}{_named(store)}"


def _named(store: str | None) -> str:
    return f" --store {shlex.quote(without_password(store))}" if store else ""


def each_and_how_to_answer(run_id: str, path: str, asked: ApprovalRequested, store: str | None) -> Iterator[str]:
    """Yield the lines that say what a run waits for, and how that is answered."""
    limit = until(asked)
    yield printable(f"  {path}: {what_is_asked(asked)}{f'  ({limit})' if limit else ''}")
    approve, reject = how_to_answer(run_id, path, store)
    commands = [approve, reject]
    if asked.of == "output":
        output = asked.output
        yield f"    {bounded(shortened(output.excerpt if isinstance(output, StoredOutput) else output))}"
        commands = [how_to_read(run_id, path, store), approve, f"{approve} --output @FILE", reject]
    for command in commands:
        yield printable(f"    {command}")


def who_goes_on(goes_on: GoesOn, run_id: str, store: str | None) -> str:
    """Return who goes on with a run, or what to type so that it does.

    Example:
        >>> who_goes_on(GoesOn("driver", "pid 4711 on desk"), "1f2e", None)
        'The process that drives the run goes on with it (pid 4711 on desk).'
        >>> who_goes_on(GoesOn("nobody"), "1f2e", None)
        'Nobody drives the run. Go on with it: tagent runs resume 1f2e'
    """
    command = resume_command(run_id, store)
    match goes_on.by:
        case "driver":
            return f"The process that drives the run goes on with it ({goes_on.process})."
        case "worker":
            return f"A worker goes on with the run ({goes_on.process})."
        case "nobody":
            return f"Nobody drives the run. Go on with it: {command}"
        case _:
            return f"The store does not tell who goes on with the run. If nobody does: {command}"
