"""Promise 3 for all that decides what runs: conditions, items, branches, fallbacks, soft dependencies, and undoing."""

import random
from collections.abc import Callable

import pytest

from crash.case import Case, Figures, Undisturbed
from crash.flow_case import FlowCase, TripCase, WholeCase
from crash.nursery import at_point, instants, named
from crash.stores import SQLITE, DurableStore, on_every_store

FULL_RANDOM, FULL_RANDOM_ELSEWHERE = 80, 20

of_all = pytest.mark.parametrize("case_kind", [FlowCase, TripCase, WholeCase], ids=["flow", "rollback", "whole"])

FLOW = (
    "effect.after:padded/<condition>@2",
    "effect.after:packed/2@3",
    "effect.after:blurbs/3.answer@1",
    "effect.after:labels/back@2",
    "effect.after:old_rate@1",
    "digest.behind_late@1",
)
"""Kills that are in every test run: in a condition, an item, a call, a branch, what takes the place of a failed step,
and in a step behind the end of what it began without."""

TRIP = (
    "effect.after:pay@2",
    "effect.before:tour/<compensation>@2",
    "effect.after:seats/<compensation>@1",
    "effect.after:hotel/<compensation>@2",
)
"""Likewise: before the halt, and in compensations that fail and succeed."""

WHOLE = (
    "effect.after:drafts/2@2",
    "effect.after:researched/1/checked@1",
    "effect.after:letter@1",
    "approval@2",
    "effect.after:planner@1",
    "effect.before:stamped@1",
    "effect.after:researched/0/sealed@2",
)
"""Likewise: in a round, pipelines inside a step, a work to be approved, between two answers, in a step that changes
others and in one that it added."""


@pytest.mark.parametrize(
    ("case_kind", "point"),
    [(kind, point) for kind, points in ((FlowCase, FLOW), (TripCase, TRIP), (WholeCase, WHOLE)) for point in points],
)
def test_a_run_that_is_killed_at_a_turn_of_its_flow_goes_on(case: Case, point: str) -> None:
    """What a condition came to, an item that is packed, a booking that is undone: none of it is done or asked again."""
    assert case.killed(named(point))
    case.finish()


@of_all
def test_a_run_whose_flow_is_cut_off_again_and_again_goes_on(case: Case) -> None:
    """A crash while recovering from a crash is a crash like any other."""
    assert case.killed(*(named(f"store.commit.{where}") for where in ("before@6", "after@3", "before@4", "after@2")))
    case.finish()


def passings(times: int) -> list[int]:
    """Return the first passing, the last one, and two between."""
    return sorted({1, max(1, times // 3), max(1, 2 * times // 3), times})


@pytest.mark.crash
@on_every_store
@of_all
def test_every_point_of_the_write_path_of_a_flow(
    new_case: Callable[[], Case], undisturbed: Undisturbed, store: DurableStore
) -> None:
    """A step that ends may bring about a skip, a halt and another start: all of them are there, or none."""
    assert any(name.startswith(store.deep) for name in undisturbed.counts)
    for name, times in undisturbed.counts.items():
        if name.startswith("schema."):
            continue
        for passing in [1] if ":" in name else passings(times):
            case = new_case()
            case.killed(at_point(name, passing))
            case.finish()


@pytest.mark.crash
@on_every_store
@of_all
def test_a_flow_at_random_instants(
    new_case: Callable[[], Case], undisturbed: Undisturbed, figures: Figures, store: DurableStore
) -> None:
    """Many kills from outside, a third of the runs killed again while they are resumed."""
    rng, before = random.Random(7), figures.kills  # noqa: S311 - nothing is secret about it
    wanted = FULL_RANDOM if store is SQLITE else FULL_RANDOM_ELSEWHERE
    for _ in range(wanted * 3):  # some come too late, or before anything was begun
        case = new_case()
        case.killed(*instants(rng, undisturbed.seconds))
        case.finish()
        if figures.kills - before >= wanted:
            return
    raise AssertionError("too few of the kills struck")
