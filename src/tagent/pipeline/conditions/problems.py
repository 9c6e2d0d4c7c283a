"""Why a condition has no answer, for as long as it is judged: cheap to raise, since another part may decide.

Messages are made when judging ends, and only then a name is compared with those that are there.
"""

from collections.abc import Mapping, Sequence
from typing import Final, TypeGuard

from tagent.exceptions import nearest
from tagent.pipeline.conditions.errors import ConditionError
from tagent.pipeline.conditions.lexing import shortened
from tagent.pipeline.conditions.writing import path_text

_NAMES: Final = {bool: "a bool", int: "an int", float: "a double", str: "a string", type(None): "null"}
_MOST_NAMES: Final = 1_000


class Unanswered(Exception):  # noqa: N818 - no error of ours: it becomes one where judging ends
    """Something in a condition has no answer.

    Attributes:
        problem: What is wrong, as it follows "cannot be answered: ".
        hint: What to do.
    """

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(problem)

    def error(self, text: str) -> ConditionError:
        """Return what is raised for the condition `text`."""
        return ConditionError(f"{_beginning(text)}: {self.problem}", text=text, hint=self.hint)


class Missing(Unanswered):
    """A path leads nowhere.

    Attributes:
        root: The path's root.
        parts: What follows it.
        depth: Which of the parts is missing, from 0; -1 for the root.
        value: Where it is missing.
    """

    def __init__(self, root: str, parts: tuple[str | int, ...], depth: int, value: object) -> None:
        self.root = root
        self.parts = parts
        self.depth = depth
        self.value = value
        super().__init__("a path leads nowhere.")

    def error(self, text: str) -> ConditionError:
        """Return what is raised for the condition `text`; it says what is there instead, or how to ask for it."""
        path = path_text(self.root, self.parts)
        problem, is_guarded = self._told(path)
        hint = f"Where it may be missing, ask for it first: has({shortened(path)}) && ..." if is_guarded else ""
        return ConditionError(f"{_beginning(text)}: {problem}", text=text, path=path, hint=hint)

    def _told(self, path: str) -> tuple[str, bool]:
        if self.depth < 0:
            return f"there is no {self.root!r} here.", False
        part, value = self.parts[self.depth], self.value
        here = path_text(self.root, self.parts[: self.depth])
        if isinstance(value, Mapping) and isinstance(part, str):
            names = map(str, list(value)[:_MOST_NAMES]) if len(value) <= _MOST_NAMES else ()
            suggestion = nearest(part[:200], (name for name in names if len(name) <= 200))
            if here == "steps":
                told = f"the step {part[:200]!a} has no output here: it was left out, or there is none of this name."
                return f"{told}{suggestion}", True
            return f"{shortened(here)} has no {part[:200]!a}.{suggestion}", True
        if isinstance(part, int) and is_list(value):
            return f"{shortened(here)} has {len(value)} items, so there is no [{part}].", True
        wanted = "a list" if isinstance(part, int) else "a map"
        return f"{shortened(here)} is {kind_of(value)}, not {wanted}, so {shortened(path)} leads nowhere.", False


def _beginning(text: str) -> str:
    return f"The condition {shortened(text)!a} cannot be answered"


def mismatch(sign: str, *values: object) -> Unanswered:
    """Return the problem that `sign` has no meaning for `values`."""
    return Unanswered(f"{sign} does not go with {' and '.join(map(kind_of, values))}.")


def kind_of(value: object) -> str:
    """Return what a value is, for people.

    Example:
        >>> kind_of(True), kind_of(1.5), kind_of([]), kind_of({})
        ('a bool', 'a double', 'a list', 'a map')
    """
    name = _NAMES.get(type(value))
    if name is None:
        name = "a list" if is_list(value) else "a map" if isinstance(value, Mapping) else f"a {type(value).__name__}"
    return name


def is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Return whether `value` is a list of JSON."""
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
