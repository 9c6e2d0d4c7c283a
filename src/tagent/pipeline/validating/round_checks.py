"""Rounds: a step whose work is done again until something holds."""

from collections.abc import Iterator
from typing import get_args

from tagent.exceptions import nearest
from tagent.pipeline import bindings
from tagent.pipeline.models import ExecutionMode, IfNotReached, PipelineStep
from tagent.pipeline.validating.condition_checks import judged_problems
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import is_whole

MAX_TIMES = 1000

_NOT_REPEATED = ("for_each", "branches", "wait_for", "when", "switch_on")


def round_problems(step: PipelineStep, known: Known) -> Iterator[Found]:
    """Yield the mistakes in how often `step` is done."""
    choices = get_args(IfNotReached)
    if step.if_not_reached not in choices:
        listed = " or ".join(map(repr, choices))
        suggestion = nearest(step.if_not_reached, choices)
        yield "bad_repeat", f"`if_not_reached` is {step.if_not_reached[:60]!r}; it must be {listed}.{suggestion}"
    if not bindings.is_repeated(step):
        if step.if_not_reached == "keep":
            yield "bad_repeat", "`if_not_reached` is for steps that are repeated. Give it `until` and `max_times`."
        return
    times = step.max_times
    if times is None:
        yield "bad_repeat", f"`until` needs `max_times`: how many rounds there are at most, from 1 to {MAX_TIMES:,}."
    elif not is_whole(times) or not 1 <= times <= MAX_TIMES:
        yield "bad_repeat", f"`max_times` is {times!r}; it must be a whole number from 1 to {MAX_TIMES:,}."
    yield from _combination_problems(step)
    if step.until is not None:
        yield from judged_problems(step.until, step, known, its="`until`", whose="its condition's", is_of_output=True)
    for name in sorted(bindings.ROUND_NAMES & known.names):
        kind = "A step" if name in known.steps else "An input"
        yield "ambiguous_name", f"{kind} is called {name!r}, which is what rounds call their own. Rename it."


def _combination_problems(step: PipelineStep) -> Iterator[Found]:
    others = [name for name in _NOT_REPEATED if getattr(step, name) is not None]
    if others:
        names = ", ".join(f"`{name}`" for name in others)
        yield (
            "bad_repeat",
            f"A step with {names} cannot be repeated. Put it into a pipeline of its own, and repeat that.",
        )
    elif step.execution_mode == ExecutionMode.PARALLEL_MERGE:
        yield "bad_repeat", "A PARALLEL_MERGE step cannot be repeated. Repeat a step behind it."
