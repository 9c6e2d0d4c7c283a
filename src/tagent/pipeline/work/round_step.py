"""A step that is done again: one round of it, and what it hands over when they are over."""

from collections.abc import Mapping

from tagent.pipeline import bindings
from tagent.pipeline.caching.making import made_of
from tagent.pipeline.conditions import condition_of
from tagent.pipeline.context import StepContext
from tagent.pipeline.exceptions import StepNotReachedError
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.placeholders import Absent
from tagent.pipeline.work.judging import Judge
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import Scope
from tagent.pipeline.work.step_work import KeyedWork
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall
from tagent.values import value

FIRST_ROUND = "nothing yet: this is the first round"
"""What an agent is told in the place of what the round before gave."""


@value
class RoundDone:
    """What a round came to.

    Attributes:
        output: What it gave, as JSON values.
        is_last: Whether what the step is repeated for is reached.
    """

    output: object
    is_last: bool


def round_scope(step: PipelineStep, part: str, reader: RunReader, output: OutputType) -> Scope:
    """Return what a round knows: what the one before it gave, and its own number.

    Args:
        step: The step.
        part: The round.
        reader: The run.
        output: The type of what a round gives. A function is given such a value, all else JSON values.
    """
    number = int(part)
    previous: object = None
    if number > 1:
        previous = reader.round_output(step.name, str(number - 1))
        is_for_code = step.run is not None or callable(step.inputs)
        previous = output.load(previous, step=step.name) if is_for_code else previous
    elif step.goal is not None or isinstance(step.inputs, Mapping):
        previous = Absent(FIRST_ROUND)
    return Scope(part, {bindings.PREVIOUS: previous, bindings.ROUND: number})


class RoundStep:
    """One round of a step's work, and the judgement whether it is the last one.

    Args:
        step: The step.
        work: What the round does.
        scope: What it knows.
        output: The type of what it gives.
        reader: The run.
        threads: Where blocking functions run.
    """

    def __init__(
        self,
        step: PipelineStep,
        work: KeyedWork,
        scope: Scope,
        *,
        output: OutputType,
        reader: RunReader,
        threads: DaemonThreads,
    ) -> None:
        self._step = step
        self._work = work
        self._scope = scope
        self._output = output
        self._reader = reader
        self._judge = Judge(step.name, reader, threads, part=scope.part)

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls that were given up and may still run."""
        return [*self._work.abandoned, *self._judge.abandoned]

    @property
    def is_whole(self) -> bool:
        """Whether all of the work happened in the last attempt."""
        return self._work.is_whole

    async def run(self, attempt: Attempt) -> tuple[RoundDone, StepContext | None]:
        """Return what the round came to, and the context that its function asked for.

        Raises:
            ConditionError: If `until` cannot be answered.
            StepOutputError: If the output does not fit its type, or a function of `until` gives no bool.
            TAgentError: As for the work of any step.
        """
        returned, context = await self._work.run(attempt)
        plain = self._output.dump(returned, step=self._step.name)
        return RoundDone(plain, await self._is_last(plain, attempt)), context

    async def made_of(self) -> object:
        """Return what its work is made of, and what says whether it is the last one.

        Raises:
            UnkeyableError: If something of it cannot be looked at.
            ModelError: If a model cannot be had.
        """
        judged: object = None
        if self._step.until is not None:
            until = condition_of(self._step.until)
            judged = [until.text, [made_of(function) for function in until.functions]]
        # By its number too: a round that looks whether something is there yet has to look again.
        return ["round", self._scope.part, await self._work.made_of(), judged]

    async def reads(self, attempt: Attempt) -> object:
        """Return what its work is given, and what says whether it is the last one.

        Raises:
            TAgentError: If something is not there.
        """
        own = await self._work.reads(attempt)
        if self._step.until is None:
            return own
        until, known = condition_of(self._step.until), self._reader.values_for(self._step.name)
        if until.functions:
            return [own, dict(self._scope.given), known]
        read = {"steps": until.steps, "inputs": until.inputs}
        return [own, {kind: {name: known[kind].get(name) for name in sorted(names)} for kind, names in read.items()}]  # type: ignore[attr-defined]  # mappings

    async def _is_last(self, plain: object, attempt: Attempt) -> bool:
        step = self._step
        if step.until is None:
            return False
        condition = condition_of(step.until)
        values = {**self._reader.values_for(step.name), bindings.OUTPUT: plain}
        given = dict(self._scope.given)
        if condition.functions:
            given[bindings.OUTPUT] = self._output.load(plain, step=step.name)
            given[bindings.PREVIOUS] = self._previous()
        verdict = await self._judge.verdict(condition, attempt, values=values, given=given)
        return verdict.holds

    def _previous(self) -> object:
        """Return what the round before gave, as its type; None in the first round."""
        name, number = self._step.name, int(self._scope.part)
        if number == 1:
            return None
        return self._output.load(self._reader.round_output(name, str(number - 1)), step=name)


class HandOver:
    """Hands over what the last round of a step gave.

    Args:
        step: The step.
        reader: The run.
    """

    def __init__(self, step: PipelineStep, reader: RunReader) -> None:
        self._step = step
        self._reader = reader
        self.abandoned: list[ThreadedCall] = []

    async def run(self, attempt: Attempt) -> tuple[object, None]:  # noqa: ARG002 - like every work
        """Return what the last round gave.

        Raises:
            StepNotReachedError: If what the step is repeated for is not reached, and that is to fail it.
        """
        step, rounds = self._step, self._reader.part_outputs(self._step.name)
        is_to_fail = step.if_not_reached == "fail" and not self._reader.is_reached(step.name)
        if step.until is not None and is_to_fail:
            raise StepNotReachedError(step.name, rounds=len(rounds), until=condition_of(step.until).text)
        return list(rounds.values())[-1], None
