"""A step that is a goal for an agent of somebody else. What it does is journalled as if it were one of ours."""

from dataclasses import replace

from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline.briefing import Briefer, Briefing
from tagent.pipeline.exceptions import StepFailedError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.reading import RunReader
from tagent.ports.services import Services
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.events import AgentStarted, Finalized, ModelFailed
from tagent.task_agent.foreign import (
    ForeignAgentError,
    agent_name,
    ask_foreign,
    declared_output,
    is_vendors,
    may_mend,
)
from tagent.task_agent.models import AgentPhase, ModelCall
from tagent.task_agent.progress import Progress
from tagent.task_agent.prompts import DATA_RULE, Assignment, answer_messages
from tagent.task_agent.results import GoalNotAchievedError
from tagent.task_agent.tools.context import ToolContext
from tagent.threads import ThreadedCall


class ForeignStep:
    """A goal and an agent that is not ours, ready to be worked on in a run.

    Attributes:
        abandoned: Empty: such an agent is async.
    """

    def __init__(
        self,
        step: PipelineStep,
        pipeline: Pipeline,
        reader: RunReader,
        config: TAgentConfig,
        services: Services,
    ) -> None:
        self.abandoned: list[ThreadedCall] = []
        self._agent = step.agent
        self._step = step
        settings = config.merged(TAgentConfig.of(step.config))
        self._context_tokens = settings.context_tokens
        self._briefer = Briefer(step, pipeline, reader, settings)
        self._output_type = reader.output_types[step.name]
        self._clock = services.clock

    async def run(self, attempt: Attempt) -> tuple[object, None]:
        """Return what the agent gives, as the step's type. A call that was answered is not made again.

        Raises:
            StepInputError: If the goal, a rule or `read_data` names what is not there.
            ForeignAgentError: If the agent raises.
            StepOutputError: If what it gives does not fit.
            TAgentError: What the agent raises of ours, as it is.
        """
        progress = Progress(attempt)
        progress.take_up()
        if progress.state.phase is AgentPhase.INIT:
            await progress.happened(AgentStarted(has_tools=False, max_planning_cycles=1))
        if progress.state.phase is AgentPhase.FINALIZING:
            await self._ask(progress)
        if progress.state.failure is not None:  # of a try that was cut off before its step knew
            raise GoalNotAchievedError(progress.state.failure)
        return self._output_type.load(progress.state.output, step=self._step.name), None

    async def _ask(self, progress: Progress) -> None:
        briefing = await self._briefer.brief(progress.attempt)
        name = agent_name(self._agent)
        call = ModelCall(name, purpose="answer")
        asked_at = self._clock.now()
        try:
            output, call = await self._answer(briefing, progress)
            plain = self._output_type.dump(output, step=self._step.name)
        except Exception as error:
            failure = self._failure_of(error, name)
            call = replace(call, seconds=self._clock.now() - asked_at)
            await progress.happened(ModelFailed(failure.code, str(failure), failure.is_retryable, call))
            if failure is error:
                raise
            raise failure from error
        await progress.happened(Finalized(plain, replace(call, seconds=self._clock.now() - asked_at)))

    async def _answer(self, briefing: Briefing, progress: Progress) -> tuple[object, ModelCall]:
        attempt = progress.attempt
        wanted = self._step.output_schema
        context = ToolContext(
            briefing.goal,
            idempotency_key=attempt.idempotency_key,
            reach=attempt.reach and attempt.reach(attempt.idempotency_key, attempt.effects),
            attempt=attempt.number,
        )
        assignment = Assignment(briefing.goal, briefing.constraints, briefing.context, {}, self._context_tokens)
        try:
            return await ask_foreign(
                self._agent,
                _prompt(assignment, progress),
                context=context,
                output_type=None if wanted == declared_output(self._agent) else wanted,
            )
        finally:
            context.cancelled = True

    def _failure_of(self, error: Exception, name: str) -> TAgentError:
        if isinstance(error, TAgentError):
            return error
        is_retryable = may_mend(error) if is_vendors(error) else StepFailedError(self._step.name, error).is_retryable
        return ForeignAgentError(name, error, is_retryable=is_retryable)


def _prompt(assignment: Assignment, progress: Progress) -> str:
    """Return what our own agent would be asked, without the form in which it would answer."""
    asked = answer_messages(assignment, progress.state)[-1].content
    return f"{asked}\n\n{DATA_RULE}" if "<data " in asked else asked
