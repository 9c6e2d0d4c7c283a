"""Events and states of pipelines inside steps: where they belong in the tree of a run. Pure."""

from collections.abc import Iterator

from tagent.pipeline.course.records import StepRecord
from tagent.pipeline.events import InnerProgressed, RunEvent
from tagent.pipeline.kinds import StepStatus
from tagent.pipeline.models import Pipeline
from tagent.pipeline.nesting import steps_inside
from tagent.pipeline.state import PipelineState

MOST_STEPS = 20
"""So many steps inside one step have rows; of more those that are under way or have failed."""

MOST_PARTS = 5
"""So many items or rounds with a pipeline inside have rows, of those that are under way."""

_TELLING = frozenset({StepStatus.RUNNING, StepStatus.WAITING, StepStatus.FAILED, StepStatus.CANCELLED})


def state_at(state: PipelineState, event: InnerProgressed) -> PipelineState | None:
    """Return the state of the innermost pipeline that the event tells of; None if the run has none there."""
    inside: RunEvent = event
    found: PipelineState | None = state
    while isinstance(inside, InnerProgressed) and found is not None:
        found, inside = found.inner_of(inside.step, inside.part), inside.event
    return found


def is_in_a_part(event: InnerProgressed) -> bool:
    """Return whether the innermost pipeline runs for an item or a round, as many others may."""
    inside: RunEvent = event
    while isinstance(inside, InnerProgressed):
        if inside.part:
            return True
        inside = inside.event
    return False


def shown_steps(inner: PipelineState) -> list[str]:
    """Return the steps of an inner pipeline that have rows, in definition order."""
    names = list(inner.statuses)
    if len(names) <= MOST_STEPS:
        return names
    return [name for name in names if inner.statuses[name] in _TELLING][:MOST_STEPS]


def shown_parts(record: StepRecord) -> Iterator[str]:
    """Yield the items or rounds that are under way and have a pipeline inside, the first ones."""
    yield from [part for part, it in record.parts.items() if it.inner is not None and it.status in _TELLING][
        :MOST_PARTS
    ]


def max_attempts(pipeline: Pipeline) -> dict[str, int]:
    """Return how often each step is tried at most, those inside others by their paths without items and rounds."""
    return {path: step.max_retries + 1 for path, step in steps_inside(pipeline)}


def width_of(pipeline: Pipeline) -> int:
    """Return the longest name in characters, of those inside others with two more for each level."""
    return max((len(path.rpartition("/")[2]) + 2 * path.count("/") for path, _ in steps_inside(pipeline)), default=0)
