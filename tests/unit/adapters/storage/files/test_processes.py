"""Several processes, and one that is killed: one log, from which nothing acknowledged is missing."""

import asyncio
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tagent.adapters.storage.files.store import open_files
from tagent.ports.records import Batch, Record
from tagent.testing.store_contract.samples import batch, claim, new_run, seqs

WRITER = """
import asyncio, sys
from pathlib import Path
from tagent.adapters.storage.files.store import open_files
from tagent.testing.store_contract.samples import batch, end, new_run

async def main(place, name, commits):
    store = open_files(Path(place), segment_bytes=2000)
    async def chain(run_id):
        await store.create_run(new_run(run_id))
        for seq in range(1, commits + 1):
            await store.commit(batch(run_id, seq, seq))
            print(run_id, seq, flush=True)
        await store.commit(end(run_id, commits + 1))
        if run_id.endswith("0"):
            await store.delete(run_id)
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(chain(f"{name}-{number}"))
    await store.close()

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
"""


@contextmanager
def writer(place: Path, name: str, commits: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process that writes to three runs at once, and tells of each commit."""
    command = [sys.executable, "-c", WRITER, str(place), name, str(commits)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


async def test_processes_that_write_at_once_lose_nothing(tmp_path: Path) -> None:
    """They share one log, go on in its next file together, and clean it up beside each other."""
    ours = open_files(tmp_path, segment_bytes=2000)
    with writer(tmp_path, "a", 20) as one, writer(tmp_path, "b", 20) as other:
        await ours.create_run(new_run("c"))
        for seq in range(1, 21):
            await ours.commit(batch("c", seq, seq))
        for process in (one, other):
            await asyncio.to_thread(process.communicate)
            assert process.returncode == 0
    fresh = open_files(tmp_path)
    for store in (ours, fresh):
        assert sorted(run.run_id for run in await store.runs()) == ["a-1", "a-2", "b-1", "b-2", "c"]
        for run_id in ("a-1", "a-2", "b-1", "b-2"):
            assert await seqs(store, run_id) == list(range(1, 22))
        assert await seqs(store, "c") == list(range(1, 21))
        await store.close()


@pytest.mark.parametrize("after", [1, 7, 40])
async def test_a_killed_writer_leaves_a_store_with_all_that_it_was_told(tmp_path: Path, after: int) -> None:
    """The kernel lets go of its lock, and the next who writes cuts off what it left half written."""
    store = open_files(tmp_path)
    with writer(tmp_path, "a", 10_000) as process:
        assert process.stdout is not None
        told = [await asyncio.to_thread(process.stdout.readline) for _ in range(after)]
        process.send_signal(signal.SIGKILL)
        told += process.stdout.readlines()
    for line in told:
        run_id, seq = line.decode().split()
        assert int(seq) <= (await store.run(run_id)).last_seq
    await claim(store, "a-1", gone="me")
    last = (await store.run("a-1")).last_seq
    await store.commit(batch("a-1", last + 1, last + 1, epoch=2))
    await store.close()
    store = open_files(tmp_path)
    assert await seqs(store, "a-1") == list(range(1, last + 2))
    await store.close()


async def test_a_reader_waits_for_what_is_being_written_and_never_sees_half_of_it(tmp_path: Path) -> None:
    """A line that is still being written is not a torn one."""
    ours, theirs = open_files(tmp_path), open_files(tmp_path)
    await ours.create_run(new_run("r"))
    payload = b"x" * 3_000_000
    writing = threading.Event()

    async def write() -> None:
        for seq in range(1, 6):
            await ours.commit(Batch("r", 1, (Record(seq, "Large", 1.0, payload),)))
        writing.set()

    async def read() -> None:
        while not writing.is_set():
            assert all(record.payload == payload for record in await theirs.records("r"))

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        group.create_task(read())
    assert await seqs(theirs, "r") == [1, 2, 3, 4, 5]
    await ours.close()
    await theirs.close()
