"""What steps have changed about the steps of their run, carried out on its pipeline with the code of today."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, cast

from tagent.pipeline import bindings
from tagent.pipeline.changes import Change, ChangeBy
from tagent.pipeline.models import Dependency, Pipeline
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.stored.added_steps import bound_added, bound_link
from tagent.pipeline.stored.importable import Home

NOWHERE = Home("", {})
"""Where the code of a change is looked for that can have none."""


def with_changes(pipeline: Pipeline, changes: Iterable[ChangeBy]) -> Pipeline:
    """Return a copy of `pipeline` with what steps have changed about it, bound to the code of today.

    Raises:
        DefinitionMismatchError: If the code of an added step is not there any more, or is of another kind.
    """
    changed = with_own_steps(pipeline)
    for change in changes:
        carry_out(changed, change)
    return changed


def carry_out(pipeline: Pipeline, by: ChangeBy) -> list[str]:
    """Change the steps of `pipeline`, and return which of them are new or other ones than before.

    What is said of steps that it does not have is passed over, as in the fold.

    Raises:
        DefinitionMismatchError: As `with_changes`.
    """
    change, home = by.change, home_of(pipeline, by.step, by.part)
    names = {step.name for step in pipeline.steps}
    added = [
        bound_added(spec, home or NOWHERE, pipeline=pipeline.name)
        for spec in cast("Sequence[Mapping[str, Any]]", change.added)
        if spec["name"] not in names
    ]
    for step in added:
        pipeline.add_step(step)
    depending = _relinked(pipeline, change, names, home)
    for place, step in enumerate(pipeline.steps):
        if step.name in depending:
            pipeline.steps[place] = replace(step, depends_on=depending[step.name])
        if step.name in change.enabled:
            pipeline.steps[place] = replace(pipeline.steps[place], enabled=change.enabled[step.name])
    return [*(step.name for step in added), *(name for name in names if name in depending or name in change.enabled)]


def _relinked(
    pipeline: Pipeline, change: Change, names: Collection[str], home: Home | None
) -> dict[str, list[Dependency]]:
    """Return step name -> all that it depends on after `change`, for those steps of which that is something else.

    Args:
        pipeline: The pipeline, with the new steps.
        change: The change.
        names: The steps that were there before.
        home: Where the functions of checks are looked for.

    Raises:
        DefinitionMismatchError: As `with_changes`.
    """
    links = cast("Sequence[Mapping[str, Any]]", change.linked)
    touched = {step for step, _ in change.unlinked} | {link["step"] for link in links}
    steps = {step.name: step for step in pipeline.steps}
    found = {
        name: list(bindings.dependencies(steps[name], names, pipeline.global_constraints))
        for name in touched & steps.keys()
    }
    for name, on in change.unlinked:
        if name in found:
            found[name] = [dep for dep in found[name] if dep.step != on]
    for link in links:
        if link["step"] in found and link["on"]["step"] in steps:
            found[link["step"]].append(bound_link(link, home, pipeline=pipeline.name))
    return found


def home_of(pipeline: Pipeline, step: str, part: str) -> Home | None:
    """Return where the code of steps is looked for that a step adds, or a part of it; None if it adds none.

    A function that is given no context has changed nothing, whatever a journal says that may come from anywhere: a step
    that runs one of somebody else's modules opens none of its functions.
    """
    definition = next((it for it in pipeline.steps if it.name == step), None)
    if definition is None:
        return None
    work: object = definition.run if definition.run is not None else bindings.branches_of(definition).get(part)
    if not callable(work) or not any(it.is_context for it in signature_of(work).parameters):
        return None
    return Home.of(work)


def with_own_steps(pipeline: Pipeline) -> Pipeline:
    """Return a copy of `pipeline` with a list of steps of its own; the steps are the same."""
    own = copy(pipeline)
    own.steps = list(pipeline.steps)
    return own
