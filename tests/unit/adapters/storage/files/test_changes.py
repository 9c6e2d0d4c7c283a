"""Memory and messages in the log: whole or not at all, the same when they are read again, and given up when gone."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagent.adapters.storage.files.format import HEADER
from tagent.adapters.storage.files.lines import BEGINNING, checksum_of, line_of
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.files.store import FileStore, open_files
from tagent.adapters.storage.memory import MemoryStore
from tagent.exceptions import StoreError
from tagent.ports.documents import Document, DocumentQuery, Put, Quota
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects, Swept
from tagent.ports.messages import Cursor, Message, NewMessage, Receipt, Subscription, Topic
from tagent.ports.records import Batch, Record
from tagent.ports.store import Store
from tagent.ports.store_errors import StoreVersionError
from tagent.testing.store_contract.samples import at_once, batch, end, new_run, seqs

SEGMENT_BYTES = 2000
LARGE = b"x" * 700


class Clock:
    """Shows what it is set to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def opened(directory: Path, clock: Clock, *, segment_bytes: int = SEGMENT_BYTES) -> FileStore:
    return FileStore(Log(directory, segment_bytes=segment_bytes), now=clock)


def put(key: str, value: bytes | None = b"1", *, scope: str = "s", ttl_seconds: float | None = None) -> Effects:
    return Effects((Put(scope, key, value, ttl_seconds=ttl_seconds),))


def sent(payload: bytes, *, topic: str = "t", key: str = "") -> Effects:
    return Effects(messages=(NewMessage(topic, payload, key),))


def size_of(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


def text_in(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.iterdir())


async def fill(store: Store, *, times: int = 20) -> None:
    """Write what begins new files and is garbage at once, so that all that can be cleaned is."""
    for number in range(times):
        await store.write(put("filler", LARGE + b"%d" % number, scope="filler"))


# A store beside the one in memory: whatever is done to both, both say the same.

NAMES = st.sampled_from(["a", "run/a/x", "run/b/x"])
KEYS = st.sampled_from(["k", "l", "m"])
VALUES = st.sampled_from([b"1", b"22", b"x" * 150])
PUTS = st.builds(
    Put,
    NAMES,
    KEYS,
    st.none() | VALUES,
    text=st.sampled_from(["", "tea"]),
    expected_version=st.none() | st.integers(0, 3),
    ttl_seconds=st.none() | st.sampled_from([1.0, 5.0]),
    quota=st.none() | st.just(Quota(2, 200)),
)
MESSAGES = st.builds(NewMessage, NAMES, VALUES, key=st.sampled_from(["", "", "k", "l"]))
RECEIPTS = st.builds(Receipt, NAMES, NAMES, st.integers(0, 2), st.integers(0, 3), st.integers(0, 1))
EFFECTS = st.builds(
    Effects,
    st.lists(PUTS, max_size=3, unique_by=lambda it: (it.scope, it.key)).map(tuple),
    st.lists(MESSAGES, max_size=3).map(tuple),
    st.lists(RECEIPTS, max_size=2, unique_by=lambda it: (it.subscriber, it.topic)).map(tuple),
    st.lists(st.builds(Subscription, NAMES, NAMES), max_size=1).map(tuple),
)


@dataclass(frozen=True)
class Forget:
    prefix: str


@dataclass(frozen=True)
class Sweep:
    seconds: float


@dataclass(frozen=True)
class Grow:
    effects: Effects


@dataclass(frozen=True)
class Delete:
    pass


Call = Effects | Forget | Sweep | Grow | Delete
CALLS = (
    EFFECTS
    | EFFECTS
    | st.builds(Grow, EFFECTS)
    | st.builds(Delete)
    | st.builds(Forget, st.sampled_from(["a", "run/a/", "run/"]))
    | st.builds(Sweep, st.sampled_from([0.5, 3.0]))
)
TURNS = st.lists(
    st.tuples(st.lists(CALLS, min_size=1, max_size=4), st.floats(0, 3), st.booleans(), st.booleans()), max_size=15
)
"""What is done at once, how much time passes then, by which of two stores it is done, whether it is opened anew."""


async def done(store: Store, call: Call) -> object:
    """Return the answer to a call, or which error it was."""
    try:
        match call:
            case Effects():
                return await store.write(call)
            case Forget(prefix):
                await store.forget(prefix)
            case Sweep(seconds):
                return await store.sweep(messages_older_than_seconds=seconds)
            case Grow(effects):
                last_seq = (await store.run("r")).last_seq
                await store.commit(replace(batch("r", last_seq + 1, last_seq + 1), effects=effects))
            case Delete():
                await store.commit(end("r", (await store.run("r")).last_seq + 1))
                await store.delete("r")
                await store.create_run(new_run("r"))
    except StoreError as error:
        return str(error)
    return "done"


async def everything(store: Store) -> list[object]:
    """Return all that can be read of memory and messages."""
    topics = await store.topics()
    names = [topic.name for topic in topics]
    found: list[object] = [*topics, *await store.scopes(), *await store.cursors()]
    for name in ("a", "run/a/x", "run/b/x"):
        found += [*await store.documents(DocumentQuery(name)), *await store.messages(name)]
        found += [*await store.documents(DocumentQuery(name, words=("tea",))), *await store.unread(name, names)]
        found += [await store.document(name, "k")]
    return found


@settings(max_examples=100, deadline=None)
@given(TURNS)
def test_the_log_says_the_same_as_the_store_in_memory(turns: Sequence[tuple[list[Call], float, bool, bool]]) -> None:
    """With files that are cleaned all the time, in groups, by two processes, and read anew again and again."""

    async def compare(directory: Path) -> None:
        clock = Clock()
        expected = MemoryStore(now=clock)
        stores = [opened(directory, clock, segment_bytes=600) for _ in range(2)]
        for store in (expected, stores[0]):
            await store.create_run(new_run("r"))
        for calls, seconds, is_second, is_reopened in turns:
            is_alone = any(isinstance(call, Grow | Delete) for call in calls)  # they are several calls each
            store = stores[is_second]
            for group in [[call] for call in calls] if is_alone else [calls]:
                async with asyncio.TaskGroup() as tasks:
                    answers = [tasks.create_task(done(store, call)) for call in group]
                assert [answer.result() for answer in answers] == [await done(expected, call) for call in group]
            clock.now += seconds
            if is_reopened:
                await store.close()
                stores[is_second] = opened(directory, clock, segment_bytes=600)
            for each in stores:
                assert await everything(each) == await everything(expected)
        for store in stores:
            await store.close()

    with TemporaryDirectory() as directory:
        asyncio.run(compare(Path(directory)))


# What is read again.


async def test_what_was_decided_is_not_decided_again(tmp_path: Path) -> None:
    """Another clock, another order of reading: a time, a version and a place stay what they were."""
    clock = Clock()
    store = opened(tmp_path, clock)
    await store.write(put("k", b"1", ttl_seconds=10.0))
    await store.write(sent(b"1", key="once"))
    await store.close()
    clock.now = 1009.0
    store = opened(tmp_path, clock)
    assert await store.document("s", "k") == Document("s", "k", 1, b"1", 1000.0, 1010.0)
    assert list(await store.messages("t")) == [Message("t", 1, 1000.0, b"1", "once")]
    clock.now = 1010.0
    assert await store.document("s", "k") is None
    await store.close()


async def test_what_is_not_there_any_more_leaves_its_numbers(tmp_path: Path) -> None:
    """A version and a place are given once, however much was cleaned away; and a key is known while its message is."""
    clock = Clock()
    store = opened(tmp_path, clock)
    for number in range(5):
        await store.write(put("k", b"gone %d" % number, scope="emptied"))
        await store.write(sent(b"gone", topic="emptied"))
    await store.write(sent(b"gone", topic="shortened", key="gone"))
    await store.write(Effects(receipts=(Receipt("me", "emptied", 0, 4, 2),)))
    await store.write(put("k", None, scope="emptied"))
    clock.now = 2000.0
    await store.write(sent(b"kept", topic="shortened", key="kept"))
    await store.sweep(messages_older_than_seconds=500.0)
    await fill(store)
    for _reopened in (False, True):
        assert list(await store.topics()) == [Topic("emptied", 5, 0), Topic("shortened", 2, 1)]
        assert list(await store.cursors()) == [Cursor("me", "emptied", 4, 2)]
        assert (await store.write(sent(b"again", topic="shortened", key="kept"))).seqs == (2,)
        await store.close()
        assert b"gone" not in text_in(tmp_path)
        store = opened(tmp_path, clock)
    written = await store.write(replace(put("k", scope="emptied"), messages=(NewMessage("emptied", b"1"),)))
    assert (written.versions, written.seqs) == ((6,), (6,))
    assert (await store.write(sent(b"new", topic="shortened", key="gone"))).seqs == (3,)
    await store.close()


async def test_a_log_from_before_there_was_memory_goes_on(tmp_path: Path) -> None:
    """Whoever updates keeps his runs."""
    known = {"run_id": "r", "pipeline": "p", "definition_hash": "hash", "status": "running", "epoch": 1, "last_seq": 1}
    known |= {"owner": "", "created_at": 1.0, "updated_at": 1.0, "finished_at": None, "cost_usd": 0.0, "labels": {}}
    known |= {"parent": "", "forked_seq": 0}
    records = [{"seq": 1, "kind": "Happened", "at": 1.0, "payload": "{}"}]
    operations = (
        {"op": "content", "kind": "definition", "hash": "hash", "content": "{}"},
        {"op": "create", "run": known, "lease_ends": 1.0, "text": "", "records": records},
        {"op": "commit", "run_id": "r", "records": [records[0] | {"seq": 2}]},
    )
    lines, checksum = [], BEGINNING
    for body in (b'{"store":"tagent","format":1}', *(json.dumps(it).encode() for it in operations)):
        checksum = checksum_of(body, before=checksum)
        lines.append(line_of(body, checksum))
    (tmp_path / "log-000001.jsonl").write_bytes(b"".join(lines))
    store = open_files(tmp_path)
    await store.commit(replace(batch("r", 3, 3), effects=put("k")))
    await store.close()
    store = open_files(tmp_path)
    assert await seqs(store, "r") == [1, 2, 3]
    assert await store.document("s", "k") is not None
    await store.close()


async def test_changes_with_a_run_that_this_tagent_does_not_know_are_refused(tmp_path: Path) -> None:
    """A newer tagent may put them into lines of its own."""
    body = b'{"op":"change and more"}'
    header = checksum_of(HEADER, before=BEGINNING)
    lines = line_of(HEADER, header) + line_of(body, checksum_of(body, before=header))
    (tmp_path / "log-000001.jsonl").write_bytes(lines)
    with pytest.raises(StoreVersionError, match="Line 2 of"):
        open_files(tmp_path)


# Whole or not at all.


async def test_a_torn_write_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A step's outcome, what it remembers, what it has read and what it sends."""
    store = open_files(tmp_path)
    await store.create_run(new_run("r"))
    await store.write(Effects(put("k", b"old").puts, sent(b"1").messages))
    both = Effects(put("k", b"new").puts, sent(b"2").messages, (Receipt("me", "t", 0, 1),))
    await store.commit(replace(batch("r", 1, 1), effects=both))
    await store.close()
    log = tmp_path / "log-000001.jsonl"
    whole = log.read_bytes()
    last = whole.splitlines(keepends=True)[-1]

    async def found() -> tuple[object, ...]:
        store = open_files(tmp_path)
        try:
            document = await store.document("s", "k")
            assert document is not None
            unread = [it.seq for it in await store.unread("me", ["t"])]
            return await seqs(store, "r"), document.version, document.value, unread
        finally:
            await store.close()

    assert await found() == ([1], 2, b"new", [2])
    for length in range(len(last)):
        log.write_bytes(whole[: len(whole) - len(last) + length])
        assert await found() == ([], 1, b"old", [1])


async def test_writes_of_one_group_see_each_other(tmp_path: Path) -> None:
    """They are on the disk together, but were decided one after the other."""
    store = opened(tmp_path, Clock())
    await store.write(Effects(put("k", scope="run/a").puts, sent(b"1", topic="run/t", key="once").messages))

    async def checked(effects: Effects, *, versions: tuple[int, ...] = (), seqs: tuple[int, ...] = ()) -> None:
        written = await store.write(effects)
        assert (written.versions, written.seqs) == (versions, seqs)

    first = Effects((Put("s", "n", b"1", expected_version=0),))
    second = Effects((Put("s", "n", b"2", expected_version=1),))
    quota = Quota(documents=1, bytes=10)
    outcomes = await at_once(
        [
            partial(checked, first, versions=(1,)),
            partial(checked, first),
            partial(checked, second, versions=(2,)),
            partial(checked, sent(b"1", topic="run/t", key="once"), seqs=(1,)),
            partial(checked, Effects((Put("run/a", "l", b"1", quota=quota),))),
            partial(store.forget, "run/"),
            partial(checked, Effects((Put("run/a", "l", b"1", expected_version=0, quota=quota),)), versions=(1,)),
            partial(checked, sent(b"1", topic="run/t", key="once"), seqs=(1,)),
            partial(checked, sent(b"2", topic="run/t", key="once"), seqs=(1,)),
        ]
    )
    refused = {1: "DocumentConflictError", 4: "QuotaExceededError"}
    assert outcomes == [refused.get(number, "done") for number in range(9)]
    await store.close()
    store = opened(tmp_path, Clock())
    assert [it.key for it in await store.documents(DocumentQuery("run/a"))] == ["l"]
    assert [it.payload for it in await store.messages("run/t")] == [b"1"]
    await store.close()


async def test_a_sweep_is_seen_by_the_next_write_of_its_group(tmp_path: Path) -> None:
    """A key is free as soon as its message is gone, and nothing goes twice."""
    clock = Clock()
    store = opened(tmp_path, clock)
    both = Effects((Put("s", "k", b"1", ttl_seconds=1.0), Put("s", "l", b"1", ttl_seconds=1.0)))
    await store.write(replace(both, messages=(NewMessage("t", b"1", "once"),)))
    clock.now = 2000.0
    sweep = partial(store.sweep, messages_older_than_seconds=10.0)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.write(put("l", b"new")))
        swept = [tasks.create_task(sweep()), tasks.create_task(sweep())]
        again = tasks.create_task(store.write(sent(b"2", key="once")))
    assert [task.result() for task in swept] == [Swept(1, 1), Swept(0, 0)]
    assert again.result().seqs == (2,)
    assert list(await store.topics()) == [Topic("t", 2, 1)]
    assert [it.value for it in await store.documents(DocumentQuery("s"))] == [b"new"]
    await store.close()


async def test_a_sweep_leaves_what_its_group_has_begun_anew(tmp_path: Path) -> None:
    """A topic that was forgotten begins with 1 again, which was the place of an old message."""
    clock = Clock()
    store = opened(tmp_path, clock)
    await store.write(sent(b"old"))
    clock.now = 2000.0
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(store.forget("t"))
        tasks.create_task(store.write(sent(b"new")))
        swept = tasks.create_task(store.sweep(messages_older_than_seconds=10.0))
    assert swept.result() == Swept(0, 0)
    assert [(it.seq, it.payload) for it in await store.messages("t")] == [(1, b"new")]
    await store.close()


async def test_a_forgotten_message_is_not_taken_for_the_one_in_its_place(tmp_path: Path) -> None:
    """Its line stays for the sake of something else, but without it."""
    store = opened(tmp_path, Clock())
    await store.write(Effects(put("kept").puts, sent(b"old" * 200, topic="run/t").messages))
    anew = partial(store.write, sent(b"new", topic="run/t"))
    assert await at_once([partial(store.forget, "run/"), anew]) == ["done"] * 2
    await fill(store)
    await store.close()
    assert b"old" not in text_in(tmp_path)
    store = opened(tmp_path, Clock())
    assert [(it.seq, it.payload) for it in await store.messages("run/t")] == [(1, b"new")]
    assert await store.document("s", "kept") is not None
    await store.close()


async def test_a_failing_compare_and_set_adds_no_line(tmp_path: Path) -> None:
    """Nor does what comes to nothing."""
    store = open_files(tmp_path)
    await store.write(sent(b"1", key="once"))
    size = size_of(tmp_path)
    with pytest.raises(DocumentConflictError):
        await store.write(Effects((Put("s", "k", b"1", expected_version=7),), (NewMessage("t", b"2"),)))
    await store.write(Effects((Put("s", "k", None),), (NewMessage("t", b"2", "once"),)))
    await store.forget("nobody")
    await store.sweep(messages_older_than_seconds=3600.0)
    assert size_of(tmp_path) == size
    await store.close()


# Room is given back.


async def churned(store: FileStore, clock: Clock, kind: str, number: int) -> None:
    """Write something that is needed no longer at the end of the call."""
    key = f"k{number}"
    match kind:
        case "overwritten":
            await store.write(put("k", LARGE))
        case "deleted":
            await store.write(put(key, b"1"))
            await store.write(put(key, None))
        case "expired":
            await store.write(put(key, LARGE, ttl_seconds=1.0))
            clock.now += 1.0
            await store.sweep(messages_older_than_seconds=3600.0)
        case "swept":
            await store.write(sent(LARGE, key=key))
            clock.now += 10.0
            await store.sweep(messages_older_than_seconds=5.0)
        case "received":
            seq = (await store.cursors())[0].seq if number else 0
            await store.write(Effects(receipts=(Receipt("me", "t", seq, seq + 1),)))
        case "forgotten":
            await store.write(Effects(put("k", LARGE, scope=f"run/{key}/").puts, sent(LARGE, topic=key).messages))
            await store.forget(f"run/{key}/")
            await store.forget(key)
        case _:
            raise AssertionError(kind)


@pytest.mark.parametrize("kind", ["overwritten", "deleted", "expired", "swept", "received", "forgotten"])
async def test_what_is_gone_gives_its_room_back(tmp_path: Path, kind: str) -> None:
    """A store that only ever grows fills every disk."""
    clock = Clock()
    store = opened(tmp_path, clock)
    for number in range(300):
        await churned(store, clock, kind, number)
    await store.close()
    assert size_of(tmp_path) < 6 * SEGMENT_BYTES
    await opened(tmp_path, clock).close()


async def test_what_is_deleted_gives_its_room_back_behind_a_file_that_is_hardly_garbage(tmp_path: Path) -> None:
    """What says that a document is gone need not stay for the sake of files that never held it."""
    store = opened(tmp_path, Clock())
    await store.write(put("kept", LARGE * 2))
    await store.write(put("overwritten"))
    await store.write(put("overwritten"))
    for number in range(300):
        await churned(store, Clock(), "deleted", number)
    assert store._log._view.segments[0].garbage
    await store.close()
    assert size_of(tmp_path) < 6 * SEGMENT_BYTES


async def test_what_was_deleted_does_not_come_back_when_only_a_part_of_the_log_is_cleaned(tmp_path: Path) -> None:
    """Its lines are in a file that is left alone; what says that it is gone is in one that is cleaned."""
    store = opened(tmp_path, Clock())
    for number in range(3):  # in the first file, among much that lives
        await store.write(Effects((Put("s", f"live {number}", LARGE), Put("s", f"k{number}", b"old"))))
    await fill(store, times=3)
    await store.write(put("k0", b"new"))
    await fill(store, times=3)
    for number in range(3):
        await store.write(put(f"k{number}", None))
    await fill(store)
    for _reopened in range(3):
        await store.close()
        assert b"old" in text_in(tmp_path)
        store = opened(tmp_path, Clock())
        assert [it.key for it in await store.documents(DocumentQuery("s"))] == [f"live {number}" for number in range(3)]
        await fill(store)
    await store.close()


async def test_a_key_is_that_of_the_newer_message_when_the_older_one_is_read_again(tmp_path: Path) -> None:
    """The line that said that the older one is gone has been replaced by one further on."""
    clock = Clock()
    store = opened(tmp_path, clock)
    live = put("live", LARGE * 2)
    await store.write(replace(live, messages=(NewMessage("t", b"old", "once"),)))  # its file is hardly garbage
    await fill(store)
    clock.now = 2000.0
    await store.write(sent(b"between"))
    assert (await store.sweep(messages_older_than_seconds=500.0)).messages == 1
    clock.now = 3000.0
    assert (await store.write(sent(b"new", key="once"))).seqs == (3,)
    assert (await store.sweep(messages_older_than_seconds=500.0)).messages == 1
    await fill(store)
    await store.close()
    assert (b'"old"' in text_in(tmp_path), text_in(tmp_path).count(b'"swept"')) == (True, 1)
    store = opened(tmp_path, clock)
    assert (await store.write(sent(b"new", key="once"))).seqs == (3,)
    assert list(await store.topics()) == [Topic("t", 3, 1)]
    await store.close()


async def test_a_deleted_run_takes_its_records_along_and_leaves_its_messages(tmp_path: Path) -> None:
    """They are written in one line, and each stays as long as it is needed."""
    store = opened(tmp_path, Clock())
    for run_id in ("kept", "gone"):
        await store.create_run(new_run(run_id))
        size = 3000 if run_id == "gone" else 0  # most of the line: it must not stay for the sake of its messages
        record = Record(1, "Happened", 1.0, f"records of {run_id}".encode() + b"x" * size)
        messages = (NewMessage("t", b"from " + run_id.encode()),) * 5
        effects = Effects(put("k", b"of " + run_id.encode()).puts, messages)
        await store.commit(Batch(run_id, 1, (record,), effects=effects))
        await store.commit(end(run_id, 2))
    await store.write(put("k", b"newer"))
    await store.delete("gone")
    await fill(store)
    for _reopened in (False, True):
        assert await seqs(store, "kept") == [1, 2]
        assert [it.payload for it in await store.messages("t")] == [b"from kept"] * 5 + [b"from gone"] * 5
        await store.close()
        assert b"records of gone" not in text_in(tmp_path)
        assert b"records of kept" in text_in(tmp_path)
        assert b"of gone" not in text_in(tmp_path).replace(b"from gone", b"")
        store = opened(tmp_path, Clock())
    await store.close()


async def test_reading_while_others_clean_up_finds_every_message(tmp_path: Path) -> None:
    """Lines move and get shorter under the reader's eyes."""
    reader, writer = opened(tmp_path, Clock()), opened(tmp_path, Clock())
    for number in range(20):
        await writer.write(Effects((Put("s", "k", LARGE),), (NewMessage("t", b"%d" % number),)))

    async def read() -> None:
        for _ in range(60):
            assert [it.payload for it in await reader.messages("t")] == [b"%d" % number for number in range(20)]
            assert await reader.document("s", "k") is not None

    assert await at_once([read, partial(fill, writer, times=100)]) == ["done"] * 2
    await reader.close()
    await writer.close()
