"""Plans of generated pipelines: what each step waits for, how it behaves, what becomes of it when it fails.

A plan is plain data, so that an oracle can read it as a person would read the definition.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Literal

from hypothesis import strategies as st

from tagent.pipeline import ExecutionMode

DepKind = Literal["hard", "skip", "data", "item", "list", "soft", "patient", "valid", "check", "asked"]
"""`skip` is HARD with `on_skip="skip"`; `data`, `item` and `list` are DATA with the paths `n`, `items[1]` and `items`;
`patient` is SOFT with `wait_seconds`; `valid`, `check` and `asked` are VALIDATION by a field, a text, a function."""

TIMELESS: tuple[DepKind, ...] = ("hard", "hard", "skip", "data", "item", "soft", "valid", "check", "asked")

ANY_TIME: tuple[DepKind, ...] = (*TIMELESS, "patient", "patient")

SOFT_KINDS = ("soft", "patient")

ConditionKind = Literal["text", "has", "on", "off", "function", "writing", "model"]
"""`text` and `has` read a step; `on` and `off` are inputs; `writing` is a function that writes into the memory."""


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
    """A dependency on the step at a place."""

    source: int
    kind: DepKind
    wait_seconds: float = 0.0


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
class StepPlan(Plan):
    """A step. One whose `fallback` is a step has it at the next place."""

    deps: tuple[DepPlan, ...] = ()
    mode: ExecutionMode = ExecutionMode.CONCURRENT
    work: WorkPlan = WorkPlan()
    condition: ConditionPlan | None = None
    enabled: Literal["yes", "no", "on", "off"] = "yes"
    is_optional: bool = False
    fallback: Literal["", "output", "step"] = ""
    compensation: WorkPlan | None = None
    max_retries: int = 1
    parts: PartsPlan | None = None


@dataclass(frozen=True, repr=False)
class FlowPlan(Plan):
    """A pipeline; its steps are named s0, s1, ... by place."""

    steps: tuple[StepPlan, ...]
    on_failure: Literal["continue", "fail_fast", "rollback"] = "continue"

    def stands_in_for(self, place: int) -> int | None:
        """Return the place of the step for which the one at `place` is the fallback; None if for none."""
        return place - 1 if place and self.steps[place - 1].fallback == "step" else None

    def all_deps(self, place: int) -> tuple[DepPlan, ...]:
        """Return what a step waits for: what is declared, its list, and what its condition reads."""
        step = self.steps[place]
        deps = list(step.deps)
        if step.parts is not None and step.parts.shape == "items":
            deps.append(DepPlan(step.parts.source, "list"))
        reads = step.condition is not None and step.condition.kind in {"text", "has"}
        if step.condition is not None and reads and step.condition.source not in {dep.source for dep in deps}:
            deps.append(DepPlan(step.condition.source, "hard"))
        return tuple(deps)

    @property
    def depends_on_time(self) -> bool:
        """Whether when things happen may change what the run comes to."""
        return self.on_failure != "continue" or any(dep.kind == "patient" for step in self.steps for dep in step.deps)

    def __iter__(self) -> Iterator[tuple[str, StepPlan]]:
        return ((f"s{place}", step) for place, step in enumerate(self.steps))


def sometimes(one_in: int) -> st.SearchStrategy[bool]:
    """Return a strategy that is True once in so many times, and False when it shrinks."""
    return st.integers(0, one_in - 1).map(lambda n: n == one_in - 1)


works = st.builds(
    WorkPlan,
    failures=st.sampled_from([0, 0, 0, 1, 2, 3]),
    is_broken=sometimes(8),
    seconds=st.sampled_from([0.0, 0.0, 0.0, 1.0, 2.0, 5.0]),
    turns=st.integers(0, 3),
)
gentle = st.builds(WorkPlan, failures=st.sampled_from([0, 0, 0, 1]), is_broken=sometimes(12), turns=st.integers(0, 2))


@st.composite
def _deps(draw: st.DrawFn, sources: list[int], kinds: tuple[DepKind, ...]) -> tuple[DepPlan, ...]:
    chosen = draw(st.lists(st.sampled_from(sources), max_size=4, unique=True)) if sources else []
    waits = st.sampled_from([0.0, 1.0, 3.0])
    deps = [(source, draw(st.sampled_from(kinds))) for source in sorted(chosen)]
    return tuple(DepPlan(source, kind, draw(waits) if kind == "patient" else 0.0) for source, kind in deps)


@st.composite
def _parts(draw: st.DrawFn, hard: list[int], *, has_deps: bool) -> PartsPlan:
    shapes = ["things", "branches", "named", *(["items", "items"] if hard else []), *(["none"] if has_deps else [])]
    return PartsPlan(
        draw(st.sampled_from(shapes)),
        draw(st.sampled_from(hard)) if hard else 0,
        tuple(draw(st.lists(gentle, min_size=1, max_size=4))),
        draw(st.sampled_from(["function", "function", "default", "broken"])),
        draw(st.sampled_from([None, None, 0, 1, 0.5])),
        draw(st.sampled_from([1, 2, 16])),
    )


@st.composite
def _condition(draw: st.DrawFn, sources: list[int]) -> ConditionPlan:
    kinds = ["on", "off", "function", "writing", "model", *(["text", "text", "has", "has"] if sources else [])]
    kind = draw(st.sampled_from(kinds))
    source = draw(st.sampled_from(sources)) if sources else 0
    holds = draw(st.sampled_from([True, True, False, None]))
    return ConditionPlan(kind, source, holds, draw(gentle))  # type: ignore[arg-type]  # a literal


@st.composite
def _step(draw: st.DrawFn, sources: list[int], kinds: tuple[DepKind, ...]) -> StepPlan:
    deps = draw(_deps(sources, kinds))
    soft = {dep.source for dep in deps if dep.kind in SOFT_KINDS}
    condition = draw(_condition(sources)) if draw(sometimes(4)) else None
    modes = [ExecutionMode.CONCURRENT, ExecutionMode.SERIAL, ExecutionMode.PARALLEL_MERGE]
    is_judged = condition is not None and condition.kind == "model"
    mode = ExecutionMode.CONDITIONAL if is_judged else draw(st.sampled_from(modes))
    parts = None
    if mode is ExecutionMode.PARALLEL_MERGE:
        parts = draw(_parts([source for source in sources if source not in soft], has_deps=bool(deps)))
    elif condition is not None and draw(st.booleans()):
        mode = ExecutionMode.CONDITIONAL
    return StepPlan(
        deps=deps,
        mode=mode,
        work=draw(works),
        condition=condition,
        enabled=draw(st.sampled_from(["yes"] * 9 + ["on", "off", "no"])),
        is_optional=draw(sometimes(6)),
        fallback=draw(st.sampled_from(["", "", "", "", "output", "step"])),
        compensation=draw(st.none() | works),
        max_retries=draw(st.integers(0, 2)),
        parts=parts,
    )


@st.composite
def flows(
    draw: st.DrawFn,
    *,
    most: int = 40,
    kinds: tuple[DepKind, ...] = TIMELESS,
    on_failure: tuple[str, ...] = ("continue",),
) -> FlowPlan:
    """Draw a pipeline of up to `most` steps; what takes the place of others waits for nothing that waits for those."""
    size = draw(st.integers(1, most))
    steps: list[StepPlan] = []
    first = 0  # of a chain of steps each of which takes the place of the one before
    while len(steps) < size or steps[-1].fallback == "step":
        if not (steps and steps[-1].fallback == "step"):
            first = len(steps)
        step = draw(_step(list(range(first)), kinds))
        if len(steps) >= size - 1 and step.fallback == "step":
            step = replace(step, fallback="")
        steps.append(step)
    return FlowPlan(tuple(steps), draw(st.sampled_from(on_failure)))


def _rolled_back(flow: FlowPlan) -> FlowPlan:
    """Return a pipeline that fails late, so that there is something to undo."""
    steps = tuple(
        replace(step, is_optional=place % 4 != 3, compensation=step.compensation or WorkPlan(failures=place % 2))
        for place, step in enumerate(flow.steps)
    )
    return replace(flow, steps=(*steps, StepPlan(work=WorkPlan(is_broken=True, seconds=20.0))))


rollbacks = flows(kinds=ANY_TIME, on_failure=("rollback",)).map(_rolled_back)
"""Pipelines of which most steps have something to undo when they fail."""
