"""From what the scheduler commands, and from how attempts end, to the events that say so."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import assert_never, cast

from tagent.pipeline.answering.requests import question_for
from tagent.pipeline.approval import Approval
from tagent.pipeline.attempts import AttemptFailed, AttemptSucceeded
from tagent.pipeline.bindings import OUTPUT, fallback_of
from tagent.pipeline.course.commands import (
    AskApproval,
    CancelStep,
    Command,
    ExpandStep,
    FailStep,
    FinishRun,
    HaltRun,
    JudgeStep,
    PauseRun,
    SkipStep,
    StartPart,
    StartStep,
    SubstituteStep,
    WaitUntil,
    WithdrawApproval,
)
from tagent.pipeline.course.records import WorkRecord
from tagent.pipeline.events import (
    COMPENSATION,
    CONDITION,
    ApprovalAnswered,
    ApprovalRequested,
    ConditionJudged,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunHalted,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.exceptions import DeadlockError, StepOutputError, StepRouteError
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.kinds import RunStatus
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.routing import required_route
from tagent.pipeline.scheduler import NO_LIMITS, Limits, next_commands
from tagent.pipeline.state import PipelineState, apply
from tagent.retries import backoff_seconds, retries

LONGEST_WAIT_SECONDS = 3600.0
"""A provider that asks to wait longer than this has failed the step."""

IN_DOUBT = "tool.in_doubt"
"""The code of an attempt that cannot go on before somebody says whether a call may be made again."""

NOT_ASKED = "By its definition of now nobody need be asked."
"""What is said with the yes for a step that waited under an earlier definition."""

AttemptStart = StepStarted | PartStarted
_STARTS = (StepStarted, PartStarted)
Unit = tuple[str, str]
"""A step, and a part of it; empty for the step itself."""


def unit_of(start: AttemptStart) -> Unit:
    """Return which work an attempt is at."""
    return start.step, start.part if isinstance(start, PartStarted) else ""


def work_at(state: PipelineState, unit: Unit) -> WorkRecord:
    """Return what is known of that work."""
    step, part = unit
    return state.steps[step].part(part) if part else state.steps[step]


def is_current(state: PipelineState, start: AttemptStart) -> bool:
    """Return whether an attempt is still that of the run: not one that was cancelled meanwhile."""
    if isinstance(start, PartStarted):
        unit = (start.step, start.part)
        return unit in state.running_parts and work_at(state, unit).attempts == start.attempt
    return start.step in state.running and state.steps[start.step].attempts == start.attempt


@dataclass(slots=True)
class Decided:
    """What is decided at one moment; it is applied already.

    Attributes:
        events: What happened, in order.
        starts: The attempts among them that are to begin.
        wake_at: When something is due, unless something happens earlier; None for never.
        deadlock: That nothing can move any more; the run has ended with it.
        pause: That nothing can move before somebody acts; what comes of that is not decided here.
    """

    events: list[RunEvent] = field(default_factory=list)
    starts: list[AttemptStart] = field(default_factory=list)
    wake_at: float | None = None
    deadlock: DeadlockError | None = None
    pause: PauseRun | None = None


class Decider:
    """Decides for one run.

    Args:
        state: The run's state; what is decided is applied to it.
        definitions: The steps by name.
        output_types: Step name -> the type of its output.
        is_abandoned: Whether a blocking call of some work goes on although its attempt was given up.
        random: Draws from [0, 1), for jitter.
    """

    def __init__(
        self,
        state: PipelineState,
        definitions: Mapping[str, PipelineStep],
        output_types: Mapping[str, OutputType],
        *,
        is_abandoned: Callable[[str, str], bool],
        random: Callable[[], float],
    ) -> None:
        self._state = state
        self._definitions = definitions
        self._output_types = output_types
        self._is_abandoned = is_abandoned
        self._random = random

    def decide(self, now: Callable[[], float], limits: Limits = NO_LIMITS) -> Decided:
        """Carry the scheduler's commands out on the state until it has no more, and return what they mean."""
        decided = Decided()
        while True:
            at = now()
            decided.wake_at = None
            has_changed = False
            try:
                commands = next_commands(self._state, at, limits)
            except DeadlockError as error:
                decided.deadlock = error
                commands = [FinishRun(RunStatus.FAILED)]
            for command in commands:
                if isinstance(command, WaitUntil):
                    decided.wake_at = command.at
                    continue
                if isinstance(command, PauseRun):
                    decided.pause = command
                    continue
                event = self._event_of(command, at, decided.deadlock)
                apply(self._state, event)
                decided.events.append(event)
                if isinstance(event, _STARTS):
                    decided.starts.append(event)
                else:
                    has_changed = not isinstance(event, RunFinished)
            if not has_changed:
                return decided

    def outcome(self, start: AttemptStart, outcome: AttemptSucceeded | AttemptFailed, now: float) -> RunEvent:
        """Return the event that says how an attempt ended."""
        step, attempt = start.step, start.attempt
        match outcome:
            case AttemptSucceeded(output, facts, memories, _, cached, change, is_last):
                if isinstance(start, PartStarted):
                    part = start.part
                    return PartCompleted(step, part, attempt, output, now, facts, memories, cached, change, is_last)
                if self.is_to_be_approved(start):
                    return self._asked(step, now, of=outcome)
                return StepCompleted(step, attempt, output, now, facts, memories, cached, change)
            case AttemptFailed(failure):
                if failure.code == IN_DOUBT and isinstance(start, StepStarted) and self._state.halted is None:
                    return ApprovalRequested(step, "call", attempt, failure.reason, now)
                retry_at = self._retry_at(start, outcome, now)
                if isinstance(start, PartStarted):
                    return PartFailed(step, start.part, attempt, failure.code, failure.reason, retry_at, now)
                falls_back = retry_at is None and self._falls_back(step)
                return StepFailed(step, attempt, failure.code, failure.reason, retry_at, now, falls_back)

    def _event_of(self, command: Command, now: float, deadlock: DeadlockError | None) -> RunEvent:
        match command:
            case StartStep() | StartPart() | ExpandStep():
                return self._begun(command, now)
            case JudgeStep(step, holds, reason):
                return ConditionJudged(step, holds, reason, now)
            case AskApproval() | WithdrawApproval():
                return self._of_approval(command, now)
            case SubstituteStep(step, by):
                return self._substituted(step, by, now)
            case SkipStep(step, code, reason):
                return StepSkipped(step, code, reason, now)
            case FailStep(step, code, reason):
                return StepFailed(step, 0, code, reason, None, now, self._falls_back(step))
            case CancelStep(step, code, reason):
                return StepCancelled(step, code, reason, now)
            case HaltRun(code, reason, step):
                return RunHalted(code, reason, now, step=step)
            case FinishRun(status):
                code, reason = (deadlock.code, str(deadlock)) if deadlock else (self._state.code, self._state.reason)
                return RunFinished(status, now, code, reason)
            case _:
                raise TypeError(f"{type(command).__name__} stands for no event.")

    def _begun(self, command: StartStep | StartPart | ExpandStep, now: float) -> RunEvent:
        step = command.step
        match command:
            case StartStep(_, attempt):
                if attempt > 1 and self._is_abandoned(step, ""):
                    return self._given_up(step, "", attempt - 1, now)
                return StepStarted(step, attempt, self._key(step), now, self._seen_by(step))
            case ExpandStep(_, count):
                expansion = self._state.graph.rules(step).expansion
                return StepExpanded(step, count, now, self._state.seen_now(step), expansion.of if expansion else "")
            case StartPart(_, part, attempt):
                if attempt > 1 and self._is_abandoned(step, part):
                    return self._given_up(step, part, attempt - 1, now)
                seen = self._seen_by_condition(step) if part == CONDITION else ()
                return PartStarted(step, part, attempt, f"{self._key(step)}/{part}", now, seen)
            case _:
                assert_never(command)

    def is_to_be_approved(self, start: AttemptStart) -> bool:
        """Return whether what an attempt gave counts only once somebody says so; about parts nobody is asked."""
        if isinstance(start, PartStarted):
            return False
        approval, held = self._state.graph.rules(start.step).approval, self._state.steps[start.step].held
        return approval is not None and approval.of == "output" and (held is None or held.attempt != start.attempt)

    def _of_approval(self, command: AskApproval | WithdrawApproval, now: float) -> RunEvent:
        if isinstance(command, AskApproval):
            return self._asked(command.step, now)
        return ApprovalAnswered(command.step, is_approved=True, at=now, comment=NOT_ASKED)

    def _asked(self, step: str, now: float, *, of: AttemptSucceeded | None = None) -> ApprovalRequested:
        """Return the question whether a step may start, or whether what it gave counts."""
        approval = self._state.graph.rules(step).approval or Approval()
        known = {**self._state.inputs, **cast("Mapping[str, object]", self._state.values_for(step)["steps"])}
        if of is not None:
            known[OUTPUT] = of.output
        question = question_for(approval.question, known)
        due_at = None if approval.timeout is None else now + approval.timeout
        if of is None:
            return ApprovalRequested(step, approval.of, 0, question, now, due_at, approval.default)
        return ApprovalRequested(
            step,
            approval.of,
            self._state.steps[step].attempts,
            question,
            now,
            due_at,
            approval.default,
            output=of.output,
            facts=of.facts,
            memories=of.memories,
            effects=None if of.effects is None else of.effects.effects,
            change=of.change,
            cached=of.cached,
        )

    def _seen_by_condition(self, step: str) -> tuple[str, ...]:
        record = self._state.steps[step]
        asked = record.parts.get(CONDITION)
        return record.seen if asked is not None and asked.is_interrupted else self._state.seen_now(step)

    def _seen_by(self, step: str) -> tuple[str, ...]:
        """Return which SOFT dependencies an attempt sees: the same as its parts, or as before a crash cut it off."""
        if step not in self._state.graph.soft:
            return ()
        record = self._state.steps[step]
        has_seen = record.count is not None or record.is_interrupted
        return record.seen if has_seen else self._state.seen_now(step)

    def _key(self, step: str) -> str:
        """Return the idempotency key of the step: another one each time that its effects were undone."""
        undone = self._state.steps[step].undone
        return f"{self._state.run_id}/{step}{f'~{undone}' if undone else ''}"

    def _given_up(self, step: str, part: str, attempt: int, now: float) -> RunEvent:
        """Return the end of work whose last attempt was abandoned and still runs: twice at once could do harm."""
        record = work_at(self._state, (step, part))
        reason = f"{record.reason} Its function still runs, so it is not started again."
        if part:
            return PartFailed(step, part, attempt, record.code, reason, None, now)
        return StepFailed(step, attempt, record.code, reason, None, now, self._falls_back(step))

    def _substituted(self, step: str, by: str, now: float) -> RunEvent:
        fallback = fallback_of(self._definitions[step])  # an added one is only stored in the graph
        output = self._state.steps[by].output if by else fallback and fallback.output
        try:
            if isinstance(output, StoredOutput):
                raise StepOutputError(step, f"The output of {by!r} is not in memory.")  # noqa: TRY301 - one way out
            plain = self._output_types[step].dump(output, step=step)
            required_route(self._definitions[step], plain)
        except (StepOutputError, StepRouteError) as error:
            failed = self._state.steps[step]
            reason = f"{failed.reason} And what {by or 'its default'!r} gives in its place does not fit: {error}"
            return StepFailed(step, 0, failed.code, reason, None, now)
        return StepSubstituted(step, plain, by or "default", now)

    def _falls_back(self, step: str) -> bool:
        record = self._state.steps[step]
        has_fallback = self._state.graph.rules(step).fallback is not None
        return has_fallback and not record.has_fallen and self._state.halted is None

    def _retry_at(self, start: AttemptStart, outcome: AttemptFailed, now: float) -> float | None:
        step, failure = self._definitions[start.step], outcome.failure
        failures = start.attempt - work_at(self._state, unit_of(start)).attempts_before
        may = retries(step.retry, code=failure.code, kinds=outcome.kinds, is_retryable=failure.is_retryable)
        if not may or failures > step.max_retries or outcome.retry_after_seconds > LONGEST_WAIT_SECONDS:
            return None
        if self._state.halted is not None and unit_of(start)[1] != COMPENSATION:
            return None
        backoff = backoff_seconds(step.retry, failures, jitter=self._random())
        return now + max(outcome.retry_after_seconds, backoff)
