"""What a step does: its name, its numbers, its goal, function, agent or event, its type and its tools."""

import inspect
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TypeGuard

from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError, DataPathError, nearest
from tagent.names import InvalidNameError
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.awaited import Event, event_of
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import ExecutionMode, PipelineStep
from tagent.pipeline.placeholders import placeholders
from tagent.pipeline.schema_paths import field_problem
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.validating.approval_checks import approval_problems, approval_warnings
from tagent.pipeline.validating.known import Found, Known
from tagent.ports.toolsets import MCPServer
from tagent.task_agent.foreign import agent_problem
from tagent.task_agent.tools.tool import Tool, tools_by_name

MAX_NAME_LENGTH = 200

_WORKS = ("goal", "run", "wait_for", "when", "switch_on", "pipeline")
_OF_AGENTS = ("constraints", "tools", "tools_filter", "read_data")
_OF_OUR_AGENTS = ("tools", "tools_filter", "model")


def work_problems(step: PipelineStep, _known: Known) -> Iterator[Found]:
    """Yield the mistakes in what `step` does."""
    yield from _name_problems(step.name)
    yield from _number_problems(step)
    yield from _mode_problems(step)
    yield from _missing_or_double(step)
    yield from approval_problems(step)
    if step.agent is not None:
        yield from _agent_problems(step)
    if step.wait_for is not None:
        yield from _event_problems(step.wait_for)


def reading_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in what `step` reads, gives and uses."""
    yield from _path_problems(step, known)
    run: object = step.run
    if run is not None and not callable(run):
        yield "bad_function", f"`run` must be a function, not {type(run).__name__}."
    else:
        for function in bindings.functions(step):
            yield from _function_problems(step, function, known)
    try:
        known.output_type(step)
    except TypeError as error:
        yield "bad_schema", f"Its output type cannot be used: {error}"
    if step.tools:
        try:
            tools_by_name(without_servers(step.tools))
        except ConfigurationError as error:
            yield "bad_tool", error.message


def warnings_of(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield what in `step` is probably a mistake."""
    yield from _unknown_placeholders(step, known)
    yield from approval_warnings(step, known)
    is_judged = bindings.is_judged(step)
    for useless, reader in ((_OF_AGENTS, step.run), (_OF_OUR_AGENTS, step.agent)):
        if reader is None:
            continue
        given = [name for name in useless if getattr(step, name) and not (name == "constraints" and is_judged)]
        if given:
            told = "a function; they are for agents" if reader is step.run else "an agent that is not ours"
            yield Problem("no_effect", f"{', '.join(given)} mean nothing to {told}.", step.name, "warning")
    if step.run is None and step.agent is None and step.tools_filter:
        yield from _unknown_tools(step, known)


def without_servers(tools: Sequence[object]) -> list[Callable[..., object] | Tool]:
    """Return the tools that are functions; those of servers are known only when they are asked."""
    return [tool for tool in tools if not isinstance(tool, MCPServer)]  # type: ignore[misc]  # who reads them checks


def signature_problems(function: Callable[..., object], *, whose: str) -> Iterator[Found]:
    """Yield why a function cannot be called by the names of its parameters."""
    signature = signature_of(function)
    if signature.problem:
        yield "bad_function", f"The signature of {whose} function cannot be read: {signature.problem}."
    for parameter in signature.parameters:
        if not parameter.is_nameable and parameter.is_required:
            yield "bad_function", f"The parameter {parameter.name!r} of {whose} function cannot be passed by name."
    if signature.is_generator:
        yield "bad_function", f"{whose.capitalize()} function is a generator. Return a list instead."


def unfilled(
    parameter: str, step: PipelineStep, known: Known, *, whose: str = "its", besides: Collection[str] = ()
) -> Iterator[Found]:
    """Yield that no step or input has the name of a parameter; it may be one of `besides` that is misspelt."""
    if parameter == step.name or parameter not in known.names:
        names = {*known.names, *besides} - {step.name} if known.has_suggestions else set()
        suggestion = nearest(parameter, names) + bindings.what_was_meant(parameter)
        message = f"Nothing fills the parameter {parameter!r} of {whose} function: no step or input has this name."
        yield "unknown_parameter", f"{message}{suggestion}"


def takes(function: Callable[..., object], count: int) -> bool:
    """Return whether a function can be called with so many positional arguments; True when that cannot be told."""
    try:
        inspect.signature(function).bind(*[None] * count)
    except ValueError:  # it has no signature that Python can tell, as some that are written in C
        return True
    except TypeError:
        return False
    return True


def _name_problems(name: str) -> Iterator[Found]:
    if not name.strip():
        yield "bad_name", "A step needs a name."
    elif len(name) > MAX_NAME_LENGTH:
        yield "bad_name", f"Its name has {len(name)} characters; {MAX_NAME_LENGTH} are allowed."
    elif not name.isprintable():
        yield "bad_name", "Its name holds control characters."
    elif "/" in name:
        yield "bad_name", "Its name holds a slash, which leads to a step inside it: outer/inner. Leave it out."


def _number_problems(step: PipelineStep) -> Iterator[Found]:
    timeout = step.timeout
    if timeout is not None and not (is_number(timeout) and 0 < timeout <= sys.float_info.max):
        yield "bad_timeout", f"`timeout` is {timeout!r}; it must be a number of seconds above 0, or None."
    for name in ("max_retries", "retry_count"):
        count = getattr(step, name)
        if not is_whole(count) or count < 0:
            yield "bad_retries", f"`{name}` is {count!r}; it must be a whole number from 0."


def is_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value is a number; a bool is none."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_whole(value: object) -> TypeGuard[int]:
    """Return whether a value is a whole number; a bool is none."""
    return isinstance(value, int) and not isinstance(value, bool)


def _mode_problems(step: PipelineStep) -> Iterator[Found]:
    mode: object = step.execution_mode
    if not isinstance(mode, ExecutionMode):
        modes = ", ".join(each.name for each in ExecutionMode)
        yield "bad_mode", f"`execution_mode` is {mode!r}; it must be one of {modes}."


def _missing_or_double(step: PipelineStep) -> Iterator[Found]:
    works = [name for name in _WORKS if getattr(step, name) is not None]
    is_parallel = step.execution_mode == ExecutionMode.PARALLEL_MERGE
    if is_parallel and step.branches:
        works.append("branches")
    if len(works) > 1:
        yield "two_works", f"It has several works: {', '.join(works)}. Keep one of them."
    elif not works and not (is_parallel and step.for_each is None):
        yield "no_work", "It has neither a goal nor a function. Give it one: .step(name, goal) or run=function."


def _agent_problems(step: PipelineStep) -> Iterator[Found]:
    if step.goal is None and step.run is None and step.wait_for is None:
        yield "bad_agent", "It has an agent, and no goal to ask it for. Give it one: .step(name, goal, agent=...)."
    for other in ("run", "wait_for"):
        if getattr(step, other) is not None:
            yield "bad_agent", f"It has both `agent` and `{other}`. Keep one of them."
    if problem := agent_problem(step.agent):
        yield "bad_agent", problem


def _event_problems(wait_for: str | Event) -> Iterator[Found]:
    try:
        event_of(wait_for)
    except InvalidNameError as error:
        yield "bad_event", str(error)


def _path_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    if step.run is None:
        for text in bindings.texts(step, known.pipeline.global_constraints):
            for path in placeholders(text):
                yield from unknown_field(path, step, known)
    for written in step.read_data:
        try:
            path = DataPath.parse(written)
        except DataPathError as error:
            yield "bad_path", f"In `read_data`: {error.message}"
            continue
        if path.root not in known.names and not bindings.is_item_name(step, path.root):
            yield from unknown_name(path, step, known, where="`read_data`")
        yield from unknown_field(path, step, known)


def unknown_name(
    path: DataPath, step: PipelineStep, known: Known, *, where: str, own: Collection[str] = ()
) -> Iterator[Found]:
    """Yield that a path begins with no step or input; `own` are the names that only the parts of the step know.

    While the inputs are not known it may be one, but hardly `steps` before the name of a step.
    """
    below = known.below_root(path)
    if known.inputs is None and not (below and path.root == "steps"):
        return
    told = f"{where} names {path.root[:MAX_NAME_LENGTH]!r}, no step or input."
    if below:
        yield "unknown_path", f"{told} Write {below!r}."
    else:
        yield "unknown_path", f"{told}{nearest(path.root, own) or known.nearest_known(path.root, but=step.name)}"


def unknown_field(path: DataPath, step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield why a path that `step` reads leads nowhere in the output, or the item, that it begins with."""
    if not path.parts:
        return
    try:
        is_item = bindings.is_item_name(step, path.root)
        declared = known.declared_item(step, path.root) if is_item else known.declared(path.root)
    except DataPathError:
        return  # that of `for_each` itself; its own check says so
    if (is_item or path.root in known.steps) and (problem := field_problem(declared, path)):
        yield "unknown_path", problem


def _function_problems(step: PipelineStep, function: Callable[..., object], known: Known) -> Iterator[Found]:
    yield from signature_problems(function, whose="its")
    if known.pipeline.inputs is None:
        return
    for parameter in signature_of(function).parameters:
        is_filled = parameter.is_context or bindings.is_item_name(step, parameter.name)
        if parameter.is_required and parameter.is_nameable and not is_filled:
            yield from unfilled(parameter.name, step, known, besides=bindings.part_names(step))


def _unknown_placeholders(step: PipelineStep, known: Known) -> Iterator[Problem]:
    texts = bindings.texts(step) if step.run is None else ()
    if isinstance(step.compensate, str):
        texts = (*texts, step.compensate)
    for text in texts:
        for path in placeholders(text):
            if path.root in known.names or bindings.is_item_name(step, path.root):
                continue
            below = known.below_root(path)
            if suggestion := f" Write {{{below}}}." if below else known.nearest_known(path.root, but=step.name):
                message = f"{{{path}}} names no step or input and stays as it is.{suggestion}"
                yield Problem("unknown_placeholder", message, step.name, "warning")


def _unknown_tools(step: PipelineStep, known: Known) -> Iterator[Problem]:
    try:
        shared = TAgentConfig.of(step.config).tools or known.tools
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
