"""Durable pipelines of LLM agents.

The public names are loaded when they are first used, so that `import tagent` costs almost nothing.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from tagent.exports import loaded_late

if TYPE_CHECKING:
    from tagent.agent import arun_agent, arun_pipeline, run_agent, run_pipeline
    from tagent.approving import aapprovals, aapprove, approvals, approve, areject, reject
    from tagent.config import ModelLimits, TAgentConfig
    from tagent.exceptions import MissingExtraError, TAgentError
    from tagent.ports.toolsets import MCPServer
    from tagent.runs import acancel, afork, aresume, astate_at, cancel, fork, resume, state_at
    from tagent.streaming import RunStream, stream
    from tagent.task_agent.budgets import BudgetExceededError
    from tagent.task_agent.context import EnhancedContextManager
    from tagent.task_agent.results import GoalNotAchievedError, IterationsExceededError, TaskBasedAgentResult
    from tagent.task_agent.retrieval.instructions_rag import InstructionsRAG
    from tagent.task_agent.retrieval.tool_rag import ToolRAG
    from tagent.task_agent.state_machine import TaskBasedStateMachine
    from tagent.task_agent.tools.context import ToolContext
    from tagent.task_agent.tools.decorator import tool
    from tagent.task_agent.tools.discovery import ToolLoadError, discover_output_schema, discover_tools
    from tagent.task_agent.tools.memory import recall, remember
    from tagent.task_agent.tools.tool import Tool

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
    "cancel",
    "acancel",
    "approvals",
    "aapprovals",
    "approve",
    "aapprove",
    "reject",
    "areject",
    "state_at",
    "astate_at",
    "stream",
    "RunStream",
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
    "ToolRAG",
    "InstructionsRAG",
    "EnhancedContextManager",
    "TaskBasedStateMachine",
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
    "resume": "tagent.runs",
    "aresume": "tagent.runs",
    "fork": "tagent.runs",
    "afork": "tagent.runs",
    "cancel": "tagent.runs",
    "acancel": "tagent.runs",
    "approvals": "tagent.approving",
    "aapprovals": "tagent.approving",
    "approve": "tagent.approving",
    "aapprove": "tagent.approving",
    "reject": "tagent.approving",
    "areject": "tagent.approving",
    "state_at": "tagent.runs",
    "astate_at": "tagent.runs",
    "stream": "tagent.streaming",
    "RunStream": "tagent.streaming",
    "TAgentConfig": "tagent.config",
    "TaskBasedAgentResult": "tagent.task_agent.results",
    "ModelLimits": "tagent.config",
    "Tool": "tagent.task_agent.tools.tool",
    "tool": "tagent.task_agent.tools.decorator",
    "ToolContext": "tagent.task_agent.tools.context",
    "MCPServer": "tagent.ports.toolsets",
    "discover_tools": "tagent.task_agent.tools.discovery",
    "discover_output_schema": "tagent.task_agent.tools.discovery",
    "remember": "tagent.task_agent.tools.memory",
    "recall": "tagent.task_agent.tools.memory",
    "ToolRAG": "tagent.task_agent.retrieval.tool_rag",
    "InstructionsRAG": "tagent.task_agent.retrieval.instructions_rag",
    "EnhancedContextManager": "tagent.task_agent.context",
    "TaskBasedStateMachine": "tagent.task_agent.state_machine",
    "TAgentError": "tagent.exceptions",
    "GoalNotAchievedError": "tagent.task_agent.results",
    "BudgetExceededError": "tagent.task_agent.budgets",
    "IterationsExceededError": "tagent.task_agent.results",
    "ToolLoadError": "tagent.task_agent.tools.discovery",
    "MissingExtraError": "tagent.exceptions",
}

_load, __dir__ = loaded_late(__name__, _HOMES)


def __getattr__(name: str) -> object:
    return find_spec("yaml") is not None if name == "PIPELINE_AVAILABLE" else _load(name)
