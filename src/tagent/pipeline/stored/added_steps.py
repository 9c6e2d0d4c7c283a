"""A step that is added while a run goes on, as the journal has it: stored as any other, with its code named beside it.

There is no pipeline in any file from which it could be bound again, so `code` says where each of its functions and
types is found; see `importable`.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline import bindings
from tagent.pipeline.conditions import Condition
from tagent.pipeline.models import Check, Dependency, PipelineStep
from tagent.pipeline.stored.callables import Binding, DefinitionMismatchError, Stored, dependency_of, stored_dependency
from tagent.pipeline.stored.importable import Home, NotImportableError, Reference
from tagent.pipeline.stored.steps import bound_step, outlined_step, step_spec, stored_settings

CODE = "code"
"""The member of an added step, and of an added dependency, that names its code."""

_WORKS = ("run", "merge", "compensate")
_CHECKS = ("condition", "when", "until")
_TYPES = (("output_schema", "output"), ("item_schema", "item"))
_NEVER = {
    "agent": "An agent of another library cannot be stored; give a goal, or a function that asks the agent.",
    "pipeline": "A pipeline cannot be added as a step; add its steps, or have the step in the pipeline, not `enabled`.",
    "inputs": "`inputs` are those of a pipeline inside a step, which cannot be added.",
}
"""The options that a step cannot have that is added while a run goes on, and what to do instead."""


def added_problems(step: PipelineStep) -> Iterator[str]:
    """Yield why a step cannot be added while a run goes on: what of it cannot be stored, its functions aside."""
    yield from (told for option, told in _NEVER.items() if getattr(step, option) is not None)
    if step.model is not None and not isinstance(step.model, str):
        yield "`model` is an object, which cannot be stored; name the model."
    if step.config is not None:
        try:
            given = TAgentConfig.of(step.config).model_fields_set
        except TAgentError:
            return  # validation says what is wrong with it
        if lost := given - stored_settings(step.config).keys():
            yield f"The setting `{min(lost)}` in its `config` cannot be stored; tools are given by `tools=`."


def added_spec(
    step: PipelineStep, names: Collection[str], global_constraints: Collection[str], *, home: Home
) -> dict[str, object]:
    """Return a step as JSON values, with its code named.

    Args:
        step: The step, of which there are no `added_problems`.
        names: Those of all steps.
        global_constraints: Rules for every agent step.
        home: Where its code is found again.

    Raises:
        NotImportableError: If some of its code cannot be named.
        TAgentError: If something of it is malformed.
        TypeError: If its output is of no type that can be checked.
    """
    code = _code_of(step, bindings.dependencies(step, names, global_constraints), home)
    spec = step_spec(step, names, global_constraints)
    return {**spec, CODE: code} if code else spec


def _code_of(step: PipelineStep, needed: Collection[Dependency], home: Home) -> dict[str, object]:
    code: dict[str, object] = {}
    for name in _WORKS:
        if callable(work := getattr(step, name)):
            code[name] = _named(home.reference, work, f"`{name}`")
    for name in _CHECKS:
        if (asked := _asked(getattr(step, name), f"`{name}`")) is not None:
            code[name] = _named(home.reference, asked, f"`{name}`")
    for option, name in _TYPES:
        if (declared := getattr(step, option)) is not None:
            code[name] = _named(home.type_reference, declared, f"`{option}`")
    branches = {
        name: _named(home.reference, work, f"the branch {name!r}")
        for name, work in bindings.branches_of(step).items()
        if callable(work)
    }
    checks = {
        str(place): _named(home.reference, asked, f"the check of {dep.step!r}")
        for place, dep in enumerate(needed)
        if (asked := _asked(dep.check, f"the check of {dep.step!r}")) is not None
    }
    tools = [_named(home.reference, tool, "a tool") for tool in step.tools]
    more: dict[str, Reference] = {"branches": branches, "checks": checks, "tools": tools}
    return code | {name: found for name, found in more.items() if found}


def _asked(given: object, what: str) -> Callable[..., object] | None:
    """Return the function that a condition is; None for a text."""
    if given is None or isinstance(given, str):
        return None
    if isinstance(given, Condition):
        if given.functions:
            raise NotImportableError(f"{what} joins a function with other conditions, which cannot be stored")
        return None
    return given if callable(given) else None


def _named(name: Callable[[object], Reference], given: object, what: str) -> Reference:
    try:
        return name(given)
    except NotImportableError as error:
        raise NotImportableError(f"{what} {error}") from None


def bound_added(spec: Stored, home: Home, *, pipeline: str) -> PipelineStep:
    """Return the step that a journal has as added, with its code.

    Raises:
        DefinitionMismatchError: If its code is not there any more, or is of another kind than it was.
    """
    code: Stored = spec.get(CODE, {})
    name = spec["name"]
    try:
        today = _with_code(spec, code, home)
        return bound_step(spec, today, Binding(pipeline, today, path=name))
    except (NotImportableError, KeyError, TypeError, AttributeError) as error:
        told = f"Of the step {name!r}, which the run has added, {error}."
        raise DefinitionMismatchError(pipeline, name, told) from None


def _with_code(spec: Stored, code: Stored, home: Home) -> PipelineStep:
    outlined = outlined_step(spec)
    if spec["function"] is not None and "run" not in code:
        raise NotImportableError("the function is not named, as the run was imported without --allow-code")
    given: dict[str, Any] = {"goal": spec["goal"]}
    for name in (*_WORKS, *_CHECKS):
        if name in code:
            given[name] = _named(home.function, code[name], f"`{name}`")
    for option, name in _TYPES:
        if name in code:
            given[option] = _named(home.type, code[name], f"`{option}`")
    if "branches" in code:
        works = bindings.branches_of(outlined)
        found = {name: _named(home.function, it, f"the branch {name!r}") for name, it in code["branches"].items()}
        all_works = {name: found.get(name, work) for name, work in works.items()}
        given["branches"] = all_works if isinstance(outlined.branches, Mapping) else list(all_works.values())
    if "checks" in code:
        found = {int(place): _named(home.function, it, "a check") for place, it in code["checks"].items()}
        given["depends_on"] = [
            replace(cast("Dependency", dep), check=found[place]) if place in found else dep  # an outline has no others
            for place, dep in enumerate(outlined.depends_on)
        ]
    given["tools"] = [_named(home.tool, it, "a tool") for it in code.get("tools", ())]
    return replace(outlined, **given)


def added_link(step: str, dependency: Dependency, *, home: Home) -> dict[str, object]:
    """Return an added dependency as JSON values, with the function of its check named.

    Raises:
        NotImportableError: If that cannot be named.
        ConditionError: If its check cannot be read.
    """
    link: dict[str, object] = {"step": step, "on": stored_dependency(dependency)}
    if (asked := _asked(dependency.check, f"the check of {dependency.step!r}")) is not None:
        link[CODE] = _named(home.reference, asked, f"the check of {dependency.step!r}")
    return link


def bound_link(link: Stored, home: Home | None, *, pipeline: str) -> Dependency:
    """Return the dependency that a journal has as added, with the function of its check.

    Raises:
        DefinitionMismatchError: If that is not there any more.
    """
    stored = link["on"]
    check: Check | None = stored.get("check")
    if CODE in link:
        try:
            if home is None:
                raise NotImportableError("its check is a function, and has no module to be found in")  # noqa: TRY301
            check = home.function(link[CODE])
        except NotImportableError as error:
            told = f"Of a dependency of the step {link['step']!r}, which the run has added, the check {error}."
            raise DefinitionMismatchError(pipeline, link["step"], told) from None
    return dependency_of(stored, check)
