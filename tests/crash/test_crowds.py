"""Many processes on one store: messages reach every subscriber once and in order, and no increment is lost."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest

from commands import environment
from crash.crowd import TOPIC, extended
from crash.figures import CROWDS
from crash.scene import Place
from crash.stores import SQLITE, STORES, DurableStore, on_stores, until
from tagent.config import TAgentConfig
from tagent.names import space_scope, topic_of
from tagent.payloads import decoded
from tagent.ports.messages import Message
from tagent.ports.services import Services
from tagent.runtime import open_services

TESTS = Path(__file__).parents[1]
WRITERS = READERS = 4
SOON = 300
"""Seconds after which something is stuck."""

NewPlace = Callable[[DurableStore], Place]


class Crowd:
    """Processes on one store; use it in a `with`, which ends those that are left."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[str, ...]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()

    def start(self, name: str, role: str, *arguments: object) -> None:
        """Start one, or start it again."""
        command = self._commands.setdefault(name, (role, self._place.url, *map(str, arguments)))
        with (self._place.folder / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                [sys.executable, "-W", "error", "-m", "crash.crowd", *command],
                cwd=TESTS,
                env=environment({"PYTHONPATH": str(TESTS)}),
                stdout=log,
                stderr=log,
            )

    def kill_and_restart(self, name: str) -> None:
        """Kill one that is at work, and start it again."""
        self._running[name].kill()
        assert self._running[name].wait() == -signal.SIGKILL, f"{name} had ended before it was killed"
        self.start(name, "")

    def finish(self) -> None:
        """Return when all have done their work."""
        for name, process in self._running.items():
            status = process.wait(timeout=SOON)
            assert status == 0, (self._place.folder / f"{name}.log").read_text()


def looked_at(url: str, look: Callable[[Services], Any]) -> Any:
    async def with_services() -> Any:
        async with open_services(TAgentConfig(store=url)) as services:
            return await look(services)

    return asyncio.run(with_services())


def kept_in(place: Place, space: str, key: str) -> object:
    """Return what a memory space holds."""

    async def look(services: Services) -> object:
        document = await services.store.document(space_scope(space), key)
        return None if document is None else decoded(document.value, what="it")

    return looked_at(place.url, look)


def are_sent(place: Place, least: float) -> bool:
    """Return whether so many messages were sent."""

    async def look(services: Services) -> bool:
        return sum(topic.messages for topic in await services.store.topics(topic_of(TOPIC))) >= least

    return bool(looked_at(place.url, look))


async def all_messages(services: Services) -> Sequence[Message]:
    found: list[Message] = []
    while page := await services.store.messages(topic_of(TOPIC), after_seq=len(found), limit=1000):
        found += page
    return found


def talk(place: Place, messages: int, *, seed: int) -> str:
    """Let four write and four read, kill one of each at work, check what came of it, and return the figures."""
    chance = random.Random(seed)  # noqa: S311 - to be repeated
    names = [f"reader{number}" for number in range(READERS)]
    begun = time.perf_counter()
    with Crowd(place) as crowd:
        for name in names:
            crowd.start(name, "read", name, messages, place.folder / f"{name}.json")
        for number in range(WRITERS):
            crowd.start(f"writer{number}", "write", f"writer{number}", messages // WRITERS)
        for victim, share in ((f"writer{chance.randrange(WRITERS)}", 0.1), (chance.choice(names), 0.6)):
            until(partial(are_sent, place, share * messages), "messages are sent")
            crowd.kill_and_restart(victim)
        crowd.finish()
    seconds = time.perf_counter() - begun

    kept = looked_at(place.url, all_messages)
    assert [message.seq for message in kept] == list(range(1, messages + 1))
    data = [decoded(message.payload, what="it") for message in kept]
    assert len({(it["by"], it["n"]) for it in data}) == messages, "each was sent once"
    chain = ""
    for it in data:
        chain = extended(chain, it["by"], it["n"])
    for name in names:
        assert kept_in(place, name, "state") == {"count": messages, "chain": chain}
    reports = [json.loads((place.folder / f"{name}.json").read_bytes()) for name in names]
    median, p95 = (max(report[figure] for report in reports) * 1e3 for figure in ("median", "p95"))
    return (
        f"{messages} messages from {WRITERS} to each of {READERS} processes in {seconds:.1f} s, two killed: "
        f"{messages / seconds:.0f} sent and {READERS * messages / seconds:.0f} read a second; "
        f"on their way {median:.0f} ms (median), {p95:.0f} ms (95 %)"
    )


def test_every_subscriber_reads_every_message_once_and_in_order(new_place: NewPlace) -> None:
    """In every test run, with few messages."""
    talk(new_place(SQLITE), 4_000, seed=1)


@pytest.mark.crash
@pytest.mark.parametrize("store", STORES, ids=lambda store: store.name)
def test_twenty_thousand_messages_with_kills(
    store: DurableStore, new_place: NewPlace, pytestconfig: pytest.Config
) -> None:
    """Nothing is lost, doubled or out of order, whoever is killed."""
    line = talk(new_place(store), 20_000, seed=2)
    pytestconfig.stash.setdefault(CROWDS, []).append(f"{store.name}: {line}")


@on_stores(*STORES)
def test_eight_who_count_by_compare_and_set_lose_nothing(store: DurableStore, new_place: NewPlace) -> None:
    """The sum is right."""
    place = new_place(store)
    with Crowd(place) as crowd:
        for number in range(8):
            crowd.start(f"counter{number}", "count", 50)
        crowd.finish()
    assert kept_in(place, "crowd", "n") == 400
