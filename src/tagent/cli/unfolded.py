"""All of a run in rows: each step, item and round, also those inside steps that have ended well."""

from collections.abc import Iterator

from rich.text import Text

from tagent.cli.view import Picture
from tagent.pipeline.course.records import PartRecord
from tagent.pipeline.events import ASIDE
from tagent.pipeline.state import PipelineState


def unfolded(picture: Picture) -> Iterator[tuple[str, Text]]:
    """Yield path -> row of all that has begun or is to be done, each with what is inside it behind it."""
    places = list(_places(picture.state, within="", depth=0))
    picture.make_room(max((len(path.rpartition("/")[2]) + 2 * depth for path, depth, _ in places), default=0))
    for path, depth, found in places:
        if isinstance(found, PartRecord):
            yield path, picture.part_row(found, path, depth=depth)
        else:
            yield path, picture.row_at(found, path, depth=depth)


def _places(state: PipelineState, *, within: str, depth: int) -> Iterator[tuple[str, int, PartRecord | PipelineState]]:
    """Yield the path of each step and part, how deep it lies, and what is known of the part, or of the step's run."""
    for name, record in state.steps.items():
        path = f"{within}{name}"
        yield path, depth, state
        if record.inner is not None:
            yield from _places(record.inner, within=f"{path}/", depth=depth + 1)
        for part, of_part in record.parts.items():
            if part in ASIDE:
                continue
            yield f"{path}/{part}", depth + 1, of_part
            if of_part.inner is not None:
                yield from _places(of_part.inner, within=f"{path}/{part}/", depth=depth + 2)
