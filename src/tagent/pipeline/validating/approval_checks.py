"""Whom a step waits for: what is asked, how long, and what counts when nobody answers."""

import sys
from collections.abc import Iterator
from typing import get_args

from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.approval import Approval, ApprovalDefault, ApprovalOf, approval_of
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.placeholders import placeholders
from tagent.pipeline.schema_paths import field_problem
from tagent.pipeline.validating.known import Found, Known

LONGEST_QUESTION = 10_000
"""Characters of a question before its placeholders are replaced."""


def approval_problems(step: PipelineStep) -> Iterator[Found]:
    """Yield the mistakes in what has to be approved of `step`."""
    try:
        approval = approval_of(step.approval)
    except ValueError:
        told = "True, 'start', 'output' or an Approval(...)"
        yield "bad_approval", f"`approval` is {step.approval!r}; it must be {told}."
        return
    if approval is None:
        return
    for name, allowed in (("of", get_args(ApprovalOf)), ("default", get_args(ApprovalDefault))):
        if (given := getattr(approval, name)) not in allowed:
            yield (
                "bad_approval",
                f"`{name}` of its approval is {given!r}; it must be {' or '.join(map(repr, allowed))}.",
            )
    yield from _number_and_text(approval)


def _number_and_text(approval: Approval) -> Iterator[Found]:
    seconds: object = approval.timeout
    if seconds is not None:
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not (is_number and 0 < seconds <= sys.float_info.max):  # type: ignore[operator]  # it is a number
            told = "a number of seconds above 0, or None"
            yield "bad_approval", f"`timeout` of its approval is {seconds!r}; it must be {told}."
    question: object = approval.question
    if not isinstance(question, str):
        yield "bad_approval", f"`question` of its approval is {type(question).__name__}; it must be text."
    elif len(question) > LONGEST_QUESTION:
        message = f"`question` of its approval has {len(question)} characters; {LONGEST_QUESTION} are allowed."
        yield "bad_approval", message


def approval_warnings(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield what in it is probably a mistake."""
    try:
        approval = approval_of(step.approval)
    except ValueError:
        return
    if approval is None or not isinstance(approval.question, str):
        return
    for path in placeholders(approval.question):
        if message := _stays(path, step, known, is_of_output=approval.of == "output"):
            yield Problem("unknown_placeholder", f"In its question {message}", step.name, "warning")


def _stays(path: DataPath, step: PipelineStep, known: Known, *, is_of_output: bool) -> str:
    """Return why a placeholder of the question stays as it is; empty if it may be filled."""
    is_output = is_of_output and path.root == bindings.OUTPUT
    if is_output or (path.root in known.names and path.root != step.name):
        problem = field_problem(known.declared(step.name if is_output else path.root), path)
        return f"{{{path}}} stays as it is: {problem}" if problem else ""
    if path.root == step.name:
        told = f"{{{path}}} names the step itself and stays as it is."
        return f"{told} Write {{{DataPath(bindings.OUTPUT, path.parts)}}}." if is_of_output else told
    below = known.below_root(path)
    suggestion = f" Write {{{below}}}." if below else known.nearest_known(path.root, but=step.name)
    return f"{{{path}}} names no step or input and stays as it is.{suggestion}"
