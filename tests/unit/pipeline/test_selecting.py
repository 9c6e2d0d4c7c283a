"""Only a part of a pipeline: which steps run, and from where the others have their outputs."""

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

import pytest
from pydantic import BaseModel

from builders import CONCURRENT, Recorder, returning, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.pipeline import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Fallback,
    InputError,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    RunStatus,
    SelectionError,
    StepContext,
)
from tagent.pipeline.events import BY_HAND, RunStarted, StepGiven, StepSkipped, StepStarted
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.routing import switch, when
from tagent.pipeline.selecting import Selection
from tagent.pipeline.state import fold
from tagent.ports import LanguageModel, Services
from tagent.ports.store_errors import UnknownRunError
from tagent.testing import ScriptedModel


class Calls:
    """Counts which steps were called."""

    def __init__(self) -> None:
        self.of: Counter[str] = Counter()

    def giving(self, name: str, output: object) -> Callable[[], object]:
        """Return an async function that counts itself and gives `output`."""

        async def function() -> object:
            self.of[name] += 1
            return output

        return function


def report(calls: Calls) -> Pipeline:
    """Return facts -> text -> end, each of which needs the output of the one before."""

    async def text(facts: int) -> str:
        calls.of["text"] += 1
        return f"{facts} hills"

    async def end(text: str) -> str:
        calls.of["end"] += 1
        return f"{text}!"

    return Pipeline("report").step("facts", run=calls.giving("facts", 7)).step("text", run=text).step("end", run=end)


async def run(
    pipeline: Pipeline,
    *,
    opened: Services | None = None,
    inputs: dict[str, object] | None = None,
    only: str | list[str] | None = None,
    start_from: str | list[str] | None = None,
    outputs: dict[str, object] | None = None,
    from_run: str | None = None,
) -> PipelineResult:
    """Run a part of the pipeline."""
    selection = Selection.of(only, start_from, outputs, from_run)
    return await PipelineExecutor(pipeline, inputs=inputs, selection=selection, services=opened or services()).execute()


def statuses(result: PipelineResult) -> dict[str, str]:
    """Return where each step stands, and why if it is skipped."""
    return {name: it["code"] or str(it["status"]) for name, it in result.step_metadata.items()}


async def test_only_the_named_steps_run() -> None:
    """Whoever names two steps pays for two."""
    calls = Calls()
    result = await run(report(calls), only=["facts", "text"])
    assert result.status is RunStatus.COMPLETED
    assert statuses(result) == {"facts": "completed", "text": "completed", "end": "not_selected"}
    assert calls.of == {"facts": 1, "text": 1}
    assert result.final_output == "7 hills"


async def test_a_single_step_may_be_named_as_text() -> None:
    """A text is one name, not its letters."""
    calls = Calls()
    result = await run(report(calls), only="facts")
    assert (calls.of, result.final_output) == ({"facts": 1}, 7)


async def test_a_run_starts_from_a_step_with_an_output_given_by_hand() -> None:
    """All that depends on it follows; what is before it is given, costs nothing and is never called."""
    calls = Calls()
    result = await run(report(calls), start_from="text", outputs={"facts": 3})
    assert result.final_output == "3 hills!"
    assert calls.of == {"text": 1, "end": 1}
    told = result.step_metadata["facts"]
    assert (told["given_by"], told["attempts"], result.cost_per_step["facts"]) == (BY_HAND, 0, 0.0)
    assert "given_by" not in result.step_metadata["text"]


async def test_the_first_commit_says_what_does_not_run() -> None:
    """From then on it is settled: nothing of it depends on who drives the run."""
    store = MemoryStore()
    opened = services(store=store)
    result = await run(report(Calls()), opened=opened, only="text", outputs={"facts": 3})
    events = await load_events(store, result.run_id)
    assert [type(event) for event in events[:4]] == [RunStarted, StepGiven, StepSkipped, StepStarted]


async def test_outputs_come_from_an_earlier_run() -> None:
    """With its inputs, as far as no others are given."""
    calls = Calls()

    async def text(facts: int, topic: str) -> str:
        calls.of["text"] += 1
        return f"{facts} {topic}"

    pipeline = Pipeline("report").step("facts", run=calls.giving("facts", 7)).step("text", run=text)
    opened = services(store=MemoryStore())
    first = await run(pipeline, opened=opened, inputs={"topic": "hills"})
    again = await run(pipeline, opened=opened, start_from="text", from_run=first.run_id)
    other = await run(pipeline, opened=opened, start_from="text", from_run=first.run_id, inputs={"topic": "bays"})
    assert (first.final_output, again.final_output, other.final_output) == ("7 hills", "7 hills", "7 bays")
    assert calls.of == {"facts": 1, "text": 3}
    assert again.step_metadata["facts"]["given_by"] == first.run_id


async def test_what_is_given_by_hand_counts_more_than_an_earlier_run() -> None:
    """And what rests on it runs again, even where no step is named."""
    calls = Calls()
    opened = services(store=MemoryStore())
    first = await run(report(calls), opened=opened)
    again = await run(report(calls), opened=opened, from_run=first.run_id, outputs={"facts": 9})
    assert again.final_output == "9 hills!"
    assert calls.of == {"facts": 1, "text": 2, "end": 2}


async def test_an_unfinished_run_is_used_as_far_as_it_came() -> None:
    """A run that failed at its end has paid for its beginning."""
    calls = Calls()
    broken = report(calls)
    broken.steps[2].run = lambda text: 1 / 0
    broken.steps[2].max_retries = 0
    opened = services(store=MemoryStore())
    first = await run(broken, opened=opened)
    assert first.status is RunStatus.FAILED
    again = await run(report(calls), opened=opened, from_run=first.run_id)
    assert (again.final_output, calls.of) == ("7 hills!", {"facts": 1, "text": 1, "end": 1})
    assert again.step_metadata["text"]["given_by"] == first.run_id


async def test_everything_that_is_missing_is_told_before_anything_is_written() -> None:
    """One answer, not one at a time; and no run in the list that never was one."""
    calls = Calls()
    store = MemoryStore()
    opened = services(store=store)
    pipeline = report(calls).step("other", run=calls.giving("other", 1))
    with pytest.raises(SelectionError) as raised:
        await run(pipeline, opened=opened, only=["text", "end"], outputs={"other": object()})
    assert raised.value.problems == (
        "'text' needs the output of 'facts', which is not to run.",
        "The output of the step 'other' (object) cannot be written as JSON.",
    )
    with pytest.raises(SelectionError) as raised:
        await run(pipeline, opened=opened, only=["text", "ende"], outputs={"text": "x", "fact": 1})
    assert raised.value.problems == (
        "'text' is to run, and has an output given by hand.",
        "It has no step 'ende'. Did you mean 'end'?",
        "It has no step 'fact'. Did you mean 'facts'?",
    )
    assert not calls.of
    with pytest.raises(UnknownRunError):
        await store.run("run-1")


async def test_an_output_that_did_not_complete_in_the_earlier_run_is_told_as_such() -> None:
    """So that nobody looks for it there."""
    opened = services(store=MemoryStore())
    broken = report(Calls())
    broken.steps[0].run = lambda: 1 / 0
    broken.steps[0].max_retries = 0
    first = await run(broken, opened=opened)
    with pytest.raises(SelectionError) as raised:
        await run(report(Calls()), opened=opened, only="text", from_run=first.run_id)
    told = f"'text' needs the output of 'facts', which is not to run, and did not complete in run {first.run_id}"
    assert raised.value.problems == (f"{told}: it is failed.",)


async def test_an_earlier_run_is_of_the_same_pipeline() -> None:
    """Steps of the same name in another one are other steps."""
    opened = services(store=MemoryStore())
    first = await run(Pipeline("other").step("facts", run=returning(1)), opened=opened)
    with pytest.raises(SelectionError, match="one of another pipeline, 'other'"):
        await run(report(Calls()), opened=opened, start_from="text", from_run=first.run_id)
    with pytest.raises(UnknownRunError):
        await run(report(Calls()), opened=opened, start_from="text", from_run="nowhere")


class Facts(BaseModel):
    """What is known."""

    hills: int


async def test_the_earlier_run_may_be_of_another_definition() -> None:
    """Only names and types count: steps may have been added, and goals changed."""
    opened = services(store=MemoryStore())
    old = Pipeline("report").step("facts", run=lambda: Facts(hills=7)).step("gone", run=returning(1))
    first = await run(old, opened=opened)

    def text(facts: Facts) -> str:
        return f"{facts.hills} hills"

    new = Pipeline("report").step("facts", run=lambda: Facts(hills=1), output_schema=Facts).step("text", run=text)
    assert (await run(new, opened=opened, start_from="text", from_run=first.run_id)).final_output == "7 hills"


async def test_outputs_are_checked_against_the_types_of_today() -> None:
    """An old output of another form is refused as such, not handed to a step that trips over it."""
    opened = services(store=MemoryStore())
    first = await run(Pipeline("report").step("facts", run=returning({"bays": 2})), opened=opened)

    def text(facts: Facts) -> str:
        return f"{facts.hills} hills"

    new = Pipeline("report").step("facts", run=lambda: Facts(hills=1), output_schema=Facts).step("text", run=text)
    with pytest.raises(
        SelectionError, match=rf"Run {first.run_id}: The stored output of the step 'facts' does not fit"
    ):
        await run(new, opened=opened, start_from="text", from_run=first.run_id)
    with pytest.raises(SelectionError, match="'facts' does not fit Facts"):
        await run(new, start_from="text", outputs={"facts": {"bays": 2}})
    assert (await run(new, start_from="text", outputs={"facts": Facts(hills=2)})).final_output == "2 hills"
    assert (await run(new, start_from="text", outputs={"facts": {"hills": 3}})).final_output == "3 hills"


async def test_an_old_output_that_nobody_needs_may_not_fit() -> None:
    """It is left out, and says why."""
    opened = services(store=MemoryStore())
    old = Pipeline("report").step("facts", run=returning({"bays": 2})).step("text", run=returning("x"))
    first = await run(old, opened=opened)
    new = (
        Pipeline("report")
        .step("facts", run=lambda: Facts(hills=1), output_schema=Facts)
        .step("text", run=returning("y"))
    )
    result = await run(new, opened=opened, only="text", from_run=first.run_id)
    assert (result.final_output, statuses(result)["facts"]) == ("y", "not_selected")
    assert "does not fit Facts any more" in result.step_metadata["facts"]["reason"]


async def test_large_outputs_of_an_earlier_run_are_read() -> None:
    """They are beside its journal."""
    large = ["x" * 1000] * 100
    pipeline = (
        Pipeline("report").step("facts", run=returning(large)).step("count", run=lambda facts: sum(map(len, facts)))
    )
    opened = services(store=MemoryStore())
    first = await run(pipeline, opened=opened)
    again = await run(pipeline, opened=opened, start_from="count", from_run=first.run_id)
    assert (again.final_output, again.step_outputs["facts"]) == (100_000, large)


async def test_what_would_be_out_of_date_is_not_taken_over() -> None:
    """`end` was made of the old text; it is not the end of this run."""
    calls = Calls()
    opened = services(store=MemoryStore())
    first = await run(report(calls), opened=opened)
    result = await run(report(calls), opened=opened, only="text", from_run=first.run_id)
    assert statuses(result) == {"facts": "completed", "text": "completed", "end": "not_selected"}
    assert result.final_output == "7 hills"
    between = await run(report(calls), opened=opened, only=["facts", "end"], from_run=first.run_id)
    assert between.step_metadata["text"]["given_by"] == first.run_id  # asked for like this, it is needed


async def test_start_from_and_only_together_must_agree() -> None:
    """`only` says how far it goes; a step that does not come behind the start is a slip."""
    calls = Calls()
    result = await run(report(calls), start_from="text", only=["text"], outputs={"facts": 1})
    assert (result.final_output, calls.of) == ("1 hills", {"text": 1})
    with pytest.raises(SelectionError, match="'facts' does not depend on 'text', from where the run is to start"):
        await run(report(calls), start_from="text", only=["facts"])
    with pytest.raises(SelectionError, match="`only` names no step"):
        await run(report(calls), only=[])


async def test_a_selected_step_obeys_its_condition() -> None:
    """It is asked to run as it would in the whole pipeline."""
    pipeline = Pipeline("p").step("n", run=returning(1)).step("high", run=returning("x"), condition="steps.n > 5")
    assert statuses(await run(pipeline, only="high", outputs={"n": 1})) == {"n": "completed", "high": "condition_false"}
    assert statuses(await run(pipeline, only="high", outputs={"n": 9}))["high"] == "completed"
    with pytest.raises(SelectionError, match="'high' needs the output of 'n'"):
        await run(pipeline, only="high")


async def test_a_condition_that_asks_first_needs_nothing() -> None:
    """`has` is an answer to a step that does not run."""
    pipeline = Pipeline("p").step("n", run=returning(1))
    pipeline.step("low", run=returning("x"), condition="!has(steps.n) || steps.n < 5")
    assert statuses(await run(pipeline, only="low")) == {"n": "not_selected", "low": "completed"}


async def test_a_step_that_only_comes_later_needs_nothing() -> None:
    """An order is no data: without the step before, it is met."""
    pipeline = Pipeline("p").step("test", run=returning(1)).step("deploy", run=returning("done"), depends_on=["test"])
    pipeline.step("tell", run=returning("told"), depends_on=[Dependency("test", on_skip="skip")])
    pipeline.step("note", run=lambda test=None: test, depends_on=[Dependency("test", DependencyType.SOFT)])
    result = await run(pipeline, only=["deploy", "tell", "note"])
    assert statuses(result) == {"test": "not_selected", "deploy": "completed", "tell": "completed", "note": "completed"}


@pytest.mark.parametrize(
    "dependency", [Dependency("a", DependencyType.DATA), Dependency("a", DependencyType.VALIDATION), "a"]
)
async def test_data_validation_and_parameters_need_outputs(dependency: str | Dependency) -> None:
    """However the dependency is declared, a parameter without a default wants a value."""
    pipeline = (
        Pipeline("p").step("a", run=returning({"valid": True})).step("b", run=lambda a: a, depends_on=[dependency])
    )
    with pytest.raises(SelectionError, match="'b' needs the output of 'a'"):
        await run(pipeline, only="b")
    assert (await run(pipeline, only="b", outputs={"a": {"valid": True}})).final_output == {"valid": True}


async def test_goals_merges_and_lists_need_outputs() -> None:
    """A placeholder, `read_data`, the list of `for_each`, and what a merge is made of."""
    merge = ExecutionMode.PARALLEL_MERGE
    pipeline = Pipeline("p").step("a", run=returning([1])).step("goal", "Use {a}", depends_on=["a"])
    pipeline.step("read", "Use it", read_data=["a"]).step("each", run=lambda item: item, for_each="a")
    pipeline.step("merge", execution_mode=merge, depends_on=["a"])
    with pytest.raises(SelectionError) as raised:
        await run(pipeline, only=["goal", "read", "each", "merge"])
    assert raised.value.problems == ("'goal' needs the output of 'a', which is not to run.",)
    for name in ("read", "each", "merge"):
        with pytest.raises(SelectionError, match=f"'{name}' needs the output of 'a'"):
            await run(pipeline, only=name)
    assert (await run(pipeline, only=["each", "merge"], outputs={"a": [2]})).final_output == {"a": [2]}


async def test_an_agent_that_is_told_less_than_usual_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    """It may write a report about nothing, at a price."""
    pipeline = Pipeline("p").step("facts", run=returning(7)).step("text", "Write it", depends_on=["facts"])
    with caplog.at_level(logging.WARNING, logger="tagent"):
        await run(pipeline, opened=services(model=ScriptedModel(["Text."])), only="text")
    assert "The agent of 'text' is told nothing of 'facts'" in caplog.text


@pytest.mark.parametrize(("start_from", "warnings"), [("text", 1), ("add", 0)])
async def test_changes_of_an_earlier_run_that_this_one_lacks_are_warned_of(
    caplog: pytest.LogCaptureFixture, start_from: str, warnings: int
) -> None:
    """They look as if they had never been; whoever adds them again warns of nothing."""

    def add(context: StepContext) -> str:
        context.plan.step("extra", run=one, depends_on=["add"])
        return "added"

    pipeline = Pipeline("p").step("add", run=add).step("text", run=lambda add: f"{add}!")
    opened = services()
    earlier = await PipelineExecutor(pipeline, services=opened).execute()
    assert earlier.step_outputs["extra"] == 1
    with caplog.at_level(logging.WARNING, logger="tagent"):
        again = await run(pipeline, opened=opened, start_from=start_from, from_run=earlier.run_id)
    assert again.step_outputs["text"] == "added!"
    told = "so what it changed there does not hold in this run: adds extra."
    assert [told in message for message in caplog.messages] == [True] * warnings


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ("extra", "'add' added it in run {}, and does so again when it runs: start from there."),
        ("inner/one", "What is inside 'inner' cannot be named: it runs as a whole."),
        ("inner[0]", "What is inside 'inner' cannot be named: it runs as a whole."),
        ("iner", "Did you mean 'inner'?"),
    ],
)
async def test_a_name_that_is_none_of_a_step_here_is_explained(named: str, told: str) -> None:
    """The view of the earlier run shows it as one."""

    def add(context: StepContext) -> str:
        context.plan.step("extra", run=one, depends_on=["add"])
        return "added"

    pipeline = Pipeline("p").step("add", run=add).step("inner", pipeline=Pipeline("i").step("one", run=one))
    opened = services()
    earlier = await PipelineExecutor(pipeline, services=opened).execute()
    with pytest.raises(SelectionError) as caught:
        await run(pipeline, opened=opened, start_from=named, from_run=earlier.run_id)
    assert caught.value.problems == (f"It has no step {named!r}. {told.format(earlier.run_id)}",)


@pytest.mark.parametrize(("start_from", "only", "warnings"), [(None, None, 1), ("cases", None, 0), (None, "n", 0)])
async def test_items_that_are_done_and_run_again_are_warned_of(
    caplog: pytest.LogCaptureFixture, start_from: str | None, only: str | None, warnings: int
) -> None:
    """They are paid for once more; whoever names the step has asked for that."""

    def grade(item: int) -> int:
        if item == 2:
            raise TypeError("no")
        return item

    pipeline = Pipeline("p").step("n", run=returning([1, 2, 3]))
    pipeline.step("cases", run=grade, for_each="n", max_retries=0)
    opened = services()
    earlier = await PipelineExecutor(pipeline, services=opened).execute()
    with caplog.at_level(logging.WARNING, logger="tagent"):
        await run(pipeline, opened=opened, from_run=earlier.run_id, start_from=start_from, only=only)
    told = f"'cases': 2 of 3 parts completed in run {earlier.run_id}, and run again here"
    assert [told in message for message in caplog.messages] == [True] * warnings


async def test_inputs_that_only_others_ask_for_need_not_be_given() -> None:
    """Neither when it begins nor when it is taken up again."""
    is_broken = True

    async def text(lang: str) -> str:
        if is_broken:
            raise TypeError(lang)
        return lang

    pipeline = Pipeline("p").step("facts", run=lambda city: city).step("text", run=text, max_retries=0)
    pipeline.step("late", run=returning(1), enabled="inputs.late == true")
    opened = services(store=MemoryStore())
    first = await run(pipeline, opened=opened, only="text", inputs={"lang": "pt"})
    assert first.status is RunStatus.FAILED
    is_broken = False
    again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert (again.final_output, statuses(again)["facts"]) == ("pt", "not_selected")
    with pytest.raises(InputError, match="'lang' is missing"):
        await run(pipeline, opened=opened, only="text")


class NoModels:
    """Has no model to hand out."""

    async def model_for(self, config: TAgentConfig) -> LanguageModel:
        """Refuse.

        Raises:
            ConfigurationError: Always.
        """
        raise ConfigurationError(f"There is no model {config.model!r}.")


async def test_models_of_other_steps_need_not_be_there() -> None:
    """Whoever runs one function needs no key for the agent of another step."""
    pipeline = Pipeline("p").step("text", "Write it").step("count", run=len_of_text).step("other", "Write more")
    opened = replace(services(), models=NoModels())
    assert (await run(pipeline, opened=opened, only="count", outputs={"text": "four"})).final_output == 4
    with pytest.raises(ConfigurationError):
        await run(pipeline, opened=opened, start_from=["count", "other"], outputs={"text": "four"})


def len_of_text(text: str) -> int:
    """Return how long a text is."""
    return len(text)


async def test_what_takes_the_place_of_a_step_runs_with_it() -> None:
    """It is how that step does its work when it fails; where something is missing for that, the step just fails."""

    async def fail() -> object:
        raise TypeError("no")

    def plan_b(notes: str) -> str:
        return f"B {notes}"

    pipeline = Pipeline("p").step("notes", run=returning("n")).step("plan_b", run=plan_b)
    pipeline.step("a", run=fail, max_retries=0, on_error="plan_b").step("end", run=lambda a: a)
    result = await run(pipeline, only="a", outputs={"notes": "given"})
    assert (result.final_output, result.step_metadata["a"]["substituted_by"]) == ("B given", "plan_b")
    result = await run(pipeline, only="a")
    assert (result.status, statuses(result)["plan_b"]) == (RunStatus.FAILED, "not_selected")
    result = await run(pipeline, only="plan_b", outputs={"notes": "given"})  # alone it just runs
    assert (result.status, result.final_output) == (RunStatus.COMPLETED, "B given")
    result = await run(pipeline, only="a", outputs={"plan_b": "by hand"})
    assert (result.final_output, result.step_metadata["plan_b"]["given_by"]) == ("by hand", BY_HAND)


async def test_a_fallback_that_lacks_something_does_not_keep_the_run_from_starting() -> None:
    """It is needed only if something fails."""
    pipeline = Pipeline("p").step("notes", run=returning("n")).step("plan_b", run=lambda notes: notes)
    pipeline.step("a", run=returning("A"), on_error="plan_b").step("end", run=lambda a: a)
    result = await run(pipeline, start_from="a")
    assert (result.final_output, statuses(result)["plan_b"]) == ("A", "not_selected")
    with pytest.raises(SelectionError, match="'plan_b' needs the output of 'notes'"):
        await run(pipeline, start_from=["a", "plan_b"])


@pytest.mark.parametrize(
    "asked", [{"only": 5}, {"start_from": [Pipeline("p")]}, {"outputs": ["a"]}, {"from_run": 5}], ids=str
)
async def test_arguments_of_another_kind_are_told(asked: dict[str, object]) -> None:
    """As such, before anything else."""
    with pytest.raises(ConfigurationError):
        await run(report(Calls()), **asked)  # type: ignore[arg-type]  # that is the point


async def test_a_default_takes_the_place_as_always() -> None:
    """Nothing else is needed for it."""
    pipeline = Pipeline("p").step("a", run=lambda: 1 / 0, max_retries=0, on_error=Fallback(output=5))
    assert (await run(pipeline.step("b", run=returning(1)), only="a")).final_output == 5


def routed() -> Pipeline:
    """Return a pipeline that goes one of two ways."""
    pipeline = Pipeline("p").step("kind", run=returning("refund"))
    pipeline.add_step(switch("kind", {"refund": "pay", "bug": ["fix", "test"]}, name="way"))
    pipeline.step("pay", run=returning("paid")).step("fix", run=returning("fixed"))
    pipeline.step("test", run=returning("tested"), depends_on=["fix"])
    return pipeline.step("end", run=returning("end"), depends_on=["pay", "test"])


async def test_a_branch_whose_router_does_not_run_is_taken() -> None:
    """Whoever names its steps has chosen it."""
    result = await run(routed(), start_from="fix")
    assert statuses(result) == {
        "kind": "not_selected", "way": "not_selected", "pay": "not_selected",
        "fix": "completed", "test": "completed", "end": "completed",
    }  # fmt: skip


async def test_a_given_router_decides_as_if_it_had_run() -> None:
    """The way that its output names is taken, and no other."""
    result = await run(routed(), start_from=["pay", "fix"], outputs={"way": "bug"})
    assert statuses(result)["pay"] == "branch_not_taken"
    assert statuses(result)["test"] == "completed"
    with pytest.raises(SelectionError, match="The output given for 'way' names none of its routes: 'refund', 'bug'"):
        await run(routed(), start_from="fix", outputs={"way": "nowhere"})


async def test_a_condition_given_by_hand_takes_its_route() -> None:
    """`then` or `otherwise`."""
    pipeline = Pipeline("p").step("n", run=returning(1))
    pipeline.add_step(when("steps.n > 5", name="is_high").then("high").otherwise("low"))
    pipeline.step("high", run=returning("H")).step("low", run=returning("L"))
    assert statuses(await run(pipeline, outputs={"is_high": "then"}))["low"] == "branch_not_taken"


class Kind(StrEnum):
    """Ways."""

    A = "a"
    B = "b"


async def test_an_enum_given_by_hand_names_its_route() -> None:
    """It is looked at as JSON, like what the step gives itself."""
    pipeline = Pipeline("p").step("kind", run=lambda: Kind.A, output_schema=Kind, routes={"a": "x", "b": "y"})
    pipeline.step("x", run=returning("X")).step("y", run=returning("Y"))
    result = await run(pipeline, outputs={"kind": Kind.B})
    assert (result.final_output, statuses(result)["x"]) == ("Y", "branch_not_taken")


def one() -> int:
    """Return 1."""
    return 1


def grow(context: StepContext) -> int:
    """Change other steps, some of which may not be in the run."""
    context.plan.enable("c").depend("d", on="b").step("more", run=one, depends_on=["b"])
    return 1


async def test_a_step_may_change_others_that_are_not_in_the_run() -> None:
    """It need not know in which part it runs; they stay out."""
    pipeline = Pipeline("p").step("grow", run=grow, max_retries=0).step("b", run=one)
    pipeline.step("c", run=one, enabled=False, depends_on=["grow"]).step("d", run=one, depends_on=["grow"])
    assert statuses(await run(pipeline, only=["grow", "d"])) == {
        "grow": "completed",
        "b": "not_selected",
        "c": "not_selected",
        "d": "completed",
        "more": "completed",
    }
    given = await run(pipeline, outputs={"c": 5})
    assert (given.step_outputs["c"], given.step_metadata["c"]["given_by"]) == (5, BY_HAND)


async def test_what_is_given_is_never_undone() -> None:
    """Its effects are of another run."""
    undone: list[str] = []
    pipeline = Pipeline("p", on_failure="rollback").step("a", run=returning(1), compensate=lambda: undone.append("a"))
    pipeline.step("b", run=returning(2), compensate=lambda: undone.append("b"))
    pipeline.step("end", run=lambda a, b: 1 / 0, max_retries=0)
    opened = services(store=MemoryStore())
    result = await run(pipeline, opened=opened, outputs={"a": 1})
    assert (result.status, undone) == (RunStatus.FAILED, ["b"])


async def test_a_run_that_was_rolled_back_keeps_its_part() -> None:
    """What was never to run does not run when it is taken up again."""
    calls = Calls()
    is_broken = True

    def end(b: int) -> int:
        if is_broken:
            raise TypeError("no")
        return b

    pipeline = Pipeline("p", on_failure="rollback").step("other", run=calls.giving("other", 1))
    pipeline.step("a", run=calls.giving("a", 1)).step("b", run=lambda a: a, compensate=lambda: None)
    pipeline.step("end", run=end, max_retries=0)
    opened = services(store=MemoryStore())
    first = await run(pipeline, opened=opened, only=["b", "end"], outputs={"a": 5})
    is_broken = False
    again = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert (again.final_output, statuses(again)["other"], calls.of) == (5, "not_selected", {})


@pytest.mark.parametrize("is_written", [True, False])
async def test_a_resume_after_a_crash_keeps_the_part(*, is_written: bool) -> None:
    """At whichever commit it strikes: what was given stays given, and what was not to run does not."""
    for at in range(1, 12):
        calls = Calls()
        pipeline = report(calls).step("other", run=calls.giving("other", 1), execution_mode=CONCURRENT)
        pipeline.step("last", run=lambda end: end + "!", execution_mode=CONCURRENT)
        store = CrashingStore().arm(at, is_written=is_written)
        opened = services(store=store)
        part = {"only": ["text", "last"], "outputs": {"facts": 3, "end": "E"}}
        try:
            result = await run(pipeline, opened=opened, **part)  # type: ignore[arg-type]  # by name
        except Crash:
            after = everybody_is_gone(opened)
            if at == 1 and not is_written:
                with pytest.raises(UnknownRunError):
                    await store.run("run-1")
                continue
            result = await resume_run("run-1", after, TAgentConfig(), pipeline=pipeline)
        assert statuses(result) == {
            "facts": "completed", "text": "completed", "end": "completed", "other": "not_selected", "last": "completed",
        }  # fmt: skip
        assert (result.final_output, result.step_metadata["end"]["given_by"]) == ("E!", BY_HAND)
        assert calls.of["facts"] == calls.of["end"] == calls.of["other"] == 0


async def test_the_journal_folds_to_the_state_of_the_run() -> None:
    """Whoever looks at the run sees what it had."""
    store = MemoryStore()
    executor = PipelineExecutor(
        report(Calls()), selection=Selection.of("text", None, {"facts": 3}), services=services(store=store)
    )
    result = await executor.execute()
    state = fold(executor.scheduler.graph, await load_events(store, result.run_id))
    assert state.statuses == executor.scheduler.step_status
    assert (state.steps["facts"].given_by, state.steps["facts"].output) == (BY_HAND, 3)


async def test_the_sinks_are_shown_what_is_given() -> None:
    """The live view and whoever reads the stream."""
    recorder = Recorder()
    await run(report(Calls()), opened=services(sinks=(recorder,)), only="text", outputs={"facts": 3})
    assert recorder.kinds("facts") == ["StepGiven"]
    assert recorder.kinds("end") == ["StepSkipped"]


async def test_a_step_that_waits_and_does_not_run_listens_to_nothing() -> None:
    """Else its messages would pile up for nobody."""
    pipeline = Pipeline("p").step("paid", wait_for="payments").step("end", run=returning(1))
    store = MemoryStore()
    result = await run(pipeline, opened=services(store=store), only="end")
    assert result.final_output == 1
    assert statuses(result)["paid"] == "not_selected"


async def test_a_failure_among_the_steps_that_run_counts() -> None:
    """What is given did not complete here, so that this run is no partial success by it."""
    pipeline = Pipeline("p", default_mode=CONCURRENT).step("a", run=lambda: 1 / 0, max_retries=0)
    pipeline.step("b", run=returning(1)).step("c", run=returning(2)).step("end", run=returning(3), depends_on=["c"])
    assert (await run(pipeline, only="a", outputs={"b": 1})).status is RunStatus.FAILED
    assert (await run(pipeline, only=["a", "c"])).status is RunStatus.PARTIAL


async def test_the_final_step_of_the_pipeline_counts_if_it_is_in_the_run() -> None:
    """Else it is the last of those that run, on which none of them depends."""
    pipeline = (
        Pipeline("p", final="b")
        .step("a", run=returning("A"))
        .step("b", run=returning("B"))
        .step("c", run=returning("C"))
    )
    assert (await run(pipeline, only=["a", "b", "c"])).final_output == "B"
    assert (await run(pipeline, only=["a", "c"])).final_output == "C"
    assert (await run(pipeline, only=["a"], outputs={"b": "given"})).final_output == "given"
