"""Promise 3: whenever a process is killed, the run that goes on comes to what it would have come to."""

import random
from collections.abc import Callable

import pytest

from crash.case import Case, Figures, Undisturbed
from crash.effects import Manner
from crash.nursery import at_point, instants, named
from crash.stores import SQLITE, STORES, DurableStore, on_every_store

RANDOM = 4
"""With the points of the sample and the one of a claim a test run kills 20 times on SQLite, elsewhere a few times."""

FULL_RANDOM, FULL_RANDOM_ELSEWHERE = 200, 50

WHILE_RESUMING = (
    "store.claim.before",
    "store.claim.after",
    "store.commit.before",
    "store.commit.after",
    "attempt.before",
    "attempt.after",
    "effect.before",
    "effect.after",
)
"""With those of the store's own write path."""

RENEWALS = ("store.renew.before", "store.renew.after")


@pytest.mark.parametrize(
    ("store", "point"), [pytest.param(it, point, id=f"{it.name}-{point}") for it in STORES for point in it.sample]
)
def test_a_run_that_is_killed_at_a_point_of_the_write_path_goes_on(case: Case, point: str) -> None:
    """Nothing finished is lost and nothing committed is done or paid for twice, wherever the kill strikes."""
    assert case.killed(named(point))
    case.finish()


def test_a_run_whose_resume_is_killed_too_goes_on(case: Case) -> None:
    """A crash while recovering from a crash is a crash like any other."""
    assert case.killed(named("writer.commit.before@10"), named("store.claim.after@1"))
    case.finish()


@pytest.mark.parametrize("seed", range(RANDOM))
def test_a_run_that_is_killed_at_a_random_instant_goes_on(
    new_case: Callable[[], Case], figures: Figures, seed: int
) -> None:
    """Kills keep to no list of points."""
    rng, before = random.Random(seed), figures.kills  # noqa: S311 - nothing is secret about it
    for _ in range(20):
        case = new_case()
        case.killed(*instants(rng, case.undisturbed.seconds))
        case.finish()
        if figures.kills > before:
            return
    raise AssertionError("every kill came too late")


def spread(passings: int) -> list[int]:
    """Return the first passings, the last ones, and some between."""
    return sorted({n for n in (1, 2, 3, passings // 4, passings // 2, passings - 1, passings) if 1 <= n <= passings})


@pytest.mark.crash
@on_every_store
def test_every_point_of_the_write_path_at_several_passings(
    new_case: Callable[[], Case], undisturbed: Undisturbed, store: DurableStore
) -> None:
    """The sample is a sample; this is the whole write path."""
    passed = {name: times for name, times in undisturbed.counts.items() if ":" not in name}
    assert any(name.startswith(store.deep) for name in passed)
    for name, times in [*passed.items(), *((name, 4) for name in RENEWALS)]:
        for passing in spread(times):
            manners: tuple[Manner, ...] = ("at once", "lingering") if name.startswith(store.deep) else ("at once",)
            for manner in manners:
                case = new_case()
                is_killed = case.killed(at_point(name, passing, manner=manner))
                assert is_killed or passing > 3 or name in RENEWALS, f"{name}@{passing} was never passed"
                case.finish()


@pytest.mark.crash
@on_every_store
@pytest.mark.parametrize("first", ["store.commit.before@2", "store.commit.after@8", "effect.after@10"])
def test_every_point_of_the_write_path_while_a_killed_run_is_resumed(
    new_case: Callable[[], Case], undisturbed: Undisturbed, store: DurableStore, first: str
) -> None:
    """The resume has a write path of its own, and may be killed on it again and again."""
    deep = [name for name in undisturbed.counts if name.startswith(store.deep)]
    for name in (*WHILE_RESUMING, *deep):
        for passing in (1, 2, 5):
            case = new_case()
            case.killed(named(first), at_point(name, passing), at_point(name, passing))
            case.finish()


@pytest.mark.crash
@on_every_store
def test_random_instants(
    new_case: Callable[[], Case], undisturbed: Undisturbed, figures: Figures, store: DurableStore
) -> None:
    """Many kills from outside, a third of the runs killed again while they are resumed."""
    rng, before = random.Random(20_261), figures.kills  # noqa: S311 - nothing is secret about it
    wanted = FULL_RANDOM if store is SQLITE else FULL_RANDOM_ELSEWHERE
    for _ in range(wanted * 3):  # some come too late, or before anything was begun
        case = new_case()
        case.killed(*instants(rng, undisturbed.seconds))
        case.finish()
        if figures.kills - before >= wanted:
            return
    raise AssertionError("too few of the kills struck")
