"""A step that is a pipeline: what that is given, and what its run comes to. The run itself is driven elsewhere."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from pydantic import BaseModel

from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline.bindings import asked_for, is_repeated
from tagent.pipeline.caching.making import made_of
from tagent.pipeline.context import StepContext
from tagent.pipeline.events import COMPENSATION
from tagent.pipeline.exceptions import PipelineError, StepInputError, StepOutputError, StepPipelineError
from tagent.pipeline.inputs import check_inputs, unused_inputs
from tagent.pipeline.kinds import RunStatus, StepStatus
from tagent.pipeline.models import Pipeline, PipelineResult, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.placeholders import Absent
from tagent.pipeline.work.function_step import FunctionStep
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import WHOLE, Scope
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall

logger = logging.getLogger("tagent")

Inputs = Mapping[str, object]
"""What a run is given, by name as JSON values."""


class InnerPausedError(PipelineError):
    """The pipeline inside a step waits for somebody: for an answer, or for a larger budget. Nothing has failed."""

    def __init__(self, code: str, reason: str) -> None:
        self.code = code  # type: ignore[misc]  # that of what it waits for
        super().__init__(reason)


class InnerRun(Protocol):
    """The run of a pipeline inside an attempt at a step."""

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls inside it that were given up and may still run."""
        ...

    async def result(self, inputs: Callable[[], Awaitable[Inputs]]) -> PipelineResult:
        """Return what the run comes to, which may have begun in an earlier attempt, or before a crash.

        Args:
            inputs: Gives what it begins with; asked only if it has not begun.

        Raises:
            RunStoppedError: If it was asked to stop.
        """
        ...

    async def undone(self) -> PipelineResult | None:
        """Undo what the run has done, by the compensations of its steps, and return what that comes to.

        Returns:
            None if there was no run.

        Raises:
            RunStoppedError: If it was asked to stop.
        """
        ...


OpenInnerRun = Callable[[PipelineStep, str, Attempt], InnerRun]
"""Gives the run inside a step, or inside a part of it, for one attempt."""


class InnerStep:
    """A pipeline, ready to be run in a run.

    Args:
        step: The step.
        pipeline: Its pipeline.
        reader: The run around it.
        threads: Where blocking functions run.
        open_run: Gives the run inside.
        output: The type of what the work gives.
        scope: Which piece of the step's work it is.
    """

    def __init__(
        self,
        step: PipelineStep,
        pipeline: Pipeline,
        reader: RunReader,
        threads: DaemonThreads,
        *,
        open_run: OpenInnerRun,
        output: OutputType,
        scope: Scope = WHOLE,
    ) -> None:
        self._step = step
        self._pipeline = pipeline
        self._reader = reader
        self._threads = threads
        self._open_run = open_run
        self._output = output
        self._scope = scope
        self._mapped: list[ThreadedCall] = []
        self._run: InnerRun | None = None
        self._begins_here = False

    @property
    def is_whole(self) -> bool:
        """Whether all of the run happened in the last attempt: what its steps did before, nobody has seen."""
        return self._begins_here

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls of its steps, or of what gives its inputs, that were given up and may still run."""
        return [*self._mapped, *(() if self._run is None else self._run.abandoned)]

    async def run(self, attempt: Attempt) -> tuple[object, StepContext | None]:
        """Return what the pipeline comes to.

        Raises:
            StepInputError: If what it is to be given is not there.
            InputError: If what it is given does not fit it.
            StepPipelineError: If its run has come to anything but its completion.
            InnerPausedError: If it waits for somebody.
            RunStoppedError: If it was asked to stop.
        """
        self._begins_here = False

        async def inputs() -> Inputs:
            self._begins_here = True
            return check_inputs(self._pipeline, await self._given(attempt), inside=self._step.name)

        self._run = self._open_run(self._step, self._scope.part, attempt)
        result = await self._run.result(inputs)
        if result.status is RunStatus.WAITING:
            raise InnerPausedError(result.code, result.reason)
        if not result.success:
            raise _failure(self._step.name, result)
        output = self._required(result)
        if not result.learned_facts:
            return output, None
        context = self._reader.context(self._step.name, attempt, self._scope.part)
        context.facts.update(result.learned_facts)  # what a step inside has learned, the step has
        return output, context

    async def made_of(self) -> object:
        """Return the function that gives the inputs, if there is one; the pipeline is looked at with its settings.

        Raises:
            UnkeyableError: If it is bound to something that is neither data nor code.
        """
        return ["pipeline", made_of(self._step.inputs) if callable(self._step.inputs) else None]

    async def reads(self, attempt: Attempt) -> object:
        """Return what the pipeline is given.

        Raises:
            StepInputError: If something is not there.
            InputError: If it does not fit the pipeline.
        """
        return check_inputs(self._pipeline, await self._given(attempt), inside=self._step.name)

    def _required(self, result: PipelineResult) -> object:
        """Return what the run gave; None only where that fits.

        Raises:
            StepPipelineError: If it gave nothing, and something is needed.
        """
        output = result.final_output
        if output is None:
            try:
                self._output.dump(output, step=self._step.name)
            except StepOutputError:
                why = "it completed, but the step whose output is its own was left out"
                raise StepPipelineError(self._step.name, result.pipeline_name, why) from None
        return output

    async def _given(self, attempt: Attempt) -> Mapping[str, object] | BaseModel:
        wanted = self._step.inputs
        if callable(wanted):
            return await self._asked(wanted, attempt)
        if wanted is None:
            return self._reader.known(self._step.name, self._scope, names=asked_for(self._pipeline))
        paths = {name: DataPath.parse(path) for name, path in wanted.items()}
        names = {path.root for path in paths.values()}
        known = self._reader.known(self._step.name, self._scope, names=names)
        try:
            return {
                name: None if isinstance(known.get(path.root), Absent) else path.look_up(known)
                for name, path in paths.items()
            }
        except DataPathError as error:
            message = f"The step {self._step.name!r} gives its pipeline what is not there: {error}"
            raise StepInputError(self._step.name, message) from error

    async def _asked(self, function: Callable[..., object], attempt: Attempt) -> Mapping[str, object] | BaseModel:
        name = self._step.name
        work = FunctionStep(name, function, self._reader, self._threads, scope=self._scope, abandoned=self._mapped)
        given, _ = await work.run(attempt)
        if isinstance(given, Mapping | BaseModel):
            self._warn_of_unused(given)
            return given
        told = getattr(function, "__name__", "a function")
        message = f"The function {told!r} gives the inputs of the step {name!r}, and gave {type(given).__name__}."
        raise StepInputError(name, message, hint="Return a dict: input name -> value.")

    def _warn_of_unused(self, given: Mapping[str, object] | BaseModel) -> None:
        """Say what validation says of inputs that are written down; of items and rounds only for the first."""
        is_first = self._scope.part in ("", "1" if is_repeated(self._step) else "0")
        if is_first and isinstance(given, Mapping):
            for told in unused_inputs(self._pipeline, [str(name) for name in given]):
                logger.warning("step %r gives its pipeline an input for nothing: %s", self._step.name, told)


class UndoInside:
    """Undoes what the pipeline of a step has done: a rollback that reaches down.

    Args:
        step: The step, which has no compensation of its own.
        open_run: Gives the run inside.
    """

    def __init__(self, step: PipelineStep, open_run: OpenInnerRun) -> None:
        self._step = step
        self._open_run = open_run
        self._run: InnerRun | None = None

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls of compensations that were given up and may still run."""
        return [] if self._run is None else self._run.abandoned

    async def run(self, attempt: Attempt) -> tuple[None, None]:
        """Return when all is undone.

        Raises:
            StepPipelineError: If something could not be undone.
            InnerPausedError: If it waits for somebody.
            RunStoppedError: If it was asked to stop.
        """
        name = self._step.name
        self._run = self._open_run(self._step, COMPENSATION, attempt)
        result = await self._run.undone()
        if result is None:
            return None, None
        if result.status is RunStatus.WAITING:
            raise InnerPausedError(result.code, result.reason)
        for inner, facts in result.step_metadata.items():
            if facts["code"] == "step.compensation":
                why = f"and cannot be undone: its step {inner!r} [{facts['code']}]: {facts['reason']}"
                raise StepPipelineError(name, result.pipeline_name, why, inner_step=inner, inner_code=facts["code"])
        return None, None


def _failure(step: str, result: PipelineResult) -> StepPipelineError:
    """Return the error that says why a run has not completed: for the first of its steps that did not end well."""
    failed = [(name, it) for name, it in result.step_metadata.items() if it["status"] is StepStatus.FAILED]
    needed = [(name, it) for name, it in failed if not it.get("optional")] or failed
    if result.code or not needed:
        told = f"it {'was cancelled' if result.status is RunStatus.CANCELLED else result.status.value}"
        why = f"{told} [{result.code}]: {result.reason}" if result.code else told
        inner = ""
        if needed and result.code in ("run.fail_fast", "run.rollback"):
            inner = needed[0][0]
            why = f"{why} {_told(*needed[0])}"
        return StepPipelineError(step, result.pipeline_name, why, inner_step=inner)
    name, facts = needed[0]
    return StepPipelineError(
        step, result.pipeline_name, _told(name, facts), inner_step=name, inner_code=str(facts["code"])
    )


def _told(name: str, facts: Mapping[str, object]) -> str:
    return f"its step {name!r} failed [{facts['code']}]: {facts['reason']}"
