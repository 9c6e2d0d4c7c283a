"""How an attempt at a step, or at a part of it, ended. Plain values: what comes of them is decided elsewhere."""

from collections.abc import Mapping
from dataclasses import field

from tagent.effects import EffectBuffer
from tagent.task_agent.models import Failure
from tagent.values import value


@value
class AttemptSucceeded:
    """The attempt gave an output. All values are JSON values; `effects` are None when there are none."""

    output: object
    facts: Mapping[str, object] = field(default_factory=dict)
    memories: Mapping[str, object] = field(default_factory=dict)
    effects: EffectBuffer | None = None


@value
class AttemptFailed:
    """The attempt gave none.

    Attributes:
        failure: Why.
        retry_after_seconds: What the provider asks to wait; 0 if nothing.
        kinds: The names of the classes of what a function raised, the narrowest first.
    """

    failure: Failure
    retry_after_seconds: float = 0.0
    kinds: tuple[str, ...] = ()


@value
class AttemptPaused:
    """The attempt needs more than its run may spend, and goes on once that is more. Nothing has failed."""

    failure: Failure


AttemptOutcome = AttemptSucceeded | AttemptFailed | AttemptPaused
