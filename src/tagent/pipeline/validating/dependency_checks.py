"""What a step waits for: that it exists, and that what is said of it goes together."""

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass

from pydantic import BaseModel

from tagent.exceptions import DataPathError
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import Dependency, DependencyType, ExecutionMode, PipelineStep
from tagent.pipeline.schema_paths import plain_type
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.validating.condition_checks import check_problems
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import MAX_NAME_LENGTH, is_number, unknown_field

DEFAULT_CHECKS = ("valid", "passed", "approved")
"""The fields that a VALIDATION dependency without a check of its own looks for, in this order."""

_SCALARS = (str, int, float, bool)


def dependency_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in what `step` waits for."""
    for dep in step.depends_on:
        name = dep.step if isinstance(dep, Dependency) else dep
        if name not in known.steps:
            yield "unknown_step", f"It depends on the unknown step {name!r}.{known.nearest_step(name)}"
        if isinstance(dep, Dependency):
            yield from _option_problems(dep)
            yield from _path_problems(dep, step, known)
            if dep.type is DependencyType.VALIDATION:
                yield from _validation_problems(dep, step, known)
    if len(step.depends_on) > 1:
        yield from _conflicts(step)
    for function in bindings.functions(step):
        yield from missing_defaults(step, function, known)


def dependency_hints(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield what in it has less of an effect than it seems."""
    if not _is_serial(step):
        return
    for dep in step.depends_on:
        if not isinstance(dep, Dependency) or dep.type is not DependencyType.SOFT or dep.wait_seconds is None:
            continue
        if dep.step in known.steps and _is_serial(known.steps[dep.step]):
            message = (
                f"It and {dep.step!r} are SERIAL, so it never starts while {dep.step!r} runs, whatever `wait_seconds` "
                "says. Give one of them execution_mode=CONCURRENT."
            )
            yield Problem("serial_wait", message, step.name[:MAX_NAME_LENGTH], "hint")


def _is_serial(step: PipelineStep) -> bool:
    """Return whether a step is never at work beside others; one that only waits for a message may be."""
    return step.execution_mode == ExecutionMode.SERIAL and step.wait_for is None


def missing_defaults(
    step: PipelineStep, function: Callable[..., object], known: Known, *, whose: str = "its"
) -> Iterator[Found]:
    """Yield the parameters without a default for which a run may have nothing, and would call the function even so.

    A DATA or VALIDATION dependency, or `on_skip="skip"`, leaves the step out then.
    """
    for parameter in signature_of(function).parameters:
        name = parameter.name
        if parameter.is_context or not parameter.is_required or name == step.name or name not in known.steps:
            continue
        if bindings.is_item_name(step, name):
            continue
        declared = [dep for dep in step.depends_on if isinstance(dep, Dependency) and dep.step == name]
        if any(dep.type.needs_output or dep.on_skip == "skip" for dep in declared):
            continue
        if any(dep.type is DependencyType.SOFT for dep in declared):
            why = f"the step {name!r} is waited for only SOFT"
        elif name in known.may_lack_output:
            why = f"the step {name!r} may be left out"
        elif name in _named(step) and known.branches.may_lack(step.name, name):
            why = f"the step {name!r} is of a branch that may not be taken"
        else:
            continue
        advice = f'Give it one, or depend on it with Dependency("{name}", DependencyType.DATA).'
        yield "needs_default", f"The parameter {name!r} of {whose} function has no default, and {why}. {advice}"


def _named(step: PipelineStep) -> set[str]:
    """Return what a step depends on by its own word, so that what it reads of these adds no DATA dependency."""
    return {dep.step if isinstance(dep, Dependency) else dep for dep in step.depends_on}


def _option_problems(dep: Dependency) -> Iterator[Found]:
    its = f"its dependency on {dep.step!r}"
    if dep.path and dep.type is not DependencyType.DATA:
        yield "bad_dependency", f"`path` is for DATA, and {its} is {dep.type.name}. Change one of them."
    if dep.check is not None and dep.type is not DependencyType.VALIDATION:
        yield "bad_dependency", f"`check` is for VALIDATION, and {its} is {dep.type.name}. Change one of them."
    if dep.wait_seconds is not None:
        seconds = dep.wait_seconds
        if dep.type is not DependencyType.SOFT:
            yield "bad_dependency", f"`wait_seconds` is for SOFT, and {its} is {dep.type.name}. Change one of them."
        elif not is_number(seconds) or not 0 <= seconds <= sys.float_info.max:
            yield "bad_dependency", f"`wait_seconds` of {its} is {seconds!r}; it must be a number of seconds from 0."
    if dep.on_skip not in ("run", "skip"):
        yield "bad_dependency", f"`on_skip` of {its} is {dep.on_skip!r}; it must be 'run' or 'skip'."
    elif dep.on_skip != "run" and dep.type is not DependencyType.HARD:
        yield "bad_dependency", f"`on_skip` is for HARD, and {its} is {dep.type.name}. Change one of them."


def _path_problems(dep: Dependency, step: PipelineStep, known: Known) -> Iterator[Found]:
    try:
        path = bindings.output_path(dep)
    except DataPathError as error:
        yield "bad_path", error.message
        return
    if dep.step in known.steps and not bindings.is_item_name(step, dep.step):
        yield from unknown_field(path, step, known)


def _validation_problems(dep: Dependency, step: PipelineStep, known: Known) -> Iterator[Found]:
    if dep.step not in known.steps:
        return
    if dep.check is not None:
        yield from check_problems(dep, step, known)
        return
    declared = plain_type(known.declared(dep.step))
    if declared is None or _has_default_check(declared):
        return
    names = ", ".join(f"`{name}: bool`" for name in DEFAULT_CHECKS)
    yield (
        "bad_check",
        f"The output of {dep.step!r} ({getattr(declared, '__name__', declared)}) says nowhere whether it is valid. "
        f"Give its type one of the fields {names}, or the dependency a check=.",
    )


def _has_default_check(declared: object) -> bool:
    """Return whether values of this type may have a field that says whether they are valid."""
    if declared in _SCALARS:
        return False
    if isinstance(declared, type) and issubclass(declared, BaseModel):
        kinds: Mapping[str, object] = {name: field.annotation for name, field in declared.model_fields.items()}
        if declared.model_config.get("extra") == "allow" and not kinds.keys() & set(DEFAULT_CHECKS):
            return True
    elif isinstance(declared, type) and is_dataclass(declared):
        kinds = {field.name: field.type for field in dataclass_fields(declared)}
    else:
        return True
    found = [plain_type(kinds[name]) for name in DEFAULT_CHECKS if name in kinds]
    return bool(found) and found[0] not in (str, int, float)


def _conflicts(step: PipelineStep) -> Iterator[Found]:
    """Yield what is said of one step twice, and does not go together."""
    names = {dep.step if isinstance(dep, Dependency) else dep for dep in step.depends_on}
    if len(names) == len(step.depends_on):
        return
    said: dict[str, list[Dependency]] = {}
    for dep in step.depends_on:
        given = dep if isinstance(dep, Dependency) else Dependency(dep)
        said.setdefault(given.step, []).append(given)
    for name, deps in said.items():
        if len(deps) == 1:
            continue
        kinds = {dep.type for dep in deps}
        waits = {dep.wait_seconds for dep in deps if dep.type is DependencyType.SOFT}
        skips = {dep.on_skip for dep in deps if dep.type is DependencyType.HARD}
        if (DependencyType.SOFT in kinds and len(kinds) > 1) or len(waits) > 1 or len(skips) > 1:
            told = ", ".join(sorted(kind.name for kind in kinds))
            yield "bad_dependency", f"Its dependencies on {name!r} ({told}) contradict each other. Keep one of them."
