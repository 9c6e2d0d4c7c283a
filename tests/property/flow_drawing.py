"""How plans are drawn: any mix of what a definition may say, and nothing that validation would refuse."""

from dataclasses import dataclass, replace
from typing import Literal

from hypothesis import strategies as st

from property.flow_plans import (
    ANY_TIME,
    SOFT_KINDS,
    TIMELESS,
    ApprovalPlan,
    CachePlan,
    ChangePlan,
    ConditionPlan,
    DepKind,
    DepPlan,
    FlowPlan,
    PartsPlan,
    RoundsPlan,
    RouterPlan,
    StepPlan,
    WorkPlan,
)
from tagent.pipeline import ExecutionMode

NEEDS_OUTPUT = frozenset({"data", "item", "valid", "check", "asked"})
"""The dependencies on what a step gives."""


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
easy = st.builds(
    WorkPlan,
    failures=st.sampled_from([0, 0, 0, 0, 0, 1]),
    is_broken=sometimes(30),
    seconds=st.sampled_from([0.0, 0.0, 1.0, 4.0]),
    turns=st.integers(0, 3),
)
gentle = st.builds(WorkPlan, failures=st.sampled_from([0, 0, 0, 1]), is_broken=sometimes(12), turns=st.integers(0, 2))

rounds = st.builds(
    RoundsPlan,
    works=st.lists(gentle, min_size=1, max_size=3).map(tuple),
    max_times=st.integers(1, 4),
    reached_in=st.integers(1, 5),
    until=st.sampled_from(["text", "text", "function", "vain", "none"]),
    is_kept=st.booleans(),
)

approvals = st.builds(
    ApprovalPlan,
    of=st.sampled_from(["start", "output"]),
    answer=st.sampled_from(["yes", "yes", "no", "edit", "late"]),
    default=st.sampled_from(["approve", "reject"]),
    seconds=st.sampled_from([0.0, 0.0, 1.0, 4.0]),
)


FEATURES = ("router", "rounds", "approval", "inner", "change", "cache")


@dataclass(frozen=True)
class Mood:
    """What the steps of one plan have more of than others.

    Attributes:
        is_calm: Whether most of them work.
        focus: The feature that many of them have; empty for none.
    """

    is_calm: bool = False
    focus: str = ""


moods = st.sampled_from(("", "", *FEATURES)).map(lambda focus: Mood(is_calm=bool(focus), focus=focus))


@st.composite
def _deps(draw: st.DrawFn, sources: list[int], kinds: tuple[DepKind, ...], texts: set[int]) -> tuple[DepPlan, ...]:
    chosen = draw(st.lists(st.sampled_from(sources), max_size=4, unique=True)) if sources else []
    waits = st.sampled_from([0.0, 1.0, 3.0])
    deps = [(source, draw(st.sampled_from(kinds))) for source in sorted(chosen)]
    # Nobody may ask for a field of what is known to be a text.
    plain = [(s, "hard" if s in texts and kind in {"data", "item", "valid", "check"} else kind) for s, kind in deps]
    return tuple(DepPlan(source, kind, draw(waits) if kind == "patient" else 0.0) for source, kind in plain)


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
def _condition(draw: st.DrawFn, sources: list[int], *, is_of_router: bool = False) -> ConditionPlan:
    kinds = ["on", "off", "function", *(["text", "text", "has", "has"] if sources else [])]
    kind = draw(st.sampled_from(kinds if is_of_router else [*kinds, "writing", "model"]))
    source = draw(st.sampled_from(sources)) if sources else 0
    holds = draw(st.sampled_from([True, True, False, None]))
    return ConditionPlan(kind, source, holds, draw(gentle))  # type: ignore[arg-type]  # a literal


@st.composite
def _router(draw: st.DrawFn, hard: list[int]) -> RouterPlan:
    kinds: list[Literal["when", "switch", "function"]] = ["when", "when", "function"]
    kind = draw(st.sampled_from([*kinds, "switch"] if hard else kinds))
    return RouterPlan(
        kind,
        draw(_condition(hard, is_of_router=True)) if kind == "when" else None,
        draw(st.sampled_from(hard)) if kind == "switch" else 0,
        draw(st.sampled_from(["kind", "kind", "valid", "n"])) if kind == "switch" else "kind",
        draw(sometimes(2)) if kind != "when" else False,
    )


@st.composite
def _step(draw: st.DrawFn, sources: list[int], kinds: tuple[DepKind, ...], texts: set[int], mood: Mood) -> StepPlan:
    deps = draw(_deps(sources, ("hard", "hard", "hard", *kinds) if mood.is_calm else kinds, texts))
    soft = {dep.source for dep in deps if dep.kind in SOFT_KINDS}
    readable = [source for source in sources if source not in texts]
    condition = draw(_condition(readable)) if draw(sometimes(4)) else None
    modes = [ExecutionMode.CONCURRENT, ExecutionMode.SERIAL, ExecutionMode.PARALLEL_MERGE]
    is_judged = condition is not None and condition.kind == "model"
    mode = ExecutionMode.CONDITIONAL if is_judged else draw(st.sampled_from(modes))
    parts = None
    hard = [source for source in readable if source not in soft]
    if mode is ExecutionMode.PARALLEL_MERGE:
        parts = draw(_parts(hard, has_deps=bool(deps)))
    elif condition is not None and draw(st.booleans()):
        mode = ExecutionMode.CONDITIONAL
    step = StepPlan(
        deps=deps,
        mode=mode,
        work=draw(easy if mood.is_calm else works),
        condition=condition,
        enabled=draw(st.sampled_from(["yes"] * (29 if mood.is_calm else 9) + ["on", "off", "no"])),
        is_optional=draw(sometimes(6)),
        fallback=draw(st.sampled_from([""] * (12 if mood.is_calm else 4) + ["output", "step"])),
        compensation=draw(st.none() | works),
        max_retries=draw(st.integers(1 if mood.is_calm else 0, 2)),
        timeout=draw(st.sampled_from([None] * 5 + [1.5, 3.0])),  # no work takes just as long
        parts=parts,
    )
    return draw(_more(step, hard, mood))


@st.composite
def _more(draw: st.DrawFn, step: StepPlan, hard: list[int], mood: Mood) -> StepPlan:
    """Draw what else a step may be: a router, repeated, kept, one that changes others; and whether it is approved."""
    often = [mood.focus] * 8 if mood.focus in {"router", "rounds", "cache", "change"} else []
    is_one_of_many = mood.focus == "change" or draw(sometimes(4))
    kind = draw(st.sampled_from(["", "", "", *often, "router", "router", "rounds", "cache", "change"]))
    if step.parts is None:
        match kind:
            case "router":
                step = replace(step, router=draw(_router(hard)))
            case "rounds":
                step = replace(step, rounds=draw(rounds), change=ChangePlan() if is_one_of_many else None)
            case "cache":
                kept = CachePlan(draw(st.sampled_from([0, 0, 0, 1, 1, 2, 3])))
                step = replace(step, cache=kept, compensation=None)  # who did nothing has nothing to undo
            case "change":
                step = replace(step, change=ChangePlan())
            case _:
                pass
    elif step.parts.shape != "none" and is_one_of_many:
        step = replace(step, change=ChangePlan())
    if draw(sometimes(2 if mood.focus == "approval" else 8)):
        approval = draw(approvals)
        is_typed = step.router is not None or step.parts is not None
        if approval.answer == "edit" and (approval.of == "start" or is_typed):
            approval = replace(approval, answer="yes")
        step = replace(step, approval=approval)
    return step


@st.composite
def flows(
    draw: st.DrawFn,
    *,
    most: int = 40,
    kinds: tuple[DepKind, ...] = TIMELESS,
    on_failure: tuple[str, ...] = ("continue",),
    prefix: str = "s",
    depth: int = 2,
    has_deadlines: bool = False,
) -> FlowPlan:
    """Draw a pipeline of up to `most` steps; what takes the place of others waits for nothing that waits for those.

    What is done again behind a crash may be over its deadline then, which it was not before.
    """
    size, mood = draw(st.integers(1, most)), draw(moods)
    steps: list[StepPlan] = []
    first = 0  # of a chain of steps each of which takes the place of the one before
    while len(steps) < size or steps[-1].fallback == "step":
        stands_in = bool(steps) and steps[-1].fallback == "step"
        if not stands_in:
            first = len(steps)
        texts = {place for place, known in enumerate(steps) if known.gives_text}
        step = draw(_step(list(range(first)), kinds, texts, mood))
        if steps and not stands_in and steps[-1].change is not None and draw(st.booleans()):
            step = _behind(step, len(steps) - 1)
        if (len(steps) >= size - 1 or step.gives_text) and step.fallback == "step":
            step = replace(step, fallback="")
        if step.router is not None and step.fallback == "output":
            step = replace(step, fallback="")
        if not stands_in:
            step = draw(_routed(step, steps))
        step = _narrowed(step, _behind_routers(steps))
        one_in = 3 if mood.focus == "inner" or prefix != "s" else 10
        if depth and _may_have_inner(step) and draw(sometimes(one_in)):
            name = f"{prefix}{len(steps)}x"
            below = flows(most=4, kinds=kinds, prefix=name, depth=depth - 1, has_deadlines=has_deadlines)
            step = replace(step, inner=draw(below))
            # How far that comes in time is a matter of time.
            step = replace(step, timeout=step.timeout if "patient" in kinds else None)
            if step.rounds is not None and step.rounds.until == "text":  # which reads a field that only functions give
                step = replace(step, rounds=replace(step.rounds, until="function"))
        steps.append(draw(_in_a_hurry(step)) if has_deadlines else step)
    return draw(_changed(_without_idle_routers(FlowPlan(tuple(steps), draw(st.sampled_from(on_failure)), prefix))))


@st.composite
def _in_a_hurry(draw: st.DrawFn, step: StepPlan) -> StepPlan:
    """Draw whether all attempts at the work of a step have to come to an end in time."""
    may_be = step.is_plain_work and step.condition is None and step.approval is None
    return replace(step, deadline=3.25) if may_be and draw(sometimes(4)) else step  # nothing ends just then


def _behind(step: StepPlan, place: int) -> StepPlan:
    """Return a step that waits for nothing but the one at a place, which may change it."""
    condition = None if step.condition is not None and step.condition.reads else step.condition
    parts = replace(step.parts, shape="things") if step.parts is not None else None
    router = step.router
    if router is not None and (router.kind == "switch" or (router.condition is not None and router.condition.reads)):
        router = None
    is_free = condition is None and step.mode is ExecutionMode.CONDITIONAL
    mode = ExecutionMode.CONCURRENT if is_free else step.mode
    deps = (DepPlan(place, "hard"),)
    return replace(step, deps=deps, mode=mode, condition=condition, parts=parts, router=router, enabled="yes")


def _behind_routers(steps: list[StepPlan]) -> set[int]:
    """Return the places of the steps that may depend on which route is taken."""
    flow, found = FlowPlan(tuple(steps)), set[int]()
    for place in range(len(steps)):
        deps = [dep for dep in flow.all_deps(place) if dep.kind not in SOFT_KINDS]
        if any(dep.kind == "route" or dep.source in found for dep in deps):
            found.add(place)
    return found


def _narrowed(step: StepPlan, routed: set[int]) -> StepPlan:
    """Return a step that does not need the outputs of two steps of which no run might have both."""
    left = 0 if any(dep.kind == "route" for dep in step.deps) else 1
    parts, router = step.parts, step.router
    if parts is not None and parts.shape == "items" and parts.source in routed:
        step = step if left else replace(step, parts=replace(parts, shape="things"))
        left = 0
    if router is not None and router.kind == "switch" and router.source in routed:
        step = step if left else replace(step, router=replace(router, kind="function"))
        left = 0
    deps: list[DepPlan] = []
    for dep in step.deps:
        if dep.kind in NEEDS_OUTPUT and dep.source in routed:
            deps.append(dep if left else replace(dep, kind="hard"))
            left = 0
        else:
            deps.append(dep)
    return replace(step, deps=tuple(deps))


def _may_have_inner(step: StepPlan) -> bool:
    if step.router is not None or step.change is not None or step.cache is not None:
        return False
    if step.condition is not None and step.condition.kind == "model":  # it judges constraints, of which there are none
        return False
    return step.parts is None or step.parts.shape in {"items", "things"}


@st.composite
def _routed(draw: st.DrawFn, step: StepPlan, before: list[StepPlan]) -> StepPlan:
    """Draw which routers start a step; of each it has no other dependency then."""
    routers = [place for place, known in enumerate(before) if known.router is not None]
    if not routers or not draw(sometimes(2)):
        return step
    deps = list(step.deps)
    for source in draw(st.lists(st.sampled_from(routers), min_size=1, max_size=2, unique=True)):
        router = before[source].router
        assert router is not None
        routes = draw(st.lists(st.sampled_from(router.routes), min_size=1, max_size=2, unique=True))
        deps = [dep for dep in deps if dep.source != source]
        deps.append(DepPlan(source, "route", routes=tuple(sorted(routes))))
    has_nothing = step.parts is not None and step.parts.shape == "none" and all(dep.kind == "route" for dep in deps)
    return step if has_nothing else replace(step, deps=tuple(deps))


def _without_idle_routers(flow: FlowPlan) -> FlowPlan:
    """Return the plan with plain steps in the place of routers that start nothing."""
    idle = {place for place, step in enumerate(flow.steps) if step.router and not any(flow.routes_of(place).values())}
    return replace(flow, steps=tuple(replace(s, router=None) if n in idle else s for n, s in enumerate(flow.steps)))


@st.composite
def _changed(draw: st.DrawFn, flow: FlowPlan) -> FlowPlan:
    """Draw what the steps that change others change.

    Only a step is changed that waits for nothing else that settles, so that it cannot have its final status too early.
    """
    steps = list(flow.steps)
    free = [place for place, step in enumerate(steps) if _is_free(flow, place, step)]
    for place, step in enumerate(steps):
        if step.change is None:
            continue
        targets = [t for t in free if [d.source for d in steps[t].deps if d.kind == "hard"] == [place]]
        target = draw(st.sampled_from([None, *targets * 3])) if targets else None
        adds = draw(st.booleans())
        has_target = target is not None
        parts = (0,) if step.is_whole else tuple(sorted(draw(st.sets(st.integers(0, 2), min_size=1))))
        change = ChangePlan(
            parts=parts,
            adds=adds,
            waits=adds and draw(st.booleans()),
            work=draw(gentle),
            target=target,
            is_linked=adds and has_target and draw(st.booleans()),
            # What begins while others of the parts are to change it may have begun too early for them.
            is_unlinked=has_target and len(parts) == 1 and draw(sometimes(3)),
            enabled=draw(st.sampled_from([None, None, True, False])) if has_target else None,
            is_wrong=draw(
                st.sampled_from(["", "", "", "", "", "", "", "name", "started", *(["cycle"] if has_target else [])])
            ),
        )
        steps[place] = _to_the_end(replace(step, change=change))
    return replace(flow, steps=tuple(steps))


def _to_the_end(step: StepPlan) -> StepPlan:
    """Return a step of which all parts run that change others, however many fail: else time would say which."""
    parts, changing = step.parts, step.change.parts if step.change is not None else ()
    if parts is None:
        return step
    may_fail = any(work.is_broken or work.failures for work in parts.works)
    is_refused = len(changing) > 1 and any(map(step.is_refused, changing))
    return replace(step, parts=replace(parts, min_success=0)) if may_fail or is_refused else step


def _is_free(flow: FlowPlan, place: int, step: StepPlan) -> bool:
    """Return whether only what a step waits for HARD can decide what becomes of it before it starts."""
    others = [dep for dep in flow.all_deps(place) if dep.kind not in {"hard", "soft"}]
    hard = [dep for dep in flow.all_deps(place) if dep.kind == "hard"]
    return not others and len(hard) == 1 and step.enabled == "yes" and flow.stands_in_for(place) is None


def _rolled_back(flow: FlowPlan) -> FlowPlan:
    """Return a pipeline that fails late, so that there is something to undo."""
    steps = tuple(
        replace(
            step,
            is_optional=place % 4 != 3,
            compensation=None if step.cache else step.compensation or WorkPlan(failures=place % 2),
        )
        for place, step in enumerate(flow.steps)
    )
    return replace(flow, steps=(*steps, StepPlan(work=WorkPlan(is_broken=True, seconds=20.0))))


rollbacks = flows(kinds=ANY_TIME, on_failure=("rollback",)).map(_rolled_back)
"""Pipelines of which most steps have something to undo when they fail."""
