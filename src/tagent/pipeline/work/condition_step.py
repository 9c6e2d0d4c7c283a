"""The part of a step that finds out whether it is to run, where a function or a model has to say so."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from pydantic import BaseModel, Field

from tagent.pipeline.conditions import Condition, NeedsCallError, Verdict, condition_of
from tagent.pipeline.events import CONDITION
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.rules import asked_checks
from tagent.pipeline.work.agent_step import AgentStep
from tagent.pipeline.work.function_step import FunctionStep
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import Scope
from tagent.task_agent.attempt import Attempt
from tagent.threads import DaemonThreads, ThreadedCall

LONGEST_REASON = 4000
"""Characters of a reason that are kept; a model may write a book."""

_ASKED = """\
Decide whether the step {name!r} is to be done at all. Some of its rules may say under which circumstances it is to be \
done. Look at the data: do these circumstances hold? Rules that only say how it is to be done do not matter. \
The step: {goal}
Its rules:
{rules}"""


class Judgement(BaseModel):
    """Whether a step is to be done."""

    reason: str = Field(description="What in the data decides it, in one sentence.")
    holds: bool = Field(description="Whether the step is to be done.")


def question_of(step: PipelineStep) -> PipelineStep:
    """Return the step that asks a model whether the constraints of `step` hold that say when it is to be done."""
    rules = "\n".join(f"- {rule}" for rule in step.constraints)
    goal = _ASKED.format(name=step.name, goal=step.goal or "a function of the pipeline", rules=rules)
    return replace(
        step,
        goal=goal,
        run=None,
        agent=None,
        constraints=(),
        tools=(),
        tools_filter=(),
        read_data=(),
        for_each=None,
        output_schema=Judgement,
    )


class ConditionStep:
    """Judges the condition of one step, and those checks of its dependencies that ask a function.

    Args:
        step: The step.
        reader: The run.
        threads: Where blocking functions run.
        agent: Asks the model, if that is who judges.
    """

    def __init__(
        self, step: PipelineStep, reader: RunReader, threads: DaemonThreads, *, agent: AgentStep | None
    ) -> None:
        self._step = step
        self._reader = reader
        self._threads = threads
        self._agent = agent
        self._abandoned: list[ThreadedCall] = []

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls that were given up and may still run."""
        return self._abandoned + (self._agent.abandoned if self._agent is not None else [])

    async def run(self, attempt: Attempt) -> tuple[object, None]:
        """Return `holds`, and if it does not, `code` and `reason`.

        Raises:
            ConditionError: If a condition cannot be answered.
            StepOutputError: If a function gives something else than True or False.
            TAgentError: If the model cannot be asked.
        """
        step = self._step
        values = self._reader.values_for(step.name)
        for dependency, check in asked_checks(step):
            output = self._reader.output_of(dependency.step)
            verdict = await self._verdict(check, {**values, "output": output}, {"output": output}, attempt)
            if not verdict.holds:
                return _told(verdict, f"The step {dependency.step!r} did not validate: ", "dependency_unmet"), None
        if step.condition is not None:
            return _told(await self._verdict(condition_of(step.condition), values, {}, attempt)), None
        if self._agent is None:
            return {"holds": True, "code": "", "reason": ""}, None
        answer, _ = await self._agent.run(attempt)
        judgement = Judgement.model_validate(answer)
        return _told(Verdict(judgement.holds, judgement.reason)), None

    async def _verdict(
        self, condition: Condition, values: Mapping[str, object], given: Mapping[str, object], attempt: Attempt
    ) -> Verdict:
        answers: dict[Callable[..., object], bool] = {}
        while True:
            try:
                return condition.judge(values, answers)
            except NeedsCallError as needed:
                answers[needed.function] = await self._ask(needed.function, given, attempt)

    async def _ask(self, function: Callable[..., object], given: Mapping[str, object], attempt: Attempt) -> bool:
        name = self._step.name
        work = FunctionStep(name, function, self._reader, self._threads, scope=Scope(CONDITION, given))
        work.abandoned = self._abandoned
        answer, _ = await work.run(attempt)
        if not isinstance(answer, bool):
            told = getattr(function, "__name__", "a function")
            message = f"The condition {told!r} of the step {name!r} gave {type(answer).__name__}, not True or False."
            raise StepOutputError(name, message)
        return answer


def _told(verdict: Verdict, prefix: str = "", code: str = "condition_false") -> dict[str, object]:
    code = "" if verdict.holds else code
    reason = f"{'' if verdict.holds else prefix}{verdict.reason}"
    return {"holds": verdict.holds, "code": code, "reason": reason[:LONGEST_REASON]}
