"""Promise 8, between processes: a cancel is there whole or not at all, and a run that had ended is taken up again."""

import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from crash.case import Case, Undisturbed, has_happened
from crash.flow_case import FlowCase, TripCase, starts_behind_its_halt
from crash.nursery import KILLED, Victim, instants
from crash.scene import Scene
from crash.stores import SQLITE, DurableStore, on_every_store, until
from tagent.pipeline.driving.cancelling import CANCELLED
from tagent.pipeline.events import RunHalted

FULL_CANCELS, FULL_CANCELS_ELSEWHERE = 25, 10

SAMPLE = ("", "store.claim.before", "store.claim.after", "store.commit.before", "store.commit.after")
"""Where whoever cancels is killed; nowhere, for a cancel that comes through."""

FIRST = {FlowCase: "order", TripCase: "persons"}
LONG = {FlowCase: "digest", TripCase: "visa"}
"""The step that is under way when the run is cancelled, for a case of each kind."""

of_both = pytest.mark.parametrize("case_kind", [FlowCase, TripCase], ids=["flow", "rollback"])


def cancel_from_outside(
    case: Case,
    *,
    hold: str = "",
    at_seconds: float = 0.0,
    point: str = "",
    killed_after: float | None = None,
    driver_dies: bool = False,
) -> Scene:
    """Start a run, have another process cancel it, and return what is found when both have ended.

    Args:
        case: The run.
        hold: The step that is under way then; empty for any.
        at_seconds: How long behind the beginning of that step or of the first one.
        point: Where whoever cancels is killed.
        killed_after: How many seconds behind his start he is killed; None for not.
        driver_dies: Kill the driver too.
    """
    canceller = case.nursery.start(replace(case.orders, deed="cancel", point=point, starts_when="go"))
    until((case.folder / f"{canceller.pid}.ready").exists, "somebody waits to cancel it")
    driver = case.nursery.start(replace(case.orders, hold=hold))
    until(has_happened(case.folder, hold or FIRST[type(case)]), "the step has begun")
    time.sleep(at_seconds)
    (case.folder / "go").touch()
    if killed_after is not None:
        time.sleep(killed_after)
        canceller.send(signal.SIGKILL)
    if driver_dies:
        driver.send(signal.SIGKILL)
    ended = case.nursery.wait(canceller)
    (case.folder / "open").touch()
    ends = ended, case.nursery.wait(driver)
    for victim, code in zip((canceller, driver), ends, strict=True):
        case.place.store.settle(victim.pid)
        case.figures.kills += code == KILLED
    scene = case.found()
    judge_cancel(scene, (ends[0], canceller), (ends[1], driver))
    case.figures.cancels += is_cancelled(scene)
    return scene


def is_cancelled(scene: Scene) -> bool:
    return any(isinstance(it, RunHalted) and it.code == CANCELLED for it in scene.events)


def judge_cancel(scene: Scene, canceller: tuple[int, Victim], driver: tuple[int, Victim]) -> None:
    """A cancel is there whole or not at all, and both processes say what is there."""
    assert [*starts_behind_its_halt(scene.events)] == []
    assert scene.run is not None
    assert is_cancelled(scene) == (scene.run.status == "cancelled")
    assert scene.has_ended or scene.run.status == "running"
    match canceller:
        case (0, victim):
            assert is_cancelled(scene)
            assert victim.last_words["status"] == "cancelled"
        case (1, victim):
            assert victim.last_words["error"] == "run.ended", victim.words
            assert scene.has_ended
        case (code, victim):
            assert code == KILLED, victim.words
    match driver:
        case (0, victim):
            assert victim.last_words["status"] == scene.run.status
        case (1, victim):
            assert victim.last_words["error"] == "store.conflict", victim.words
            assert canceller[0] == KILLED, "only of one who died nobody hears what he wanted"
        case (code, victim):
            assert code == KILLED, victim.words


def take_up(case: FlowCase | TripCase) -> None:
    """Go on with a run that was to be cancelled until it is completed, and judge it."""
    if isinstance(case, TripCase):
        case.mend()
    case.judge_later_life(case.resumed())


@pytest.mark.parametrize(
    ("case_kind", "point"),
    [*((FlowCase, point) for point in SAMPLE), (TripCase, "store.claim.after"), (TripCase, "store.commit.after")],
)
def test_a_run_is_cancelled_or_can_be_resumed_wherever_who_cancels_it_dies(
    case: FlowCase | TripCase, point: str
) -> None:
    """An operator's laptop may close in the middle of it; what he asked for is durable when he is told so."""
    scene = cancel_from_outside(case, hold=LONG[type(case)], point=point)
    assert is_cancelled(scene) == (point in ("", "store.commit.after"))
    take_up(case)


@pytest.mark.crash
@on_every_store
@of_both
def test_cancels_at_random_instants(
    new_case: Callable[[], FlowCase | TripCase], undisturbed: Undisturbed, store: DurableStore
) -> None:
    """A third of those who cancel are killed at a random instant, and a third of the drivers with them."""
    rng = random.Random(8)  # noqa: S311 - nothing is secret about it
    wanted, cancels = FULL_CANCELS if store is SQLITE else FULL_CANCELS_ELSEWHERE, 0
    for _ in range(wanted * 5):  # some come too late
        case = new_case()
        killed_after = rng.uniform(0, 0.03) if rng.random() < 1 / 3 else None
        scene = cancel_from_outside(
            case,
            at_seconds=rng.uniform(0, undisturbed.seconds / 2),
            killed_after=killed_after,
            driver_dies=rng.random() < 1 / 3,
        )
        cancels += is_cancelled(scene)
        take_up(case)
        if cancels >= wanted:
            return
    raise AssertionError("too few of the cancels came through")


@pytest.mark.crash
@on_every_store
@pytest.mark.parametrize("case_kind", [TripCase])
def test_what_was_undone_is_done_again_under_another_key_whatever_kills_it(
    new_case: Callable[[], TripCase], undisturbed: Undisturbed
) -> None:
    """A run that was rolled back is resumed when its cause is mended, and is then a run like any other."""
    rng = random.Random(9)  # noqa: S311 - nothing is secret about it
    for _ in range(10):
        case = new_case()
        case.killed(*instants(rng, undisturbed.seconds))
        case.finish()
        case.mend()
        case.killed(*instants(rng, undisturbed.seconds))
        take_up(case)
