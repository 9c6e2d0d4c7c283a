"""Where a step of a run stands, in the words of one row. Pure: state and time in, text out."""

from tagent.cli.times import age_text
from tagent.cli.waiting import said, what_is_asked
from tagent.pipeline.approval import VERDICTS
from tagent.pipeline.course.records import PartRecord, StepRecord, WorkRecord
from tagent.pipeline.course.timers import ATTEMPT, PATIENCE
from tagent.pipeline.events import ASIDE, BY_HAND, COMPENSATION, CONDITION, ROUNDS, ApprovalRequested, PartFailed
from tagent.pipeline.models import StepStatus
from tagent.pipeline.rules import route_taken
from tagent.pipeline.state import PipelineState

SIGNS = {
    StepStatus.PENDING: ("○", "dim"),
    StepStatus.RUNNING: ("●", "cyan"),
    StepStatus.WAITING: ("↻", "yellow"),
    StepStatus.COMPLETED: ("✓", "green"),
    StepStatus.SKIPPED: ("⊘", "dim"),
    StepStatus.FAILED: ("✗", "red"),
    StepStatus.CANCELLED: ("⊘", "yellow"),
    StepStatus.COMPENSATED: ("↩", "yellow"),
}


ASKED = ("?", "yellow")
"""The sign of a step that waits for somebody's approval."""

CUT_OFF = ("◌", "yellow")
"""The sign of a step that would run if somebody drove its run."""


def sign_of(state: PipelineState, name: str, *, is_asked: bool, cut_off: str = "") -> tuple[str, str]:
    """Return the sign of a step and its style.

    Args:
        state: The run's state.
        name: The step. One of whose parts something runs is at work, whatever its status.
        is_asked: Whether it waits for somebody's word.
        cut_off: What steps at work are called while nobody drives the run; empty if somebody does.
    """
    if is_asked:
        return ASKED
    if _is_at_work(state, name):
        return CUT_OFF if cut_off else SIGNS[StepStatus.RUNNING]
    return SIGNS[state.statuses[name]]


def sign_of_part(part: PartRecord, *, is_asked: bool, cut_off: str = "") -> tuple[str, str]:
    """Return the sign of an item, a branch or a round and its style; `cut_off` as for `sign_of`."""
    if is_asked:
        return ASKED
    return CUT_OFF if cut_off and part.status is StepStatus.RUNNING else SIGNS[part.status]


def _is_at_work(state: PipelineState, name: str) -> bool:
    has_parts_at_work = any(step == name for step, _ in state.running_parts) if state.running_parts else False
    return has_parts_at_work or state.statuses[name] is StepStatus.RUNNING


def standing(
    state: PipelineState, name: str, *, now: float, doing: str = "", max_attempts: int = 1, cut_off: str = ""
) -> str:
    """Return what is to be said of a step besides its name.

    Args:
        state: The run's state.
        name: The step.
        now: The time, in seconds since 1970-01-01 UTC.
        doing: What its agent does.
        max_attempts: How often it is tried at most.
        cut_off: What steps at work are called while nobody drives the run; empty if somebody does.
    """
    record = state.steps[name]
    if name in state.asked:
        return of_approval(state.asked[name], now)
    if cut_off and _is_at_work(state, name):
        return _joined(cut_off, counted_parts(state, name) if record.count else "")
    match state.statuses[name]:
        case StepStatus.PENDING:
            return _not_begun(state, name, now=now, doing=doing)
        case StepStatus.RUNNING:
            merging = "merging" if record.count and record.parts_of != ROUNDS else ""
            began_at = record.attempt_began_at if record.count else record.started_at
            return _joined(_since(began_at, now), _inside(state, name), merging, doing)
        case StepStatus.WAITING:
            return _waiting(state, name, now=now, doing=doing, max_attempts=max_attempts)
        case StepStatus.COMPLETED:
            return _completed(state, name, doing=doing)
        case StepStatus.COMPENSATED:
            return "undone"
        case _:
            return record.reason


def of_approval(asked: ApprovalRequested, now: float) -> str:
    """Return what is to be said of a step that waits for somebody's word: since when, the question, how much longer.

    Example:
        >>> of_approval(ApprovalRequested("refund", "start", 0, "Refund 40 EUR?", at=0.0, due_at=7200.0), now=60.0)
        '    60s  waits for approval: Refund 40 EUR?  119m left, then rejected'
    """
    since = f"{age_text(max(0.0, now - asked.at)):>7}"
    return _joined(since, f"waits for approval: {what_is_asked(asked)}", _left(asked, now))


def _left(asked: ApprovalRequested, now: float) -> str:
    """Return how much longer somebody may answer, and what counts then; empty for ever."""
    if asked.due_at is None:
        return ""
    left = "no time" if asked.due_at <= now else age_text(asked.due_at - now)
    return f"{left} left, then {VERDICTS[asked.default]}"


def of_record(part: PartRecord, *, now: float, doing: str = "") -> str:
    """Return what is to be said of an item, a branch or a round besides its name.

    Args:
        part: What is known of it.
        now: The time, in seconds since 1970-01-01 UTC.
        doing: What goes on inside it.

    Example:
        >>> done = PartRecord(status=StepStatus.COMPLETED, started_at=0.0, finished_at=2.0, cached=True)
        >>> of_record(done, now=9.0)
        '   2.0s  from the cache'
    """
    seconds = f"{part.seconds:6.1f}s" if part.status.is_terminal else _since(part.started_at, now)
    inside = "" if part.inner is None else counted_inside(part.inner)
    return _joined(seconds, inside, doing, "from the cache" if part.cached else "", _spent(part), part.reason)


def of_failed_part(event: PartFailed) -> str:
    """Return what is to be said of a part that failed.

    Example:
        >>> of_failed_part(PartFailed("fetch", "7", 1, "step.failed", "It broke.", retry_at=4.5, at=4.0))
        "part '7' is tried again in 0.5s: It broke."
    """
    what = {CONDITION: "condition", COMPENSATION: "compensation"}.get(event.part, f"part {event.part!r}")
    again = "failed" if event.retry_at is None else f"is tried again in {event.retry_at - event.at:.1f}s"
    return f"{what} {again}: {event.reason}"


def parts_done(state: PipelineState, name: str) -> tuple[int, int]:
    """Return how many parts of a step have completed, and how many have failed, while they are done."""
    count, queue = state.steps[name].count or 0, state.queues.get(name)
    if queue is None or state.steps[name].parts_of == ROUNDS:
        statuses = [it.status for part, it in state.steps[name].parts.items() if part not in ASIDE]
        return statuses.count(StepStatus.COMPLETED), statuses.count(StepStatus.FAILED)
    return count - len(queue.waiting) - len(queue.running) - len(queue.resting) - queue.failures, queue.failures


def counted_parts(state: PipelineState, name: str) -> str:
    """Return how far the parts of a step are, like `12/1000 parts, 1 failed` or `round 2 of at most 5`."""
    completed, failed = parts_done(state, name)
    if state.steps[name].parts_of == ROUNDS:
        return _counted_rounds(state, name, completed)
    return f"{completed}/{state.steps[name].count or 0} parts{f', {failed} failed' if failed else ''}"


def _counted_rounds(state: PipelineState, name: str, completed: int) -> str:
    most = state.steps[name].count or 0
    if state.statuses[name] is StepStatus.WAITING and completed < most:
        return f"round {completed + 1} of at most {most}"
    return f"{completed} of at most {most} rounds"


def of_given(source: str) -> str:
    """Return what is said of an output that is of no step of the run.

    Example:
        >>> of_given("by hand"), of_given("1f2e")
        ('given by hand', 'given: run 1f2e')
    """
    return "given by hand" if source == BY_HAND else f"given: run {source}"


def counted_inside(inner: PipelineState) -> str:
    """Return how far the pipeline inside a step is, like `3/7 steps`."""
    completed = sum(status is StepStatus.COMPLETED for status in inner.statuses.values())
    return f"{completed}/{len(inner.statuses)} steps"


def _not_begun(state: PipelineState, name: str, *, now: float, doing: str) -> str:
    if (name, CONDITION) in state.running_parts:
        return _joined(_since(state.steps[name].part(CONDITION).started_at, now), "judging its condition", doing)
    edges = [edge for edge in state.graph.incoming[name] if not state.statuses[edge.source].is_terminal]
    waits = _listed(list(dict.fromkeys(edge.source for edge in edges)))
    if not edges:
        answer = state.steps[name].answer
        return "" if answer is None else said(answer)
    if all(edge.is_fallback for edge in edges):
        return f"stands by for {waits}"
    until = state.timers.of(name, PATIENCE)
    return f"waits for {waits}" if until is None else f"waits for {waits}, {max(0.0, until - now):.1f}s more"


def _waiting(state: PipelineState, name: str, *, now: float, doing: str, max_attempts: int) -> str:
    record = state.steps[name]
    at = state.timers.of(name, ATTEMPT)
    if at is not None:
        this = record.attempts - record.attempts_before + 1  # those before an end of the run do not count
        return f"try {this}/{max_attempts} in {max(0.0, at - now):.1f}s  {record.reason}"
    if record.has_fallen:
        fallback = state.graph.rules(name).fallback
        instead = fallback.step if fallback is not None and fallback.step else "its default"
        return f"{instead} takes its place  {record.reason}"
    return _joined(_since(record.started_at, now), counted_parts(state, name), doing)


def _completed(state: PipelineState, name: str, *, doing: str) -> str:
    record = state.steps[name]
    if record.given_by:
        return _joined(" " * 7, of_given(record.given_by), _route(state, name))
    if (name, COMPENSATION) in state.running_parts:
        return _joined(" " * 7, "undoing", doing)
    seconds = f"{record.seconds:6.1f}s"
    if record.substituted_by:
        by = "its default" if record.substituted_by == "default" else record.substituted_by
        return _joined(seconds, f"from {by}, as it failed: {record.reason}")
    how_far = counted_parts(state, name) if record.count else ""
    cached = "from the cache" if record.cached else _cached_parts(record)
    approved = "" if record.answer is None else said(record.answer)
    ways = (how_far, _inside(state, name), _route(state, name), cached, approved)
    return _joined(seconds, *ways, _spent(record), record.reason)


def _cached_parts(record: StepRecord) -> str:
    count = sum(part.cached for part in record.parts.values())
    return f"{count} of them from the cache" if count else ""


def _inside(state: PipelineState, name: str) -> str:
    inner = state.steps[name].inner
    return "" if inner is None else counted_inside(inner)


def _route(state: PipelineState, name: str) -> str:
    """Return which way a step has chosen, and to which steps; empty for one that chooses none."""
    routes = state.graph.rules(name).routes
    taken = None if routes is None else route_taken(state.steps[name].output, routes)
    if routes is None or taken is None:
        return ""
    return f"{taken} -> {_listed(list(routes[taken])) or 'nothing'}"


def _since(began_at: float | None, now: float) -> str:
    return f"{max(0.0, now - (now if began_at is None else began_at)):6.1f}s"


def _joined(*told: str) -> str:
    return "  ".join(filter(None, told))


def _spent(work: WorkRecord) -> str:
    spending = work.spending
    if not spending.usage.requests:
        return ""
    price = "price unknown" if spending.unpriced_calls else f"${spending.cost_usd:.4f}"
    return f"{price}  {spending.usage.total_tokens} tokens  {', '.join(spending.models)}"


def _listed(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 3 else f"{len(names)} steps"
