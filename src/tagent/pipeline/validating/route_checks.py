"""Routes: that a step which decides what runs leads somewhere, whatever it gives."""

from collections.abc import Iterator

from tagent.exceptions import DataPathError, nearest
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.conditions.declared import Shape, kinds_of, shape_of, values_of, within
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import ExecutionMode, PipelineStep
from tagent.pipeline.routing import OTHERWISE, THEN
from tagent.pipeline.rules import DEFAULT_ROUTE, route_taken, routes_of
from tagent.pipeline.schema_paths import field_problem
from tagent.pipeline.validating.branches import Clash
from tagent.pipeline.validating.condition_checks import judged_problems
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import MAX_NAME_LENGTH, unknown_name

MAX_ROUTES = 1000

_CAN_NAME = frozenset({"string", "bool", "number"})
_MOST_SHOWN = 5


def route_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in which steps `step` starts, and in whether any run can come to it."""
    if step.when is not None:
        yield from judged_problems(step.when, step, known, its="`when`", whose="its condition's")
    if step.switch_on is not None:
        yield from _switch_problems(step.switch_on, step, known)
    if bindings.is_router(step) and step.execution_mode == ExecutionMode.PARALLEL_MERGE:
        yield "bad_routes", "A step that decides which steps run has no parts. Remove `for_each` and `branches`."
    if step.routes is not None:
        yield from _target_problems(step, known)
        yield from _value_problems(step, known)
    elif bindings.is_router(step):
        yield "bad_routes", "It decides which steps run, and names none. Give it `routes`."
    if (clash := known.branches.clashes.get(step.name)) is not None and known.steps[step.name] is step:
        yield "one_of_two", _told(clash)


def route_warnings(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield what in the routes of `step` is probably a mistake."""
    routes = routes_of(step)
    if routes is None or step.when is not None:
        return
    values = _values(_shape_of_choice(step, known))
    if values is not None:
        taken = {route_taken(value, routes) for value in values}
        shown = [str(value) for value in values if isinstance(value, str)]
        for route in routes:
            if route not in taken and route != DEFAULT_ROUTE:
                message = f"The route {_short(route)} is never taken: its value is never that.{nearest(route, shown)}"
                yield Problem("unused_route", message, step.name, "warning")
    elif step.goal is not None and step.output_schema is None and step.agent is None and DEFAULT_ROUTE not in routes:
        message = (
            "Its output may be any text, and one that names no route fails it. Give it an output_schema like "
            f"Literal[{', '.join(map(_short, list(routes)[:_MOST_SHOWN]))}], or a route 'default'."
        )
        yield Problem("open_routes", message, step.name, "warning")


def needed_targets(step: PipelineStep, known: Known) -> set[str]:
    """Return the steps that `step` starts although it needs them itself."""
    if step.routes is None:
        return set()
    targets = {target for targets in (routes_of(step) or {}).values() for target in targets} - {step.name}
    try:
        needed = bindings.dependencies(step, targets, known.pipeline.global_constraints)
    except DataPathError:
        return set()  # the step's own check names the malformed path
    return {dep.step for dep in needed} & targets


def _switch_problems(on: str, step: PipelineStep, known: Known) -> Iterator[Found]:
    try:
        path = DataPath.parse(on)
    except DataPathError as error:
        yield "bad_path", f"In `switch_on`: {error.message}"
        return
    if path.root == step.name:
        yield "bad_path", "`switch_on` names the step itself. Name a step before it."
    elif path.root in known.steps:
        if problem := field_problem(known.declared(path.root), path):
            yield "unknown_path", problem
    elif path.root not in known.names:
        yield from unknown_name(path, step, known, where="`switch_on`")


def _target_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    routes = routes_of(step) or {}
    if len(routes) > MAX_ROUTES:
        yield "bad_routes", f"It has {len(routes):,} routes; {MAX_ROUTES:,} are allowed."
        return
    if step.when is not None and (others := routes.keys() - {THEN, OTHERWISE}):
        yield "bad_routes", f"A condition leads to {THEN!r} or {OTHERWISE!r}, and not to {_short(min(others))}."
    targets = dict.fromkeys(target for targets in routes.values() for target in targets)
    if not targets:
        advice = "Name some by .then(...) or .otherwise(...)." if step.when is not None else "Name some in `routes`."
        yield "bad_routes", f"It starts no step, whichever route is taken. {advice}"
    for target in targets:
        if target not in known.steps:
            yield "unknown_step", f"It starts the unknown step {_short(target)}.{known.nearest_step(target)}"
        elif target == step.name:
            yield "bad_routes", "It starts itself. To do it again is said by repeat(step, until=...)."
    for target in sorted(needed_targets(step, known)):
        yield "bad_routes", f"It starts {_short(target)}, for which it waits itself. Remove one of them."


def _value_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield what it may give that names no route."""
    routes = routes_of(step) or {}
    if step.when is not None:
        return
    its = "Its output" if step.switch_on is None else f"The value of {step.switch_on[:MAX_NAME_LENGTH]!r}"
    shape = _shape_of_choice(step, known)
    kinds = kinds_of(shape)
    if shape and kinds is not None and not kinds & _CAN_NAME:
        yield "bad_routes", f"{its} is never a text, a bool or a whole number, and so names no route."
        return
    missing = [value for value in _values(shape) or () if route_taken(value, routes) is None]
    if missing:
        listed = ", ".join(map(_short, missing[:_MOST_SHOWN])) + (", ..." if len(missing) > _MOST_SHOWN else "")
        yield "bad_routes", f"{its} may be {listed}, for which there is no route. Add it, or a route 'default'."


def _shape_of_choice(step: PipelineStep, known: Known) -> Shape:
    """Return what the value may be that names the route; empty where a path to it leads nowhere."""
    if step.switch_on is None:
        return shape_of(known.declared(step.name))
    try:
        path = DataPath.parse(step.switch_on)
    except DataPathError:
        return ()
    shape = shape_of(known.declared(path.root))
    for part in path.parts:
        shape = within(shape, part)
    return shape


def _values(shape: Shape) -> tuple[object, ...] | None:
    """Return all values that there can be; None where they are not all known."""
    found: list[object] = []
    for option in shape:
        values = (True, False) if option is bool else values_of((option,))
        if values is None:
            return None
        found += values
    return tuple(found) if found else None


def _told(clash: Clash) -> str:
    router = f"the step {clash.router!r}"
    if clash.first == clash.router:
        return f"It needs the output of {clash.second!r}, which does not run when {router} starts this one."
    return (
        f"It needs the outputs of {clash.first!r} and {clash.second!r}, and only one of them runs: {router} takes one "
        "route. To go on with that one, name both in depends_on, and give the parameters of a function defaults."
    )


def _short(shown: object) -> str:
    return repr(shown[:MAX_NAME_LENGTH] if isinstance(shown, str) else shown)
