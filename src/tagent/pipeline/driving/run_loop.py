"""The loop of one run: decide, journal, act. It is the one writer of the run's journal."""

import asyncio
from dataclasses import replace
from functools import partial

from tagent.effects import is_spare
from tagent.exceptions import StoreError, ungrouped
from tagent.pipeline.attempts import AttemptFailed, AttemptPaused, AttemptSucceeded
from tagent.pipeline.course.commands import PauseRun
from tagent.pipeline.course.reports import summary_of
from tagent.pipeline.course.showing import Audience
from tagent.pipeline.driving.approvals import ApprovalDesk
from tagent.pipeline.driving.assembly import Assembly
from tagent.pipeline.driving.attempt_tasks import AttemptTasks
from tagent.pipeline.driving.commits import Commits
from tagent.pipeline.driving.deciding import AttemptStart, Decider, Unit, is_current, unit_of
from tagent.pipeline.driving.inbox import Inbox, Inside, Progress, Report
from tagent.pipeline.driving.run_limits import RunLimits
from tagent.pipeline.driving.standing import Standing
from tagent.pipeline.events import (
    AgentProgressed,
    ApprovalAnswered,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    RunEvent,
    RunForked,
    RunPaused,
    RunResumed,
    RunStarted,
    StepCancelled,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
    StepSubstituted,
)
from tagent.pipeline.exceptions import DeadlockError, RunStoppedError
from tagent.pipeline.hooks import Hooks
from tagent.pipeline.kinds import RunStatus
from tagent.pipeline.persistence import Journal
from tagent.pipeline.scheduler import AWAITING_APPROVAL
from tagent.pipeline.state import apply
from tagent.ports.effect_errors import DocumentConflictError, EffectRefusedError
from tagent.ports.effects import NO_EFFECTS
from tagent.ports.records import RunSummary
from tagent.ports.store_errors import ConflictError
from tagent.task_agent.context import EnhancedContextManager

_BEGINNINGS = (RunStarted, RunResumed, RunForked)
_OUTPUTS = (StepCompleted, StepSubstituted)
_SUCCESSES = (StepCompleted, PartCompleted)
_CUT_OFF = (StepSkipped, StepCancelled)


class RunLoop:
    """Drives one run. Attempts report to its inbox; whatever waits there is committed together."""

    def __init__(
        self,
        assembly: Assembly,
        journal: Journal,
        *,
        limits: RunLimits,
        audience: Audience,
        shared_state: EnhancedContextManager,
    ) -> None:
        self._state = state = assembly.state
        self._services = services = assembly.services
        self._steps = steps = assembly.steps
        self._large = assembly.large
        self._changes = assembly.changes
        self._journal = journal
        self._commits = Commits(journal, assembly.large, services)
        self._shared_state = shared_state
        self._stop = limits.stop
        self._limits = limits
        self._audience = audience
        self._approvals = ApprovalDesk(state, services, place=journal.place, is_inner=journal.is_inner)
        self._decider = Decider(
            state,
            steps.definitions,
            steps.output_types,
            is_abandoned=steps.is_abandoned,
            random=services.random,
        )
        self._inbox = Inbox(services.clock)
        hooks = Hooks(assembly.pipeline.before_step, assembly.pipeline.after_step, services)
        self._standing = Standing(state)
        self._attempts = AttemptTasks(
            state, steps, hooks, self._inbox, limits.accounts, audience, services.clock, self._standing
        )
        self._paused: dict[Unit, tuple[AttemptStart, AttemptPaused]] = {}
        self._pause: PauseRun | None = None
        self._wake_at: float | None = None
        self._lost: StoreError | None = None
        self._deadlock: DeadlockError | None = None

    async def run(self, *first: RunEvent) -> None:
        """Commit the `first` events, drive the run to its end, and give the claim up.

        Raises:
            ConflictError: If another process took the run over; this one has stopped its steps.
            StoreError: If the journal could not be written; the run can be resumed.
            RunStoppedError: If it was asked to stop.
            DeadlockError: If nothing could move any more; the run has failed.
        """
        loop = asyncio.get_running_loop()

        def on_lost(error: ConflictError) -> None:
            loop.call_soon_threadsafe(self._lose, error)

        self._journal.hold(on_lost=on_lost)
        try:
            with ungrouped():
                async with asyncio.TaskGroup() as group:
                    try:
                        with (
                            self._stop.watched(self._inbox.wake),
                            self._journal.watched(group),
                            self._approvals.watched(),
                        ):
                            await self._loop(group, list(first))
                    finally:
                        self._attempts.stop()
        finally:
            await self._journal.release()

    def _lose(self, error: StoreError) -> None:
        """Stop as soon as the loop looks: somebody else drives the run now."""
        self._lost = error
        self._inbox.wake()

    async def _loop(self, group: asyncio.TaskGroup, events: list[RunEvent]) -> None:
        await self._begin(group, events)
        committed: list[asyncio.Future[None]] = []
        while True:
            self._learn_changes()
            starts = self._decide(events)
            pause = await self._pause_now()
            if events or pause is not None:
                await self._commit(events, pause)
            self._tell(events, committed)
            self._approvals.watch(group, self._inbox.wake, is_paused=bool(self._paused))
            for start in starts:
                self._attempts.begin(group, start)
            if self._has_ended():
                return
            if not self._approvals.has_news and self._lost is None:
                await self._wait()
            if self._lost is not None:
                raise self._lost
            events, committed = await self._take()
            self._take_answers(group, events)

    async def _begin(self, group: asyncio.TaskGroup, events: list[RunEvent]) -> None:
        """Apply the first events, and see to what is asked in a run that is taken up."""
        for event in events:
            apply(self._state, event)
        if events and isinstance(events[0], RunResumed):
            await self._approvals.take_up()
            if self._state.moot and await self._approvals.look():  # what was said all the same counts
                self._take_answers(group, events)

    async def _wait(self) -> None:
        """Return when something has happened. As in a run that pauses, no deadline counts the time of people alone."""
        began_at = None if self._pause is None else self._services.clock.now()
        await self._inbox.wait(until=self._wake_at)
        if began_at is not None:
            self._standing.note(max(0.0, self._services.clock.now() - began_at))

    def _learn_changes(self) -> None:
        """Have everything know the steps that are new in the state, or other ones than before."""
        if steps := self._changes.news():
            self._steps.learn(steps)
            self._limits.accounts.learn(steps)
            self._large.learned()

    def _has_ended(self) -> bool:
        """Return whether there is nothing left to do here.

        Raises:
            DeadlockError: If the run ended so.
            RunStoppedError: If it was asked to stop, and nothing of it is under way.
        """
        state = self._state
        if self._deadlock is not None:
            raise self._deadlock
        if state.is_finished or state.status is RunStatus.WAITING:
            return True
        if self._stop.is_given:
            at_work = ({(step, "") for step in state.running} | state.running_parts) - self._paused.keys()
            if all(not part and self._steps.only_waits(step) for step, part in at_work):
                raise RunStoppedError(state.run_id)
        return False

    def _tell(self, events: list[RunEvent], committed: list[asyncio.Future[None]]) -> None:
        """Tell everybody who is to know what is committed now, and stop what was cancelled."""
        for event in events:
            self._show(event)
            if isinstance(event, _CUT_OFF):
                self._attempts.cancel(event.step)
        for future in committed:
            if not future.done():
                future.set_result(None)

    def _summary(self, events: list[RunEvent], pause: RunPaused | None) -> RunSummary | None:
        """Return what lists are to show, when the events changed it: at beginnings and ends, not for each step."""
        if pause is not None:
            return replace(summary_of(self._state), status=RunStatus.WAITING.value)
        is_told = isinstance(events[0], _BEGINNINGS) or self._state.is_finished
        return summary_of(self._state) if is_told else None

    def _decide(self, events: list[RunEvent]) -> list[AttemptStart]:
        """Append what is to happen to `events`, and return which attempts begin."""
        self._pause = None
        if self._stop.is_given and (self._state.unfinished or self._state.to_undo):
            return []
        limits = self._limits.now(self._state, paused=self._waiting, stood_seconds=self._standing.seconds)
        decided = self._decider.decide(self._services.clock.now, limits)
        self._wake_at, self._deadlock, self._pause = decided.wake_at, decided.deadlock, decided.pause
        events += decided.events
        return decided.starts

    @property
    def _waiting(self) -> dict[Unit, tuple[str, str]]:
        """What is under way and waits for somebody, and for what; whatever has ended meanwhile is not."""
        if not self._paused:
            return {}
        under_way = self._state.running_parts | {(step, "") for step in self._state.running}
        return {u: (p.failure.code, p.failure.reason) for u, (_, p) in self._paused.items() if u in under_way}

    async def _pause_now(self) -> RunPaused | None:
        """Return what has nobody drive the run until somebody resumes it; in a store in memory nobody could."""
        pause = self._pause
        if pause is None or await self._approvals.look():
            return None
        is_lost = not (self._services.store_url or self._journal.is_inner)
        if is_lost and pause.code == AWAITING_APPROVAL:
            self._approvals.remind(pause.reason)
            return None
        return RunPaused(pause.code, pause.reason, self._services.clock.now())

    async def _commit(self, events: list[RunEvent], pause: RunPaused | None) -> None:
        """Commit what has happened, and the pause with it unless somebody has answered meanwhile."""
        effects = self._approvals.effects(events)
        while events or pause is not None:
            told = events if pause is None else [*events, pause]
            held = NO_EFFECTS if pause is None else self._approvals.unanswered(besides=effects)
            try:
                await self._commits.commit(told, self._summary(events, pause), effects.plus(held))
                break
            except DocumentConflictError as conflict:
                effects = await self._approvals.mended(conflict)
                pause = None if pause is None else await self._pause_now()
        if pause is not None:
            apply(self._state, pause)
            events.append(pause)

    def _take_answers(self, group: asyncio.TaskGroup, events: list[RunEvent]) -> None:
        """Turn the answers that were found into events, and let go on what waits for one inside."""
        now = self._services.clock.now()
        for path, answer in self._approvals.news().items():
            if path in self._state.asked:
                event = ApprovalAnswered(
                    path,
                    answer.is_approved,
                    now,
                    actor=answer.actor,
                    comment=answer.comment,
                    by_default=answer.by_default,
                    is_edited=answer.is_edited,
                    output=answer.output,
                    said_at=answer.at,
                )
                apply(self._state, event)
                events.append(event)
                continue
            for unit in [unit for unit in self._paused if path.startswith(f"{'/'.join(filter(None, unit))}/")]:
                start, _ = self._paused.pop(unit)
                if is_current(self._state, start):
                    self._attempts.begin(group, start)

    def _show(self, event: RunEvent) -> None:
        if isinstance(event, _OUTPUTS):
            self._shared_state.add_fact(event.step, self._large.shown(event.step, event.output))
            self._large.ended(event.step)
        elif isinstance(event, StepStarted):
            self._large.begun(event.step)
        elif isinstance(event, (StepFailed, *_CUT_OFF)):
            if self._state.statuses[event.step].is_terminal:  # not between two attempts
                self._large.ended(event.step)
        elif isinstance(event, PartCompleted) or (isinstance(event, PartFailed) and event.retry_at is None):
            self._steps.forget(event.step, event.part)
        self._large.went_on(event)
        self._audience.show(event)

    async def _take(self) -> tuple[list[RunEvent], list[asyncio.Future[None]]]:
        """Turn what waits in the inbox into events, applied in order; and whom to tell once they are committed."""
        events, committed = self._take_reports()
        if events or committed or self._inbox.first is None:
            return events, committed
        return await self._take_alone(self._inbox.take())

    def _stands_alone(self, report: Report) -> bool:
        """Return whether a report takes a commit of its own, as it has effects that may be refused."""
        content = report.content
        if not is_current(self._state, report.start):
            return False
        if isinstance(content, AttemptSucceeded):
            may_be_refused = content.effects is not None and not content.effects.is_spare
            return may_be_refused and not self._decider.is_to_be_approved(report.start)
        return isinstance(content, Inside) and not is_spare(content.effects)

    async def _take_alone(self, report: Report) -> tuple[list[RunEvent], list[asyncio.Future[None]]]:
        """Commit what a report says with its effects, before anything is decided on it.

        Returns:
            What is still to be committed: nothing, or the failure that a refusal is; and whom to tell then.
        """
        start, content = report.start, report.content
        told = [report.committed] if report.committed is not None else []
        if isinstance(content, Inside):
            return await self._take_inside(report, content, told)
        [event] = self._events_of(report, self._services.clock.now())
        if isinstance(event, _SUCCESSES) and isinstance(content, AttemptSucceeded) and content.effects is not None:
            failure = await self._commits.commit_alone(event, content.effects, then=partial(apply, self._state))
            if failure is None:
                self._tell([event], told)
                return [], []
            event = self._decider.outcome(start, AttemptFailed(failure), self._services.clock.now())
        apply(self._state, event)
        return [event], told

    async def _take_inside(
        self, report: Report, inside: Inside, told: list[asyncio.Future[None]]
    ) -> tuple[list[RunEvent], list[asyncio.Future[None]]]:
        """Commit what happened in the pipeline inside an attempt with its effects; that one is told of a refusal."""
        events = self._events_of(report, self._services.clock.now())
        try:
            await self._commits.commit(events, effects=inside.effects)
        except EffectRefusedError as error:
            for future in told:
                if not future.done():
                    future.set_exception(error)
            return [], []
        for event in events:
            apply(self._state, event)
        self._tell(events, told)
        return [], []

    def _take_reports(self) -> tuple[list[RunEvent], list[asyncio.Future[None]]]:
        """Do the same with all that waits, up to what takes a commit of its own; that stays in the inbox."""
        events: list[RunEvent] = []
        committed: list[asyncio.Future[None]] = []
        now = self._services.clock.now()
        while (report := self._inbox.first) is not None:
            if self._stands_alone(report):
                break
            self._inbox.take()
            if report.committed is not None:
                committed.append(report.committed)
            if not is_current(self._state, report.start):  # its step was cancelled before it could say so
                continue
            if isinstance(report.content, AttemptPaused):
                self._paused[unit_of(report.start)] = report.start, report.content
                continue
            for event in self._events_of(report, now):
                apply(self._state, event)
                events.append(event)
                if isinstance(report.content, AttemptSucceeded) and isinstance(event, _SUCCESSES):
                    self._commits.add(report.content.effects)
            if isinstance(report.content, Inside):
                self._commits.add_inside(report.content.effects)
        return events, committed

    def _events_of(self, report: Report, now: float) -> list[RunEvent]:
        start, content = report.start, report.content
        if isinstance(content, Progress):
            return [AgentProgressed(start.step, start.attempt, content.event, now, unit_of(start)[1])]
        if isinstance(content, Inside):
            part = unit_of(start)[1]
            return [InnerProgressed(start.step, start.attempt, event, now, part) for event in content.events]
        if isinstance(content, AttemptPaused):
            raise TypeError("A pause is no event of its own.")
        # An attempt has ended badly, too, if what it changes about steps does not fit.
        return [self._decider.outcome(start, self._changes.checked(*unit_of(start), content), now)]
