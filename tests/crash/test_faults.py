"""Faults of the store in the middle of a run: nothing is acknowledged that is not written, and nothing is lost."""

from contextlib import ExitStack
from dataclasses import replace

import pytest

from crash.case import Case, has_happened
from crash.stores import STORES, BusyError, Redis, Served, on_every_store, on_stores, until

SHORT = 0.3
"""Patience in seconds that comes to its end within a test."""


on_a_disk = on_stores(*(it for it in STORES if not isinstance(it, Served)))
with_a_lock = on_stores(*(it for it in STORES if not isinstance(it, Redis)))


@on_a_disk
def test_a_run_on_a_full_disk_waits_and_goes_on_when_there_is_room(case: Case) -> None:
    """Somebody deletes a file, and an hour of work is not lost."""
    victim = case.nursery.start(replace(case.orders, full_after=6))
    until((case.folder / "refused").exists, "the database refuses")
    (case.folder / "room").touch()
    assert case.nursery.wait(victim) == 0, victim.words
    case.judge(victim.last_words)


@on_a_disk
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


@on_a_disk
def test_a_run_that_is_killed_while_it_waits_for_room_goes_on(case: Case) -> None:
    """Whoever finds a stuck process kills it."""
    victim = case.nursery.start(replace(case.orders, full_after=6))
    until((case.folder / "refused").exists, "the database refuses")
    case.kill(victim)
    case.finish()


def locked(case: Case) -> ExitStack:
    """Keep every other process from writing, as soon as none is, until the end of the `with`."""
    held = ExitStack()

    def is_held() -> bool:
        try:
            held.enter_context(case.place.store.locked(case.folder, case.place.url))
        except BusyError:
            return False
        return True

    until(is_held, "nobody writes")
    return held


@with_a_lock
def test_a_run_whose_database_is_locked_waits_and_goes_on(case: Case) -> None:
    """A backup that takes a minute costs a minute."""
    victim = case.nursery.start(replace(case.orders, hold="gathered", busy_seconds=0.05))
    until(has_happened(case.folder, "gathered"), "the step runs")
    with locked(case):
        (case.folder / "open").touch()
        until((case.folder / "refused").exists, "the database refuses")
    assert case.nursery.wait(victim) == 0, victim.words
    case.judge(victim.last_words)


@with_a_lock
def test_a_run_whose_database_stays_locked_ends_and_can_be_resumed(case: Case) -> None:
    """A forgotten lock ends the process, not the run."""
    orders = replace(case.orders, hold="gathered", busy_seconds=0.05, patience_seconds=SHORT)
    victim = case.nursery.start(orders)
    until(has_happened(case.folder, "gathered"), "the step runs")
    with locked(case):
        (case.folder / "open").touch()
        assert case.nursery.wait(victim) == 1
    assert victim.last_words["error"] == "store.unavailable"
    assert "another process" in victim.last_words["message"]
    assert ("checked", 1) not in case.found().effects
    case.finish()


@on_every_store
@pytest.mark.parametrize("commit", [1, 6, 15])
def test_a_commit_whose_answer_was_lost_is_not_made_twice(case: Case, commit: int) -> None:
    """A connection may break between the commit and its answer: then nobody knows, until somebody looks."""
    code, victim = case.nursery.run(replace(case.orders, loses_reply_of=commit))
    assert code == 0, victim.words
    case.judge(victim.last_words)
