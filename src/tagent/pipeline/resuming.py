"""Taking a run up again: which definition counts, what is reused, and whether it is worth another try."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from tagent.budget import LIMITS, Budget
from tagent.config import TAgentConfig
from tagent.pipeline.changes import events_awaited
from tagent.pipeline.course.records import StepRecord
from tagent.pipeline.course.reports import parts_done, summary_of
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.events import RunEvent, RunFinished, RunResumed, RunStarted
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.executor import PipelineExecutor
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import first_definition, latest_definition, load_events
from tagent.pipeline.models import Pipeline, PipelineResult, RunStatus, StepStatus
from tagent.pipeline.nesting import runs_inside
from tagent.pipeline.outputs import output_type
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.selecting import selection_of
from tagent.pipeline.settings import overridden
from tagent.pipeline.state import PipelineState, apply, fold
from tagent.pipeline.stored.changed import with_changes
from tagent.pipeline.stored.definition import Definition, bind
from tagent.pipeline.stored.origins import code_of
from tagent.pipeline.validation import require_valid
from tagent.pipeline.work.reading import result_of_state
from tagent.ports.services import Services
from tagent.task_agent.events import AgentEvent, ModelFailed, TaskCompleted, calls_of

MAX_IDLE_RESUMES = 5
"""How often in a row a run may be resumed without getting any further before it is given up."""

MOST_NAMED = 10
"""So many pieces of work that were under way each time are named."""

DefinitionChoice = Literal["stored", "current"]


class CrashLoopError(PipelineError):
    """A run was resumed again and again without getting any further.

    Attributes:
        run_id: The run.
        resumes: How often.
    """

    code = "run.crash_loop"

    def __init__(self, run_id: str, *, resumes: int, running: tuple[str, ...]) -> None:
        self.run_id = run_id
        self.resumes = resumes
        steps = ", ".join(map(repr, running[:MOST_NAMED])) or "no step"
        more = f" and {len(running) - MOST_NAMED} more" if len(running) > MOST_NAMED else ""
        were = "was" if len(running) <= 1 else "were"
        super().__init__(
            f"Run {run_id} was resumed {resumes} times without getting any further; {steps}{more} {were} running each "
            "time.",
            hint="Mend the step, then resume the run once more.",
        )


@dataclass(frozen=True, slots=True)
class Reuse:
    """What a resumed run need not do again.

    Attributes:
        run_id: The run.
        pipeline: Its pipeline's name.
        completed: The completed steps, in definition order.
        interrupted: Interrupted step -> how many of its agents' finished calls are reused.
        open: The other steps that are still to be done; those that were left out stay so.
        parts: Step that is still to be done -> how many of its items or branches are completed, and how many it has;
            None where that is not known, as right after a fork.
        inside: Step that is still to be done -> how many steps of the pipelines that it runs are completed, without
            those of completed items and rounds.
    """

    run_id: str
    pipeline: str
    completed: tuple[str, ...]
    interrupted: Mapping[str, int]
    open: tuple[str, ...]
    parts: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)
    inside: Mapping[str, int] = field(default_factory=dict)


async def resume_run(
    run_id: str,
    services: Services,
    config: TAgentConfig,
    *,
    pipeline: Pipeline | None = None,
    definition: DefinitionChoice = "stored",
    overrides: TAgentConfig | None = None,
    announce: Callable[[Reuse], None] | None = None,
    stop: StopSignal | None = None,
) -> PipelineResult:
    """Take up the run and return what it comes to; a completed run is returned as it is.

    Args:
        run_id: The run.
        services: Where it is kept, and all else.
        config: Settings below the pipeline's own.
        pipeline: The code to bind; None loads it from where the run remembers it came from.
        definition: `stored` goes on with the definition that the run was started with; `current`
            uses today's for what is not completed.
        overrides: Settings over those of the pipeline.
        announce: Told what is reused before anything runs.
        stop: Asks it to stop between two steps.

    Raises:
        UnknownRunError: If no run has this id.
        RunHeldError: If a live process drives it.
        NoPipelineError: If it was built in code and no `pipeline` is given.
        DefinitionMismatchError: If the code does not fit.
        CrashLoopError: If it was resumed too often without getting any further.
        StepOutputError: If a stored output does not fit the type that its step has today; of a large one,
            whoever reads it from the result is told.
        LostOutputError: If a large output that is needed is not in the store any more.
        RunStoppedError: If it was asked to stop.
    """
    first = await first_definition(services.store, run_id)
    # Before the claim, as a file may take long to load: every later definition of the run is of the same file.
    code = pipeline or code_of(first, run_id=run_id, hint=how_to_resume(run_id))
    journal = await RunJournal.claim(services, run_id, lease_seconds=config.lease_seconds)
    try:
        # Behind the claim, where nobody else adds to them; whole only where what is released could not be read again.
        events = await load_events(services.store, run_id, is_whole=not services.store_url)
        stored = latest_definition(first, events)
        is_current = definition == "current"
        chosen = code if is_current else bind(stored, code)
        if overrides is not None and overrides.model_fields_set.intersection(LIMITS):  # whoever is next has them too
            chosen = Pipeline(chosen, budget=overridden(Budget.of(chosen.budget), overrides))
            counts = Definition.of(chosen, stored.origin)
        else:
            counts = Definition.of(code, stored.origin) if is_current else stored
        resumed = RunResumed(
            journal.epoch,
            services.processes.user(),
            counts.hash,
            services.clock.now(),
            definition="" if counts.hash == stored.hash else counts.payload.decode(),
        )
        return await _go_on(
            journal,
            events,
            chosen,
            counts,
            services,
            config,
            resumed,
            overrides=overrides,
            announce=announce,
            stop=stop,
        )
    finally:  # whatever came of it: a claim that stays would keep everybody out until its lease ends
        await journal.release()


def how_to_resume(run_id: str) -> str:
    """Return how somebody goes on with a run of which nobody knows where its pipeline is."""
    return f"Name it: resume({run_id!r}, pipeline=...), or `tagent runs resume {run_id} FILE`."


async def _go_on(
    journal: RunJournal,
    events: tuple[RunEvent, ...],
    pipeline: Pipeline,
    counts: Definition,
    services: Services,
    config: TAgentConfig,
    resumed: RunResumed,
    *,
    overrides: TAgentConfig | None,
    announce: Callable[[Reuse], None] | None,
    stop: StopSignal | None,
) -> PipelineResult:
    begun = next(event for event in events if isinstance(event, RunStarted))
    graph = ExecutionGraph.build(pipeline)
    state = fold(graph, events)
    if state.status is RunStatus.COMPLETED:
        types = {step.name: output_type(step) for step in with_changes(pipeline, state.changes).steps}
        return await result_of_state(pipeline, state, types=types, services=services)
    at_work = _at_work(pipeline, state)
    if state.idle_resumes >= MAX_IDLE_RESUMES and at_work:  # one that only waits may see many processes come and go
        error = CrashLoopError(journal.run_id, resumes=state.idle_resumes, running=at_work)
        finished = RunFinished(RunStatus.FAILED, services.clock.now(), error.code, error.message)
        apply(state, finished)
        await journal.commit([finished], summary_of(state))
        raise error
    executor = PipelineExecutor(
        pipeline,
        config,
        inputs=begun.inputs,
        overrides=overrides,
        definition=counts,
        selection=selection_of(state),
        services=services,
    )
    after = fold(graph, (*events, resumed)) if announce is not None or state.changes else None
    if after is not None and after.changes:  # with another definition they may not fit any more
        require_valid(with_changes(pipeline, after.changes), inputs=tuple(begun.inputs) or None, tools=config.tools)
    for inner, inside in runs_inside(state, pipeline):  # what is missing stops the resume, not a step of the run
        with_changes(inside, inner.changes)
    if announce is not None and after is not None:
        announce(_reuse(state, after))
    return await executor.go_on(state, journal, resumed, services, stop=stop)


def _at_work(pipeline: Pipeline, state: PipelineState) -> tuple[str, ...]:
    """Return what was under way when the run was left, parts of steps by their paths; events are only waited for."""
    waiting = {step.name for step in pipeline.steps if step.wait_for is not None}
    waiting.update(name for by in state.changes for name in events_awaited(by.change))
    parts: dict[str, list[str]] = {}
    for name, part in sorted(state.running_parts):
        parts.setdefault(name, []).append(f"{name}/{part}")
    return tuple(
        path
        for name in state.graph.names
        for path in parts.get(name, [name] if name in state.running and name not in waiting else [])
    )


def _reuse(before: PipelineState, after: PipelineState) -> Reuse:
    """Return what is reused of a run.

    Args:
        before: Its state as it was left.
        after: Its state when it is taken up again.
    """
    at_work = before.running | {step for step, _ in before.running_parts}
    interrupted = {name: _finished_calls(before.steps[name]) for name in before.statuses if name in at_work}
    rest = {name: status for name, status in after.statuses.items() if name not in interrupted}
    parts = {
        name: (done, before.steps[name].count)
        for name, status in after.statuses.items()
        if not status.is_terminal and (done := parts_done(after, name))
    }
    inside = {
        name: done
        for name, status in after.statuses.items()
        if not status.is_terminal and (done := _steps_inside(after.steps[name]))
    }
    return Reuse(
        before.run_id,
        before.pipeline,
        tuple(name for name, status in rest.items() if status is StepStatus.COMPLETED),
        interrupted,
        tuple(name for name, status in rest.items() if not status.is_terminal),
        parts,
        inside,
    )


def _steps_inside(record: StepRecord) -> int:
    """Return how many steps inside a step are completed, those of pipelines further inside too."""
    works = [record, *(part for part in record.parts.values() if part.status is not StepStatus.COMPLETED)]
    return sum(
        1 if work.inner.statuses[name] is StepStatus.COMPLETED else _steps_inside(inside)
        for work in works
        if work.inner is not None
        for name, inside in work.inner.steps.items()
    )


def _finished_calls(record: StepRecord) -> int:
    """Return how many calls of the agents that were at work need not be made again, those of parts and inside too."""
    works = [record, *(part for part in record.parts.values() if part.status is StepStatus.RUNNING)]
    own = sum(_is_finished_call(event) for work in works for event in work.agent_events)
    return own + sum(
        _finished_calls(inside)
        for work in works
        if work.inner is not None
        for name, inside in work.inner.steps.items()
        if not work.inner.statuses[name].is_terminal
    )


def _is_finished_call(event: AgentEvent) -> bool:
    """Return whether the event tells of a call of a model or a tool that need not be made again."""
    return isinstance(event, TaskCompleted) or (bool(calls_of(event)) and not isinstance(event, ModelFailed))
