"""A step that is a goal: what the agent is told of the run, and which settings and tools it has."""

from collections.abc import Mapping

from tagent.config import TAgentConfig
from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import StepInputError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.reading import RunReader
from tagent.ports.services import Services
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.context import CHARACTERS_PER_TOKEN, EnhancedContextManager
from tagent.task_agent.memory_tools import fitting
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.tools import Tool, tools_by_name
from tagent.threads import ThreadedCall


class AgentStep:
    """A goal, ready to be worked on in a run.

    Attributes:
        config: The settings of this step's agent.
        abandoned: Blocking calls of its tools that were given up and may still run.
    """

    def __init__(
        self,
        step: PipelineStep,
        pipeline: Pipeline,
        reader: RunReader,
        config: TAgentConfig,
        services: Services,
    ) -> None:
        own_model = [TAgentConfig(model=step.model)] if step.model is not None else []
        self.config = config.merged(TAgentConfig.of(step.config), *own_model)
        self.abandoned: list[ThreadedCall] = []
        self._step = step
        self._description = pipeline.description
        self._rules = (*pipeline.global_constraints, *step.constraints)
        self._reader = reader
        self._services = services

    async def run(self, attempt: Attempt) -> tuple[object, None]:
        """Return what the agent makes of the goal.

        Raises:
            StepInputError: If the goal, a rule or `read_data` names what is not there.
            GoalNotAchievedError: If the goal was not achieved.
            ModelError: If a model call failed for good.
        """
        step = self._step
        outputs = self._reader.plain_outputs_before(step.name)
        known = {**self._reader.plain_inputs(), **outputs}
        longest = self.config.context_tokens * CHARACTERS_PER_TOKEN
        try:
            goal = bindings.fill(step.goal or "", known, max_characters=longest)
            constraints = tuple(bindings.fill(rule, known, max_characters=longest) for rule in self._rules)
            context = self._context(known, outputs)
            await self._recall(goal, context, attempt)
        except DataPathError as error:
            raise StepInputError(step.name, f"The step {step.name!r} asks for what is not there: {error}") from error
        result = await run_task_based_agent(
            goal,
            self.config,
            output_format=self._reader.output_types[step.name].declared,
            tools=tuple(self._tools().values()),
            constraints=constraints,
            context=context,
            services=self._services,
            attempt=attempt,
            on_abandon=self.abandoned.append,
        )
        return result.required_output(), None

    async def _recall(self, goal: str, context: EnhancedContextManager, attempt: Attempt) -> None:
        """Tell the agent what is remembered from earlier runs and fits its goal."""
        reach = attempt.reach and attempt.reach(attempt.idempotency_key, attempt.effects)
        if reach and reach.remembers == "pipeline":
            for entry in await fitting(goal, reach.memory.pipeline):
                context.add_fact(f"remembered: {entry.key}", entry.value)

    def _tools(self) -> Mapping[str, Tool]:
        available = tools_by_name([*self.config.tools, *self._step.tools])
        if self._step.tools_filter is None:
            return available
        return {name: available[name] for name in self._step.tools_filter if name in available}

    def _context(self, known: Mapping[str, object], outputs: Mapping[str, object]) -> EnhancedContextManager:
        """Return what the agent is told besides its goal.

        That is the paths of `read_data` if there are any; else the shared memory and the outputs of the
        dependencies, without what a placeholder already inserted whole. An input reaches an agent only
        where its goal, a rule or `read_data` names it: it may be a secret meant for a function.
        """
        told = EnhancedContextManager(self._description, max_tokens=self.config.context_tokens)
        if self._step.read_data:
            for written in self._step.read_data:
                told.add_fact(written, DataPath.parse(written).look_up(known))
            return told
        texts = (self._step.goal or "", *self._rules)
        inserted = {path.root for text in texts for path in bindings.placeholders(text) if not path.parts}
        for name, value in {**self._reader.shared(), **outputs}.items():
            if name not in inserted:
                told.add_fact(name, value)
        return told
