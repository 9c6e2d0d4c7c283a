"""Questions to a JSON schema: what lies under a path, and whether one value could stand where another is wanted.

Every answer gives the benefit of the doubt: what a schema leaves open is not refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Schema = Mapping[str, Any]

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
    found = _part(schema, path, schema)
    named = schema.get("$defs")
    return {**found, "$defs": named} if found and named else found


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
    here, there = set(_types(given)), set(_types(wanted))
    if not here or not there or here & there:
        return True
    return bool(here & _SCALARS) and bool(there & _SCALARS)


def type_name(schema: Schema) -> str:
    """Return what people call the values of a schema."""
    return " or ".join(sorted(set(_types(schema)))) or "anything"


def _part(schema: Schema, path: Sequence[str | int], whole: Schema) -> Schema | None:
    resolved = _resolved(schema, whole)
    if not path:
        return resolved
    if not resolved:
        return _ANYTHING
    for choice in _choices(resolved, whole):
        step = _step(choice, path[0])
        found = None if step is None else _part(step, path[1:], whole)
        if found is not None:
            return found
    return None


def _step(schema: Schema, key: str | int) -> Schema | None:
    kind = schema.get("type")
    if kind == "object" and isinstance(key, str):
        if key in (known := schema.get("properties", {})):
            return known[key]  # type: ignore[no-any-return]  # a schema's property is a schema
        more = schema.get("additionalProperties", not known)
        return more if isinstance(more, Mapping) else _ANYTHING if more else None
    if kind == "array" and (isinstance(key, int) or key.isdecimal()):
        items = schema.get("items", schema.get("prefixItems", _ANYTHING))
        return items if isinstance(items, Mapping) else _ANYTHING
    return _ANYTHING if kind is None else None


def _choices(schema: Schema, whole: Schema) -> Iterator[Schema]:
    choices = schema.get("anyOf") or schema.get("oneOf")
    if not choices:
        yield schema
        return
    for choice in choices:
        yield from _choices(_resolved(choice, whole), whole)


def _types(schema: Schema) -> Iterator[str]:
    """Yield the types that a value may be of, null apart; none where the schema leaves it open."""
    for choice in _choices(_resolved(schema, schema), schema):
        kind = choice.get("type")
        if isinstance(kind, str) and kind != "null":
            yield kind


def _resolved(schema: Schema, whole: Schema) -> Schema:
    """Return the definition that the schema refers to, or the schema itself."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    return whole.get("$defs", {}).get(name, _ANYTHING) if "$ref" in schema else schema
