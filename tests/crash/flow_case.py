"""Runs of the pipelines whose flow is controlled, and what must hold of them besides."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from crash.case import DONE, Case, as_list
from crash.flow_pipeline import BLIND
from crash.orders import Orders
from crash.rollback_pipeline import MENDED
from crash.scene import Scene, Unit, inside_of
from tagent.pipeline.driving.cancelling import CANCELLED
from tagent.pipeline.events import (
    COMPENSATION,
    ApprovalAnswered,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunHalted,
    RunResumed,
    StepCompleted,
    StepStarted,
    StepSubstituted,
)

SEATS = 3
"""How many are booked at once."""


def parts_done(scene: Scene, step: str) -> list[str]:
    """Return the parts of a step that are committed as completed, in this order."""
    return [it.part for it in scene.events if isinstance(it, PartCompleted) and it.step == step]


def starts_behind_its_halt(events: tuple[RunEvent, ...]) -> Iterator[RunEvent]:
    """Yield what started although the run was halted; compensations may, unless it was cancelled."""
    allowed = ""
    is_halted = has_ended = False
    for event in events:
        match event:
            case RunHalted(code):
                is_halted, allowed = True, "" if code == CANCELLED else COMPENSATION
            case RunFinished():
                has_ended = True
            case RunResumed() if has_ended:
                is_halted = has_ended = False
            case StepStarted() if is_halted:
                yield event
            case PartStarted(part=part) if is_halted and part != allowed:
                yield event
            case _:
                pass


def judge_lives(scenes: Sequence[Scene]) -> None:
    """Hold a run against the promises that had ended and was begun anew: what is completed does not happen again."""
    end = scenes[-1]
    before = Counter[Unit]()
    for scene in scenes:
        assert end.events[: len(scene.events)] == scene.events, "what was committed stays"
        for unit, times in scene.effects.items():
            assert unit in scene.finished | scene.in_flight, f"{unit} happened before its start was committed"
            assert times <= before[unit] + 1, f"{unit} happened twice in one process"
        for unit in scene.completed:
            assert end.effects[unit] == scene.effects[unit], f"{unit} was committed and happened again"
        before = scene.effects


class FlowCase(Case):
    """A run that comes to its end over conditions, items, branches and fallbacks, and may be cancelled on its way."""

    pipeline: ClassVar[str] = "flow_pipeline.py"

    def judge(self, outcome: dict[str, Any]) -> None:
        """Hold what happened against the promises; a step that goes on sees what it saw when it began."""
        super().judge(outcome)
        starts = [it for it in self.scenes[-1].events if isinstance(it, StepStarted) and it.step == "digest"]
        assert {it.seen for it in starts} == {()}, "what has come since is not seen"

    def judge_scene(self, scene: Scene) -> None:
        """What a part remembers and sends is there exactly if the part is done, and once."""
        packed = parts_done(scene, "packed")
        assert scene.shared.get("pipeline/flow: packed", 0) == len(packed) == len(set(packed))
        assert len(as_list(scene.shared.get("topic/crash.packed"))) == len(packed)

    def judge_later_life(self, outcome: dict[str, Any]) -> None:
        """Hold a run against the promises that had been cancelled, and is completed now."""
        expected = self.undisturbed.outcome
        assert outcome["status"] == expected["status"]
        for name, (status, _) in expected["steps"].items():
            assert outcome["steps"][name][0] == status
            if name not in BLIND:
                assert outcome["outputs"].get(name) == expected["outputs"].get(name)
                assert outcome["why"][name]["code"] == expected["why"][name]["code"]
        end = self.found()
        judge_lives(self.scenes)
        done = Counter(it.step for it in end.events if isinstance(it, StepCompleted | StepSubstituted))
        assert done == Counter(name for name, (status, _) in expected["steps"].items() if status in DONE)
        assert {name for name, _ in end.effects} == {name for name, _ in self.undisturbed.effects}
        for scene in self.scenes:
            self.judge_scene(scene)


class WholeCase(Case):
    """A run with people in it, routes, rounds, pipelines inside steps, changes, kept outputs and a given one."""

    pipeline: ClassVar[str] = "whole_pipeline.py"

    def judge_scene(self, scene: Scene) -> None:
        """What is remembered and sent is there exactly if it counts: what waits for a yes does not."""
        drafts = parts_done(scene, "drafts")
        assert drafts == [str(number) for number in range(1, len(drafts) + 1)], "one round behind the other"
        letters = sum(isinstance(it, StepCompleted) and it.step == "letter" for it in scene.events)
        assert scene.shared.get("pipeline/whole: drafts", 0) == len(drafts)
        assert scene.shared.get("pipeline/whole: letter", 0) == letters
        inside = Counter(name for name, _ in scene.completed)
        found = sum(count for name, count in inside.items() if name.endswith("/found"))
        assert len(as_list(scene.shared.get("topic/crash.found"))) == found

    def judge(self, outcome: dict[str, Any]) -> None:
        """Hold what happened against the promises; nobody is asked twice, and nothing starts before the yes."""
        super().judge(outcome)
        answered: set[str] = set()
        for event, path in map(inside_of, self.scenes[-1].events):
            match event:
                case ApprovalAnswered(step, is_approved=True):
                    assert path + step not in answered
                    answered.add(path + step)
                case StepStarted(step) if path + step in {"planner", "sent"}:
                    assert step in answered, "it starts before the yes"
                case StepCompleted(step) if step in {"letter", "checked"}:
                    assert path + step in answered, "it counts before the yes"
                case _:
                    pass


class TripCase(Case):
    """A run that fails and undoes what it did. Behind its end it is only read: a resume would begin it anew."""

    pipeline: ClassVar[str] = "rollback_pipeline.py"

    @property
    def orders(self) -> Orders:
        """Orders to start the run, to go on with it, or to read what it has come to until it is mended."""
        has_ended = bool(self.scenes) and self.scenes[-1].has_ended and not (self.folder / MENDED).exists()
        return replace(super().orders, deed="read") if has_ended else super().orders

    def judge(self, outcome: dict[str, Any]) -> None:
        """Hold what happened against the promises, and what was undone against what was done."""
        super().judge(outcome)
        end = self.scenes[-1]
        assert [*starts_behind_its_halt(end.events)] == []
        assert sum(isinstance(it, RunHalted) for it in end.events) == 1
        done = [it.step for it in end.events if isinstance(it, StepCompleted)]
        undone = [it for it in end.events if isinstance(it, PartStarted) and it.part == COMPENSATION]
        order = [*dict.fromkeys(it.step for it in undone)]
        assert order == sorted(order, key=done.index, reverse=True), "the last one first"
        assert {it.idempotency_key for it in undone} == {f"{end.run_id}/{step}/{COMPENSATION}" for step in order}
        self._judge_turns(end)
        for scene in self.scenes:
            for (name, attempt), times in end.effects.items():
                may_happen = scene.halted is None or name.endswith(COMPENSATION)
                assert may_happen or times == scene.effects[name, attempt], f"{name} happened behind the halt"

    def judge_scene(self, scene: Scene) -> None:
        """What was remembered is there exactly if it is done, and undone exactly if the compensation is."""
        hotels = sum(isinstance(it, StepCompleted) and it.step == "hotel" for it in scene.events)
        no_hotels = parts_done(scene, "hotel").count(COMPENSATION)
        no_seats = parts_done(scene, "seats").count(COMPENSATION)
        seats = len(parts_done(scene, "seats")) - no_seats
        assert scene.shared.get("pipeline/trip: booked", 0) == hotels - no_hotels + seats - SEATS * no_seats
        assert len(as_list(scene.shared.get("topic/crash.undone"))) == no_seats

    def mend(self) -> None:
        """Have the payment succeed from now on, so that the run begins anew when it is resumed.

        One that rolls back does so to its end first, as it would have done.
        """
        mended, found = self.folder / MENDED, self.scenes[-1]
        if found.halted is not None and not found.has_ended and not mended.exists():
            assert self.resumed()["status"] == "failed"
            self.found()
        mended.touch()

    def judge_later_life(self, outcome: dict[str, Any]) -> None:
        """Hold a run against the promises that had ended, and is completed now."""
        assert outcome["status"] == "completed"
        assert outcome["final_output"] == "thanks, paid from H7 for 3"
        end = self.found()
        judge_lives(self.scenes)
        for scene in self.scenes:
            self.judge_scene(scene)
        is_undone = [it.step for it in end.events if isinstance(it, PartStarted) and it.part == COMPENSATION]
        again = {name.partition("~")[0] for name, _ in end.effects if "~" in name}
        assert again == {name for name in is_undone if name != "tour"} | ({"tour"} & again), "what was undone"

    @staticmethod
    def _judge_turns(end: Scene) -> None:
        """Two compensations are never under way at once."""
        under_way = ""
        for event in end.events:
            match event:
                case PartStarted(step, part) if part == COMPENSATION:
                    assert under_way in ("", step)
                    under_way = step
                case PartCompleted(part=part) if part == COMPENSATION:
                    under_way = ""
                case PartFailed(part=part, retry_at=None) if part == COMPENSATION:
                    under_way = ""
                case _:
                    pass
