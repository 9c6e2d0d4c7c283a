"""Durable pipelines of LLM agents.

The public names are loaded when they are first used, so that `import tagent` costs almost nothing.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from tagent.exports import loaded_late

if TYPE_CHECKING:
    from tagent.agent import (
        afork,
        aresume,
        arun_agent,
        arun_pipeline,
        astate_at,
        fork,
        resume,
        run_agent,
        run_pipeline,
        state_at,
    )
    from tagent.config import ModelLimits, TAgentConfig
    from tagent.exceptions import MissingExtraError, TAgentError
    from tagent.ports.toolsets import MCPServer
    from tagent.task_agent.budgets import BudgetExceededError
    from tagent.task_agent.decorator import tool
    from tagent.task_agent.discovery import ToolLoadError, discover_output_schema, discover_tools
    from tagent.task_agent.memory_tools import recall, remember
    from tagent.task_agent.results import GoalNotAchievedError, TaskBasedAgentResult
    from tagent.task_agent.run import IterationsExceededError
    from tagent.task_agent.tool_context import ToolContext
    from tagent.task_agent.tools import Tool

    PIPELINE_AVAILABLE: bool

__version__ = "0.1.0"

__all__ = [
    "run_agent",
    "arun_agent",
    "run_pipeline",
    "arun_pipeline",
    "resume",
    "aresume",
    "fork",
    "afork",
    "state_at",
    "astate_at",
    "TAgentConfig",
    "TaskBasedAgentResult",
    "ModelLimits",
    "Tool",
    "tool",
    "ToolContext",
    "MCPServer",
    "discover_tools",
    "discover_output_schema",
    "remember",
    "recall",
    "TAgentError",
    "GoalNotAchievedError",
    "BudgetExceededError",
    "IterationsExceededError",
    "ToolLoadError",
    "MissingExtraError",
    "PIPELINE_AVAILABLE",
    "__version__",
]

_HOMES = {
    "run_agent": "tagent.agent",
    "arun_agent": "tagent.agent",
    "run_pipeline": "tagent.agent",
    "arun_pipeline": "tagent.agent",
    "resume": "tagent.agent",
    "aresume": "tagent.agent",
    "fork": "tagent.agent",
    "afork": "tagent.agent",
    "state_at": "tagent.agent",
    "astate_at": "tagent.agent",
    "TAgentConfig": "tagent.config",
    "TaskBasedAgentResult": "tagent.task_agent.results",
    "ModelLimits": "tagent.config",
    "Tool": "tagent.task_agent.tools",
    "tool": "tagent.task_agent.decorator",
    "ToolContext": "tagent.task_agent.tool_context",
    "MCPServer": "tagent.ports.toolsets",
    "discover_tools": "tagent.task_agent.discovery",
    "discover_output_schema": "tagent.task_agent.discovery",
    "remember": "tagent.task_agent.memory_tools",
    "recall": "tagent.task_agent.memory_tools",
    "TAgentError": "tagent.exceptions",
    "GoalNotAchievedError": "tagent.task_agent.results",
    "BudgetExceededError": "tagent.task_agent.budgets",
    "IterationsExceededError": "tagent.task_agent.run",
    "ToolLoadError": "tagent.task_agent.discovery",
    "MissingExtraError": "tagent.exceptions",
}

_load, __dir__ = loaded_late(__name__, _HOMES)


def __getattr__(name: str) -> object:
    return find_spec("yaml") is not None if name == "PIPELINE_AVAILABLE" else _load(name)
