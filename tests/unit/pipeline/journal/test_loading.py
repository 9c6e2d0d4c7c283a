"""A run as its store has it: what is read of it, and the state that this comes to."""

import pytest

from builders import run, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, StepStatus
from tagent.pipeline.journal.blobs import StoredOutput
from tagent.pipeline.journal.loading import events_in, stored_run
from tagent.pipeline.journal.serialization import JournalFormatError
from tagent.pipeline.resuming import resume_run

LARGE = "x" * 20_000


async def test_a_stored_run_has_the_state_after_any_of_its_events() -> None:
    """Whoever looks from outside sees what its driver saw."""
    store = MemoryStore()
    await run(Pipeline("p").step("a", run=lambda: 1).step("b", run=lambda a: a + 1), store=store)
    found = await stored_run(store, "run-1")
    assert found.state().is_finished
    begun = [found.state(after=count).statuses["a"] for count in (1, 2, 3)]
    assert begun == [StepStatus.PENDING, StepStatus.RUNNING, StepStatus.COMPLETED]


@pytest.mark.parametrize("is_whole", [True, False])
async def test_large_outputs_are_loaded_only_when_asked_for(*, is_whole: bool) -> None:
    """A megabyte that nobody reads need not come from the store."""
    store = MemoryStore()
    await run(Pipeline("p").step("a", run=lambda: LARGE), store=store)
    output = (await stored_run(store, "run-1", is_whole=is_whole)).state().steps["a"].output
    assert output == LARGE if is_whole else isinstance(output, StoredOutput)


async def test_the_definition_is_the_one_with_which_the_run_goes_on() -> None:
    """Not the one that it began with, once a resume has brought another."""
    store = MemoryStore()
    nothing: list[object] = []
    old = Pipeline("p").step("a", run=lambda: nothing[0], max_retries=0)
    await run(old, store=store)
    new = Pipeline("p").step("a", run=lambda: 1).step("b", run=lambda a: a)
    await resume_run("run-1", services(store=store), TAgentConfig(), pipeline=new, definition="current")
    assert list((await stored_run(store, "run-1")).state().statuses) == ["a", "b"]


def test_a_journal_without_its_beginning_is_told_as_such() -> None:
    """Nothing is made up for what is missing."""
    with pytest.raises(JournalFormatError, match="run-1 does not begin with the run's start"):
        events_in([], run_id="run-1")
