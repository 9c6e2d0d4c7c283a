"""Which steps run only if certain routes are taken, as far as the definition alone tells."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Self

from tagent.pipeline.graph import Edge, ExecutionGraph
from tagent.pipeline.kinds import DependencyType

Ways = Mapping[str, frozenset[str]]
"""Router -> the routes of which it has to take one for a step to run. Empty: nothing is known to be needed."""

MOST_ROUTERS = 20
"""So many routers are remembered of each step, the nearest; else deep nesting would take quadratic time."""


@dataclass(frozen=True, slots=True)
class Clash:
    """Why a step can never run: it needs two steps of which no run has both.

    Attributes:
        first: A step whose output it needs, or a router that starts it.
        second: A step whose output it needs.
        router: The step that starts one or the other.
    """

    first: str
    second: str
    router: str


@dataclass(frozen=True, slots=True)
class Branches:
    """What is known of the branches of a pipeline.

    Attributes:
        ways: Step name -> the routes that it needs, for the steps that need any.
        clashes: Step name -> why it can never run, for the steps that cannot.

    Example:
        >>> from tagent.pipeline import Pipeline, when
        >>> pipeline = Pipeline("p").add_step(when("inputs.n > 1", name="many").then("a").otherwise("b"))
        >>> pipeline = pipeline.step("a", run=lambda: 1).step("b", run=lambda: 2).step("c", run=lambda a: a)
        >>> branches = Branches.of(ExecutionGraph.build(pipeline))
        >>> branches.ways["c"], branches.may_lack("c", "a"), branches.may_lack("c", "b")
        ({'many': frozenset({'then'})}, False, True)
    """

    ways: Mapping[str, Ways]
    clashes: Mapping[str, Clash]

    @classmethod
    def of(cls, graph: ExecutionGraph) -> Self:
        """Return the branches of a graph.

        Raises:
            CircularDependencyError: If its steps wait for each other.
        """
        ways: dict[str, Ways] = {}
        clashes: dict[str, Clash] = {}
        for name in graph.topological_order():
            edges = [edge for edge in graph.incoming[name] if not edge.is_fallback]
            needed = {edge.source: ways[edge.source] for edge in edges if edge.type.needs_output}
            needed = {source: found for source, found in needed.items() if found}
            way = _way_there(graph, edges, ways)
            if way:
                needed = {_first_way(edges): way, **needed}
            if (clash := _clash(needed)) is not None:
                clashes[name] = clash
                ways[name] = {}
            else:
                ways[name] = _nearest(reduce(_both, needed.values(), {}))
        return cls({name: way for name, way in ways.items() if way}, clashes)

    def may_lack(self, step: str, source: str) -> bool:
        """Return whether a run may have the step `step`, and not `source`, as that is of a branch not taken."""
        here = self.ways.get(step, {})
        if len(here) >= MOST_ROUTERS:
            return False  # not all is known of it
        there = self.ways.get(source, {})
        return any(router not in here or not here[router] <= routes for router, routes in there.items())


def _way_there(graph: ExecutionGraph, edges: Sequence[Edge], ways: Mapping[str, Ways]) -> Ways:
    """Return what has to be so for any way to a step to be open: one chosen, or else one that it just waits for."""
    chosen = [edge for edge in edges if edge.routes is not None]
    if chosen:
        return reduce(_either, [_both(ways[edge.source], {edge.source: edge.routes or frozenset()}) for edge in chosen])
    open_ways = [{} if _is_always_open(graph, edge) else ways[edge.source] for edge in edges]
    return reduce(_either, open_ways) if open_ways else {}


def _first_way(edges: Sequence[Edge]) -> str:
    """Return the step that opens the first way to a step."""
    return next((edge.source for edge in edges if edge.routes is not None), edges[0].source)


def _is_always_open(graph: ExecutionGraph, edge: Edge) -> bool:
    """Return whether a step goes on behind another whichever routes are taken, so far as this dependency says."""
    rules = graph.rules(edge.source)
    return edge.type is DependencyType.SOFT or rules.is_disabled or rules.enabled is not None


def _either(one: Ways, other: Ways) -> Ways:
    return {router: one[router] | other[router] for router in one if router in other}


def _both(one: Ways, other: Ways) -> Ways:
    return {**one, **{router: routes & one.get(router, routes) for router, routes in other.items()}}


def _nearest(ways: Ways) -> Ways:
    return ways if len(ways) <= MOST_ROUTERS else dict(list(ways.items())[-MOST_ROUTERS:])


def _clash(needed: Mapping[str, Ways]) -> Clash | None:
    """Return two of what a step needs that no run has both, if there are such."""
    first_by: dict[str, tuple[str, frozenset[str]]] = {}
    for source, ways in needed.items():
        for router, routes in ways.items():
            first, before = first_by.get(router, (source, routes))
            if not routes & before:
                return Clash(first, source, router)
            first_by[router] = (first, routes & before)
    return None
