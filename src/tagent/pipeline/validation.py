"""Everything wrong with a definition, at once, each with what would be right. Imports and runs nothing of it."""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel

from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError, DataPathError, nearest
from tagent.names import InvalidNameError, checked_name
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.awaited import Event, event_of
from tagent.pipeline.exceptions import PipelineValidationError, Problem, StepOutputError
from tagent.pipeline.graph import CircularDependencyError, ExecutionGraph
from tagent.pipeline.models import Dependency, DependencyType, ExecutionMode, MemoryUse, Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType, output_type
from tagent.pipeline.triggers import SCHEDULED_AT, EventTrigger, ScheduleTrigger
from tagent.ports.toolsets import MCPServer
from tagent.retries import RetryPolicy
from tagent.task_agent.foreign import agent_problem
from tagent.task_agent.tools.tool import Tool, tools_by_name

MAX_NAME_LENGTH = 200
MODES_AVAILABLE = (ExecutionMode.SERIAL, ExecutionMode.CONCURRENT)
TYPES_AVAILABLE = (DependencyType.HARD, DependencyType.DATA)
OPTIONS_TO_COME = (
    "condition", "branches", "for_each", "merge", "optional", "on_error",
    "compensate", "approval", "cache", "budget",
)  # fmt: skip


def validate(
    pipeline: Pipeline, *, inputs: Collection[str] | None = None, tools: Collection[object] = ()
) -> list[Problem]:
    """Return every problem of `pipeline`, in definition order; hints and warnings are among them.

    Args:
        pipeline: The definition.
        inputs: The names that a run is given; None when they are not known yet.
        tools: The functions that the run offers to every step.

    Example:
        >>> pipeline = Pipeline("p").step("facts", "Find facts").step("text", "Describe {facts} and {fact.name}")
        >>> for problem in validate(pipeline):
        ...     print(problem.severity, problem)
        warning step 'text': {fact.name} names no step or input and stays as it is. Did you mean 'facts'?
    """
    if not _is_model(pipeline.inputs):
        return [Problem("bad_type", f"`inputs` is {pipeline.inputs!r}; it must be a Pydantic model class.")]
    known_inputs = set(pipeline.inputs.model_fields) if pipeline.inputs else inputs
    checker = _Checker(pipeline, known_inputs, tools)
    return [
        *checker.pipeline_problems(),
        *(p for step in pipeline.steps for p in checker.step_problems(step)),
    ]


def _is_model(declared: object) -> bool:
    return declared is None or (isinstance(declared, type) and issubclass(declared, BaseModel))


def require_valid(
    pipeline: Pipeline, *, inputs: Collection[str] | None = None, tools: Collection[object] = ()
) -> list[Problem]:
    """Return the warnings and hints of `pipeline`.

    Raises:
        PipelineValidationError: If it has any error; all of them are listed.
    """
    problems = validate(pipeline, inputs=inputs, tools=tools)
    errors = [problem for problem in problems if problem.severity == "error"]
    if errors:
        raise PipelineValidationError(pipeline.name, errors)
    return problems


def _unknown_memory(given: object, *, step: str = "") -> Problem:
    return Problem("bad_memory", f"`memory` is {given!r}; it must be 'run' or 'pipeline'.", step)


class _Checker:
    """The checks of one pipeline, with what several of them look up."""

    def __init__(self, pipeline: Pipeline, inputs: Collection[str] | None, tools: Collection[object]) -> None:
        self._pipeline = pipeline
        self._inputs = inputs
        self._tools = tools
        self._steps: dict[str, PipelineStep] = {}
        for step in pipeline.steps:
            self._steps.setdefault(step.name, step)
        self._known = self._steps.keys() | set(inputs or ())
        self._wrong_types = {id(step): list(_type_problems(step)) for step in pipeline.steps}

    def pipeline_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the pipeline as a whole."""
        if not self._pipeline.steps:
            yield Problem("empty", "The pipeline has no steps. Add one with .step(name, goal).")
        seen: set[str] = set()
        for step in self._pipeline.steps:
            if step.name in seen:
                yield Problem("duplicate_name", "Another step has this name. Names must be unique.", step.name)
            seen.add(step.name)
        yield from self._unused_inputs()
        for name in sorted(seen & set(self._inputs or ())):
            yield Problem("ambiguous_name", "An input has the same name. Rename one of them.", name)
        final = self._pipeline.final
        if final is not None and final not in seen:
            yield Problem("unknown_step", f"`final` names the unknown step {final!r}.{nearest(final, seen)}")
        try:
            OutputType().dump(self._pipeline.shared_context, step="shared_context")
        except StepOutputError:
            yield Problem("bad_context", "`shared_context` holds something that cannot be written as JSON.")
        if self._pipeline.memory not in get_args(MemoryUse):
            yield _unknown_memory(self._pipeline.memory)
        for space in self._pipeline.spaces:
            try:
                checked_name(space)
            except InvalidNameError as error:
                yield Problem("bad_space", f"The space {error}")
        yield from self._trigger_problems()
        yield from self._configuration(self._pipeline.config, step="")
        yield from self._graph_problems()

    def _trigger_problems(self) -> Iterator[Problem]:
        declared = self._pipeline.inputs
        required = [name for name, it in declared.model_fields.items() if it.is_required()] if declared else []
        triggers: Sequence[object] = self._pipeline.triggers
        for place, trigger in enumerate(triggers):
            if not isinstance(trigger, EventTrigger | ScheduleTrigger):
                message = f"`triggers` holds {trigger!r}; make it with on_event(topic) or on_schedule(cron)."
                yield Problem("bad_trigger", message)
            elif trigger in triggers[:place]:
                yield Problem("duplicate_trigger", f"The trigger {trigger} is there twice. Remove one of them.")
            elif isinstance(trigger, ScheduleTrigger):
                for name in required:
                    if name != SCHEDULED_AT:
                        message = f"A schedule gives no input but {SCHEDULED_AT!r}, and {name!r} has no default."
                        yield Problem("trigger_inputs", message)

    def _unused_inputs(self) -> Iterator[Problem]:
        if self._pipeline.inputs is not None or not self._inputs:
            return
        read = {name for step in self._pipeline.steps for name in self._names_read(step)}
        for name in sorted(set(self._inputs) - read):
            message = f"No step reads the input {name!r}.{nearest(name, read)}"
            yield Problem("unused_input", message, severity="warning")

    def _names_read(self, step: PipelineStep) -> Iterator[str]:
        if self._wrong_types[id(step)]:
            return
        if callable(step.run):
            yield from (parameter.name for parameter in bindings.signature_of(step.run).parameters)
        for text in bindings.texts(step, self._pipeline.global_constraints):
            yield from (path.root for path in bindings.placeholders(text))
        yield from (written.split(".")[0].split("[")[0] for written in step.read_data)

    def _graph_problems(self) -> Iterator[Problem]:
        if any(self._wrong_types.values()):
            return  # the steps' own checks say what is wrong
        try:
            graph = ExecutionGraph.build(self._pipeline)
            order = graph.topological_order()
        except CircularDependencyError as error:
            yield Problem("cycle", f"{error.message} {error.hint}")
        except DataPathError:
            return  # the step's own check names the malformed path
        else:
            yield from self._needless_waits(graph, order)

    def _needless_waits(self, graph: ExecutionGraph, order: tuple[str, ...]) -> Iterator[Problem]:
        """Yield a hint for each group of SERIAL steps that wait for the same steps, so could run together."""
        groups: dict[frozenset[str], list[str]] = {}
        for name in order:
            if name in graph.serial:
                groups.setdefault(frozenset(graph.dependencies(name)), []).append(name)
        for names in groups.values():
            if len(names) > 1:
                listed = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
                message = f"The steps {listed} could run together: give them execution_mode=CONCURRENT."
                yield Problem("serial_by_default", message, severity="hint")

    def step_problems(self, step: PipelineStep) -> Iterator[Problem]:
        """Yield what is wrong with one step."""
        shown = str(step.name)[:MAX_NAME_LENGTH]
        if wrong := self._wrong_types[id(step)]:  # nothing else can be asked of such a step
            yield from (Problem("bad_type", message, shown) for message in wrong)
            return
        for code, message in self._errors_of(step):
            yield Problem(code, message, shown)
        if step.memory is not None and step.memory not in get_args(MemoryUse):
            yield _unknown_memory(step.memory, step=shown)
        yield from self._configuration(step.config, step=step.name)
        yield from self._warnings_of(step)

    def _errors_of(self, step: PipelineStep) -> Iterator[tuple[str, str]]:
        yield from _name_problems(step)
        yield from _number_problems(step)
        yield from _unavailable(step)
        works = [name for name in ("goal", "run", "wait_for") if getattr(step, name) is not None]
        if not works:
            yield (
                "no_work",
                "It has neither a goal nor a function. Give it one: .step(name, goal) or run=function.",
            )
        elif len(works) > 1:
            yield "two_works", f"It has several works: {', '.join(works)}. Keep one of them."
        if step.agent is not None:
            yield from _agent_problems(step)
        if step.wait_for is not None:
            yield from _event_problems(step.wait_for)
        yield from self._dependency_problems(step)
        yield from self._path_problems(step)
        if step.run is not None:
            yield from self._function_problems(step)
        try:
            output_type(step)
        except TypeError as error:
            yield "bad_schema", f"Its output type cannot be used: {error}"
        try:
            tools_by_name(without_servers(step.tools))
        except ConfigurationError as error:
            yield "bad_tool", error.message

    def _dependency_problems(self, step: PipelineStep) -> Iterator[tuple[str, str]]:
        for dep in step.depends_on:
            name = dep.step if isinstance(dep, Dependency) else dep
            if name not in self._steps:
                yield (
                    "unknown_step",
                    f"It depends on the unknown step {name!r}.{nearest(str(name), self._steps)}",
                )
            if isinstance(dep, Dependency):
                if dep.type not in TYPES_AVAILABLE:
                    yield "unavailable", f"Dependencies of the type {dep.type.name} are not available yet."
                yield from self._data_path_problems(dep)

    def _data_path_problems(self, dep: Dependency) -> Iterator[tuple[str, str]]:
        try:
            path = bindings.output_path(dep)
        except DataPathError as error:
            yield "bad_path", error.message
        else:
            yield from self._unknown_field(path)

    def _path_problems(self, step: PipelineStep) -> Iterator[tuple[str, str]]:
        if step.run is None:
            for text in bindings.texts(step, self._pipeline.global_constraints):
                for path in bindings.placeholders(text):
                    yield from self._unknown_field(path)
        for written in step.read_data:
            try:
                path = DataPath.parse(written)
            except DataPathError as error:
                yield "bad_path", f"In `read_data`: {error.message}"
                continue
            if path.root not in self._known:
                yield (
                    "unknown_path",
                    f"`read_data` names {path.root!r}, no step or input.{nearest(path.root, self._known)}",
                )
            yield from self._unknown_field(path)

    def _unknown_field(self, path: DataPath) -> Iterator[tuple[str, str]]:
        source = self._steps.get(path.root)
        if source is None or not path.parts:
            return
        try:
            declared = output_type(source).declared
        except TypeError:
            return
        if problem := field_problem(declared, path):
            yield "unknown_path", problem

    def _function_problems(self, step: PipelineStep) -> Iterator[tuple[str, str]]:
        if not callable(step.run):
            yield "bad_function", f"`run` must be a function, not {type(step.run).__name__}."
            return
        signature = bindings.signature_of(step.run)
        if signature.problem:
            yield "bad_function", f"The signature of its function cannot be read: {signature.problem}."
        for parameter in signature.parameters:
            if not parameter.is_nameable and parameter.is_required:
                yield (
                    "bad_function",
                    f"The parameter {parameter.name!r} of its function cannot be passed by name.",
                )
            elif self._pipeline.inputs is not None and parameter.is_required and not parameter.is_context:
                yield from self._unfilled(parameter.name, step)
        if signature.is_generator:
            yield "bad_function", "Its function is a generator. Return a list instead."

    def _unfilled(self, parameter: str, step: PipelineStep) -> Iterator[tuple[str, str]]:
        if parameter == step.name or parameter not in self._known:
            suggestion = nearest(parameter, self._known - {step.name})
            message = f"Nothing fills the parameter {parameter!r} of its function: no step or input has this name."
            yield "unknown_parameter", f"{message}{suggestion}"

    def _warnings_of(self, step: PipelineStep) -> Iterator[Problem]:
        for text in bindings.texts(step, ()) if step.run is None else ():
            for path in bindings.placeholders(text):
                if path.root not in self._known and (suggestion := nearest(path.root, self._known)):
                    message = f"{{{path}}} names no step or input and stays as it is.{suggestion}"
                    yield Problem("unknown_placeholder", message, step.name, "warning")
        for useless, reader in ((_OF_AGENTS, step.run), (_OF_OUR_AGENTS, step.agent)):
            given = [name for name in useless if getattr(step, name)] if reader is not None else ()
            if given:
                told = "a function; they are for agents" if reader is step.run else "an agent that is not ours"
                yield Problem("no_effect", f"{', '.join(given)} mean nothing to {told}.", step.name, "warning")
        if step.run is None and step.agent is None:
            yield from self._unknown_tools(step)

    def _unknown_tools(self, step: PipelineStep) -> Iterator[Problem]:
        try:
            shared = TAgentConfig.of(step.config).tools or self._tools
            given = [*shared, *step.tools]
            if any(isinstance(tool, MCPServer) for tool in given):
                return  # what its tools are called is known when it is asked
            available = tools_by_name(given)
        except ConfigurationError:
            return
        for name in step.tools_filter or ():
            if name not in available:
                message = f"`tools_filter` names {name!r}, and no tool has this name.{nearest(name, available)}"
                yield Problem("unknown_tool", message, step.name, "warning")

    def _configuration(self, settings: TAgentConfig | Mapping[str, object] | None, *, step: str) -> Iterator[Problem]:
        try:
            TAgentConfig.of(settings)
        except ConfigurationError as error:
            yield Problem("bad_config", error.message, step)


_OF_AGENTS = ("constraints", "tools", "tools_filter", "read_data")
_OF_OUR_AGENTS = ("tools", "tools_filter", "model")


def _type_problems(step: PipelineStep) -> Iterator[str]:
    """Yield which fields are of another type than they must be, before anything is read from them."""
    fields: Mapping[str, Any] = {field.name: getattr(step, field.name) for field in dataclass_fields(step)}
    name, goal, retry, model = (fields[key] for key in ("name", "goal", "retry", "model"))
    if not isinstance(name, str):
        yield f"Its name is {name!r}; it must be text."
    if goal is not None and not isinstance(goal, str):
        advice = " Did you mean run=?" if callable(goal) else ""
        yield f"Its goal is of the type {type(goal).__name__}; it must be text.{advice}"
    for key, of in _SEQUENCES.items():
        given = fields[key]
        if key == "tools_filter" and given is None:
            continue
        if isinstance(given, str):
            yield f"`{key}` is a single text. Write a list: [{given!r}]."
        elif not isinstance(given, Sequence) or not all(isinstance(item, of) for item in given):
            yield f"`{key}` must be a list of {' or '.join(kind.__name__ for kind in of)}."
    if not isinstance(fields["wait_for"], str | Event | None):
        yield f"`wait_for` is {fields['wait_for']!r}; it must be a topic or an event(...)."
    if not isinstance(retry, RetryPolicy):
        yield f"`retry` is {retry!r}; it must be a RetryPolicy. How often is said by max_retries."
    if model is not None and not (isinstance(model, str) or hasattr(model, "ask")):
        yield f"`model` is {model!r}; it must be a string or a language model."


_SEQUENCES: Mapping[str, tuple[type, ...]] = {
    "constraints": (str,),
    "depends_on": (str, Dependency),
    "read_data": (str,),
    "tools_filter": (str,),
    "tools": (object,),
}


def _name_problems(step: PipelineStep) -> Iterator[tuple[str, str]]:
    if not step.name.strip():
        yield "bad_name", "A step needs a name."
    elif len(step.name) > MAX_NAME_LENGTH:
        yield "bad_name", f"Its name has {len(step.name)} characters; {MAX_NAME_LENGTH} are allowed."
    elif not step.name.isprintable():
        yield "bad_name", "Its name holds control characters."


def _agent_problems(step: PipelineStep) -> Iterator[tuple[str, str]]:
    if step.goal is None and step.run is None and step.wait_for is None:
        yield "bad_agent", "It has an agent, and no goal to ask it for. Give it one: .step(name, goal, agent=...)."
    for other in ("run", "wait_for"):
        if getattr(step, other) is not None:
            yield "bad_agent", f"It has both `agent` and `{other}`. Keep one of them."
    if problem := agent_problem(step.agent):
        yield "bad_agent", problem


def without_servers(tools: Sequence[object]) -> list[Callable[..., object] | Tool]:
    """Return the tools that are functions; those of servers are known only when they are asked."""
    return [tool for tool in tools if not isinstance(tool, MCPServer)]  # type: ignore[misc]  # who reads them checks


def _event_problems(wait_for: str | Event) -> Iterator[tuple[str, str]]:
    try:
        event_of(wait_for)
    except InvalidNameError as error:
        yield "bad_event", str(error)


def _number_problems(step: PipelineStep) -> Iterator[tuple[str, str]]:
    timeout = step.timeout
    if timeout is not None and (not _is_number(timeout) or not math.isfinite(timeout) or timeout <= 0):
        yield "bad_timeout", f"`timeout` is {timeout!r}; it must be a number of seconds above 0, or None."
    for name in ("max_retries", "retry_count"):
        count = getattr(step, name)
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            yield "bad_retries", f"`{name}` is {count!r}; it must be a whole number from 0."


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _unavailable(step: PipelineStep) -> Iterator[tuple[str, str]]:
    if step.execution_mode not in MODES_AVAILABLE:
        if step.execution_mode in list(ExecutionMode):
            mode = ExecutionMode(step.execution_mode).name
            yield "unavailable", f"The execution mode {mode} is not available yet. Use SERIAL or CONCURRENT."
        else:
            modes = ", ".join(mode.name for mode in ExecutionMode)
            yield "bad_mode", f"`execution_mode` is {step.execution_mode!r}; it must be one of {modes}."
    for option in OPTIONS_TO_COME:
        if getattr(step, option):
            yield "unavailable", f"The option `{option}` is not available yet. Remove it."


def field_problem(declared: object, path: DataPath) -> str:
    """Return why `path` cannot lead anywhere in a value of the type `declared`; empty when it may.

    Looks through models, lists, mappings and optionals; of any other type it knows nothing.
    """
    current = declared
    for depth, part in enumerate(path.parts):
        here = DataPath(path.root, path.parts[:depth])
        current = _without_none(current)
        if isinstance(current, type) and issubclass(current, RootModel):
            current = _without_none(current.model_fields["root"].annotation)  # its JSON is that of its root
        if isinstance(current, type) and issubclass(current, BaseModel):
            if current.model_config.get("extra") == "allow" and part not in current.model_fields:
                return ""
            if not isinstance(part, str) or part not in current.model_fields:
                fields = ", ".join(current.model_fields)
                return (
                    f"{str(path)!r} leads nowhere: {here} ({current.__name__}) has no field {part!r}."
                    f"{nearest(str(part), current.model_fields)} It has: {fields}."
                )
            current = current.model_fields[part].annotation
        elif current in {str, int, float, bool}:
            return f"{str(path)!r} leads nowhere: {here} is {getattr(current, '__name__', current)}."
        else:
            current = _item_type(current, part)
    return ""


def _item_type(declared: object, part: str | int) -> object:
    arguments: tuple[Any, ...] = get_args(declared)
    if get_origin(declared) is list and isinstance(part, int):
        return arguments[0]
    return arguments[1] if get_origin(declared) is dict and len(arguments) == 2 else None


def _without_none(declared: object) -> object:
    if get_origin(declared) in {Union, UnionType}:
        present = [argument for argument in get_args(declared) if argument is not type(None)]
        return present[0] if len(present) == 1 else None
    return declared
