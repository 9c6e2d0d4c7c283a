"""Forks of runs with routes, rounds, approvals, runs inside steps and changes: what is taken over, what begins anew."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from builders import returning, services
from tagent.adapters.clock import SystemClock
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import (
    ExecutionMode,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    PipelineStep,
    RunStatus,
    StepContext,
)
from tagent.pipeline.events import (
    ApprovalAnswered,
    ApprovalRequested,
    InnerProgressed,
    PartCompleted,
    RunEvent,
    RunStarted,
)
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.replay.recorded_answers import RecordedAnswers
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.routing import repeat, when
from tagent.pipeline.selecting import Selection
from tagent.pipeline.transfer.edits import ForkError
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.forking import Fork, fork_run, state_at
from tagent.pipeline.transfer.importing import read_recording
from tagent.ports import Services
from tagent.testing import ScriptedModel

PARALLEL = ExecutionMode.PARALLEL_MERGE
CALLS: Counter[str] = Counter()
"""What was called, by name."""

PATHS = ("ask", "note", "each/0/ok", "each/1/ok")


@pytest.fixture(autouse=True)
def _no_calls() -> None:
    CALLS.clear()


def called(name: str, output: object) -> object:
    CALLS[name] += 1
    return output


def found(n: int) -> object:
    return called("found", n + 1)


def planned(context: StepContext, n: int) -> object:
    context.plan.step("found", run=found).depend("end", on="found").enable("extra")
    return called("planned", n)


def noted(context: StepContext) -> object:
    context.memory.run.put("note", "kept")
    return called("noted", "note")


def inner() -> Pipeline:
    def saved(topic: str, context: StepContext) -> object:
        context.save("topic", topic)
        return called(f"look {topic}", topic)

    def read(look: str, context: StepContext) -> object:
        return called(f"write {look}", context.memory.run.get("topic"))

    return (
        Pipeline("inner")
        .step("look", run=saved)
        .step("write", run=read)
        .step("ok", run=lambda write: called("ok", write), approval="output")
    )


def counted(round: int) -> object:  # noqa: A002 - what it is called
    return called(f"round {round}", round)


def pipeline() -> Pipeline:
    """Return a pipeline whose run has every kind of event that steers it."""
    return (
        Pipeline("all")
        .step("n", run=lambda: called("n", 7))
        .add_step(when("steps.n > 3", name="large").then("ask").otherwise("no"))
        .step("ask", run=lambda: called("asked", "yes"), approval=True)
        .step("no", run=returning("no"))
        .add_step(repeat(PipelineStep(name="count", run=counted), until="output >= 3", max_times=4))
        .step("plan", run=planned)
        .step("extra", run=lambda: called("extra", 1), enabled=False)
        .step("note", run=noted, approval="output")
        .step("each", pipeline=inner(), for_each="topics", inputs={"topic": "item"}, execution_mode=PARALLEL)
        .step("end", run=lambda each: each, depends_on=["ask", "count", "plan", "note"])
    )


class Lab:
    """A store, and people who say yes to everything as long as they are there."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.clock = SystemClock()
        answers = [ApprovalAnswered(path, True, 0.0, "ada") for path in PATHS]  # noqa: FBT003 - the answer
        self.people = RecordedAnswers(answers, self.store, self.clock)
        self.services: Services = services(
            store=self.store, clock=self.clock, model=ScriptedModel(lambda request: "text")
        )

    async def ran(self, selection: Selection | None = None) -> PipelineResult:
        inputs = None if selection is not None else {"topics": ["a", "b"]}
        executor = PipelineExecutor(pipeline(), inputs=inputs, selection=selection, services=self.services)
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self.people.serve())
            result = await executor.execute()
            answering.cancel()
        return result

    async def resumed(self, fork: Fork) -> PipelineResult:
        CALLS.clear()
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(self.people.serve())
            result = await resume_run(fork.run_id, self.services, TAgentConfig(), pipeline=pipeline())
            answering.cancel()
        return result

    async def events(self, run_id: str) -> Sequence[RunEvent]:
        return await load_events(self.store, run_id)

    async def place_behind(self, kind: type, *, step: str) -> int:
        """Return how many events of the first run are there when this one is the last."""
        events = await self.events("run-1")
        return next(
            at
            for at, event in enumerate(events, 1)
            if isinstance(innermost(event), kind) and getattr(innermost(event), "step", "") == step
        )


def innermost(event: RunEvent) -> RunEvent:
    while isinstance(event, InnerProgressed):
        event = event.event
    return event


async def test_a_fork_at_every_event_comes_to_the_same() -> None:
    """Also in the middle of rounds, of runs inside, and of what was held back; what it becomes can be exported."""
    lab = Lab()
    result = await lab.ran()
    assert result.success, list(result.explain())
    for end in range(1, len(await lab.events("run-1"))):
        fork = await fork_run("run-1", lab.services, at_event=end)
        told = await export_run(lab.store, fork.run_id)
        assert read_recording(told).events, "and imported as any other"
        again = await lab.resumed(fork)
        assert (again.success, again.final_output) == (True, result.final_output), (end, list(again.explain()))
        assert all(count == 1 for name, count in CALLS.items() if name != "ok"), (end, CALLS)
        assert CALLS["ok"] <= 2


@pytest.mark.parametrize(
    ("step", "again"),
    [
        ("large", {"large", "ask", "no", "end"}),
        ("ask", {"ask", "end"}),
        ("count", {"count", "end"}),
        ("note", {"note", "end"}),
        ("each", {"each", "end"}),
        ("plan", {"plan", "found", "extra", "end"}),
        ("found", {"found", "end"}),
    ],
)
async def test_from_a_step_on_all_that_rests_on_it_begins_anew(step: str, again: set[str]) -> None:
    """The steps of a branch, what a step has added or changed, and whoever said yes to it."""
    lab = Lab()
    result = await lab.ran()
    fork = await fork_run("run-1", lab.services, from_step=step)
    gone = {"found"} if step == "plan" else set()
    assert set(fork.again) == again - gone
    repeated = await lab.resumed(fork)
    assert (repeated.success, repeated.final_output) == (True, result.final_output)
    events = await lab.events(fork.run_id)
    asked = [event for event in map(innermost, events) if isinstance(event, ApprovalRequested)]
    assert len(asked) == 4, "a fork asks again what begins anew, and nothing else"


async def test_rounds_that_are_done_are_reused() -> None:
    """Each is a piece of work of its own."""
    lab = Lab()
    await lab.ran()
    events = await lab.events("run-1")
    second = next(at for at, it in enumerate(events, 1) if getattr(it, "part", "") == "2" and hasattr(it, "is_last"))
    fork = await fork_run("run-1", lab.services, at_event=second)
    assert fork.parts == {"count": 2}
    await lab.resumed(fork)
    assert [name for name in CALLS if name.startswith("round")] == ["round 3"]


async def test_a_run_inside_goes_on_as_the_forks_own() -> None:
    """Its finished steps are reused, and its memory is not that of the parent."""
    lab = Lab()
    result = await lab.ran()
    end = await lab.place_behind(ApprovalRequested, step="ok")
    fork = await fork_run("run-1", lab.services, at_event=end)
    begun = [event for event in await lab.events(fork.run_id) if isinstance(innermost(event), RunStarted)]
    ids = [event.run_id for event in map(innermost, begun) if isinstance(event, RunStarted)]
    assert all(run_id.startswith(fork.run_id) for run_id in ids)
    again = await lab.resumed(fork)
    assert again.final_output == result.final_output
    assert CALLS["look a"] == CALLS["write a"] == 0
    done = (await lab.events("run-1"))[:end]  # the rounds go on beside it, in threads
    rounds = {f"round {it.part}" for it in done if isinstance(it, PartCompleted) and it.step == "count"}
    assert rounds.isdisjoint(CALLS)


async def test_what_was_held_back_for_the_parent_is_not_written_for_it() -> None:
    """The step runs again, and asks again; nothing of the parent's is touched."""
    lab = Lab()
    await lab.ran()
    end = await lab.place_behind(ApprovalRequested, step="note")
    held = next(event for event in (await lab.events("run-1"))[:end][::-1])
    assert isinstance(held, ApprovalRequested)
    assert held.effects
    fork = await fork_run("run-1", lab.services, at_event=end)
    copy = next(event for event in (await lab.events(fork.run_id)) if event == replace(held, effects=None))
    assert copy is not None
    await lab.resumed(fork)
    assert CALLS["noted"] == 1
    note = await lab.store.document(f"run/{fork.run_id}/memory", "note")
    assert note is not None
    assert note.version == 1


async def test_a_step_inside_a_step_is_no_place_to_begin() -> None:
    """It is told which one is."""
    lab = Lab()
    await lab.ran()
    with pytest.raises(ForkError, match="'each/0/look' is inside the step 'each'") as caught:
        await fork_run("run-1", lab.services, from_step="each/0/look")
    assert "Fork from 'each'" in caught.value.hint


@pytest.mark.parametrize(
    ("edits", "said"),
    [
        ({"steps": {"found": {"output": 3}}}, "'found' was added while the run went on"),
        ({"steps": {"each": {"goal": "x"}}}, "'each' runs a pipeline of its own and has no goal"),
        ({"steps": {"large": {"goal": "x"}}}, "'large' works on nothing by itself and has no goal"),
    ],
)
async def test_what_cannot_be_edited_is_told(edits: dict[str, object], said: str) -> None:
    """And no run is made."""
    lab = Lab()
    await lab.ran()
    with pytest.raises(ForkError, match=said):
        await fork_run("run-1", lab.services, overrides=edits, pipeline=pipeline())


async def test_another_output_of_a_router_takes_another_branch() -> None:
    """What was left out then runs now, and what ran then is left out."""
    lab = Lab()
    await lab.ran()
    edits = {"steps": {"large": {"output": "otherwise"}, "each": {"output": ["x"]}}}
    fork = await fork_run("run-1", lab.services, overrides=edits, pipeline=pipeline())
    again = await lab.resumed(fork)
    codes = {name: it["code"] for name, it in again.step_metadata.items()}
    assert (codes["ask"], codes["no"]) == ("branch_not_taken", "")
    assert again.final_output == ["x"], "an output by hand, and no run inside"
    assert CALLS["look a"] == 0


async def test_the_state_at_an_event_has_the_steps_that_were_there() -> None:
    """Those that were added are not there before, and what waits is seen to wait."""
    lab = Lab()
    await lab.ran()
    asked = await lab.place_behind(ApprovalRequested, step="note")
    before = await state_at(lab.store, "run-1", 3)
    then = await state_at(lab.store, "run-1", asked)
    assert "found" not in before.steps
    assert "found" in then.steps
    assert "note" in then.asked
    assert then.status is RunStatus.RUNNING


async def test_a_fork_of_a_part_stays_that_part() -> None:
    """Unless it begins with something else."""
    lab = Lab()
    await lab.ran(Selection.of(only=["n", "large", "no", "ask"]))
    fork = await fork_run("run-1", lab.services, from_step="n")
    again = await lab.resumed(fork)
    assert again.step_metadata["end"]["code"] == "not_selected"
    assert CALLS["n"] == 1
