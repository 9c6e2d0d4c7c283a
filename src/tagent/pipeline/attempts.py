"""How an attempt at a step, or at a part of it, ended. Plain values: what comes of them is decided elsewhere."""

from collections.abc import Mapping
from dataclasses import field

from tagent.effects import EffectBuffer
from tagent.pipeline.changes import Change
from tagent.pipeline.plan import Plan
from tagent.task_agent.models import Failure
from tagent.values import value


@value
class AttemptSucceeded:
    """The attempt gave an output.

    Attributes:
        output: What it gave, as JSON values.
        facts: What it learned, by name.
        memories: What it saved, by key.
        effects: What it wrote, sent and received; None for nothing.
        cached: Whether the output was there already, and nothing ran.
        change: What it changed about the steps; None for nothing.
        is_last: Whether it is the last round of a step that is repeated.
        plan: What it wants to change about the steps, before that is checked and becomes the `change`.
    """

    output: object
    facts: Mapping[str, object] = field(default_factory=dict)
    memories: Mapping[str, object] = field(default_factory=dict)
    effects: EffectBuffer | None = None
    cached: bool = False
    change: Change | None = None
    is_last: bool = False
    plan: Plan | None = None


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
    """The attempt waits for somebody: for a larger budget, or for an approval inside it. Nothing has failed."""

    failure: Failure


AttemptOutcome = AttemptSucceeded | AttemptFailed | AttemptPaused
