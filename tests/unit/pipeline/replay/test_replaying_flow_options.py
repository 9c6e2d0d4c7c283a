"""Replays of runs with routes, rounds, approvals, pipelines inside steps, changes and outputs from elsewhere."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from builders import raising, returning, services
from tagent.adapters.clock import SystemClock
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineStep, StepContext
from tagent.pipeline.approval import Approval
from tagent.pipeline.events import ApprovalAnswered
from tagent.pipeline.replay.recorded_answers import RecordedAnswers
from tagent.pipeline.replay.recorded_errors import CutOffError
from tagent.pipeline.replay.replaying import Replay, replay_run
from tagent.pipeline.routing import repeat, switch, when
from tagent.pipeline.selecting import Selection
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.importing import read_recording
from tagent.pipeline.transfer.recording import Recording
from tagent.ports import ModelRequest
from tagent.testing import ScriptedModel

PARALLEL = ExecutionMode.PARALLEL_MERGE
BOTH = pytest.mark.parametrize("recorded_functions", [False, True])


def by_prompt(request: ModelRequest) -> object:
    """Answer from what is asked, whoever asks first."""
    return [] if request.purpose == "plan" else f"said {len(request.messages[-1].content)}"


def said(request: ModelRequest) -> object:
    return pytest.fail("A model was asked.")


def yes(path: str) -> ApprovalAnswered:
    return ApprovalAnswered(path, True, 0.0, "ada")  # noqa: FBT003 - the answer


def no(path: str) -> ApprovalAnswered:
    return ApprovalAnswered(path, False, 0.0, "ada", "Not today.")  # noqa: FBT003 - the answer


async def recorded(
    pipeline: Pipeline,
    answers: Iterable[ApprovalAnswered] = (),
    *,
    selection: Selection | None = None,
    **inputs: object,
) -> Recording:
    """Run it while people answer, and return the run through a file and back."""
    store, clock = MemoryStore(), SystemClock()
    people = RecordedAnswers(answers, store, clock)
    opened = services(store=store, clock=clock, model=ScriptedModel(by_prompt))
    executor = PipelineExecutor(pipeline, inputs=inputs, selection=selection, services=opened)
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(people.serve())
        result = await executor.execute()
        answering.cancel()
    return read_recording(await export_run(store, result.run_id))


async def replayed(recording: Recording, pipeline: Pipeline, *, recorded_functions: bool = False) -> Replay:
    """Replay it where no model can be asked."""
    opened = services(store=MemoryStore(), clock=SystemClock(), model=ScriptedModel(said))
    return await replay_run(recording, opened, pipeline=pipeline, recorded_functions=recorded_functions)


def routed(kind: str = "bug") -> Pipeline:
    """Return a pipeline that takes routes, by conditions of every kind."""
    pipeline = Pipeline("mail").step("classify", run=returning({"kind": kind, "n": 5}))
    for router in (
        when("steps.classify.n > 3", name="large").then("ask").otherwise("pay"),
        when(lambda classify: classify["n"] > 3, name="asked").then("fix").otherwise("answer"),
        switch("classify.kind", {"bug": "test"}, default="thank", name="kinds"),
    ):
        pipeline.add_step(router)
    for name in ("ask", "pay", "fix", "test", "thank"):
        pipeline.step(name, run=returning(name))
    return pipeline.step("answer", "Answer it").step("end", "Sum up {classify.kind}", depends_on=["ask", "fix", "test"])


@BOTH
async def test_routes_are_taken_as_they_were(*, recorded_functions: bool) -> None:
    """What a function of a condition said then is what it is held to say, where functions are not called."""
    replay = await replayed(await recorded(routed()), routed(), recorded_functions=recorded_functions)
    replay.assert_unchanged()
    assert {name: it["code"] for name, it in replay.result.step_metadata.items() if it["code"]} == {
        "pay": "branch_not_taken",
        "answer": "branch_not_taken",
        "thank": "branch_not_taken",
    }


async def test_another_route_is_a_difference() -> None:
    """That is what a replay is for."""
    replay = await replayed(await recorded(routed()), routed("question"))
    assert {step.step for step in replay.differences} == {"classify", "kinds", "test", "thank"}


def doubled(previous: int | None) -> int:
    return 2 * (previous or 1)


@BOTH
@pytest.mark.parametrize("until", ["output >= 8", lambda output: output >= 8, None])
async def test_rounds_end_where_they_ended(
    *, recorded_functions: bool, until: str | Callable[..., bool] | None
) -> None:
    """Each round is a piece of work of its own, of agents too."""

    def rounds() -> Pipeline:
        pipeline = Pipeline("rounds").add_step(
            repeat(PipelineStep(name="count", run=doubled), until=until, max_times=4, if_not_reached="keep")
        )
        write = PipelineStep(name="write", goal="Improve {previous}, round {round}, after {count}")
        return pipeline.add_step(repeat(write, max_times=3))

    replay = await replayed(await recorded(rounds()), rounds(), recorded_functions=recorded_functions)
    replay.assert_unchanged()
    assert len(replay.result.step_metadata["write"]["parts"]) == 3


def approved() -> Pipeline:
    """Return a pipeline in which somebody has to say yes now and then."""
    return (
        Pipeline("refunds")
        .step("order", run=returning(40))
        .step("pay", run=lambda order: f"paid {order}", approval=Approval(question="Pay {order}?", timeout=3600.0))
        .step("write", "Write about {pay}", approval="output")
        .step("send", run=returning("sent"), approval=True, on_error="keep", depends_on=["write"])
        .step("keep", run=returning("kept"))
        .step("end", run=lambda write: write)
    )


@BOTH
async def test_approvals_are_answered_as_they_were(*, recorded_functions: bool) -> None:
    """Yes, no, and another output than the step gave; nobody waits for anybody."""
    edited = replace(yes("write"), is_edited=True, output="By hand")
    recording = await recorded(approved(), [yes("pay"), edited, no("send")])
    replay = await replayed(recording, approved(), recorded_functions=recorded_functions)
    replay.assert_unchanged()
    assert (replay.result.step_outputs["end"], replay.result.step_outputs["send"]) == ("By hand", "kept")
    assert replay.result.step_metadata["send"]["code"] == "approval.rejected"
    assert replay.result.step_metadata["pay"]["approval"]["at"] == 0.0  # when it was said, not when it is replayed


async def test_who_was_not_asked_then_says_no() -> None:
    """Nobody knows what he would have said."""
    before = Pipeline("p").step("a", run=returning(1))
    after = Pipeline("p").step("a", run=returning(1), approval=True)
    replay = await replayed(await recorded(before), after)
    (difference,) = replay.differences
    assert (difference.after.status, difference.after.code) == ("failed", "approval.rejected")


async def test_a_run_that_waits_for_an_answer_cannot_be_replayed() -> None:
    """What comes behind it is not recorded; waiting for it here would never end."""
    recording = await recorded(approved(), [yes("pay"), yes("write"), yes("send")])
    asked = next(at for at, event in enumerate(recording.events) if type(event).__name__ == "ApprovalRequested")
    with pytest.raises(CutOffError, match="approval.waiting"):
        await replayed(replace(recording, events=recording.events[: asked + 1]), approved())


def research() -> Pipeline:
    """Return a pipeline for the inside of a step."""
    return (
        Pipeline("research")
        .step("look", run=lambda topic: f"{topic}!", approval="output")
        .step("write", "Write about {look} and {topic}")
        .step("check", run=raising(OSError("down"), times=1, then="good"), depends_on=["write"])
        .add_step(repeat(PipelineStep(name="polish", goal="Polish {write}, {round}"), max_times=2))
    )


def nesting() -> Pipeline:
    return (
        Pipeline("outer")
        .step("topics", run=returning(["tea", "lemonade", "gin and soda"]))
        .step("one", pipeline=research(), inputs={"topic": "topics[0]"})
        .step(
            "each",
            pipeline=research(),
            for_each="topics",
            inputs=lambda item: {"topic": item * 2},
            execution_mode=PARALLEL,
            min_success=2,
        )
        .step("deep", pipeline=Pipeline("middle").step("in", pipeline=research()), inputs={"topic": "topics[1]"})
    )


@BOTH
async def test_pipelines_inside_steps_are_replayed_too(*, recorded_functions: bool) -> None:
    """Each of the runs inside says what it said itself, also where one pipeline runs for many items."""
    answers = [yes("one/look"), yes("each/0/look"), no("each/1/look"), yes("each/2/look"), yes("deep/in/look")]
    recording = await recorded(nesting(), answers)
    replay = await replayed(recording, nesting(), recorded_functions=recorded_functions)
    replay.assert_unchanged()
    outputs = replay.result.step_outputs
    assert len(outputs["each"]) == 2
    assert outputs["deep"].startswith("said")


async def test_a_difference_inside_a_step_is_one_of_the_step() -> None:
    """Code inside is under test as any other."""
    answers = [yes("one/look"), yes("each/0/look"), yes("each/1/look"), yes("each/2/look"), yes("deep/in/look")]
    recording = await recorded(nesting(), answers)
    changed = nesting()
    inner = changed.steps[1].pipeline
    assert inner is not None
    inner.steps[2].run = raising(ValueError("no"))
    inner.steps[2].max_retries = 0
    replay = await replayed(recording, changed)
    assert [step.step for step in replay.differences] == ["one"]


def found(n: int) -> str:
    return f"found {n}"


def planned(context: StepContext, n: int) -> int:
    context.plan.step("found", run=found).step("told", "Tell {found}").depend("end", on="told").enable("extra")
    return n


def changing() -> Pipeline:
    return (
        Pipeline("changing")
        .step("n", run=returning(7))
        .step("plan", run=planned)
        .step("extra", run=returning("extra"), enabled=False)
        .step("end", run=lambda **outputs: sorted(outputs), depends_on=["plan", "extra"])
    )


@BOTH
async def test_what_a_step_changed_is_changed_in_the_replay(*, recorded_functions: bool) -> None:
    """The steps that it had added say what is recorded: what is in a file names no code."""
    recording = await recorded(changing())
    assert recording.events[-1].status.value == "completed"  # type: ignore[union-attr]  # a run's end
    replay = await replayed(recording, changing(), recorded_functions=recorded_functions)
    replay.assert_unchanged()
    assert [step.step for step in replay.steps] == ["n", "plan", "extra", "end", "found", "told"]


async def test_another_change_than_then_is_a_difference() -> None:
    """The plan of a step is as much its work as its output."""
    recording = await recorded(changing())
    other = changing()
    other.steps[1].run = lambda context, n: n
    other.steps[1].run.__annotations__["context"] = StepContext
    replay = await replayed(recording, other)
    assert replay.differences[0].after.code == "replay.misfit"


@BOTH
async def test_a_part_of_a_pipeline_is_replayed_as_that_part(*, recorded_functions: bool) -> None:
    """What was given by hand is given again, and what was not to run does not."""
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", "Say {a}").step("c", run=lambda b: b)
    recording = await recorded(pipeline, selection=Selection.of(only=["c"], outputs={"b": "by hand"}))
    replay = await replayed(recording, pipeline, recorded_functions=recorded_functions)
    replay.assert_unchanged()
    assert replay.result.step_outputs == {"b": "by hand", "c": "by hand"}


async def test_what_was_in_the_cache_is_given_again() -> None:
    """A hit has no model call behind it, so there is none to be said again."""

    def caching() -> Pipeline:
        inner = Pipeline("inner").step("say", "Say {n}")
        return (
            Pipeline("caching")
            .step("n", run=returning(1))
            .step("a", "Say {n}", cache="run")
            .step("b", "Say {n}", cache="run", depends_on=["a"])
            .step("c", pipeline=inner, cache="run", depends_on=["b"])
            .step("d", pipeline=inner, cache="run", depends_on=["c"])
        )

    recording = await recorded(caching())
    replay = await replayed(recording, caching())
    replay.assert_unchanged()
