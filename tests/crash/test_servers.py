"""The store's server dies with SIGKILL in the middle of a run: alone, or together with the run's process."""

import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from crash.case import Case, Undisturbed, has_happened
from crash.nursery import KILLED, Victim
from crash.stores import PostgreSQL, Redis, Served, until
from postgres import PostgresServer
from redis_server import RedisServer

pytestmark = pytest.mark.crash

RANDOM = 15

POINTS = {
    PostgreSQL.name: (
        "writer.begin.before",
        "writer.begin.after",
        "writer.statement.after",
        "writer.commit.before",
        "writer.commit.after",
        "writer.notify.after",
    ),
    Redis.name: ("script.send.before", "script.send.after", "script.reply.after"),
}
"""Store -> where its server dies."""

AT = [(kind, point, passing) for kind, points in POINTS.items() for point in points for passing in (3, 9)]


@pytest.fixture(scope="module")
def own_server() -> Iterator[Callable[[str], Served]]:
    """Servers that only this file uses: whoever shares one would die with it. They wait for the disk."""
    postgres, redis = PostgresServer(is_durable=True), RedisServer()
    stores: dict[str, Served] = {it.name: it for it in (PostgreSQL(lambda: postgres), Redis(lambda: redis))}
    yield stores.__getitem__
    postgres.remove()
    redis.remove()


@pytest.fixture(params=POINTS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(own_server: Callable[[str], Served], kind: str) -> Served:
    return own_server(kind)


def outlived(case: Case, victim: Victim) -> None:
    """Judge the run once its process has ended; only one that had not begun may have given up, and goes on then."""
    code = case.nursery.wait(victim)
    if code == 0:
        case.judge(victim.last_words)
        return
    assert (code, victim.last_words["error"]) == (1, "store.unavailable"), victim.words
    assert not case.found().effects, "a run that has begun waits for its server"
    case.finish()


def restart(case: Case, store: Served) -> None:
    """Kill the server and start it again."""
    store.kill_server()
    case.figures.server_kills += 1
    store.start_server()


@pytest.mark.parametrize(("kind", "point", "passing"), AT)
def test_a_run_whose_server_dies_at_a_point_of_the_write_path_waits_and_goes_on(
    case: Case, store: Served, point: str, passing: int
) -> None:
    """Whether the commit under way came through nobody knows at first, and it must not be made twice."""
    victim = case.nursery.start(replace(case.orders, point=point, passing=passing, manner="pausing"))
    until((case.folder / "paused").exists, "it stands at the point")
    restart(case, store)
    (case.folder / "go-on").touch()
    outlived(case, victim)


def test_a_run_whose_server_is_away_for_a_while_tries_again_until_it_is_back(case: Case, store: Served) -> None:
    """An update of the database server is not the end of an hour of work."""
    victim = case.nursery.start(replace(case.orders, hold="gathered"))
    until(has_happened(case.folder, "gathered"), "the step runs")
    store.kill_server()
    case.figures.server_kills += 1
    (case.folder / "open").touch()
    until((case.folder / "refused").exists, "the store is unavailable")
    time.sleep(1.5)  # a few tries
    store.start_server()
    assert case.nursery.wait(victim) == 0, victim.words
    case.judge(victim.last_words)


def test_a_run_whose_server_stays_away_ends_and_can_be_resumed(case: Case, store: Served) -> None:
    """Nothing is claimed that no server has acknowledged."""
    victim = case.nursery.start(replace(case.orders, hold="gathered", patience_seconds=0.3))
    until(has_happened(case.folder, "gathered"), "the step runs")
    store.kill_server()
    case.figures.server_kills += 1
    (case.folder / "open").touch()
    assert case.nursery.wait(victim) == 1
    assert victim.last_words["error"] == "store.unavailable"
    store.start_server()
    assert ("checked", 1) not in case.found().effects
    case.finish()


def test_a_run_whose_server_dies_at_random_instants_goes_on(
    new_case: Callable[[], Case], undisturbed: Undisturbed, store: Served
) -> None:
    """The run's process lives on and waits; only before the run was begun may it give up."""
    rng = random.Random(4)  # noqa: S311 - nothing is secret about it
    for _ in range(RANDOM):
        case = new_case()
        victim = case.nursery.start(case.orders)
        time.sleep(rng.uniform(0, undisturbed.seconds))
        restart(case, store)
        outlived(case, victim)


@pytest.mark.parametrize("first", ["the server", "the process"])
def test_a_run_that_dies_together_with_its_server_goes_on(
    new_case: Callable[[], Case], undisturbed: Undisturbed, store: Served, first: str
) -> None:
    """A machine that fails takes both with it."""
    rng = random.Random(first)  # noqa: S311 - nothing is secret about it
    for _ in range(RANDOM):
        case = new_case()
        victim = case.nursery.start(case.orders)
        time.sleep(rng.uniform(0, undisturbed.seconds))
        if first == "the process":
            victim.send(signal.SIGKILL)
        store.kill_server()
        case.figures.server_kills += 1
        victim.send(signal.SIGKILL)
        is_killed = case.nursery.wait(victim) == KILLED
        case.figures.kills += is_killed
        store.start_server()
        assert is_killed or victim.last_words.get("status") == "completed" or not case.found().effects, victim.words
        case.found()
        case.finish()
