"""What a plan has to come to where time decides nothing, worked out as a reader of the rules would.

It knows the plan and the rules, and nothing of how they are carried out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from property.flow_plans import SOFT_KINDS, ConditionPlan, DepPlan, FlowPlan, PartsPlan, StepPlan
from property.flow_world import (
    BRANCHES,
    INPUTS,
    SUBSTITUTE,
    THRESHOLD,
    holds_for,
    number_of,
    output_of,
    part_output,
    passes,
)
from tagent.pipeline import RunStatus, StepStatus

LEFT_OUT = frozenset({"condition_false", "disabled", "dependency_skipped", "not_needed"})

COMPLETED, SKIPPED, FAILED = StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.FAILED


@dataclass(frozen=True)
class Expected:
    """What a step comes to.

    Attributes:
        status: Its final status.
        codes: Any of these codes says why; empty for none.
        attempts: How many attempts are made at the step itself.
        output: Its output, if it completes.
        parts: How each of its parts ends and after how many attempts; None where that depends on time.
        is_substituted: Whether the output comes from elsewhere.
    """

    status: StepStatus
    codes: frozenset[str] = frozenset()
    attempts: int = 0
    output: object = None
    parts: Mapping[str, tuple[StepStatus, int]] | None = field(default_factory=dict)
    is_substituted: bool = False

    @property
    def is_left_out(self) -> bool:
        """Whether nothing went wrong, though it did not run."""
        return self.status is SKIPPED and self.codes <= LEFT_OUT


class Oracle:
    """What the steps of one plan come to."""

    def __init__(self, flow: FlowPlan) -> None:
        self._flow = flow
        self._own: dict[int, Expected] = {}
        self._final: dict[int, Expected] = {}

    def final(self, place: int) -> Expected:
        """Return what the step at `place` comes to in the end, with what takes its place if it fails."""
        if place not in self._final:
            self._final[place] = self._replaced(place, self._before_fallback(place))
        return self._final[place]

    def all(self) -> dict[str, Expected]:
        """Return step name -> what it comes to."""
        return {f"s{place}": self.final(place) for place in range(len(self._flow.steps))}

    def status(self) -> RunStatus:
        """Return what the run comes to."""
        places = range(len(self._flow.steps))
        stands_in = {place for place in places if self._flow.stands_in_for(place) is not None}
        if all(self._is_settled_well(place) for place in places if place not in stands_in):
            return RunStatus.COMPLETED
        waited_for = {dep.source for place in places for dep in self._flow.all_deps(place)}
        sinks = {*places} - waited_for - stands_in
        is_part_done = any(self.final(place).status is COMPLETED for place in sinks)
        return RunStatus.PARTIAL if is_part_done else RunStatus.FAILED

    def _is_settled_well(self, place: int) -> bool:
        end = self.final(place)
        return end.status is COMPLETED or end.is_left_out or self._flow.steps[place].is_optional

    def _before_fallback(self, place: int) -> Expected:
        if place not in self._own:
            self._own[place] = self._without_fallback(place, self._flow.steps[place])
        return self._own[place]

    def _replaced(self, place: int, own: Expected) -> Expected:
        plan = self._flow.steps[place]
        if own.status is not FAILED or not plan.fallback:
            return own
        output: object = SUBSTITUTE
        if plan.fallback == "step":
            other = self.final(place + 1)
            if other.status is not COMPLETED:
                return own
            output = other.output
        return Expected(COMPLETED, own.codes, own.attempts, output, own.parts, is_substituted=True)

    def _without_fallback(self, place: int, plan: StepPlan) -> Expected:
        if plan.enabled in {"no", "off"}:
            return Expected(SKIPPED, frozenset({"disabled"}))
        replaces = self._flow.stands_in_for(place)
        if replaces is not None and self._before_fallback(replaces).status is not FAILED:
            return Expected(SKIPPED, frozenset({"not_needed"}))
        problems = {self._problem(dep) for dep in self._flow.all_deps(place)} - {""}
        if problems:
            return Expected(SKIPPED, frozenset(problems - LEFT_OUT or problems))
        seen = {
            f"s{dep.source}": self.final(dep.source).output
            for dep in self._flow.all_deps(place)
            if self.final(dep.source).status is COMPLETED
        }
        parts: dict[str, tuple[StepStatus, int]] = {}
        if (stopped := self._by_condition(plan, seen, parts)) is not None:
            return stopped
        if plan.parts is not None:
            return self._merged(place, plan, plan.parts, seen, parts)
        attempts, works = plan.work.attempts(plan.max_retries)
        if not works:
            return Expected(FAILED, frozenset({"step.failed"}), attempts, parts=parts)
        return Expected(COMPLETED, frozenset(), attempts, output_of(place, seen), parts)

    def _problem(self, dep: DepPlan) -> str:
        """Return why the dependency keeps a step from running; empty if it does not."""
        if dep.kind in SOFT_KINDS:
            return ""
        end = self.final(dep.source)
        if not self._is_settled_well(dep.source):
            return "upstream_failed"
        if end.status is not COMPLETED:
            return {"hard": "", "skip": "dependency_skipped"}.get(dep.kind, "dependency_unmet")
        return "" if dep.kind == "asked" or is_met(dep, end.output) else "dependency_unmet"

    def _by_condition(
        self, plan: StepPlan, seen: Mapping[str, object], parts: dict[str, tuple[StepStatus, int]]
    ) -> Expected | None:
        """Return what the step comes to if its condition does not let it run; note the part that judges it."""
        condition = plan.condition
        asked = [dep for dep in plan.deps if dep.kind == "asked"]
        if asked:
            parts["<condition>"] = (COMPLETED, 1)
        if not all(is_met(dep, seen[f"s{dep.source}"]) for dep in asked):
            return Expected(SKIPPED, frozenset({"dependency_unmet"}), parts=parts)
        if condition is None:
            return None
        if condition.kind in {"function", "writing", "model"}:
            attempts, works = condition.work.attempts(plan.max_retries)
            if condition.kind == "model":
                attempts, works = 1, condition.holds is not None
            parts["<condition>"] = (COMPLETED if works else FAILED, attempts)
            holds = (condition.holds if condition.kind == "model" else holds_for(seen)) if works else None
            code = "step.failed"
        else:
            holds, code = _said(condition, seen), "pipeline.condition"
            if holds is None and asked:
                parts["<condition>"] = (FAILED, 1)
        if holds is None:
            return Expected(FAILED, frozenset({code}), parts=parts)
        return None if holds else Expected(SKIPPED, frozenset({"condition_false"}), parts=parts)

    def _merged(
        self,
        place: int,
        plan: StepPlan,
        parts: PartsPlan,
        seen: Mapping[str, object],
        known: dict[str, tuple[StepStatus, int]],
    ) -> Expected:
        outputs: dict[str, object] = {}
        if parts.shape == "none":
            outputs = dict(seen)
        else:
            items = self._items(parts, seen)
            if items is None:
                return Expected(FAILED, frozenset({"step.input"}), parts=known)
            if parts.min_success is not None and parts.min_success > max(len(items), 0.5):  # a share is 0.5
                return Expected(FAILED, frozenset({"step.parts"}), parts=known)
            failed = 0
            for index, (name, item) in enumerate(items.items()):
                attempts, works = parts.works[index % len(parts.works)].attempts(plan.max_retries)
                known[name] = (COMPLETED if works else FAILED, attempts)
                failed += not works
                if works:
                    outputs[name] = part_output(place, item, index)
            if failed > _allowed(parts.min_success, len(items)):
                return Expected(FAILED, frozenset({"step.parts"}), parts=None)
        gives_list = parts.shape in {"items", "things", "branches"}
        if parts.merge == "broken":
            return Expected(FAILED, frozenset({"step.failed"}), plan.max_retries + 1, parts=known)
        if parts.merge == "default":
            return Expected(COMPLETED, frozenset(), 1, list(outputs.values()) if gives_list else outputs, known)
        named = {str(number): value for number, value in enumerate(outputs.values())} if gives_list else outputs
        return Expected(COMPLETED, frozenset(), 1, output_of(place, named), known)

    def _items(self, parts: PartsPlan, seen: Mapping[str, object]) -> dict[str, int] | None:
        """Return part -> the item that it is for."""
        match parts.shape:
            case "items":
                found = seen[f"s{parts.source}"]
                items = found["items"] if isinstance(found, dict) else None
                return {str(n): item for n, item in enumerate(items)} if isinstance(items, list) else None
            case "things":
                things = INPUTS["things"]
                assert isinstance(things, list)
                return {str(n): thing for n, thing in enumerate(things)}
            case "named":
                return {f"b{n}": 0 for n in range(BRANCHES)}
            case _:
                return {str(n): 0 for n in range(BRANCHES)}


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
        case "valid":
            return fields.get("valid") is True
        case "check":
            return int(fields.get("n", 0)) > THRESHOLD
        case "asked":
            return passes(output)
        case _:
            return True


def _said(condition: ConditionPlan, seen: Mapping[str, object]) -> bool | None:
    """Return what a condition that is a text comes to; None if it cannot be answered."""
    if condition.kind in {"on", "off"}:
        return INPUTS[condition.kind] is True
    name = f"s{condition.source}"
    if name not in seen:
        return False if condition.kind == "has" else None
    number = _n(seen[name])
    return None if number is None else number > THRESHOLD


def _n(output: object) -> int | None:
    return number_of(output) if isinstance(output, dict) and "n" in output else None


def _allowed(min_success: float | None, count: int) -> int:
    """Return how many of `count` parts may fail."""
    if min_success is None:
        return 0
    for needed in range(count + 1):
        if needed >= (min_success * count if min_success < 1 else min_success):
            return count - needed
    return 0
