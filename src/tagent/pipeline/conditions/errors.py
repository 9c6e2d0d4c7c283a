"""What can be wrong with a condition: it cannot be read, or it cannot be answered."""

from collections.abc import Callable

from tagent.pipeline.exceptions import PipelineError


class ConditionError(PipelineError):
    r"""A condition cannot be read, or cannot be answered.

    The message names paths and kinds of values, never the values.

    Attributes:
        text: The condition, or as much of it as could be read; cut after 2,000 characters.
        path: The path that leads nowhere; empty where the error is about something else.
        word: The word that stands for nothing, and is likely to be a name; empty likewise.

    Example:
        >>> from tagent.pipeline.conditions import condition_of
        >>> try:
        ...     condition_of("steps.mood.score > 7").judge({"steps": {"mood": {"scores": 8}}})
        ... except ConditionError as error:
        ...     print(error.path, error.message, error.hint, sep="\n")
        steps.mood.score
        The condition 'steps.mood.score > 7' cannot be answered: steps.mood has no 'score'. Did you mean 'scores'?
        Where it may be missing, ask for it first: has(steps.mood.score) && ...
    """

    code = "pipeline.condition"

    def __init__(self, message: str, *, text: str = "", path: str = "", word: str = "", hint: str = "") -> None:
        self.text = text
        self.path = path
        self.word = word
        super().__init__(message, hint=hint)


class NeedsCallError(Exception):
    """A condition depends on a function whose answer is not known yet; whoever judges calls it and asks again.

    Attributes:
        function: The function to call.

    Example:
        >>> from tagent.pipeline.conditions import condition_of
        >>> def enough() -> bool:
        ...     return True
        >>> condition = condition_of(enough)
        >>> try:
        ...     condition.judge({})
        ... except NeedsCallError as needed:
        ...     condition.judge({}, {needed.function: needed.function()}).holds
        True
    """

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function
        super().__init__(function)
