"""The form of a plan, and what is wrong with one before anything of it runs. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from tagent.exceptions import DataPathError
from tagent.task_agent.models import Task, TaskStatus
from tagent.task_agent.prompts import described
from tagent.task_agent.references import look_up, references_in, whole_reference
from tagent.task_agent.tools import schemas
from tagent.task_agent.tools.tool import Tool

MOST_TASKS = 500
"""Tasks of one plan; a model that writes more has lost its way."""


class PlannedTask(BaseModel):
    """A task as the model plans it; `plan_type` narrows the names."""

    model_config = ConfigDict(extra="forbid")

    description: str = Field(default="", description="What the task is for, in a few words.")
    tool_name: str
    tool_args: dict[str, Any] = Field(description="The arguments by name, as the tool's schema says.")


class Plan(BaseModel):
    """A plan as the model gives it; `plan_type` narrows the names."""

    tasks: list[PlannedTask]


@dataclass(frozen=True, slots=True)
class PlanRules:
    """What a plan must keep to.

    Attributes:
        tools: Name -> tool; `plan_type` says which may be named.
        done: The tasks of earlier plans.
        undescribed: The tools of which the model was told the name only.
    """

    tools: Mapping[str, Tool]
    done: Sequence[Task] = ()
    undescribed: Collection[str] = field(default_factory=frozenset)

    def check(self, plan: object) -> str:
        """Return what is wrong with a new plan, a line for each; empty if it can be carried out."""
        return "\n".join(self.problems(plan.tasks)) if isinstance(plan, Plan) else "This is no plan."

    def problems(self, tasks: Sequence[PlannedTask]) -> Iterator[str]:
        """Yield what is wrong with the tasks of a new plan, one sentence each, with no argument's value in it."""
        if len(tasks) > MOST_TASKS:
            yield f"The plan has {len(tasks)} tasks, and may have {MOST_TASKS}."
            return
        first = len(self.done)
        planned = dict(enumerate(tasks, first))
        for number, task in planned.items():
            try:
                yield from self._problems_of(number, task, planned)
            except DataPathError as error:
                yield f"Task {number}: {error.message}"

    def _problems_of(self, number: int, task: PlannedTask, planned: Mapping[int, PlannedTask]) -> Iterator[str]:
        tool = self.tools[task.tool_name]
        unresolved = set()
        for argument, value in task.tool_args.items():
            for index, path in references_in(value):
                unresolved.add(argument)
                if index >= number:
                    yield _forward(number, index, planned)
                else:
                    yield from self._misled(number, index, path, planned)
            if (whole := whole_reference(value)) is not None and whole[0] < number:
                yield from self._misfit(number, tool, argument, whole, planned)
        if wrong := tool.problems(task.tool_args, unresolved=frozenset(unresolved)):
            told = f" The tool: {described(tool)}" if tool.name in self.undescribed else ""
            yield f"Task {number}: {wrong}{told}"

    def _misled(
        self, number: int, index: int, path: tuple[str | int, ...], planned: Mapping[int, PlannedTask]
    ) -> Iterator[str]:
        """Yield what is wrong with a reference to the task `index` before this one."""
        if index in planned:
            schema = self.tools[planned[index].tool_name].output_schema
            if schema is not None and (missing := schemas.missing_part(schema, path)) is not None:
                yield f"Task {number} refers to {missing!r} of task {index}, which its output does not have."
            return
        task = self.done[index]
        if task.status is not TaskStatus.COMPLETED:
            yield f"Task {number} refers to task {index}, which failed."
            return
        try:
            look_up(index, path, task.output)
        except DataPathError as error:
            yield f"Task {number}: {error.message}"

    def _misfit(
        self,
        number: int,
        tool: Tool,
        argument: str,
        reference: tuple[int, tuple[str | int, ...]],
        planned: Mapping[int, PlannedTask],
    ) -> Iterator[str]:
        """Yield that a whole value of an earlier task cannot be what the argument wants."""
        index, path = reference
        source = self.tools[planned[index].tool_name].output_schema if index in planned else None
        wanted = schemas.part(tool.parameters_schema, (argument,))
        given = None if source is None else schemas.part(source, path)
        if given is not None and wanted is not None and not schemas.may_fit(given, wanted):
            yield (
                f"Task {number}: {argument!r} of {tool.name!r} is of another type than what task {index} "
                f"returns there: {schemas.type_name(given)} instead of {schemas.type_name(wanted)}."
            )


def _forward(number: int, index: int, planned: Mapping[int, PlannedTask]) -> str:
    """Return what is wrong with a reference to the task itself or to one that does not come before it."""
    if index == number:
        return f"Task {number} refers to itself."
    if index in planned and any(back == number for back, _ in references_in(planned[index].tool_args)):
        return f"Tasks {number} and {index} refer to each other."
    return f"Task {number} refers to task {index}, which does not come before it."


@lru_cache(maxsize=256)
def plan_type(names: tuple[str, ...]) -> type[Plan]:
    """Return the Pydantic model of a plan that names only these tools."""
    name: Any = Literal[names]
    task: Any = create_model("PlannedTask", __base__=PlannedTask, tool_name=(name, ...))
    return create_model("Plan", __base__=Plan, tasks=(list[task], ...))
