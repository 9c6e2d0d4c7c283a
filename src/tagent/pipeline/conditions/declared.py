"""What a declared type says of the JSON that its values become: its kinds, its fields, its items.

A shape is the alternatives that a value may be: those of a union, each without annotations. Of types that are not known
here nothing is said, so whatever is asked of them may be right.
"""

from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from enum import Enum
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NewType, Union, get_args, get_origin

from pydantic import BaseModel, RootModel
from typing_extensions import get_type_hints, is_typeddict

Shape = tuple[object, ...]
"""Alternatives; `Any` among them means that it may be anything."""

ANYTHING: Final[Shape] = (Any,)

_DEEPEST: Final = 20
_LISTS: Final = (list, tuple, set, frozenset, Sequence, Set, Collection)
_MAPS: Final = (dict, Mapping)


def shape_of(declared: object, depth: int = 0) -> Shape:
    """Return what a value of the type `declared` may be as JSON; None means that nothing is declared.

    Example:
        >>> shape_of(int | None), shape_of(Annotated[list[str], "some"]), shape_of(None)
        ((<class 'int'>, <class 'NoneType'>), (list[str],), (typing.Any,))
    """
    if declared is None or depth > _DEEPEST:
        return ANYTHING
    origin = get_origin(declared)
    inner: tuple[object, ...] = ()
    if origin is Annotated:
        inner = get_args(declared)[:1]
    elif origin in {Union, UnionType}:
        inner = get_args(declared)
    elif isinstance(declared, NewType):
        inner = (declared.__supertype__,)
    elif hasattr(declared, "__value__"):  # what `type X = ...` makes
        inner = (declared.__value__,)
    elif isinstance(declared, type) and issubclass(declared, RootModel):
        inner = (declared.model_fields["root"].annotation,)
    if not inner:
        return (declared,)
    return tuple(one for option in inner for one in shape_of(option, depth + 1))


def kinds_of(shape: Shape) -> frozenset[str] | None:
    """Return what values of a shape may be: `bool`, `number`, `string`, `null`, `list`, `map`; None if anything.

    Example:
        >>> sorted(kinds_of(shape_of(list[int] | float | None)) or ())
        ['list', 'null', 'number']
    """
    found: set[str] = set()
    for option in shape:
        kinds = _kinds_of_one(option)
        if kinds is None:
            return None
        found |= kinds
    return frozenset(found)


def _kinds_of_one(option: object) -> set[str] | None:
    values = _values_of_one(option)
    if values is not None:
        return set().union(*(_kinds_of_one(type(value)) or () for value in values))
    origin = get_origin(option) or option
    if not isinstance(origin, type):
        return None
    for kind, types in _KINDS.items():
        if origin in types:
            return {kind}
    return {"map"} if _has_fields(origin) else None


_KINDS: Final[Mapping[str, tuple[object, ...]]] = {
    "bool": (bool,),
    "number": (int, float),
    "string": (str,),
    "null": (NoneType,),
    "list": _LISTS,
    "map": _MAPS,
}


def _has_fields(declared: type) -> bool:
    return issubclass(declared, BaseModel) or is_dataclass(declared) or is_typeddict(declared)


def values_of(shape: Shape) -> tuple[object, ...] | None:
    """Return the only values that there can be, those of enumerations and literals; None where there are others.

    Example:
        >>> values_of(shape_of(Literal["eu", "us"] | None)), values_of(shape_of(str))
        (('eu', 'us', None), None)
    """
    found: list[object] = []
    for option in shape:
        values = (None,) if option is NoneType else _values_of_one(option)
        if values is None:
            return None
        found.extend(values)
    return tuple(found)


def _values_of_one(option: object) -> tuple[object, ...] | None:
    if get_origin(option) is Literal:
        return tuple(value.value if isinstance(value, Enum) else value for value in get_args(option))
    if isinstance(option, type) and issubclass(option, Enum):
        return tuple(member.value for member in option)
    return None


def fields_of(option: object) -> Mapping[str, object] | None:
    """Return the fields of a model, dataclass or typed dict with their types; None where they are not all known."""
    if not isinstance(option, type) or not _has_fields(option):
        return None
    if issubclass(option, BaseModel):  # outputs are written under the fields' own names, without computed ones
        if option.model_config.get("extra") == "allow":
            return None
        return {name: it.annotation for name, it in option.model_fields.items()}
    try:
        hints = get_type_hints(option, include_extras=True)
    except Exception:  # noqa: BLE001 - a name in a user's annotation that is not known here, or anything else of it
        hints = {}
    names = [it.name for it in dataclass_fields(option)] if is_dataclass(option) else list(option.__annotations__)
    return {name: hints.get(name) for name in names}


def within(shape: Shape, part: str | int) -> Shape:
    """Return the shape of what stands at `part` in a value of a shape; empty where nothing can.

    Example:
        >>> within(shape_of(dict[str, int] | None), "a"), within(shape_of(str), "a"), within(shape_of(list), 0)
        ((<class 'int'>,), (), (typing.Any,))
    """
    return tuple(one for option in shape for one in _within_one(option, part))


def _within_one(option: object, part: str | int) -> Shape:
    kinds = _kinds_of_one(option)
    if kinds is None:
        return ANYTHING
    if isinstance(part, int):
        return items_of((option,)) if "list" in kinds else ()
    if "map" not in kinds:
        return ()
    fields = fields_of(option)
    if fields is not None:
        return shape_of(fields[part]) if part in fields else ()
    arguments = get_args(option)
    return shape_of(arguments[1]) if len(arguments) == 2 and get_origin(option) in _MAPS else ANYTHING


def items_of(shape: Shape) -> Shape:
    """Return the shape of what a macro sees of a list, or of a mapping's keys."""
    return tuple(one for option in shape for one in _items_of_one(option))


def _items_of_one(option: object) -> Shape:
    kinds = _kinds_of_one(option)
    if kinds is None:
        return ANYTHING
    if kinds == {"map"}:
        return (str,)
    arguments: tuple[object, ...] = get_args(option)
    if "list" not in kinds:
        return ()
    if not arguments:
        return ANYTHING
    return tuple(one for argument in arguments if argument is not Ellipsis for one in shape_of(argument))
