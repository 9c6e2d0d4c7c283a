"""Names that are right if a run has inputs of these names, and probably meant for something else: only a run can tell.

What is an error once the inputs are known is a warning here, and only if something is called almost so.
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress

from tagent.exceptions import DataPathError, nearest
from tagent.paths import DataPath
from tagent.pipeline import bindings
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.validating.known import Known


def unsure_names(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield the names that `step` reads and that may be misspelt; none once the inputs are known."""
    if known.inputs is not None:
        return
    for where, written in _written(step):
        with suppress(DataPathError):  # the check of that place says so
            path = DataPath.parse(written)
            name = path.root
            if name in known.names or bindings.is_item_name(step, name):
                continue
            below = known.below_root(path)
            if below and name == "steps":
                continue  # an error
            own = "" if written == step.for_each else nearest(name, bindings.part_names(step))
            told = f" Write {below!r}." if below else own
            if suggestion := told or known.nearest_known(name, but=step.name):
                message = f"{where} names {name!r}: no step, so every run needs an input of this name.{suggestion}"
                yield Problem("unknown_path", message, step.name, "warning")


def _written(step: PipelineStep) -> Iterator[tuple[str, str]]:
    """Yield the paths that a step is told to follow, each with what says so."""
    if step.for_each is not None:
        yield "`for_each`", step.for_each
    if step.switch_on is not None:
        yield "`switch_on`", step.switch_on
    for written in step.read_data:
        yield "`read_data`", written
    if isinstance(step.inputs, Mapping):
        for name, written in step.inputs.items():
            yield f"In `inputs`, {name!r}", written
