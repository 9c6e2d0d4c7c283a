"""The laws of a run's journal, for whatever its pipeline is: read event by event, as a person would check it."""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import cast

from property.flow_known import Known, KnownStep
from property.flow_oracle import plan_of
from property.flow_plans import SOFT_KINDS, DepPlan, FlowPlan, RoundsPlan, place_of_added
from property.flow_rules import (
    LEFT_OUT,
    NOT_SELECTED,
    NOT_TAKEN,
    End,
    deps_of,
    is_disabled,
    is_met,
    problem,
    why_not,
)
from property.flow_values import BRANCHES, EDITED, INPUTS
from tagent.pipeline import ExecutionMode, RunStatus, StepStatus
from tagent.pipeline.events import (
    ASIDE,
    COMPENSATION,
    CONDITION,
    ROUNDS,
    ApprovalAnswered,
    ApprovalRequested,
    ConditionJudged,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunHalted,
    RunPaused,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepExpanded,
    StepFailed,
    StepGiven,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)

S = StepStatus

StepEnd = StepCompleted | StepFailed | StepSkipped | StepCancelled | StepSubstituted | StepGiven


@dataclass
class JournalReader:
    """Checks a journal against its plan.

    Attributes:
        flow: The plan.
        is_selected: Whether only a part of it runs.
        steps: What has been read, by place.
        changes: Place -> which parts of the step there have changed others; of one without parts 0.
    """

    flow: FlowPlan
    is_selected: bool = False
    steps: dict[int, KnownStep] = field(default_factory=dict)
    changes: dict[int, set[int]] = field(default_factory=dict)
    at: float = 0.0
    begun_at: float = 0.0
    halted: RunHalted | None = None
    has_rolled_back: bool = False
    is_paused: bool = False
    status: RunStatus | None = None
    completions: list[int] = field(default_factory=list)
    undone: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.steps = {place: KnownStep() for place in range(len(self.flow.steps))}

    @property
    def is_finished(self) -> bool:
        """Whether the run has come to its end."""
        return self.status is not None

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

    def closes(self) -> None:
        """Read that the work has come to its end of which this is the inside."""
        if self.is_finished:
            return
        for step in self.steps.values():
            for known in (step, *step.parts.values()):
                if not known.status.is_terminal:
                    known.status, known.code = S.CANCELLED, "closed"
                    if known.inner is not None:
                        known.inner.closes()
        self.status = RunStatus.CANCELLED

    def _read(self, event: RunEvent) -> None:
        assert event.at >= self.at, "time goes backwards"
        self.at = event.at
        may_follow_pause = isinstance(event, RunResumed | RunHalted)
        assert not self.is_paused or may_follow_pause or self.halted is not None, "the run waits"
        match event:
            case RunStarted():
                self.begun_at = event.at
            case RunResumed():
                self._resumed()
            case RunPaused() | RunHalted() | RunFinished():
                self._stops(event)
            case InnerProgressed():
                self._goes_on_inside(event)
            case PartStarted():
                self._part_started(event)
            case PartCompleted() | PartFailed():
                self._part_ended(event)
            case ApprovalRequested() | ApprovalAnswered():
                self._approval(event)
            case StepStarted() | StepExpanded() | ConditionJudged():
                self._step_goes_on(event)
            case StepCompleted() | StepFailed() | StepSkipped() | StepCancelled() | StepSubstituted() | StepGiven():
                self._step_ended(event)
                self.steps[self.flow.place(event.step)].settled_at = event.at
            case _:
                pass

    def _stops(self, event: RunPaused | RunHalted | RunFinished) -> None:
        match event:
            case RunPaused():
                self.is_paused = True
                assert any(map(self._waits_for_somebody, self.steps.values())), "it waits for nobody"
            case RunHalted():
                is_cut_short = event.code == "run.cancelled" and not self.is_finished  # its rollback, or its end
                assert self.halted is None or is_cut_short, "it is halted already"
                self.halted = event
                self.has_rolled_back |= event.code == "run.rollback"
            case RunFinished():
                assert all(step.status.is_terminal for step in self.steps.values()), "a step has no final status"
                self.status = event.status

    def _waits_for_somebody(self, step: KnownStep) -> bool:
        inside = [known.inner for known in (step, *step.parts.values()) if known.status is S.RUNNING]
        return step.asked is not None or any(inner is not None and inner.is_paused for inner in inside)

    def _resumed(self) -> None:
        was_undone, has_ended = self.has_rolled_back, self.is_finished
        self.is_paused = False
        stay = {place: self._stays(place) for place in self.steps}
        for place, step in self.steps.items():
            for known in (step, *step.parts.values()):
                if known.status is S.RUNNING:
                    known.status, known.is_cut_off = S.PENDING, True
            undoing = step.parts.get(COMPENSATION)
            if has_ended and undoing is not None and undoing.status is S.FAILED:
                undoing.status = S.PENDING  # another rollback tries it again
            if has_ended and not stay[place]:
                self._reopen(step, was_undone=was_undone)
        for by, parts in self.changes.items():
            for part in [it for it in parts if not self._has_changed(by, it)]:  # done again, it changes that anew
                self.steps.pop(place_of_added(by, part), None)
                parts.discard(part)
        self.completions = [place for place in self.completions if place in self.steps]
        if has_ended:
            self.status, self.halted, self.has_rolled_back = None, None, False
            self.completions = [place for place in self.completions if self.steps[place].status is S.COMPLETED]
            self.undone = []

    def _stays(self, place: int) -> bool:
        """Return whether a step of an ended run stays as it is: it ended well, and nothing of it was undone."""
        step = self.steps[place]
        undoing = step.parts.get(COMPENSATION)
        if undoing is not None and undoing.status in {S.RUNNING, S.WAITING}:
            return False
        if step.status is S.COMPLETED:
            is_replaced = step.has_fallen and plan_of(self.flow, place).fallback == "step"
            return not is_replaced or self._stays(place + 1)
        is_kept = not self.has_rolled_back or step.code == NOT_SELECTED
        return step.code in LEFT_OUT and step.status is S.SKIPPED and is_kept

    def _reopen(self, step: KnownStep, *, was_undone: bool) -> None:
        step.status, step.has_fallen, step.count, step.asked = S.PENDING, False, None, None
        step.is_cut_off = False  # what was approved and not handed over yet is done again
        if step.answer is not None and (was_undone or not step.answer.is_approved):
            step.answer = None
        if was_undone:  # all begins anew
            step.parts, step.holds, step.inner = {}, None, None
        for name, part in step.parts.items():
            is_to_be_asked = name == CONDITION and not step.holds
            if (part.status is not S.COMPLETED and name != COMPENSATION) or is_to_be_asked:
                part.status = S.PENDING
        step.holds = step.holds or None

    def _goes_on_inside(self, event: InnerProgressed) -> None:
        place = self.flow.place(event.step)
        step, plan = self.steps[place], self.flow.steps[place]
        work: Known = step.part(event.part) if event.part else step
        assert work.status is S.RUNNING, f"its work is {work.status}"
        assert work.attempts == event.attempt
        assert plan.inner is not None, "it runs no pipeline"
        if isinstance(event.event, RunStarted):
            assert work.inner is None, "it begins a second time"
            work.inner = JournalReader(plan.inner)
        assert work.inner is not None, "it has not begun"
        work.inner.read([event.event])

    def _part_started(self, event: PartStarted) -> None:
        place = self.flow.place(event.step)
        step = self.steps[place]
        plan = plan_of(self.flow, place)
        part = step.part(event.part)
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
        assert step.count is not None, "nobody knows yet how many parts it has"
        if plan.rounds is not None:
            self._round_started(step, int(event.part))
            return
        assert plan.parts is not None, "it has no parts"
        assert sum(it.status is S.RUNNING for it in step.parts.values()) <= plan.parts.max_concurrency, "too many"
        assert self._failures(step) <= self._allowed(place), "too many have failed already"

    def _round_started(self, step: KnownStep, number: int) -> None:
        assert step.count is not None
        assert number <= step.count, "there are not so many"
        assert not step.has_reached, "it has reached what it is repeated for"
        before = [step.parts[str(it)].status for it in range(1, number)]
        assert all(status is S.COMPLETED for status in before), "one round comes behind the other"
        assert len(step.own_parts) == number, "a later one has begun"

    def _part_ended(self, event: PartCompleted | PartFailed) -> None:
        place = self.flow.place(event.step)
        step, plan = self.steps[place], plan_of(self.flow, self.flow.place(event.step))
        part = step.part(event.part)
        assert part.status is S.RUNNING, f"it is {part.status}"
        assert part.attempts == event.attempt
        if isinstance(event, PartFailed) and event.retry_at is not None:
            part.status = S.WAITING
        elif isinstance(event, PartFailed):
            part.ends(S.FAILED, event.code, event.reason)
            if event.part == COMPENSATION:
                self.undone.append(place)
        else:
            part.ends(S.COMPLETED)
            part.output = event.output
            self._came_to_an_end_inside(part)
            if event.part == CONDITION:
                assert isinstance(event.output, dict)
                step.holds = event.output["holds"]
            elif event.part == COMPENSATION:
                step.status = S.COMPENSATED
                self.undone.append(place)
            else:
                self._part_changed(place, event)
            if event.part not in ASIDE and plan.rounds is not None:
                part.is_last = event.is_last
                self._may_be_last(plan.rounds, int(event.part), is_last=event.is_last)

    def _part_changed(self, place: int, event: PartCompleted) -> None:
        index = next(index for index in itertools.count() if self.flow.steps[place].part(index) == event.part)
        self._changed(place, index, is_changing=event.change is not None)

    @staticmethod
    def _may_be_last(rounds: RoundsPlan, number: int, *, is_last: bool) -> None:
        if number < rounds.max_times:
            reached = rounds.until in {"text", "function"} and number >= rounds.reached_in
            assert is_last is reached, "what it is repeated for is reached, or is not"

    @staticmethod
    def _came_to_an_end_inside(work: Known) -> None:
        if work.inner is not None:
            assert work.inner.status is RunStatus.COMPLETED, f"the pipeline inside is {work.inner.status}"

    def _approval(self, event: ApprovalRequested | ApprovalAnswered) -> None:
        place = self.flow.place(event.step)
        step, approval = self.steps[place], plan_of(self.flow, place).approval
        assert self.halted is None, "the run is halted"
        assert approval is not None, "nobody wants to know"
        if isinstance(event, ApprovalRequested):
            assert event.of == approval.of
            assert step.asked is None, "it is asked already"
            if event.of == "start":
                assert step.status is S.PENDING, f"it is {step.status}"
                assert step.answer is None, "it is approved already"
                assert step.count is None, "its parts may be under way"
                self._may_begin(place)
            else:
                assert step.status is S.RUNNING, f"it is {step.status}"
                assert step.attempts == event.attempt
            step.status, step.asked, step.answer = S.WAITING, event, None
            return
        asked = step.asked
        assert asked is not None, "it was not asked"
        assert event.is_approved is approval.is_approved
        assert event.by_default is (approval.answer == "late")
        assert event.is_edited is (approval.answer == "edit")
        if event.by_default:
            assert asked.due_at is not None
            assert event.at >= asked.due_at, "there is time left"
        step.asked, step.answer = None, event
        if event.is_approved:
            step.status, step.is_cut_off = S.PENDING, asked.of == "output"
            step.output = EDITED if event.is_edited else asked.output

    def _is_approved(self, place: int, of: str) -> None:
        approval = plan_of(self.flow, place).approval
        if approval is not None and approval.of == of:
            answer = self.steps[place].answer
            assert answer is not None, "nobody has said anything"
            assert answer.is_approved, "somebody said no"

    def _step_goes_on(self, event: StepStarted | StepExpanded | ConditionJudged) -> None:
        place = self.flow.place(event.step)
        step, plan = self.steps[place], plan_of(self.flow, place)
        assert self.halted is None, "the run is halted"
        if isinstance(event, ConditionJudged):
            assert step.status is S.PENDING, f"it is {step.status}"
            self._may_begin(place, is_asked=False)
            step.holds = event.holds
            return
        self._is_approved(place, "start")
        if step.status is S.PENDING and not step.is_cut_off:
            self._may_begin(place)
        self._sees(place, event.seen, is_same=step.is_cut_off or step.count is not None)
        step.seen = event.seen
        if isinstance(event, StepExpanded):
            assert step.status is S.PENDING, f"it is {step.status}"
            assert (event.of == ROUNDS) is (plan.rounds is not None)
            step.count, step.status = event.count, S.WAITING
            self._is_its_turn(place)
            return
        if plan.rounds is not None:
            self._may_hand_over(step, plan.rounds)
        if plan.parts is not None and plan.parts.shape != "none":
            self._may_merge(place)
        step.begins(event.attempt)
        self._is_its_turn(place)

    def _is_its_turn(self, place: int) -> None:
        if plan_of(self.flow, place).mode is ExecutionMode.SERIAL:
            serial = [it for it in self.steps if plan_of(self.flow, it).mode is ExecutionMode.SERIAL]
            under_way = [it for it in serial if self.steps[it].takes_its_turn]
            assert set(under_way) <= {place}, f"SERIAL steps overlap: {under_way}"

    def _may_hand_over(self, step: KnownStep, rounds: RoundsPlan) -> None:
        assert step.count == rounds.max_times
        done = step.own_parts
        assert all(it.status is S.COMPLETED for it in done.values()), "a round has not ended"
        assert step.has_reached or len(done) == step.count, "another round is to follow"

    def _may_merge(self, place: int) -> None:
        step = self.steps[place]
        assert step.count is not None, "it merges parts that it does not have"
        ended = [it.status for it in step.own_parts.values()]
        assert len(ended) == step.count, "it merges before all parts have begun"
        assert all(status in {S.COMPLETED, S.FAILED} for status in ended), "it merges before all parts have ended"
        assert self._failures(step) <= self._allowed(place), "too many parts have failed"

    def _step_ended(self, event: StepEnd) -> None:
        place = self.flow.place(event.step)
        step, plan = self.steps[place], plan_of(self.flow, place)
        match event:
            case StepGiven():
                assert self.is_selected, "all of it runs"
                step.ends(S.COMPLETED)
                step.output, step.is_given = event.output, True
            case StepCompleted():
                self._completed(place, event)
            case StepSubstituted():
                assert step.has_fallen, "it has not failed"
                by = {"output": "default", "step": self.flow.name(place + 1)}[plan.fallback]
                assert event.by == by
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
                step.cancelled(event.code, event.reason)

    def _completed(self, place: int, event: StepCompleted) -> None:
        step, plan = self.steps[place], plan_of(self.flow, place)
        assert step.status is S.RUNNING, f"it is {step.status}"
        assert step.attempts == event.attempt
        self._is_approved(place, "output")
        if plan.approval is not None and plan.approval.of == "output":
            assert event.output == step.output, "that is not what was approved"
        assert plan.cache is not None or not event.cached, "it was to be done"
        step.ends(S.COMPLETED)
        self._came_to_an_end_inside(step)
        step.output = event.output
        self.completions.append(place)
        if plan.is_whole:
            self._changed(place, 0, is_changing=event.change is not None)
        else:
            assert event.change is None, "its parts have changed what there is to change"

    def _changed(self, place: int, part: int, *, is_changing: bool) -> None:
        plan = plan_of(self.flow, place)
        change = plan.change
        wants_to = change is not None and change.changes_something(part)
        assert not plan.is_refused(part), "that cannot be changed"
        assert is_changing is wants_to, "it was to change something, or not to"
        if not is_changing or change is None:
            return
        if change.adds:
            new = place_of_added(place, part)
            assert new not in self.steps, "it is added a second time"
            self.steps[new] = KnownStep()
        if change.target is not None and change.changes_target(part):
            target = self.steps[change.target]
            is_off = target.status is S.SKIPPED and target.code == "disabled"
            assert is_off or target.status is S.PENDING, "what it changes has started"
        self.changes.setdefault(place, set()).add(part)

    def _has_changed(self, place: int, part: int) -> bool:
        """Return whether the work still is done that has changed others."""
        step, plan = self.steps[place], self.flow.steps[place]
        work = step if plan.is_whole else step.parts.get(plan.part(part))
        return work is not None and work.status is S.COMPLETED

    def _those_that_changed(self, place: int) -> set[int]:
        return self.changes.get(place, set())

    def _deps(self, place: int) -> tuple[DepPlan, ...]:
        """Return what a step waits for now."""
        return deps_of(self.flow, place, self._those_that_changed)

    def _failed(self, place: int, event: StepFailed) -> None:
        step = self.steps[place]
        assert event.code, "it has no code"
        assert event.reason, "it has no reason"
        if event.attempt:
            assert step.status is S.RUNNING, f"it is {step.status}"
            assert step.attempts == event.attempt
        if event.code == "approval.rejected":
            assert step.answer is not None
            assert not step.answer.is_approved
            assert event.retry_at is None, "nobody is asked twice"
        if event.retry_at is not None:
            assert self.halted is None, "nothing is tried again in a run that ends"
            step.status = S.WAITING
        elif event.falls_back:
            assert not step.has_fallen, "it has failed already"
            assert plan_of(self.flow, place).fallback
            step.has_fallen, step.status = True, S.WAITING
        else:
            step.ends(S.FAILED, event.code, event.reason)

    def _may_be_undone(self, place: int) -> None:
        assert self.halted is not None, "the run goes on"
        assert self.halted.code == "run.rollback", "the run is not rolled back"
        assert all(step.status.is_terminal for step in self.steps.values()), "a step is still under way"
        assert self.steps[place].status is S.COMPLETED, f"it is {self.steps[place].status}"
        undoable = [it for it in self.completions if plan_of(self.flow, it).compensation is not None]
        left = [it for it in undoable if it not in self.undone]
        assert left, "nothing is left to undo"
        assert place == left[-1], f"s{left[-1]} completed later, and is not undone"

    def _may_begin(self, place: int, *, is_asked: bool = True) -> None:
        """Check that what a step waits for is there, and its condition holds if it has been `is_asked`."""
        plan = plan_of(self.flow, place)
        assert not self._is_disabled(place), "it is disabled"
        replaces = self.flow.stands_in_for(place)
        assert self._may_take_the_place(replaces), "nothing has failed whose place it takes"
        deps = self._deps(place)
        waited_for = [dep for dep in deps if dep.kind != "patient"]
        for dep in waited_for:
            assert self.steps[dep.source].status.is_terminal, f"s{dep.source} is not settled"
        reasons = why_not(self.flow, deps, self._end)
        assert not reasons, f"its dependencies say {reasons}"
        if is_asked:
            unmet = [dep for dep in deps if dep.kind == "asked" and not is_met(dep, self.steps[dep.source].output)]
            assert not unmet, "its dependencies have been asked"
        arrived_at = max(
            [self.begun_at]
            + [self.steps[dep.source].settled_at for dep in waited_for]
            + ([] if replaces is None else [self.steps[replaces].settled_at])
        )
        for dep in deps:
            if dep.kind == "patient" and not self.steps[dep.source].status.is_terminal:
                assert self.at >= arrived_at + dep.wait_seconds, f"s{dep.source} was to be waited for"
        if is_asked and (plan.condition is not None or any(dep.kind == "asked" for dep in deps)):
            assert self.steps[place].holds is True, "its condition does not hold"

    def _may_take_the_place(self, place: int | None) -> bool:
        """Return whether a step may run that takes the place of another one, or of none."""
        return place is None or self.steps[place].has_fallen or self.steps[place].code == NOT_SELECTED

    def _is_disabled(self, place: int) -> bool:
        is_off = is_disabled(self.flow, place, self._those_that_changed)
        return is_off or plan_of(self.flow, place).enabled in {"no", "off"}

    def _end(self, place: int) -> End:
        step = self.steps[place]
        is_skipped = step.status is S.SKIPPED
        is_left_out = is_skipped and step.code in LEFT_OUT
        # What has not ended yet has not gone wrong.
        is_optional = plan_of(self.flow, place).is_optional or not step.status.is_terminal
        is_passed_by, is_aside = is_skipped and step.code == NOT_TAKEN, is_skipped and step.code == NOT_SELECTED
        return End(step.status, is_left_out, is_passed_by, is_aside, is_optional, step.output)

    def _has_cause(self, place: int, code: str) -> None:
        settled = [dep for dep in self._deps(place) if self.steps[dep.source].status.is_terminal]
        replaces = self.flow.stands_in_for(place)
        match code:
            case "disabled":
                assert self._is_disabled(place)
            case "not_needed":
                assert replaces is not None
                assert self.steps[replaces].status.is_terminal
                assert not self.steps[replaces].has_fallen
            case "condition_false":
                assert self.steps[place].holds is False
            case "not_selected":
                assert self.is_selected
            case _ if code.startswith("run."):
                assert self.halted is not None
                assert code == self.halted.code
            case "branch_not_taken" | "dependency_skipped":
                waited_for = [dep for dep in self._deps(place) if dep.kind != "patient"]
                assert all(self.steps[dep.source].status.is_terminal for dep in waited_for), "something may change that"
                assert code in why_not(self.flow, self._deps(place), self._end)
                assert self._may_take_the_place(replaces), "it may not be needed"
            case _:
                asked = [dep for dep in settled if dep.kind == "asked" and self.steps[place].holds is False]
                problems = {problem(dep, self._end) for dep in settled} | {"dependency_unmet" for _ in asked}
                assert code in problems, f"its dependencies have {problems}"
                assert self._may_take_the_place(replaces), "it may not be needed"

    def _sees(self, place: int, seen: Sequence[str], *, is_same: bool) -> None:
        """Check what a step is said to see: what is there, or what it saw before a crash or with its parts."""
        if is_same:
            assert tuple(seen) == self.steps[place].seen, f"it saw {self.steps[place].seen}"
            return
        soft = {dep.source for dep in self._deps(place) if dep.kind in SOFT_KINDS}
        assert set(seen) == {self.flow.name(it) for it in soft if self.steps[it].status is S.COMPLETED}

    def _failures(self, step: KnownStep) -> int:
        return sum(it.status is S.FAILED for it in step.own_parts.values())

    def _allowed(self, place: int) -> int:
        parts, count = plan_of(self.flow, place).parts, self.steps[place].count
        assert parts is not None
        assert count is not None
        if parts.shape in {"branches", "named"}:
            assert count == BRANCHES
        if parts.shape == "things":
            assert count == len(cast("list[int]", INPUTS["things"]))
        if parts.min_success is None:
            return 0
        share = parts.min_success * count if parts.min_success < 1 else parts.min_success
        return max(0, int(count - share))
