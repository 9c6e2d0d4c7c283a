"""The laws of a run's journal, for whatever its pipeline is: read event by event, as a person would check it."""

from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import accumulate

from property.flow_oracle import LEFT_OUT, is_met
from property.flow_plans import SOFT_KINDS, DepPlan, FlowPlan
from property.flow_world import BRANCHES, INPUTS
from tagent.pipeline import ExecutionMode, StepStatus
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.settling import recount
from tagent.pipeline.events import (
    COMPENSATION,
    CONDITION,
    ConditionJudged,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunHalted,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.state import apply

S = StepStatus


@dataclass
class Known:
    """What has been read of a piece of work."""

    status: StepStatus = S.PENDING
    attempts: int = 0
    is_cut_off: bool = False
    code: str = ""
    output: object = None

    def begins(self, attempt: int) -> None:
        """An attempt begins: a new one, or the one that a crash cut off."""
        assert self.status in {S.PENDING, S.WAITING}, f"it is {self.status}"
        assert attempt == self.attempts + (not self.is_cut_off), f"attempt {attempt} behind {self.attempts}"
        self.status, self.attempts, self.is_cut_off = S.RUNNING, attempt, False

    def ends(self, status: StepStatus, code: str = "", reason: str = "") -> None:
        """It has its final status, and never had one before."""
        assert not self.status.is_terminal, f"it is {self.status} already"
        assert bool(code and reason) is (status is not S.COMPLETED), f"{status} with {code!r} and {reason!r}"
        self.status, self.code = status, code


@dataclass
class KnownStep(Known):
    """What has been read of a step."""

    parts: dict[str, Known] = field(default_factory=dict)
    count: int | None = None
    holds: bool | None = None
    has_fallen: bool = False
    settled_at: float = 0.0
    seen: tuple[str, ...] = ()

    def part(self, name: str) -> Known:
        """Return what has been read of a part."""
        return self.parts.setdefault(name, Known())


@dataclass
class JournalReader:
    """Checks a journal against its plan.

    Attributes:
        flow: The plan.
        steps: What has been read, by place.
    """

    flow: FlowPlan
    steps: list[KnownStep] = field(default_factory=list)
    at: float = 0.0
    begun_at: float = 0.0
    halted: RunHalted | None = None
    has_rolled_back: bool = False
    is_finished: bool = False
    completions: list[int] = field(default_factory=list)
    undone: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = [KnownStep() for _ in self.flow.steps]

    def read(self, events: Iterable[RunEvent]) -> None:
        """Check the events in order.

        Raises:
            AssertionError: If one should not have happened.
        """
        for number, event in enumerate(events, 1):
            try:
                self._read(event)
            except AssertionError as error:
                raise AssertionError(f"{number}. {event}: {error}") from error

    def _read(self, event: RunEvent) -> None:
        assert event.at >= self.at, "time goes backwards"
        self.at = event.at
        match event:
            case RunStarted():
                self.begun_at = event.at
            case RunResumed():
                self._resumed()
            case RunHalted():
                is_cut_short = event.code == "run.cancelled" and not self.is_finished  # its rollback, or its end
                assert self.halted is None or is_cut_short, "it is halted already"
                self.halted = event
                self.has_rolled_back |= event.code == "run.rollback"
            case RunFinished():
                assert all(step.status.is_terminal for step in self.steps), "a step has no final status"
                self.is_finished = True
            case PartStarted():
                self._part_started(event)
            case PartCompleted() | PartFailed():
                self._part_ended(event)
            case StepStarted() | StepExpanded() | ConditionJudged():
                self._step_goes_on(event)
            case StepCompleted() | StepFailed() | StepSkipped() | StepCancelled() | StepSubstituted():
                self._step_ended(event)
            case _:
                pass

    def _resumed(self) -> None:
        was_undone = self.has_rolled_back
        stay = [self._stays(place) for place in range(len(self.steps))]
        for step, stays in zip(self.steps, stay, strict=True):
            for known in (step, *step.parts.values()):
                if known.status is S.RUNNING:
                    known.status, known.is_cut_off = S.PENDING, True
            undoing = step.parts.get(COMPENSATION)
            if self.is_finished and undoing is not None and undoing.status is S.FAILED:
                undoing.status = S.PENDING  # another rollback tries it again
            if self.is_finished and not stays:
                self._reopen(step, was_undone=was_undone)
        if self.is_finished:
            self.is_finished, self.halted, self.has_rolled_back = False, None, False
            self.completions = [place for place in self.completions if self.steps[place].status is S.COMPLETED]
            self.undone = []

    def _stays(self, place: int) -> bool:
        """Return whether a step of an ended run stays as it is: it ended well, and nothing of it was undone."""
        step = self.steps[place]
        undoing = step.parts.get(COMPENSATION)
        if undoing is not None and undoing.status in {S.RUNNING, S.WAITING}:
            return False
        if step.status is S.COMPLETED:
            is_replaced = step.has_fallen and self.flow.steps[place].fallback == "step"
            return not is_replaced or self._stays(place + 1)
        return step.code in LEFT_OUT and step.status is S.SKIPPED and not self.has_rolled_back

    def _reopen(self, step: KnownStep, *, was_undone: bool) -> None:
        step.status, step.has_fallen, step.count = S.PENDING, False, None
        if was_undone:  # all begins anew
            step.parts, step.holds = {}, None
        for name, part in step.parts.items():
            is_to_be_asked = name == CONDITION and not step.holds
            if (part.status is not S.COMPLETED and name != COMPENSATION) or is_to_be_asked:
                part.status = S.PENDING
        step.holds = step.holds or None

    def _part_started(self, event: PartStarted) -> None:
        place = _place(event.step)
        step, part = self.steps[place], self.steps[place].part(event.part)
        is_cut_off = part.is_cut_off
        part.begins(event.attempt)
        if event.part == COMPENSATION:
            self._may_be_undone(place)
            return
        assert self.halted is None, "the run is halted"
        if event.part == CONDITION:
            assert step.status is S.PENDING, f"its step is {step.status}"
            self._may_begin(place, is_asked=False)
            self._sees(place, event.seen, is_same=is_cut_off)
            step.seen = event.seen
            return
        parts = self.flow.steps[place].parts
        assert parts is not None, "it has no parts"
        assert step.count is not None, "nobody knows yet how many parts it has"
        assert sum(it.status is S.RUNNING for it in step.parts.values()) <= parts.max_concurrency, "too many at once"
        assert self._failures(step) <= self._allowed(place), "too many have failed already"

    def _part_ended(self, event: PartCompleted | PartFailed) -> None:
        step = self.steps[_place(event.step)]
        part = step.part(event.part)
        assert part.status is S.RUNNING, f"it is {part.status}"
        assert part.attempts == event.attempt
        if isinstance(event, PartFailed) and event.retry_at is not None:
            part.status = S.WAITING
        elif isinstance(event, PartFailed):
            part.ends(S.FAILED, event.code, event.reason)
            if event.part == COMPENSATION:
                self.undone.append(_place(event.step))
        else:
            part.ends(S.COMPLETED)
            if event.part == CONDITION:
                assert isinstance(event.output, dict)
                step.holds = event.output["holds"]
            elif event.part == COMPENSATION:
                step.status = S.COMPENSATED
                self.undone.append(_place(event.step))

    def _step_goes_on(self, event: StepStarted | StepExpanded | ConditionJudged) -> None:
        place = _place(event.step)
        step, plan = self.steps[place], self.flow.steps[place]
        assert self.halted is None, "the run is halted"
        if isinstance(event, ConditionJudged):
            assert step.status is S.PENDING, f"it is {step.status}"
            self._may_begin(place, is_asked=False)
            step.holds = event.holds
            return
        is_first = step.status is S.PENDING and not step.is_cut_off
        if is_first:
            self._may_begin(place)
        self._sees(place, event.seen, is_same=step.is_cut_off or step.count is not None)
        step.seen = event.seen
        if isinstance(event, StepExpanded):
            assert step.status is S.PENDING, f"it is {step.status}"
            step.count, step.status = event.count, S.WAITING
            return
        if plan.parts is not None and plan.parts.shape != "none":
            assert step.count is not None, "it merges parts that it does not have"
            ended = [it.status for name, it in step.parts.items() if name not in {CONDITION, COMPENSATION}]
            assert len(ended) == step.count, "it merges before all parts have begun"
            assert all(status in {S.COMPLETED, S.FAILED} for status in ended), "it merges before all parts have ended"
            assert self._failures(step) <= self._allowed(place), "too many parts have failed"
        step.begins(event.attempt)
        if plan.mode is ExecutionMode.SERIAL:
            others = [it for it, p in zip(self.steps, self.flow.steps, strict=True) if p.mode is ExecutionMode.SERIAL]
            under_way = [it for it in others if it.status in {S.RUNNING, S.WAITING} and not it.has_fallen]
            assert len(under_way) == 1, "SERIAL steps overlap"

    def _step_ended(self, event: StepCompleted | StepFailed | StepSkipped | StepCancelled | StepSubstituted) -> None:
        place = _place(event.step)
        step = self.steps[place]
        match event:
            case StepCompleted():
                assert step.status is S.RUNNING, f"it is {step.status}"
                assert step.attempts == event.attempt
                step.ends(S.COMPLETED)
                step.output = event.output
                self.completions.append(place)
            case StepSubstituted():
                assert step.has_fallen, "it has not failed"
                plan = self.flow.steps[place]
                assert event.by == {"output": "default", "step": f"s{place + 1}"}[plan.fallback]
                assert plan.fallback == "output" or self.steps[place + 1].status is S.COMPLETED
                step.ends(S.COMPLETED)
                step.output = event.output
            case StepFailed():
                self._failed(place, event)
            case StepSkipped():
                assert step.status is S.PENDING, f"it is {step.status}"
                self._has_cause(place, event.code)
                step.ends(S.SKIPPED, event.code, event.reason)
            case StepCancelled():
                assert self.halted is not None, "nothing ends the run"
                assert event.code == self.halted.code
                step.ends(S.CANCELLED, event.code, event.reason)
                for part in step.parts.values():
                    if not part.status.is_terminal:
                        part.status = S.CANCELLED
        step.settled_at = event.at

    def _failed(self, place: int, event: StepFailed) -> None:
        step = self.steps[place]
        assert event.code, "it has no code"
        assert event.reason, "it has no reason"
        if event.attempt:
            assert step.status is S.RUNNING, f"it is {step.status}"
            assert step.attempts == event.attempt
        if event.retry_at is not None:
            assert self.halted is None, "nothing is tried again in a run that ends"
            step.status = S.WAITING
        elif event.falls_back:
            assert not step.has_fallen, "it has failed already"
            assert self.flow.steps[place].fallback
            step.has_fallen, step.status = True, S.WAITING
        else:
            step.ends(S.FAILED, event.code, event.reason)

    def _may_be_undone(self, place: int) -> None:
        assert self.halted is not None, "the run goes on"
        assert self.halted.code == "run.rollback", "the run is not rolled back"
        assert all(step.status.is_terminal for step in self.steps), "a step is still under way"
        assert self.steps[place].status is S.COMPLETED, f"it is {self.steps[place].status}"
        left = [it for it in self.completions if self.flow.steps[it].compensation is not None and it not in self.undone]
        assert left, "nothing is left to undo"
        assert place == left[-1], f"s{left[-1]} completed later, and is not undone"

    def _may_begin(self, place: int, *, is_asked: bool = True) -> None:
        """Check that what a step waits for is there, and its condition holds if it has been `is_asked`."""
        plan = self.flow.steps[place]
        assert plan.enabled not in {"no", "off"}, "it is disabled"
        replaces = self.flow.stands_in_for(place)
        assert replaces is None or self.steps[replaces].has_fallen, "nothing has failed whose place it takes"
        deps = self.flow.all_deps(place)
        for dep in deps:
            if dep.kind != "patient":
                problem = self._problem(dep, is_asked=is_asked)
                assert not problem, f"s{dep.source}: {problem}"
        arrived_at = max(
            [self.begun_at]
            + [self.steps[dep.source].settled_at for dep in deps if dep.kind != "patient"]
            + ([] if replaces is None else [self.steps[replaces].settled_at])
        )
        for dep in deps:
            if dep.kind == "patient" and not self.steps[dep.source].status.is_terminal:
                assert self.at >= arrived_at + dep.wait_seconds, f"s{dep.source} was to be waited for"
        if is_asked and (plan.condition is not None or any(dep.kind == "asked" for dep in deps)):
            assert self.steps[place].holds is True, "its condition does not hold"

    def _problem(self, dep: DepPlan, *, is_asked: bool = True) -> str:
        """Return why a dependency is not fulfilled, empty if it is; `soft` ones need to be settled."""
        step = self.steps[dep.source]
        if not step.status.is_terminal:
            return "it is not settled"
        if dep.kind in SOFT_KINDS:
            return ""
        is_left_out = step.status is S.SKIPPED and step.code in LEFT_OUT
        is_well = step.status is S.COMPLETED or is_left_out or self.flow.steps[dep.source].is_optional
        if not is_well:
            return "upstream_failed"
        if step.status is not S.COMPLETED:
            return {"hard": "", "skip": "dependency_skipped"}.get(dep.kind, "dependency_unmet")
        is_pure = dep.kind != "asked"
        return "" if (not is_pure and not is_asked) or is_met(dep, step.output) else "dependency_unmet"

    def _has_cause(self, place: int, code: str) -> None:
        plan, deps = self.flow.steps[place], self.flow.all_deps(place)
        problems = {self._problem(dep) for dep in deps if self.steps[dep.source].status.is_terminal}
        replaces = self.flow.stands_in_for(place)
        match code:
            case "disabled":
                assert plan.enabled in {"no", "off"}
            case "not_needed":
                assert replaces is not None
                assert self.steps[replaces].status.is_terminal
                assert not self.steps[replaces].has_fallen
            case "condition_false":
                assert self.steps[place].holds is False
            case _ if code.startswith("run."):
                assert self.halted is not None
                assert code == self.halted.code
            case _:
                assert code in problems, f"its dependencies have {problems}"
                assert replaces is None or self.steps[replaces].has_fallen, "it may not be needed"

    def _sees(self, place: int, seen: Sequence[str], *, is_same: bool) -> None:
        """Check what a step is said to see: what is there, or what it saw before a crash or with its parts."""
        if is_same:
            assert tuple(seen) == self.steps[place].seen, f"it saw {self.steps[place].seen}"
            return
        soft = {dep.source for dep in self.flow.all_deps(place) if dep.kind in SOFT_KINDS}
        assert set(seen) == {f"s{it}" for it in soft if self.steps[it].status is S.COMPLETED}

    def _failures(self, step: KnownStep) -> int:
        parts = (it for name, it in step.parts.items() if name not in {CONDITION, COMPENSATION})
        return sum(it.status is S.FAILED for it in parts)

    def _allowed(self, place: int) -> int:
        parts, count = self.flow.steps[place].parts, self.steps[place].count
        assert parts is not None
        assert count is not None
        if parts.shape in {"branches", "named"}:
            assert count == BRANCHES
        if parts.shape == "things":
            assert count == len(INPUTS["things"])  # type: ignore[arg-type]  # a list
        if parts.min_success is None:
            return 0
        share = parts.min_success * count if parts.min_success < 1 else parts.min_success
        return max(0, int(count - share))


def _place(name: str) -> int:
    return int(name[1:])


def check_fold(graph: ExecutionGraph, events: Sequence[RunEvent], commits: Sequence[int]) -> PipelineState:
    """Return what the events come to; check after each commit that what is counted is what is there.

    Raises:
        AssertionError: If a queue of the state differs from the one that is worked out afresh.
    """
    state = PipelineState(graph)
    ends = set(accumulate(commits))
    for number, event in enumerate(events, 1):
        apply(state, event)
        if number in ends:
            afresh = deepcopy(state, {id(state.graph): state.graph})
            for name, part in afresh.running_parts:
                afresh.steps[name].parts[part].is_interrupted = True
            recount(afresh)
            if running := [name for name in afresh.running if name in graph.serial]:
                afresh.serial_running = running[0]
            assert _queues(state) == _queues(afresh), f"after {number}. {event}"
    return state


def _queues(state: PipelineState) -> dict[str, object]:
    """Return all that is counted, without what is of no account any more, in an order of its own."""
    if state.halted is not None:  # nothing begins any more, whatever waits for it
        return {"unfinished": state.unfinished, "to_undo": state.to_undo, "timers": sorted(state.timers)}
    lost = {*state.doomed, *state.broken}
    waits = [name for name, status in state.statuses.items() if status is S.PENDING and name not in lost]
    return {
        # Of several reasons to skip a step the first one is told; worked out afresh, another one may come first.
        "held": {name: code in LEFT_OUT for name, (code, _) in state.held.items()},
        "doomed": {name: code in LEFT_OUT for name, (code, _) in state.doomed.items()},
        "broken": dict(sorted(state.broken.items())),
        "stood_in": dict(sorted(state.stood_in.items())),
        "ready": sorted(state.ready),
        "ready_serial": sorted(state.ready_serial),
        "to_judge": state.to_judge,
        "queues": {
            name: (list(q.waiting), q.limit, q.allowed_failures, q.running, q.resting, q.failures)
            for name, q in sorted(state.queues.items())
        },
        "startable": state.startable,
        "to_undo": state.to_undo,
        "serial_running": state.serial_running,
        "unfinished": state.unfinished,
        "unmet": {name: state.unmet[name] for name in waits},
        "patient": {name: state.patient[name] for name in waits},
        "timers": sorted(state.timers),
    }
