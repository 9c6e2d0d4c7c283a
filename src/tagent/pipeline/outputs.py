"""Outputs on their way through JSON: what a step hands over is what its dependants would see after a resume."""

from functools import lru_cache
from typing import Any, cast

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from tagent.pipeline.bindings import signature_of
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.models import PipelineStep

_SCALARS = (str, int, float, bool, type(None))


class OutputType:
    """The type of one step's output; without one, outputs are plain JSON values.

    Attributes:
        declared: The type; None when there is none.

    Raises:
        TypeError: If Pydantic cannot check the type.
    """

    def __init__(self, declared: object = None) -> None:
        self.declared = declared
        self._adapter = None if declared is None else _adapter(declared)

    def dump(self, value: object, *, step: str) -> object:
        """Return `value` as JSON values, checked against the type.

        Raises:
            StepOutputError: If it does not fit, or cannot be written as JSON.
        """
        if self._adapter is None and type(value) in _SCALARS:
            return value
        try:
            if self._adapter is None:
                return from_json(to_json(value))
            checked = self._adapter.validate_python(value, by_alias=True, by_name=True)
            return self._adapter.dump_python(checked, mode="json", round_trip=True, by_alias=False)
        except ValidationError as error:
            raise StepOutputError(
                step,
                f"The output of the step {step!r} does not fit {_name(self.declared)}: {problems(error)}.",
            ) from None
        except (PydanticSerializationError, ValueError, RecursionError) as error:
            raise StepOutputError(
                step,
                f"The output of the step {step!r} ({type(value).__name__}) cannot be written as JSON.",
                hint="Return a Pydantic model, dataclass, dict, list or scalar.",
            ) from error

    def load(self, plain: object) -> Any:
        """Return JSON values as the type, a copy of its own for each reader."""
        if self._adapter is not None:
            return self._adapter.validate_json(to_json(plain), by_alias=True, by_name=True)
        return plain if type(plain) in _SCALARS else from_json(to_json(plain))


def output_type(step: PipelineStep) -> OutputType:
    """Return the type of what `step` hands over: its schema, else what its function is annotated with.

    Raises:
        TypeError: If Pydantic cannot check the type.
    """
    if step.output_schema is not None:
        return OutputType(step.output_schema)
    return OutputType(str) if step.run is None else OutputType(signature_of(step.run).return_type)


def problems(error: ValidationError) -> str:
    """Return what is wrong, field by field, without the values."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'value'}: {problem['msg']}"
        for problem in error.errors(include_input=False, include_url=False)
    )


def _adapter(declared: object) -> TypeAdapter[Any]:
    try:
        return _cached_adapter(declared)
    except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
        raise TypeError(f"{_name(declared)} is no type that Pydantic can check.") from error


@lru_cache(maxsize=1024)
def _cached_adapter(declared: object) -> TypeAdapter[Any]:
    return TypeAdapter(cast("Any", declared))


def _name(declared: object) -> str:
    return getattr(declared, "__name__", str(declared))
