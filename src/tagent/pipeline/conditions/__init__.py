"""Conditions: what must hold so that a step runs. Objects and texts are the same tree, with one meaning.

Texts are a subset of CEL, the Common Expression Language. Judging is pure, takes a bounded number of steps, and
looks at nothing but keys of mappings and places in lists.
"""

from tagent.pipeline.conditions.building import Field, exists, field
from tagent.pipeline.conditions.checking import condition_problems
from tagent.pipeline.conditions.condition import Condition, Verdict, condition_of
from tagent.pipeline.conditions.errors import ConditionError, NeedsCallError

__all__ = [
    "Condition", "ConditionError", "Field", "NeedsCallError", "Verdict", "condition_of", "condition_problems", "exists",
    "field",
]  # fmt: skip
