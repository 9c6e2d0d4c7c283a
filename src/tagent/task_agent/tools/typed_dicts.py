"""`typing.TypedDict` before Python 3.12, which Pydantic refuses: the same as one of `typing_extensions`."""

import sys
import types
from functools import reduce
from operator import or_
from typing import Annotated, Any, NotRequired, Required, Union, get_args, get_origin, get_type_hints

from typing_extensions import TypedDict, is_typeddict


def understood(annotation: Any) -> Any:
    """Return an annotation that Pydantic understands and that means the same.

    Typed dictionaries inside the fields of a Pydantic model or of a dataclass are not reached.

    Example:
        >>> import typing
        >>> class Point(typing.TypedDict):
        ...     x: int
        >>> sorted(understood(list[Point]).__args__[0].__required_keys__)
        ['x']
    """
    if sys.version_info >= (3, 12):  # pragma: no cover - Pydantic takes them as they are
        return annotation
    if is_typeddict(annotation):
        return _rebuilt(annotation) if type(annotation).__module__ == "typing" else annotation
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is None or not any(isinstance(argument, type) or get_origin(argument) for argument in arguments):
        return annotation
    if origin is Annotated:
        return Annotated[(understood(arguments[0]), *arguments[1:])]
    replaced = tuple(map(understood, arguments))
    if replaced == arguments:
        return annotation
    if origin in {Union, types.UnionType}:
        return reduce(or_, replaced)
    return origin[replaced]


def _rebuilt(typed: Any) -> Any:
    hints = get_type_hints(typed, include_extras=True)
    fields = {
        name: (Required if name in typed.__required_keys__ else NotRequired)[understood(_bare(hint))]
        for name, hint in hints.items()
    }
    rebuilt: Any = TypedDict(typed.__name__, fields)  # type: ignore[misc]  # its fields are known only now
    rebuilt.__doc__ = typed.__doc__
    rebuilt.__module__ = typed.__module__
    return rebuilt


def _bare(hint: Any) -> Any:
    """Return a hint without `Required` or `NotRequired` around it."""
    return get_args(hint)[0] if str(get_origin(hint)).rpartition(".")[2] in {"Required", "NotRequired"} else hint
