"""What values come to together, as CEL has it: equality, order, arithmetic, conversions. Pure, and counted.

Values are JSON values: null, bool, int, float, str, lists and mappings with text as keys. Whatever takes time in
proportion to the data spends steps of the `Allowance` first, so that no data and no condition can keep it busy.

Where this departs from the CEL libraries: int and double may be mixed in arithmetic (the result is a double); int and
double compare exactly, as the specification says and some libraries do not; an int of the data may be larger than
64 bits, compares exactly and cannot be calculated with.
"""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from tagent.pipeline.conditions.problems import Unanswered, is_list, kind_of, mismatch
from tagent.pipeline.conditions.tree import INT_MAX, INT_MIN, Operation

MOST_STEPS: Final = 500_000
"""Steps that judging one condition may take: some tenths of a second at most."""

MOST_ITEMS: Final = 10_000
"""Items of a list that is looked through with a macro or `in`, or made with `+`."""

MOST_CHARACTERS: Final = 1_000_000
"""Characters of a text that is made with `+`."""

_DEEPEST_EQUALITY: Final = 100
_LONGEST_NUMBER: Final = 400
_LONG: Final = 100
"""Characters of which handling takes about as long as one step."""

_SCALARS: Final = frozenset({bool, int, float, str, type(None)})
_NUMBERS: Final = frozenset({int, float})
_KEYS: Final = frozenset({str, int, bool})
"""What CEL allows as a key; those of JSON are strings."""


ORDERS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class Allowance:
    """The steps that are left.

    Attributes:
        left: Their number.
    """

    __slots__ = ("left",)

    def __init__(self, left: int = MOST_STEPS) -> None:
        self.left = left

    def spend(self, steps: int) -> None:
        """Take `steps` of those that are left.

        Raises:
            Unanswered: If so many are not left.
        """
        self.left -= steps
        if self.left < 0:
            raise Unanswered("it takes too many steps.", hint="Compute it in a step, and compare its output.")


def equal(left: object, right: object, allowance: Allowance, depth: int = 0) -> bool:
    """Return whether two values are equal. Numbers are compared by value; a bool is no number; NaN equals nothing.

    Raises:
        Unanswered: If the values are nested too deeply, or it takes too many steps.
    """
    kind, other = left.__class__, right.__class__
    if kind is other and kind in _SCALARS:
        if kind is str and len(left) > _LONG:  # type: ignore[arg-type]  # it is a str
            allowance.spend(len(left) // _LONG)  # type: ignore[arg-type]  # likewise
        return left == right
    if kind in _NUMBERS and other in _NUMBERS:
        return left == right
    if depth > _DEEPEST_EQUALITY:
        raise Unanswered("the values are nested too deeply to be compared.")
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        allowance.spend(1 + min(len(left), len(right)))
        return len(left) == len(right) and all(
            key in right and equal(value, right[key], allowance, depth + 1) for key, value in left.items()
        )
    if is_list(left) and is_list(right):
        allowance.spend(1 + min(len(left), len(right)))
        return len(left) == len(right) and all(
            equal(one, two, allowance, depth + 1) for one, two in zip(left, right, strict=True)
        )
    return False


def in_order(sign: str, left: object, right: object, allowance: Allowance) -> bool:
    """Return whether `left` stands to `right` as `sign` says: numbers by value, strings by code points, false first.

    Raises:
        Unanswered: If they have no order: they are of different kinds, or neither, or NaN.
    """
    kind, other = left.__class__, right.__class__
    if kind in _NUMBERS and other in _NUMBERS:
        if left != left or right != right:  # noqa: PLR0124 - NaN alone is not itself
            raise Unanswered(f"{sign} does not go with NaN.")
    elif kind is not other or kind not in {str, bool}:
        raise mismatch(sign, left, right)
    elif kind is str:
        allowance.spend(1 + min(len(left), len(right)) // _LONG)  # type: ignore[arg-type]  # they are strings
    return ORDERS[sign](left, right)


def is_in(item: object, container: object, allowance: Allowance) -> bool:
    """Return whether `item` is an item of a list, or a key of a mapping.

    Raises:
        Unanswered: If `container` is neither, or a list of more than 10,000 items, or no key can be like `item`.
    """
    if isinstance(container, Mapping):
        if item.__class__ not in _KEYS:
            raise mismatch("in", item, container)
        return isinstance(item, str) and item in container
    if not is_list(container):
        raise mismatch("in", item, container)
    items = listed(container)
    allowance.spend(1 + len(items))
    return any(equal(item, one, allowance) for one in items)


def listed(value: object) -> Sequence[object]:
    """Return a list that is to be looked through; of a mapping its keys.

    Raises:
        Unanswered: If it is neither, or has more than 10,000 items.
    """
    if not isinstance(value, Mapping) and not is_list(value):
        raise Unanswered(f"only a list can be looked through, not {kind_of(value)}.")
    count = len(value)
    if count > MOST_ITEMS:
        raise Unanswered(
            f"the list has {count:,} items; at most {MOST_ITEMS:,} are looked through.",
            hint="Compute it in a step, and compare its output.",
        )
    return list(value) if isinstance(value, Mapping) else value


def calculated(sign: Operation, left: object, right: object, allowance: Allowance) -> object:
    """Return what two values give. Division of ints goes towards zero, and `%` has the sign of the first.

    Raises:
        Unanswered: If the values do not go together, the result has more than 64 bits, or the divisor is 0.
    """
    kind, other = left.__class__, right.__class__
    if kind is int and other is int:
        return _whole(sign, left, right)  # type: ignore[arg-type]  # they are ints
    if kind in _NUMBERS and other in _NUMBERS:
        return _double(sign, left, right)  # type: ignore[arg-type]  # they are numbers
    if sign == "+" and kind is other is str:
        return _joined(left, right, allowance)  # type: ignore[arg-type]  # they are strings
    if sign == "+" and is_list(left) and is_list(right):
        count = len(left) + len(right)
        if count > MOST_ITEMS:
            raise Unanswered(f"the list would have more than {MOST_ITEMS:,} items.")
        allowance.spend(1 + count)
        return [*left, *right]
    raise mismatch(sign, left, right)


def _joined(left: str, right: str, allowance: Allowance) -> str:
    length = len(left) + len(right)
    if length > MOST_CHARACTERS:
        raise Unanswered(f"the text would have more than {MOST_CHARACTERS:,} characters.")
    allowance.spend(1 + length // _LONG)
    return left + right


def _whole(sign: Operation, left: int, right: int) -> int:
    if not (INT_MIN <= left <= INT_MAX and INT_MIN <= right <= INT_MAX):
        raise Unanswered(f"{sign} takes whole numbers of at most 64 bits.", hint="Convert them with double().")
    if sign in {"/", "%"}:
        if right == 0:
            raise Unanswered(f"{sign} has 0 on its right.")
        quotient = abs(left) // abs(right) * (1 if (left < 0) == (right < 0) else -1)
        within_64_bits(quotient, sign)
        return quotient if sign == "/" else left - quotient * right
    result = left + right if sign == "+" else left - right if sign == "-" else left * right
    return within_64_bits(result, sign)


def within_64_bits(number: int, sign: str) -> int:
    """Return `number`.

    Raises:
        Unanswered: If it has more than 64 bits.
    """
    if not INT_MIN <= number <= INT_MAX:
        raise Unanswered(f"the result of {sign} has more than 64 bits.", hint="Convert the numbers with double().")
    return number


def _double(sign: Operation, left: float, right: float) -> float:
    one, two = to_double(left), to_double(right)
    match sign:
        case "+":
            return one + two
        case "-":
            return one - two
        case "*":
            return one * two
        case "/" if two != 0:
            return one / two
        case "/":
            is_negative = (math.copysign(1, one) < 0) != (math.copysign(1, two) < 0)
            return math.nan if one == 0 or math.isnan(one) else -math.inf if is_negative else math.inf
        case _:
            raise Unanswered("% takes whole numbers.", hint="Convert them with int().")


def negative(value: object) -> int | float:
    """Return the negative of a number.

    Raises:
        Unanswered: If it is none, or the result has more than 64 bits.
    """
    if value.__class__ is int:
        return within_64_bits(-value, "-")
    if value.__class__ is float:
        return -value
    raise mismatch("-", value)


def size(value: object) -> int:
    """Return how many characters, items or keys `value` has.

    Raises:
        Unanswered: If it is no string, list or mapping.
    """
    if isinstance(value, str | Mapping) or is_list(value):
        return len(value)
    raise mismatch("size()", value)


def text_test(name: str, text: object, part: object, allowance: Allowance) -> bool:
    """Return whether `text` begins with, ends with or contains `part`.

    Raises:
        Unanswered: If one of them is no string.
    """
    if not isinstance(text, str) or not isinstance(part, str):
        raise mismatch(f"{name}()", text, part)
    if name != "contains":
        allowance.spend(1 + len(part) // _LONG)
        return text.startswith(part) if name == "startsWith" else text.endswith(part)
    # CPython looks for a part in a short text by the simple way, in a long one by one that is linear.
    is_short = len(text) < 30_000
    allowance.spend(1 + (len(text) * len(part) // 1000 if is_short else len(text) // _LONG))
    return part in text


def to_int(value: object) -> int:
    """Return a number without its fraction, or the whole number that a string holds.

    Raises:
        Unanswered: If there is none, or it has more than 64 bits.
    """
    if isinstance(value, str):
        if len(value) > _LONGEST_NUMBER or not re.fullmatch(r"[+-]?[0-9]+", value):
            raise Unanswered("int() takes a string that is a whole number.")
        return within_64_bits(int(value), "int()")
    if value.__class__ is float and math.isfinite(value):
        return within_64_bits(int(value), "int()")
    if value.__class__ is int:
        return within_64_bits(value, "int()")
    raise mismatch("int()", value)


def to_double(value: object) -> float:
    """Return a number as a double, or the one that a string holds.

    Raises:
        Unanswered: If there is none.
    """
    if isinstance(value, str):
        pattern = r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|inf|infinity|nan)"
        if len(value) > _LONGEST_NUMBER or not re.fullmatch(pattern, value, re.IGNORECASE | re.ASCII):
            raise Unanswered("double() takes a string that is a number.")
        return float(value)
    if value.__class__ is not int and value.__class__ is not float:
        raise mismatch("double()", value)
    try:
        return float(value)
    except OverflowError:
        raise Unanswered("the number is too large for a double.") from None


def to_string(value: object) -> str:
    """Return a number as text, without an exponent and without `.0`; a string as it is.

    Raises:
        Unanswered: If it is neither, or an int of more than 64 bits.
    """
    if isinstance(value, str):
        return value
    if value.__class__ is int:
        return str(within_64_bits(value, "string()"))
    if value.__class__ is not float:
        raise mismatch("string()", value)
    if not math.isfinite(value):
        return "NaN" if value != value else "inf" if value > 0 else "-inf"  # noqa: PLR0124 - NaN alone is not itself
    written = repr(value).removesuffix(".0")
    return _without_exponent(written) if "e" in written else written


def _without_exponent(written: str) -> str:
    """Return a number that Python wrote with an exponent, without it."""
    digits, _, exponent = written.lstrip("-").partition("e")
    whole, _, fraction = digits.partition(".")
    places = int(exponent)
    digits = whole + fraction
    text = f"0.{digits.rjust(len(fraction) - places, '0')}" if places < 0 else digits.ljust(places + 1, "0")
    return f"-{text}" if written.startswith("-") else text
