"""Changes of a run's steps while it goes on: checked as a whole before they count, and kept up with once they do."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from tagent.exceptions import TAgentError
from tagent.pipeline.attempts import AttemptFailed, AttemptSucceeded
from tagent.pipeline.changes import Change, ChangeBy
from tagent.pipeline.course.changing import has_begun
from tagent.pipeline.course.sinks import is_outside
from tagent.pipeline.driving.drafting import Draft
from tagent.pipeline.exceptions import PipelineError, Problem, has_problems
from tagent.pipeline.inputs import missing_inputs
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.plan import Plan
from tagent.pipeline.state import PipelineState
from tagent.pipeline.stored.added_steps import added_link, added_problems, added_spec, bound_added, bound_link
from tagent.pipeline.stored.callables import DefinitionMismatchError
from tagent.pipeline.stored.changed import NOWHERE, carry_out, home_of, with_changes
from tagent.pipeline.stored.importable import Home, NotImportableError
from tagent.pipeline.validation import validate
from tagent.task_agent.models import Failure

logger = logging.getLogger("tagent")

MAX_STEPS = 10_000
"""How many steps a run may come to have; what it is defined with is not limited."""

MAX_CHANGES = 1_000
"""How often the steps of one run may change."""


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
    home = home_of(pipeline, step, part)
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
    place = home or NOWHERE
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


def _plan_of(pipeline: Pipeline, change: Change, *, step: str, part: str) -> Plan:
    """Return what a change was made of that was held back: until somebody approved it, the run has gone on."""
    home = home_of(pipeline, step, part)
    links = cast("Sequence[Mapping[str, Any]]", change.linked)
    return Plan(
        added=[bound_added(spec, home or NOWHERE, pipeline=pipeline.name) for spec in change.added],
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
            self._touched += carry_out(self._pipeline, change)
        self._done = len(state.changes)
