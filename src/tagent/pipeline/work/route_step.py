"""A step that finds out which steps are to run: by a condition, or by a value that it looks up."""

from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline.conditions import condition_of
from tagent.pipeline.exceptions import StepInputError
from tagent.pipeline.models import Check, PipelineStep
from tagent.pipeline.routing import OTHERWISE, THEN, required_route
from tagent.pipeline.work.judging import Judge
from tagent.pipeline.work.reading import RunReader
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall


class WhenStep:
    """Judges the condition of a `when`.

    Args:
        step: The step.
        condition: The condition.
        reader: The run.
        threads: Where blocking functions run.
    """

    def __init__(self, step: PipelineStep, condition: Check, reader: RunReader, threads: DaemonThreads) -> None:
        self._name = step.name
        self._condition = condition
        self._reader = reader
        self._judge = Judge(step.name, reader, threads)

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls that were given up and may still run."""
        return self._judge.abandoned

    async def run(self, attempt: Attempt) -> tuple[object, None]:
        """Return `then` or `otherwise`.

        Raises:
            ConditionError: If the condition cannot be answered.
            StepOutputError: If a function gives something else than True or False.
        """
        values = self._reader.values_for(self._name)
        verdict = await self._judge.verdict(condition_of(self._condition), attempt, values=values, given={})
        return (THEN if verdict.holds else OTHERWISE), None


class SwitchStep:
    """Looks up the value of a `switch`.

    Args:
        step: The step.
        on: The path of the value.
        reader: The run.
    """

    def __init__(self, step: PipelineStep, on: str, reader: RunReader) -> None:
        self._step = step
        self._path = DataPath.parse(on)
        self._reader = reader
        self.abandoned: list[ThreadedCall] = []

    async def run(self, attempt: Attempt) -> tuple[object, None]:  # noqa: ARG002 - like every work
        """Return the route that is taken.

        Raises:
            StepInputError: If the value is not there.
            StepRouteError: If it names no route, and there is none for any other.
        """
        name = self._step.name
        try:
            value = self._path.look_up(self._reader.known(name))
        except DataPathError as error:
            raise StepInputError(name, f"The step {name!r} has nothing to choose by: {error}") from error
        return required_route(self._step, value), None
