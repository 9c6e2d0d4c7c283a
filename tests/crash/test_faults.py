"""Faults of the store in the middle of a run: nothing is acknowledged that is not written, and nothing is lost."""

import signal
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import pytest

from crash.drive import KILLED, Case, has_happened, until

SHORT = 0.3
"""Patience in seconds that comes to its end within a test."""


def test_a_run_on_a_full_disk_waits_and_goes_on_when_there_is_room(case: Case) -> None:
    """Somebody deletes a file, and an hour of work is not lost."""
    victim = case.nursery.start(replace(case.orders, full_after=6))
    until((case.folder / "refused").exists, "the database refuses")
    (case.folder / "room").touch()
    assert case.nursery.wait(victim) == 0, victim.words
    case.judge(victim.last_words)


def test_a_run_on_a_disk_that_stays_full_ends_and_can_be_resumed(case: Case) -> None:
    """It says what is wrong, claims nothing that is not on disk, and goes on where it was."""
    code, victim = case.nursery.run(replace(case.orders, full_after=6, patience_seconds=SHORT))
    assert (code, victim.last_words["error"]) == (1, "store.unavailable")
    assert "no room left" in victim.last_words["message"]
    scene = case.found()
    assert scene.run
    assert scene.run.status == "running"
    assert ("printed", 1) not in scene.effects
    case.finish()


def test_a_run_that_is_killed_while_it_waits_for_room_goes_on(case: Case) -> None:
    """Whoever finds a stuck process kills it."""
    victim = case.nursery.start(replace(case.orders, full_after=6))
    until((case.folder / "refused").exists, "the database refuses")
    victim.send(signal.SIGKILL)
    assert case.nursery.wait(victim) == KILLED
    case.figures.kills += 1
    case.found()
    case.finish()


@contextmanager
def locked(case: Case) -> Iterator[None]:
    """Keep every other process from writing."""
    with closing(sqlite3.connect(case.folder / "runs.db", timeout=10, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_run_whose_database_is_locked_waits_and_goes_on(case: Case) -> None:
    """A backup that takes a minute costs a minute."""
    victim = case.nursery.start(replace(case.orders, hold="gathered", busy_seconds=0.05))
    until(has_happened(case.folder, "gathered"), "the step runs")
    with locked(case):
        (case.folder / "open").touch()
        until((case.folder / "refused").exists, "the database refuses")
    assert case.nursery.wait(victim) == 0, victim.words
    case.judge(victim.last_words)


def test_a_run_whose_database_stays_locked_ends_and_can_be_resumed(case: Case) -> None:
    """A forgotten lock ends the process, not the run."""
    orders = replace(case.orders, hold="gathered", busy_seconds=0.05, patience_seconds=SHORT)
    victim = case.nursery.start(orders)
    until(has_happened(case.folder, "gathered"), "the step runs")
    with locked(case):
        (case.folder / "open").touch()
        assert case.nursery.wait(victim) == 1
    assert victim.last_words["error"] == "store.unavailable"
    assert "is locked by another process" in victim.last_words["message"]
    assert ("checked", 1) not in case.found().effects
    case.finish()


@pytest.mark.parametrize("commit", [1, 6, 15])
def test_a_commit_whose_answer_was_lost_is_not_made_twice(case: Case, commit: int) -> None:
    """A connection may break between the commit and its answer: then nobody knows, until somebody looks."""
    code, victim = case.nursery.run(replace(case.orders, loses_reply_of=commit))
    assert code == 0, victim.words
    case.judge(victim.last_words)
