"""What the ends of its dependencies make of a step: the rules that an oracle and a reader of journals both go by."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from property.flow_plans import SOFT_KINDS, ChangePlan, DepPlan, FlowPlan, place_of_added
from property.flow_values import THRESHOLD, passes
from tagent.pipeline import StepStatus

NOT_TAKEN, NOT_SELECTED = "branch_not_taken", "not_selected"

LEFT_OUT = frozenset({"condition_false", "disabled", "dependency_skipped", "not_needed", NOT_TAKEN, NOT_SELECTED})
"""Why a step may be skipped without anything having gone wrong."""


@dataclass(frozen=True)
class End:
    """How a step ended.

    Attributes:
        status: Its final status.
        is_left_out: Whether nothing went wrong, though it did not run.
        is_passed_by: Whether only a branch leads to it that is not taken.
        is_aside: Whether it does not belong to the part of the pipeline that runs.
        is_optional: Whether others go on without it.
        output: What it gave.
    """

    status: StepStatus
    is_left_out: bool
    is_passed_by: bool
    is_aside: bool
    is_optional: bool
    output: object

    @property
    def is_well(self) -> bool:
        """Whether those behind it may go on."""
        return self.status is StepStatus.COMPLETED or self.is_left_out or self.is_optional


Ends = Callable[[int], End]
"""Place -> how the step there ended."""


Changed = Callable[[int], Collection[int]]
"""Place -> the parts of the step there that have changed others, so that it counts; of one without parts it is 0."""


def change_of(flow: FlowPlan, place: int, changed: Changed) -> tuple[int, ChangePlan] | None:
    """Return by which step a step has been changed, and how; None if it has not."""
    for by, step in enumerate(flow.steps):
        if step.change is not None and step.change.target == place and changed(by):
            return by, step.change
    return None


def deps_of(flow: FlowPlan, place: int, changed: Changed) -> tuple[DepPlan, ...]:
    """Return what a step waits for once others have changed that."""
    deps = flow.all_deps(place)
    if (found := change_of(flow, place, changed)) is None:
        return deps
    by, told = found
    is_unlinked = told.is_unlinked and told.parts[0] in changed(by)
    kept = [dep for dep in deps if not (is_unlinked and dep.source == by)]
    new = [DepPlan(place_of_added(by, part), "hard") for part in sorted(changed(by))] if told.is_linked else []
    return (*kept, *new)


def is_disabled(flow: FlowPlan, place: int, changed: Changed) -> bool:
    """Return whether others have left out a step."""
    if (found := change_of(flow, place, changed)) is None:
        return False
    by, told = found
    return told.enabled is False and told.parts[0] in changed(by)


def why_not(flow: FlowPlan, deps: Iterable[DepPlan], ends: Ends) -> frozenset[str]:
    """Return the codes any of which says why a step does not run, given how its dependencies ended; none if it does.

    What has gone wrong comes first, then that no branch leads there, then that it goes with a step that is left out.
    """
    every = list(deps)
    needed = [dep for dep in every if dep.kind not in SOFT_KINDS]
    problems = {problem(dep, ends) for dep in needed} - {""}
    if failed := problems - LEFT_OUT:
        return frozenset(failed)
    chosen = [is_passed_by(flow, dep, ends) for dep in needed if dep.kind == "route"]
    others = [is_passed_by(flow, dep, ends) for dep in needed if dep.kind != "route"]
    in_vain = any(is_passed_by(flow, dep, ends) for dep in needed if dep.kind not in {"route", "hard", "skip"})
    from_nowhere = not chosen and bool(others) and all(others) and len(needed) == len(every)
    if (chosen and all(chosen)) or in_vain or from_nowhere:
        return frozenset({NOT_TAKEN})
    return frozenset(problems)


def is_passed_by(flow: FlowPlan, dep: DepPlan, ends: Ends) -> bool:
    """Return whether a dependency is, or comes from, a branch that is not taken."""
    end = ends(dep.source)
    if dep.kind == "route":
        if end.is_aside:
            return False
        return end.status is not StepStatus.COMPLETED or route(flow, dep.source, end.output) not in dep.routes
    return end.is_passed_by


def route(flow: FlowPlan, place: int, output: object) -> str | None:
    """Return the route that the output of a router names; None if there is none."""
    router = flow.steps[place].router
    assert router is not None
    named = str(output).lower() if isinstance(output, int) else output
    if isinstance(named, str) and named in router.routes:
        return named
    return "default" if router.has_default else None


def problem(dep: DepPlan, ends: Ends) -> str:
    """Return why a dependency keeps a step from running; empty if it does not, or if its branch is not taken."""
    end = ends(dep.source)
    if dep.kind in SOFT_KINDS:
        return ""
    if not end.is_well:
        return "upstream_failed"
    if dep.kind == "route" or (end.is_aside and dep.kind in {"hard", "skip"}):
        return ""
    if end.status is not StepStatus.COMPLETED:
        left_out = "" if end.is_passed_by else "dependency_unmet"
        return {"hard": "", "skip": "dependency_skipped"}.get(dep.kind, left_out)
    return "" if dep.kind == "asked" or is_met(dep, end.output) else "dependency_unmet"


def is_met(dep: DepPlan, output: object) -> bool:
    """Return whether an output is what a DATA or VALIDATION dependency asks for; others ask for nothing."""
    fields = output if isinstance(output, dict) else {}
    match dep.kind:
        case "data":
            return "n" in fields
        case "item":
            items = fields.get("items")
            return isinstance(items, list) and len(items) > 1
        case "list":
            return "items" in fields
        case "text":
            return dep.field in fields
        case "valid":
            return fields.get("valid") is True
        case "check":
            return "n" in fields and int(fields["n"]) > THRESHOLD
        case "asked":
            return passes(output)
        case _:
            return True
