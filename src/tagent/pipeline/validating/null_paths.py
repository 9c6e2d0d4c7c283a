"""Paths that lead nowhere when a value on their way is null, as its declared type allows: the step fails then."""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from tagent.exceptions import DataPathError
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.placeholders import placeholders
from tagent.pipeline.schema_paths import null_on_the_way
from tagent.pipeline.validating.known import Known


def null_warnings(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield the paths that `step` cannot do without and that a null stops, each once.

    A path into the round before needs no warning: in the first round it stands for "nothing yet". Nor does one into
    what a condition of the step has asked about, or one of a step that has led to it.
    """
    ways = known.branches.ways.get(step.name, {})
    asking = [step, *(known.steps[router] for router in ways if router in known.steps)]
    asked = {name for one in asking for it in bindings.conditions_of(one) for name in (*it.steps, *it.inputs)}
    for path in dict.fromkeys(_paths(step, known)):
        if path.root in asked:
            continue
        with suppress(DataPathError):  # of a `for_each` that is malformed; its own check says so
            is_item = bindings.is_item_name(step, path.root)
            declared = known.declared_item(step, path.root) if is_item else known.declared(path.root)
            if place := null_on_the_way(declared, path):
                message = f"The step fails when {place} is null, since {str(path)!r} then leads nowhere."
                yield Problem(
                    "null_path", f"{message} Read {place} instead, or declare it without None.", step.name, "warning"
                )


def _paths(step: PipelineStep, known: Known) -> Iterator[DataPath]:
    if step.run is None:
        for text in bindings.texts(step, known.pipeline.global_constraints):
            yield from (path for path in placeholders(text) if path.parts)
    given = step.inputs.values() if isinstance(step.inputs, Mapping) else ()
    for written in (*step.read_data, *given):
        with suppress(DataPathError):
            yield DataPath.parse(written)
