"""Plans of generated pipelines: what each step waits for, how it behaves, what becomes of it when it fails.

A plan is plain data, so that an oracle can read it as a person would read the definition.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Literal

from tagent.pipeline import ExecutionMode

DepKind = Literal["hard", "skip", "data", "item", "list", "text", "soft", "patient", "valid", "check", "asked", "route"]
"""`skip` is HARD with `on_skip="skip"`; `data`, `item`, `list` and `text` are DATA with the paths `n`, `items[1]`,
`items` and the one by which a switch goes; `patient` is SOFT with `wait_seconds`; `valid`, `check` and `asked` are
VALIDATION by a field, a text, a function; `route` is what a router starts."""

TIMELESS: tuple[DepKind, ...] = ("hard", "hard", "skip", "data", "item", "soft", "valid", "check", "asked")

ANY_TIME: tuple[DepKind, ...] = (*TIMELESS, "patient", "patient")

SOFT_KINDS = ("soft", "patient")

ConditionKind = Literal["text", "has", "on", "off", "function", "writing", "model"]
"""`text` and `has` read a step; `on` and `off` are inputs; `writing` is a function that writes into the memory."""

ADDED = 1000
"""From this place on steps are that others add: those that the one at the place 3 adds are at 1003, 2003, ..."""


class Plan:
    """Shown as what is special about it, so that a failing example can be read."""

    def __repr__(self) -> str:
        told = [
            f"{it.name}={getattr(self, it.name)!r}"
            for it in fields(self)  # type: ignore[arg-type]  # each plan is a dataclass
            if getattr(self, it.name) != it.default
        ]
        return f"{type(self).__name__}({', '.join(told)})"


@dataclass(frozen=True, repr=False)
class DepPlan(Plan):
    """A dependency on the step at a place: for `text` with a field of its output, for `route` with routes of its."""

    source: int
    kind: DepKind
    wait_seconds: float = 0.0
    field: str = ""
    routes: tuple[str, ...] = ()


@dataclass(frozen=True, repr=False)
class WorkPlan(Plan):
    """How a function behaves: how often it fails before it works, how long an attempt takes."""

    failures: int = 0
    is_broken: bool = False
    seconds: float = 0.0
    turns: int = 0

    def attempts(self, max_retries: int) -> tuple[int, bool]:
        """Return how many attempts are made, and whether the last one succeeds."""
        if self.is_broken:
            return 1, False
        return min(self.failures, max_retries) + 1, self.failures <= max_retries


@dataclass(frozen=True, repr=False)
class ConditionPlan(Plan):
    """When a step runs; `source` is the step that a text reads, `holds` what the model says, None for no answer."""

    kind: ConditionKind
    source: int = 0
    holds: bool | None = True
    work: WorkPlan = WorkPlan()

    @property
    def reads(self) -> bool:
        """Whether it reads a step."""
        return self.kind in {"text", "has"}


@dataclass(frozen=True, repr=False)
class PartsPlan(Plan):
    """The parts of a PARALLEL_MERGE step.

    Attributes:
        shape: Items of the list that the step at the place `source` gives, items of the input `things`, branches, or
            none: then it merges its dependencies.
        works: How they behave, in turn.
        merge: A function, the default, or a function that fails.
    """

    shape: Literal["items", "things", "branches", "named", "none"]
    source: int
    works: tuple[WorkPlan, ...]
    merge: Literal["function", "default", "broken"]
    min_success: float | None
    max_concurrency: int


@dataclass(frozen=True, repr=False)
class RouterPlan(Plan):
    """What says which steps run: a condition, the field of an output by which to switch, or what the step itself gives.

    Attributes:
        kind: Which of them.
        condition: Of a `when`.
        source: Of a `switch`: the step that it reads.
        field: Of a `switch`: a text, a boolean, or a number, for which there is no route.
        has_default: Whether there are steps, or none, for any other output.
    """

    kind: Literal["when", "switch", "function"]
    condition: ConditionPlan | None = None
    source: int = 0
    field: Literal["kind", "valid", "n"] = "kind"
    has_default: bool = False

    @property
    def routes(self) -> tuple[str, ...]:
        """The routes that may lead somewhere."""
        if self.kind == "when":
            return "then", "otherwise"
        named = ("true", "false") if self.kind == "switch" and self.field == "valid" else ("a", "b")
        return (*named, "default") if self.has_default else named


@dataclass(frozen=True, repr=False)
class RoundsPlan(Plan):
    """Rounds: how the work behaves in each, in turn, and in which one it reaches what it is repeated for.

    `until` says who sees that: a text, one that reads an input that is false, a function, or nobody.
    """

    works: tuple[WorkPlan, ...]
    max_times: int
    reached_in: int
    until: Literal["text", "vain", "function", "none"]
    is_kept: bool

    @property
    def last(self) -> int | None:
        """The round in which it is reached; None for never."""
        if self.until == "none":
            return self.max_times
        return self.reached_in if self.until != "vain" and self.reached_in <= self.max_times else None


@dataclass(frozen=True, repr=False)
class ApprovalPlan(Plan):
    """A word that a step waits for.

    Attributes:
        of: Whether it starts, or its output.
        answer: What is said: `edit` is a yes to something else; `late` is nothing, until the time is over.
        default: What counts then.
        seconds: After how long it is said.
    """

    of: Literal["start", "output"]
    answer: Literal["yes", "no", "edit", "late"]
    default: Literal["approve", "reject"] = "reject"
    seconds: float = 0.0

    @property
    def is_approved(self) -> bool:
        """Whether the step goes on."""
        return self.default == "approve" if self.answer == "late" else self.answer != "no"


@dataclass(frozen=True, repr=False)
class ChangePlan(Plan):
    """What a step changes about others when it succeeds.

    Attributes:
        parts: By which of its items, branches or rounds, from 0, each when that succeeds; of a step without any, (0,).
        adds: Whether each of them adds a step.
        waits: Whether that depends on the step itself.
        target: The place of a step that waits for it; what follows is about that. None for none.
        is_linked: Whether that depends on what is added.
        is_unlinked: Whether it no longer depends on the step itself; the first part says so.
        enabled: Whether the run has it from now on; None leaves it. The first part says so.
        is_wrong: Whether the last part also asks for something impossible: then all that it asks for is refused.
    """

    parts: tuple[int, ...] = (0,)
    adds: bool = False
    waits: bool = False
    work: WorkPlan = WorkPlan()
    target: int | None = None
    is_linked: bool = False
    is_unlinked: bool = False
    enabled: bool | None = None
    is_wrong: Literal["", "name", "cycle", "started"] = ""

    def changes_target(self, part: int) -> bool:
        """Return whether a part has anything another way about the target."""
        return self.is_linked or (part == self.parts[0] and (self.is_unlinked or self.enabled is not None))

    def changes_something(self, part: int) -> bool:
        """Return whether a part changes anything at all."""
        return part in self.parts and (self.adds or self.changes_target(part))

    def is_refused(self, part: int) -> bool:
        """Return whether a part asks for something that cannot be."""
        return part == self.parts[-1] and bool(self.is_wrong)


@dataclass(frozen=True, repr=False)
class CachePlan(Plan):
    """A work that several steps have: its number. Even ones are kept for ever, odd ones within the run."""

    number: int

    @property
    def is_forever(self) -> bool:
        """Whether another run has it too."""
        return self.number % 2 == 0


@dataclass(frozen=True, repr=False)
class StepPlan(Plan):
    """A step. One whose `fallback` is a step has it at the next place.

    `timeout` is how long an attempt may take, and `deadline` all of them together, in seconds.
    """

    deps: tuple[DepPlan, ...] = ()
    mode: ExecutionMode = ExecutionMode.CONCURRENT
    work: WorkPlan = WorkPlan()
    condition: ConditionPlan | None = None
    enabled: Literal["yes", "no", "on", "off"] = "yes"
    is_optional: bool = False
    fallback: Literal["", "output", "step"] = ""
    compensation: WorkPlan | None = None
    max_retries: int = 1
    timeout: float | None = None
    deadline: float | None = None
    parts: PartsPlan | None = None
    router: RouterPlan | None = None
    rounds: RoundsPlan | None = None
    approval: ApprovalPlan | None = None
    inner: "FlowPlan | None" = None
    change: ChangePlan | None = None
    cache: CachePlan | None = None

    @property
    def is_plain_work(self) -> bool:
        """Whether a function of its own does its work, once in each attempt."""
        is_of_others = self.parts is not None or self.rounds is not None or self.inner is not None
        return not (is_of_others or self.gives_text or self.cache is not None)

    @property
    def is_whole(self) -> bool:
        """Whether it has no items, branches or rounds, of which each might change others."""
        return self.parts is None and self.rounds is None

    def worked(self, work: WorkPlan) -> tuple[int, str]:
        """Return how many attempts are made at a work, and why the last one fails; empty if it succeeds."""
        attempt, began_at, allowed = 1, 0.0, self.timeout or math.inf
        while True:
            left = max(0.0, (self.deadline or math.inf) - began_at)
            if left < min(work.seconds, allowed):
                return attempt, "budget.exceeded"
            is_slow = work.seconds > allowed
            if not is_slow and (work.is_broken or attempt > work.failures):
                return attempt, "step.failed" if work.is_broken else ""
            if attempt > self.max_retries:
                return attempt, "step.timeout" if is_slow else "step.failed"
            began_at += min(work.seconds, allowed) + 2 ** (attempt - 1)
            attempt += 1

    def part(self, index: int) -> str:
        """Return what its item, branch or round is called that comes at a place, from 0."""
        if self.rounds is not None:
            return str(index + 1)
        return f"b{index}" if self.parts is not None and self.parts.shape == "named" else str(index)

    def changes(self, part: int) -> bool:
        """Return whether a part that works has changed others then; of a step without any that is 0."""
        return self.change is not None and part in self.change.parts and not self.is_refused(part)

    def is_refused(self, part: int) -> bool:
        """Return whether a part that works fails all the same, as what it is to change cannot be.

        What waits for a yes as a whole can change nothing by a part of it.
        """
        change = self.change
        if change is None:
            return False
        is_too_early = not self.is_whole and self.approval is not None and self.approval.of == "output"
        return change.is_refused(part) or (is_too_early and change.changes_something(part))

    @property
    def gives_text(self) -> bool:
        """Whether what it gives is known to be a text."""
        return self.router is not None and self.router.kind != "function"


@dataclass(frozen=True, repr=False)
class FlowPlan(Plan):
    """A pipeline; its steps are named s0, s1, ... by place, and those of a pipeline in s4 then s4x0, s4x1, ..."""

    steps: tuple[StepPlan, ...]
    on_failure: Literal["continue", "fail_fast", "rollback"] = "continue"
    prefix: str = "s"

    def name(self, place: int) -> str:
        """Return what the step at a place is called."""
        if place < ADDED:
            return f"{self.prefix}{place}"
        part, by = adder_of(place)
        return f"{self.prefix}a{by}p{part}" if part else f"{self.prefix}a{by}"

    def place(self, name: str) -> int:
        """Return where the step of this name is."""
        below = name.removeprefix(self.prefix)
        if not below.startswith("a"):
            return int(below)
        by, _, part = below[1:].partition("p")
        return place_of_added(int(by), int(part or 0))

    def stands_in_for(self, place: int) -> int | None:
        """Return the place of the step for which the one at `place` is the fallback; None if for none."""
        return place - 1 if 0 < place < ADDED and self.steps[place - 1].fallback == "step" else None

    def all_deps(self, place: int) -> tuple[DepPlan, ...]:
        """Return what a step waits for: what is declared, its list, and what its conditions read."""
        if place >= ADDED:
            _, by = adder_of(place)
            change = self.steps[by].change
            return (DepPlan(by, "hard"),) if change is not None and change.waits else ()
        step = self.steps[place]
        deps = list(step.deps)
        if step.parts is not None and step.parts.shape == "items":
            deps.append(DepPlan(step.parts.source, "list"))
        router = step.router
        if router is not None and router.kind == "switch":
            deps.append(DepPlan(router.source, "text", field=router.field))
        for condition in (step.condition, router.condition if router is not None else None):
            known = {dep.source for dep in deps if dep.kind != "route"}
            if condition is not None and condition.reads and condition.source not in known:
                deps.append(DepPlan(condition.source, "hard"))
        return tuple(deps)

    def routes_of(self, place: int) -> dict[str, list[int]]:
        """Return route -> the places of the steps that it starts, for the step at a place."""
        router = self.steps[place].router
        found: dict[str, list[int]] = {} if router is None else {route: [] for route in router.routes}
        for target, step in enumerate(self.steps):
            for dep in step.deps:
                if dep.kind == "route" and dep.source == place:
                    for route in dep.routes:
                        found[route].append(target)
        return found

    @property
    def final(self) -> int | None:
        """The place of the step that is said to give the output; None for any, as at most one is added to the end."""
        adding = [len(step.change.parts) for step in self.steps if step.change is not None and step.change.adds]
        return len(self.steps) - 1 if sum(adding) > 1 else None

    def __iter__(self) -> Iterator[tuple[str, StepPlan]]:
        return ((self.name(place), step) for place, step in enumerate(self.steps))


def place_of_added(by: int, part: int) -> int:
    """Return the place of the step that a part of the one at the place `by` adds.

    Example:
        >>> place_of_added(3, 1), adder_of(2003)
        (2003, (1, 3))
    """
    return ADDED * (part + 1) + by


def adder_of(place: int) -> tuple[int, int]:
    """Return by which part of which step, named by its place, the step at `place` is added."""
    part, by = divmod(place, ADDED)
    return part - 1, by
