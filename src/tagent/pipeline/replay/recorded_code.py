"""Functions and conditions that only say again what a run has recorded, in the place of a pipeline's own."""

from collections.abc import Callable, Mapping

from tagent.pipeline.conditions import Condition, Verdict
from tagent.pipeline.context import StepContext
from tagent.pipeline.events import CONDITION, PartCompleted, PartFailed, StepCompleted, StepFailed
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.replay.at_work import Standstill, part_at_work
from tagent.pipeline.replay.recorded import RecordedAt, RecordedWork
from tagent.pipeline.replay.recorded_errors import NotRecordedError, RecordedMisfitError, RecordedWorkError
from tagent.pipeline.routing import THEN
from tagent.pipeline.signatures import signature_of


class RecordedCode:
    """Makes the doubles of one step's functions.

    Args:
        step: The step.
        recorded: What the run has recorded.
        standstill: When what was cut off in the recording is told that nobody will cut it off.
    """

    def __init__(self, step: str, recorded: RecordedAt, standstill: Standstill) -> None:
        self._step = step
        self._recorded = recorded
        self._standstill = standstill

    def function(self, original: object, output: OutputType | None = None) -> Callable[..., object]:
        """Return a function that gives what was recorded of the piece of work that it is called for, facts and memories
        included.

        Args:
            original: What it stands for; says of which type parts are.
            output: The type of the step's output; None if it is the work of parts alone.
        """  # noqa: D205 - one sentence

        async def say_again(context: StepContext) -> object:
            ended = await self._ended(self._recorded.of(self._step, context.part))
            for name, fact in ended.facts.items():
                context.learn(name, fact)
            for key, memory in ended.memories.items():
                context.save(key, memory)
            is_part = bool(context.part)
            return ended.output if is_part or output is None else self._typed(ended.output, output)

        say_again.__annotations__["return"] = signature_of(original).return_type if callable(original) else None
        return say_again

    def merge(self, output: OutputType) -> Callable[..., object]:
        """Return a merge that gives what was recorded, whatever it is given."""

        async def merged(outputs: object) -> object:  # noqa: ARG001 - as every merge
            ended = await self._ended(self._recorded.of(self._step))
            return self._typed(ended.output, output)

        return merged

    async def _ended(self, work: RecordedWork) -> StepCompleted | PartCompleted:
        if isinstance(work.ended, StepFailed | PartFailed):
            raise RecordedWorkError(work.ended)
        if work.ended is not None:
            return work.ended
        if work.was_cut_off:
            await self._standstill.reached(self._recorded.place_of(work.step, work.part))
        raise NotRecordedError(self._step, f"an output of {work.part!r}" if work.part else "an output")

    def _typed(self, plain: object, output: OutputType) -> object:
        try:
            return output.load(plain, step=self._step)
        except StepOutputError:
            raise RecordedMisfitError(self._step, "an output") from None

    def inputs(self) -> Callable[..., object]:
        """Return a function that gives what the pipeline inside the step was given."""

        async def given(context: StepContext) -> object:
            return dict(self._recorded.inputs_inside(self._step, context.part))

        return given

    def route(self, original: Condition) -> Condition:
        """Return the condition of a `when` that comes to the route that was taken."""
        return self._judged(original, lambda: Verdict(self._at_work().output == THEN, "It was so."))

    def until(self, original: Condition) -> Condition:
        """Return what ends the rounds of the step where they ended."""

        def verdict() -> Verdict:
            ended = self._at_work()
            return Verdict(isinstance(ended, PartCompleted) and ended.is_last, "It was so.")

        return self._judged(original, verdict)

    def _at_work(self) -> StepCompleted | PartCompleted:
        """Return how the piece of work ended that is at work.

        Raises:
            RecordedWorkError: If it failed.
            NotRecordedError: If it did not end.
        """
        ended = self._recorded.of(self._step, part_at_work(self._step)).ended
        if isinstance(ended, StepFailed | PartFailed):
            raise RecordedWorkError(ended)
        if ended is None:
            raise NotRecordedError(self._step, "what its condition comes to")
        return ended

    def condition(self, original: Condition) -> Condition:
        """Return a condition that comes to what the step's own came to."""
        return self._judged(original, self._verdict)

    def check(self, original: Condition, of: str) -> Condition:
        """Return the check of the dependency on the step `of` that comes to what it came to."""
        begin = f"The step {of!r} did not validate: "

        def verdict() -> Verdict:
            told = self._verdict()
            has_decided = not told.holds and told.reason.startswith(begin)
            return Verdict(not has_decided, told.reason.removeprefix(begin))

        return self._judged(original, verdict)

    def _verdict(self) -> Verdict:
        ended = self._recorded.of(self._step, CONDITION).ended
        if isinstance(ended, StepFailed | PartFailed):
            raise RecordedWorkError(ended)
        told = ended.output if ended is not None else None
        if not isinstance(told, dict):
            raise NotRecordedError(self._step, "what its condition comes to")
        return Verdict(told.get("holds") is True, str(told.get("reason", "")))

    def _judged(self, original: Condition, verdict: Callable[[], Verdict]) -> Condition:
        """Return a condition that looks like the original, and whose verdict is this one: it asks nobody."""

        def judge(
            values: Mapping[str, object],  # noqa: ARG001 - as every condition
            answers: Mapping[Callable[..., object], bool] | None = None,  # noqa: ARG001 - likewise
        ) -> Verdict:
            return verdict()

        double = Condition(original.tree)
        double.judge = judge  # type: ignore[method-assign]  # of this one; a class of its own is not taken for one
        return double
