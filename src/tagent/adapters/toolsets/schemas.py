"""Arguments held against a tool's JSON schema, told without their values."""

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from jsonschema import SchemaError, ValidationError  # type: ignore[import-untyped]  # it has no stubs
from jsonschema.validators import validator_for  # type: ignore[import-untyped]  # it has no stubs
from referencing import Registry
from referencing.exceptions import Unresolvable

MOST_PROBLEMS = 10
LONGEST_RULE = 200
"""Characters of what a schema asks for that are told."""


class ArgumentSchema:
    """The schema of a tool's arguments, compiled when it is first needed.

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
        self._schema = schema

    @cached_property
    def _validator(self) -> Any:
        """The compiled schema; None when it is no schema, and the server must see for itself."""
        compiled: Any = validator_for(self._schema)
        try:
            compiled.check_schema(self._schema)
        except SchemaError:
            return None
        return compiled(self._schema, registry=Registry())  # an empty registry: no reference is fetched

    def problems(self, arguments: Mapping[str, object], unresolved: Collection[str]) -> tuple[str, ...]:
        """Return what is wrong with `arguments`; the values of those in `unresolved` are not known yet."""
        if self._validator is None:
            return ()
        try:
            found = [_told(error) for error in self._errors(arguments, unresolved)]
        except Unresolvable:
            return ()
        return tuple(dict.fromkeys(found[:MOST_PROBLEMS]))

    def _errors(self, arguments: Mapping[str, object], unresolved: Collection[str]) -> Iterator[ValidationError]:
        for error in self._validator.iter_errors(dict(arguments)):
            is_known = not error.absolute_path or error.absolute_path[0] not in unresolved
            depends_on_values = error.validator not in {"required", "additionalProperties"}
            if is_known and not (unresolved and not error.absolute_path and depends_on_values):
                yield error


def _told(error: ValidationError) -> str:
    path = ".".join(map(str, error.absolute_path))
    where = f"{path}: " if path else ""
    match error.validator:
        case "required":
            missing = [name for name in error.validator_value if name not in error.instance]
            return f"{where}{', '.join(map(repr, missing))} {'is' if len(missing) == 1 else 'are'} missing"
        case "additionalProperties":
            unknown = sorted(set(error.instance) - set(error.schema.get("properties", ())))
            return f"{where}{', '.join(map(repr, unknown))} {'is' if len(unknown) == 1 else 'are'} unknown"
        case _:
            return (
                f"{where or 'they: '}does not fit {error.validator} {str(repr(error.validator_value))[:LONGEST_RULE]}"
            )
