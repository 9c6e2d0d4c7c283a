"""What a step may wait for: the value `Event`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from tagent.names import InvalidNameError, checked_pattern, pipeline_mailbox, run_mailbox, topic_of

EventSource = Literal["topic", "pipeline", "run"]
"""Where an event comes from: a topic, the mailbox of the pipeline, of which every run sees all, or that of the run."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a step waits for: the first message of this kind that was sent after its run began.

    Attributes:
        pattern: A topic, or a pattern of topics; empty for a mailbox.
        where: What fields of its data, or paths into them, must be equal to. In a text, `{name}` and `{name.path}` are
            replaced as in goals; one that is nothing but a placeholder is equal to what that stands for.
        from_: Where it comes from.

    Example:
        >>> from tagent.pipeline import PipelineStep
        >>> step = PipelineStep(name="paid", wait_for=event("orders.paid", where={"id": "{order_id}"}), timeout=3600)
        >>> step.wait_for
        Event(pattern='orders.paid', where={'id': '{order_id}'}, from_='topic')
    """

    pattern: str = ""
    where: Mapping[str, object] = field(default_factory=dict)
    from_: EventSource = "topic"

    @property
    def texts(self) -> tuple[str, ...]:
        """The texts in which placeholders are replaced."""
        return tuple(expected for expected in self.where.values() if isinstance(expected, str))

    @property
    def shown(self) -> str:
        """What is awaited, for messages."""
        return self.pattern or f"the mailbox of the {self.from_}"

    def source(self, *, pipeline: str, run_id: str) -> str:
        """Return the topic of the store, or the pattern of them, in which a run looks for it."""
        if self.from_ == "topic":
            return topic_of(self.pattern)
        return run_mailbox(run_id) if self.from_ == "run" else pipeline_mailbox(pipeline)


def event(pattern: str = "", *, where: Mapping[str, object] | None = None, from_: EventSource = "topic") -> Event:
    """Return what a step waits for, as `wait_for`.

    Args:
        pattern: A topic like `orders.created`, or a pattern, in which `*` is one word and `#` any number of words.
        where: What fields of its data must be equal to.
        from_: `topic`; or `pipeline` or `run` for a message to that mailbox, which has no pattern.

    Raises:
        InvalidNameError: If the pattern is none, or is missing, or there is one for a mailbox.

    Example:
        >>> event("orders.*", where={"id": "{order_id}"}).texts
        ('{order_id}',)
    """
    if from_ not in ("topic", "pipeline", "run"):
        raise InvalidNameError(from_, "is nowhere that an event comes from.", hint="Write topic, pipeline or run.")
    if from_ == "topic":
        checked_pattern(pattern)
    elif pattern:
        raise InvalidNameError(pattern, f"is too much: what is sent to a {from_} has no topic.", hint="Use `where`.")
    return Event(pattern, dict(where or {}), from_)


def event_of(wait_for: str | Event) -> Event:
    """Return what a step waits for whose `wait_for` is an event or the pattern of one.

    Raises:
        InvalidNameError: As for `event`.
    """
    return event(wait_for) if isinstance(wait_for, str) else wait_for
