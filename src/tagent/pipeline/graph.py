"""The immutable graph that a definition compiles to: who waits for whom, by step name."""

from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Self

from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.models import Dependency, DependencyType, ExecutionMode, Pipeline


class CircularDependencyError(PipelineError):
    """Steps wait for each other in a circle.

    Attributes:
        cycle: The names along the circle; the first is the last again.

    Example:
        >>> from tagent.pipeline import PipelineScheduler
        >>> try:
        ...     PipelineScheduler(Pipeline("p").step("a", "Use {b}").step("b", "Use {a}")).topological_order()
        ... except CircularDependencyError as error:
        ...     error.cycle
        ('a', 'b', 'a')
    """

    code = "pipeline.cycle"

    def __init__(self, cycle: tuple[str, ...]) -> None:
        self.cycle = cycle
        super().__init__(f"Steps wait for each other: {' -> '.join(cycle)}.", hint="Remove one dependency.")


@dataclass(frozen=True, slots=True)
class Edge:
    """A dependency as the graph knows it.

    Attributes:
        source: The step depended on.
        target: The step that depends on it.
        type: What is needed.
        path: What the source's output must hold; None when any output will do.
    """

    source: str
    target: str
    type: DependencyType
    path: DataPath | None = None


@dataclass(frozen=True, slots=True)
class ExecutionGraph:
    """Steps and their dependencies, both ways.

    Attributes:
        names: The steps' names, in definition order.
        positions: Step name -> its place in the definition, from 0.
        incoming: Step name -> the edges it waits for, in the order in which they are declared.
        outgoing: Step name -> the edges that wait for it, in definition order.
        serial: The names of the SERIAL steps.

    Example:
        >>> graph = ExecutionGraph.build(Pipeline("p").step("text", "Describe {facts}").step("facts", "Find facts"))
        >>> graph.topological_order(), graph.dependencies("text"), graph.sinks
        (('facts', 'text'), ('facts',), ('text',))
    """

    names: tuple[str, ...]
    positions: Mapping[str, int]
    incoming: Mapping[str, tuple[Edge, ...]]
    outgoing: Mapping[str, tuple[Edge, ...]]
    serial: frozenset[str]

    @classmethod
    def build(cls, pipeline: Pipeline) -> Self:
        """Return the graph of `pipeline`; dependencies on unknown steps are left out (`validate` names them).

        Raises:
            DataPathError: If a path of a DATA dependency is malformed.
        """
        positions = {step.name: position for position, step in enumerate(pipeline.steps)}
        incoming: dict[str, tuple[Edge, ...]] = {}
        outgoing: dict[str, list[Edge]] = {name: [] for name in positions}
        for step in pipeline.steps:
            declared = bindings.dependencies(step, positions, pipeline.global_constraints)
            edges = tuple(_edge(dep, step.name) for dep in declared if dep.step in positions)
            incoming[step.name] = edges
            for edge in edges:
                outgoing[edge.source].append(edge)
        # Who only waits does not keep others from working.
        serial = frozenset(
            s.name for s in pipeline.steps if s.execution_mode == ExecutionMode.SERIAL and s.wait_for is None
        )
        return cls(
            tuple(positions),
            positions,
            incoming,
            {name: tuple(edges) for name, edges in outgoing.items()},
            serial,
        )

    def dependencies(self, step: str) -> tuple[str, ...]:
        """Return the names that `step` waits for, each once, in the order in which they are declared.

        Raises:
            KeyError: If there is no such step.
        """
        return tuple(dict.fromkeys(edge.source for edge in self.incoming[step]))

    @property
    def sinks(self) -> tuple[str, ...]:
        """The steps on which no other depends, in definition order."""
        return tuple(name for name, edges in self.outgoing.items() if not edges)

    def topological_order(self) -> tuple[str, ...]:
        """Return every step behind what it depends on, in definition order where that leaves a choice.

        Raises:
            CircularDependencyError: If there is no such order; it names one circle.
        """
        sorter = TopologicalSorter({name: self.dependencies(name) for name in self.positions})
        try:
            sorter.prepare()
        except CycleError as error:
            raise CircularDependencyError(tuple(reversed(error.args[1]))) from error
        order: list[str] = []
        while sorter.is_active():
            ready = sorted(sorter.get_ready(), key=self.positions.__getitem__)
            order.extend(ready)
            sorter.done(*ready)
        return tuple(order)


def _edge(dependency: Dependency, target: str) -> Edge:
    path = None
    if dependency.type is DependencyType.DATA and dependency.path:
        path = bindings.output_path(dependency)
    return Edge(dependency.step, target, dependency.type, path)
