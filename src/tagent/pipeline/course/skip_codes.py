"""Why steps are skipped: the codes for programs, and what follows from them."""

from typing import NamedTuple


class Why(NamedTuple):
    """Why a step is skipped, or fails without an attempt.

    Attributes:
        code: For programs: one of those below, or the error's.
        reason: For people.
    """

    code: str
    reason: str


BRANCH_NOT_TAKEN = "branch_not_taken"
"""Only a branch that was not taken leads to it."""
CONDITION_FALSE = "condition_false"
"""Its condition does not hold."""
DEPENDENCY_SKIPPED = "dependency_skipped"
"""A step before it was left out, and it wants to be left out with that one."""
DEPENDENCY_UNMET = "dependency_unmet"
"""What it needs of a step before it is not there, or did not pass its check."""
DISABLED = "disabled"
"""It is not enabled."""
NOT_NEEDED = "not_needed"
"""The step whose place it was to take did not fail."""
NOT_SELECTED = "not_selected"
"""The run was not to do it."""
UPSTREAM_FAILED = "upstream_failed"
"""A step before it failed, was cancelled, or was skipped because something went wrong."""

LEFT_OUT = frozenset({BRANCH_NOT_TAKEN, CONDITION_FALSE, DEPENDENCY_SKIPPED, DISABLED, NOT_NEEDED, NOT_SELECTED})
"""Why a step may be skipped without anything having gone wrong."""

BECAUSE_OF_OTHERS = frozenset({BRANCH_NOT_TAKEN, DEPENDENCY_SKIPPED, DEPENDENCY_UNMET, NOT_NEEDED, UPSTREAM_FAILED})
"""Why a step may be skipped because of what became of another one."""
