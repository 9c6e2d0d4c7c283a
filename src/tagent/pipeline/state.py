"""What is known of a run: the fold of its events, and nothing else.

`apply` changes a state that the caller owns, in place and in time that does not depend on the size of
the run: each step counts the dependencies it still waits for.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush
from typing import assert_never

from tagent.exceptions import DataPathError
from tagent.pipeline.blobs import StoredOutput
from tagent.pipeline.events import (
    AgentProgressed,
    RunEvent,
    RunFinished,
    RunForked,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepEvent,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tagent.pipeline.graph import Edge, ExecutionGraph
from tagent.pipeline.models import RunStatus, StepStatus
from tagent.task_agent.events import AgentEvent, calls_of
from tagent.task_agent.models import Spending
from tagent.transitions import TransitionTable

STEP_TABLE: TransitionTable[StepStatus] = TransitionTable(
    {
        (StepStatus.PENDING, StepStarted): (StepStatus.RUNNING,),
        (StepStatus.PENDING, StepSkipped): (StepStatus.SKIPPED,),
        (StepStatus.RUNNING, AgentProgressed): (StepStatus.RUNNING,),
        (StepStatus.RUNNING, StepCompleted): (StepStatus.COMPLETED,),
        (StepStatus.RUNNING, StepFailed): (StepStatus.WAITING, StepStatus.FAILED),
        (StepStatus.WAITING, StepStarted): (StepStatus.RUNNING,),
        (StepStatus.WAITING, StepFailed): (StepStatus.FAILED,),
    }
)
"""A step's way through a run. The agent inside a step has a table of its own."""


@dataclass(slots=True)
class StepRecord:
    """What is known of a step besides its status.

    Attributes:
        attempts: How many attempts have started.
        attempts_before: How many of them belong to earlier ends of the run; the limit counts from there.
        is_interrupted: Whether the last attempt was cut off by a crash and is to go on.
        agent_events: What the agent of the current attempt has done so far.
        attempt_began_at: When the newest attempt began, in the process it began in.
        started_at: When the first one did; None before.
        finished_at: When the step reached its final status; None before.
        output: Its output as JSON values, or a `StoredOutput` while a large one is in the store only;
            None until it completed.
        code: Why it failed or was skipped, for programs.
        reason: The same for people.
        spending: What its model calls took, those of failed attempts included.
    """

    attempts: int = 0
    attempts_before: int = 0
    is_interrupted: bool = False
    agent_events: list[AgentEvent] = field(default_factory=list)
    attempt_began_at: float = 0.0
    started_at: float | None = None
    finished_at: float | None = None
    output: object = None
    code: str = ""
    reason: str = ""
    spending: Spending = Spending()
    spent_before: Spending = Spending()

    @property
    def next_attempt(self) -> int:
        """The number of the next attempt; an interrupted one keeps its own."""
        return self.attempts if self.is_interrupted else self.attempts + 1


@dataclass(slots=True)
class PipelineState:
    """The state of one run.

    Attributes:
        graph: The steps and their dependencies.
        run_id: The run; empty before `RunStarted`.
        pipeline: The pipeline's name.
        labels: Names and values to find the run by.
        status: Where the run stands.
        started_at: When it began, in seconds since 1970-01-01 UTC.
        last_at: The time of the newest event.
        inputs: The inputs by name, as JSON values.
        shared: The shared memory by key, as JSON values.
        facts: What completed steps learned, by name.
        memories: What completed steps saved, by key.
        statuses: Step name -> where it stands, in definition order.
        steps: Step name -> what else is known of it.
        unmet: Step name -> how many of its dependencies have not completed.
        ready: Places of the steps that may start now, SERIAL ones aside; a heap.
        ready_serial: Places of the SERIAL steps that may start, one at a time; a heap.
        running: The steps with a started attempt.
        serial_running: The SERIAL step that has begun and not ended, waits for its next attempt included;
            empty when there is none. Only one has: they come one after another.
        retries: Step name -> when its next attempt is due.
        doomed: Step name -> (code, reason) why it has to be skipped.
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
    started_at: float = 0.0
    last_at: float = 0.0
    inputs: dict[str, object] = field(default_factory=dict)
    shared: dict[str, object] = field(default_factory=dict)
    facts: dict[str, object] = field(default_factory=dict)
    memories: dict[str, object] = field(default_factory=dict)
    statuses: dict[str, StepStatus] = field(default_factory=dict)
    steps: dict[str, StepRecord] = field(default_factory=dict)
    unmet: dict[str, int] = field(default_factory=dict)
    ready: list[int] = field(default_factory=list)
    ready_serial: list[int] = field(default_factory=list)
    running: set[str] = field(default_factory=set)
    serial_running: str = ""
    retries: dict[str, float] = field(default_factory=dict)
    doomed: dict[str, tuple[str, str]] = field(default_factory=dict)
    unfinished: int = 0
    idle_resumes: int = 0

    def __post_init__(self) -> None:
        self.unfinished = len(self.graph.positions)
        for name in self.graph.positions:
            self.statuses[name] = StepStatus.PENDING
            self.steps[name] = StepRecord()
            self.unmet[name] = len(self.graph.incoming[name])
            if not self.unmet[name]:
                self.make_ready(name)

    @property
    def cost_usd(self) -> float:
        """The sum of the known prices so far."""
        return sum(record.spending.cost_usd for record in self.steps.values())

    def make_ready(self, name: str) -> None:
        """Put a step that waits for nothing any more into its queue."""
        heappush(self.ready_serial if name in self.graph.serial else self.ready, self.graph.positions[name])

    @property
    def is_finished(self) -> bool:
        """Whether the run has its final status."""
        return self.status not in {RunStatus.RUNNING, RunStatus.WAITING}


def fold(graph: ExecutionGraph, events: Iterable[RunEvent]) -> PipelineState:
    """Return the state that `events` lead to, from the beginning of the run."""
    state = PipelineState(graph)
    for event in events:
        apply(state, event)
    return state


def apply(state: PipelineState, event: RunEvent) -> None:
    """Change `state` to what it is after `event`.

    Raises:
        IllegalTransitionError: If the event cannot happen in the step's status.
    """
    match event:
        case RunStarted():
            state.run_id = event.run_id
            state.pipeline = event.pipeline
            state.labels = event.labels
            state.started_at = event.at
            state.inputs = dict(event.inputs)
            state.shared = dict(event.shared)
        case RunResumed():
            # The clock of another process may be behind: nobody waits longer than was left to wait.
            left = {name: max(0.0, at - state.last_at) for name, at in state.retries.items()}
            state.retries = {name: min(at, event.at + left[name]) for name, at in state.retries.items()}
            _reopen(state, everything=state.is_finished)
            state.idle_resumes += 1
        case RunForked():
            state.retries.clear()
            _reopen(state, everything=True)
            state.idle_resumes = 0
        case RunFinished():
            state.status = event.status
            state.idle_resumes = 0
        case _:
            _apply_to_step(state, event)
    state.last_at = max(state.last_at, event.at)


def _apply_to_step(state: PipelineState, event: StepEvent) -> None:
    record = state.steps[event.step]
    match event:
        case StepStarted():
            _move(state, event, StepStatus.RUNNING)
            _leave_queue(state, event.step)
            state.running.add(event.step)
            if event.attempt != record.attempts:
                record.agent_events.clear()
                record.spent_before = record.spending
                record.attempt_began_at = event.at
            record.is_interrupted = False
            record.attempts = event.attempt
            if record.started_at is None:
                record.started_at = event.at
        case AgentProgressed():
            _move(state, event, StepStatus.RUNNING)
            state.idle_resumes = 0
            record.agent_events.append(event.event)
            for call in calls_of(event.event):
                record.spending = record.spending.plus(call)
        case StepCompleted():
            _finish(state, event, StepStatus.COMPLETED)
            state.idle_resumes = 0
            record.agent_events.clear()
            record.output = event.output
            record.code = record.reason = ""
            state.facts.update(event.facts)
            state.memories.update(event.memories)
            state.shared.update(event.memories)
            _settle(state, event.step, StepStatus.COMPLETED)
        case StepFailed():
            record.code, record.reason = event.code, event.reason
            if event.retry_at is None:
                _finish(state, event, StepStatus.FAILED)
                _settle(state, event.step, StepStatus.FAILED)
            else:
                _move(state, event, StepStatus.WAITING)
                state.running.discard(event.step)
                state.retries[event.step] = event.retry_at
        case StepSkipped():
            _finish(state, event, StepStatus.SKIPPED)
            state.doomed.pop(event.step, None)
            record.code, record.reason = event.code, event.reason
            _settle(state, event.step, StepStatus.SKIPPED)
        case _:
            assert_never(event)


def _reopen(state: PipelineState, *, everything: bool) -> None:
    """Open again what was cut off, or `everything` that did not complete; then work out what waits for what."""
    state.status = RunStatus.RUNNING
    state.running.clear()
    state.serial_running = ""
    for name, status in state.statuses.items():
        record = state.steps[name]
        if status is StepStatus.WAITING and name in state.graph.serial:
            state.serial_running = name
        if status is StepStatus.RUNNING:
            record.is_interrupted = True
            state.statuses[name] = StepStatus.PENDING
        elif everything and status is not StepStatus.COMPLETED:
            record.attempts_before = record.attempts
            record.finished_at = None
            record.code = record.reason = ""
            state.statuses[name] = StepStatus.PENDING
    _recount(state)


def _recount(state: PipelineState) -> None:
    """Work out afresh, from the statuses alone, what each step waits for and which may start."""
    state.doomed.clear()
    state.ready.clear()
    state.ready_serial.clear()
    state.unfinished = sum(not status.is_terminal for status in state.statuses.values())
    for name, status in state.statuses.items():
        if status is StepStatus.PENDING:
            state.unmet[name] = len(state.graph.incoming[name])
            if not state.unmet[name]:
                state.make_ready(name)
    for name, status in state.statuses.items():
        if status.is_terminal:
            _settle(state, name, status)


def _settle(state: PipelineState, name: str, status: StepStatus) -> None:
    """Tell those that wait for a step of its final status."""
    if status is StepStatus.COMPLETED:
        for edge in state.graph.outgoing[name]:
            _release(state, edge, state.steps[name].output)
    else:
        how = "failed" if status is StepStatus.FAILED else "was skipped"
        for edge in state.graph.outgoing[name]:
            if state.statuses[edge.target] is StepStatus.PENDING:
                reason = f"The step {name!r} before it {how}."
                state.doomed.setdefault(edge.target, ("upstream_failed", reason))


def _move(state: PipelineState, event: StepEvent, target: StepStatus) -> None:
    state.statuses[event.step] = STEP_TABLE.check(state.statuses[event.step], type(event), target)


def _finish(state: PipelineState, event: StepEvent, target: StepStatus) -> None:
    _move(state, event, target)
    state.running.discard(event.step)
    if state.serial_running == event.step:
        state.serial_running = ""
    state.retries.pop(event.step, None)
    state.steps[event.step].finished_at = event.at
    state.unfinished -= 1


def _leave_queue(state: PipelineState, name: str) -> None:
    """Take a starting step off the queue it waited in; the scheduler starts steps in the queue's order."""
    if state.retries.pop(name, None) is None:
        queue = state.ready_serial if name in state.graph.serial else state.ready
        place = state.graph.positions[name]
        if queue and queue[0] == place:
            heappop(queue)
        elif place in queue:  # started out of turn, under an earlier definition of the run
            queue.remove(place)
            heapify(queue)
    if name in state.graph.serial:
        state.serial_running = name


def _release(state: PipelineState, edge: Edge, output: object) -> None:
    """Count down what the edge's target waits for, or doom it if the data it needs is not there."""
    target = edge.target
    if state.statuses[target] is not StepStatus.PENDING or target in state.doomed:
        return
    # What is not in memory is not looked into: `LargeOutputs.prepare` reads it before a run goes on, which counts anew.
    if edge.path is not None and not isinstance(output, StoredOutput):
        try:
            edge.path.look_up({edge.source: output})
        except DataPathError as error:
            state.doomed[target] = (
                "dependency_unmet",
                f"What it needs of {edge.source!r} is missing: {error}",
            )
            return
    state.unmet[target] -= 1
    if not state.unmet[target]:
        state.make_ready(target)
