"""The attempts of a run that are under way: each a task that works, and reports to the run's inbox."""

import asyncio
from collections.abc import Sequence
from functools import partial

from tagent.effects import EffectBuffer
from tagent.exceptions import TAgentError
from tagent.pipeline.attempts import AttemptFailed, AttemptOutcome, AttemptPaused, AttemptSucceeded
from tagent.pipeline.closing import is_at_work
from tagent.pipeline.context import StepContext
from tagent.pipeline.course.showing import Audience
from tagent.pipeline.driving.accounts import RunAccounts
from tagent.pipeline.driving.deciding import AttemptStart, Unit, is_current, unit_of, work_at
from tagent.pipeline.driving.inbox import Inbox, Inside, Progress, Report
from tagent.pipeline.driving.standing import Standing
from tagent.pipeline.events import AgentNoticed, RunEvent
from tagent.pipeline.hooks import Hooks, StepOutcome
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.state import PipelineState
from tagent.pipeline.step_executor import StepExecutor, failed_by
from tagent.ports.clock import Clock
from tagent.ports.effects import Effects
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.events import AgentEvent, AgentNotice
from tagent.task_agent.models import Failure


class AttemptTasks:
    """Runs attempts.

    Args:
        state: The run's state; it is only read.
        steps: Does their work.
        hooks: Are called around each.
        inbox: Takes their reports.
        accounts: What their model calls are paid from.
        audience: Sees what their agents do right now.
        clock: The time.
        standing: Knows which time counts for no deadline.
    """

    def __init__(
        self,
        state: PipelineState,
        steps: StepExecutor,
        hooks: Hooks,
        inbox: Inbox,
        accounts: RunAccounts,
        audience: Audience,
        clock: Clock,
        standing: Standing,
    ) -> None:
        self._state = state
        self._steps = steps
        self._hooks = hooks
        self._inbox = inbox
        self._accounts = accounts
        self._audience = audience
        self._clock = clock
        self._standing = standing
        self._tasks: dict[str, dict[str, tuple[AttemptStart, asyncio.Task[None]]]] = {}
        self._is_stopping = False

    def begin(self, group: asyncio.TaskGroup, start: AttemptStart) -> None:
        """Begin an attempt whose start is committed, as a task of `group`."""
        step, part = unit_of(start)
        name = f"step:{step}[{part}]" if part else f"step:{step}"
        task = group.create_task(self._run(start), name=name)
        task.add_done_callback(partial(self._ended, start))
        self._tasks.setdefault(step, {})[part] = start, task

    def cancel(self, step: str) -> None:
        """Stop what is under way of a step that has its final status."""
        for _, task in tuple(self._tasks.get(step, {}).values()):
            task.cancel()

    def stop(self) -> None:
        """From now on report nothing of attempts that are cancelled: the run is left."""
        self._is_stopping = True

    async def _run(self, start: AttemptStart) -> None:
        """Run one attempt and report its outcome; a cancellation of the run passes through."""
        unit, task = unit_of(start), asyncio.current_task()
        context: StepContext | None = None
        attempt = self._attempt_of(start, unit)
        try:
            if self._hooks and (context := await self._context_of(unit, attempt)) is not None:
                await self._hooks.before(context)
            outcome = await self._steps.run_attempt(*unit, attempt)
        except asyncio.CancelledError:
            if context is not None and not is_current(self._state, start):  # its step was cancelled
                await self._hooks.after(context, self._outcome_of(unit, None))
            if self._is_stopping or not is_current(self._state, start):
                raise
            reason = f"The step {start.step!r} cancelled itself."
            outcome = AttemptFailed(Failure("step.cancelled", reason))
        except GeneratorExit as error:  # here: what comes out of a future closes all that is further inside
            if not is_at_work(task):
                raise
            outcome = failed_by(start.step, error)
        finally:
            self._forget_task(start, unit)
        await self._report(start, context, outcome)

    async def _report(self, start: AttemptStart, context: StepContext | None, outcome: AttemptOutcome) -> None:
        """Report how an attempt ended, and tell the hooks if there is something to be told."""
        unit = unit_of(start)
        if isinstance(outcome, AttemptPaused):
            if context is not None:  # before it can go on, which is a beginning for them
                await self._hooks.after(
                    context, StepOutcome(StepStatus.WAITING, None, outcome.failure.code, outcome.failure.reason)
                )
            self._inbox.put(Report(start, outcome))
            return
        if context is None:
            self._inbox.put(Report(start, outcome))
            return
        await self._inbox.put_and_wait(start, outcome)
        await self._hooks.after(context, self._outcome_of(unit, outcome))

    async def _context_of(self, unit: Unit, attempt: Attempt) -> StepContext | None:
        """Return what hooks are given; None if the run cannot be read, which then fails the attempt itself."""
        try:
            return await self._steps.context(*unit, attempt)
        except TAgentError:
            return None

    def _forget_task(self, start: AttemptStart, unit: Unit) -> None:
        """Let go of a task that ends, unless the next attempt has taken its place."""
        step, part = unit
        tasks = self._tasks.get(step, {})
        if part in tasks and tasks[part][0] is start:
            del tasks[part]
            if not tasks:
                del self._tasks[step]

    def _ended(self, start: AttemptStart, task: asyncio.Task[None]) -> None:
        """Report an attempt that somebody has cancelled before its first line: it could not itself."""
        if task.cancelled() and not self._is_stopping and is_current(self._state, start):
            reason = f"The step {start.step!r} was cancelled by something else in its process."
            self._inbox.put(Report(start, AttemptFailed(Failure("step.cancelled", reason))))

    def _outcome_of(self, unit: Unit, outcome: AttemptOutcome | None) -> StepOutcome:
        """Return how an attempt ended, as hooks are told; None if it was cancelled."""
        step, part = unit
        status = self._state.steps[step].part(part).status if part else self._state.statuses[step]
        if isinstance(outcome, AttemptSucceeded) and status is StepStatus.COMPLETED:
            return StepOutcome(status, outcome.output)
        known = work_at(self._state, unit)  # a success may have been refused when it was to be committed
        return StepOutcome(status, None, known.code, known.reason)

    def _attempt_of(self, start: AttemptStart, unit: Unit) -> Attempt:
        """Return the attempt as its work sees it."""
        step = start.step

        async def record(event: AgentEvent) -> None:
            await self._inbox.put_and_wait(start, Progress(event))

        known = work_at(self._state, unit)
        approval = self._state.graph.rules(step).approval
        may_merge = (
            bool(unit[1]) or approval is None or approval.of != "output"
        )  # what waits to be approved is journalled
        return Attempt(
            start.attempt,
            start.idempotency_key,
            record,
            tuple(known.agent_events),
            known.attempt_began_at,
            reach=self._steps.reach_of(step),
            on_event=partial(self._notice, start),
            spent=known.spent_before,
            accounts=self._accounts.of(step),
            work_began_at=self._standing.began_at(step),
            effects=EffectBuffer(may_merge=may_merge),
            commit_inner=partial(self._commit_inside, start),
            cleared=known.cleared,
            in_doubt=known.in_doubt,
        )

    async def _commit_inside(self, start: AttemptStart, events: Sequence[RunEvent], effects: Effects) -> None:
        """Return when what happened in the pipeline inside an attempt is durable.

        Raises:
            EffectRefusedError: If an effect cannot be had; nothing was written.
        """
        await self._inbox.put_and_wait(start, Inside(events, effects))

    def _notice(self, start: AttemptStart, event: AgentEvent | AgentNotice) -> None:
        """Show what an agent does right now; its events are shown when they are committed."""
        if isinstance(event, AgentNotice):
            now = self._clock.now()
            self._audience.show(AgentNoticed(start.step, start.attempt, event, now, unit_of(start)[1]))
