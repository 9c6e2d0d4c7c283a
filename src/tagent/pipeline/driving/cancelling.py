"""Cancelling a run from anywhere, and what its driver makes of that.

Whoever cancels takes the run over by force and writes its end in one commit. From the moment of taking over, every
write of the old driver is refused, so nothing starts any more; it notices soon, and stops what runs.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from tagent.pipeline.course.commands import CancelStep, Command, FinishRun
from tagent.pipeline.course.reports import summary_of
from tagent.pipeline.driving.approvals import withdrawn
from tagent.pipeline.events import RunEvent, RunFinished, RunHalted, RunResumed, StepCancelled
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.live_runs import done_at_home
from tagent.pipeline.journal.loading import events_behind, load_events, stored_run
from tagent.pipeline.models import RunStatus, StepStatus
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.scheduler import next_commands
from tagent.pipeline.state import PipelineState, apply, fold
from tagent.pipeline.stored.definition import Definition
from tagent.ports.services import Services
from tagent.ports.store_errors import ConflictError

CANCELLED = "run.cancelled"
"""The code of a run that was cancelled, and of the steps that it left open."""

CLAIM_SECONDS = 15.0
"""How long whoever cancels may take; then somebody else may go on with the run."""

MOST_TRIES = 20
LONGEST_PAUSE_SECONDS = 0.1
"""Of several who cancel at once, each takes the run from the other: they must not come back together."""

WORD_SECONDS = 5.0
"""How long the old driver waits for the first word of whoever took its run over."""

ASK_SECONDS = 0.05


class RunEndedError(PipelineError):
    """The run has come to its end already, so it cannot be cancelled.

    Attributes:
        run_id: The run.
        status: How it ended.
    """

    code = "run.ended"

    def __init__(self, run_id: str, *, status: RunStatus) -> None:
        self.run_id = run_id
        self.status = status
        if status is RunStatus.CANCELLED:
            super().__init__(f"Run {run_id} is cancelled already.")
        else:
            super().__init__(f"Run {run_id} has come to its end, it is {status}: there is nothing to cancel.")


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What a cancelled run had come to.

    Attributes:
        run_id: The run.
        pipeline: Its pipeline's name.
        completed: The steps that are done and stay so, in definition order.
        stopped: Those that had begun, and are to stop.
        left: Those that had not.
    """

    run_id: str
    pipeline: str
    completed: tuple[str, ...]
    stopped: tuple[str, ...]
    left: tuple[str, ...]


async def cancel_run(run_id: str, services: Services, *, reason: str = "") -> Cancellation:
    """Cancel the run, whoever drives it, and return what it had come to; when this returns, that is durable.

    No step starts any more. Its driver stops those that run as soon as it notices.

    Args:
        run_id: The run.
        services: Where it is kept. Of a store in memory, runs that are driven in this process are found too.
        reason: Why, for people.

    Raises:
        UnknownRunError: If no run has this id.
        RunEndedError: If it has come to its end.
        StoreError: If the store fails; nothing was written.
    """
    return await done_at_home(run_id, services, partial(_cancel, run_id, reason=reason))


async def _cancel(run_id: str, services: Services, *, reason: str) -> Cancellation:
    for tries_left in reversed(range(MOST_TRIES)):
        run = await services.store.run(run_id)
        if run.finished_at is not None:  # asked before the claim, which would be in the way of a resume
            raise RunEndedError(run_id, status=RunStatus(run.status))
        try:
            return await _take_and_end(run_id, services, reason)
        except ConflictError:  # somebody else cancels it too
            if not tries_left:
                raise
            await asyncio.sleep(LONGEST_PAUSE_SECONDS * services.random())
    raise AssertionError  # the last try returns or raises


async def _take_and_end(run_id: str, services: Services, reason: str) -> Cancellation:
    """Take the run over and write its end.

    Raises:
        ConflictError: If somebody else has taken it meanwhile; nothing was written.
    """
    journal = await RunJournal.claim(services, run_id, lease_seconds=CLAIM_SECONDS, by_force=True)
    try:
        stored = await stored_run(services.store, run_id)
        state = stored.state()
        if state.is_finished:
            raise RunEndedError(run_id, status=state.status)
        found = _found(state, stored.definition)
        halted = RunHalted(
            CANCELLED, reason or "The run was cancelled.", services.clock.now(), actor=services.processes.user()
        )
        asked = withdrawn(state)
        await journal.commit(ending(state, halted), summary_of(state), asked)
    finally:
        await journal.release()
    return found


def _found(state: PipelineState, definition: Definition) -> Cancellation:
    completed: list[str] = []
    stopped: list[str] = []
    left: list[str] = []
    for name, status in state.statuses.items():
        if status is StepStatus.COMPLETED:
            completed.append(name)
        elif not status.is_terminal:
            has_begun = status is not StepStatus.PENDING or state.steps[name].attempts
            (stopped if has_begun else left).append(name)
    pipeline = str(definition.spec["name"])
    return Cancellation(state.run_id, pipeline, tuple(completed), tuple(stopped), tuple(left))


def ending(state: PipelineState, halted: RunHalted) -> list[RunEvent]:
    """Return `halted` and what follows from it to the run's end, carried out on `state`."""
    events: list[RunEvent] = [halted]
    apply(state, halted)
    while not state.is_finished:
        for command in next_commands(state, halted.at):
            event = _event_of(command, halted.at)
            apply(state, event)
            events.append(event)
    return events


def _event_of(command: Command, at: float) -> RunEvent:
    match command:
        case CancelStep(step, code, reason):
            return StepCancelled(step, code, reason, at)
        case FinishRun(status):
            return RunFinished(status, at)
        case _:
            raise ValueError(f"In a run that is cancelled, {command!r} has no place.")


@dataclass(frozen=True, slots=True)
class CancelledElsewhere:
    """The end of a run that was taken away to be cancelled.

    Attributes:
        events: What its driver has not seen of the journal.
        state: What the whole comes to.
    """

    events: tuple[RunEvent, ...]
    state: PipelineState


async def cancelled_elsewhere(
    journal: RunJournal, graph: ExecutionGraph, services: Services
) -> CancelledElsewhere | None:
    """Return the end of a run whose claim is lost, if it was taken over to be cancelled; else None.

    Whoever took it over may not have written anything yet; his first word is waited for.

    Args:
        journal: The run, as far as its driver has written it.
        graph: Its steps.
        services: Where it is.

    Raises:
        StoreError: If the store cannot be read.
    """
    if not journal.has_begun:  # then the run of this id is another one
        return None
    for _ in range(int(WORD_SECONDS / ASK_SECONDS)):
        owner = (await services.store.run(journal.run_id)).owner
        behind = await events_behind(services.store, journal.run_id, after_seq=journal.last_seq)
        if any(isinstance(event, RunHalted) and event.code == CANCELLED for event in behind):
            return await _seen_to_its_end(journal, graph, services)
        is_resumed = any(isinstance(event, RunResumed) and event.epoch > journal.epoch for event in behind)
        if is_resumed or not owner or services.processes.is_gone(owner):
            return None
        await asyncio.sleep(ASK_SECONDS)
    return None


async def _seen_to_its_end(journal: RunJournal, graph: ExecutionGraph, services: Services) -> CancelledElsewhere | None:
    """Return the run as it was when it was cancelled: somebody may have resumed it since."""
    events = await load_events(services.store, journal.run_id, is_whole=not services.store_url)
    ends = (place for place, event in enumerate(events) if isinstance(event, RunFinished) and place >= journal.last_seq)
    end = next(ends, None)
    if end is None:
        return None
    return CancelledElsewhere(events[journal.last_seq : end + 1], fold(graph, events[: end + 1]))
