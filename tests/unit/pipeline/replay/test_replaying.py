"""Replays: today's code on recorded answers, and nobody is asked or called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
from pydantic import BaseModel

from builders import CONCURRENT, chain, raising, returning, run, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline, RunStatus, StepContext
from tagent.pipeline.events import AgentProgressed
from tagent.pipeline.replay.at_work import Standstill
from tagent.pipeline.replay.doubles import with_doubles
from tagent.pipeline.replay.recorded import Recorded, RecordedAt, RecordedWork
from tagent.pipeline.replay.recorded_agents import OnlyRecorded, RecordedCalls, RecordedTool
from tagent.pipeline.replay.recorded_errors import NotRecordedError, RecordedToolError
from tagent.pipeline.replay.replaying import Replay, replay_run
from tagent.pipeline.stored.origins import NoPipelineError
from tagent.pipeline.transfer.differences import StepOutcome
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.importing import read_recording
from tagent.pipeline.transfer.recording import Recording, load_recording
from tagent.ports import ModelRequest
from tagent.ports.model_errors import ModelOutputError, ModelRateLimitError
from tagent.task_agent.events import AgentEvent, Planned, TaskCompleted, TaskFailed
from tagent.task_agent.models import ModelCall, Task
from tagent.task_agent.tools.tool import Tool, ToolArgumentsError
from tagent.testing import ScriptedModel


class Facts(BaseModel):
    pages: list[str]


@dataclass
class World:
    """What must not be touched in a replay."""

    calls: list[str] = field(default_factory=list)

    def read(self, page: int) -> str:
        """Read a page."""
        self.calls.append(f"read {page}")
        if page == 404:
            raise LookupError("No such page.")
        return f"text of page {page}"

    def send(self, text: str) -> str:
        """Send a letter."""
        self.calls.append("send")
        return f"sent {text}"

    def pipeline(self, *, count: Callable[[Facts], object] = lambda found: len(found.pages)) -> Pipeline:
        """Return a pipeline in which agents read and send, and a function counts."""
        return (
            Pipeline("mail", config={"tools": [self.read]})
            .step("found", "Read pages", output_schema=Facts)
            .step("count", run=count)
            .step("sent", "Send {count}", tools=[Tool.of(self.send, side_effect=True)], execution_mode=CONCURRENT)
        )


def counted(found: Facts) -> int:
    return len(found.pages)


def task(tool: str, **arguments: object) -> dict[str, object]:
    return {"tool_name": tool, "tool_args": arguments}


def answers() -> ScriptedModel:
    """Return a model that plans twice, refers to an earlier task, and lets a tool fail once."""
    return ScriptedModel(
        [
            [task("read", page=404), task("read", page=1)],
            [task("read", page=1), task("read", page=2)],
            {"pages": ["one", "two"]},
            [task("read", page=3), task("send", text="{{tasks.0.output}}")],
            "It is sent.",
        ],
        cost_usd=1.0,
    )


async def recorded(pipeline: Pipeline, model: ScriptedModel | None = None, **inputs: object) -> Recording:
    """Run `pipeline` and return the run, through a file and back."""
    store = MemoryStore()
    ran = await run(pipeline, store=store, model=model, inputs=inputs)
    return read_recording(await export_run(store, ran.result.run_id))


async def replayed(
    recording: Recording, pipeline: Pipeline, *, config: TAgentConfig | None = None, recorded_functions: bool = False
) -> Replay:
    model = ScriptedModel(lambda request: pytest.fail("A model was asked."))
    return await replay_run(
        recording,
        services(model=model),
        pipeline=pipeline,
        config=config,
        recorded_functions=recorded_functions,
    )


def changes(replay: Replay) -> dict[str, tuple[str, str]]:
    """Return the steps that differ -> status and code now."""
    return {step.step: (step.after.status, step.after.code) for step in replay.differences}


async def test_a_replay_gives_the_same_without_model_tool_or_cost() -> None:
    """Plans, references, failed calls and re-plans included; a tool with side effects has none."""
    world = World()
    recording = await recorded(world.pipeline(count=counted), answers())
    assert world.calls.count("send") == 1
    world.calls.clear()
    replay = await replayed(recording, world.pipeline(count=counted))
    replay.assert_unchanged()
    assert (world.calls, replay.result.total_cost, replay.result.unpriced_calls) == ([], 0, 0)
    assert replay.result.step_outputs == {
        "found": Facts(pages=["one", "two"]),
        "count": 2,
        "sent": "It is sent.",
    }
    assert list(replay.lines())[-1] == "The run: completed"


async def test_a_changed_function_is_seen_with_a_diff() -> None:
    """Functions are what is under test: they run, and their output is compared."""
    world = World()
    recording = await recorded(world.pipeline(count=counted), answers())

    def doubled(found: Facts) -> int:
        return 2 * len(found.pages)

    replay = await replayed(recording, world.pipeline(count=doubled))
    assert (changes(replay), replay.is_unchanged) == ({"count": ("completed", "")}, False)
    assert replay.differences[0].output_diff("recorded", "replayed") == (
        "--- recorded",
        "+++ replayed",
        "@@ -1 +1 @@",
        "-2",
        "+4",
    )
    with pytest.raises(AssertionError, match=r"! count: completed, another output\n    --- recorded"):
        replay.assert_unchanged()
    same = await replayed(recording, world.pipeline(count=doubled), recorded_functions=True)
    same.assert_unchanged()


async def test_recorded_functions_are_not_called_and_keep_facts_memories_and_failures() -> None:
    """What they did elsewhere is not done again."""

    def learn(context: StepContext) -> Facts:
        context.learn("sky", "blue")
        context.save("team", "red")
        return Facts(pages=["a"])

    def pipeline(first: Callable[..., object], second: Callable[..., object]) -> Pipeline:
        learned = Pipeline("p").step("first", run=first).step("second", run=second, max_retries=0)
        return learned.step("third", run=returning(1), depends_on=["second"])

    def broken(first: Facts) -> object:
        raise ValueError("no")

    recording = await recorded(pipeline(learn, broken))

    def never() -> Facts:
        pytest.fail("A function was called.")

    def never_too(first: Facts) -> object:
        pytest.fail("A function was called.")

    replay = await replayed(recording, pipeline(never, never_too), recorded_functions=True)
    replay.assert_unchanged()
    assert replay.result.step_outputs["first"] == Facts(pages=["a"]), "as the type that the function is annotated with"
    assert (replay.result.learned_facts, replay.result.saved_memories) == ({"sky": "blue"}, {"team": "red"})
    assert replay.steps[1].after == replay.steps[1].before
    assert replay.steps[1].after.reason.startswith("The step 'second' raised ValueError: no")


async def test_what_was_not_recorded_fails_with_what_is_asked_for() -> None:
    """Of a new step, a new call, a changed argument: by step, tool and purpose, never by asking somebody."""
    world = World()
    recording = await recorded(world.pipeline(count=counted), answers())
    more = world.pipeline(count=counted).step("new", "Say {sent}").step("newer", run=returning(1))
    replay = await replayed(recording, more)
    assert changes(replay) == {"new": ("failed", "replay.not_recorded"), "newer": ("completed", "")}
    assert replay.steps[3].before == StepOutcome("absent")
    assert "'new' asks for another answer of the model (plan)" in replay.steps[3].after.reason
    functions = await replayed(recording, more, recorded_functions=True)
    assert changes(functions)["newer"] == ("failed", "replay.not_recorded")


async def test_a_call_of_a_tool_that_was_not_recorded_fails_the_step() -> None:
    """It is not taken for a failure of the tool, after which the agent would plan anew."""
    world = World()
    recording = await recorded(world.pipeline(count=counted), answers())
    kept = tuple(event for event in recording.events if "output='text of page 3'" not in str(event))
    assert len(kept) == len(recording.events) - 1
    replay = await replayed(replace(recording, events=kept), world.pipeline(count=counted))
    assert changes(replay) == {"sent": ("failed", "replay.not_recorded")}
    assert "'sent' asks for a call of the tool 'read'" in replay.steps[2].after.reason


def test_a_recorded_call_answers_once_in_order_and_only_for_its_arguments() -> None:
    """Two equal calls may have given two things; a call with other arguments may do other things."""
    call = ModelCall("m")
    tasks = tuple(Task(n, "", "read", {"page": 1}) for n in range(2))
    events: list[AgentEvent] = [
        Planned(tasks, call),
        TaskCompleted(0, "first", 0),
        TaskFailed(1, "tool.failed", "gone"),
    ]
    step = RecordedWork("s", "", 1, events)
    tool = RecordedTool.like(Tool.of(World().read), RecordedCalls(step))
    assert tool.arguments({"page": 1}) == {"outcome": "first"}
    with pytest.raises(RecordedToolError, match="gone") as failed:
        tool.arguments({"page": 1})
    assert failed.value.code == "tool.failed"
    with pytest.raises(NotRecordedError, match="'read'"):
        tool.arguments({"page": 1})
    other = RecordedTool.like(Tool.of(World().read), RecordedCalls(step))
    with pytest.raises(NotRecordedError):
        other.arguments({"page": 2})
    with pytest.raises(ToolArgumentsError):
        other.arguments({"book": 1})


def test_doubles_leave_no_way_to_a_tool() -> None:
    """Neither in the settings of the run, nor of the pipeline, nor of the step."""
    world = World()
    pipeline = Pipeline("p", config={"tools": [world.read]}).step("a", "Go", config={"tools": [world.send]})
    doubled = with_doubles(pipeline, TAgentConfig(), RecordedAt(Recorded([])), Standstill(), recorded_functions=False)
    left = [TAgentConfig.of(settings).tools for settings in (doubled.config, doubled.steps[0].config)]
    assert left == [(), ()]
    assert [type(tool) for tool in doubled.steps[0].tools] == [RecordedTool]
    assert TAgentConfig.of(pipeline.config).tools == (world.read,), "the pipeline itself stays as it is"


async def test_an_edited_output_counts_although_no_agent_gave_it() -> None:
    """In a fork, a person may have written what a step came to."""
    pipeline = Pipeline("p").step("a", "Go", tools=[World().read])
    recording = await recorded(pipeline, ScriptedModel([[], "fine"]))
    edited = tuple(event for event in recording.events if not isinstance(event, AgentProgressed))
    (await replayed(replace(recording, events=edited), pipeline)).assert_unchanged()


async def test_another_reason_to_fail_and_another_end_of_the_run_are_changes() -> None:
    """Though every step stands where it stood."""

    def failing(error: Exception, *, depends_on: Sequence[str] = ("a",)) -> Pipeline:
        ok = Pipeline("p").step("a", run=returning(1))
        return ok.step("b", run=raising(error), depends_on=depends_on, max_retries=0)

    recording = await recorded(failing(TypeError("no")))
    (await replayed(recording, failing(ValueError("other"), depends_on=["a"]))).assert_unchanged()
    coded = await replayed(recording, failing(NotRecordedError("b", "x")))
    assert changes(coded) == {"b": ("failed", "replay.not_recorded")}
    ended = await replayed(recording, failing(TypeError("no"), depends_on=()))
    assert (ended.differences, ended.is_unchanged) == ((), False)
    assert list(ended.lines())[-1] == "The run: failed -> partial"


async def test_a_plan_with_a_tool_that_is_gone_does_not_fit() -> None:
    """The model was offered it, and today's step does not."""
    world = World()
    recording = await recorded(world.pipeline(count=counted), answers())
    changed = world.pipeline(count=counted)
    changed.steps[2].tools = [World().read]
    replay = await replayed(recording, changed)
    assert changes(replay) == {"sent": ("failed", "replay.misfit")}
    assert "a plan" in replay.steps[2].after.reason


async def test_an_answer_that_does_not_fit_a_changed_type_is_told() -> None:
    """Whether old answers still fit a new schema is what replays are for."""

    class Stricter(BaseModel):
        pages: list[int]

    recording = await recorded(Pipeline("p").step("a", "Go", output_schema=Facts), ScriptedModel([{"pages": ["x"]}]))
    replay = await replayed(recording, Pipeline("p").step("a", "Go", output_schema=Stricter))
    assert changes(replay) == {"a": ("failed", "replay.misfit")}
    functions = await recorded(Pipeline("p").step("a", run=returning({"pages": ["x"]})))
    replay = await replayed(
        functions, Pipeline("p").step("a", run=returning(1), output_schema=Stricter), recorded_functions=True
    )
    assert changes(replay) == {"a": ("failed", "replay.misfit")}


async def test_recorded_failures_of_models_and_goals_come_again_at_once() -> None:
    """With their codes and reasons; what was tried again then is not waited for now."""
    failing: Sequence[object] = [ModelRateLimitError("m", retry_after_seconds=5), ModelOutputError("m", "No.")] * 2
    pipeline = Pipeline("p").step("a", "Go").step("b", "Go on from {a}", max_retries=1)
    model = ScriptedModel(["fine", ModelRateLimitError("m"), "late"])
    (await replayed(await recorded(pipeline, model), pipeline)).assert_unchanged()
    recording = await recorded(pipeline, ScriptedModel(["fine", *failing]))
    replay = await replayed(recording, pipeline)
    replay.assert_unchanged()
    assert replay.result.status is RunStatus.FAILED
    then, now = replay.steps[1].before, replay.steps[1].after
    assert (now.reason, replay.result.step_metadata["b"]["attempts"]) == (then.reason, 1)
    refused = Pipeline("p").step("a", "Go", max_retries=0)
    replay = await replayed(await recorded(refused, ScriptedModel([{"not_achieved_because": "It is late."}])), refused)
    replay.assert_unchanged()
    assert replay.steps[0].after.code == "agent.goal_not_achieved"


async def test_failing_functions_are_tried_again_without_waiting() -> None:
    """Whoever waits for a replay is a person."""
    make: Callable[[], Pipeline] = lambda: Pipeline("p").step("a", run=raising(OSError("down"), times=3))  # noqa: E731
    recording = await recorded(make())
    opened = services()
    replay = await replay_run(recording, opened, pipeline=make())
    replay.assert_unchanged()
    assert (replay.result.step_metadata["a"]["attempts"], opened.clock.now()) == (4, 0.0)


async def test_a_changed_plan_of_steps_is_seen() -> None:
    """Steps that are gone, and a run that ends otherwise."""
    recording = await recorded(chain("a", "b"))
    replay = await replayed(recording, Pipeline("chain").step("a", run=raising(TypeError("no"))))
    assert [line for line in replay.lines() if not line.startswith("    ")] == [
        "! a: completed -> failed, another output",
        "! b: completed -> absent, another output",
        "The run: completed -> failed",
    ]


async def test_inputs_and_settings_are_those_of_the_recording() -> None:
    """And the tools that every agent of a run had are named again, as a run does not keep code."""
    world = World()
    pipeline = Pipeline("p").step("a", "Read {page}", tools_filter=["read"])
    config = TAgentConfig(tools=(world.read,))
    model = ScriptedModel([[task("read", page=1)], "Done."])
    with_tools = Pipeline(pipeline, config=config)
    recording = await recorded(with_tools, model, page=1)
    world.calls.clear()
    (await replayed(recording, pipeline, config=config)).assert_unchanged()
    assert world.calls == []


async def test_a_run_without_a_file_needs_a_pipeline_but_for_a_mere_goal() -> None:
    """`tagent run GOAL` has no code at all."""
    recording = await recorded(chain("a"))
    with pytest.raises(NoPipelineError, match="--against"):
        await replay_run(recording, services())
    goal = await recorded(Pipeline("goal").step("goal", "Say it"), ScriptedModel(["It."]))
    (await replay_run(goal, services())).assert_unchanged()


async def test_no_other_model_can_be_had() -> None:
    """By construction: whatever a pipeline names, only recorded answers are handed out."""
    with pytest.raises(NotRecordedError):
        await OnlyRecorded().model_for(TAgentConfig(model="openai:gpt-4.1"))

    def ask(request: ModelRequest) -> object:
        pytest.fail("The step's own model was asked.")

    def pipeline(model: ScriptedModel) -> Pipeline:
        return Pipeline("p", config={"model": "openai:gpt-4.1"}).step("a", "Go", model=model)

    recording = await recorded(pipeline(ScriptedModel(["fine"])))
    (await replayed(recording, pipeline(ScriptedModel(ask)))).assert_unchanged()


async def test_a_store_of_our_own_is_read_as_it_is() -> None:
    """Without the checks that a file needs, and with what a file leaves out."""
    store = MemoryStore()
    await run(chain("a"), store=store)
    recording = await load_recording(store, "run-1")
    (await replayed(recording, chain("a"))).assert_unchanged()
    assert ExecutionMode(recording.counts.spec["steps"][0]["execution_mode"]) is ExecutionMode.SERIAL
