"""What waits for somebody's word, and how he gives it, in words. Pure: facts in, text out."""

from collections.abc import Iterator, Mapping, Sequence

from tagent.cli.commands import RunCommands
from tagent.cli.errors import printable
from tagent.cli.telling import bounded
from tagent.cli.times import brief_time_text
from tagent.cli.values import shortened
from tagent.pipeline.answering.documents import Answer, OpenApproval
from tagent.pipeline.answering.going_on import GoesOn
from tagent.pipeline.approval import VERDICTS, verdict
from tagent.pipeline.events import ApprovalAnswered, ApprovalRequested
from tagent.pipeline.journal.blobs import StoredOutput

MOST_ASKED = 20
"""So many questions are told at once; `tagent runs approvals` lists them all."""


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


def asked_and_how_to_answer(requests: Mapping[str, ApprovalRequested], commands: RunCommands) -> Iterator[str]:
    """Yield the lines that say what a run waits for, and once, behind it, what to type to answer that.

    Args:
        requests: Path of the step -> what is asked about it.
        commands: Those about the run.
    """
    for path, asked in list(requests.items())[:MOST_ASKED]:
        limit = until(asked)
        yield printable(f"  {path}: {what_is_asked(asked)}{f'  ({limit})' if limit else ''}")
        if asked.of == "output":
            output = asked.output
            yield f"    {bounded(shortened(output.excerpt if isinstance(output, StoredOutput) else output))}"
    if len(requests) > MOST_ASKED:
        yield f"  and {len(requests) - MOST_ASKED} more: {commands.approvals}"
    if requests:
        yield f"Answer {'it' if len(requests) == 1 else 'one STEP, or several'}:"
        of_output = any(asked.of == "output" for asked in requests.values())
        for command in _answers(list(requests), commands, of_output=of_output):
            yield printable(f"  {command}")
        if of_output and commands.meaning:
            yield f"  {commands.meaning}"


def _answers(paths: Sequence[str], commands: RunCommands, *, of_output: bool) -> Iterator[str]:
    """Yield what to type to answer what is asked about these steps; `of_output` if some may be edited."""
    is_one = len(paths) == 1
    step = paths[0] if is_one else "STEP"
    if of_output:
        yield commands.show(step)
    yield commands.approve(step if is_one else "STEP...")
    if not is_one:
        yield commands.approve("--all")
    if of_output:
        yield commands.approve(step, is_edited=True)
    yield commands.reject(step if is_one else "STEP...")


def who_goes_on(goes_on: GoesOn, commands: RunCommands) -> str:
    """Return who goes on with a run, or what to type so that it does.

    Example:
        >>> who_goes_on(GoesOn("driver", "pid 4711 on desk"), RunCommands("1f2e"))
        'The process that drives the run goes on with it (pid 4711 on desk).'
        >>> who_goes_on(GoesOn("nobody"), RunCommands("1f2e"))
        'Nobody drives the run. Go on with it: tagent runs resume 1f2e'
    """
    command = f"{commands.resume}{commands.alternative}"
    match goes_on.by:
        case "driver":
            return f"The process that drives the run goes on with it ({goes_on.process})."
        case "worker":
            return f"A worker goes on with the run ({goes_on.process})."
        case "nobody":
            return f"Nobody drives the run. Go on with it: {command}"
        case _:
            return f"The store does not tell who goes on with the run. If nobody does: {command}"
