"""What a plan has to come to where time decides nothing, worked out as a reader of the rules would.

It knows the plan and the rules, and nothing of how they are carried out.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from property.flow_plans import (
    ADDED,
    ConditionPlan,
    DepPlan,
    FlowPlan,
    PartsPlan,
    RoundsPlan,
    RouterPlan,
    StepPlan,
    adder_of,
    place_of_added,
)
from property.flow_rules import (
    LEFT_OUT,
    NOT_SELECTED,
    NOT_TAKEN,
    End,
    deps_of,
    is_disabled,
    is_met,
    why_not,
)
from property.flow_values import (
    BRANCHES,
    EDITED,
    INPUTS,
    SUBSTITUTE,
    THRESHOLD,
    holds_for,
    number_of,
    output_of,
    part_output,
    round_output,
    route_of,
)
from tagent.pipeline import RunStatus, StepStatus

COMPLETED, SKIPPED, FAILED = StepStatus.COMPLETED, StepStatus.SKIPPED, StepStatus.FAILED

Parts = dict[str, tuple[StepStatus, int]]


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
        changed: Which of its parts have changed others; of one without parts 0.
    """

    status: StepStatus
    codes: frozenset[str] = frozenset()
    attempts: int = 0
    output: object = None
    parts: Mapping[str, tuple[StepStatus, int]] | None = field(default_factory=dict)
    is_substituted: bool = False
    changed: frozenset[int] = frozenset()

    @property
    def is_left_out(self) -> bool:
        """Whether nothing went wrong, though it did not run."""
        return self.status is SKIPPED and self.codes <= LEFT_OUT

    @property
    def is_passed_by(self) -> bool:
        """Whether only a branch leads to it that is not taken."""
        return self.status is SKIPPED and self.codes == {NOT_TAKEN}


class Oracle:
    """What the steps of one plan come to, in a run that is given this seed.

    Args:
        flow: The plan.
        seed: Of a pipeline inside a step: the item or the round that it is for.
        given: Place -> the output of a step that does not run, but has it from elsewhere.
        aside: The places of the steps that do not run, and have none.
    """

    def __init__(
        self,
        flow: FlowPlan,
        *,
        seed: object = None,
        given: Mapping[int, object] | None = None,
        aside: Collection[int] = (),
    ) -> None:
        self.flow = flow
        self._seed = seed
        self._given = given or {}
        self._aside = aside
        self._own: dict[int, Expected] = {}
        self._final: dict[int, Expected] = {}

    def final(self, place: int) -> Expected:
        """Return what the step at `place` comes to in the end, with what takes its place if it fails."""
        if place not in self._final:
            self._final[place] = self._replaced(place, self._before_fallback(place))
        return self._final[place]

    def places(self) -> list[int]:
        """Return the places of all steps, those behind that are added."""
        own = [*range(len(self.flow.steps))]
        return own + sorted(place_of_added(place, part) for place in own for part in self._adding(place))

    def all(self) -> dict[str, Expected]:
        """Return step name -> what it comes to."""
        return {self.flow.name(place): self.final(place) for place in self.places()}

    def inner(self, place: int, seed: object = None) -> "Oracle":
        """Return what the steps of the pipeline inside a step come to."""
        flow = self.flow.steps[place].inner
        assert flow is not None
        return Oracle(flow, seed=seed)

    def inners(self, place: int) -> "Iterator[tuple[str, Oracle]]":
        """Yield the parts of a step with a pipeline, "" for the step itself, and what that comes to in each."""
        expected, plan = self.final(place), plan_of(self.flow, place)
        if plan.inner is None:
            return
        if plan.rounds is None and plan.parts is None:
            if expected.attempts:
                yield "", self.inner(place)
            return
        for part in expected.parts or {}:
            if part.isdigit():
                yield part, self.inner(place, int(part) if plan.rounds is not None else self._item(place, int(part)))

    def status(self) -> RunStatus:
        """Return what the run comes to."""
        places = self.places()
        stands_in = {place for place in places if self.flow.stands_in_for(place) is not None}
        if all(self._end(place).is_well for place in places if place not in stands_in):
            return RunStatus.COMPLETED
        is_part_done = any(self.final(place).status is COMPLETED for place in self._sinks())
        return RunStatus.PARTIAL if is_part_done else RunStatus.FAILED

    def final_outputs(self) -> list[object]:
        """Return the output of the last step behind which there is none, of those to which the run came.

        Of several that were added any may be the last one, unless the definition says which it is.
        """
        if self.flow.final is not None:
            return [self.final(self.flow.final).output]
        ends = [place for place in self._sinks() if self.final(place).codes not in ({NOT_TAKEN}, {NOT_SELECTED})]
        added = [place for place in ends if place >= ADDED]
        found = [self.final(place) for place in added or ends[-1:]]
        return [end.output if end.status is COMPLETED else None for end in found] or [None]

    def deps(self, place: int) -> tuple[DepPlan, ...]:
        """Return what a step waits for once others have changed that."""
        return deps_of(self.flow, place, self._changed)

    def _sinks(self) -> list[int]:
        places = self.places()
        waited_for = {dep.source for place in places for dep in self.deps(place)}
        return [it for it in places if it not in waited_for and self.flow.stands_in_for(it) is None]

    def _changed(self, place: int) -> frozenset[int]:
        return self.final(place).changed

    def _adding(self, place: int) -> frozenset[int]:
        """Return which parts of a step have added one."""
        change = self.flow.steps[place].change
        return self._changed(place) if change is not None and change.adds else frozenset()

    def _end(self, place: int) -> End:
        it = self.final(place)
        is_optional = plan_of(self.flow, place).is_optional
        is_aside = it.codes == {NOT_SELECTED}
        return End(it.status, it.is_left_out, it.is_passed_by, is_aside, is_optional, it.output)

    def _before_fallback(self, place: int) -> Expected:
        if place not in self._own:
            self._own[place] = self._without_fallback(place)
        return self._own[place]

    def _replaced(self, place: int, own: Expected) -> Expected:
        plan = plan_of(self.flow, place)
        if own.status is not FAILED or not plan.fallback:
            return own
        output: object = SUBSTITUTE
        if plan.fallback == "step":
            other = self.final(place + 1)
            if other.status is not COMPLETED:
                return own
            output = other.output
        return Expected(COMPLETED, own.codes, own.attempts, output, own.parts, is_substituted=True, changed=own.changed)

    def _without_fallback(self, place: int) -> Expected:
        plan = plan_of(self.flow, place)
        if place in self._given:
            return Expected(COMPLETED, output=self._given[place])
        if place in self._aside:
            return Expected(SKIPPED, frozenset({NOT_SELECTED}))
        if skipped := self._why_skipped(place, plan):
            return Expected(SKIPPED, skipped)
        ends = {self.flow.name(dep.source): self.final(dep.source) for dep in self.deps(place)}
        seen = {name: end.output for name, end in ends.items() if end.status is COMPLETED}
        parts: Parts = {}
        if (stopped := self._by_condition(place, plan, seen, parts)) is not None:
            return stopped
        approval = plan.approval
        if approval is not None and approval.of == "start" and not approval.is_approved:
            return Expected(FAILED, frozenset({"approval.rejected"}), parts=parts)
        end = self._worked(place, plan, seen, parts)
        if approval is None or approval.of == "start" or end.status is not COMPLETED:
            return end
        if not approval.is_approved:
            return replace(end, status=FAILED, codes=frozenset({"approval.rejected"}), output=None, changed=frozenset())
        return replace(end, output=EDITED) if approval.answer == "edit" else end

    def _why_skipped(self, place: int, plan: StepPlan) -> frozenset[str]:
        """Return the codes any of which says why a step is not even considered; none if it is."""
        if plan.enabled in {"no", "off"}:
            return frozenset({"disabled"})
        replaces = self.flow.stands_in_for(place)
        if replaces is not None and not self._may_be_replaced(replaces):
            return frozenset({"not_needed"})
        if is_disabled(self.flow, place, self._changed):
            return frozenset({"disabled"})
        return why_not(self.flow, self.deps(place), self._end)

    def _may_be_replaced(self, place: int) -> bool:
        own = self._before_fallback(place)
        return own.status is FAILED or own.codes == {NOT_SELECTED}

    def _by_condition(self, place: int, plan: StepPlan, seen: Mapping[str, object], parts: Parts) -> Expected | None:
        """Return what the step comes to if its condition does not let it run; note the part that judges it."""
        condition = plan.condition
        asked = [dep for dep in plan.deps if dep.kind == "asked"]
        if asked:
            parts["<condition>"] = (COMPLETED, 1)
        if not all(is_met(dep, seen[self.flow.name(dep.source)]) for dep in asked):
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
            holds, code = self._said(condition, seen), "pipeline.condition"
            if holds is None and asked:
                parts["<condition>"] = (FAILED, 1)
        if holds is None:
            return Expected(FAILED, frozenset({code}), parts=parts)
        return None if holds else Expected(SKIPPED, frozenset({"condition_false"}), parts=parts)

    def _said(self, condition: ConditionPlan, seen: Mapping[str, object]) -> bool | None:
        """Return what a condition that is a text comes to; None if it cannot be answered."""
        if condition.kind in {"on", "off"}:
            return INPUTS[condition.kind] is True
        name = self.flow.name(condition.source)
        if name not in seen:
            return False if condition.kind == "has" else None
        number = _n(seen[name])
        return None if number is None else number > THRESHOLD

    def _worked(self, place: int, plan: StepPlan, seen: Mapping[str, object], parts: Parts) -> Expected:
        """Return what the work of a step comes to."""
        if plan.parts is not None:
            return self._merged(place, plan, plan.parts, seen, parts)
        if plan.rounds is not None:
            return self._repeated(place, plan, plan.rounds, seen, parts)
        if plan.inner is not None:
            output, works = self._inside(place, None)
            codes = frozenset() if works else frozenset({"step.pipeline"})
            return Expected(COMPLETED if works else FAILED, codes, 1, output, parts)
        if plan.cache is not None:
            return Expected(COMPLETED, frozenset(), 1, output_of(plan.cache.number, {}), parts)
        router, work = plan.router, plan.work
        if router is not None and router.condition is not None:
            work = router.condition.work
        attempts, why = plan.worked(work)
        works = not why
        if router is not None and (router.kind != "function" or works):
            return self._routed(router, seen, attempts, works=works, parts=parts, max_retries=plan.max_retries)
        if not works:
            return Expected(FAILED, frozenset({why}), attempts, parts=parts)
        if plan.is_refused(0):
            return Expected(FAILED, frozenset({"pipeline.change"}), attempts, parts=parts)
        changed = frozenset({0} if plan.changes(0) else ())
        return Expected(COMPLETED, frozenset(), attempts, output_of(place, seen, self._seed), parts, changed=changed)

    def _routed(
        self,
        router: RouterPlan,
        seen: Mapping[str, object],
        attempts: int,
        *,
        works: bool,
        parts: Parts,
        max_retries: int,
    ) -> Expected:
        """Return what comes of a router that has its dependencies."""
        output: object
        condition = router.condition
        if condition is not None and condition.kind == "function":
            if not works:
                return Expected(FAILED, frozenset({"step.failed"}), attempts, parts=parts)
            return Expected(COMPLETED, frozenset(), attempts, "then" if holds_for(seen) else "otherwise", parts)
        if condition is not None:
            holds = self._said(condition, seen)
            if holds is None:
                return Expected(FAILED, frozenset({"pipeline.condition"}), 1, parts=parts)
            return Expected(COMPLETED, frozenset(), 1, "then" if holds else "otherwise", parts)
        if router.kind == "switch":
            attempts = 1
            read = seen[self.flow.name(router.source)]
            assert isinstance(read, dict)
            output = read[router.field]
            named = str(output).lower() if isinstance(output, bool) else output
        else:
            output = named = route_of(seen)
        if named in router.routes and named != "default":
            return Expected(COMPLETED, frozenset(), attempts, named, parts)
        if router.has_default:
            return Expected(COMPLETED, frozenset(), attempts, output if router.kind == "function" else "default", parts)
        return Expected(FAILED, frozenset({"step.route"}), attempts, parts=parts)

    def _inside(self, place: int, seed: object) -> tuple[object, bool]:
        """Return what the pipeline inside a step gives, and whether it comes to a good end."""
        inner = self.inner(place, seed)
        works = inner.status() is RunStatus.COMPLETED
        return (inner.final_outputs()[0] if works else None), works

    def _repeated(
        self, place: int, plan: StepPlan, rounds: RoundsPlan, seen: Mapping[str, object], known: Parts
    ) -> Expected:
        previous: object = None
        changed = frozenset[int]()
        for number in range(1, (rounds.last or rounds.max_times) + 1):
            if plan.inner is not None:
                attempts = 1
                output, works = self._inside(place, number)
            else:
                attempts, works = rounds.works[(number - 1) % len(rounds.works)].attempts(plan.max_retries)
                output, works = round_output(place, seen, previous, number), works and not plan.is_refused(number - 1)
            known[str(number)] = (COMPLETED if works else FAILED, attempts)
            if not works:
                return Expected(FAILED, frozenset({"step.parts"}), parts=known, changed=changed)
            previous, changed = output, changed | ({number - 1} if plan.changes(number - 1) else set())
        if rounds.last is None and not rounds.is_kept:
            return Expected(FAILED, frozenset({"step.not_reached"}), 1, parts=known, changed=changed)
        return Expected(COMPLETED, frozenset(), 1, previous, known, changed=changed)

    def _merged(
        self, place: int, plan: StepPlan, parts: PartsPlan, seen: Mapping[str, object], known: Parts
    ) -> Expected:
        outputs: dict[str, object] = {}
        changed = frozenset[int]()
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
                if plan.inner is not None:
                    attempts = 1
                    output, works = self._inside(place, item)
                else:
                    attempts, works = parts.works[index % len(parts.works)].attempts(plan.max_retries)
                    output, works = part_output(place, item, index), works and not plan.is_refused(index)
                known[name] = (COMPLETED if works else FAILED, attempts)
                failed += not works
                if works:
                    outputs[name] = output
                    changed |= {index} if plan.changes(index) else set()
            if failed > _allowed(parts.min_success, len(items)):
                return Expected(FAILED, frozenset({"step.parts"}), parts=None, changed=changed)
        gives_list = parts.shape in {"items", "things", "branches"}
        if parts.merge == "broken":
            code = frozenset({"step.failed"})
            return Expected(FAILED, code, plan.max_retries + 1, parts=known, changed=changed)
        if parts.merge == "default":
            merged = list(outputs.values()) if gives_list else outputs
            return Expected(COMPLETED, frozenset(), 1, merged, known, changed=changed)
        named = {str(number): value for number, value in enumerate(outputs.values())} if gives_list else outputs
        return Expected(COMPLETED, frozenset(), 1, output_of(place, named), known, changed=changed)

    def _item(self, place: int, index: int) -> object:
        parts = self.flow.steps[place].parts
        assert parts is not None
        items = INPUTS["things"]
        if parts.shape == "items":
            found = self.final(parts.source).output
            items = found["items"] if isinstance(found, dict) else []
        assert isinstance(items, list)
        return items[index]

    def _items(self, parts: PartsPlan, seen: Mapping[str, object]) -> dict[str, int] | None:
        """Return part -> the item that it is for."""
        match parts.shape:
            case "items":
                found = seen[self.flow.name(parts.source)]
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


def plan_of(flow: FlowPlan, place: int) -> StepPlan:
    """Return the plan of a step, also of one that another one adds."""
    if place < ADDED:
        return flow.steps[place]
    change = flow.steps[adder_of(place)[1]].change
    assert change is not None
    return StepPlan(work=change.work)


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
