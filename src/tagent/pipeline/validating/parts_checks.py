"""The parts of a PARALLEL_MERGE step: branches, items, how many, and what becomes of what they give."""

from collections.abc import Iterator

from tagent.exceptions import DataPathError, nearest
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import Dependency, DependencyType, ExecutionMode, PipelineStep
from tagent.pipeline.schema_paths import field_problem, list_problem, type_at
from tagent.pipeline.signatures import signature_of
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import MAX_NAME_LENGTH, is_whole, takes, unknown_name

MAX_BRANCHES = 1000
MOST = 2**53
"""Beyond every number that is meant; larger ones are not written as JSON in the same way everywhere."""

_OF_PARTS = {"branches": None, "for_each": None, "merge": None, "item_schema": None, "min_success": None}
_ITEM = bindings.ITEM_NAMES
_LONGEST_WORD = 60
_DEFAULT_CONCURRENCY = PipelineStep().max_concurrency


def parts_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in the parts of `step`."""
    given = [name for name, default in _OF_PARTS.items() if getattr(step, name) is not default]
    if step.max_concurrency != _DEFAULT_CONCURRENCY:
        given.append("max_concurrency")
    if step.execution_mode != ExecutionMode.PARALLEL_MERGE:
        if given:
            names = ", ".join(f"`{name}`" for name in given)
            yield "wrong_mode", f"{names}: for this give it execution_mode=ExecutionMode.PARALLEL_MERGE."
        return
    yield from _number_problems(step)
    if step.branches is not None and step.for_each is not None:
        yield "two_works", "It has both `branches` and `for_each`. Keep one of them."
    elif step.branches is not None:
        yield from _branch_problems(step)
    elif step.for_each is not None:
        yield from _list_problems(step, known)
    else:
        yield from _without_parts(step, given, known)
    yield from _work_problems(step)
    yield from _merge_problems(step)
    if step.item_schema is not None:
        try:
            known.type_of(step.item_schema)
        except TypeError as error:
            yield "bad_schema", f"Its item_schema cannot be used: {error}"


def parts_warnings(step: PipelineStep) -> Iterator[Problem]:
    """Yield what in the parts of `step` is probably a mistake."""
    if step.execution_mode != ExecutionMode.PARALLEL_MERGE:
        return
    goal = bindings.merge_goal(step)
    if goal is not None and (suggestion := nearest(goal.strip().lower()[:_LONGEST_WORD], bindings.MERGES)):
        message = f"`merge` is {goal[:_LONGEST_WORD]!r}, which is taken for a goal.{suggestion}"
        yield Problem("odd_merge", message, step.name, "warning")
    run: object = step.run
    if step.for_each is not None and callable(run):
        signature = signature_of(run)
        # A `StepContext` says which part it is.
        is_told = signature.takes_the_rest or any(it.is_context or it.name in _ITEM for it in signature.parameters)
        if not signature.problem and not is_told:
            message = "Its function takes neither `item` nor `index`, so it does the same for every item."
            yield Problem("no_item", message, step.name, "warning")


def _work_problems(step: PipelineStep) -> Iterator[Found]:
    for other in ("agent", "wait_for"):
        if getattr(step, other) is not None:
            yield "bad_parts", f"A PARALLEL_MERGE step cannot have `{other}`. Give that a step of its own."


def _number_problems(step: PipelineStep) -> Iterator[Found]:
    if not is_whole(step.max_concurrency) or not 1 <= step.max_concurrency < MOST:
        yield "bad_parts", f"`max_concurrency` is {step.max_concurrency!r}; it must be a whole number from 1."
    least = step.min_success
    if least is None:
        return
    if not _is_amount(least):
        yield "bad_parts", f"`min_success` is {least!r}; it must be a count (int) from 0, or a share (float) up to 1.0."
    elif step.branches and is_whole(least) and least > len(step.branches):
        yield "bad_parts", f"`min_success` is {least!r}, and it has {len(step.branches)} branches."


def _is_amount(least: object) -> bool:
    return 0 <= least <= 1 if isinstance(least, float) else is_whole(least) and 0 <= least < MOST


def _branch_problems(step: PipelineStep) -> Iterator[Found]:
    branches = bindings.branches_of(step)
    if not branches:
        yield "bad_branches", "`branches` is empty. Give it a goal or a function for each branch."
    if len(branches) > MAX_BRANCHES:
        yield "bad_branches", f"It has {len(branches):,} branches; {MAX_BRANCHES:,} are allowed. Use for_each."
        return
    for name, work in branches.items():
        if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable() or {"<", "/"} & set(name):
            told = repr(name[:60])
            rule = f"1 to {MAX_NAME_LENGTH} printable characters, none of them '<' or '/'"
            yield "bad_branches", f"The branch name {told} cannot be used; it must have {rule}."
        if isinstance(work, str) and not work.strip():
            yield "bad_branches", f"The branch {name[:60]!r} has an empty goal."


def _list_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    try:
        path = DataPath.parse(step.for_each or "")
    except DataPathError as error:
        yield "bad_path", f"In `for_each`: {error.message}"
        return
    if path.root == step.name:
        yield "bad_for_each", "`for_each` names the step itself. Name a step before it."
    elif path.root in known.steps or (known.inputs is not None and path.root in known.names):
        yield from _no_list(path, known)
    else:
        yield from unknown_name(path, step, known, where="`for_each`")
    declared = [dep for dep in step.depends_on if isinstance(dep, Dependency) and dep.step == path.root]
    if any(dep.type is DependencyType.SOFT for dep in declared):
        yield "bad_dependency", f"It waits for {path.root!r} only SOFT, and cannot go on without its list. Use DATA."
    for name in sorted(bindings.ITEM_NAMES & known.names):
        kind = "A step" if name in known.steps else "An input"
        yield "ambiguous_name", f"{kind} is called {name!r}, which is what for_each calls its own. Rename it."


def _no_list(path: DataPath, known: Known) -> Iterator[Found]:
    declared = known.declared(path.root)
    if problem := field_problem(declared, path):
        yield "unknown_path", problem
    elif told := list_problem(type_at(declared, path)):
        yield "bad_for_each", f"`for_each` needs a list, and {str(path)!r} is {told}."


def _without_parts(step: PipelineStep, given: list[str], known: Known) -> Iterator[Found]:
    """Yield what is wrong with a step that merges what its dependencies give."""
    of_parts = [f"`{name}`" for name in given if name != "merge"]
    if of_parts:
        yield "bad_parts", f"{', '.join(of_parts)} is for parts, and it has neither `branches` nor `for_each`."
    if step.merge is not None and (step.goal is not None or step.run is not None):
        yield "two_works", "It has a work and a `merge`, and no parts. Keep one of them, or say for_each=."
    if not bindings.dependencies(step, known.steps, known.pipeline.global_constraints):
        yield "no_work", "It has nothing to merge. Give it `branches`, `for_each`, or steps that it depends on."


def _merge_problems(step: PipelineStep) -> Iterator[Found]:
    if isinstance(step.merge, str):
        if not step.merge.strip():
            yield "bad_merge", "`merge` is empty. Write 'list', 'dict', a goal, or give it a function."
    elif step.merge is not None and not takes(step.merge, 1):
        yield "bad_merge", "Its merge function must take one positional argument: the list or the dict of outputs."
