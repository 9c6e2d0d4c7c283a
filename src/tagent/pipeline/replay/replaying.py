"""A recorded run once more, offline and free: today's code on the recorded answers of models and tools."""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from tagent.config import TAgentConfig
from tagent.exceptions import ungrouped
from tagent.pipeline.answering.requests import open_requests
from tagent.pipeline.events import RunStarted
from tagent.pipeline.executor import PipelineExecutor
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.models import Pipeline, PipelineResult
from tagent.pipeline.replay.at_work import Standstill
from tagent.pipeline.replay.doubles import NO_LIMITS, NO_TOOLS, with_doubles
from tagent.pipeline.replay.recorded import Recorded, RecordedAt
from tagent.pipeline.replay.recorded_agents import OnlyRecorded
from tagent.pipeline.replay.recorded_answers import RecordedAnswers
from tagent.pipeline.replay.recorded_changes import added_by, with_recorded_changes
from tagent.pipeline.replay.recorded_errors import CutOffError
from tagent.pipeline.scheduler import AWAITING_APPROVAL
from tagent.pipeline.selecting import Selection, selection_of
from tagent.pipeline.state import PipelineState, fold
from tagent.pipeline.stored.definition import bind, outline
from tagent.pipeline.stored.origins import code_of
from tagent.pipeline.transfer.differences import StepDifference, step_differences
from tagent.pipeline.transfer.recording import Recording
from tagent.ports.clock import Clock, Timeout
from tagent.ports.services import Services

FROM_OUTSIDE = frozenset({"run.cancelled", "run.deadline"})
"""The ends of a run that nothing in it has caused."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay came to.

    Attributes:
        run_id: The recorded run.
        result: The result of running it again.
        recorded_status: Where the run stood.
        steps: Every step as it was recorded and as it is now, in the order of the recorded definition, then new ones.
    """

    run_id: str
    result: PipelineResult
    recorded_status: str
    steps: tuple[StepDifference, ...]

    @property
    def differences(self) -> tuple[StepDifference, ...]:
        """The steps that came to something else."""
        return tuple(step for step in self.steps if not step.is_equal)

    @property
    def is_unchanged(self) -> bool:
        """Whether every step and the run came to the same."""
        return not self.differences and self.recorded_status == self.result.status.value

    def lines(self) -> Iterator[str]:
        """Yield what changed, for people: a line for each step, and a diff below one whose output changed."""
        for step in self.steps:
            then, now = step.before, step.after
            if step.is_equal:
                yield f"= {step.step}: {now.status}, the same output"
                continue
            status = now.status if now.status == then.status else f"{then.status} -> {now.status}"
            output = "the same output" if step.is_output_equal else "another output"
            yield f"! {step.step}: {status}, {output}"
            if now.parts != then.parts:
                yield f"    its parts: {_told(then.parts)} -> {_told(now.parts)}"
            if now.code != then.code and now.code:
                yield f"    [{now.code}] {now.reason}"
            if not step.is_output_equal:
                yield from (f"    {line}" for line in step.output_diff("recorded", "replayed"))
        now_status = self.result.status.value
        changed = "" if now_status == self.recorded_status else f"{self.recorded_status} -> "
        yield f"The run: {changed}{now_status}"

    def assert_unchanged(self) -> None:
        """Pass if nothing changed.

        Raises:
            AssertionError: If something did; it says what.
        """
        if not self.is_unchanged:
            raise AssertionError("\n".join([f"The replay of run {self.run_id} differs.", *self.lines()]))


async def replay_run(
    recording: Recording,
    services: Services,
    *,
    pipeline: Pipeline | None = None,
    config: TAgentConfig | None = None,
    recorded_functions: bool = False,
) -> Replay:
    """Run a recorded run again on what its models and tools had answered, and return what changed.

    No model is asked and no tool is called, whatever happens: agents have doubles of both, which know only what
    is recorded. Nothing waits, and no budget or deadline ends it. Functions are the code under test and run for real.

    Args:
        recording: The run, from `load_recording` or `read_recording`.
        services: Their store takes the replay's own journal, so it should be one in memory.
        pipeline: The pipeline to run; None takes the recorded definition with today's code from its file.
        config: Settings of the run, when those of the pipeline are not all: tools that every agent has.
        recorded_functions: Whether functions give what is recorded too, instead of being called.

    Raises:
        NoPipelineError: If no pipeline is given and the run does not know its file.
        PipelineLoadError: If the file gives no pipeline.
        DefinitionMismatchError: If today's code does not fit the recorded definition.
        PipelineValidationError: If the pipeline has mistakes.
        InputError: If the recorded inputs do not fit it.
        CutOffError: If the run waits for an approval, was cancelled or had no time left: nothing recorded says what
            comes of its steps then.
    """
    begun = next(event for event in recording.events if isinstance(event, RunStarted))
    then = fold(ExecutionGraph.build(outline(recording.counts)), recording.events)
    _require_whole(then, run_id=recording.run_id)
    code = with_recorded_changes(_todays(recording) if pipeline is None else pipeline, then.changes)
    settings = (config or TAgentConfig()).merged(NO_LIMITS)
    standstill = Standstill()
    doubled = with_doubles(
        code,
        settings,
        RecordedAt(Recorded(recording.events)),
        standstill,
        recorded_functions=recorded_functions,
        added=added_by(then.changes),
    )
    answers = RecordedAnswers(recording.events, services.store, services.clock)
    offline = replace(
        services,
        clock=_Impatient(services.clock),
        models=OnlyRecorded(),
        random=lambda: 0.0,
        sinks=(*services.sinks, standstill),
    )
    executor = PipelineExecutor(
        doubled, settings.merged(NO_TOOLS), inputs=begun.inputs, selection=_selection_of(then), services=offline
    )
    with ungrouped():
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(answers.serve(), name="answers")
            result = await executor.execute()
            answering.cancel()
    now = fold(ExecutionGraph.build(doubled), await load_events(services.store, result.run_id))
    return Replay(recording.run_id, result, then.status.value, step_differences(then, now))


def _require_whole(then: PipelineState, *, run_id: str) -> None:
    """Refuse a run that waits for somebody, or was ended from outside.

    Raises:
        CutOffError: If it is one.
    """
    if then.halted is not None and then.halted.code in FROM_OUTSIDE:
        raise CutOffError(run_id, ended_by=then.halted.code)
    if open_requests(then):
        raise CutOffError(run_id, ended_by=AWAITING_APPROVAL)


def _selection_of(then: PipelineState) -> Selection | None:
    """Return the part of its pipeline that a run did, with the outputs that it had from elsewhere."""
    selection = selection_of(then)
    given = {name: record.output for name, record in then.steps.items() if record.given_by}
    return None if selection is None else replace(selection, outputs=given)


def _told(parts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in parts.items()) or "none"


class _Impatient:
    """A clock on which waiting takes no time; limits hold, as functions run for real."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def now(self) -> float:
        return self._clock.now()

    async def sleep(self, seconds: float) -> None:  # noqa: ARG002 - it does not matter how long
        await asyncio.sleep(0)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[Timeout]:
        return self._clock.timeout(seconds)


def _todays(recording: Recording) -> Pipeline:
    """Return the recorded definition with today's code."""
    stored = recording.counts
    hint = "Name it: --against FILE[:OBJECT], or pipeline=."
    return bind(stored, code_of(stored, run_id=recording.run_id, hint=hint))
