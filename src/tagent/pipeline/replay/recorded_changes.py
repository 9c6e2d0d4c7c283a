"""A run that changed its own steps, replayed: it has the changed ones from the start.

The code of added steps is named by the journal, which may be a file from anywhere. So it is not even looked for here:
they say what is recorded.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, wraps
from typing import Any, cast

from tagent.pipeline import bindings
from tagent.pipeline.changes import Change, ChangeBy
from tagent.pipeline.context import StepContext
from tagent.pipeline.models import Dependency, Pipeline, PipelineStep, Work
from tagent.pipeline.plan import Plan
from tagent.pipeline.replay.recorded_errors import RecordedMisfitError
from tagent.pipeline.stored.callables import absent
from tagent.pipeline.transfer.change_checks import carry_out


def with_recorded_changes(pipeline: Pipeline, changes: Sequence[ChangeBy]) -> Pipeline:
    """Return a copy of `pipeline` that has what its run had changed, each change behind the step that made it.

    The functions of those steps may make the same change again, which counts no second time.

    Args:
        pipeline: The pipeline, with the code of today.
        changes: What the steps of the recorded run had changed.
    """
    changed = Pipeline(pipeline)
    for by in changes:
        carry_out(changed, by.change)
        _put_behind(changed, by)
        for spec in cast("Sequence[Mapping[str, Any]]", by.change.added):
            if spec.get("function") is not None:
                added = _step(changed, spec["name"])
                added.goal, added.run = None, absent
    for name in dict.fromkeys(by.step for by in changes):
        if (step := _step(changed, name)) is not None:
            made = {by.part: by.change for by in changes if by.step == name}
            _say_nothing_new(step, made)
    return changed


def added_by(changes: Sequence[ChangeBy]) -> set[str]:
    """Return the names of the steps that the changes have added."""
    return {str(spec["name"]) for by in changes for spec in by.change.added}


def _step(pipeline: Pipeline, name: str) -> Any:
    return next((step for step in pipeline.steps if step.name == name), None)


def _put_behind(pipeline: Pipeline, by: ChangeBy) -> None:
    """Have the steps that a change adds, or lets the run have, wait for the step that made it."""
    names = {str(spec["name"]) for spec in by.change.added}
    names |= {name for name, is_enabled in by.change.enabled.items() if is_enabled}
    for step in pipeline.steps:
        if step.name in names and by.step != step.name:
            known = {it.name for it in pipeline.steps}
            step.depends_on = [
                *bindings.dependencies(step, known, pipeline.global_constraints),
                Dependency(by.step),
            ]


def _say_nothing_new(step: PipelineStep, made: Mapping[str, Change]) -> None:
    """Have the function of a step, or those of its branches, change nothing once more."""
    if step.run is not None:
        step.run = _unchanging(step.run, step.name, made)
    elif step.branches:
        works: dict[str, Work] = {
            name: work if isinstance(work, str) else _unchanging(work, step.name, made)
            for name, work in bindings.branches_of(step).items()
        }
        step.branches = works if isinstance(step.branches, Mapping) else list(works.values())


def _unchanging(function: Callable[..., object], step: str, made: Mapping[str, Change]) -> Callable[..., object]:
    """Return the function with contexts whose plan nobody carries out, as long as it is what was recorded."""
    if isinstance(function, partial):
        return partial(_unchanging(function.func, step, made), *function.args, **function.keywords)

    def given(arguments: Mapping[str, object]) -> tuple[dict[str, object], list[StepContext]]:
        own = {
            name: replace(value, planned=Plan()) if isinstance(value, StepContext) else value
            for name, value in arguments.items()
        }
        return own, [value for value in own.values() if isinstance(value, StepContext)]

    def looked_at(contexts: Sequence[StepContext]) -> None:
        for context in contexts:
            if context.planned is not None and not _is_the_same(context.planned, made.get(context.part, Change())):
                raise RecordedMisfitError(step, "a change of the steps")

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def calls(**arguments: object) -> object:
            own, contexts = given(arguments)
            output = await function(**own)
            looked_at(contexts)
            return output

        return calls

    @wraps(function)
    def calls_at_once(**arguments: object) -> object:
        own, contexts = given(arguments)
        output = function(**own)
        looked_at(contexts)
        return output

    return calls_at_once


def _is_the_same(plan: Plan, change: Change) -> bool:
    """Return whether a plan adds the same steps, and has the run have or not have the same ones."""
    return {step.name for step in plan.added} == {spec["name"] for spec in change.added} and dict(plan.enabled) == dict(
        change.enabled
    )
