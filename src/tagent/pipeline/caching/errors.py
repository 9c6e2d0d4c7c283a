"""Why the output of some work cannot be used again."""

from tagent.pipeline.exceptions import PipelineError


class UnkeyableError(PipelineError):
    """Nobody can tell whether two pieces of work are the same, as one depends on more than can be looked at.

    Attributes:
        problem: What it is that cannot be looked at.

    Example:
        >>> print(UnkeyableError("its function is bound to an object of the class Client"))
        Nothing of it can be used again: its function is bound to an object of the class Client.
    """

    code = "step.not_keyable"

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(f"Nothing of it can be used again: {problem}.")
