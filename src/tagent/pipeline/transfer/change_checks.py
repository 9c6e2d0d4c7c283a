"""Changes of a run's steps that nobody vouches for: whether what comes of each is still a pipeline without mistakes."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from tagent.exceptions import TAgentError
from tagent.pipeline.bindings import branches_of, dependencies
from tagent.pipeline.changes import Change
from tagent.pipeline.course.changing import has_begun
from tagent.pipeline.driving.changing import MAX_CHANGES, MAX_STEPS
from tagent.pipeline.events import ASIDE
from tagent.pipeline.models import Dependency, Pipeline, PipelineStep
from tagent.pipeline.state import PipelineState
from tagent.pipeline.stored.steps import outlined_dependency, outlined_step
from tagent.pipeline.transfer.definitions import first_mistake, read_added_step, read_link
from tagent.pipeline.transfer.documents import LONGEST_PROBLEM, RunImportError
from tagent.pipeline.transfer.sizes import Sizes

_PASSES = 10
"""How often a change goes through all steps of its run: it is checked, carried out and counted."""


class ChangeChecks:
    """The changes of one run, one after another.

    Args:
        pipeline: The run's pipeline without any code, as it was defined.
        state: The run's state, to which each change is applied after it was checked.
        sizes: Counts what they make of the whole.
    """

    def __init__(self, pipeline: Pipeline, state: PipelineState, sizes: Sizes) -> None:
        self._defined = pipeline
        self._state = state
        self._sizes = sizes
        self._pipeline = Pipeline(pipeline)
        self._changes = state.changes
        self._done = 0

    def require_possible(self, change: Change, *, step: str, part: str, seq: int) -> None:
        """Refuse a change that the step cannot have made, or of which no pipeline would come.

        Raises:
            RunImportError: If it is one; it names the place `seq`.
        """
        begin = f"its event {seq} changes the steps of the run, and"
        if len(self._state.changes) >= MAX_CHANGES:
            raise RunImportError(f"{begin} they had changed {MAX_CHANGES:,} times already.")
        self._catch_up()
        self._sizes.recount(_PASSES * (len(self._pipeline.steps) + len(change.added)))
        if not self._has_function(step, part):
            raise RunImportError(f"{begin} the step {step!r} is no function, which alone could do so.")
        for spec in change.added:
            read_added_step(spec, seq=seq)
        for link in change.linked:
            read_link(link, seq=seq)
        known = {it.name for it in self._pipeline.steps}
        new = [str(spec["name"]) for spec in change.added]
        if len(known) + len(new) > MAX_STEPS or len({*known, *new}) < len(known) + len(new):
            raise RunImportError(f"{begin} adds too many, or one of a name that there is already.")
        if unknown := next((name for name in _named(change) if name not in known and name not in new), None):
            raise RunImportError(f"{begin} names the unknown step {unknown[:100]!r}.")
        if late := next((name for name in _targets(change) if name in known and has_begun(self._state, name)), None):
            raise RunImportError(f"{begin} the step {late!r} has begun already.")
        changed = Pipeline(self._pipeline)
        try:
            carry_out(changed, change)
            mistake = first_mistake(changed)
        except (TAgentError, ValueError) as error:
            mistake = error.message if isinstance(error, TAgentError) else "a mode or a dependency is of no known kind"
        if mistake:
            raise RunImportError(f"{begin} what comes of it is no pipeline: {mistake[:LONGEST_PROBLEM]}")

    def _has_function(self, step: str, part: str) -> bool:
        """Return whether a step, or the branch of it that is meant, is a function; of those an outline has no goal."""
        definition = next(it for it in self._pipeline.steps if it.name == step)
        if part in ASIDE:
            return False
        return definition.goal == "" or callable(branches_of(definition).get(part))

    def _catch_up(self) -> None:
        """Have the pipeline that the state has come to."""
        if self._changes is not self._state.changes:  # some of them were undone when the run was taken up again
            self._pipeline = Pipeline(self._defined)
            self._changes, self._done = self._state.changes, 0
        for made in self._changes[self._done :]:
            carry_out(self._pipeline, made.change)
        self._done = len(self._changes)


def carry_out(pipeline: Pipeline, change: Change) -> None:
    """Change the steps of a pipeline, the added ones without code; what is said of unknown steps is passed over.

    Raises:
        ValueError: If a mode or a dependency is of no known kind.
    """
    places = {step.name: place for place, step in enumerate(pipeline.steps)}
    for spec in cast("tuple[Mapping[str, Any], ...]", change.added):
        if spec["name"] not in places:
            places[spec["name"]] = len(pipeline.steps)
            step = outlined_step(spec)
            step.output_schema = Any  # as `read_definition` has it
            pipeline.add_step(step)

    def set_(name: str, **options: Any) -> None:
        if name in places:
            pipeline.steps[places[name]] = replace(pipeline.steps[places[name]], **options)

    def needed(name: str) -> list[Dependency]:
        steps: tuple[PipelineStep, ...] = (pipeline.steps[places[name]],) if name in places else ()
        rules = pipeline.global_constraints
        return [dep for step in steps for dep in dependencies(step, places, rules)]

    for name, on in change.unlinked:
        set_(name, depends_on=[dep for dep in needed(name) if dep.step != on])
    for link in cast("tuple[Mapping[str, Any], ...]", change.linked):
        set_(link["step"], depends_on=[*needed(link["step"]), outlined_dependency(link["on"])])
    for name, is_enabled in change.enabled.items():
        set_(name, enabled=is_enabled)


def _targets(change: Change) -> Iterator[str]:
    """Yield the steps that are changed rather than added."""
    yield from (str(link["step"]) for link in change.linked)
    yield from (step for step, _ in change.unlinked)
    yield from change.enabled


def _named(change: Change) -> Iterator[str]:
    yield from _targets(change)
    yield from (on for _, on in change.unlinked)
    for link in cast("tuple[Mapping[str, Any], ...]", change.linked):
        yield link["on"]["step"]
    for spec in cast("tuple[Mapping[str, Any], ...]", change.added):
        yield from (dep["step"] for dep in spec["depends_on"])
