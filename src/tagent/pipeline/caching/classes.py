"""What a class of the user's program is made of, as JSON values: what it inherits, its functions, data and fields."""

import functools
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import FunctionType
from typing import Protocol

from pydantic import BaseModel

from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.inspecting import name_of, text_of

_OF_FIELD = (
    "annotation", "alias", "validation_alias", "serialization_alias", "discriminator", "title", "description", "frozen",
    "init", "kw_only", "exclude", "validate_default", "json_schema_extra", "metadata",
)  # fmt: skip
"""What of a field of a model is told as it is shown; its default and what checks it are looked at."""

_ABOUT_NAMES = (
    "__module__",
    "__qualname__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__firstlineno__",
)


class Look(Protocol):
    """How what a class holds is looked at, which may lead anywhere in the program."""

    def value(self, given: object) -> object:
        """Return what a value that counts comes to.

        Raises:
            UnkeyableError: If it is neither data nor code.
        """

    def soft(self, given: object) -> object:
        """Return what a value comes to, and where it is neither data nor code, of which class it is.

        Raises:
            UnkeyableError: If it is data that cannot be looked at.
        """

    def hint(self, hint: object) -> Iterator[object]:
        """Yield what an annotation reaches of the program, and the values in it."""

    def hints(self, given: object) -> object:
        """Return what all annotations of a class come to."""


def class_made(kind: type, look: Look) -> object:
    """Return what a class of the program is made of: of what it inherits, its functions, its data."""
    told: dict[str, object] = {}
    for name, member in vars(kind).items():
        if name in _ABOUT_NAMES or name.startswith("__pydantic_"):
            continue
        inner = member.__func__ if isinstance(member, staticmethod | classmethod) else member
        if isinstance(inner, FunctionType) and _is_generated(kind, inner):
            continue
        told[name] = _dunder(inner, look) if name.startswith("__") else _member(inner, look)
    bases = [look.value(base) for base in (*kind.__bases__, type(kind))]
    return [kind.__qualname__, bases, told, look.hints(kind), _fields(kind, look)]


def _dunder(member: object, look: Look) -> object:
    try:
        return look.value(member)
    except UnkeyableError:
        return ["means", name_of(type(member))]


def _member(member: object, look: Look) -> object:
    if isinstance(member, property):
        return [look.value(part) for part in (member.fget, member.fset, member.fdel) if part is not None]
    if isinstance(member, functools.cached_property):
        return ["cached", look.value(member.func)]
    if isinstance(member, functools.partialmethod):
        return ["partial", look.value(member.func), look.value(member.args), look.value(member.keywords)]
    return look.soft(member)


def _fields(kind: type, look: Look) -> object:
    """Return what the fields of a model or dataclass have by themselves, and check."""
    if issubclass(kind, BaseModel):
        return [
            [
                [name, text_of([getattr(field, part, None) for part in _OF_FIELD]), *look.hint(field.annotation)],
                [look.soft(part) for part in (field.default, field.default_factory, *field.metadata)],
            ]
            for name, field in kind.model_fields.items()
        ]
    if is_dataclass(kind):
        return [
            [field.name, field.init, field.kw_only, look.soft(field.default), look.soft(field.default_factory)]
            for field in fields(kind)
        ]
    return None


def _is_generated(kind: type, function: FunctionType) -> bool:
    """Return whether a method was made with the class, as those of a dataclass, which its fields tell."""
    name = function.__name__
    return is_dataclass(kind) and name.startswith("__") and function.__code__.co_filename == "<string>"
