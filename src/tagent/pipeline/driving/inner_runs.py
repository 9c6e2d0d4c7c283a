"""Drives the runs inside the steps of a run. Each is a part of the run around it, which writes what happens there."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from tagent.config import TAgentConfig
from tagent.pipeline.course.copying import copied
from tagent.pipeline.course.showing import Audience
from tagent.pipeline.driving.assembly import Assembly, RunSetup
from tagent.pipeline.driving.deciding import work_at
from tagent.pipeline.driving.inner_journal import InnerJournal
from tagent.pipeline.driving.run_limits import RunLimits
from tagent.pipeline.driving.run_loop import RunLoop
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.events import AgentNoticed, RunEvent, RunHalted, RunResumed, RunStarted
from tagent.pipeline.kinds import RunStatus
from tagent.pipeline.models import Pipeline, PipelineResult, PipelineStep
from tagent.pipeline.outputs import OutputType, output_type
from tagent.pipeline.settings import inner_settings, run_budget
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.work.event_step import listening
from tagent.pipeline.work.inner_step import Inputs
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.services import Services
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.context import EnhancedContextManager
from tagent.threads import ThreadedCall

ROLLBACK = "run.rollback"
"""Why a run is halted whose effects are undone."""


def inner_setup(step: PipelineStep, pipeline: Pipeline, config: TAgentConfig) -> RunSetup:
    """Return what the runs of the pipeline inside `step` have in common.

    Args:
        step: The step.
        pipeline: Its pipeline.
        config: The settings of the run around it.
    """
    settings = inner_settings(step, pipeline, config=config)
    types = {inner.name: output_type(inner) for inner in pipeline.steps}
    return RunSetup(pipeline, settings, run_budget(pipeline, settings), types)


@dataclass(frozen=True, slots=True)
class Around:
    """The run in whose steps others run.

    Attributes:
        state: Where it stands.
        config: Its settings.
        services: What it runs with.
        audience: Who is shown what happens.
        stop: Asks it, and all inside it, to stop.
        place: The way there, like `RUN/outer/2`; empty for a run that is inside no other.
    """

    state: PipelineState
    config: TAgentConfig
    services: Services
    audience: Audience
    stop: StopSignal
    place: str = ""


class InnerRuns:
    """Gives the runs inside the steps of one run.

    Args:
        around: That run.
    """

    def __init__(self, around: Around) -> None:
        self._around = around
        self._setups: dict[str, RunSetup] = {}

    def open(self, step: PipelineStep, part: str, attempt: Attempt) -> "DrivenInside":
        """Return the run inside `step`, or inside a part of it, for one attempt.

        Raises:
            ValueError: If the step has no pipeline.
        """
        if step.pipeline is None:
            raise ValueError(f"The step {step.name!r} has no pipeline.")
        if step.name not in self._setups:  # the same for thousands of items
            self._setups[step.name] = inner_setup(step, step.pipeline, self._around.config)
        return DrivenInside(self._setups[step.name], self._around, step.name, part, attempt)


class DrivenInside:
    """The run inside one attempt at a step.

    Args:
        setup: What is to be run.
        around: The run around it.
        step: The step.
        part: The part of it; empty for the step itself.
        attempt: The attempt.
    """

    def __init__(self, setup: RunSetup, around: Around, step: str, part: str, attempt: Attempt) -> None:
        self._setup = setup
        self._around = around
        self._step = step
        self._part = part
        self._attempt = attempt
        self._assembly: Assembly | None = None

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls of its steps that were given up and may still run."""
        return [] if self._assembly is None else self._assembly.steps.abandoned

    async def result(self, inputs: Callable[[], Awaitable[Inputs]]) -> PipelineResult:
        """Return what the run comes to, which may have begun in an earlier attempt, or before a crash.

        A run that ended in this attempt has ended: what it came to counts. One that ended badly in an earlier attempt
        is taken up again, and does what it did not complete.

        Args:
            inputs: Gives what it begins with; asked only if it has not begun.

        Raises:
            RunStoppedError: If it was asked to stop.
            DeadlockError: If nothing could move any more.
            LostOutputError: If a large output that is needed is not in the store any more.
        """
        known = work_at(self._around.state, (self._step, self._part))
        before = known.inner
        if before is None or before.run_id != self._attempt.idempotency_key:  # its effects were undone since
            return await self._begin(await inputs())
        state = copied(before)  # the run around it applies what is committed to its own
        if state.status is RunStatus.COMPLETED or (state.is_finished and known.inner_attempt == self._attempt.number):
            return await (await self._assembled(state)).reader.result()
        services = self._around.services
        resumed = RunResumed(0, services.processes.user(), "", services.clock.now())
        return await self._drive(state, [resumed], NO_EFFECTS)

    async def undone(self) -> PipelineResult | None:
        """Undo what the run has done, last first, by the compensations of its steps, and return what that comes to.

        What a crash or an end of the run around it left undone in part goes on.

        Returns:
            None if there was no run.

        Raises:
            RunStoppedError: If it was asked to stop.
            LostOutputError: If a large output that is needed is not in the store any more.
        """
        before = self._around.state.steps[self._step].inner
        if before is None:
            return None
        state, services = copied(before), self._around.services
        if state.is_finished and state.halted is not None and state.halted.code == ROLLBACK:
            return await (await self._assembled(state)).reader.result()
        now = services.clock.now()
        first: list[RunEvent] = [RunResumed(0, services.processes.user(), "", now)]
        if state.is_finished:
            first.append(RunHalted(ROLLBACK, "The run around it is rolled back.", now))
        return await self._drive(state, first, NO_EFFECTS)

    async def _begin(self, inputs: Inputs) -> PipelineResult:
        pipeline, services, run_id = self._setup.pipeline, self._around.services, self._attempt.idempotency_key
        graph = self._around.state.graph.rules(self._step).inner
        if graph is None:
            raise ValueError(f"The step {self._step!r} has no pipeline in the graph of its run.")
        shared = {name: OutputType().dump(value, step=name) for name, value in pipeline.shared_context.items()}
        started = RunStarted(
            run_id, pipeline.name, inputs, shared, services.clock.now(), actor=services.processes.user()
        )
        effects = await listening(pipeline, run_id=run_id, store=services.store)
        return await self._drive(PipelineState(graph), [started], effects)

    async def _assembled(self, state: PipelineState) -> Assembly:
        inside = replace(
            self._around, state=state, config=self._setup.config, audience=self._audience, place=self._place
        )
        self._assembly = await Assembly.of(self._setup, state, self._around.services, open_inner=InnerRuns(inside).open)
        return self._assembly

    async def _drive(self, state: PipelineState, first: Sequence[RunEvent], effects: Effects) -> PipelineResult:
        commit = self._attempt.commit_inner
        if commit is None:
            raise ValueError("A pipeline inside a step runs only where its events are written.")
        around, setup = self._around, self._setup
        assembly = await self._assembled(state)
        journal = InnerJournal(state.run_id or self._attempt.idempotency_key, self._place, commit)
        if effects:  # by themselves: what the first steps ask is written with the commits behind
            await journal.commit(first, effects=effects)
            for event in first:
                apply(state, event)
            first = ()
        limits = RunLimits.of(setup.pipeline, setup.budget, state, around.stop, above=self._attempt.accounts)
        known = EnhancedContextManager(setup.pipeline.description, max_tokens=setup.config.context_tokens)
        loop = RunLoop(assembly, journal, limits=limits, audience=self._audience, shared_state=known)
        await loop.run(*first)
        return await assembly.reader.result()

    @property
    def _place(self) -> str:
        above = self._around.place or self._around.state.run_id
        return f"{above}/{self._step}/{self._part}" if self._part else f"{above}/{self._step}"

    @property
    def _audience(self) -> Audience:
        """Who is shown what its agents do right now; its events are shown once the run around it has written them."""
        place = f"{self._step}/{self._part}" if self._part else self._step
        return Audience([_NoticesInside(self._around.audience, f"{place}/")])


@dataclass(frozen=True, slots=True)
class _NoticesInside:
    """Passes on what agents in a run inside do right now, with the path of their step."""

    audience: Audience
    path: str

    def emit(self, event: object) -> None:
        """Pass it on, if it is that."""
        if isinstance(event, AgentNoticed):
            self.audience.show(replace(event, step=f"{self.path}{event.step}"))
