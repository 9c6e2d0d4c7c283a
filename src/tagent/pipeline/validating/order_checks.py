"""The order of the steps: circles, and waits that are not needed."""

from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter

from tagent.exceptions import DataPathError
from tagent.pipeline import bindings
from tagent.pipeline.conditions import ConditionError
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.graph import CircularDependencyError, ExecutionGraph
from tagent.pipeline.validating.failure_checks import needs_failed
from tagent.pipeline.validating.known import Known
from tagent.pipeline.validating.route_checks import needed_targets

_Moment = tuple[str, bool]
"""A step, and whether it is its end: with a fallback that is later than its own last attempt."""


def order_problems(known: Known) -> Iterator[Problem]:
    """Yield a circle if there is one, else a hint for each group of SERIAL steps that could run together."""
    try:
        graph = known.graph
        order = graph.topological_order()
        _require_ends(graph)
    except CircularDependencyError as error:
        if not _is_told(error.cycle, known):
            yield Problem("cycle", f"{error.message} {error.hint}")
    except (DataPathError, ConditionError):
        return  # the step's own check names the malformed path or condition
    else:
        yield from _needless_waits(graph, order)


def _is_told(cycle: tuple[str, ...], known: Known) -> bool:
    """Return whether the circle is a step and one that it starts or falls back on, which its own check says better."""
    names = set(cycle)
    if any(by in names and names == {name, by} for name in names for by in _needy_fallback(name, known)):
        return True
    return len(names) == 2 and any(names - {name} <= needed_targets(known.steps[name], known) for name in names)


def _needy_fallback(name: str, known: Known) -> Iterator[str]:
    by = bindings.fallback_of(known.steps[name])
    if by is not None and by.step in known.steps and (by.step == name or needs_failed(known.steps[by.step], name)):
        yield by.step


def _require_ends(graph: ExecutionGraph) -> None:
    """Check that no step that stands in for another waits for what waits for that one, however far away.

    Raises:
        CircularDependencyError: If one does.
    """
    stands_in = {
        name: rules.fallback.step
        for name, rules in graph.special.items()
        if rules.fallback is not None and rules.fallback.step in graph.positions
    }
    if not stands_in:
        return
    before: dict[_Moment, list[_Moment]] = {}
    for name, edges in graph.incoming.items():
        before[name, False] = [(edge.source, not edge.is_fallback) for edge in edges]
        before[name, True] = [(name, False)]
    for name, by in stands_in.items():
        before[name, True].append((by, True))
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = [name for name, _ in reversed(error.args[1])]
        names = [name for place, name in enumerate(circle) if not place or name != circle[place - 1]]
        raise CircularDependencyError(tuple(names)) from error


def _needless_waits(graph: ExecutionGraph, order: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a hint for each group of SERIAL steps that wait for the same steps, so could run together."""
    groups: dict[frozenset[str], list[str]] = {}
    for name in order:
        if name in graph.serial:
            groups.setdefault(frozenset(edge.source for edge in graph.incoming[name]), []).append(name)
    for names in groups.values():
        if len(names) > 1:
            listed = ", ".join(map(repr, names[:5])) + (", ..." if len(names) > 5 else "")
            message = f"The steps {listed} could run together: give them execution_mode=CONCURRENT."
            yield Problem("serial_by_default", message, severity="hint")
