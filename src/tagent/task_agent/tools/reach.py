"""What a step's function, or a tool of its agent, may reach beyond what it is given."""

from collections.abc import Callable

from tagent.effects import EffectBuffer
from tagent.exceptions import ConfigurationError
from tagent.memory import StepMemory
from tagent.messaging import StepMessages
from tagent.values import value


@value
class Reach:
    """The way out of a step.

    Attributes:
        memory: What is remembered.
        messages: The step's mail.
        remembers: Which memory `remember` and `recall` mean: `run` or `pipeline`.
    """

    memory: StepMemory
    messages: StepMessages
    remembers: str = "run"


OpenReach = Callable[[str, EffectBuffer], Reach]
"""Opens the way out for a piece of work: what names it, equal in every attempt, and what gathers its changes."""


class OutsidePipelineError(ConfigurationError):
    """Memory or mail is asked for outside a pipeline, where there is none."""

    code = "memory.outside_pipeline"

    def __init__(self, asked: str) -> None:
        super().__init__(
            f"There is no {asked} here: the agent does not work at a step of a pipeline.",
            hint="Make the goal a step of a pipeline, or use PipelineMemory or PipelineCommunicator.",
        )


def required(reach: Reach | None, asked: str) -> Reach:
    """Return `reach` if there is one.

    Raises:
        OutsidePipelineError: If there is none.
    """
    if reach is None:
        raise OutsidePipelineError(asked)
    return reach
