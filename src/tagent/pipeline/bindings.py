"""What a step reads: placeholders in its texts, paths, the parameters of its functions, its conditions.

Whatever names another step is a dependency too, so nobody has to write it twice.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from typing import TypeGuard

from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline.approval import approval_of
from tagent.pipeline.awaited import Event
from tagent.pipeline.conditions import Condition, ConditionError, condition_of
from tagent.pipeline.models import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Fallback,
    Pipeline,
    PipelineStep,
    Work,
)
from tagent.pipeline.placeholders import placeholders
from tagent.pipeline.signatures import signature_of

ITEM_NAMES = frozenset({"item", "index"})
"""What the parts of a `for_each` call the item that they work on, and its place."""

PREVIOUS = "previous"
ROUND = "round"
ROUND_NAMES = frozenset({PREVIOUS, ROUND})
"""What a round of a step that is repeated calls what the round before it gave, and its own number from 1."""

OUTPUT = "output"
"""What the check of a dependency calls what that has given, and the end of a repetition what the round has."""

_CONTEXT_NAMES = frozenset({"context", "ctx", "step_context"})
"""What people call a parameter that is to take the `StepContext`."""

MERGES = ("list", "dict")
"""The merges that are named by a word; any other text is a goal."""


def texts(step: PipelineStep, global_constraints: Collection[str] = ()) -> tuple[str, ...]:
    """Return the texts of a step in which placeholders are replaced: goals, rules, what an event must say.

    The goal of its compensation is not among them: it is read when the run has failed, and waits for nobody.
    """
    if step.wait_for is not None:
        return step.wait_for.texts if isinstance(step.wait_for, Event) else ()
    if is_router(step) or step.pipeline is not None:
        return ()
    told = (step.goal or "", *step.constraints, *global_constraints)
    if step.execution_mode != ExecutionMode.PARALLEL_MERGE:
        return told
    goals = [work for work in branches_of(step).values() if isinstance(work, str)]
    merge = merge_goal(step)
    return (*told, *goals) if merge is None else (*told, *goals, merge)


def functions(step: PipelineStep) -> tuple[Callable[..., object], ...]:
    """Return the functions that do a step's work, whose parameters are filled by name: its own, or its branches."""
    run: object = step.run if step.pipeline is None else step.inputs
    if run is not None:
        return (run,) if callable(run) else ()  # validation refuses what is none
    return tuple(work for work in branches_of(step).values() if callable(work))


def branches_of(step: PipelineStep) -> Mapping[str, Work]:
    """Return the branches of a step by name, in order; those in a list are called by their places from 0.

    Example:
        >>> list(branches_of(PipelineStep(branches=["Ask the bull", "Ask the bear"])))
        ['0', '1']
    """
    if not step.branches:
        return {}
    if isinstance(step.branches, Mapping):
        return step.branches
    return {str(place): work for place, work in enumerate(step.branches)}


def is_merge(step: PipelineStep) -> bool:
    """Return whether a step merges what its parts give, or those it depends on; else it is one work like any other.

    Example:
        >>> from tagent.pipeline import ExecutionMode
        >>> parallel = ExecutionMode.PARALLEL_MERGE
        >>> is_merge(PipelineStep(execution_mode=parallel)), is_merge(PipelineStep(goal="x", execution_mode=parallel))
        (True, False)
    """
    if step.execution_mode != ExecutionMode.PARALLEL_MERGE:
        return False
    return step.for_each is not None or bool(step.branches) or (step.goal is None and step.run is None)


def merge_goal(step: PipelineStep) -> str | None:
    """Return the goal by which the model merges what a step's parts give; None if it does not."""
    return step.merge if isinstance(step.merge, str) and step.merge not in MERGES else None


def is_judged(step: PipelineStep) -> bool:
    """Return whether the model says whether a step runs, by the step's constraints."""
    return step.execution_mode == ExecutionMode.CONDITIONAL and step.condition is None


def has_agents(step: PipelineStep) -> bool:
    """Return whether agents of ours work for a step itself, judge whether it runs, or undo it.

    Example:
        >>> has_agents(PipelineStep(goal="Find facts")), has_agents(PipelineStep(goal="Find facts", agent=print))
        (True, False)
    """
    judged = is_judged(step)
    has_more = not (step.branches is None and step.merge is None and step.compensate is None)
    if step.run is not None and not has_more and not judged:
        return False  # a plain function, like most steps without a goal
    works = [*branches_of(step).values(), merge_goal(step), step.compensate]
    has_goals = any(isinstance(work, str) for work in works)
    return has_goals or judged or (step.goal is not None and step.agent is None)


def fallback_of(step: PipelineStep) -> Fallback | None:
    """Return what takes the place of a step that has failed for good; None for nothing."""
    return Fallback(step.on_error) if isinstance(step.on_error, str) else step.on_error


def is_repeated(step: PipelineStep) -> bool:
    """Return whether the work of a step is done in rounds."""
    return step.max_times is not None or step.until is not None


def is_router(step: PipelineStep) -> bool:
    """Return whether a step does nothing but find out which steps are to run: by `when` or `switch_on`."""
    return step.when is not None or step.switch_on is not None


def part_names(step: PipelineStep) -> frozenset[str]:
    """Return what the parts of a step call what only they know: an item and its place, or the round before and its own.

    Example:
        >>> sorted(part_names(PipelineStep(max_times=3))), sorted(part_names(PipelineStep()))
        (['previous', 'round'], [])
    """
    if step.for_each is not None:
        return ITEM_NAMES
    return ROUND_NAMES if is_repeated(step) else frozenset()


def what_was_meant(name: str) -> str:
    """Return what to do about a name that nothing fills, if it says what was meant; empty for any other name.

    Example:
        >>> what_was_meant("ctx"), what_was_meant("topic")
        (' To take the context of the step, it needs the annotation: `ctx: StepContext`.', '')
    """
    if name in _CONTEXT_NAMES:
        return f" To take the context of the step, it needs the annotation: `{name}: StepContext`."
    if name in ROUND_NAMES:
        return " Only a step that is repeated has it: see `repeat`."
    return " Only a step with `for_each` has it." if name in ITEM_NAMES else ""


def is_item_name(step: PipelineStep, name: str) -> bool:
    """Return whether `name` means something that only a part of `step` knows, like its item, and no step or input."""
    return name in part_names(step)


def dependencies(
    step: PipelineStep, step_names: Collection[str], global_constraints: Collection[str] = ()
) -> tuple[Dependency, ...]:
    """Return what `step` depends on: first as declared, then what it reads of other steps.

    What it cannot do without adds a DATA dependency, unless `depends_on` already names the step: placeholders,
    `read_data`, parameters without a default. The list of `for_each` and the value of `switch_on` add one beside any
    other. What it can do without adds a HARD one: what its conditions and its checks read, and parameters with a
    default. A condition that cannot be read adds none; `validate` says what is wrong with it.

    Raises:
        DataPathError: If a path of `read_data`, `for_each` or `switch_on` is malformed.
    """
    needed = needs(step, step_names, global_constraints)
    return tuple(dep if isinstance(dep, Dependency) else Dependency(dep) for dep in needed)


def needs(
    step: PipelineStep, step_names: Collection[str], global_constraints: Collection[str] = ()
) -> tuple[str | Dependency, ...]:
    """Return what `step` depends on, as `dependencies` says; a name alone stands for a HARD one.

    No `Dependency` is made for those: graphs have many.

    Raises:
        DataPathError: If a path of `read_data`, `for_each` or `switch_on` is malformed.
    """
    declared = () if isinstance(step.depends_on, str) else step.depends_on  # validation refuses a string
    needed = [path for path in _paths_needed(step, global_constraints) if path.root in step_names]
    welcome = [name for name in _names_welcome(step) if name in step_names]
    if step.pipeline is not None:
        for name, is_needed in asked_inside(step).items():
            if name in step_names and is_needed:
                needed.append(DataPath(name))
            elif name in step_names:
                welcome.append(name)
    followed = step.for_each if step.switch_on is None else step.switch_on
    if not needed and not welcome and followed is None:
        return tuple(declared)
    told = {(dep.step, dep.path) for dep in declared if _is_data(dep)}
    named = {dep.step if isinstance(dep, Dependency) else dep for dep in declared if not _is_data(dep)}
    read: dict[tuple[str, str], Dependency] = {}
    for path in needed:
        if path.root not in named and not _is_own(step, path.root):
            _add_data(read, path, told)
    if followed is not None:
        path = DataPath.parse(followed)
        if path.root in step_names and path.root != step.name:
            _add_data(read, path, told)
    met = named.union(name for name, _ in told).union(name for name, _ in read)
    unmet = dict.fromkeys(name for name in welcome if name not in met and not _is_own(step, name))
    return (*declared, *read.values(), *unmet)


def _is_data(dep: str | Dependency) -> TypeGuard[Dependency]:
    return isinstance(dep, Dependency) and dep.type is DependencyType.DATA


def names_read(step: PipelineStep, global_constraints: Collection[str] = ()) -> Iterator[str]:
    """Yield the names of steps and inputs that a step reads, some of them twice; also in vain, if there are none.

    Raises:
        DataPathError: If a path of `read_data`, `for_each` or `switch_on` is malformed.
    """
    yield from _names_besides(step, global_constraints)
    yield from asked_inside(step)


def _names_besides(step: PipelineStep, global_constraints: Collection[str]) -> Iterator[str]:
    """Yield the names that a step reads, without those that the pipeline inside it asks for by name."""
    for path in _paths_needed(step, global_constraints):
        yield path.root
    for followed in (step.for_each, step.switch_on):
        if followed is not None:
            yield DataPath.parse(followed).root
    yield from _names_welcome(step)
    for condition in conditions_of(step):
        yield from condition.inputs
    if isinstance(step.compensate, str):
        yield from (path.root for path in placeholders(step.compensate))
    elif step.compensate is not None:
        yield from _parameters(step.compensate)


def names_needed(step: PipelineStep, global_constraints: Collection[str] = ()) -> Iterator[str]:
    """Yield the names of steps and inputs without which the work of a step, or a condition of it, cannot be done.

    Raises:
        DataPathError: If a path of `read_data` is malformed.
    """
    for path in _paths_needed(step, global_constraints):
        yield path.root
    for condition in conditions_of(step):
        yield from condition.steps_needed
        for asked in condition.functions:
            yield from (it.name for it in signature_of(asked).parameters if it.is_required and not it.is_context)


def conditions_of(step: PipelineStep) -> Iterator[Condition]:
    """Yield the conditions of a step that can be read: when it runs, its checks, what it judges, when it ends."""
    checks = [dep.check for dep in step.depends_on if isinstance(dep, Dependency)]
    for one in (step.enabled, step.condition, step.when, step.until, *checks):
        if one is not None and not isinstance(one, bool):
            with suppress(ConditionError):
                yield condition_of(one)


def _is_own(step: PipelineStep, name: str) -> bool:
    return name == step.name or is_item_name(step, name)


def _add_data(read: dict[tuple[str, str], Dependency], path: DataPath, told: Collection[tuple[str, str]]) -> None:
    below = str(DataPath("_", path.parts))[1:].removeprefix(".") if path.parts else ""
    if (path.root, below) not in told:
        read[path.root, below] = Dependency(path.root, DependencyType.DATA, path=below)


def _paths_needed(step: PipelineStep, global_constraints: Collection[str]) -> Iterator[DataPath]:
    for text in texts(step, global_constraints if step.run is None else ()):
        yield from placeholders(text)
    for path in step.read_data:
        yield DataPath.parse(path)
    for function in functions(step):
        for parameter in signature_of(function).parameters:
            if parameter.is_required and not parameter.is_context:
                yield DataPath(parameter.name)
    if isinstance(step.inputs, Mapping):
        for written in step.inputs.values():
            yield DataPath.parse(written)
    if step.approval:
        yield from _paths_asked(step)


def _paths_asked(step: PipelineStep) -> Iterator[DataPath]:
    """Yield what the question reads that somebody is asked about a step, besides what the step gives."""
    with suppress(ValueError):  # validation says what is wrong with it
        approval = approval_of(step.approval)
        if approval is not None and isinstance(approval.question, str):
            is_given = approval.of == "output"
            yield from (it for it in placeholders(approval.question) if not (is_given and it.root == OUTPUT))


def _names_welcome(step: PipelineStep) -> Iterator[str]:
    for function in functions(step):
        for parameter in signature_of(function).parameters:
            if not (parameter.is_required or parameter.is_context):
                yield parameter.name
    for condition in conditions_of(step):
        yield from sorted(condition.steps)
        for asked in condition.functions:
            yield from (name for name in _parameters(asked) if name != OUTPUT)


def asked_for(pipeline: Pipeline) -> dict[str, bool]:
    """Return what a pipeline is given by name -> whether one of its steps needs it; without that it may go on.

    Raises:
        DataPathError: If a path of `read_data`, `for_each` or `switch_on` is malformed.

    Example:
        >>> pipeline = Pipeline("p").step("facts", "Find facts on {topic}")
        >>> asked_for(pipeline.step("text", run=lambda facts, size=9: facts))
        {'topic': True, 'size': False}
    """
    if pipeline.inputs is not None:
        return {name: it.is_required() for name, it in pipeline.inputs.model_fields.items()}
    own = {step.name for step in pipeline.steps}
    asked: dict[str, bool] = {}
    for step in pipeline.steps:
        inside = asked_inside(step)
        needed = {name for name, is_needed in inside.items() if is_needed}
        needed.update(path.root for path in _paths_needed(step, pipeline.global_constraints))
        for condition in conditions_of(step):
            needed.update(condition.inputs_needed)
        for name in dict.fromkeys([*_names_besides(step, pipeline.global_constraints), *inside]):
            if name not in own and name != OUTPUT and not is_item_name(step, name):
                asked[name] = asked.get(name, False) or name in needed
    return asked


def asked_inside(step: PipelineStep) -> dict[str, bool]:
    """Return which inputs the pipeline inside `step` asks for by name: name -> whether it cannot do without.

    Nothing if the step has no pipeline inside, or says itself what that is given.

    Raises:
        DataPathError: If a path of a step inside is malformed.
    """
    return asked_for(step.pipeline) if step.pipeline is not None and step.inputs is None else {}


def _parameters(function: Callable[..., object]) -> Iterator[str]:
    return (it.name for it in signature_of(function).parameters if it.is_nameable and not it.is_context)


def output_path(dependency: Dependency) -> DataPath:
    """Return the path that a DATA dependency asks for, starting at the step's name.

    Raises:
        DataPathError: If it is malformed.
    """
    if not dependency.path:
        return DataPath(dependency.step)
    separator = "" if dependency.path.startswith("[") else "."
    try:
        parsed = DataPath.parse(f"_{separator}{dependency.path}")
    except DataPathError as error:
        raise DataPathError(dependency.path, f"{dependency.path!r} is not a path below an output.") from error
    return DataPath(dependency.step, parsed.parts)
