"""How a crash point comes into the source: a name in one of its modules is given another meaning."""

from types import ModuleType

Replacement = tuple[ModuleType | type, str, object]
"""A module or a class, a name in it, and what that means in a victim."""


def replace_all(*replacements: Replacement) -> None:
    """Give the names their new meanings in this process."""
    for owner, name, ours in replacements:
        assert hasattr(owner, name), f"{name} has another name by now: its points would never be passed"
        setattr(owner, name, ours)
