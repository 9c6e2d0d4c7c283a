"""Lines and what they say: what is written is what is read."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.adapters.storage.changes import Changes, WrittenDocument
from tagent.adapters.storage.files.lines import BEGINNING, body_of, checksum_of, length_of, line_of
from tagent.adapters.storage.files.operations import (
    BatchCommitted,
    ChangesWritten,
    ContentWritten,
    Forgotten,
    Operation,
    RunCreated,
    RunDeleted,
    RunHeld,
    decoded,
    encoded,
)
from tagent.ports.documents import Document
from tagent.ports.messages import Cursor, Message
from tagent.ports.records import Record, RunRecord, RunSummary

TEXT = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers(0, 2**63)
TIMES = st.floats(allow_nan=False)
RECORDS = st.lists(st.builds(Record, NUMBERS, TEXT, TIMES, st.binary() | TEXT.map(str.encode))).map(tuple)
SUMMARIES = st.builds(RunSummary, TEXT, TIMES, TIMES, st.booleans(), st.none() | TEXT)
BLOBS = st.lists(TEXT).map(tuple)
RUNS = st.builds(
    RunRecord,
    run_id=TEXT,
    pipeline=TEXT,
    definition_hash=TEXT,
    status=TEXT,
    epoch=NUMBERS,
    last_seq=NUMBERS,
    owner=TEXT,
    created_at=TIMES,
    updated_at=TIMES,
    finished_at=st.none() | TIMES,
    cost_usd=TIMES,
    labels=st.dictionaries(TEXT, TEXT),
    parent=TEXT,
    forked_seq=NUMBERS,
)
PAYLOADS = st.binary() | TEXT.map(str.encode)
DOCUMENTS = st.builds(
    WrittenDocument, st.builds(Document, TEXT, TEXT, NUMBERS, PAYLOADS, TIMES, st.none() | TIMES), TEXT
)


def several(things: st.SearchStrategy[object]) -> st.SearchStrategy[tuple[object, ...]]:
    return st.lists(things, max_size=3).map(tuple)


CHANGES = st.builds(
    Changes,
    documents=several(DOCUMENTS),
    removed=several(st.tuples(TEXT, TEXT)),
    versions=several(st.tuples(TEXT, NUMBERS)),
    messages=several(st.builds(Message, TEXT, NUMBERS, TIMES, PAYLOADS, TEXT, TEXT, TEXT)),
    swept=several(st.tuples(TEXT, NUMBERS)),
    cursors=several(st.builds(Cursor, TEXT, TEXT, NUMBERS, NUMBERS)),
)
CREATIONS = st.builds(RunCreated, RUNS, TIMES, TEXT, RECORDS, BLOBS)
COMMITS = st.builds(BatchCommitted, TEXT, RECORDS, st.none() | SUMMARIES, BLOBS)
OPERATIONS = (
    st.builds(ContentWritten, st.sampled_from(["definition", "blob"]), TEXT, st.binary())
    | CREATIONS
    | COMMITS
    | st.builds(ChangesWritten, CHANGES, st.none() | CREATIONS | COMMITS)
    | st.builds(Forgotten, TEXT)
    | st.builds(RunHeld, TEXT, NUMBERS, TEXT, TIMES)
    | st.builds(RunDeleted, TEXT)
)


@given(OPERATIONS)
def test_an_operation_comes_back_as_it_was_and_is_one_line(operation: Operation) -> None:
    """A newline in a name must not end the line, and no byte of a payload may change."""
    body = encoded(operation)
    assert decoded(body) == operation
    assert b"\n" not in body
    assert b"\0" not in body, "which is how a block is known that never reached the disk"


@given(st.binary().filter(lambda body: b"\n" not in body), st.integers(0, 2**32 - 1))
def test_a_line_holds_its_json_and_its_checksum(body: bytes, before: int) -> None:
    """The checksum goes on from the line before."""
    line = line_of(body, checksum_of(body, before=before))
    assert body_of(line, before=before) == body
    assert length_of(body) == len(line)
    assert body_of(line, before=before ^ 1) is None


def test_a_payload_can_be_read_by_people() -> None:
    """Whoever looks into the log with `less` or `jq` sees what happened."""
    commit = BatchCommitted("r", (Record(1, "Happened", 1.5, '{"tea":"茶"}'.encode()),), None, ())
    body = encoded(commit)
    assert json.loads(body)["records"] == [{"seq": 1, "kind": "Happened", "at": 1.5, "payload": '{"tea":"茶"}'}]
    assert "茶".encode() in body
    assert b'"payload_base64":"/w=="' in encoded(BatchCommitted("r", (Record(1, "k", 1.0, b"\xff"),), None, ()))


def test_what_holds_changes_is_refused_by_a_tagent_that_does_not_know_them() -> None:
    """It would read the run's part, and lose the rest with the run."""
    for run in (None, BatchCommitted("r", (), None, ())):
        operation = json.loads(encoded(ChangesWritten(Changes(cursors=(Cursor("me", "t"),)), run)))["op"]
        assert operation not in ("content", "create", "commit", "hold", "delete")


@pytest.mark.parametrize(
    "line", [b"", b"\n", b"0\n", b"00000000\n", b"00000000 \n", b"0000000g {}\n", b"00000000  {}\n"]
)
def test_what_is_no_line_has_no_json(line: bytes) -> None:
    """Whatever bytes there are, they are compared, not interpreted."""
    assert body_of(line, before=BEGINNING) is None or line == line_of(b"", 0)
