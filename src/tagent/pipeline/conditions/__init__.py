"""Conditions: what must hold so that a step runs. Objects and texts are the same tree, with one meaning."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tagent.pipeline.exceptions import PipelineError
from tagent.values import value


class ConditionError(PipelineError):
    """A condition cannot be read, or cannot be answered."""

    code = "pipeline.condition"


@value
class Verdict:
    """What a condition comes to.

    Attributes:
        holds: Whether it holds.
        reason: Why, for people: the condition, and the values that decided.
    """

    holds: bool
    reason: str


class NeedsCallError(Exception):
    """A condition depends on a function whose answer is not known yet; whoever judges calls it and asks again."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        super().__init__(function)


@dataclass(frozen=True, eq=False)
class Condition:
    """A condition.

    Attributes:
        text: It as text.
        steps: The steps that it reads.
        inputs: The inputs that it reads.
        functions: The functions that it calls; without any it is pure.
    """

    text: str = ""
    steps: frozenset[str] = frozenset()
    inputs: frozenset[str] = frozenset()
    functions: tuple[Callable[..., object], ...] = ()

    def judge(
        self, values: Mapping[str, object], answers: Mapping[Callable[..., object], bool] | None = None
    ) -> Verdict:
        """Return what it comes to.

        Args:
            values: `steps`, `inputs` and, for the check of a dependency, `output`, as JSON values.
            answers: What its functions have said so far.

        Raises:
            ConditionError: If a field is missing, or values do not go together.
            NeedsCallError: If a function has to be asked first.
        """
        raise NotImplementedError


def condition_of(given: str | Condition | Callable[..., object]) -> Condition:
    """Return what is given as a condition.

    Raises:
        ConditionError: If a text cannot be read.
    """
    raise NotImplementedError
