"""Outputs on their way through JSON: what a step hands over is what its dependants would see after a resume."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Optional, cast

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from tagent.exceptions import DataPathError, text_of
from tagent.pipeline.bindings import is_merge, is_router, merge_goal
from tagent.pipeline.conditions import ConditionError
from tagent.pipeline.exceptions import StepOutputError
from tagent.pipeline.graph import CircularDependencyError, ExecutionGraph
from tagent.pipeline.models import ExecutionMode, Pipeline, PipelineStep
from tagent.pipeline.rules import part_schema
from tagent.pipeline.signatures import signature_of

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
        """Return `value` as JSON values, checked against the type; what comes out can always be loaded.

        Raises:
            StepOutputError: If it does not fit, cannot be written as JSON, or would not come back as it was.
        """
        try:
            if self._adapter is None:
                return _plain(value, step=step)
            return self._checked(value, self._adapter, step=step)
        except ValidationError as error:
            raise StepOutputError(
                step, f"The output of the step {step!r} does not fit {_name(self.declared)}: {text_of(error)}."
            ) from None
        except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
            raise StepOutputError(
                step,
                f"The output of the step {step!r} ({type(value).__name__}) cannot be written as JSON.",
                hint="Return a Pydantic model, dataclass, dict, list or scalar, with finite numbers.",
            ) from error

    def _checked(self, value: object, adapter: TypeAdapter[Any], *, step: str) -> object:
        checked = adapter.validate_python(value, by_alias=True, by_name=True)
        plain = from_json(adapter.dump_json(checked, round_trip=True, by_alias=False), allow_inf_nan=False)
        try:
            is_the_same = adapter.dump_python(_read(plain, adapter)) == adapter.dump_python(checked)
        except ValidationError:
            is_the_same = False
        if not is_the_same:
            raise StepOutputError(
                step,
                f"The output of the step {step!r} does not come back from JSON as it was ({_name(self.declared)}).",
                hint="A secret, an excluded field or a serializer of its own loses what the next step would need.",
            )
        return plain

    def load(self, plain: object, *, step: str) -> Any:
        """Return JSON values as the type, a copy of its own for each reader.

        Raises:
            StepOutputError: If they do not fit: the type has changed since they were stored.
        """
        if self._adapter is None:
            return copy_of(plain)
        try:
            return _read(plain, self._adapter)
        except ValidationError as error:
            raise StepOutputError(
                step,
                f"The stored output of the step {step!r} does not fit {_name(self.declared)} any more: "
                f"{text_of(error)}.",
                hint="Use the code that it was made with, or fork the run from this step.",
            ) from None


def output_type(step: PipelineStep) -> OutputType:
    """Return the type of what `step` hands over: its schema, else what its function is annotated with, or text.

    Raises:
        TypeError: If Pydantic cannot check the type.
    """
    return OutputType(_schema(step))


def _schema(step: PipelineStep, inner: ExecutionGraph | None = None) -> object:
    """Return the type of what `step` hands over; None for any. `inner` is the graph of its pipeline, if it is known."""
    if step.output_schema is not None:
        return step.output_schema
    if step.wait_for is not None:
        return None
    if is_router(step):
        return str
    if is_merge(step):
        return _merged_schema(step)
    if step.pipeline is not None:
        return result_schema(step.pipeline, inner)
    return str if step.run is None else signature_of(step.run).return_type


def result_schema(pipeline: Pipeline, graph: ExecutionGraph | None = None) -> object:
    """Return the type of what a run of `pipeline` comes to; None where it can be of several ones, or is not known.

    Where the step that gives it may be left out, there may be nothing.

    Args:
        pipeline: The definition.
        graph: What it compiles to, if that is known: it holds those of all pipelines inside, so that each is made once.
    """
    try:
        graph = graph or ExecutionGraph.build(pipeline)
        order = graph.topological_order()
    except (DataPathError, ConditionError, CircularDependencyError):
        return None  # validation says what is wrong with it
    steps = {step.name: step for step in pipeline.steps}
    if not steps or (pipeline.final is not None and pipeline.final not in steps):
        return None
    chosen = _chosen(graph, order)
    final = pipeline.final or graph.sinks[-1]
    schema: Any = _schema(steps[final], graph.rules(final).inner)
    if pipeline.final is None and final in chosen:
        others = [name for name in graph.sinks if name in chosen and name != final]
        if any(_schema(steps[name], graph.rules(name).inner) != schema for name in others):
            return None  # which of them gives it depends on the branch that is taken
    may_be_left_out = final in _left_out(steps, graph, order) or (pipeline.final is not None and final in chosen)
    return Optional[schema] if may_be_left_out and schema is not None else schema  # noqa: UP045 - of any kind of type


def _chosen(graph: ExecutionGraph, order: Sequence[str]) -> set[str]:
    """Return the steps that run only if a certain route is taken, as far as that can be told."""
    chosen: set[str] = set()
    for name in order:
        if any(edge.routes is not None or edge.source in chosen for edge in graph.incoming[name]):
            chosen.add(name)
    return chosen


def _left_out(steps: Mapping[str, PipelineStep], graph: ExecutionGraph, order: Sequence[str]) -> set[str]:
    """Return the steps that may be settled well without an output, routes aside."""
    left: set[str] = set()
    for name in order:
        step = steps[name]
        has_condition = step.condition is not None or step.execution_mode == ExecutionMode.CONDITIONAL
        is_extra = step.enabled is not True or step.optional or name in graph.stand_ins
        if has_condition or is_extra or any(edge.skips and edge.source in left for edge in graph.incoming[name]):
            left.add(name)
    return left


def part_type(step: PipelineStep, part: str) -> OutputType:
    """Return the type of what an item, a branch or a round of `step` gives.

    Raises:
        TypeError: If Pydantic cannot check the type.
    """
    schema = part_schema(step, part)
    if schema is None and step.pipeline is not None and step.output_schema is None:
        schema = result_schema(step.pipeline)
    return OutputType(schema)


def _merged_schema(step: PipelineStep) -> object:
    merge = step.merge
    if callable(merge):
        return signature_of(merge).return_type
    return None if merge_goal(step) is None else str


def copy_of(plain: object) -> Any:
    """Return JSON values once more, so that a reader may change them."""
    return plain if type(plain) in _SCALARS else from_json(to_json(plain))


def _read(plain: object, adapter: TypeAdapter[Any]) -> Any:
    return adapter.validate_json(to_json(plain), by_alias=True, by_name=True)


def _plain(value: object, *, step: str) -> object:
    """Return `value` as JSON values.

    Raises:
        StepOutputError: If it has keys of which JSON makes the same.
    """
    if value is None or type(value) is bool or (type(value) is str and value.isascii()):
        return value
    if isinstance(value, Iterator | AsyncIterator):
        raise TypeError("an iterator would be run here, outside the step")
    written = to_json(value, by_alias=False, round_trip=True)
    plain = from_json(written, allow_inf_nan=False)
    if b"{" in written and len(to_json(plain)) < len(written):  # of two equal keys the last one has won
        raise StepOutputError(
            step,
            f"The output of the step {step!r} ({type(value).__name__}) has two keys that are the same in JSON.",
            hint="A key in JSON is a text, so 1 and '1' are the same. Return a dict with texts for keys.",
        )
    return plain


def _adapter(declared: object) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(cast("Any", declared))
    except (PydanticSchemaGenerationError, PydanticUserError, NameError) as error:
        raise TypeError(f"{_name(declared)} is no type that Pydantic can check.") from error


def _name(declared: object) -> str:
    return getattr(declared, "__name__", str(declared))
