"""Events as records and back, and the store that keeps them."""

import pytest
from pydantic_core import to_json

from builders import chain, run, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline.events import (
    AgentProgressed,
    RunEvent,
    RunFinished,
    RunResumed,
    RunStarted,
    StepCompleted,
    StepFailed,
    StepSkipped,
    StepStarted,
)
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.journal.serialization import JournalFormatError, event_of, record_of
from tagent.pipeline.models import RunStatus
from tagent.pipeline.persistence import RunJournal
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.ports import Batch, Record, TokenUsage
from tagent.ports.records import NewRun, RunRecord
from tagent.ports.store_errors import ConflictError
from tagent.task_agent.events import (
    AgentEvent,
    AgentStarted,
    Evaluated,
    Finalized,
    ModelFailed,
    Planned,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
)
from tagent.task_agent.models import ModelCall, Task

CALL = ModelCall("m", TokenUsage(3, 2, 1), None, 0.5)
AGENT_EVENTS: list[AgentEvent] = [
    AgentStarted(has_tools=True, max_planning_cycles=2),
    Planned((Task(0, "look", "search", {"q": "{{x}}"}),), CALL),
    TaskStarted(0, "search"),
    TaskCompleted(0, {"hits": [1]}, 0.1),
    TaskFailed(0, "tool.failed", "It broke."),
    Evaluated("No.", "Try again.", CALL),
    Finalized({"a": 1}, CALL),
    ModelFailed("model.timeout", "Too slow.", is_retryable=True, call=CALL),
]
EVENTS: list[RunEvent] = [
    RunStarted("r", "p", {"topic": "tea"}, {"k": [1]}, 1.0),
    StepStarted("a", 1, "r/a", 2.0),
    *(AgentProgressed("a", 1, event, 3.0) for event in AGENT_EVENTS),
    StepCompleted("a", 1, {"n": None, "text": "naïve ☂"}, 4.0, {"f": 1}, {"m": 2}),
    StepFailed("b", 1, "step.failed", "It broke.", 9.5, 5.0),
    StepSkipped("c", "upstream_failed", "Why.", 6.0),
    RunFinished(RunStatus.PARTIAL, 7.0),
    RunResumed(2, "host 1 2", "abc", 8.0),
]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: type(event).__name__)
def test_every_event_comes_back_equal(event: RunEvent) -> None:
    """What cannot be read back cannot be resumed."""
    assert event_of(record_of(event, 1)) == event


@pytest.mark.parametrize(
    "record",
    [
        Record(7, "StepStarted", 0, b"{not json"),
        Record(7, "StepStarted", 0, b'{"step": "a"}'),
        Record(7, "AgentProgressed", 0, b"{}"),
        Record(7, "AgentProgressed", 0, b"[]"),
        Record(7, "AgentProgressed", 0, to_json({"step": "a", "attempt": 1, "kind": "Planned", "event": {}, "at": 0})),
        Record(7, "Unheard", 0, b"{}"),
    ],
)
def test_a_damaged_record_is_named_by_its_number(record: Record) -> None:
    """Bad data is an error, never a silent restart."""
    with pytest.raises(JournalFormatError, match="Record 7"):
        event_of(record)


def test_a_journal_of_a_newer_version_is_refused() -> None:
    """Guessing at its meaning could repeat what was done."""
    newer = RunStarted("r", "p", {}, {}, 1.0, format_version=99)
    with pytest.raises(JournalFormatError, match="format 99"):
        event_of(record_of(newer, 1))


async def test_a_run_leaves_its_journal_in_the_store() -> None:
    """Everything that a user sees of a run is a reading of it."""
    store = MemoryStore()
    ran = await run(chain("a", "b"), store=store)
    kinds = [type(event).__name__ for event in await load_events(store, ran.result.run_id)]
    assert kinds == ["RunStarted", "StepStarted", "StepCompleted", "StepStarted", "StepCompleted", "RunFinished"]
    assert (await store.run("run-1")).pipeline == "chain"


async def test_the_end_of_a_step_and_the_start_of_the_next_are_one_commit() -> None:
    """A durable chain then needs one fsync a step, not two."""
    batches: list[list[str]] = []

    class Counting(MemoryStore):
        async def create_run(self, run: NewRun) -> RunRecord:
            batches.append([record.kind for record in run.records])
            return await super().create_run(run)

        async def commit(self, batch: Batch) -> None:
            batches.append([record.kind for record in batch.records])
            await super().commit(batch)

    await run(chain("a", "b"), store=Counting())
    assert batches == [
        ["RunStarted", "StepStarted"],
        ["StepCompleted", "StepStarted"],
        ["StepCompleted", "RunFinished"],
    ], "the first creates the run, the last gives it up"


async def test_a_batch_that_does_not_continue_the_journal_writes_nothing() -> None:
    """Two writers must not both believe that they drive the run."""
    opened = services()
    definition = Definition.of(chain("a"), Origin())
    journal = RunJournal.begin(opened, definition, run_id="run-1", lease_seconds=15, labels={})
    await journal.commit(EVENTS[:2])
    for epoch, last_seq in ((1, 1), (0, 2)):
        writer = RunJournal(
            opened.store, opened.clock, journal.run_id, epoch=epoch, last_seq=last_seq, lease_seconds=15
        )
        with pytest.raises(ConflictError, match="nothing was written"):
            await writer.commit(EVENTS[2:4])
    assert list(await load_events(opened.store, journal.run_id)) == EVENTS[:2]
