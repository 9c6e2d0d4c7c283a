"""A run from its start over kills and resumes to its end, and the judge of what came of it.

The judge compares three things: what really happened (the effects log), what the journal says, and what
an undisturbed run came to.
"""

import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from crash.effects import FOLDER_VARIABLE, HOLD_VARIABLE
from crash.nursery import KILLED, TESTS, Kill, Nursery, Victim
from crash.orders import PIPELINE, Orders
from crash.scene import MODEL_CALLS, Place, Scene, Unit, look_at
from crash.victim_pipeline import CALLS, COUNTED, PRICE_USD
from tagent.pipeline.events import StepCompleted, StepGiven, StepSubstituted

DONE = ("completed", "compensated")


@dataclass
class Figures:
    """What a sweep came to on one store."""

    kills: int = 0
    server_kills: int = 0
    resumes: int = 0
    repeated_steps: int = 0
    repeated_parts: int = 0
    repeated_calls: int = 0
    races: int = 0
    cancels: int = 0
    longest_resume_seconds: float = 0.0

    def lines(self) -> list[str]:
        """Return them for people."""
        of_server = f" and {self.server_kills} of the server" if self.server_kills else ""
        return [
            f"{self.kills} kills{of_server}, {self.resumes} resumes, longest {self.longest_resume_seconds:.2f} s",
            f"{self.repeated_steps} uncommitted attempts of steps, {self.repeated_parts} of parts, and"
            f" {self.repeated_calls} uncommitted model or tool calls were repeated; of the committed ones none",
            f"{self.races} races for one run, {self.cancels} cancels from outside",
        ]


@dataclass(frozen=True)
class Undisturbed:
    """A run that nobody disturbed, to compare with.

    Attributes:
        outcome: What it came to.
        effects: What happened, each unit once.
        finished: Those whose end is committed; the others were stopped.
        shared: What it left in memory and mail.
        counts: Crash point -> how often it was passed.
        seconds: How long the process lived.
    """

    outcome: dict[str, Any]
    effects: Counter[Unit]
    finished: set[Unit]
    shared: Mapping[str, object]
    counts: dict[str, int]
    seconds: float


@dataclass
class Case:
    """One run, from its start over kills and resumes to its end.

    Attributes:
        place: Where it keeps what it has.
        nursery: Where its victims come from.
        undisturbed: What it must come to.
        figures: Where it is counted.
        scenes: What was found after each end of a process.
    """

    place: Place
    nursery: Nursery
    undisturbed: Undisturbed
    figures: Figures
    scenes: list[Scene] = field(default_factory=list)

    pipeline: ClassVar[str] = PIPELINE
    """The file of its pipeline."""

    @property
    def folder(self) -> Path:
        """Where its files are."""
        return self.place.folder

    @property
    def orders(self) -> Orders:
        """Orders to start the run, or to go on with it if it has begun."""
        has_begun = bool(self.scenes) and bool(self.scenes[-1].events)
        run_id = self.scenes[-1].run_id if has_begun else ""
        return orders_for(self.place, pipeline=self.pipeline, run_id=run_id)

    def killed(self, *kills: Kill) -> bool:
        """Kill its processes one after another; return whether all of them died of it."""
        for kill in kills:
            code, victim = kill(self.nursery, self.orders)
            assert code in {0, KILLED}, victim.words
            self.place.store.settle(victim.pid)
            scene = self.found()
            if code == 0:
                return False
            self.figures.kills += 1
            assert not scene.run or scene.events, "a run that exists has begun"
        return True

    def kill(self, victim: Victim) -> Scene:
        """Kill a victim from outside; return what is found then."""
        victim.send(signal.SIGKILL)
        assert self.nursery.wait(victim) == KILLED, victim.words
        self.place.store.settle(victim.pid)
        self.figures.kills += 1
        return self.found()

    def found(self) -> Scene:
        """Look at what is there and keep it for the judge."""
        self.scenes.append(look_at(self.place))
        return self.scenes[-1]

    def finish(self) -> None:
        """Go on until the run is finished, and judge it."""
        self.judge(self.resumed())

    def resumed(self) -> dict[str, Any]:
        """Go on until the run is finished; return what its process says that it came to."""
        begun_at = time.monotonic()
        code, victim = self.nursery.run(self.orders)
        self.figures.longest_resume_seconds = max(self.figures.longest_resume_seconds, time.monotonic() - begun_at)
        self.figures.resumes += 1
        assert code == 0, victim.words
        return victim.last_words

    def judge(self, outcome: dict[str, Any]) -> None:
        """Hold what happened against the promises; `outcome` is that of the process that finished the run."""
        expected = self.undisturbed.outcome
        assert {name: outcome.get(name, expected[name]) for name in expected} == expected
        assert outcome.keys() & {"status", "outputs", "final_output"}
        end = self.found()
        self._judge_journal(end)
        self._judge_effects(end)
        self._judge_shared(end)
        self._judge_costs(end)

    def _judge_journal(self, end: Scene) -> None:
        completed = Counter(it.step for it in end.events if isinstance(it, StepCompleted | StepSubstituted | StepGiven))
        expected = [name for name, (status, _) in self.undisturbed.outcome["steps"].items() if status in DONE]
        assert completed == Counter(expected), "each step is completed once"
        assert end.finished == self.undisturbed.finished
        for scene in self.scenes:
            assert end.events[: len(scene.events)] == scene.events, "what was committed stays"

    def _judge_effects(self, end: Scene) -> None:
        before = Counter[Unit]()
        repeatable = Counter[Unit]()
        for scene in self.scenes:
            for unit, times in scene.effects.items():
                assert unit in scene.finished | scene.in_flight, f"{unit} happened before its start was committed"
                assert times <= before[unit] + 1, f"{unit} happened twice in one process"
            for unit in scene.finished & set(self.undisturbed.effects):
                assert scene.effects[unit] >= 1, f"{unit} is committed and never happened"
                assert end.effects[unit] == scene.effects[unit], f"{unit} was committed and happened again"
            repeatable.update(scene.in_flight & set(scene.effects))
            before = scene.effects
        assert set(end.effects) == set(self.undisturbed.effects)
        for (name, attempt), times in end.effects.items():
            assert times - 1 <= repeatable[name, attempt], f"{name} was repeated and had not been in flight"
            if name in CALLS.values() or name.endswith(MODEL_CALLS):
                self.figures.repeated_calls += times - 1
            elif "/" in name:
                self.figures.repeated_parts += times - 1
            else:
                self.figures.repeated_steps += times - 1

    def judge_scene(self, scene: Scene) -> None:
        """What a step remembers, sends and receives is there exactly if the step is done, and once."""
        done = {event.step for event in scene.events if isinstance(event, StepCompleted)}
        assert scene.shared.get("pipeline/victim: count", 0) == len(done & set(COUNTED))
        assert len(as_list(scene.shared.get("topic/crash.measured"))) == ("measured" in done)
        assert as_list(scene.shared.get("topic/crash.tried")) == ([3] if "flaky" in done else [])
        assert len(as_list(scene.shared.get("topic/crash.found"))) == 2 * ("research" in done)
        assert len(as_list(scene.shared.get("run/ID/mail"))) == 2 * ("gathered" in done)
        assert scene.shared.get("run/ID/mail reads run/ID/mail", 0) == 2 * ("checked" in done)

    def _judge_shared(self, end: Scene) -> None:
        for scene in self.scenes:
            self.judge_scene(scene)
        found, expected = sorted_lists(end.shared), sorted_lists(self.undisturbed.shared)
        assert found == expected, {it for it in found | expected if found.get(it) != expected.get(it)}

    def _judge_costs(self, end: Scene) -> None:
        calls = {unit: times for unit, times in end.effects.items() if unit[0].endswith(MODEL_CALLS)}
        lost = sum(times - 1 for times in calls.values())
        assert sum(calls.values()) - lost == end.model_calls == len(calls)
        assert end.run is not None
        assert end.run.cost_usd == end.model_calls * PRICE_USD == self.undisturbed.outcome["total_cost"]


def orders_for(place: Place, *, pipeline: str, run_id: str = "") -> Orders:
    """Return the orders to start a run in a place, or to go on with one."""
    return Orders(str(place.folder), place.url, run_id, pipeline)


def undisturbed_run(nursery: Nursery, place: Place, pipeline: str) -> Undisturbed:
    """Run a pipeline of the victims to its end without any harm."""
    begun_at = time.monotonic()
    code, victim = nursery.run(orders_for(place, pipeline=pipeline))
    seconds = time.monotonic() - begun_at
    assert (code, victim.talk) == (0, ""), victim.talk
    outcome = victim.last_words
    scene = look_at(place)
    assert set(scene.effects.values()) == {1}
    return Undisturbed(outcome, scene.effects, scene.finished, scene.shared, outcome.pop("points"), seconds)


def as_list(found: object) -> list[Any]:
    """Return the messages of a topic; none if there is no such topic."""
    return found if isinstance(found, list) else []


def sorted_lists(shared: Mapping[str, object]) -> dict[str, object]:
    """Return what is shared, messages of concurrent calls in the same order."""
    return {name: sorted(found) if isinstance(found, list) else found for name, found in shared.items()}


def has_happened(folder: Path, name: str) -> Callable[[], bool]:
    """Return a function that tells whether the effect is on the log."""
    log = folder / "effects.log"
    return lambda: log.exists() and name in log.read_text().split()


def case_environment(folder: Path, *, hold: str = "", **settings: str) -> dict[str, str]:
    """Return what the command line needs in its environment to run the victims' pipeline in `folder`."""
    return {"PYTHONPATH": str(TESTS), FOLDER_VARIABLE: str(folder), HOLD_VARIABLE: hold, **settings}
