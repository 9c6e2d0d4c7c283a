"""Events that nobody vouches for, each by itself: whether its facts can be.

The state trusts the events that its own engine wrote. Those of a file are held to what an engine would write; whether
one can follow those before it, `course_checks` says.
"""

from tagent.pipeline.events import (
    CONDITION,
    AgentProgressed,
    ApprovalAnswered,
    ApprovalRequested,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunForked,
    RunHalted,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepGiven,
    StepStarted,
)
from tagent.pipeline.nesting import MAX_DEPTH
from tagent.pipeline.transfer.documents import LATEST, RunImportError, require_name
from tagent.task_agent.events import TaskFailed, calls_of
from tagent.task_agent.models import ModelCall

MAX_ATTEMPTS = 1_000_000
MAX_TOKENS = 2**53
MAX_COST_USD = 1e12

HALTS = frozenset({"run.cancelled", "run.deadline", "run.fail_fast", "run.rollback"})

_OfAttempt = (
    StepStarted
    | AgentProgressed
    | InnerProgressed
    | StepCompleted
    | StepFailed
    | PartStarted
    | PartCompleted
    | PartFailed
    | ApprovalRequested
)


def require_sane(event: RunEvent, *, seq: int) -> None:
    """Refuse an event whose facts by themselves cannot be, or those of one inside it.

    Raises:
        RunImportError: If they cannot; it names the place `seq`.
    """
    _require_sane(event, seq=seq)
    for _ in range(MAX_DEPTH):
        if not isinstance(event, InnerProgressed):
            return
        event = event.event
        _require_moment(event.at, seq=seq)
        _require_inside(event, seq=seq)
        _require_sane(event, seq=seq)
    if isinstance(event, InnerProgressed):
        raise RunImportError(f"its event {seq} is of a pipeline more than {MAX_DEPTH} deep inside others.")


def _require_moment(at: object, *, seq: int) -> None:
    if type(at) not in {int, float} or not 0 <= at <= LATEST:  # type: ignore[operator]  # it is a number
        raise RunImportError(f"its event {seq} tells of something at no time.")


def _require_inside(event: RunEvent, *, seq: int) -> None:
    """Refuse what happens to runs, and never to one inside another."""
    if isinstance(event, RunForked) or (isinstance(event, RunResumed) and event.definition):
        raise RunImportError(f"its event {seq} is nothing that can happen in a run inside another.")


def _require_sane(event: RunEvent, *, seq: int) -> None:
    if isinstance(event, _OfAttempt):
        _require_sane_attempt(event, seq=seq)
    match event:
        case AgentProgressed():
            _require_sane_progress(event, seq=seq)
        case RunFinished() if event.status.value in {"running", "waiting"}:
            raise RunImportError(f"its event {seq} finishes the run as {event.status.value}.")
        case RunHalted() if event.code not in HALTS:
            raise RunImportError(f"its event {seq} halts the run for no known reason.")
        case PartCompleted() if event.part == CONDITION and not _is_verdict(event.output):
            raise RunImportError(f"its event {seq} does not say whether a condition holds.")
        case RunStarted():
            require_name(event.pipeline, what="its pipeline")
        case StepGiven() if event.source:
            require_name(event.source, what="the run that an output is from")
        case ApprovalRequested() | ApprovalAnswered():
            _require_sane_approval(event, seq=seq)
        case _:
            pass


def _require_sane_attempt(event: _OfAttempt, *, seq: int) -> None:
    number: object = event.attempt
    least = 0 if isinstance(event, StepFailed | ApprovalRequested) else 1
    if type(number) is not int or not least <= number <= MAX_ATTEMPTS:
        raise RunImportError(f"the attempt of its event {seq} is no number from {least} to {MAX_ATTEMPTS:,}.")
    if isinstance(event, StepFailed | PartFailed) and event.retry_at is not None and not 0 <= event.retry_at <= LATEST:
        raise RunImportError(f"the next attempt after its event {seq} is never due.")


def _require_sane_progress(event: AgentProgressed, *, seq: int) -> None:
    for call in calls_of(event.event):
        _require_sane_call(call, seq=seq)
    if isinstance(event.event, TaskFailed) and not 0 <= (event.event.retry_at or 0) <= LATEST:
        raise RunImportError(f"the next try after its event {seq} is never due.")


def _require_sane_call(call: ModelCall, *, seq: int) -> None:
    usage = call.usage
    counts = (usage.input_tokens, usage.output_tokens, usage.requests)
    if not all(0 <= count <= MAX_TOKENS for count in counts) or not 0 <= (call.cost_usd or 0.0) <= MAX_COST_USD:
        raise RunImportError(f"the usage or the price in its event {seq} cannot be.")


def _require_sane_approval(event: ApprovalRequested | ApprovalAnswered, *, seq: int) -> None:
    if isinstance(event, ApprovalAnswered):
        is_odd = (event.output is not None and not event.is_edited) or (event.is_edited and not event.is_approved)
    elif event.of == "start":
        is_odd = bool(event.attempt or event.facts or event.memories or event.effects or event.change)
        is_odd = is_odd or event.output is not None
    else:
        holds = event.facts or event.memories or event.effects or event.change or event.output is not None
        is_odd = not event.attempt or (event.of == "call" and bool(holds))
    if is_odd:
        raise RunImportError(f"its event {seq} asks or answers what nobody could.")
    at = event.said_at if isinstance(event, ApprovalAnswered) else event.due_at
    if at is not None and not 0 <= at <= LATEST:
        what = "asks is due" if isinstance(event, ApprovalRequested) else "answers was said"
        raise RunImportError(f"what its event {seq} {what} at no time.")


def _is_verdict(output: object) -> bool:
    if not isinstance(output, dict) or not isinstance(output.get("holds"), bool):
        return False
    return all(isinstance(output.get(name, ""), str) for name in ("code", "reason"))
