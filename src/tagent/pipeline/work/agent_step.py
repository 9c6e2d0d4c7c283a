"""A step that is a goal for an agent of ours: which settings and tools it has."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from tagent.config import TAgentConfig
from tagent.exceptions import nearest
from tagent.pipeline.caching.agents import agent_made
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.settings import step_settings
from tagent.pipeline.work.briefing import Briefer
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import WHOLE, Scope
from tagent.ports.services import Services
from tagent.ports.toolsets import MCPServer
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.events import Finalized
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.tools.servers import opened_tools
from tagent.task_agent.tools.tool import Tool
from tagent.threads import ThreadedCall

logger = logging.getLogger("tagent")


class AgentStep:
    """A goal, ready to be worked on in a run.

    Attributes:
        config: The settings of this step's agent.
        abandoned: Blocking calls of its tools that were given up and may still run.
        is_whole: True: an attempt does all of it.
    """

    is_whole = True

    def __init__(
        self,
        step: PipelineStep,
        pipeline: Pipeline,
        reader: RunReader,
        config: TAgentConfig,
        services: Services,
        *,
        output: OutputType,
        scope: Scope = WHOLE,
    ) -> None:
        self.config = step_settings(step, config)
        self.abandoned: list[ThreadedCall] = []
        self._step = step
        self._briefer = Briefer(step, pipeline, reader, self.config, scope=scope)
        self._output = output
        self._services = services

    async def run(self, attempt: Attempt) -> tuple[object, None]:
        """Return what the agent makes of the goal.

        Raises:
            StepInputError: If the goal, a rule or `read_data` names what is not there.
            GoalNotAchievedError: If the goal was not achieved.
            ModelError: If a model call failed for good.
            BudgetExceededError: If a limit of the step or of its run leaves no room for the next one.
            BudgetPausedError: If there is no room, and the run waits for a larger budget.
            ToolsetUnavailableError: If a server of tools cannot be reached.
        """
        if attempt.work_began_at is not None:  # the deadline is of the step, not of each attempt
            attempt = replace(attempt, began_at=attempt.work_began_at)
        briefing = await self._briefer.brief(attempt)
        # What has its answer needs no tool any more, and so no server that may be gone.
        is_answered = any(isinstance(event, Finalized) for event in attempt.history)
        tools: Mapping[str, Tool] = {} if is_answered else await self._tools()
        result = await run_task_based_agent(
            briefing.goal,
            self.config,
            output_format=self._output.declared,
            tools=tuple(tools.values()),
            constraints=briefing.constraints,
            context=briefing.context,
            services=self._services,
            attempt=attempt,
            on_abandon=self.abandoned.append,
        )
        return result.required_output(), None

    async def made_of(self) -> object:
        """Return the agent's settings, models and tools.

        Raises:
            UnkeyableError: If a tool is bound to something that is neither data nor code.
            ModelError: If a model cannot be had.
        """
        step = self._step
        return await agent_made(
            self.config, [*self.config.tools, *step.tools], self._services, wanted=step.tools_filter
        )

    async def reads(self, attempt: Attempt) -> object:
        """Return what the agent is told: its goal, its rules, its data.

        Raises:
            StepInputError: If the goal, a rule or `read_data` names what is not there.
        """
        return (await self._briefer.brief(attempt)).told(self._step)

    async def _tools(self) -> Mapping[str, Tool]:
        """Return the tools that the agent may use; servers of tools are asked for theirs, unless none is wanted."""
        wanted = self._step.tools_filter
        if wanted is not None and not wanted:
            return {}
        given = [*self.config.tools, *self._step.tools]
        available = await opened_tools(given, self._services)
        if wanted is None:
            return available
        # Without servers validation has said so: then all tools are known before the run.
        has_servers = any(isinstance(tool, MCPServer) for tool in given)
        for name in sorted(set(wanted) - available.keys()) if has_servers else ():
            logger.warning("The step %r has no tool %r.%s", self._step.name, name, nearest(name, available))
        return {name: available[name] for name in wanted if name in available}
