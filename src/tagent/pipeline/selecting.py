"""Which part of a pipeline a run does, and from where the other steps have their outputs. Pure."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

from tagent.exceptions import ConfigurationError, nearest
from tagent.pipeline import bindings
from tagent.pipeline.changes import ChangeBy, added_by, told_change
from tagent.pipeline.course.run_state import PipelineState
from tagent.pipeline.course.skip_codes import NOT_SELECTED
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.kinds import DependencyType, StepStatus
from tagent.pipeline.models import Pipeline
from tagent.pipeline.rules import route_taken

_LONGEST_CHANGE = 200

NOT_ASKED_FOR = "It is not a part of this run."
"""Why a step is skipped that is not selected."""


class SelectionError(PipelineError):
    """The part of a pipeline that a run is to do cannot be done. Nothing of it has run.

    Attributes:
        pipeline: The pipeline's name.
        problems: All that stands in the way.

    Example:
        >>> from tagent import run_pipeline
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> try:
        ...     run_pipeline(report, only=["text"])
        ... except SelectionError as error:
        ...     error.problems
        ("'text' needs the output of 'facts', which is not to run.",)
    """

    code = "run.selection"

    def __init__(self, pipeline: str, problems: Sequence[str], *, hint: str = "") -> None:
        self.pipeline = pipeline
        self.problems = tuple(problems)
        lines = self.problems[0] if len(self.problems) == 1 else "".join(f"\n  - {line}" for line in self.problems)
        super().__init__(f"This part of the pipeline {pipeline!r} cannot be run: {lines}", hint=hint)


@dataclass(frozen=True, slots=True)
class Selection:
    """What somebody asks for: a part of a pipeline, and outputs for steps that are not to run.

    Attributes:
        only: The steps to run; None for all.
        start_from: The steps to begin with, behind which all that depends on them runs; None for the first ones.
        outputs: Step name -> what it is held to have given; it does not run.
        from_run: An earlier run of the pipeline, whose outputs and inputs count where no others are given; empty for
            none.

    Example:
        >>> import asyncio
        >>> from tagent.pipeline import PipelineExecutor
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> executor = PipelineExecutor(report, selection=Selection(start_from=("text",), outputs={"facts": 9}))
        >>> asyncio.run(executor.execute()).final_output
        '9 hills'
    """

    only: tuple[str, ...] | None = None
    start_from: tuple[str, ...] | None = None
    outputs: Mapping[str, object] = field(default_factory=dict)
    from_run: str = ""

    @classmethod
    def of(
        cls,
        only: str | Iterable[str] | None = None,
        start_from: str | Iterable[str] | None = None,
        outputs: Mapping[str, object] | None = None,
        from_run: str | None = None,
    ) -> Self | None:
        """Return the part that the arguments name; None if they name none, so that the whole pipeline runs.

        Raises:
            ConfigurationError: If an argument is something else than that.

        Example:
            >>> Selection.of(start_from="text"), Selection.of()
            (Selection(only=None, start_from=('text',), outputs={}, from_run=''), None)
        """
        if only is None and start_from is None and not outputs and not from_run:
            return None
        if outputs is not None and not isinstance(outputs, Mapping):
            raise ConfigurationError(f"`outputs` is {_kind(outputs)}; it must be a dict from step names to outputs.")
        if from_run is not None and not isinstance(from_run, str):
            raise ConfigurationError(
                f"`from_run` is {_kind(from_run)}; it must be the id of a run, like result.run_id."
            )
        return cls(_names(only), _names(start_from), dict(outputs or {}), from_run or "")


def _names(given: object) -> tuple[str, ...] | None:
    if given is None:
        return None
    named: list[object] = list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]
    names = [name for name in named if isinstance(name, str)]
    for odd in (name for name in named if not isinstance(name, str)):
        raise ConfigurationError(f"Steps are selected by name: a text, nothing {_kind(odd)}.")
    return tuple(dict.fromkeys(names))


def _kind(given: object) -> str:
    return f"of the type {type(given).__name__}"


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """What is known of a run whose outputs are used.

    Attributes:
        run_id: The run.
        pipeline: The name of its pipeline.
        inputs: What it was given, by name, as JSON values.
        statuses: Step name -> where it stands in that run.
        outputs: Step name -> what it gave, for the completed ones: JSON values, or what stands for a large output.
        changes: What its steps changed about it.
        parts: Step that did not complete -> how many of its items, branches or rounds did, if any, and how many it has;
            None where that is not known.
    """

    run_id: str
    pipeline: str
    inputs: Mapping[str, object]
    statuses: Mapping[str, StepStatus]
    outputs: Mapping[str, object]
    changes: Sequence[ChangeBy] = ()
    parts: Mapping[str, tuple[int, int | None]] = field(default_factory=dict)

    @property
    def added(self) -> Mapping[str, str]:
        """Step name -> the step that added it, for those that it was not defined with."""
        return added_by(self.changes)


@dataclass(frozen=True, slots=True)
class Selected:
    """What is made of it.

    Attributes:
        steps: The steps that run, as far as their conditions and what happens before them allow.
        from_earlier: The steps that have their output of the earlier run.
        needed_by: Step that does not run -> a step that runs and cannot do without its output.
        problems: What stands in the way; without any, all that is needed is there.
    """

    steps: frozenset[str]
    from_earlier: frozenset[str]
    needed_by: Mapping[str, str]
    problems: tuple[str, ...]


def select(
    selection: Selection, pipeline: Pipeline, graph: ExecutionGraph, earlier: EarlierRun | None = None
) -> Selected:
    """Return which steps of `pipeline` run, and which have their outputs from elsewhere.

    What takes the place of a step, should that fail, runs with it unless it needs what is not there. Of the earlier
    run nothing is used that comes behind a step that runs now, unless a step that runs needs it.

    Example:
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> found = select(Selection(start_from=("text",), outputs={"facts": 7}), report, ExecutionGraph.build(report))
        >>> sorted(found.steps), found.problems
        (['text'], ())
    """
    if problems := tuple(_wrong_names(selection, graph, earlier)):
        return Selected(frozenset(), frozenset(), {}, problems)
    known = {} if earlier is None else earlier.outputs
    there = selection.outputs.keys() | known.keys()
    needs = {step.name: _needs(step.name, pipeline, graph) for step in pipeline.steps}
    steps = _chosen(selection, graph, known)
    problems = tuple(_before_the_start(selection, steps))
    if selection.only is not None:
        steps = set(selection.only) | _companions(selection.only, needs, graph, there=there)
    elif selection.start_from is not None:
        steps -= _idle(steps - set(selection.start_from), needs, graph, there=there | steps)
    needed_by: dict[str, str] = {}
    for name in filter(steps.__contains__, graph.names):
        for source in needs[name]:
            if source not in steps:
                needed_by.setdefault(source, name)
    stale = set() if selection.only is None else _behind(steps, graph) - needed_by.keys()
    used = known.keys() & graph.positions.keys() - steps - selection.outputs.keys() - stale
    lacking = [
        _lacking(source, by, earlier)
        for source, by in needed_by.items()
        if source not in used | selection.outputs.keys()
    ]
    return Selected(frozenset(steps), frozenset(used), needed_by, (*problems, *lacking))


def _wrong_names(selection: Selection, graph: ExecutionGraph, earlier: EarlierRun | None) -> Iterator[str]:
    for names, option in ((selection.only, "only"), (selection.start_from, "start_from")):
        if names is not None and not names:
            yield f"`{option}` names no step."
        for name in names or ():
            if name in selection.outputs:
                yield f"{name!r} is to run, and has an output given by hand."
    for name in dict.fromkeys((*(selection.only or ()), *(selection.start_from or ()), *selection.outputs)):
        if name not in graph.positions:
            yield f"It has no step {name!r}.{_what_is_it(str(name), graph, earlier)}"


def _what_is_it(name: str, graph: ExecutionGraph, earlier: EarlierRun | None) -> str:
    """Return what somebody may have meant by a name that is none of a step; empty if nobody knows."""
    if earlier is not None and (by := earlier.added.get(name)) is not None:
        return f" {by!r} added it in run {earlier.run_id}, and does so again when it runs: start from there."
    outer = re.split(r"[/\[]", name, maxsplit=1)[0]
    if outer != name and outer in graph.positions:
        return f" What is inside {outer!r} cannot be named: it runs as a whole."
    return nearest(name, graph.positions)


def _chosen(selection: Selection, graph: ExecutionGraph, known: Collection[str]) -> set[str]:
    """Return what is to run by where the run starts, or by what is there already."""
    by_hand = selection.outputs.keys()
    if selection.start_from is not None:
        return (_behind(selection.start_from, graph) | set(selection.start_from)) - by_hand
    again = _behind(by_hand, graph)
    return {name for name in graph.names if name not in by_hand and (name not in known or name in again)}


def _before_the_start(selection: Selection, steps: Collection[str]) -> Iterator[str]:
    """Yield the steps that are to run, though they do not come behind where the run starts."""
    if selection.start_from is not None:
        start = " or ".join(map(repr, selection.start_from))
        for name in selection.only or ():
            if name not in steps:
                yield f"{name!r} does not depend on {start}, from where the run is to start."


def _behind(seeds: Iterable[str], graph: ExecutionGraph) -> set[str]:
    """Return what depends on the seeds, directly or not."""
    found: set[str] = set()
    waiting = list(seeds)
    while waiting:
        for edge in graph.outgoing[waiting.pop()]:
            if edge.target not in found:
                found.add(edge.target)
                waiting.append(edge.target)
    return found


def _needs(name: str, pipeline: Pipeline, graph: ExecutionGraph) -> tuple[str, ...]:
    """Return the steps without whose outputs the step `name` cannot do its work, in the order of its dependencies."""
    step = pipeline.steps[graph.positions[name]]
    asked = set(bindings.names_needed(step, pipeline.global_constraints))
    merges_all = bindings.is_merge(step) and step.for_each is None and not step.branches
    found: dict[str, bool] = {}
    for edge in graph.incoming[name]:
        if edge.is_fallback or edge.routes is not None:
            continue
        is_soft = edge.type is DependencyType.SOFT
        is_needed = merges_all or edge.type.needs_output or edge.source in asked
        found[edge.source] = not is_soft and (is_needed or found.get(edge.source, False))
    return tuple(source for source, is_needed in found.items() if is_needed)


def _companions(
    steps: Collection[str], needs: Mapping[str, tuple[str, ...]], graph: ExecutionGraph, *, there: Collection[str]
) -> set[str]:
    """Return what runs with these steps, should they fail: what takes their place, if nothing is missing for that."""
    found: set[str] = set()
    waiting = list(steps)
    while waiting:
        fallback = graph.rules(waiting.pop()).fallback
        by = "" if fallback is None else fallback.step
        is_new = by in graph.positions and by not in there and by not in steps and by not in found
        if is_new and all(source in there or source in steps or source in found for source in needs[by]):
            found.add(by)
            waiting.append(by)
    return found


def _idle(
    steps: Collection[str], needs: Mapping[str, tuple[str, ...]], graph: ExecutionGraph, *, there: Collection[str]
) -> set[str]:
    """Return which of these steps could not take the place of another one, as something is missing for that."""
    return {name for name in steps if name in graph.stand_ins and any(source not in there for source in needs[name])}


def _lacking(source: str, name: str, earlier: EarlierRun | None) -> str:
    told = f"{name!r} needs the output of {source!r}, which"
    if earlier is None:
        return f"{told} is not to run."
    if source not in earlier.statuses:
        return f"{told} is not to run, and run {earlier.run_id} had no such step."
    return (
        f"{told} is not to run, and did not complete in run {earlier.run_id}: it is {earlier.statuses[source].value}."
    )


def wrong_routes(outputs: Mapping[str, object], steps: Collection[str], graph: ExecutionGraph) -> Iterator[str]:
    """Yield what is wrong with outputs that are to name the way to one of these steps, and name no way.

    Args:
        outputs: Step name -> the output that it is given, as JSON values.
        steps: The steps that run.
        graph: All steps.
    """
    for name, output in outputs.items():
        routes = graph.rules(name).routes
        chooses = any(edge.routes is not None and edge.target in steps for edge in graph.outgoing[name])
        if routes is not None and chooses and route_taken(output, routes) is None:
            yield f"The output given for {name!r} names none of its routes: {', '.join(map(repr, routes))}."


def untold(pipeline: Pipeline, graph: ExecutionGraph, steps: Collection[str], given: Collection[str]) -> Iterator[str]:
    """Yield what agents will not be told: outputs of steps before theirs that neither run nor are given.

    Args:
        pipeline: The definition.
        graph: All steps.
        steps: The steps that run.
        given: The steps whose outputs are given.
    """
    for step in pipeline.steps:
        if step.name not in steps or step.goal is None:
            continue
        sources = (edge.source for edge in graph.incoming[step.name] if edge.routes is None and not edge.is_fallback)
        missing = [source for source in dict.fromkeys(sources) if source not in steps and source not in given]
        if missing:
            listed = ", ".join(map(repr, missing))
            yield f"The agent of {step.name!r} is told nothing of {listed}: this run does only a part of the pipeline."


def left_behind(earlier: EarlierRun, taken: Collection[str]) -> Iterator[str]:
    """Yield what steps of an earlier run changed there, and what does not hold in a new one, as they do not run again.

    Args:
        earlier: The earlier run.
        taken: The steps whose outputs are taken from it.
    """
    for step in dict.fromkeys(by.step for by in earlier.changes if by.step in taken):
        told = "; ".join(told_change(by.change) for by in earlier.changes if by.step == step)
        shown = told if len(told) <= _LONGEST_CHANGE else f"{told[:_LONGEST_CHANGE]}..."
        yield (
            f"{step!r} does not run, as its output is that of run {earlier.run_id}; so what it changed there does not "
            f"hold in this run: {shown}."
        )


def parts_again(earlier: EarlierRun, selection: Selection, steps: Collection[str]) -> Iterator[str]:
    """Yield which parts that completed in an earlier run run again, of steps that nobody has named.

    Args:
        earlier: The earlier run.
        selection: What somebody asks for.
        steps: The steps that run.
    """
    named = {*(selection.only or ()), *(selection.start_from or ())}
    for name, (done, count) in earlier.parts.items():
        if name in steps and name not in named:
            many = f"{done} parts" if count is None else f"{done} of {count} parts"
            yield (
                f"{name!r}: {many} completed in run {earlier.run_id}, and run again here, since only whole steps are "
                "taken over. To keep them resume that run, or fork it."
            )


def selection_of(state: PipelineState) -> Selection | None:
    """Return which part of its pipeline a run does; None if it does all of it."""
    aside = {name for name, it in state.steps.items() if it.given_by or it.code == NOT_SELECTED}
    return Selection(only=tuple(name for name in state.steps if name not in aside)) if aside else None
