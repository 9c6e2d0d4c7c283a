"""What happens when a step fails, or what it may spend: fallbacks, compensation, circuit and budget."""

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, RootModel

from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError, DataPathError
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import Problem, StepOutputError
from tagent.pipeline.models import Dependency, Fallback, PipelineStep
from tagent.pipeline.placeholders import placeholders
from tagent.pipeline.rules import route_taken, routes_of
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import MAX_NAME_LENGTH, signature_problems, unfilled, unknown_field


def failure_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in what becomes of `step` when it fails, and in what it may spend."""
    if step.on_error is not None:
        yield from _fallback_problems(step, known)
    if step.compensate is not None:
        yield from _compensation_problems(step, known)
    yield from budget_problems(step.budget)


def failure_warnings(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield what in it has no effect, or less than it seems to have."""
    on_failure: object = known.pipeline.on_failure
    if step.compensate is not None and isinstance(on_failure, str) and not known.is_undone:
        message = "`compensate` is never called: the pipeline does not say on_failure='rollback'."
        yield Problem("no_effect", message, step.name, "warning")
    fallback = bindings.fallback_of(step) if step.on_error is not None else None
    if fallback is not None and known.branches.may_lack(step.name, fallback.step):
        message = (
            f"Should it fail, {fallback.step!r} takes its place only if its branch is taken, too. Take that out of the "
            "branch: a fallback runs when it is needed."
        )
        yield Problem("fallback_in_branch", message, step.name, "warning")


def budget_problems(given: object) -> Iterator[Found]:
    """Yield what is wrong with what a run or a step may spend."""
    if given is None:
        return
    if isinstance(given, Mapping) and not all(isinstance(name, str) for name in given):
        yield "bad_budget", "A budget is a Budget or a mapping of its fields, whose names are text."
        return
    try:
        Budget.of(given)  # type: ignore[arg-type]  # it says what is no budget
    except ConfigurationError as error:
        yield "bad_budget", error.message


def settings_problems(settings: object, *, step: str) -> Iterator[Problem]:
    """Yield what is wrong with the settings of a step or, without a name, of the pipeline."""
    if settings is not None:
        try:
            TAgentConfig.of(settings)  # type: ignore[arg-type]  # it says what is no settings
        except ConfigurationError as error:
            yield Problem("bad_config", error.message, step)


def _fallback_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    fallback = bindings.fallback_of(step) or Fallback()
    name = fallback.step
    if isinstance(step.on_error, str) and not name:
        yield "bad_fallback", "`on_error` is empty. Name a step, or write Fallback(output=...)."
    elif not name:
        yield from _output_problems(step, fallback.output, known)
    elif fallback.output is not None:
        yield "bad_fallback", f"Its fallback has both the step {name!r} and an output. Keep one of them."
    elif name not in known.steps:
        is_meant_as_output = isinstance(step.on_error, Fallback) and not known.nearest_step(name)
        advice = f" An output is written Fallback(output={name[:MAX_NAME_LENGTH]!r})." if is_meant_as_output else ""
        yield "unknown_step", f"`on_error` names the unknown step {name!r}.{known.nearest_step(name)}{advice}"
    elif name == step.name:
        yield "bad_fallback", "`on_error` names the step itself. To try it again is said by max_retries."
    else:
        yield from _stand_in_problems(step, known.steps[name], known)


def _output_problems(step: PipelineStep, output: object, known: Known) -> Iterator[Found]:
    try:
        plain = known.output_type(step).dump(output, step=step.name)
        if step.routes is not None and step.when is None and route_taken(plain, routes_of(step) or {}) is None:
            yield "bad_fallback", "The output of its fallback names none of its routes."
    except TypeError:
        return  # the step's own check says that the type cannot be used
    except StepOutputError as error:
        yield "bad_fallback", f"The output of its fallback cannot take the place of its own. {error.message}"


def _stand_in_problems(step: PipelineStep, stand_in: PipelineStep, known: Known) -> Iterator[Found]:
    first, *others = known.fallbacks[stand_in.name]
    if others and step.name != first:
        message = f"`on_error` names {stand_in.name!r}, which takes the place of {first!r} already."
        yield "bad_fallback", f"{message} Give each a fallback of its own."
    if needs_failed(stand_in, step.name):
        yield (
            "bad_fallback",
            f"`on_error` names {stand_in.name!r}, which depends on this step, and so cannot run when it has failed.",
        )
    given, wanted = known.declared(stand_in.name), known.declared(step.name)
    if {_kind(given), _kind(wanted)} == {"value", "fields"}:
        told = f"gives {getattr(given, '__name__', given)}, and this step gives {getattr(wanted, '__name__', wanted)}"
        yield "bad_fallback", f"`on_error` names {stand_in.name!r}, which {told}. Give both the same output_schema."


def _kind(declared: object) -> str:
    """Return whether a type is a single `value` or has `fields`, one of which never fits the other; else nothing."""
    if declared in (str, int, float, bool):
        return "value"
    if not isinstance(declared, type) or not issubclass(declared, BaseModel) or issubclass(declared, RootModel):
        return ""
    own = declared.__pydantic_decorators__  # such a model may be made of, or written as, anything
    return "" if own.model_validators or own.model_serializers else "fields"


def needs_failed(stand_in: PipelineStep, name: str) -> bool:
    """Return whether a step waits for the step `name`, whose place it is to take when that has failed."""
    try:
        needed = bindings.dependencies(stand_in, {name})
    except DataPathError:
        return False  # the step's own check names the malformed path
    return any(dep.step == name for dep in needed)


def _compensation_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    work = step.compensate
    if isinstance(work, str):
        if not work.strip():
            yield "bad_compensation", "`compensate` is empty. Write a goal, or give it a function."
        for path in placeholders(work):
            if path.root == step.name or not bindings.is_item_name(step, path.root):
                yield from unknown_field(path, step, known)
        return
    if work is None:
        return
    whose = "its compensation's"
    yield from signature_problems(work, whose=whose)
    for parameter in signature_of(work).parameters:
        name = parameter.name
        if parameter.is_context or not parameter.is_required or name == step.name:
            continue
        if name in known.may_lack_output and not _is_certain(step, name):
            message = f"The parameter {name!r} of {whose} function has no default, and that step may be left out."
            yield "needs_default", f"{message} Give it one."
        elif known.pipeline.inputs is not None and parameter.is_nameable:
            yield from unfilled(name, step, known, whose=whose)


def _is_certain(step: PipelineStep, name: str) -> bool:
    """Return whether `step` cannot have completed without the output of the step `name`."""
    return any(isinstance(dep, Dependency) and dep.step == name and dep.type.needs_output for dep in step.depends_on)
