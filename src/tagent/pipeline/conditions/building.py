"""Conditions as Python: `field("sentiment.score") > 7` makes the tree that the text `steps.sentiment.score > 7` is."""

import math
from collections.abc import Iterable
from enum import Enum

from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline.conditions.condition import PARENTHESES, Condition
from tagent.pipeline.conditions.errors import ConditionError
from tagent.pipeline.conditions.lexing import shortened
from tagent.pipeline.conditions.parsing import NAMED_ROOTS, ROOTS, parse
from tagent.pipeline.conditions.tree import (
    INT_MAX,
    INT_MIN,
    Call,
    Compare,
    Comparison,
    FunctionName,
    Has,
    ListOf,
    Node,
    Path,
    constant,
)


class Field(Condition):
    r"""A value that a condition reads. Comparing it makes a condition; where it holds a bool, it is one itself.

    Example:
        >>> print(field("sentiment.score") > 7, field("inputs.region") == "eu", ~field("review.approved"), sep="\n")
        steps.sentiment.score > 7
        inputs.region == "eu"
        !steps.review.approved
    """

    __hash__ = Condition.__hash__

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]  # it makes a condition
        return self._compared("==", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]  # it makes a condition
        return self._compared("!=", other)

    def __lt__(self, other: object) -> Condition:
        return self._compared("<", other)

    def __le__(self, other: object) -> Condition:
        return self._compared("<=", other)

    def __gt__(self, other: object) -> Condition:
        return self._compared(">", other)

    def __ge__(self, other: object) -> Condition:
        return self._compared(">=", other)

    def is_in(self, values: "Iterable[object] | Field") -> Condition:
        """Return the condition that it is one of `values`, or one of the items of another field.

        Example:
            >>> print(field("inputs.region").is_in(["eu", "uk"]))
            inputs.region in ["eu", "uk"]
        """
        if isinstance(values, str):
            raise ConditionError("is_in() takes several values, not a text.", hint="Write .is_in([...]).")
        return self._compared("in", values if isinstance(values, Field) else list(values))

    def contains(self, part: object) -> Condition:
        """Return the condition that a text contains the text `part`.

        For the items of a list, write `condition_of("'x' in steps.a.items")`.

        Example:
            >>> print(field("review.text").contains("refund"))
            steps.review.text.contains("refund")
        """
        return self._called("contains", part)

    def starts_with(self, part: object) -> Condition:
        """Return the condition that a text begins with the text `part`.

        Example:
            >>> print(field("inputs.city").starts_with("San"))
            inputs.city.startsWith("San")
        """
        return self._called("startsWith", part)

    def ends_with(self, part: object) -> Condition:
        """Return the condition that a text ends with the text `part`.

        Example:
            >>> print(field("inputs.file").ends_with(".csv"))
            inputs.file.endsWith(".csv")
        """
        return self._called("endsWith", part)

    def is_true(self) -> Condition:
        """Return the condition that it is true.

        Example:
            >>> print(field("review.approved").is_true())
            steps.review.approved
        """
        return Condition(self.tree)

    def __repr__(self) -> str:
        return f"field({self.text!r})"

    def _compared(self, operator: Comparison, other: object) -> Condition:
        return Condition(Compare(self.tree, operator, _node(other)))

    def _called(self, function: FunctionName, part: object) -> Condition:
        return Condition(Call(function, (self.tree, _node(part))))


def field(path: str) -> Field:
    """Return what a path leads to, to be compared.

    Args:
        path: A step and what of its output: `sentiment.score`, `search.items[0].name`. A path that begins with
            `steps.`, `inputs.` or `output` is what it is in a condition's text.

    Raises:
        ConditionError: If it is no path.

    Example:
        >>> print(field("search.items[0].price") <= field("inputs.most"))
        steps.search.items[0].price <= inputs.most
    """
    return Field(_path(path))


def exists(path: str) -> Condition:
    """Return the condition that a path leads to something, be it null; of a step without output nothing is there.

    Raises:
        ConditionError: If it is no path.

    Example:
        >>> print(exists("search.items"), exists("search"))
        has(steps.search.items) has(steps.search)
    """
    found = _path(path)
    if not found.parts:
        raise ConditionError(f"{path!a} is always there.", path=path, hint="Name a field: output.NAME.")
    return Condition(Has(found))


def _path(written: str) -> Path:
    if '["' in written or "['" in written:
        return _quoted_path(written)
    try:
        path = DataPath.parse(written)
    except DataPathError as error:
        raise ConditionError(error.message, path=written[:200], hint=error.hint) from None
    root, parts = path.root, path.parts
    if root not in ROOTS or (root in NAMED_ROOTS and not parts):
        root, parts = "steps", (path.root, *parts)
    if any(isinstance(part, int) and part < 0 for part in parts):
        raise ConditionError(f"{written!a}: places count from 0.", path=written, hint="Compute it in a step.")
    if root in NAMED_ROOTS and not isinstance(parts[0], str):
        raise ConditionError(f"{written!a} names nothing.", path=written, hint=f"Write {root}.NAME.")
    return Path(root, parts)


def _quoted_path(written: str) -> Path:
    is_rooted = written.startswith(tuple(f"{root}{sign}" for root in ROOTS for sign in ".["))
    tree = parse(written if is_rooted else f"steps.{written}")
    if not isinstance(tree, Path):
        raise ConditionError(f"{written[:200]!a} is not a path.", path=written[:200])
    return tree


def _node(value: object) -> Node:
    """Return a value as it is written in a condition.

    Raises:
        ConditionError: If no condition can hold it.
    """
    if isinstance(value, Enum):
        value = value.value
    match value:
        case Field():
            return value.tree
        case Condition():
            told = f"The condition {shortened(value.text)!a} cannot be compared with something."
            raise ConditionError(told, text=value.text, hint=PARENTHESES)
        case None | bool():
            return constant(value)
        case int() if INT_MIN <= value <= INT_MAX:
            return constant(int(value))
        case float() if math.isfinite(value):
            return constant(float(value))
        case str() if not any("\ud800" <= character <= "\udfff" for character in value):
            return constant(str(value))
        case list() | tuple():
            return ListOf(tuple(map(_node, value)))
        case set() | frozenset():
            return ListOf(tuple(sorted(map(_node, value), key=repr)))
        case _:
            pass
    raise ConditionError(
        f"A condition cannot hold a value of the class {type(value).__name__} like this one.",
        hint="It holds texts, bools, None, numbers of at most 64 bits, and lists of them.",
    )
