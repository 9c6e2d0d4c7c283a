"""Which piece of a step's work something is, and what it knows besides what the step does."""

from collections.abc import Mapping
from dataclasses import field

from tagent.values import value


@value
class Scope:
    """A piece of a step's work.

    Attributes:
        part: The part of the step; empty for the step itself.
        given: What it knows by name besides outputs and inputs, as JSON values: its `item` and `index`, for example.
            An agent may be told of what is `Absent`, and why.
        facts: What its agent is told besides, by name, as JSON values.
    """

    part: str = ""
    given: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)


WHOLE = Scope()
"""The step itself."""
