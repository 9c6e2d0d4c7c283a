"""The immutable graph that a definition compiles to: who waits for whom, by step name."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter
from typing import Self

from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.conditions import Condition, condition_of
from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.kinds import DependencyType, ExecutionMode
from tagent.pipeline.models import Dependency, OnFailure, Pipeline, PipelineStep
from tagent.pipeline.nesting import MAX_DEPTH
from tagent.pipeline.rules import NO_RULES, StepRules
from tagent.values import value


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


_PLAIN = (DependencyType.HARD, DependencyType.DATA)


@value
class Edge:
    """A dependency as the graph knows it.

    Attributes:
        source: The step depended on.
        target: The step that depends on it.
        type: What is needed.
        path: What the source's output must hold; None when any output will do.
        wait_seconds: How long a SOFT one is waited for at most; None waits until the source is settled.
        skips: Whether the target is left out when the source is.
        check: What the source's output must fulfil, where that can be told from it alone.
        is_asked: Whether a function has to say whether it does.
        is_fallback: Whether the target takes the place of the source, should that fail; it waits for nothing else
            of it.
        routes: The routes of the source that start the target; None where the source does not choose it.
    """

    source: str
    target: str
    type: DependencyType
    path: DataPath | None = None
    wait_seconds: float | None = None
    skips: bool = False
    check: Condition | None = None
    is_asked: bool = False
    is_fallback: bool = False
    routes: frozenset[str] | None = None

    @property
    def is_plain(self) -> bool:
        """Whether any output of the source is all that is needed."""
        return self.path is None and self.type in _PLAIN and not self.is_fallback and self.routes is None

    @property
    def is_patient(self) -> bool:
        """Whether it does not hold the target up for longer than a certain time."""
        return self.wait_seconds is not None


@dataclass(frozen=True, slots=True)
class ExecutionGraph:
    """Steps and their dependencies, both ways.

    Attributes:
        names: The steps' names, in definition order.
        positions: Step name -> its place in the definition, from 0.
        incoming: Step name -> the edges it waits for, in the order in which they are declared.
        outgoing: Step name -> the edges that wait for it, in definition order.
        serial: The names of the SERIAL steps.
        sinks: The steps on which no other depends, in definition order; those that take the place of others are none.
        stand_ins: The steps that take the place of others, should these fail.
        special: Step name -> its rules, for the steps that have any.
        soft: Step name -> the steps that it waits for only SOFT, for the steps that do.
        stands_in_for: Step name -> the steps whose place it takes if they fail, for the steps that do.
        on_failure: What a run does when a step has failed that is not optional.

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
    sinks: tuple[str, ...]
    stand_ins: frozenset[str] = frozenset()
    special: Mapping[str, StepRules] = field(default_factory=dict)
    soft: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    stands_in_for: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    on_failure: OnFailure = "continue"

    @classmethod
    def build(cls, pipeline: Pipeline, *, depth: int = 0) -> Self:
        """Return the graph of `pipeline`; dependencies on unknown steps are left out (`validate` names them).

        Args:
            pipeline: The definition.
            depth: In how many pipelines it is.

        Raises:
            DataPathError: If a path of a DATA dependency is malformed.
            ConditionError: If a condition cannot be read.
        """
        positions = {step.name: position for position, step in enumerate(pipeline.steps)}
        special: dict[str, StepRules] = {}
        declared: dict[str, Sequence[Edge]] = {}
        for step in pipeline.steps:
            declared[step.name] = _edges_to(step, positions, pipeline.global_constraints)
            rules = cls._rules_of(step, depth)
            if rules is not NO_RULES:
                special[step.name] = rules
        serial = frozenset(step.name for step in pipeline.steps if _is_serial(step))
        return cls.assembled(declared, special, serial, pipeline.on_failure)

    @classmethod
    def _rules_of(cls, step: PipelineStep, depth: int) -> StepRules:
        rules = StepRules.of(step)
        if step.pipeline is None or depth >= MAX_DEPTH:  # validation refuses what is deeper
            return rules
        inner = cls.build(step.pipeline, depth=depth + 1)
        # A rollback reaches down, unless the step is undone as a whole; of items and rounds it is.
        may_undo = rules.expansion is None and any(it.has_compensation for it in inner.special.values())
        return replace(rules, inner=inner, has_compensation=rules.has_compensation or may_undo)

    @classmethod
    def assembled(
        cls,
        declared: Mapping[str, Sequence[Edge]],
        special: Mapping[str, StepRules],
        serial: frozenset[str],
        on_failure: OnFailure,
    ) -> Self:
        """Return the graph of steps with these dependencies and rules, in the order of `declared`.

        Args:
            declared: Step name -> what it waits for by itself: not because others choose it or fail.
            special: Step name -> its rules, for the steps that have any.
            serial: The names of the SERIAL steps.
            on_failure: What a run does when a step has failed that is not optional.
        """
        positions = {name: position for position, name in enumerate(declared)}
        stand_ins: dict[str, list[Edge]] = {}
        chosen: dict[str, list[Edge]] = {}
        for name in declared:
            rules = special.get(name, NO_RULES)
            if rules.fallback is not None and rules.fallback.step in positions:
                by = rules.fallback.step
                stand_ins.setdefault(by, []).append(Edge(name, by, DependencyType.HARD, is_fallback=True))
            for edge in _edges_of_routes(name, rules, positions):
                chosen.setdefault(edge.target, []).append(edge)
        incoming = {name: (*edges, *chosen.get(name, ()), *stand_ins.get(name, ())) for name, edges in declared.items()}
        outgoing: dict[str, list[Edge]] = {name: [] for name in positions}
        soft: dict[str, list[str]] = {}
        for edges in incoming.values():
            for edge in edges:
                outgoing[edge.source].append(edge)
                if edge.type is DependencyType.SOFT:
                    soft.setdefault(edge.target, []).append(edge.source)
        return cls(
            tuple(positions),
            positions,
            incoming,
            {name: tuple(edges) for name, edges in outgoing.items()},
            serial,
            tuple(n for n, edges in outgoing.items() if n not in stand_ins and all(e.is_fallback for e in edges)),
            frozenset(stand_ins),
            special,
            {name: tuple(sources) for name, sources in soft.items()},
            {name: tuple(edge.source for edge in edges) for name, edges in stand_ins.items()},
            on_failure,
        )

    def changed(
        self,
        *,
        added: Sequence[PipelineStep] = (),
        linked: Sequence[tuple[str, Dependency]] = (),
        unlinked: Sequence[tuple[str, str]] = (),
        enabled: Mapping[str, bool] | None = None,
    ) -> Self:
        """Return the graph of the changed steps; what is said of steps that there are not is passed over.

        Args:
            added: New steps, which name all that they depend on. One of a name that there is already is passed over.
            linked: New dependencies: (who depends, on what).
            unlinked: Dependencies that are no more: (who depended, on which step).
            enabled: Step name -> whether runs have it, whatever its own condition says.

        Raises:
            DataPathError: If a path is malformed.
            ConditionError: If a condition cannot be read.

        Example:
            >>> graph = ExecutionGraph.build(Pipeline("p").step("a", "Find it").step("b", "Tell it"))
            >>> changed = graph.changed(added=[PipelineStep(name="c", goal="Use {a}")], linked=[("b", Dependency("c"))])
            >>> changed.topological_order(), changed.sinks
            (('a', 'c', 'b'), ('b',))
        """
        declared: dict[str, list[Edge]] = {
            name: [edge for edge in edges if not (edge.is_fallback or edge.routes is not None)]
            for name, edges in self.incoming.items()
        }
        special, serial = dict(self.special), set(self.serial)
        new = [step for step in added if step.name not in declared]
        declared.update((step.name, []) for step in new)
        for step in new:
            declared[step.name] = _edges_to(step, declared, ())
            if (rules := StepRules.of(step)) is not NO_RULES:
                special[step.name] = rules
            if _is_serial(step):
                serial.add(step.name)
        for target, source in unlinked:
            if target in declared:
                declared[target] = [edge for edge in declared[target] if edge.source != source]
        for target, dependency in linked:
            if target in declared and dependency.step in declared:
                declared[target].append(_edge(dependency, target))
        for name, is_enabled in (enabled or {}).items():
            if name in declared:
                special[name] = replace(special.get(name, NO_RULES), enabled=None, is_disabled=not is_enabled)
        rules_left = {name: rules for name, rules in special.items() if rules != NO_RULES}
        return self.assembled(declared, rules_left, frozenset(serial), self.on_failure)

    def rules(self, step: str) -> StepRules:
        """Return what is special about `step`."""
        return self.special.get(step, NO_RULES)

    def dependencies(self, step: str) -> tuple[str, ...]:
        """Return the names that `step` waits for, each once, in the order in which they are declared.

        Raises:
            KeyError: If there is no such step.
        """
        return tuple(dict.fromkeys([edge.source for edge in self.incoming[step]]))

    def topological_order(self) -> tuple[str, ...]:
        """Return every step behind what it depends on, in definition order where that leaves a choice.

        Who depends on a step waits for the one that may take its place, too.

        Raises:
            CircularDependencyError: If there is no such order; it names one circle.
        """
        behind_stand_ins = self._behind_stand_ins()
        unmet = {name: len(edges) for name, edges in self.incoming.items()}
        for targets in behind_stand_ins.values():
            for target in targets:
                unmet[target] += 1
        order: list[str] = []
        ready = [name for name, count in unmet.items() if not count]
        while ready:
            order += ready
            freed: list[str] = []
            for name in ready:
                for target in (*[edge.target for edge in self.outgoing[name]], *behind_stand_ins.get(name, ())):
                    unmet[target] -= 1
                    if not unmet[target]:
                        freed.append(target)
            ready = sorted(freed, key=self.positions.__getitem__)
        if len(order) < len(unmet):
            raise CircularDependencyError(self._circle(behind_stand_ins))
        return tuple(order)

    def _behind_stand_ins(self) -> dict[str, list[str]]:
        """Return who waits for each step that may take the place of another, because they wait for that one."""
        behind: dict[str, list[str]] = {}
        for name, rules in self.special.items():
            if rules.fallback is not None and rules.fallback.step in self.positions:
                by = rules.fallback.step
                behind.setdefault(by, []).extend(edge.target for edge in self.outgoing[name] if edge.target != by)
        return behind

    def _circle(self, behind_stand_ins: Mapping[str, list[str]]) -> tuple[str, ...]:
        """Return the names along one circle of a graph that has one; the first is the last again."""
        waits = {name: list(self.dependencies(name)) for name in self.positions}
        for by, targets in behind_stand_ins.items():
            for target in targets:
                waits[target].append(by)
        try:
            TopologicalSorter(waits).prepare()
        except CycleError as error:
            circle: list[str] = error.args[1]
            return tuple(reversed(circle))
        raise ValueError("The graph has no circle.")


def _is_serial(step: PipelineStep) -> bool:
    """Return whether a step is not at work beside others; who only waits does not keep others from working."""
    return step.execution_mode == ExecutionMode.SERIAL and step.wait_for is None


def _edges_to(step: PipelineStep, names: Collection[str], global_constraints: Collection[str]) -> list[Edge]:
    """Return what `step` waits for, apart from the failure of a step whose place it takes."""
    return [
        Edge(dep, step.name, DependencyType.HARD) if isinstance(dep, str) else _edge(dep, step.name)
        for dep in bindings.needs(step, names, global_constraints)
        if (dep if isinstance(dep, str) else dep.step) in names
    ]


def _edges_of_routes(name: str, rules: StepRules, positions: Mapping[str, int]) -> Iterator[Edge]:
    """Yield the edges to the steps that a step chooses, one for each of them."""
    routes_to: dict[str, set[str]] = {}
    for route, targets in (rules.routes or {}).items():
        for target in targets:
            if target in positions and target != name:
                routes_to.setdefault(target, set()).add(route)
    for target, routes in routes_to.items():
        yield Edge(name, target, DependencyType.HARD, routes=frozenset(routes))


def _edge(dependency: Dependency, target: str) -> Edge:
    path = None
    if dependency.type is DependencyType.DATA and dependency.path:
        path = bindings.output_path(dependency)
    check = None if dependency.check is None else condition_of(dependency.check)
    is_asked = check is not None and bool(check.functions)
    return Edge(
        dependency.step,
        target,
        dependency.type,
        path,
        wait_seconds=dependency.wait_seconds if dependency.type is DependencyType.SOFT else None,
        skips=dependency.on_skip == "skip",
        check=None if is_asked else check,
        is_asked=is_asked,
    )
