"""Large outputs beside the journal: what a record looks like without its output, and what comes back."""

import asyncio
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from builders import run
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import Pipeline
from tagent.pipeline.events import AgentProgressed, RunEvent, RunFinished, RunStarted, StepCompleted
from tagent.pipeline.journal.blobs import LARGEST_INLINE, StoredOutput, blob_of, split, stored_output
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.journal.serialization import record_of
from tagent.pipeline.models import RunStatus
from tagent.pipeline.persistence import journalled
from tagent.ports.records import NewRun, Record
from tagent.task_agent.events import Finalized, TaskCompleted
from tagent.task_agent.models import ModelCall

LARGE = "x" * (LARGEST_INLINE + 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
)


@given(VALUES, st.booleans())
def test_whatever_is_split_comes_back_as_it_was(value: object, is_large: bool) -> None:  # noqa: FBT001
    """A resumed step must see what the live one saw."""
    output = [value, LARGE] if is_large else value
    events: list[RunEvent] = [
        RunStarted("r", "p", {}, {}, 0.0),
        StepCompleted("s", 1, output, 1.0, {"f": value}, {"m": {"blob": "0" * 64}}),
        AgentProgressed("s", 1, TaskCompleted(0, output, 0.1), 1.0),
        AgentProgressed("s", 1, Finalized(output, ModelCall("m")), 1.0),
    ]
    records, blobs = journalled(events, after_seq=0)
    assert [blob_of(record) for record in records] == ["", *([blob.hash for blob in blobs] if is_large else [""] * 3)]

    async def read_back() -> tuple[RunEvent, ...]:
        store = MemoryStore()
        await store.create_run(NewRun("r", "p", b"{}", "h", "me", 1.0, 0.0, records, blobs=blobs))
        return await load_events(store, "r")

    assert list(asyncio.run(read_back())) == events


def test_equal_outputs_share_a_blob() -> None:
    """What an agent answers and what its step gives is the same text, kept once."""
    events: list[RunEvent] = [
        StepCompleted("s", 1, LARGE, 1.0),
        AgentProgressed("s", 1, Finalized(LARGE, ModelCall("m")), 1.0),
    ]
    assert len({split(record_of(event, 1))[1][0].hash for event in events}) == 1


def test_no_value_can_pass_for_the_name_of_a_blob() -> None:
    """An output is untrusted text."""
    mark = ',"blob":"' + "0" * 64 + '"}'
    for event in (
        StepCompleted("s", 1, mark, 1.0, {}, {"m": {"blob": "0" * 64}}),
        StepCompleted("s", 1, {"blob": "0" * 64}, 1.0),
        RunFinished(RunStatus.FAILED, 1.0, "code", mark),
    ):
        assert blob_of(record_of(event, 1)) == ""


async def test_a_large_record_without_a_large_output_stays_whole() -> None:
    """Only outputs are moved."""
    record = record_of(StepCompleted("s", 1, 1, 1.0, {"f": LARGE}), 1)
    assert split(record) == (record, ())


@pytest.mark.parametrize("output", ["ä€" * 20_000, ["ä€" * 20_000], ["x", "ä€" * 20_000]])
def test_of_a_large_output_the_record_keeps_what_searches_look_at(output: object) -> None:
    """Who finds a run by the words of an output need not load it, also when a character is cut in two."""
    record, (blob,) = split(record_of(StepCompleted("s", 1, output, 1.0), 1))
    text = output if isinstance(output, str) else to_json(output).decode()
    assert stored_output(record) == StoredOutput(blob.hash, text[:2000])


def test_a_large_output_of_an_older_journal_has_no_excerpt() -> None:
    """Journals are read for good."""
    record, (blob,) = split(record_of(StepCompleted("s", 1, LARGE, 1.0), 1))
    older = Record(1, record.kind, 1.0, to_json(from_json(record.payload) | {"output": None}))
    assert stored_output(older) == StoredOutput(blob.hash)


async def test_large_outputs_are_loaded_when_they_are_asked_for() -> None:
    """Who only looks at statuses need not read megabytes."""
    store = MemoryStore()
    ran = await run(Pipeline("p").step("a", run=lambda: LARGE).step("b", run=len_of_a), store=store)
    assert ran.result.final_output == len(LARGE)
    outputs = [e.output for e in await load_events(store, "run-1", is_whole=False) if isinstance(e, StepCompleted)]
    assert outputs == [StoredOutput(sha256(to_json(LARGE)).hexdigest(), LARGE[:2000]), len(LARGE)]
    outputs = [e.output for e in await load_events(store, "run-1") if isinstance(e, StepCompleted)]
    assert outputs == [LARGE, len(LARGE)]


async def len_of_a(a: str) -> int:
    """Return the length of what the step before gave."""
    return len(a)
