"""What can be told of a value without running it: of which kind it is, its names, its attributes and annotations."""

import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from types import SimpleNamespace
from typing import Any, get_args, get_origin, get_type_hints
from uuid import UUID

from pydantic import TypeAdapter

PLAIN = (str, int, float, bool, complex, bytes, type(None), type(Ellipsis), type(NotImplemented))
"""The classes of the values that are shown as they are."""

BY_TEXT = (date, time, timedelta, tzinfo, Decimal, Fraction, PurePath, UUID, range)
"""The classes of the values that their text tells."""

MEANS = frozenset(
    {
        "_asyncio", "_contextvars", "_queue", "_thread", "asyncio", "concurrent", "itertools", "logging", "queue",
        "threading",
    }
)  # fmt: skip
"""The modules whose objects are no data: locks, loggers, counters, pools."""

_DATA = (list, tuple, set, frozenset, Mapping, bytearray, memoryview, SimpleNamespace, TypeAdapter)
_DATA_MODULES = frozenset({"_operator", "_struct", "array", "collections", "ipaddress", "operator", "string", "struct"})
"""What is data even where it cannot be looked at, so that it is never taken as the means of a function."""

BASES = (str, int, float, complex, bytes, bytearray)
"""From which a class of the program may inherit a value besides its attributes."""

CHANGEABLE = (list, dict, set, deque)
"""What a record of the code's own may be, like a list of its calls."""


def state_of(given: object) -> dict[str, object]:
    """Return the attributes of an object, with those that have slots."""
    named = [vars(kind).get("__slots__", ()) for kind in type(given).__mro__]
    slots = [name for names in named for name in ([names] if isinstance(names, str) else names)]
    told = {name: getattr(given, name) for name in slots if not name.startswith("__") and hasattr(given, name)}
    return {**told, **getattr(given, "__dict__", {})}


def is_data(given: object) -> bool:
    """Return whether something is data, and never the means of a function."""
    return isinstance(given, _DATA) or type(given).__module__ in _DATA_MODULES


def text_of(given: object) -> str:
    """Return how something is shown, without the places in memory, which differ in each process."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", given.__qualname__ if isinstance(given, type) else repr(given))


def hints_of(given: object) -> Mapping[str, Any]:
    """Return the annotations of a function or class; as they are written where they come to nothing."""
    own: Mapping[str, Any] = getattr(given, "__annotations__", {})
    if isinstance(given, type):
        own = vars(given).get("__annotations__", {})
    try:
        return {name: hint for name, hint in get_type_hints(given, include_extras=True).items() if name in own}
    except Exception:  # noqa: BLE001 - annotations may hold anything; what they come to was said by validation
        return own


def parts_of(hint: object) -> Iterator[object]:
    """Yield an annotation with all that is inside it."""
    open_ = [hint]
    seen: set[int] = set()
    while open_:
        one = open_.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        inside = get_args(one)
        if not inside:
            yield one
        elif isinstance(get_origin(one), type):
            yield get_origin(one)
        open_ += inside


def name_of(given: object) -> str:
    """Return the full name of a class or function, or of an object's class."""
    named = given if hasattr(given, "__qualname__") else type(given)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
