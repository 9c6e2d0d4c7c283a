"""Group commit: who shares a commit, who is answered when, and what happens when the database objects."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from tagent.adapters.storage.sql import writer as writer_module
from tagent.adapters.storage.sql.driver import Cursor
from tagent.adapters.storage.sql.errors import translated
from tagent.adapters.storage.sql.writer import GroupWriter
from tagent.exceptions import StoreError
from tagent.ports.store_errors import ConflictError, StoreUnavailableError


@dataclass
class Disk:
    """A database with one table of unique numbers, whose commits and rollbacks can be made to fail."""

    path: Path
    fails_to: set[str] = field(default_factory=set)
    statements: list[str] = field(default_factory=list)
    connections: int = 0
    before_commit: Callable[[], object] = bool

    def connect(self) -> sqlite3.Connection:
        disk = self

        class Faulty(sqlite3.Connection):
            def commit(self) -> None:
                disk.before_commit()
                disk.check("commit")
                super().commit()

            def rollback(self) -> None:
                disk.check("rollback")
                super().rollback()

        connection = sqlite3.connect(
            self.path, factory=Faulty, isolation_level=None, check_same_thread=False, timeout=0.0
        )
        connection.set_trace_callback(self.statements.append)
        self.connections += 1
        return connection

    def check(self, what: str) -> None:
        if what in self.fails_to:
            raise sqlite3.OperationalError(f"{what} failed")

    def numbers(self) -> list[int]:
        with closing(sqlite3.connect(self.path)) as connection:
            return [number for (number,) in connection.execute("SELECT n FROM number ORDER BY n")]


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    disk = Disk(tmp_path / "numbers.db")
    with closing(disk.connect()) as connection:
        connection.execute("CREATE TABLE number (n INTEGER PRIMARY KEY)")
    disk.statements.clear()
    return disk


@pytest.fixture
def writer(disk: Disk) -> Iterator[GroupWriter]:
    writer = GroupWriter(disk.connect, begin="BEGIN IMMEDIATE", translated=partial(translated, store="numbers.db"))
    yield writer
    writer.close()


def insert(cursor: Cursor, number: int) -> int:
    cursor.execute("INSERT INTO number VALUES (:n)", {"n": number})
    return number


def inserting(number: int) -> Callable[[Cursor], int]:
    return partial(insert, number=number)


def refuse(cursor: Cursor) -> None:
    raise ConflictError("r", expected="record 1", found="record 2")


class Pause:
    """Holds the writer, so that what is submitted meanwhile forms one group."""

    def __init__(self, writer: GroupWriter) -> None:
        self._entered, self._go_on = threading.Event(), threading.Event()
        self._held: Future[None] = Future()
        threading.Thread(target=self._run, args=(writer,), daemon=True).start()
        self._entered.wait()

    def _run(self, writer: GroupWriter) -> None:
        try:
            self._held.set_result(writer.run(self._hold))
        except StoreError as error:
            self._held.set_exception(error)

    def _hold(self, cursor: Cursor) -> None:
        self._entered.set()
        self._go_on.wait()

    async def end(self) -> None:
        self._go_on.set()
        await asyncio.wrap_future(self._held)


def wait_until(is_so: Callable[[], bool]) -> None:
    while not is_so():
        threading.Event().wait(0.001)


async def outcomes(futures: list[asyncio.Future[int]]) -> list[object]:
    """Return what each future came to: its value, or the error."""
    await asyncio.wait(futures)
    return [future.exception() or future.result() for future in futures]


async def test_50_who_write_at_once_share_one_commit(disk: Disk, writer: GroupWriter) -> None:
    """A commit costs an fsync, however much it holds."""
    pause = Pause(writer)
    futures = [writer.submit(inserting(number)) for number in range(50)]
    disk.statements.clear()
    await pause.end()
    assert await outcomes(futures) == list(range(50))
    assert disk.statements.count("COMMIT") == 2, "one for who held the writer, one for the fifty"
    assert disk.statements.count("BEGIN IMMEDIATE") == 1
    assert disk.numbers() == list(range(50))


async def test_what_one_turn_of_the_loop_submits_is_one_group(disk: Disk, writer: GroupWriter) -> None:
    """A writer that is free must not run off with the first of fifty."""
    futures = [writer.submit(inserting(number)) for number in range(50)]
    assert await outcomes(futures) == list(range(50))
    assert disk.statements.count("COMMIT") == 1


async def test_closing_finishes_what_was_just_submitted(disk: Disk, writer: GroupWriter) -> None:
    """Whoever closes a store in the same turn of the loop loses nothing."""
    future = writer.submit(inserting(1))
    writer.close()
    assert await future == 1
    assert disk.numbers() == [1]


async def test_a_group_wakes_its_event_loop_once(disk: Disk, writer: GroupWriter) -> None:
    """Waking a loop is a system call."""
    pause = Pause(writer)
    futures = [writer.submit(inserting(number)) for number in range(50)]
    loop, wakings = asyncio.get_running_loop(), list[object]()
    wake = loop.call_soon_threadsafe

    def counted(*args: object) -> object:
        wakings.append(args)
        return wake(*args)  # type: ignore[arg-type]  # handed on as it came

    loop.call_soon_threadsafe = counted  # type: ignore[method-assign,assignment]  # the loop of this test only
    await pause.end()
    await outcomes(futures)
    assert len(wakings) == 2


async def test_nobody_is_answered_before_the_commit(disk: Disk, writer: GroupWriter) -> None:
    """An answer means that the work is on disk."""
    was_done: list[bool] = []
    pause = Pause(writer)
    future = writer.submit(inserting(1))
    disk.before_commit = lambda: was_done.append(future.done())
    await pause.end()
    assert await future == 1
    assert was_done == [False, False]


async def test_a_commit_that_fails_fails_everybody_in_the_group_and_keeps_nothing(
    disk: Disk, writer: GroupWriter
) -> None:
    """What was not acknowledged must not turn up later."""
    pause = Pause(writer)
    futures = [writer.submit(inserting(number)) for number in range(10)]
    disk.fails_to = {"commit"}
    with pytest.raises(StoreError):
        await pause.end()
    errors = await outcomes(futures)
    assert {type(error) for error in errors} == {StoreError}
    assert len({id(error) for error in errors}) == 10, "each has its own, so that tracebacks do not grow together"
    assert disk.numbers() == []
    disk.fails_to = set()
    assert await writer.submit(inserting(3)) == 3
    assert disk.numbers() == [3]


async def test_a_refusal_spoils_nothing(disk: Disk, writer: GroupWriter) -> None:
    """A stale writer is refused; those who happen to write at the same moment are not."""
    pause = Pause(writer)
    refused = writer.submit(refuse)
    futures = [writer.submit(inserting(number)) for number in (1, 2)]
    disk.statements.clear()
    await pause.end()
    with pytest.raises(ConflictError):
        await refused
    assert await outcomes(futures) == [1, 2]
    assert disk.statements.count("COMMIT") == 2


async def test_a_work_that_the_database_rejects_does_not_fail_the_others(disk: Disk, writer: GroupWriter) -> None:
    """One bad batch is its run's problem only."""
    pause = Pause(writer)
    futures = [writer.submit(inserting(number)) for number in (1, 2, 2, 3)]
    await pause.end()
    first, second, rejected, last = await outcomes(futures)
    assert (first, second, last) == (1, 2, 3)
    assert isinstance(rejected, StoreError)
    assert "SQLITE_CONSTRAINT" in str(rejected)
    assert isinstance(rejected.__cause__, sqlite3.IntegrityError)
    assert disk.numbers() == [1, 2, 3]


async def test_a_refusal_counts_only_if_what_it_was_refused_for_is_written(disk: Disk, writer: GroupWriter) -> None:
    """The first of two claims may be refused by the disk; then the second is the first."""

    def insert_only_if_empty(cursor: Cursor, number: int) -> int:
        cursor.execute("SELECT n FROM number")
        if cursor.fetchall():
            raise ConflictError("r", expected="nothing", found="a number")
        return insert(cursor, number)

    commits: list[None] = []

    def fail_the_group_and_the_first_alone() -> None:
        disk.fails_to = {"commit"} if len(commits) in (1, 2) else set()
        commits.append(None)

    pause = Pause(writer)  # its commit comes first
    disk.before_commit = fail_the_group_and_the_first_alone
    futures = [writer.submit(partial(insert_only_if_empty, number=number)) for number in (1, 2)]
    await pause.end()
    first, second = await outcomes(futures)
    assert isinstance(first, StoreError)
    assert second == 2
    assert disk.numbers() == [2]


async def test_a_lock_fails_the_group_at_once_and_is_not_waited_for_by_each(disk: Disk, writer: GroupWriter) -> None:
    """No work is to blame for it, and each would wait as long again."""
    pause = Pause(writer)
    futures = [writer.submit(inserting(number)) for number in range(10)]
    await pause.end()
    await outcomes(futures)
    with closing(disk.connect()) as other:
        other.execute("BEGIN IMMEDIATE")
        disk.statements.clear()
        with pytest.raises(StoreUnavailableError, match=r"numbers\.db is locked by another process"):
            await writer.submit(inserting(100))
        other.execute("ROLLBACK")
    assert await writer.submit(inserting(101)) == 101
    assert disk.numbers() == [*range(10), 101]


async def test_a_connection_that_cannot_roll_back_is_replaced(disk: Disk, writer: GroupWriter) -> None:
    """Else every later write would fail in the transaction that is left open."""
    disk.fails_to = {"commit", "rollback"}
    with pytest.raises(StoreError):
        await writer.submit(inserting(1))
    disk.fails_to = set()
    assert await writer.submit(inserting(2)) == 2
    assert disk.numbers() == [2]
    assert disk.connections == 3, "one for the table, two for the writer"


async def test_a_connection_on_which_nothing_can_begin_is_replaced(disk: Disk, writer: GroupWriter) -> None:
    """The server may have been started anew."""
    assert await writer.submit(inserting(1)) == 1
    disk.fails_to = {"rollback"}
    with closing(disk.connect()) as other:
        other.execute("BEGIN IMMEDIATE")
        before = disk.connections
        with pytest.raises(StoreUnavailableError):
            await writer.submit(inserting(2))
    assert await writer.submit(inserting(3)) == 3
    assert disk.connections == before + 1


async def test_a_group_is_not_tried_again_when_the_connection_is_lost(disk: Disk, writer: GroupWriter) -> None:
    """Its commit may have come through: only whoever reads the journal knows."""
    pause = Pause(writer)
    futures = [writer.submit(inserting(number)) for number in range(3)]
    disk.fails_to = {"commit", "rollback"}
    disk.statements.clear()
    with pytest.raises(StoreError):
        await pause.end()
    assert {type(error) for error in await outcomes(futures)} == {StoreError}
    assert disk.statements.count("BEGIN IMMEDIATE") == 1
    disk.fails_to = set()


async def test_a_database_that_cannot_be_reached_fails_the_group_and_is_tried_again(tmp_path: Path) -> None:
    """It may come back."""
    disk = Disk(tmp_path / "missing" / "numbers.db")
    writer = GroupWriter(disk.connect, begin="BEGIN", translated=partial(translated, store="numbers.db"))
    with pytest.raises(StoreUnavailableError, match="cannot be opened"):
        await writer.submit(inserting(1))
    disk.path.parent.mkdir()
    await writer.submit(lambda cursor: cursor.execute("CREATE TABLE number (n INTEGER PRIMARY KEY)"))
    assert await writer.submit(inserting(1)) == 1
    writer.close()


async def test_a_cancelled_waiter_does_not_disturb_the_others(disk: Disk, writer: GroupWriter) -> None:
    """Runs are stopped at any moment."""
    pause = Pause(writer)
    cancelled, other = writer.submit(inserting(1)), writer.submit(inserting(2))
    cancelled.cancel()
    await pause.end()
    assert await other == 2
    assert disk.numbers() == [1, 2]


def test_threads_and_several_event_loops_write_through_one_writer(disk: Disk, writer: GroupWriter) -> None:
    """A lease is renewed from its own thread; a notebook and a server have loops of their own."""

    async def write(numbers: range) -> None:
        for number in numbers:
            assert await writer.submit(inserting(number)) == number

    loops = [threading.Thread(target=lambda it=it: asyncio.run(write(range(it, it + 10)))) for it in (0, 10, 20)]
    for thread in loops:
        thread.start()
    assert [writer.run(inserting(number)) for number in range(30, 40)] == list(range(30, 40))
    for thread in loops:
        thread.join()
    assert disk.numbers() == list(range(40))
    with pytest.raises(ConflictError):
        writer.run(refuse)


def test_a_loop_that_has_closed_meanwhile_does_not_stop_the_writer(disk: Disk, writer: GroupWriter) -> None:
    """Whoever ended its loop waits no more; the others do."""
    pause: list[Pause] = []

    async def submit_and_leave() -> None:
        pause.append(Pause(writer))
        writer.submit(inserting(1))

    asyncio.run(submit_and_leave())
    pause[0]._go_on.set()
    assert writer.run(inserting(2)) == 2
    assert disk.numbers() == [1, 2]


async def test_closing_finishes_what_waits_and_ends_the_thread(disk: Disk, writer: GroupWriter) -> None:
    """An acknowledged commit is never lost, and nobody is left waiting."""
    pause = Pause(writer)
    futures = [writer.submit(inserting(number)) for number in range(5)]
    closing_down = threading.Thread(target=writer.close)
    closing_down.start()
    wait_until(lambda: writer._submissions.is_closed)
    with pytest.raises(StoreError, match="closed"):
        writer.submit(inserting(9))
    with pytest.raises(StoreError, match="closed"):
        writer.run(inserting(9))
    await pause.end()
    closing_down.join()
    assert not writer._submissions._thread.is_alive()
    assert await outcomes(futures) == [0, 1, 2, 3, 4]
    assert disk.numbers() == [0, 1, 2, 3, 4]


async def test_other_processes_may_write_between_the_works_of_a_long_group(
    disk: Disk, writer: GroupWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for a lock gives up in the end; a thousand works must not hold it all the while."""
    monkeypatch.setattr(writer_module, "TRANSACTION_SECONDS", 0.0)
    futures = [writer.submit(inserting(number)) for number in range(3)]
    assert await outcomes(futures) == [0, 1, 2]
    assert [it for it in disk.statements if it == "COMMIT"] == ["COMMIT"] * 3


async def test_what_works_leave_for_the_end_is_done_before_the_commit(disk: Disk) -> None:
    """And if the database objects to it, each work has an end of its own."""
    left: list[int] = []

    def finish(cursor: Cursor) -> None:
        numbers, left[:] = left[:], []
        for number in numbers:
            cursor.execute("INSERT INTO number VALUES (:n)", {"n": number})

    def leave(cursor: Cursor, number: int) -> int:
        left.append(number)
        return number

    ours = partial(translated, store="numbers.db")
    writer = GroupWriter(disk.connect, begin="BEGIN IMMEDIATE", translated=ours, before_commit=finish)
    found = await outcomes([writer.submit(partial(leave, number=number)) for number in (1, 2, 2, 3)])
    writer.close()
    assert [type(it) for it in found] == [int, int, StoreError, int]
    assert disk.numbers() == [1, 2, 3]


@pytest.mark.parametrize("times", [1, 100])
async def test_what_was_undone_for_the_sake_of_another_is_done_again(disk: Disk, times: int) -> None:
    """Of two who wait for each other the database ends one. It gives up only if that never ends."""
    calls: list[str] = []

    def insert_or_stand_in_the_way(cursor: Cursor) -> int:
        insert(cursor, 7)
        calls.append("tried")
        if len(calls) <= times:
            raise sqlite3.IntegrityError("deadlock")
        return 7

    writer = GroupWriter(
        disk.connect,
        begin="BEGIN IMMEDIATE",
        translated=partial(translated, store="numbers.db"),
        is_undone=lambda error: str(error) == "deadlock",
    )
    (found,) = await outcomes([writer.submit(insert_or_stand_in_the_way)])
    writer.close()
    if times == 1:
        assert (found, len(calls), disk.numbers()) == (7, 2, [7])
    else:
        assert (type(found), len(calls), disk.numbers()) == (StoreError, 1 + writer_module.TRIES, [])
