"""Functions of the user's that are called before and after each attempt at a step."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from tagent.pipeline.kinds import StepStatus
from tagent.values import value

if TYPE_CHECKING:
    from tagent.pipeline.context import StepContext


@value
class StepOutcome:
    """How an attempt ended.

    Attributes:
        status: Where the step stands now: WAITING if it is tried again.
        output: What it gave, as JSON values; None if nothing.
        code: Why it failed, for programs; empty if it did not.
        reason: The same for people.
    """

    status: StepStatus
    output: object = None
    code: str = ""
    reason: str = ""


BeforeStep = Callable[["StepContext"], object]
"""Is given what the step will see. May be async."""

AfterStep = Callable[["StepContext", StepOutcome], object]
"""Is given what the step saw, and how the attempt ended. May be async."""
