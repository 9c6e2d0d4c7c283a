"""What is known of a run, and the queues of what may begin.

`state.apply` alone changes what has happened. Besides that, `LargeOutputs` swaps an output for what stands for it in
the store, and back, and drops what nobody reads any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush

from tagent.pipeline.changes import ChangeBy
from tagent.pipeline.course.parts import PartQueue
from tagent.pipeline.course.records import StepRecord
from tagent.pipeline.course.skip_codes import (
    BRANCH_NOT_TAKEN,
    DEPENDENCY_SKIPPED,
    DISABLED,
    LEFT_OUT,
    NOT_SELECTED,
    Why,
)
from tagent.pipeline.course.timers import PATIENCE, Timers
from tagent.pipeline.events import COMPENSATION, CONDITION, ApprovalRequested, RunHalted
from tagent.pipeline.graph import Edge, ExecutionGraph
from tagent.pipeline.kinds import DependencyType, RunStatus, StepStatus
from tagent.pipeline.rules import route_taken


@dataclass(slots=True)
class PipelineState:
    """The state of one run.

    Attributes:
        graph: The steps and their dependencies.
        defined: The same as they were defined, before any step changed them.
        changes: What steps have changed about the others, in the order of their commits.
        run_id: The run; empty before `RunStarted`.
        pipeline: The pipeline's name.
        labels: Names and values to find the run by.
        status: Where the run stands.
        code: Why it ended before its steps did, or waits, for programs; else empty.
        reason: The same for people.
        started_at: When it began, in seconds since 1970-01-01 UTC.
        opened_at: When it began, or was taken up again after it had ended; its deadline counts from there.
        last_at: The time of the newest event.
        inputs: The inputs by name, as JSON values.
        shared: The shared memory by key, as JSON values.
        shared_before: What it was when the run began.
        shared_writes: What steps wrote into it, in the order of their commits.
        facts: What completed steps learned, by name.
        memories: What completed steps saved, by key.
        statuses: Step name -> where it stands, in definition order.
        steps: Step name -> what else is known of it.
        unmet: Step name -> how much it still waits for, apart from what it only waits for with patience.
        patient: Step name -> how many of those dependencies are not settled.
        waits: Step name -> how long it waits for which of them, the longest wait last; for those that have begun to.
        ready: Places of the steps that may start now, SERIAL ones aside; a heap.
        ready_serial: Places of the SERIAL steps that may start, one at a time; a heap.
        to_judge: The steps whose condition is to be judged now.
        queues: Step name -> the parts of it that are to be done now.
        startable: The steps that have a part that may start now.
        running: The steps with a started attempt.
        running_parts: The parts with a started attempt.
        serial_running: The SERIAL step that has begun and not ended, waits for its next attempt included;
            empty when there is none. Only one has: they come one after another.
        timers: When next attempts are due, and when patience ends.
        postponed: Step name -> why it has to be skipped once the rest is settled that it waits for.
        doomed: Step name -> why it has to be skipped.
        broken: Step name -> why it fails without an attempt.
        passed_by: The steps that a branch not taken leads to; other ways may lead there too.
        asked: Step name -> what was asked about it and is not answered.
        moot: Those of them about which nobody need be asked any more, by the definition of now.
        stood_in: Step that failed -> the step that is to take its place and has ended.
        failed: The first step whose failure is the run's; empty for none.
        completions: The steps in the order in which they completed.
        halted: Why the run ends early; None if it does not.
        is_undone: Whether it has begun to undo what it did, in this life of it.
        paused_at: When it began to wait for somebody; None while it does not.
        to_undo: The steps whose effects are still to be undone, the next one last.
        unfinished: How many steps have no final status.
        idle_resumes: How often in a row the run was resumed without getting any further.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> state = PipelineState(ExecutionGraph.build(Pipeline("p").step("facts", "Find facts")))
        >>> state.statuses, state.is_finished
        ({'facts': <StepStatus.PENDING: 'pending'>}, False)
    """

    graph: ExecutionGraph = field(repr=False, compare=False)
    run_id: str = ""
    pipeline: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    status: RunStatus = RunStatus.RUNNING
    code: str = ""
    reason: str = ""
    started_at: float = 0.0
    opened_at: float = 0.0
    last_at: float = 0.0
    inputs: dict[str, object] = field(default_factory=dict)
    shared: dict[str, object] = field(default_factory=dict)
    shared_before: Mapping[str, object] = field(default_factory=dict)
    shared_writes: list[Mapping[str, object]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    memories: dict[str, object] = field(default_factory=dict)
    statuses: dict[str, StepStatus] = field(default_factory=dict)
    steps: dict[str, StepRecord] = field(default_factory=dict)
    unmet: dict[str, int] = field(default_factory=dict)
    patient: dict[str, int] = field(default_factory=dict)
    waits: dict[str, list[tuple[float, str]]] = field(default_factory=dict)
    ready: list[int] = field(default_factory=list)
    ready_serial: list[int] = field(default_factory=list)
    to_judge: set[str] = field(default_factory=set)
    queues: dict[str, PartQueue] = field(default_factory=dict)
    startable: set[str] = field(default_factory=set)
    running: set[str] = field(default_factory=set)
    running_parts: set[tuple[str, str]] = field(default_factory=set)
    serial_running: str = ""
    timers: Timers = field(default_factory=Timers)
    postponed: dict[str, Why] = field(default_factory=dict)
    doomed: dict[str, Why] = field(default_factory=dict)
    broken: dict[str, Why] = field(default_factory=dict)
    passed_by: set[str] = field(default_factory=set)
    asked: dict[str, ApprovalRequested] = field(default_factory=dict)
    moot: set[str] = field(default_factory=set)
    stood_in: dict[str, str] = field(default_factory=dict)
    failed: str = ""
    completions: list[str] = field(default_factory=list)
    halted: RunHalted | None = None
    is_undone: bool = False
    paused_at: float | None = None
    to_undo: list[str] = field(default_factory=list)
    unfinished: int = 0
    idle_resumes: int = 0
    changes: list[ChangeBy] = field(default_factory=list)
    defined: ExecutionGraph = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        self.defined = self.graph
        self.unfinished = len(self.graph.positions)
        for name in self.graph.positions:
            self.statuses[name] = StepStatus.PENDING
            self.steps[name] = StepRecord()
            self.await_dependencies(name)

    @property
    def cost_usd(self) -> float:
        """The sum of the known prices so far."""
        return sum(record.spending.cost_usd for record in self.steps.values())

    @property
    def is_finished(self) -> bool:
        """Whether the run has its final status."""
        return self.status is not RunStatus.RUNNING and self.status is not RunStatus.WAITING

    @property
    def is_busy(self) -> bool:
        """Whether an attempt is under way."""
        return bool(self.running or self.running_parts)

    def inner_of(self, step: str, part: str = "") -> "PipelineState | None":
        """Return the state of the pipeline inside a step, or inside a part of it; None where there is none."""
        record = self.steps.get(step)
        work = record.parts.get(part) if record is not None and part else record
        return None if work is None else work.inner

    def is_settled_well(self, name: str) -> bool:
        """Whether the steps behind `name` may go on, be it without what it would have given."""
        status = self.statuses[name]
        if status is StepStatus.COMPLETED:
            return True
        if status is StepStatus.SKIPPED and self.steps[name].code in LEFT_OUT:
            return True
        return status.is_terminal and self.graph.rules(name).is_optional

    def visible(self, step: str) -> tuple[str, ...]:
        """Return the dependencies of `step` whose outputs its current attempt sees, in the order of declaration."""
        return tuple([source for source in self.graph.dependencies(step) if self.sees(step, source)])

    def sees(self, step: str, source: str) -> bool:
        """Return whether the current attempt of `step` sees the output of `source`, on which it depends."""
        if self.statuses[source] is not StepStatus.COMPLETED:
            return False
        return source not in self.graph.soft.get(step, ()) or source in self.steps[step].seen

    def seen_now(self, step: str) -> tuple[str, ...]:
        """Return the SOFT dependencies of `step` that have an output now."""
        soft = self.graph.soft.get(step, ())
        return tuple([name for name in soft if self.statuses[name] is StepStatus.COMPLETED])

    def values_for(self, step: str) -> dict[str, object]:
        """Return what conditions of `step` are judged by; `steps` holds those of its dependencies with an output."""
        outputs = {
            source: self.steps[source].output
            for source in self.graph.dependencies(step)
            if self.statuses[source] is StepStatus.COMPLETED
        }
        return {"steps": outputs, "inputs": self.inputs}

    def await_dependencies(self, name: str) -> None:
        """Count what an open step waits for, and let one that waits for nothing go on."""
        rules = self.graph.rules(name)
        edges = self.graph.incoming[name]
        self.patient[name] = len([edge for edge in edges if edge.is_patient])
        # The inputs are known with `RunStarted` only.
        self.unmet[name] = len(edges) - self.patient[name] + (rules.enabled is not None)
        if rules.is_disabled:
            self.doomed[name] = Why(DISABLED, "It is disabled.")
        elif not self.unmet[name]:
            self.arrive(name)

    def count_down(self, name: str) -> None:
        """Note that a step waits for one thing less."""
        self.unmet[name] -= 1
        if not self.unmet[name]:
            self.arrive(name)

    def arrive(self, name: str) -> None:
        """Let a step go on, unless in vain, that only waits for what it waits for with patience."""
        if name in self.passed_by and self._is_passed_by(name):
            self.postponed.pop(name, None)
            self.doomed[name] = Why(BRANCH_NOT_TAKEN, self._why_passed_by(name))
        elif name in self.postponed:
            self.doomed[name] = self.postponed.pop(name)
        elif self.patient[name] and not self._is_being_judged(name):
            record = self.steps[name]
            record.arrived_at = self.last_at if record.arrived_at is None else record.arrived_at
            if self.timers.of(name, PATIENCE) is None:
                self.be_patient(name)
        else:
            self.admit(name)

    def is_not_taken(self, edge: Edge) -> bool:
        """Whether an edge from a settled step is, or comes from, a branch that was not taken."""
        status, record = self.statuses[edge.source], self.steps[edge.source]
        if edge.type is DependencyType.SOFT or not self.is_settled_well(edge.source):
            return False
        if edge.routes is None:
            return status is StepStatus.SKIPPED and record.code == BRANCH_NOT_TAKEN
        if record.code == NOT_SELECTED:
            return False  # it says nothing in this run
        routes = self.graph.rules(edge.source).routes or {}
        return status is not StepStatus.COMPLETED or route_taken(record.output, routes) not in edge.routes

    def _is_passed_by(self, name: str) -> bool:
        """Whether no branch that was taken leads to a step whose dependencies are settled, nor any other way."""
        if name in self.postponed and self.postponed[name].code != DEPENDENCY_SKIPPED:
            return False  # something failed
        edges = [edge for edge in self.graph.incoming[name] if not edge.is_fallback]
        chosen = [edge for edge in edges if edge.routes is not None]
        if chosen and all(map(self.is_not_taken, chosen)):
            return True
        others = [edge for edge in edges if edge.routes is None]
        if any(edge.type.needs_output and self.is_not_taken(edge) for edge in others):
            return True
        return not chosen and all(map(self.is_not_taken, others))

    def _why_passed_by(self, name: str) -> str:
        """Return why no way leads to a step; of several branches the first one is named."""
        closed = [edge for edge in self.graph.incoming[name] if not edge.is_fallback and self.is_not_taken(edge)]
        edge = next((edge for edge in closed if edge.routes is not None), closed[0])
        if edge.routes is None:
            return f"The step {edge.source!r} before it is of a branch that was not taken."
        if self.statuses[edge.source] is not StepStatus.COMPLETED:
            return f"The step {edge.source!r}, which may choose it, was left out."
        taken = route_taken(self.steps[edge.source].output, self.graph.rules(edge.source).routes or {})
        return f"The step {edge.source!r} {'did not choose it' if taken is None else f'chose {taken!r}'}."

    def _is_being_judged(self, name: str) -> bool:
        """Whether its patience had ended before a crash, which struck while its condition was judged or right after."""
        record = self.steps[name]
        if record.holds is not None:
            return record.arrived_at is not None  # in this life of the run
        part = record.parts.get(CONDITION)
        return part is not None and (part.is_interrupted or part.status in {StepStatus.RUNNING, StepStatus.WAITING})

    def be_patient(self, name: str) -> None:
        """Have the patience of `name` end when that for the last of its unsettled dependencies does."""
        if name not in self.waits:
            edges = self.graph.incoming[name]
            self.waits[name] = sorted((e.wait_seconds, e.source) for e in edges if e.wait_seconds is not None)
        waits = self.waits[name]
        while waits and self.statuses[waits[-1][1]].is_terminal:
            waits.pop()
        self.timers.set((name, PATIENCE), at=(self.steps[name].arrived_at or 0.0) + (waits[-1][0] if waits else 0.0))

    def leave_patience(self, name: str) -> None:
        """Have a step wait for nothing with patience any more."""
        if name in self.graph.soft:  # nothing else is waited for with patience
            self.timers.clear((name, PATIENCE))

    def admit(self, name: str) -> None:
        """Let a step go on whose dependencies are settled: to its condition if it has one, else to its start."""
        self.leave_patience(name)
        rules, record = self.graph.rules(name), self.steps[name]
        is_judged = record.holds is not None
        if record.holds is False:  # judged just before a crash
            self.doomed[name] = Why(record.verdict_code, record.verdict)
        elif rules.condition is not None and not is_judged:
            self.to_judge.add(name)
        elif rules.has_condition_part and not is_judged:
            self.open_queue(name, PartQueue.of([CONDITION]))
        else:
            self.make_ready(name)

    def make_ready(self, name: str) -> None:
        """Put a step that waits for nothing any more into its queue."""
        heappush(self.ready_serial if name in self.graph.serial else self.ready, self.graph.positions[name])

    def leave_queue(self, name: str) -> None:
        """Take a starting step off the queue it waited in; the scheduler starts steps in the queue's order."""
        queue = self.ready_serial if name in self.graph.serial else self.ready
        place = self.graph.positions[name]
        if queue and queue[0] == place:
            heappop(queue)
        elif place in queue:  # started out of turn, under an earlier definition of the run
            queue.remove(place)
            heapify(queue)

    def open_queue(self, name: str, queue: PartQueue) -> None:
        """Have these parts of a step done; what of them has been done before stays so."""
        for _ in range(len(queue.waiting)):
            if not queue.waiting:
                break  # no round follows the last one
            part = queue.waiting[0]
            record = self.steps[name].parts.get(part)
            if record is None or record.status is StepStatus.PENDING:
                queue.waiting.rotate(-1)  # all of them once around are in order again
                continue
            queue.started(part)
            if record.status is StepStatus.WAITING:
                queue.rests(part)
            elif record.status is not StepStatus.RUNNING:
                queue.ended(part, has_failed=record.status is not StepStatus.COMPLETED, is_last=record.is_last)
        self.queues[name] = queue
        self.mark(name)

    def mark(self, name: str) -> None:
        """Note whether a part of the step may start now."""
        if (queue := self.queues.get(name)) is not None and queue.may_start:
            self.startable.add(name)
        else:
            self.startable.discard(name)

    def close_queue(self, name: str) -> None:
        """Have no part of the step done any more."""
        self.queues.pop(name, None)
        self.startable.discard(name)

    def find_what_to_undo(self) -> None:
        """Note whose effects are to be undone, now that a run that rolls back has stopped everything.

        A step whose output came from elsewhere has had no effect of its own.
        """
        last_first = dict.fromkeys(reversed(self.completions))  # it may have completed in an earlier life, too
        self.to_undo = [
            name
            for name in reversed(last_first)
            if self.statuses[name] is StepStatus.COMPLETED
            and self.graph.rules(name).has_compensation
            and not (self.steps[name].substituted_by or self.steps[name].given_by)
            and not self._is_undone(name)
        ]

    def _is_undone(self, name: str) -> bool:
        part = self.steps[name].parts.get(COMPENSATION)
        return part is not None and part.status.is_terminal
