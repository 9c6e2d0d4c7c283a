"""A process may be killed between any two things that it does to the disk."""

import os
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import ParamSpec, TypeVar

import pytest

from tagent.adapters.storage.files.store import open_files
from tagent.exceptions import StoreError
from tagent.ports.documents import Put
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.ports.records import Batch, Blob, Record
from tagent.ports.store import Store
from tagent.ports.store_errors import UnknownRunError
from tagent.testing.store_contract.samples import end, new_run, seqs

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

SEGMENT_BYTES = 2500
BLOB = Blob("shared", b"\xff" * 200)


class Snapshots:
    """Copies a directory before each call that changes it, with what had been acknowledged by then.

    Attributes:
        taken: Each copy, and run -> its last record; -1 for a run that was deleted.
    """

    def __init__(self, directory: Path, place: Path) -> None:
        self.taken: list[tuple[Path, dict[str, int]]] = []
        self.acknowledged: dict[str, int] = {}
        self._directory = directory
        self._place = place

    def before(self, call: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
        def copied_first(*args: Arguments.args, **settings: Arguments.kwargs) -> Result:
            self.take()
            return call(*args, **settings)

        return copied_first

    def take(self) -> None:
        if self._directory.exists():
            copy = self._place / str(len(self.taken))
            shutil.copytree(self._directory, copy)
            self.taken.append((copy, dict(self.acknowledged)))


def half_first(snapshots: Snapshots) -> Callable[[int, bytes, int], int]:
    """Return a `pwrite` that writes lines in two halves, with a copy taken before and between them."""
    write = os.pwrite

    def in_halves(file: int, content: bytes, offset: int) -> int:
        snapshots.take()
        return write(file, content if len(content) < 100 else content[: len(content) // 2], offset)

    return in_halves


async def tell(snapshots: Snapshots, store: Store) -> None:
    """Write what begins new files, leaves garbage in old ones, and has them cleaned, moved and removed."""
    told = snapshots.acknowledged

    async def delete(run_id: str) -> None:
        del told[run_id]  # from here on it may be there or not
        await store.delete(run_id)
        told[run_id] = -1

    for number in range(6):
        run_id = f"r{number}"
        blobs = () if number == 5 else (BLOB if number == 0 else Blob(BLOB.hash, None),)
        await store.create_run(new_run(run_id, definition_hash=f"of {run_id}"))
        told[run_id] = 0
        for seq in (1, 2):
            record = Record(seq, "Happened", 1.0, run_id.encode() + b"x" * 500)
            await store.commit(Batch(run_id, 1, (record,), blobs=blobs))
            told[run_id] = seq
        await store.commit(end(run_id, 3))
        told[run_id] = 3
        if number in (2, 3):
            await delete(run_id)
    for run_id in ("r0", "r4", "r1"):  # the last one takes the first file along
        await delete(run_id)


async def check(store: Store, told: dict[str, int]) -> None:
    for run_id, last_seq in told.items():
        if last_seq < 0:
            with pytest.raises(UnknownRunError):
                await store.run(run_id)
            continue
        found = await seqs(store, run_id)
        assert found[:last_seq] == list(range(1, last_seq + 1))
        assert all(record.payload.startswith(run_id.encode()) for record in (await store.records(run_id))[:2])
        assert await store.definition(f"of {run_id}")
        if last_seq and run_id != "r5":
            assert await store.blob(BLOB.hash) == BLOB.content


async def tell_changes(snapshots: Snapshots, store: Store) -> None:
    """The same with memory and messages, of which little stays."""
    told = snapshots.acknowledged
    for count in range(1, 13):
        puts = (Put("s", "count", str(count).encode()), Put("s", f"k{count}", b"x" * 300))
        gone = f"run/{count}/"
        messages = (NewMessage("t", b"x" * 300), NewMessage(gone, b"x" * 300))
        await store.write(Effects((*puts, Put(gone, "k", b"1")), messages))
        told["count"] = count
        await store.forget(gone)
        told["forgotten"] = count
        await store.write(Effects((Put("s", f"k{count}", None),)))
        told["deleted"] = count
    await store.sweep(messages_older_than_seconds=-60.0)
    told["swept"] = 12


async def check_changes(store: Store, told: dict[str, int]) -> None:
    found = await store.document("s", "count")
    count = 0 if found is None else int(found.value)
    assert count >= told.get("count", 0)
    topics = {topic.name: topic for topic in await store.topics()}
    assert (topics["t"].last_seq if count else 0) == count, "they are written together"
    assert not count or topics["t"].messages == (0 if told.get("swept") else topics["t"].messages)
    forgotten = range(1, told.get("forgotten", 0) + 1)
    assert not {f"run/{number}/" for number in forgotten} & (
        {scope.scope for scope in await store.scopes()} | {*topics}
    )
    for number in range(1, told.get("deleted", 0) + 1):
        assert await store.document("s", f"k{number}") is None


Tell = Callable[[Snapshots, Store], Awaitable[None]]
Check = Callable[[Store, dict[str, int]], Awaitable[None]]


@pytest.mark.parametrize(("tell", "check"), [(tell, check), (tell_changes, check_changes)], ids=["runs", "changes"])
async def test_a_kill_between_any_two_changes_of_the_disk_loses_and_revives_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tell: Tell, check: Check
) -> None:
    """Whatever was acknowledged is there, and the store goes on: new files, clean-ups and all."""
    (tmp_path / "copies").mkdir()
    snapshots = Snapshots(tmp_path / "runs", tmp_path / "copies")
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half_first(snapshots))
        patch.setattr(os, "fsync", snapshots.before(os.fsync))
        patch.setattr(os, "ftruncate", snapshots.before(os.ftruncate))
        patch.setattr(Path, "replace", snapshots.before(Path.replace))
        patch.setattr(Path, "unlink", snapshots.before(Path.unlink))
        store = open_files(tmp_path / "runs", segment_bytes=SEGMENT_BYTES)
        await tell(snapshots, store)
        await store.close()
    snapshots.take()
    assert len(snapshots.taken) > 100
    assert not (tmp_path / "runs" / "log-000001.jsonl").exists()
    for copy, told in snapshots.taken:
        try:
            await go_on(copy, told, check)
        except (StoreError, AssertionError) as error:
            error.add_note(f"in {copy}")
            raise


async def go_on(directory: Path, told: dict[str, int], check: Check) -> None:
    """Check what is there, write so much that files are begun and cleaned, and check again."""
    store = open_files(directory, segment_bytes=SEGMENT_BYTES)
    await check(store, told)
    for run_id in ("new", "newer"):
        await store.create_run(new_run(run_id, definition_hash=f"of {run_id}"))
        await store.commit(Batch(run_id, 1, (Record(1, "Happened", 1.0, run_id.encode() + b"x" * 3000),)))
        await store.commit(end(run_id, 2))
    await store.delete("new")
    await store.close()
    store = open_files(directory, segment_bytes=SEGMENT_BYTES)
    await check(store, told)
    assert await seqs(store, "newer") == [1, 2]
    with pytest.raises(UnknownRunError):
        await store.run("new")
    await store.close()
