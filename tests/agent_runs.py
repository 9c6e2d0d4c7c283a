"""Builders for tests of the single agent: a script for the model, some tools, and what came of it."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from tagent.config import TAgentConfig
from tagent.ports.clock import Clock
from tagent.ports.services import Services
from tagent.runtime import open_services
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.events import AgentEvent
from tagent.task_agent.models import AgentState
from tagent.task_agent.results import TaskBasedAgentResult
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.state_machine import reduce
from tagent.task_agent.tools.tool import Tool
from tagent.testing import ScriptedModel


@dataclass
class AgentRun:
    """One agent's work: what it may use, what it did, what came of it."""

    model: ScriptedModel
    events: list[AgentEvent] = field(default_factory=list)
    finished: TaskBasedAgentResult[object] | None = None

    @property
    def result(self) -> TaskBasedAgentResult[object]:
        """The result of an agent that came to its end."""
        assert self.finished is not None
        return self.finished

    @property
    def calls(self) -> list[str]:
        """The purpose of each model call, in order."""
        return [request.purpose for request in self.model.requests]

    @property
    def last_prompt(self) -> str:
        """The user's part of the last prompt."""
        return self.model.requests[-1].messages[-1].content

    @property
    def state(self) -> AgentState:
        """What the recorded events come to."""
        state = AgentState()
        for event in self.events:
            state = reduce(state, event)
        return state

    async def work(
        self,
        *tools: Callable[..., object] | Tool,
        goal: str = "Find it",
        output_format: object = None,
        constraints: Sequence[str] = (),
        context: EnhancedContextManager | None = None,
        clock: Clock | None = None,
        **settings: object,
    ) -> "AgentRun":
        """Let the agent work with `tools`, recording its events, and return this."""

        async def record(event: AgentEvent) -> None:
            self.events.append(event)

        config = TAgentConfig.of({"model": self.model, **settings})
        async with services(clock) as opened:
            self.finished = await run_task_based_agent(
                goal,
                config,
                output_format=output_format,
                tools=tools,
                constraints=constraints,
                context=context,
                services=opened,
                attempt=Attempt(record=record),
            )
        return self


@asynccontextmanager
async def services(clock: Clock | None = None) -> AsyncIterator[Services]:
    """Open the default services, with `clock` instead of the machine's when one is given."""
    async with open_services(TAgentConfig()) as opened:
        yield replace(opened, clock=clock) if clock else opened


def scripted(*script: object) -> AgentRun:
    """Return an agent whose model answers from `script`."""
    return AgentRun(ScriptedModel(script))


def call(tool_name: str, **tool_args: object) -> dict[str, object]:
    """Return the task of a plan that calls the tool with these arguments."""
    return {"tool_name": tool_name, "tool_args": tool_args}


def not_achieved(reason: str = "It is not there.", **more: object) -> dict[str, object]:
    """Return a model's answer that the goal is not achieved."""
    return {"not_achieved_because": reason, **more}
