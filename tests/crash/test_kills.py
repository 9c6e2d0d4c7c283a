"""Promise 3: whenever a process is killed, the run that goes on comes to what it would have come to."""

import random
from collections.abc import Callable

import pytest

from crash.drive import Case, Figures, Kill, Undisturbed, at_point, instants

SAMPLE = (
    "schema.migrate.after@1",
    "store.create_run.before@1",
    "store.create_run.after@1",
    "store.commit.before@1",
    "store.commit.after@9",
    "store.renew.after@2",
    "writer.commit.after@1",
    "writer.begin.after@5",
    "writer.statement.after@20",
    "writer.commit.before@13, lingering",
    "writer.commit.after@17",
    "attempt.before@4",
    "attempt.after@8",
    "effect.before@11",
    "effect.after@14",
)
"""A kill of each kind, spread over the run; with `RANDOM` and the one of a claim they are 20."""

RANDOM = 4

FULL_RANDOM = 200

WHILE_RESUMING = (
    "store.claim.before",
    "store.claim.after",
    "store.commit.before",
    "store.commit.after",
    "writer.begin.before",
    "writer.begin.after",
    "writer.statement.after",
    "writer.commit.before",
    "writer.commit.after",
    "attempt.before",
    "attempt.after",
    "effect.before",
    "effect.after",
)
RENEWALS = ("store.renew.before", "store.renew.after")


def named(point: str) -> Kill:
    """Return the kill that is written as `name@passing`, or `name@passing, lingering`."""
    where, _, how = point.partition(", ")
    name, _, passing = where.partition("@")
    return at_point(name, int(passing), lingers=how == "lingering")


@pytest.mark.parametrize("point", SAMPLE)
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
def test_every_point_of_the_write_path_at_several_passings(
    new_case: Callable[[], Case], undisturbed: Undisturbed
) -> None:
    """The sample is a sample; this is the whole write path."""
    passed = {name: times for name, times in undisturbed.counts.items() if ":" not in name}
    for name, times in [*passed.items(), *((name, 4) for name in RENEWALS)]:
        for passing in spread(times):
            for lingers in {False, name.startswith("writer.")}:
                case = new_case()
                is_killed = case.killed(at_point(name, passing, lingers=lingers))
                assert is_killed or passing > 3 or name in RENEWALS, f"{name}@{passing} was never passed"
                case.finish()


@pytest.mark.crash
@pytest.mark.parametrize("first", ["store.commit.before@2", "writer.commit.after@8", "effect.after@10"])
def test_every_point_of_the_write_path_while_a_killed_run_is_resumed(new_case: Callable[[], Case], first: str) -> None:
    """The resume has a write path of its own, and may be killed on it again and again."""
    for name in WHILE_RESUMING:
        for passing in (1, 2, 5):
            case = new_case()
            case.killed(named(first), at_point(name, passing), at_point(name, passing))
            case.finish()


@pytest.mark.crash
def test_random_instants(new_case: Callable[[], Case], undisturbed: Undisturbed, figures: Figures) -> None:
    """Two hundred kills from outside, a third of the runs killed again while they are resumed."""
    rng, before = random.Random(20_261), figures.kills  # noqa: S311 - nothing is secret about it
    for _ in range(FULL_RANDOM * 3):  # some come too late, or before anything was begun
        case = new_case()
        case.killed(*instants(rng, undisturbed.seconds))
        case.finish()
        if figures.kills - before >= FULL_RANDOM:
            return
    raise AssertionError("too few of the kills struck")
