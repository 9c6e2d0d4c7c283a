"""Whom a step waits for: what is asked, how long, and what counts when nobody answers."""

import sys
from collections.abc import Iterator
from typing import get_args

from tagent.pipeline import bindings
from tagent.pipeline.approval import Approval, ApprovalDefault, ApprovalOf, approval_of
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.placeholders import placeholders
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
        if path.root in known.names or (path.root == bindings.OUTPUT and approval.of == "output"):
            continue
        suggestion = known.nearest_known(path.root)
        message = f"In its question {{{path}}} names no step or input and stays as it is.{suggestion}"
        yield Problem("unknown_placeholder", message, step.name, "warning")
