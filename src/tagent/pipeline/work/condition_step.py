"""The part of a step that finds out whether it is to run, where a function or a model has to say so."""

from dataclasses import replace

from pydantic import BaseModel, Field

from tagent.pipeline.bindings import OUTPUT
from tagent.pipeline.conditions import Verdict, condition_of
from tagent.pipeline.course.skip_codes import CONDITION_FALSE, DEPENDENCY_UNMET
from tagent.pipeline.events import CONDITION
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.rules import asked_checks
from tagent.pipeline.work.agent_step import AgentStep
from tagent.pipeline.work.judging import Judge
from tagent.pipeline.work.reading import RunReader
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
        self._judge = Judge(step.name, reader, threads, part=CONDITION)
        self._agent = agent

    @property
    def abandoned(self) -> list[ThreadedCall]:
        """Blocking calls that were given up and may still run."""
        return self._judge.abandoned + (self._agent.abandoned if self._agent is not None else [])

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
            given = {OUTPUT: output}
            verdict = await self._judge.verdict(check, attempt, values={**values, **given}, given=given)
            if not verdict.holds:
                return _told(verdict, f"The step {dependency.step!r} did not validate: ", DEPENDENCY_UNMET), None
        if step.condition is not None:
            condition = condition_of(step.condition)
            return _told(await self._judge.verdict(condition, attempt, values=values, given={})), None
        if self._agent is None:
            return {"holds": True, "code": "", "reason": ""}, None
        answer, _ = await self._agent.run(attempt)
        judgement = Judgement.model_validate(answer)
        return _told(Verdict(judgement.holds, judgement.reason)), None


def _told(verdict: Verdict, prefix: str = "", code: str = CONDITION_FALSE) -> dict[str, object]:
    code = "" if verdict.holds else code
    reason = f"{'' if verdict.holds else prefix}{verdict.reason}"
    return {"holds": verdict.holds, "code": code, "reason": reason[:LONGEST_REASON]}
