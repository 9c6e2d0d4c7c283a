"""Changes of a run's steps while it goes on: checked as a whole before they count, then carried out on its pipeline."""

import logging
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from tagent.exceptions import TAgentError
from tagent.pipeline import bindings
from tagent.pipeline.changes import Change, ChangeBy
from tagent.pipeline.course.changing import has_begun
from tagent.pipeline.course.sinks import is_outside
from tagent.pipeline.driving.attempts import AttemptFailed, AttemptSucceeded
from tagent.pipeline.driving.drafting import Draft, with_own_steps
from tagent.pipeline.exceptions import PipelineError, Problem, has_problems
from tagent.pipeline.inputs import missing_inputs
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.models import Dependency, Pipeline, PipelineStep
from tagent.pipeline.plan import Plan
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.state import PipelineState
from tagent.pipeline.stored.added_steps import added_link, added_problems, added_spec, bound_added, bound_link
from tagent.pipeline.stored.callables import DefinitionMismatchError
from tagent.pipeline.stored.importable import Home, NotImportableError
from tagent.pipeline.validation import validate
from tagent.task_agent.models import Failure

logger = logging.getLogger("tagent")

MAX_STEPS = 10_000
"""How many steps a run may come to have; what it is defined with is not limited."""

MAX_CHANGES = 1_000
"""How often the steps of one run may change."""


_NOWHERE = Home("", {})


class ChangeError(PipelineError):
    """A step wants to change the run's steps to something that cannot be. Nothing of it counts.

    Attributes:
        step: The step that wants it.
        problems: All that is wrong with it.
    """

    code = "pipeline.change"

    def __init__(self, step: str, problems: Sequence[Problem]) -> None:
        self.step = step
        self.problems = tuple(problems)
        super().__init__(has_problems(f"The change that the step {step!r} makes", problems))


def checked_change(
    pipeline: Pipeline, state: PipelineState, plan: Plan, *, step: str, part: str, tools: Collection[object] = ()
) -> Change:
    """Return what a plan comes to, as it is journalled.

    Args:
        pipeline: The run's pipeline as it is now, with its code.
        state: Where the run stands.
        plan: What a step wants to change.
        step: That step.
        part: The part of it that wants it; empty for the step itself.
        tools: The functions that the run offers to every step.

    Raises:
        ChangeError: If the whole of it does not fit; it lists all that is wrong.
    """
    draft = Draft(pipeline, plan)
    problems = [*draft.problems, *_limit_problems(draft, state), *_unapproved(state, step, part), *_late(draft, state)]
    home = _home(pipeline, step, part)
    change, unnamed = _change_of(draft, pipeline, home)
    changed = draft.pipeline
    if not (problems or unnamed):
        try:
            changed = with_changes(pipeline, [ChangeBy(step, part, change)])  # what a resume will make of it
        except DefinitionMismatchError as error:
            unnamed.append(Problem("not_storable", error.message, error.step))
    found = validate(changed, inputs=tuple(state.inputs) or None, tools=tools)
    problems += [*unnamed, *(problem for problem in found if problem.severity == "error")]
    touched = {it.name for it in draft.added} | {name for name, _ in draft.linked}
    if not problems:
        problems += _lacking(changed, state, touched)
    if problems:
        raise ChangeError(step, problems)
    for problem in found:
        if problem.severity == "warning" and problem.step in touched:
            logger.warning("%s: %s", pipeline.name, problem)
    return change


def _lacking(changed: Pipeline, state: PipelineState, touched: Collection[str]) -> Iterator[Problem]:
    """Yield what steps cannot do without and nothing gives: the inputs of a run that goes on are what they are."""
    if changed.inputs is not None:  # with an input model validation knows all names
        return
    steps = [step for step in changed.steps if step.name in touched]
    for step, name, why in missing_inputs(changed, state.inputs, steps):
        yield Problem("missing_input", f"No step and no input of the run is called {name!r}; {why}", step)


def _limit_problems(draft: Draft, state: PipelineState) -> Iterator[Problem]:
    if draft.added and len(draft.pipeline.steps) > MAX_STEPS:
        yield Problem("too_many_steps", f"The run would have {len(draft.pipeline.steps):,} steps, above {MAX_STEPS:,}.")
    if len(state.changes) >= MAX_CHANGES:
        yield Problem("too_many_changes", f"The steps of the run have changed {MAX_CHANGES:,} times already.")


def _unapproved(state: PipelineState, step: str, part: str) -> Iterator[Problem]:
    """Yield that a part may not change anything whose step's output is still to be approved."""
    approval = state.graph.rules(step).approval
    if part and approval is not None and approval.of == "output":
        told = f"Its output is still to be approved, so {part!r}, which is a part of it, cannot change the steps."
        yield Problem("before_approval", told, step)


def _late(draft: Draft, state: PipelineState) -> Iterator[Problem]:
    """Yield which steps cannot be changed any more. What a run is not to do may be changed, and stays not to do."""
    for name in draft.touched:
        if has_begun(state, name) and not is_outside(state, name):
            status = state.statuses[name]
            told = f"has ended already ({status})" if status.is_terminal else "has begun already"
            if status is StepStatus.SKIPPED:
                told = f"was left out already [{state.steps[name].code}]"
            yield Problem("has_begun", f"It {told}, so it cannot be changed, nor wait for or read a new step.", name)


def _change_of(draft: Draft, pipeline: Pipeline, home: Home | None) -> tuple[Change, list[Problem]]:
    """Return what is journalled of a draft, and what of it cannot be."""
    problems: list[Problem] = []
    specs: list[Mapping[str, object]] = []
    links: list[Mapping[str, object]] = []
    names = {step.name for step in draft.pipeline.steps}
    place = home or _NOWHERE
    for step in draft.added:
        if wrong := [Problem("not_storable", told, step.name) for told in added_problems(step)]:
            problems += wrong
            continue
        try:
            specs.append(added_spec(step, names, pipeline.global_constraints, home=place))
        except NotImportableError as error:
            problems.append(Problem("not_importable", f"Of its code {error}.", step.name))
        except (TAgentError, TypeError, ValueError, AttributeError) as error:
            problems.append(Problem("not_storable", f"It cannot be stored: {error}", str(step.name)))
    for name, dependency in draft.linked:
        try:
            links.append(added_link(name, dependency, home=place))
        except NotImportableError as error:
            problems.append(Problem("not_importable", f"Of its code {error}.", name))
        except (TAgentError, TypeError, ValueError, AttributeError) as error:
            problems.append(Problem("not_storable", f"Its dependency cannot be stored: {error}", name))
    return Change(tuple(specs), tuple(links), tuple(draft.unlinked), draft.enabled), problems


def _home(pipeline: Pipeline, step: str, part: str) -> Home | None:
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


def with_changes(pipeline: Pipeline, changes: Iterable[ChangeBy]) -> Pipeline:
    """Return a copy of `pipeline` with what steps have changed about it, bound to the code of today.

    Raises:
        DefinitionMismatchError: If the code of an added step is not there any more, or is of another kind.
    """
    changed = with_own_steps(pipeline)
    for change in changes:
        _carry_out(changed, change)
    return changed


def _carry_out(pipeline: Pipeline, by: ChangeBy) -> list[str]:
    """Change the steps of `pipeline`, and return which of them are new or other ones than before.

    What is said of steps that it does not have is passed over, as in the fold.

    Raises:
        DefinitionMismatchError: As `with_changes`.
    """
    change, home = by.change, _home(pipeline, by.step, by.part)
    names = {step.name for step in pipeline.steps}
    added = [
        bound_added(spec, home or _NOWHERE, pipeline=pipeline.name)
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


def _plan_of(pipeline: Pipeline, change: Change, *, step: str, part: str) -> Plan:
    """Return what a change was made of that was held back: until somebody approved it, the run has gone on."""
    home = _home(pipeline, step, part)
    links = cast("Sequence[Mapping[str, Any]]", change.linked)
    return Plan(
        added=[bound_added(spec, home or _NOWHERE, pipeline=pipeline.name) for spec in change.added],
        linked=[(link["step"], bound_link(link, home, pipeline=pipeline.name)) for link in links],
        unlinked=list(change.unlinked),
        enabled=dict(change.enabled),
    )


class LiveChanges:
    """The changes of a run that is driven: keeps its pipeline as its state says, however it has come to that.

    Args:
        defined: The pipeline as it was defined.
        pipeline: The run's own copy of it, with the changes that the state has; changed in place.
        state: The run's state.
        tools: The functions that the run offers to every step.
    """

    def __init__(
        self, defined: Pipeline, pipeline: Pipeline, state: PipelineState, *, tools: Collection[object] = ()
    ) -> None:
        self._defined = defined
        self._pipeline = pipeline
        self._state = state
        self._tools = tools
        self._changes = state.changes
        self._done = len(state.changes)
        self._touched: list[str] = []

    def checked(
        self, step: str, part: str, outcome: AttemptSucceeded | AttemptFailed
    ) -> AttemptSucceeded | AttemptFailed:
        """Return how an attempt ended, which it has not done well if what it changes does not fit as things stand."""
        if not isinstance(outcome, AttemptSucceeded) or not (outcome.plan or outcome.change):
            return outcome
        self._catch_up()
        try:
            plan = outcome.plan
            if plan is None and outcome.change is not None:
                plan = _plan_of(self._pipeline, outcome.change, step=step, part=part)
            change = checked_change(
                self._pipeline, self._state, plan or Plan(), step=step, part=part, tools=self._tools
            )
        except TAgentError as error:
            return AttemptFailed(Failure(ChangeError.code, error.message))
        return replace(outcome, change=change, plan=None)

    def news(self) -> tuple[PipelineStep, ...]:
        """Return the steps that are new, or other ones, since this was asked last."""
        if self._changes is self._state.changes and self._done == len(self._changes) and not self._touched:
            return ()
        self._catch_up()
        names, self._touched = set(self._touched), []
        return tuple(step for step in self._pipeline.steps if step.name in names)

    def _catch_up(self) -> None:
        state = self._state
        if self._changes is not state.changes:  # some of them were undone when the run was taken up again
            self._pipeline.steps[:] = with_changes(self._defined, state.changes).steps
            self._touched = [step.name for step in self._pipeline.steps]
            self._changes, self._done = state.changes, len(state.changes)
        for change in state.changes[self._done :]:
            self._touched += _carry_out(self._pipeline, change)
        self._done = len(state.changes)
