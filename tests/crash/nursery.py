"""Starts victims and kills them."""

import json
import os
import random
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from commands import environment
from crash.effects import Manner
from crash.orders import Orders
from crash.stores import LONGEST_SECONDS

TESTS = Path(__file__).parents[1]
KILLED = -signal.SIGKILL


@dataclass(frozen=True)
class Victim:
    """A process of ours. Its id stays its own until `Nursery.wait` has seen its end."""

    pid: int
    folder: Path

    def send(self, what: signal.Signals) -> None:
        """Send it a signal."""
        os.kill(self.pid, what)

    @property
    def last_words(self) -> dict[str, Any]:
        """What it said of itself at its end; a killed one has said nothing."""
        words: dict[str, Any] = json.loads((self.folder / f"{self.pid}.json").read_bytes())
        return words

    @property
    def talk(self) -> str:
        """What it wrote to stdout and stderr."""
        return (self.folder / f"{self.pid}.log").read_text()

    @property
    def words(self) -> str:
        """All that it left, for the message of a failed test."""
        return "\n".join(file.read_text() for file in sorted(self.folder.glob(f"{self.pid}.*")))


class Nursery:
    """The process that forks victims; use it in a `with`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "error", "-m", "crash.victim"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment({"PYTHONPATH": str(TESTS)}),
            bufsize=0,
        )
        self._alive: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pid in self._alive:
            os.kill(pid, signal.SIGKILL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(LONGEST_SECONDS)

    def start(self, orders: Orders) -> Victim:
        """Return a new victim."""
        self._tell(asdict(orders))
        pid = self._answer("orders")
        self._alive.add(pid)
        return Victim(pid, Path(orders.folder))

    def wait(self, victim: Victim) -> int:
        """Return the victim's exit code once it is dead; minus the signal if one killed it."""
        self._tell(victim.pid)
        try:
            return self._answer(f"the end of {victim.pid}")
        except TimeoutError:
            victim.send(signal.SIGKILL)
            self._answer("its end by force")  # else the next question would get this answer
            raise
        finally:
            self._alive.discard(victim.pid)

    def run(self, orders: Orders) -> tuple[int, Victim]:
        """Return the exit code of a new victim, and what is left of it."""
        victim = self.start(orders)
        return self.wait(victim), victim

    def _tell(self, order: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")

    def _answer(self, to: str) -> int:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], LONGEST_SECONDS)
        if not readable:
            raise TimeoutError(f"No answer to {to} after {LONGEST_SECONDS} s.")
        return int(self._process.stdout.readline())


Kill = Callable[[Nursery, Orders], tuple[int, Victim]]
"""Starts a victim, sees that it dies, and returns its exit code; 0 if it came to its end before."""


def at_point(point: str, passing: int = 1, *, manner: Manner = "at once") -> Kill:
    """Return a kill at a passing of a named point; see `Manner` for its ways."""

    def kill(nursery: Nursery, orders: Orders) -> tuple[int, Victim]:
        armed = replace(orders, point=point, passing=passing, manner=manner, renews_often="renew" in point)
        return nursery.run(armed)

    return kill


def after_seconds(seconds: float) -> Kill:
    """Return a kill from outside, at any instant."""

    def kill(nursery: Nursery, orders: Orders) -> tuple[int, Victim]:
        victim = nursery.start(orders)
        time.sleep(seconds)
        victim.send(signal.SIGKILL)
        return nursery.wait(victim), victim

    return kill


def named(point: str) -> Kill:
    """Return the kill that is written as `name@passing`, or `name@passing, lingering`."""
    where, _, how = point.partition(", ")
    name, _, passing = where.partition("@")
    return at_point(name, int(passing), manner="lingering" if how else "at once")


def instants(rng: random.Random, seconds: float) -> Sequence[Kill]:
    """Return kills at random instants of a run that takes `seconds`; every third time the resume is killed too."""
    first = after_seconds(rng.uniform(0, seconds))
    return [first, after_seconds(rng.uniform(0, seconds))] if rng.random() < 1 / 3 else [first]
