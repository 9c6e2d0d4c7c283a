"""Conditions: whether a step is enabled, when it runs, what an output must fulfil."""

from collections.abc import Callable, Collection, Iterator

from tagent.pipeline import bindings
from tagent.pipeline.conditions import Condition, ConditionError, condition_of, condition_problems
from tagent.pipeline.models import Dependency, ExecutionMode, PipelineStep
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import MAX_NAME_LENGTH, signature_problems, unfilled


def when_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in when `step` runs at all."""
    if not isinstance(step.enabled, bool):
        yield from _enabled_problems(step.enabled, known)
    if step.condition is not None:
        yield from judged_problems(step.condition, step, known, its="Its condition", whose="its condition's")
    elif step.execution_mode == ExecutionMode.CONDITIONAL and not any(map(str.strip, step.constraints)):
        yield (
            "no_condition",
            "It is CONDITIONAL, and nothing says when it is to run. Give it a condition=, or constraints that say it.",
        )


def check_problems(dep: Dependency, step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in what the output of a dependency must fulfil."""
    roots = ("steps", "inputs", bindings.OUTPUT)
    condition, problem = _read(dep.check, known, roots=roots)
    its = f"The check of its dependency on {dep.step!r}"
    if condition is None:
        yield "bad_condition", f"{its} cannot be read: {problem}"
        return
    for code, message in _told(condition, known, roots=roots, output=known.declared(dep.step)):
        yield code, f"{its}: {message}"
    for function in condition.functions:
        if blind := _cannot_see(function, known):
            yield "unknown_parameter", blind
        else:
            yield from _function_problems(function, step, known, whose="its check's", own={bindings.OUTPUT})


def _enabled_problems(given: object, known: Known) -> Iterator[Found]:
    roots = ("inputs",)
    condition, problem = _read(given, known, roots=roots)
    if condition is None:
        yield "bad_condition", f"`enabled` cannot be read: {problem}"
    elif condition.functions:
        yield "bad_condition", "`enabled` asks a function; it must be a condition of the inputs alone. Use condition=."
    elif condition.steps:
        names = ", ".join(map(repr, sorted(condition.steps)))
        yield "bad_condition", f"`enabled` reads steps ({names}), none of which has run by then. Use condition=."
    else:
        for code, message in _told(condition, known, roots=roots):
            yield code, f"`enabled`: {message}"


def judged_problems(
    given: object, step: PipelineStep, known: Known, *, its: str, whose: str, is_of_output: bool = False
) -> Iterator[Found]:
    """Yield the mistakes in a condition that is judged for `step`.

    Args:
        given: The condition.
        step: The step.
        known: Its pipeline.
        its: What messages call the condition.
        whose: What they call its functions.
        is_of_output: Whether it is about what the step, or a round of it, has given.
    """
    roots = ("steps", "inputs", bindings.OUTPUT) if is_of_output else ("steps", "inputs")
    own = {bindings.OUTPUT, *bindings.part_names(step)} if is_of_output else set[str]()
    condition, problem = _read(given, known, roots=roots, own=own - {bindings.OUTPUT})
    if condition is None:
        yield "bad_condition", f"{its} cannot be read: {problem}"
        return
    if step.name in condition.steps:
        told = (
            "the step's own output. Write `output` for it."
            if is_of_output
            else "its own output, which it does not have yet."
        )
        yield "bad_condition", f"{its} reads {told}"
        return
    output = known.declared(step.name) if is_of_output else None
    for code, message in _told(condition, known, roots=roots, output=output):
        yield code, f"{its}: {message}"
    for function in condition.functions:
        yield from _function_problems(function, step, known, whose=whose, own=own)


def _told(condition: Condition, known: Known, *, roots: tuple[str, ...], output: object = None) -> Iterator[Found]:
    inputs = known.input_names
    unknown = [name for name in condition.steps if name not in known.steps]
    if unknown and not known.has_suggestions:
        return iter([("unknown_step", f"There is no step {min(unknown)[:MAX_NAME_LENGTH]!r}.")])
    for name in unknown:
        known.nearest_step(name)  # counts, since the conditions look for the nearest name too
    return condition_problems(condition, step_types=known.step_types, inputs=inputs, roots=roots, output=output)


def _read(
    given: object, known: Known, *, roots: tuple[str, ...], own: Collection[str] = ()
) -> tuple[Condition | None, str]:
    """Return the condition; or None, and why it cannot be read. Only functions are told what `own` names."""
    try:
        return condition_of(given), ""  # type: ignore[arg-type]  # the types are checked before
    except ConditionError as error:
        word = error.word
        told = f"Only a function is told {word!r}: write one with this parameter, like lambda {word}: ..."
        hint = error.hint if not word else told if word in own else _where(word, known, roots=roots)
        return None, f"{error.message} {hint}".rstrip()


def _where(word: str, known: Known, *, roots: tuple[str, ...]) -> str:
    """Return how a word is written that stands for nothing, but may be the name of a step, an input or a field."""
    if "steps" in roots and word in known.steps:
        return f"Write steps.{word} for the output of this step."
    if known.inputs is not None and word in known.inputs:
        return f"Write inputs.{word} for this input."
    if bindings.OUTPUT in roots:
        return f"Write output.{word} for a field of the output that is checked, and quotation marks for a text."
    read = " or ".join(f"{root}.{word}" for root in roots)
    return f"Write {read} for a value, and quotation marks for a text."


def _cannot_see(function: Callable[..., object], known: Known) -> str:
    """Return why the function of a check is never shown the output that it is to check; empty if it may be."""
    signature = signature_of(function)
    shown = (it.is_context or it.name == bindings.OUTPUT or it.name in known.steps for it in signature.parameters)
    if signature.takes_the_rest or any(shown):
        return ""
    unknown = next((it for it in signature.parameters if it.is_required and it.name not in known.names), None)
    if unknown is None or not unknown.is_nameable:
        return ""
    return f"Nothing fills the parameter {unknown.name!r} of its check's function. What is checked is called `output`."


def _function_problems(
    function: Callable[..., object], step: PipelineStep, known: Known, *, whose: str, own: Collection[str] = ()
) -> Iterator[Found]:
    yield from signature_problems(function, whose=whose)
    for parameter in signature_of(function).parameters:
        name = parameter.name
        if parameter.is_context or not parameter.is_required or name in own:
            continue
        if name in known.may_lack_output or known.branches.may_lack(step.name, name):
            message = f"The parameter {name!r} of {whose} function has no default, and that step may be left out."
            yield "needs_default", f"{message} Give it one."
        elif known.pipeline.inputs is not None and parameter.is_nameable:
            yield from unfilled(name, step, known, whose=whose, besides=own)
