"""A run as it was recorded, whole: what can be replayed, exported and imported."""

from dataclasses import dataclass

from tagent.pipeline.events import RunEvent
from tagent.pipeline.journal.loading import first_definition, latest_definition, load_events
from tagent.pipeline.stored.definition import Definition
from tagent.ports.records import RunRecord
from tagent.ports.store import Store


@dataclass(frozen=True, slots=True)
class Recording:
    """A run as it was recorded, whole and outside of any store.

    Attributes:
        run_id: The run.
        definition: The definition that it was started with.
        counts: The one that counts in the end: that of the last resume that brought another.
        events: What happened, large outputs included.
        run: What lists know of it.
    """

    run_id: str
    definition: Definition
    counts: Definition
    events: tuple[RunEvent, ...]
    run: RunRecord


async def load_recording(store: Store, run_id: str) -> Recording:
    """Return a run of `store` as it was recorded; as of our own store, it is not checked as `read_recording` does.

    Raises:
        UnknownRunError: If no run has this id.
        StoreError: If it cannot be read.
    """
    events = await load_events(store, run_id)
    first = await first_definition(store, run_id)
    return Recording(run_id, first, latest_definition(first, events), events, await store.run(run_id))
