"""What the definition says of one step's fate, in the form in which the state and the scheduler ask for it."""

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args, get_origin

from tagent.paths import DataPath
from tagent.pipeline.approval import Approval, approval_of
from tagent.pipeline.bindings import MERGES, branches_of, fallback_of, is_judged
from tagent.pipeline.conditions import Condition, condition_of
from tagent.pipeline.events import ROUNDS
from tagent.pipeline.kinds import DependencyType, ExecutionMode
from tagent.pipeline.models import Dependency, Fallback, PipelineStep
from tagent.pipeline.signatures import signature_of

if TYPE_CHECKING:
    from tagent.pipeline.graph import ExecutionGraph

DEFAULT_ROUTE = "default"
"""The route of an output that names no other."""


@dataclass(frozen=True, slots=True)
class Expansion:
    """The parts that a step has.

    Attributes:
        path: The list whose items they are; None for branches and rounds.
        branches: The names of the branches; empty for items and rounds.
        max_concurrency: How many run at once.
        min_success: How many must succeed, or, as a float, which share of them, up to 1.0; None means all.
        rounds: How many rounds there are at most, one after another; 0 where the parts are no rounds.
    """

    path: DataPath | None
    branches: tuple[str, ...]
    max_concurrency: int
    min_success: int | float | None
    rounds: int = 0

    @property
    def of(self) -> str:
        """Whose parts they are: the path of a list, the names of branches, or `ROUNDS`."""
        if self.rounds:
            return ROUNDS
        return str(self.path) if self.path is not None else ", ".join(self.branches)

    def names(self, count: int) -> tuple[str, ...]:
        """Return what the parts are called when there are `count` of them."""
        if self.rounds:
            return tuple(map(str, range(1, count + 1)))
        return self.branches or tuple(map(str, range(count)))

    def allowed_failures(self, count: int) -> int:
        """Return how many of `count` parts may fail.

        Example:
            >>> [Expansion(None, (), 16, least).allowed_failures(10) for least in (None, 7, 0.5, 0, 1, 1.0)]
            [0, 3, 5, 10, 9, 0]
        """
        least = self.min_success
        if least is None:
            return 0
        # 0.55 of 100 is 55, and 0.55 * 100 a little more.
        needed = math.ceil(round(least * count, 6)) if isinstance(least, float) else least
        return max(0, count - needed)


@dataclass(frozen=True, slots=True)
class StepRules:
    """What is special about one step.

    Attributes:
        enabled: What the run's inputs must fulfil; None for nothing.
        is_disabled: Whether no run has it.
        condition: What must hold before it starts, where that can be told from outputs and inputs alone.
        has_condition_part: Whether a model or a function has to say whether it starts.
        expansion: Its parts; None if it has none.
        is_optional: Whether the run is complete without it.
        fallback: What takes its place if it fails; None for nothing.
        has_compensation: Whether its effects can be undone.
        approval: What somebody has to say yes to; None for nothing.
        routes: Route -> the steps that it starts, where the step's output names one; None where it does not.
        inner: The steps of the pipeline that it runs; None if it runs none.
    """

    enabled: Condition | None = None
    is_disabled: bool = False
    condition: Condition | None = None
    has_condition_part: bool = False
    expansion: Expansion | None = None
    is_optional: bool = False
    fallback: Fallback | None = None
    has_compensation: bool = False
    approval: Approval | None = None
    routes: Mapping[str, tuple[str, ...]] | None = None
    inner: "ExecutionGraph | None" = None

    @classmethod
    def of(cls, step: PipelineStep) -> "StepRules":
        """Return the rules of `step`.

        Raises:
            ConditionError: If a condition cannot be read.
            DataPathError: If a path cannot be read.
        """
        if _is_plain(step):
            return NO_RULES
        condition = None if step.condition is None else condition_of(step.condition)
        has_part = needs_condition_part(step)
        enabled = None if isinstance(step.enabled, bool) else condition_of(step.enabled)
        return cls(
            enabled=enabled,
            is_disabled=step.enabled is False,
            condition=None if has_part else condition,
            has_condition_part=has_part,
            expansion=_expansion(step),
            is_optional=step.optional,
            fallback=fallback_of(step),
            has_compensation=step.compensate is not None,
            approval=_approval(step),
            routes=routes_of(step),
        )


NO_RULES = StepRules()
"""Those of most steps."""


def _is_plain(step: PipelineStep) -> bool:
    """Return whether nothing is special about a step, so that no rules need be made for it."""
    if step.enabled is not True or step.optional or step.execution_mode == ExecutionMode.CONDITIONAL:
        return False
    if step.approval or step.pipeline is not None or step.routes is not None:
        return False
    has_options = not (step.condition is step.on_error is step.compensate is None)
    return not has_options and _expansion(step) is None and not asked_checks(step)


def needs_condition_part(step: PipelineStep) -> bool:
    """Return whether a model or a function has to say whether a step runs."""
    is_asked = step.condition is not None and bool(condition_of(step.condition).functions)
    return is_judged(step) or is_asked or bool(asked_checks(step))


def asked_checks(step: PipelineStep) -> list[tuple[Dependency, Condition]]:
    """Return the checks of VALIDATION dependencies that ask a function."""
    checks = [
        (dep, condition_of(dep.check))
        for dep in step.depends_on
        if isinstance(dep, Dependency) and dep.type is DependencyType.VALIDATION and dep.check is not None
    ]
    return [(dep, check) for dep, check in checks if check.functions]


def _approval(step: PipelineStep) -> Approval | None:
    with suppress(ValueError):  # validation says what is wrong with it
        return approval_of(step.approval)
    return None


def routes_of(step: PipelineStep) -> Mapping[str, tuple[str, ...]] | None:
    """Return route -> the steps that it starts; None for a step whose output names no route.

    Example:
        >>> routes_of(PipelineStep(name="triage", routes={"refund": "pay", "bug": ["fix", "test"]}))
        {'refund': ('pay',), 'bug': ('fix', 'test')}
    """
    if step.routes is None:
        return None
    return {route: (to,) if isinstance(to, str) else tuple(to) for route, to in step.routes.items()}


def route_taken(output: object, routes: Mapping[str, tuple[str, ...]]) -> str | None:
    """Return the route that an output names, given as JSON values; `default` for any other, None if there is none.

    A text names a route, and so do `true`, `false` and whole numbers.

    Example:
        >>> routes = {"true": ("pay",), "2": ("wait",), "default": ("answer",)}
        >>> route_taken(True, routes), route_taken(2, routes), route_taken("later", routes), route_taken(7, {"a": ()})
        ('true', '2', 'default', None)
    """
    named = str(output).lower() if isinstance(output, int) else output
    if isinstance(named, str) and named in routes:
        return named
    return DEFAULT_ROUTE if DEFAULT_ROUTE in routes else None


def _expansion(step: PipelineStep) -> Expansion | None:
    if step.max_times is not None:
        return Expansion(None, (), 1, None, rounds=step.max_times)
    if step.execution_mode != ExecutionMode.PARALLEL_MERGE or (step.for_each is None and not step.branches):
        return None
    path = None if step.for_each is None else DataPath.parse(step.for_each)
    return Expansion(path, tuple(branches_of(step)), step.max_concurrency, step.min_success)


def part_schema(step: PipelineStep, part: str) -> object:
    """Return the type of what an item or a branch of `step` gives; None for plain JSON values.

    That is its `item_schema`; else what a list or a dict holds that is its `output_schema` and made without a merge
    of one's own; else what the function of the part is annotated with, or text for a goal.
    """
    if step.item_schema is not None:
        return step.item_schema
    if step.merge in (None, *MERGES) and (inside := _inside(step.output_schema)) is not None:
        return inside
    work = branches_of(step)[part] if step.branches else (step.run or step.goal)
    if (step.agent is not None or step.pipeline is not None) and not step.branches:
        return None
    return signature_of(work).return_type if callable(work) else str


def _inside(declared: object) -> object:
    """Return the type of what a list or a dict holds; None for anything else."""
    arguments = get_args(declared)
    if get_origin(declared) is list and len(arguments) == 1:
        return arguments[0]
    return arguments[1] if get_origin(declared) is dict and len(arguments) == 2 else None
