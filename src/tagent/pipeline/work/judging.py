"""Judging a condition for a step: what its functions say, each asked once."""

from collections.abc import Callable, Mapping

from tagent.pipeline.conditions import Condition, NeedsCallError, Verdict
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.work.function_step import FunctionStep
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import Scope
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall


class Judge:
    """Judges conditions of one step.

    Args:
        step: The step's name.
        reader: The run.
        threads: Where blocking functions run.
        part: The part of the step for which it judges; empty for the step itself.

    Attributes:
        abandoned: Blocking calls that were given up and may still run.
    """

    def __init__(self, step: str, reader: RunReader, threads: DaemonThreads, *, part: str = "") -> None:
        self._step = step
        self._reader = reader
        self._threads = threads
        self._part = part
        self.abandoned: list[ThreadedCall] = []

    async def verdict(
        self, condition: Condition, attempt: Attempt, *, values: Mapping[str, object], given: Mapping[str, object]
    ) -> Verdict:
        """Return what a condition comes to.

        Args:
            condition: The condition.
            attempt: The attempt that needs to know.
            values: What it is judged by, as JSON values: `steps`, `inputs` and, if there is one, `output`.
            given: What its functions know by name besides outputs and inputs.

        Raises:
            ConditionError: If it cannot be answered.
            StepOutputError: If a function gives something else than True or False.
        """
        answers: dict[Callable[..., object], bool] = {}
        while True:
            try:
                return condition.judge(values, answers)
            except NeedsCallError as needed:
                answers[needed.function] = await self._ask(needed.function, given, attempt)

    async def _ask(self, function: Callable[..., object], given: Mapping[str, object], attempt: Attempt) -> bool:
        scope = Scope(self._part, given)
        work = FunctionStep(self._step, function, self._reader, self._threads, scope=scope, abandoned=self.abandoned)
        answer, _ = await work.run(attempt)
        if not isinstance(answer, bool):
            told = getattr(function, "__name__", "a function")
            message = (
                f"The condition {told!r} of the step {self._step!r} gave {type(answer).__name__}, not True or False."
            )
            raise StepOutputError(self._step, message)
        return answer
