"""Arguments held against a tool's JSON schema, told without their values.

Only what costs nothing is looked at: which arguments there are, which are missing, and the plain type or choice
of each. A server's schema may hold a regular expression or references that take for ever, and the event loop would
stand still; all else the server sees for itself.
"""

from collections.abc import Collection, Iterator, Mapping
from itertools import islice
from typing import Any

MOST_PROBLEMS = 10
LONGEST_RULE = 200
"""Characters of what a schema asks for that are told."""

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "string": str,
    "number": (int, float),
    "integer": (int, float),
    "boolean": bool,
    "object": Mapping,
    "array": list,
    "null": type(None),
}


class ArgumentSchema:
    """The schema of a tool's arguments.

    Example:
        >>> schema = ArgumentSchema({"properties": {"n": {"type": "integer"}}, "required": ["n"]})
        >>> schema.problems({"n": "many"}, ())
        ("n: does not fit type 'integer'",)
        >>> schema.problems({"n": "{{tasks.0.output}}"}, ["n"])
        ()
        >>> schema.problems({}, ())
        ("'n' is missing",)
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._properties = _mapping(schema.get("properties"))
        required = schema.get("required")
        self._required = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        self._is_closed = schema.get("additionalProperties") is False and "patternProperties" not in schema

    def problems(self, arguments: Mapping[str, object], unresolved: Collection[str]) -> tuple[str, ...]:
        """Return what is wrong with `arguments`; the values of those in `unresolved` are not known yet."""
        return tuple(islice(self._problems(arguments, unresolved), MOST_PROBLEMS))

    def _problems(self, arguments: Mapping[str, object], unresolved: Collection[str]) -> Iterator[str]:
        if missing := [name for name in self._required if name not in arguments]:
            yield f"{', '.join(map(repr, missing))} {'is' if len(missing) == 1 else 'are'} missing"
        if self._is_closed and (unknown := sorted(set(arguments) - set(self._properties))):
            yield f"{', '.join(map(repr, unknown))} {'is' if len(unknown) == 1 else 'are'} unknown"
        for name, value in arguments.items():
            if name in self._properties and name not in unresolved:
                wanted = _mapping(self._properties[name])
                for rule in ("type", "enum"):
                    if rule in wanted and not _fits(rule, wanted[rule], value):
                        yield f"{name}: does not fit {rule} {repr(wanted[rule])[:LONGEST_RULE]}"


def _fits(rule: str, wanted: object, value: object) -> bool:
    if rule == "enum":
        return not isinstance(wanted, list) or value in wanted
    kinds = wanted if isinstance(wanted, list) else [wanted]
    return any(not isinstance(kind, str) or kind not in _TYPES or _is_a(kind, value) for kind in kinds)


def _is_a(kind: str, value: object) -> bool:
    if isinstance(value, bool):
        return kind == "boolean"
    if kind == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[kind])


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
