"""Starts victims, kills them, resumes them, and judges what came of it.

The judge compares three things: what really happened (the effects log), what the journal says, and what
an undisturbed run came to.
"""

import asyncio
import json
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from commands import environment
from crash.effects import FOLDER_VARIABLE, HOLD_VARIABLE
from crash.victim import Orders
from crash.victim_pipeline import CALLS, PRICE_USD
from tagent.adapters.storage.urls import open_store
from tagent.pipeline.events import AgentProgressed, RunEvent, StepCompleted, StepFailed, StepStarted
from tagent.pipeline.persistence import load_events
from tagent.ports import RunRecord, Store
from tagent.task_agent.events import Finalized, Planned, TaskCompleted

TESTS = Path(__file__).parents[1]
KILLED = -signal.SIGKILL
LONGEST_SECONDS = 90
"""After this long a victim is stuck, and the test fails instead of waiting for ever."""

AGENT_STEPS = frozenset(step for step, _ in CALLS)
MODEL_CALLS = frozenset(call for call in CALLS.values() if "." in call)


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
        pid = self._ask(asdict(orders))
        self._alive.add(pid)
        return Victim(pid, Path(orders.folder))

    def wait(self, victim: Victim) -> int:
        """Return the victim's exit code once it is dead; minus the signal if one killed it."""
        try:
            return self._ask(victim.pid)
        except TimeoutError:
            victim.send(signal.SIGKILL)
            raise
        finally:
            self._alive.discard(victim.pid)

    def run(self, orders: Orders) -> tuple[int, Victim]:
        """Return the exit code of a new victim, and what is left of it."""
        victim = self.start(orders)
        return self.wait(victim), victim

    def _ask(self, order: object) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        readable, _, _ = select.select([self._process.stdout], [], [], LONGEST_SECONDS)
        if not readable:
            raise TimeoutError(f"No answer to {order!r} after {LONGEST_SECONDS} s.")
        return int(self._process.stdout.readline())


Unit = tuple[str, int]
"""An effect and its attempt: a step's function, a model call or a tool call."""


@dataclass(frozen=True)
class Scene:
    """What is found after a process has ended.

    Attributes:
        run: The run; None when not even that was stored.
        events: Its journal.
        effects: How often each unit really happened.
    """

    run: RunRecord | None
    events: tuple[RunEvent, ...]
    effects: Counter[Unit]

    @property
    def run_id(self) -> str:
        """The run; empty when it does not exist."""
        return self.run.run_id if self.run else ""

    @property
    def finished(self) -> set[Unit]:
        """The units whose end is committed: they must never happen again."""
        units: set[Unit] = set()
        for event in self.events:
            match event:
                case StepCompleted(step, attempt) | StepFailed(step, attempt) if step not in AGENT_STEPS:
                    units.add((step, attempt))
                case AgentProgressed(step, event=TaskCompleted(index)):
                    units.add((CALLS[step, index], 1))
                case AgentProgressed(step, event=Planned() | Finalized() as call):
                    units.add((CALLS[step, type(call).__name__], 1))
                case _:
                    pass
        return units

    @property
    def in_flight(self) -> set[Unit]:
        """The units that may have happened without the journal's knowing it: these may happen again."""
        begun: set[Unit] = set()
        for event in self.events:
            if isinstance(event, StepStarted):
                calls = {(call, 1) for (step, _), call in CALLS.items() if step == event.step}
                begun |= calls or {(event.step, event.attempt)}
        return begun - self.finished

    @property
    def model_calls(self) -> int:
        """How many model calls the journal knows."""
        return sum(isinstance(getattr(event, "event", None), Planned | Finalized) for event in self.events)


def look_at(folder: Path) -> Scene:
    """Return what is found in `folder`, without touching it: a copy is opened, as opening repairs and tidies."""
    with _copy(folder) as database:
        run, events = asyncio.run(_read(database)) if database.exists() else (None, ())
    log = folder / "effects.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Scene(run, events, Counter((name, int(attempt)) for name, _, attempt in (x.rpartition(" ") for x in lines)))


@contextmanager
def _copy(folder: Path) -> Iterator[Path]:
    scene = folder / "scene"
    scene.mkdir()
    for file in folder.glob("runs.db*"):
        if not file.name.endswith("-shm"):  # only an index, made again from the log
            shutil.copy(file, scene)
    yield scene / "runs.db"
    shutil.rmtree(scene)


async def _read(database: Path) -> tuple[RunRecord | None, tuple[RunEvent, ...]]:
    store: Store = open_store(f"sqlite:///{database}")
    try:
        runs = await store.runs()
        for never_begun in runs[1:]:
            assert not await store.records(never_begun.run_id), "a case has one run"
        return (runs[0], await load_events(store, runs[0].run_id)) if runs else (None, ())
    finally:
        await store.close()


@dataclass
class Figures:
    """What a sweep came to."""

    kills: int = 0
    resumes: int = 0
    repeated_steps: int = 0
    repeated_calls: int = 0
    races: int = 0
    longest_resume_seconds: float = 0.0

    def lines(self) -> list[str]:
        """Return them for people."""
        return [
            f"{self.kills} kills, {self.resumes} resumes, longest resume {self.longest_resume_seconds:.2f} s",
            f"{self.repeated_steps} uncommitted function attempts and {self.repeated_calls} uncommitted model or tool"
            " calls were repeated; of the committed ones none",
            f"{self.races} races for one run",
        ]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed, to compare with.

    Attributes:
        outcome: What it came to.
        effects: What happened, each unit once.
        counts: Crash point -> how often it was passed.
        seconds: How long the process lived.
    """

    outcome: dict[str, Any]
    effects: Counter[Unit]
    counts: dict[str, int]
    seconds: float


Kill = Callable[[Nursery, Orders], tuple[int, Victim]]
"""Starts a victim, sees that it dies, and returns its exit code; 0 if it came to its end before."""


def at_point(point: str, passing: int = 1, *, lingers: bool = False) -> Kill:
    """Return a kill at a passing of a named point; see `Points.arm` for the arguments."""

    def kill(nursery: Nursery, orders: Orders) -> tuple[int, Victim]:
        armed = replace(orders, point=point, passing=passing, lingers=lingers, renews_often="renew" in point)
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


@dataclass
class Case:
    """One run, from its start over kills and resumes to its end.

    Attributes:
        folder: Where it keeps its files.
        nursery: Where its victims come from.
        undisturbed: What it must come to.
        figures: Where it is counted.
        scenes: What was found after each end of a process.
    """

    folder: Path
    nursery: Nursery
    undisturbed: Undisturbed
    figures: Figures
    scenes: list[Scene] = field(default_factory=list)

    @property
    def orders(self) -> Orders:
        """Orders to start the run, or to go on with it if it has begun."""
        has_begun = bool(self.scenes) and bool(self.scenes[-1].events)
        return Orders(str(self.folder), self.scenes[-1].run_id if has_begun else "")

    def killed(self, *kills: Kill) -> bool:
        """Kill its processes one after another; return whether all of them died of it."""
        for kill in kills:
            code, victim = kill(self.nursery, self.orders)
            assert code in {0, KILLED}, victim.words
            scene = self.found()
            if code == 0:
                return False
            self.figures.kills += 1
            assert not scene.run or scene.events, "a run that exists has begun"
        return True

    def found(self) -> Scene:
        """Look at what is there and keep it for the judge."""
        self.scenes.append(look_at(self.folder))
        return self.scenes[-1]

    def finish(self) -> None:
        """Go on until the run is finished, and judge it."""
        begun_at = time.monotonic()
        code, victim = self.nursery.run(self.orders)
        self.figures.longest_resume_seconds = max(self.figures.longest_resume_seconds, time.monotonic() - begun_at)
        self.figures.resumes += 1
        assert code == 0, victim.words
        self.judge(victim.last_words)

    def judge(self, outcome: dict[str, Any]) -> None:
        """Hold what happened against the promises; `outcome` is that of the process that finished the run."""
        expected = self.undisturbed.outcome
        assert {name: outcome.get(name, expected[name]) for name in expected} == expected
        assert outcome.keys() & {"status", "outputs", "final_output"}
        end = self.found()
        self._judge_journal(end)
        self._judge_effects(end)
        self._judge_costs(end)

    def _judge_journal(self, end: Scene) -> None:
        completed = Counter(event.step for event in end.events if isinstance(event, StepCompleted))
        assert completed == Counter(self.undisturbed.outcome["steps"].keys()), "each step is completed once"
        assert end.finished == set(self.undisturbed.effects)
        for scene in self.scenes:
            assert end.events[: len(scene.events)] == scene.events, "what was committed stays"

    def _judge_effects(self, end: Scene) -> None:
        before = Counter[Unit]()
        repeatable = Counter[Unit]()
        for scene in self.scenes:
            for unit, times in scene.effects.items():
                assert unit in scene.finished | scene.in_flight, f"{unit} happened before its start was committed"
                assert times <= before[unit] + 1, f"{unit} happened twice in one process"
            for unit in scene.finished:
                assert scene.effects[unit] >= 1, f"{unit} is committed and never happened"
                assert end.effects[unit] == scene.effects[unit], f"{unit} was committed and happened again"
            repeatable.update(scene.in_flight & set(scene.effects))
            before = scene.effects
        assert set(end.effects) == set(self.undisturbed.effects)
        for (name, attempt), times in end.effects.items():
            assert times - 1 <= repeatable[name, attempt], f"{name} was repeated and had not been in flight"
            if name in CALLS.values():
                self.figures.repeated_calls += times - 1
            else:
                self.figures.repeated_steps += times - 1

    def _judge_costs(self, end: Scene) -> None:
        paid = sum(times for (name, _), times in end.effects.items() if name in MODEL_CALLS)
        lost = sum(end.effects[call, 1] - 1 for call in MODEL_CALLS)
        assert paid - lost == end.model_calls == len(MODEL_CALLS)
        assert end.run is not None
        assert end.run.cost_usd == end.model_calls * PRICE_USD == self.undisturbed.outcome["total_cost"]


def undisturbed_run(nursery: Nursery, folder: Path) -> Undisturbed:
    """Run the victims' pipeline to its end without any harm."""
    begun_at = time.monotonic()
    code, victim = nursery.run(Orders(str(folder)))
    seconds = time.monotonic() - begun_at
    assert (code, victim.talk) == (0, ""), victim.talk
    outcome = victim.last_words
    scene = look_at(folder)
    assert set(scene.effects.values()) == {1}
    return Undisturbed(outcome, scene.effects, outcome.pop("points"), seconds)


def instants(rng: random.Random, seconds: float) -> Sequence[Kill]:
    """Return kills at random instants of a run that takes `seconds`; every third time the resume is killed too."""
    first = after_seconds(rng.uniform(0, seconds))
    return [first, after_seconds(rng.uniform(0, seconds))] if rng.random() < 1 / 3 else [first]


def until(holds: Callable[[], bool], what: str) -> None:
    """Return as soon as `holds()`; look every 5 ms, and fail in the end."""
    for _ in range(LONGEST_SECONDS * 200):
        if holds():
            return
        time.sleep(0.005)
    raise AssertionError(f"{what}: waited for it in vain.")


def has_happened(folder: Path, name: str) -> Callable[[], bool]:
    """Return a function that tells whether the effect is on the log."""
    log = folder / "effects.log"
    return lambda: log.exists() and name in log.read_text().split()


def case_environment(folder: Path, *, hold: str = "", **settings: str) -> dict[str, str]:
    """Return what the command line needs in its environment to run the victims' pipeline in `folder`."""
    return {"PYTHONPATH": str(TESTS), FOLDER_VARIABLE: str(folder), HOLD_VARIABLE: hold, **settings}
