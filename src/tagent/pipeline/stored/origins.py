"""From a stored definition back to the code that it was made of."""

from collections.abc import Sequence
from pathlib import Path

from tagent.config import TAgentConfig
from tagent.pipeline.exceptions import PipelineError, PipelineLoadError
from tagent.pipeline.models import Pipeline
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.pipeline.stored.loading import load_pipeline
from tagent.ports.toolsets import MCPServer
from tagent.task_agent.tools.discovery import load_output_schema, load_tools
from tagent.task_agent.tools.servers import ToolSource
from tagent.task_agent.tools.tool import Tool

GOAL = "goal"
"""What the pipeline of a mere goal is called, and its only step."""


class NoPipelineError(PipelineError):
    """Nobody knows where to load a run's pipeline from.

    Attributes:
        run_id: The run.
    """

    code = "pipeline.no_origin"

    def __init__(self, run_id: str, *, pipeline: str, hint: str) -> None:
        self.run_id = run_id
        super().__init__(
            f"The pipeline {pipeline!r} of run {run_id} has no file: it was built in code, or the run was imported.",
            hint=hint,
        )


def goal_pipeline(goal: str, *, tool_files: Sequence[str] = (), schema_file: str = "") -> Pipeline:
    """Return a pipeline whose single step is the goal.

    Args:
        goal: The goal.
        tool_files: Files whose tools its agent may use.
        schema_file: The file that says what its output must be; empty for text.

    Raises:
        ToolLoadError: If a file does not give what it is named for.
    """
    tools = load_tools(tool_files)
    return Pipeline(GOAL).step(
        GOAL,
        goal,
        tools=tools,
        tools_filter=_names(tools) or None,  # so that it is known that it had some
        output_schema=load_output_schema(schema_file) if schema_file else None,
    )


def _names(tools: Sequence[ToolSource]) -> list[str]:
    """Return what the tools are called; nothing when a server is among them, of whose tools only it knows."""
    if any(isinstance(tool, MCPServer) for tool in tools):
        return []
    return [tool.name for tool in tools if isinstance(tool, Tool)]


def with_tools(pipeline: Pipeline, tool_files: Sequence[str]) -> Pipeline:
    """Return the pipeline whose agents may use the tools of the files besides those that it has.

    Raises:
        ToolLoadError: If a file does not give tools.
    """
    if not tool_files:
        return pipeline
    own = TAgentConfig.of(pipeline.config)
    return Pipeline(pipeline, config=own.merged(TAgentConfig(tools=(*own.tools, *load_tools(tool_files)))))


def code_of(definition: Definition, *, run_id: str, hint: str) -> Pipeline:
    """Return the pipeline as its files define it today; that of a goal without tools and schema needs none.

    Args:
        definition: What is stored of it.
        run_id: The run, for the message.
        hint: What to do about a pipeline that has no file.

    Raises:
        NoPipelineError: If it has none.
        PipelineLoadError: If its file does not give it.
        ToolLoadError: If a file does not give the tools or the output schema that the run began with.
    """
    origin = definition.origin
    if origin.file:
        if not Path(origin.file).is_file():
            message = f"The file {origin.file!r}, from which run {run_id} was started, is not there any more."
            raise PipelineLoadError(origin.file, message, hint="Put it back, or name the file or the pipeline itself.")
        return with_tools(load_pipeline(origin.file, origin.object_name), origin.tool_files)
    if is_goal(definition) and _has_its_files(definition):
        goal = definition.spec["steps"][0]["goal"]
        return goal_pipeline(goal, tool_files=origin.tool_files, schema_file=origin.schema_file)
    raise NoPipelineError(run_id, pipeline=definition.spec["name"], hint=hint)


def knows_its_code(definition: Definition) -> bool:
    """Return whether it says from where its code comes, whether or not that is still there."""
    return bool(definition.origin.file) or (is_goal(definition) and _has_its_files(definition))


def is_goal(definition: Definition) -> bool:
    """Return whether it is that of a mere goal, not of a file."""
    steps = definition.spec["steps"]
    return bool(
        not definition.origin.file
        and definition.spec["name"] == GOAL
        and [step["name"] for step in steps] == [GOAL]
        and steps[0]["goal"]
    )


def _has_its_files(definition: Definition) -> bool:
    """Return whether it is known where the tools and the schema come from; of an imported run it is not."""
    step, origin = definition.spec["steps"][0], definition.origin
    plain = Definition.of(goal_pipeline(step["goal"]), Origin()).spec["steps"][0]
    has_tools = step["tools_filter"] is not None or origin.had_tools
    has_schema = step["output"] != plain["output"]
    return bool(origin.tool_files or not has_tools) and bool(origin.schema_file or not has_schema)
