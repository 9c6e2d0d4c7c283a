"""Questions to a JSON schema: what lies under a path, and whether one value could stand where another is wanted.

Every answer gives the benefit of the doubt: what a schema leaves open is not refused. A schema may be anybody's,
so nothing of its shape is trusted, and nobody follows it for ever.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, islice
from typing import Any

Schema = Mapping[str, Any]

DEEPEST = 30
"""How many references and choices are followed in a row."""

MOST_CHOICES = 100
"""Of so many choices at most is one looked for."""

_ANYTHING: Schema = {}
_SCALARS = frozenset({"string", "number", "integer", "boolean"})


def part(schema: Schema, path: Sequence[str | int]) -> Schema | None:
    """Return the schema of what lies under `path`; an empty one where it is left open, None where there is nothing.

    Example:
        >>> urls = {"type": "array", "items": {"type": "object", "properties": {"url": {"type": "string"}}}}
        >>> part(urls, (0, "url"))
        {'type': 'string'}
        >>> part(urls, (0, "title")) is None
        True
    """
    here = [_resolved(schema, schema)]
    for key in path:
        choices = islice(chain.from_iterable(_choices(found, schema) for found in here), MOST_CHOICES)
        here = [_resolved(step, schema) for choice in choices if (step := _step(choice, key)) is not None]
        if not here:
            return None
        if _ANYTHING in here:
            return _ANYTHING
    named = schema.get("$defs")
    return {**here[0], "$defs": named} if here[0] and named else here[0]


def missing_part(schema: Schema, path: Sequence[str | int]) -> str | int | None:
    """Return the first part of `path` that cannot be there; None if all of it may.

    Example:
        >>> missing_part({"type": "object", "properties": {"url": {}}}, ("title",))
        'title'
    """
    for length in range(1, len(path) + 1):
        if part(schema, path[:length]) is None:
            return path[length - 1]
    return None


def may_fit(given: Schema, wanted: Schema) -> bool:
    """Return whether some value of the one schema could be taken for the other, numbers as text included.

    Example:
        >>> may_fit({"type": "string"}, {"type": "integer"}), may_fit({"type": "object"}, {"type": "string"})
        (True, False)
    """
    here, there = _types(given), _types(wanted)
    if not here or not there or here & there:
        return True
    return bool(here & _SCALARS) and bool(there & _SCALARS)


def type_name(schema: Schema) -> str:
    """Return what people call the values of a schema."""
    return " or ".join(sorted(_types(schema))) or "anything"


def _step(schema: Schema, key: str | int) -> Any:
    """Return what lies under one key; None where there is nothing."""
    kind = schema.get("type")
    if kind == "object" and isinstance(key, str):
        known = _mapping(schema.get("properties"))
        if key in known:
            return known[key]
        more = schema.get("additionalProperties", not known)
        return None if more is False else more
    if kind == "array" and (isinstance(key, int) or key.isdecimal()):
        return schema.get("items", schema.get("prefixItems", _ANYTHING))
    return None if isinstance(kind, str) else _ANYTHING


def _choices(schema: Schema, whole: Schema, depth: int = 0) -> Iterator[Schema]:
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not isinstance(choices, list) or depth > DEEPEST:
        yield _ANYTHING if choices else schema
        return
    for choice in choices[:MOST_CHOICES]:
        yield from _choices(_resolved(choice, whole), whole, depth + 1)


def _types(schema: Schema) -> set[str]:
    """Return the types that a value may be of, null apart; none where the schema leaves it open."""
    kinds: set[str] = set()
    for choice in islice(_choices(_resolved(schema, schema), schema), MOST_CHOICES):
        kind = choice.get("type")
        if not isinstance(kind, str):
            return set()
        kinds.add(kind)
    return kinds - {"null"}


def _resolved(schema: object, whole: Schema) -> Schema:
    """Return the definition that the schema refers to, or the schema itself; an empty one for what is none."""
    for _ in range(DEEPEST):
        if not isinstance(schema, Mapping):
            return _ANYTHING
        if "$ref" not in schema:
            return schema
        schema = _mapping(whole.get("$defs")).get(str(schema["$ref"]).removeprefix("#/$defs/"))
    return _ANYTHING


def _mapping(value: object) -> Schema:
    return value if isinstance(value, Mapping) else _ANYTHING
