"""The forms of an agent's last calls: whether the goal is reached, and the final output or why there is none."""

from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PydanticUserError, create_model

from tagent.exceptions import ConfigurationError


class Answer(BaseModel):
    """What the answering call gives back; `answer_type` narrows `output` to the type asked for.

    Attributes:
        output: The final output. First, and required: measured on the smallest model, a shape in
            which it comes later, or may be left out, makes the choice a matter of chance.
        not_achieved_because: Why the goal is not achieved; empty when it is.
        do_next: What another plan should try; empty when there is nothing.
    """

    model_config = ConfigDict(extra="forbid")

    output: Any
    not_achieved_because: str | None = None
    do_next: str | None = None

    @property
    def is_achieved(self) -> bool:
        """Whether there is an output and no objection to it."""
        return self.output is not None and not self.not_achieved_because


class Evaluation(BaseModel):
    """What a separate evaluation gives back.

    Attributes:
        achieved: Whether the goal can be answered from what is there.
        reason: Why, or why not.
        do_next: What another plan should try; empty when there is nothing.
    """

    model_config = ConfigDict(extra="forbid")

    achieved: bool
    reason: str
    do_next: str | None = None


def answer_type(output_type: object) -> type[Answer]:
    """Return the `Answer` whose output is an `output_type` or None.

    Raises:
        ConfigurationError: If Pydantic cannot check it.
    """
    try:
        return _answer_type(output_type)
    except (TypeError, NameError, PydanticUserError) as error:
        name = getattr(output_type, "__name__", repr(output_type))
        raise ConfigurationError(f"The output format {name} is no type that Pydantic can check.") from error


@lru_cache(maxsize=256)
def _answer_type(output_type: object) -> type[Answer]:
    annotation: Any = output_type | None  # type: ignore[operator]  # types and annotations take `|`
    return create_model(
        "Answer",
        __base__=Answer,
        output=(annotation, Field(description="What the goal asks for; null if not achieved.")),
    )
