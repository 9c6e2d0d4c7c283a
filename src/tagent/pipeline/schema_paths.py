"""Paths into declared types: whether they can lead anywhere, and to what. Of types unknown here nothing is said."""

from collections.abc import Collection, Mapping, Sequence, Set
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, RootModel

from tagent.exceptions import nearest
from tagent.paths import DataPath

_SCALARS = (str, int, float, bool)
_LISTS = (list, tuple, set, frozenset)


def field_problem(declared: object, path: DataPath) -> str:
    """Return why `path` cannot lead anywhere in a value of the type `declared`; empty when it may.

    Looks through models, lists, mappings and optionals; of any other type it knows nothing.
    """
    return _walk(declared, path)[1]


def type_at(declared: object, path: DataPath) -> object:
    """Return the type of what `path` leads to in a value of the type `declared`; None when that is not known."""
    found, problem = _walk(declared, path)
    return None if problem else found


def item_type(declared: object) -> object:
    """Return the type of the items of a list; None when that is not known.

    Example:
        >>> item_type(list[int]), item_type(list), item_type(str)
        (<class 'int'>, None, None)
    """
    origin, arguments = get_origin(plain_type(declared)), get_args(plain_type(declared))
    if origin is tuple:
        return arguments[0] if len(arguments) == 2 and arguments[1] is Ellipsis else None
    return arguments[0] if _is_list(origin) and arguments else None


def list_problem(declared: object) -> str:
    """Return what a value of the type `declared` is, when that is no list; empty when it may be one.

    Example:
        >>> list_problem(str), list_problem(list[int] | None), list_problem(None)
        ('str', '', '')
    """
    kind = plain_type(declared)
    origin = get_origin(kind) or kind
    if not isinstance(origin, type) or _is_list(origin):
        return ""
    is_known = origin in _SCALARS or issubclass(origin, BaseModel | Mapping)
    return getattr(kind, "__name__", str(kind)) if is_known else ""


def plain_type(declared: object) -> object:
    """Return a type without what JSON does not show: annotations, None beside it, the root of a root model."""
    while True:
        if get_origin(declared) is Annotated:
            declared = get_args(declared)[0]
        elif get_origin(declared) in {Union, UnionType}:
            present = [argument for argument in get_args(declared) if argument is not type(None)]
            if len(present) != 1:
                return None
            declared = present[0]
        elif isinstance(declared, type) and issubclass(declared, RootModel):
            declared = declared.model_fields["root"].annotation
        else:
            return declared


def null_on_the_way(declared: object, path: DataPath) -> str:
    """Return the first place before the end of `path` that may be null in a value of the type `declared`, or "".

    Example:
        >>> null_on_the_way(dict[str, list[str] | None], DataPath.parse("pages.first[0]"))
        'pages.first'
    """
    for depth, part in enumerate(path.parts):
        if _may_be_null(declared):
            return str(DataPath(path.root, path.parts[:depth]))
        current = plain_type(declared)
        if isinstance(current, type) and issubclass(current, BaseModel):
            member = current.model_fields.get(str(part))
            declared = None if member is None else member.annotation
        else:
            declared = _part_of(current, part)
    return ""


def _may_be_null(declared: object) -> bool:
    if get_origin(declared) is Annotated:
        declared = get_args(declared)[0]
    return get_origin(declared) in {Union, UnionType} and type(None) in get_args(declared)


def _is_list(origin: object) -> bool:
    if not isinstance(origin, type):
        return False
    return origin in _LISTS or origin in {Sequence, Set, Collection}


def _walk(declared: object, path: DataPath) -> tuple[object, str]:
    """Return the type that `path` leads to, None if it is not known, and why it leads nowhere."""
    current = plain_type(declared)
    for depth, part in enumerate(path.parts):
        here = DataPath(path.root, path.parts[:depth])
        if isinstance(current, type) and issubclass(current, BaseModel):
            if current.model_config.get("extra") == "allow" and part not in current.model_fields:
                return None, ""
            if not isinstance(part, str) or part not in current.model_fields:
                fields = ", ".join(current.model_fields)
                return None, (
                    f"{str(path)!r} leads nowhere: {here} ({current.__name__}) has no field {part!r}."
                    f"{nearest(str(part), current.model_fields)} It has: {fields}."
                )
            current = current.model_fields[part].annotation
        elif current in _SCALARS:
            return None, f"{str(path)!r} leads nowhere: {here} is {getattr(current, '__name__', current)}."
        else:
            current = _part_of(current, part)
        current = plain_type(current)
    return current, ""


def _part_of(declared: object, part: str | int) -> object:
    arguments: tuple[Any, ...] = get_args(declared)
    if get_origin(declared) is list and isinstance(part, int):
        return arguments[0]
    return arguments[1] if get_origin(declared) is dict and len(arguments) == 2 else None
