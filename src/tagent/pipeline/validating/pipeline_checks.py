"""The pipeline as a whole: its names, inputs, triggers, hooks, and what its runs do when they fail."""

from collections.abc import Iterator, Mapping, Sequence
from typing import get_args

from tagent.exceptions import nearest
from tagent.names import InvalidNameError, checked_name
from tagent.pipeline.exceptions import Problem, StepOutputError
from tagent.pipeline.inputs import unused_inputs
from tagent.pipeline.models import MemoryUse, OnBudget, OnFailure, Pipeline
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.triggers import SCHEDULED_AT, EventTrigger, ScheduleTrigger
from tagent.pipeline.validating.failure_checks import budget_problems, settings_problems
from tagent.pipeline.validating.known import Known
from tagent.pipeline.validating.work_checks import takes

_HOOKS: Mapping[str, tuple[str, ...]] = {"before_step": ("context",), "after_step": ("context", "outcome")}
"""Which hooks there are, and what they are called with."""


def pipeline_problems(known: Known) -> Iterator[Problem]:
    """Yield what is wrong with the pipeline as a whole; the order of its steps aside."""
    pipeline = known.pipeline
    yield from _name_problems(known)
    yield from _unused_inputs(known)
    for name in sorted(known.steps.keys() & set(known.inputs or ())):
        yield Problem("ambiguous_name", "An input has the same name. Rename one of them.", name)
    final: object = pipeline.final
    if final is not None and not isinstance(final, str):
        yield Problem("bad_type", f"`final` is of the type {type(final).__name__}; it must be the name of a step.")
    elif final is not None and final not in known.steps:
        yield Problem("unknown_step", f"`final` names the unknown step {final!r}.{known.nearest_step(final)}")
    try:
        OutputType().dump(pipeline.shared_context, step="shared_context")
    except StepOutputError:
        yield Problem("bad_context", "`shared_context` holds something that cannot be written as JSON.")
    yield from _choice_problems(pipeline)
    for space in pipeline.spaces:
        try:
            checked_name(space)
        except InvalidNameError as error:
            yield Problem("bad_space", f"The space {error}")
    yield from _trigger_problems(pipeline)
    yield from _hook_problems(pipeline)
    yield from settings_problems(pipeline.config, step="")


def _name_problems(known: Known) -> Iterator[Problem]:
    for step in known.pipeline.steps:
        if known.steps[step.name] is not step:
            yield Problem("duplicate_name", "Another step has this name. Names must be unique.", step.name)


def memory_problem(given: object, *, step: str = "") -> Problem:
    """Return the problem that `memory` is something else than it may be."""
    return Problem("bad_memory", f"`memory` is {given!r}; it must be 'run' or 'pipeline'.", step)


def _choice_problems(pipeline: Pipeline) -> Iterator[Problem]:
    memory: object = pipeline.memory
    if not isinstance(memory, str) or memory not in get_args(MemoryUse):
        yield memory_problem(pipeline.memory)
    for name, choices in (("on_failure", get_args(OnFailure)), ("on_budget", get_args(OnBudget))):
        given = getattr(pipeline, name)
        if not isinstance(given, str) or given not in choices:
            suggestion = nearest(given, choices) if isinstance(given, str) else ""
            listed = ", ".join(map(repr, choices))
            yield Problem("bad_choice", f"`{name}` is {repr(given)[:80]}; it must be one of {listed}.{suggestion}")
    for code, message in budget_problems(pipeline.budget):
        yield Problem(code, message)


def _hook_problems(pipeline: Pipeline) -> Iterator[Problem]:
    for name, arguments in _HOOKS.items():
        hooks: object = getattr(pipeline, name)
        if not isinstance(hooks, Sequence) or isinstance(hooks, str):
            yield Problem("bad_hook", f"`{name}` is {hooks!r}; it must be a list of functions.")
            continue
        for hook in hooks:
            if not callable(hook):
                yield Problem("bad_hook", f"`{name}` holds {hook!r}; it must be a list of functions.")
            elif not takes(hook, len(arguments)):
                called = f"{getattr(hook, '__name__', type(hook).__name__)}({', '.join(arguments)})"
                yield Problem(
                    "bad_hook", f"A function in `{name}` cannot be called as {called}. Give it these parameters."
                )


def _trigger_problems(pipeline: Pipeline) -> Iterator[Problem]:
    declared = pipeline.inputs
    required = [name for name, it in declared.model_fields.items() if it.is_required()] if declared else []
    given: object = pipeline.triggers
    triggers: Sequence[object] = given if isinstance(given, Sequence) else [given]
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


def _unused_inputs(known: Known) -> Iterator[Problem]:
    for message in unused_inputs(known.pipeline, known.inputs or ()):
        yield Problem("unused_input", message, severity="warning")
