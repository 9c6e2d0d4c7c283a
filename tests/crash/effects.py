"""What really happened in a victim, and the named points at which it ends itself.

The log outlives every kill: whoever counts its lines knows what was done, whatever the journal says.
"""

import asyncio
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, assert_never

from tagent.pipeline import StepContext

FOLDER_VARIABLE = "CRASH_FOLDER"
HOLD_VARIABLE = "CRASH_HOLD"
"""The step in which this process waits until `open_gate`."""


def folder() -> Path:
    """Return where this process's case keeps its files."""
    return Path(os.environ[FOLDER_VARIABLE])


def happened(name: str, attempt: int = 1) -> None:
    """Append a line to the log, on disk when this returns; a crash point lies before and behind it."""
    points.passed("effect.before")
    points.passed(f"effect.before:{name}")
    noted(name, attempt)
    points.passed("effect.after")
    points.passed(f"effect.after:{name}")


def noted(name: str, attempt: int = 1) -> None:
    """Append a line to the log, on disk when this returns, and change nothing that this process remembers."""
    log = os.open(folder() / "effects.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(log, f"{name} {attempt}\n".encode())
        os.fsync(log)
    finally:
        os.close(log)


def done(context: StepContext) -> None:
    """Put what asks for this context on the log, under the part of its idempotency key that says what it is.

    Of a step that is done again after it was undone that is another one than before.
    """
    happened(context.idempotency_key.partition("/")[2], context.attempt)


def has_happened_here(name: str) -> bool:
    """Return whether the effect is on the log, in whatever process of the case it happened."""
    log = folder() / "effects.log"
    return log.exists() and name in log.read_text().split()


async def held(step: str) -> None:
    """Return when the step may go on; after a minute it may, so that nobody waits for a parent that died."""
    for _ in range(6_000):
        if not is_held(step):
            break
        await asyncio.sleep(0.01)


def is_held(step: str) -> bool:
    """Return whether this process is to wait in this step."""
    return os.environ.get(HOLD_VARIABLE) == step and not (folder() / "open").exists()


Manner = Literal["at once", "lingering", "pausing"]
"""What happens at an armed point.

`at once` ends the process. `lingering` lets the other threads go on first, as far as they come while this
one stands there: so an answer that was given too early has its consequences. `pausing` ends nothing: the
file `paused` says that this thread stands there, until the file `go-on` is there.
"""

LOOKS = 18_000
"""How often a paused thread looks for `go-on`, every 5 ms: a parent that died lets nobody go on."""


class Points:
    """Counts how often each point is passed, and ends the process at the one that is armed."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._armed = ("", 0)
        self._manner: Manner = "at once"
        self._lock = threading.Lock()

    def arm(self, name: str, passing: int, *, manner: Manner) -> None:
        """Do what `manner` says when this process passes the point `name` for the `passing`-th time, from 1."""
        self._armed = (name, passing)
        self._manner = manner

    def passed(self, name: str) -> None:
        """Count, and end everything if this is the time: no handler, no clean-up, nothing is flushed."""
        with self._lock:
            self.counts[name] += 1
            is_last = self._armed == (name, self.counts[name])
        if is_last:
            self._act()

    def _act(self) -> None:
        match self._manner:
            case "at once":
                os.kill(os.getpid(), signal.SIGKILL)
            case "lingering":
                time.sleep(0.03)
                os.kill(os.getpid(), signal.SIGKILL)
            case "pausing":
                (folder() / "paused").touch()
                for _ in range(LOOKS):
                    if (folder() / "go-on").exists():
                        break
                    time.sleep(0.005)
            case _:
                assert_never(self._manner)

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        """Pass `name.before`, and behind the block `name.after` if nothing was raised."""
        self.passed(f"{name}.before")
        yield
        self.passed(f"{name}.after")


points = Points()
"""Those of this process."""
