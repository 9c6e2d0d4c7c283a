"""Rounds: a step that is done again until something holds, each round a piece of work of its own."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from pydantic import BaseModel

from builders import Ran, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent import resume, run_pipeline
from tagent.adapters.storage.memory import MemoryStore
from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.pipeline import (
    ExecutionMode,
    Fallback,
    Pipeline,
    PipelineError,
    PipelineExecutor,
    PipelineStep,
    RetryPolicy,
    RunStatus,
    StepContext,
    field,
    repeat,
)
from tagent.pipeline.events import ROUNDS, PartCompleted, PartStarted, StepCompleted, StepExpanded
from tagent.pipeline.resuming import resume_run
from tagent.ports import ModelRequest
from tagent.testing import ManualClock, ScriptedModel


class Score(BaseModel):
    """How good something is."""

    points: int


class Draft(BaseModel):
    """What is made better round by round."""

    text: str
    score: int


async def count(round: int) -> int:  # noqa: A002 - what rounds are called
    """Give the number of the round."""
    return round


def repeated(work: Callable[..., object] = count, **options: object) -> Pipeline:
    """Return a pipeline with one step that does `work` again."""
    given = {"max_times": 5, **options}
    return Pipeline("p").add_step(repeat(PipelineStep(name="again", run=work), **given))  # type: ignore[arg-type]  # options


def rounds_of(ran: Ran) -> list[str]:
    """Return which rounds were done."""
    return [event.part for event in ran.events if isinstance(event, PartCompleted)]


async def test_a_step_is_done_again_until_something_holds_of_its_output() -> None:
    """The last round is the one that reached it; its output is that of the step."""
    ran = await run(repeated(until="output >= 3"))
    assert ran.result.final_output == 3
    assert ran.result.success
    assert rounds_of(ran) == ["1", "2", "3"]


async def test_each_round_is_an_item_of_its_own_in_the_journal() -> None:
    """Whoever looks into a run sees how it got there."""
    ran = await run(repeated(until="output >= 2"))
    told = [
        (type(event).__name__, getattr(event, "part", ""))
        for event in ran.events
        if isinstance(event, StepExpanded | PartStarted | PartCompleted | StepCompleted)
    ]
    one, two = [("PartStarted", "1"), ("PartCompleted", "1")], [("PartStarted", "2"), ("PartCompleted", "2")]
    assert told == [("StepExpanded", ""), *one, *two, ("StepCompleted", "")]
    [expanded] = [event for event in ran.events if isinstance(event, StepExpanded)]
    assert (expanded.of, expanded.count) == (ROUNDS, 5)
    assert [event.is_last for event in ran.events if isinstance(event, PartCompleted)] == [False, True]


async def test_a_round_knows_what_the_one_before_gave_as_its_type() -> None:
    """That is what makes it better than a loop of blind tries."""
    seen: list[object] = []

    async def improve(previous: Draft | None, round: int) -> Draft:  # noqa: A002 - what rounds are called
        seen.append(previous)
        return Draft(text=f"{previous.text if previous else ''}{round}", score=round)

    async def plain(previous, round):  # type: ignore[no-untyped-def]  # noqa: A002 - people do not annotate everything
        seen.append(previous)
        return Draft(text="", score=round)

    ran = await run(repeated(improve, until="output.score >= 3"))
    assert ran.result.final_output == Draft(text="123", score=3)
    assert seen == [None, Draft(text="1", score=1), Draft(text="12", score=2)]
    seen.clear()
    pipeline = Pipeline("p").step("again", run=plain, output_schema=Draft, until="output.score >= 2", max_times=4)
    await run(pipeline)
    assert seen == [None, Draft(text="", score=1)]


async def test_what_ends_it_is_a_text_a_field_or_a_function() -> None:
    """As conditions are elsewhere; a function may compare with the round before."""

    async def is_settled(output: int, previous: int | None, round: int) -> bool:  # noqa: A002 - as above
        return round > 1 and previous == output

    async def halve(previous: int | None) -> int:
        return 20 if previous is None else max(1, previous // 2)

    ran = await run(repeated(halve, until=is_settled, max_times=10))
    assert (ran.result.final_output, len(rounds_of(ran))) == (1, 6)
    pipeline = Pipeline("p").step("goal", run=returning({"least": 3}))
    for until in ("output >= steps.goal.least", "output >= inputs.least", field("goal.least") == 3):
        pipeline = Pipeline("p").step("goal", run=returning({"least": 3}))
        pipeline.step("again", run=count, until=until, max_times=5)
        ran = await run(pipeline, inputs={"least": 3})
        assert ran.result.final_output == (1 if not isinstance(until, str) else 3)


async def test_without_an_end_it_is_done_so_many_times() -> None:
    """Three rounds of review are three rounds of review."""
    ran = await run(repeated(max_times=3))
    assert (ran.result.final_output, ran.result.success, rounds_of(ran)) == (3, True, ["1", "2", "3"])


async def test_an_end_that_is_not_reached_fails_the_step_unless_the_last_output_is_kept() -> None:
    """A text that nobody found good must not be sent as if it were."""
    ran = await run(repeated(until="output > 9", max_times=2).step("send", run=returning("sent"), depends_on=["again"]))
    told = ran.result.step_metadata["again"]
    assert (ran.result.status, told["code"]) == (RunStatus.FAILED, "step.not_reached")
    assert "2 rounds, and `output > 9` does not hold" in told["reason"]
    assert ran.result.step_metadata["send"]["code"] == "upstream_failed"
    assert told["attempts"] == 1
    kept = await run(repeated(until="output > 9", max_times=2, if_not_reached="keep"))
    assert (kept.result.final_output, kept.result.success) == (2, True)


async def test_a_step_that_did_not_get_there_may_fall_back() -> None:
    """Ten bad drafts are a failure like any other."""
    step = repeat(PipelineStep(name="again", run=count, on_error=Fallback(output=99)), until="output > 9", max_times=2)
    ran = await run(Pipeline("p").add_step(step))
    assert (ran.result.final_output, ran.result.success) == (99, True)


async def test_a_round_that_fails_is_tried_again_and_the_others_are_not() -> None:
    """Attempts are those of the round."""
    calls: list[int] = []

    async def shaky(round: int) -> int:  # noqa: A002 - as above
        calls.append(round)
        if calls == [1, 2]:
            raise ValueError("once")
        return round

    step = PipelineStep(name="again", run=shaky, retry=RetryPolicy(only=[ValueError]))
    ran = await run(Pipeline("p").add_step(repeat(step, until="output == 3")))
    assert (ran.result.final_output, calls) == (3, [1, 2, 2, 3])
    assert ran.result.step_metadata["again"]["parts"]["2"]["attempts"] == 2


async def test_a_round_that_fails_for_good_ends_the_step() -> None:
    """What comes after it would have nothing to go on from."""

    async def broken(round: int) -> int:  # noqa: A002 - as above
        if round == 2:
            raise ValueError("no")
        return round

    ran = await run(repeated(broken, until="output > 4"))
    assert ran.result.step_metadata["again"]["code"] == "step.parts"
    assert [event.part for event in ran.events if isinstance(event, PartStarted)].count("3") == 0
    assert ran.result.status is RunStatus.FAILED


async def test_an_end_that_cannot_be_judged_fails_the_round() -> None:
    """To go on, or to stop, would be a guess."""

    async def vague(output: object) -> object:
        return output

    async def anything(round: int) -> object:  # noqa: A002 - as above
        return {"n": round}

    for until, code in (("output.size > 1", "pipeline.condition"), (vague, "step.output")):
        ran = await run(repeated(anything, until=until))
        assert ran.result.step_metadata["again"]["parts"]["1"]["code"] == code
        assert ran.result.status is RunStatus.FAILED


async def test_an_agent_is_told_what_it_gave_before() -> None:
    """In the first round it is told that there is nothing yet, not a dangling placeholder."""
    model = ScriptedModel(lambda request: {"text": "ok", "score": len(model.requests)})
    goal = "Improve {previous.text}, this is round {round}"
    pipeline = Pipeline("p").step("again", goal, output_schema=Draft, until="output.score >= 2", max_times=3)
    ran = await run(pipeline, model=model)
    assert ran.result.final_output == Draft(text="ok", score=2)
    first, second = (request.messages[-1].content for request in model.requests)
    assert "nothing yet: this is the first round" in first
    assert '<data name="previous.text">ok</data>' in second
    assert '<data name="round">2</data>' in second


async def test_an_agent_is_told_of_the_round_before_even_if_its_goal_does_not_name_it() -> None:
    """A goal that only says what is wanted gets better by itself."""
    model = ScriptedModel(lambda request: {"text": f"draft {len(model.requests)}", "score": len(model.requests)})
    pipeline = Pipeline("p").step("again", "Write a text", output_schema=Draft, until="output.score >= 2", max_times=3)
    await run(pipeline, model=model)
    first, second = (request.messages[-1].content for request in model.requests)
    assert "previous" not in first
    assert "draft 1" in second


async def test_a_timeout_is_that_of_each_round() -> None:
    """Ten rounds of nine seconds each are no timeout of ten seconds."""
    clock = ManualClock()

    async def slow(round: int) -> int:  # noqa: A002 - as above
        await clock.sleep(9 if round < 3 else 11)
        return round

    step = PipelineStep(name="again", run=slow, timeout=10, max_retries=0)
    ran = await run(Pipeline("p").add_step(repeat(step, until="output == 3")), clock=clock)
    parts = ran.result.step_metadata["again"]["parts"]
    assert [part["code"] for part in parts.values()] == ["", "", "step.timeout"]


async def test_a_budget_is_that_of_all_rounds_together() -> None:
    """A loop is where money goes."""
    model = ScriptedModel(lambda request: {"text": "ok", "score": 1})
    step = PipelineStep(
        name="again", goal="Write it", output_schema=Draft, budget=Budget(max_model_calls=2), max_retries=0
    )
    ran = await run(Pipeline("p").add_step(repeat(step, until="output.score > 1", max_times=9)), model=model)
    assert len(model.requests) == 2
    assert ran.result.step_metadata["again"]["parts"]["3"]["code"] == "budget.exceeded"


async def test_a_deadline_is_that_of_all_rounds_together() -> None:
    """It says when the step has to be done, however often it is."""
    clock = ManualClock()

    async def slow(round: int) -> int:  # noqa: A002 - as above
        await clock.sleep(6)
        return round

    step = PipelineStep(name="again", run=slow, budget=Budget(deadline_seconds=10), max_retries=0)
    ran = await run(Pipeline("p").add_step(repeat(step, until="output == 3")), clock=clock)
    parts = ran.result.step_metadata["again"]["parts"]
    assert [part["code"] for part in parts.values()] == ["", "budget.exceeded"]
    assert clock.now() == 10


def test_large_outputs_of_rounds_are_whole_for_the_next_one_also_in_another_process(tmp_path: Path) -> None:
    """They are kept apart from the journal, and read when they are wanted."""
    store, seen = f"sqlite:///{tmp_path}/runs.db", []

    def grow(previous: dict[str, str] | None, round: int) -> dict[str, str]:  # noqa: A002 - as above
        seen.append(len(previous["v"]) if previous else 0)
        return {"v": "x" * 40_000 * round}

    def pipeline(most: int) -> Pipeline:
        growing = Pipeline("p").step("again", run=grow, until="output.v.size() > 150000", max_times=most)
        return growing.step("size", run=lambda again: len(again["v"]))

    first = run_pipeline(pipeline(2), store=store)
    assert first.step_metadata["again"]["code"] == "step.not_reached"
    assert resume(first.run_id, pipeline(9), store=store, definition="current").final_output == 160_000
    assert seen == [0, 40_000, 80_000, 120_000]


async def test_a_condition_decides_before_the_first_round_only() -> None:
    """It says whether the step is done at all."""
    for least, expected in ((1, 3), (9, None)):
        step = PipelineStep(name="again", run=count, condition=f"inputs.n >= {least}")
        ran = await run(Pipeline("p").add_step(repeat(step, until="output == 3")), inputs={"n": 5})
        assert ran.result.final_output == expected
        assert ran.result.success


async def test_what_rounds_did_is_undone_once() -> None:
    """A compensation sees what the step came to."""
    undone: list[int] = []

    async def undo(again: int) -> None:
        undone.append(again)

    async def fail(again: int) -> None:
        raise ValueError("no")

    step = repeat(PipelineStep(name="again", run=count, compensate=undo), until="output == 2")
    pipeline = Pipeline("p", on_failure="rollback").add_step(step).step("bad", run=fail, max_retries=0)
    await run(pipeline)
    assert undone == [2]


async def test_a_repeated_step_keeps_its_turn_among_serial_ones() -> None:
    """Its rounds together are one step."""
    order: list[str] = []

    async def note(round: int) -> int:  # noqa: A002 - as above
        order.append(f"round {round}")
        await asyncio.sleep(0)
        return round

    async def other() -> None:
        order.append("other")

    pipeline = repeated(note, max_times=3).step("other", run=other)
    await run(pipeline)
    assert order == ["round 1", "round 2", "round 3", "other"]


async def test_rounds_have_keys_of_their_own() -> None:
    """A service that takes a key must not mistake the second round for the first."""
    keys: list[tuple[str, str]] = []

    async def keyed(context: StepContext) -> int:
        keys.append((context.part, context.idempotency_key))
        return len(keys)

    ran = await run(repeated(keyed, max_times=2))
    assert keys == [(part, f"{ran.result.run_id}/again/{part}") for part in ("1", "2")]


async def test_what_a_round_saves_and_learns_counts_when_it_is_done() -> None:
    """The next round may read it."""
    seen: list[object] = []

    async def note(context: StepContext, round: int) -> int:  # noqa: A002 - as above
        seen.append(dict(context.shared))
        context.save("last", round)
        context.learn(f"round {round}", round)
        return round

    ran = await run(repeated(note, max_times=2))
    assert seen == [{}, {"last": 1}]
    assert ran.result.learned_facts == {"round 1": 1, "round 2": 2}
    assert ran.result.saved_memories == {"last": 2}


async def test_each_round_may_be_a_run_of_another_pipeline() -> None:
    """What is worth repeating is often more than one step; it knows what a round knows, by names or by paths."""

    def inner() -> Pipeline:
        inside = Pipeline("inner").step("half", run=lambda previous=None: 40 if previous is None else previous // 2)
        return inside.step("less", run=lambda half, round=0: half - round)  # noqa: A006 - what rounds are called

    for inputs in ({"previous": "previous", "round": "round"}, None):
        pipeline = Pipeline("p").step("again", pipeline=inner(), inputs=inputs, until="output < 10", max_times=9)
        ran = await run(pipeline)
        assert ran.result.final_output == 5  # 39, 17, 5
        assert len(rounds_of(ran)) == 3


async def test_a_path_into_the_round_before_gives_nothing_in_the_first_round() -> None:
    """There was none, and that is no mistake; it is one where a round did not give what the path names."""

    def draft(topic: str, before: str | None) -> dict[str, str]:
        return {"text": f"{topic}." if before is None else f"{before}."}

    drafting = Pipeline("drafting").step("draft", run=draft)
    paths = {"topic": "topic", "before": "previous.text"}
    for cache in (None, "run"):
        pipeline = Pipeline("p").step("text", pipeline=drafting, inputs=paths, max_times=3, cache=cache)
        assert (await run(pipeline, inputs={"topic": "tea"})).result.final_output == {"text": "tea..."}
    paths["before"] = "previous.txt"
    ran = await run(Pipeline("p").step("text", pipeline=drafting, inputs=paths, max_times=2), inputs={"topic": "tea"})
    facts = ran.result.step_metadata["text"]["parts"]
    assert [(part, it["code"]) for part, it in facts.items()] == [("1", ""), ("2", "step.input")]


async def test_a_function_of_inputs_knows_the_round_before_as_its_type() -> None:
    """As every other function of the step does."""

    def number(n: int) -> Score:
        return Score(points=n)

    def inputs(round: int, previous: Score | None) -> dict[str, int]:  # noqa: A002 - what rounds are called
        return {"n": round if previous is None else 10 * previous.points}

    def untyped(previous=None):  # type: ignore[no-untyped-def]
        return {"n": 1 if previous is None else 10 * previous.points}

    for function in (inputs, untyped):
        inner = Pipeline("inner").step("number", run=number)
        ran = await run(Pipeline("p").step("again", pipeline=inner, inputs=function, max_times=3))
        assert ran.result.final_output == Score(points=100)


def test_only_a_step_can_be_repeated() -> None:
    """Somebody may write its name, or the function that it is to call."""
    for given in ("draft", count):
        with pytest.raises(PipelineError, match=r"takes a step .* not a (str|function)\. Write repeat\(PipelineStep"):
            repeat(given)  # type: ignore[arg-type]  # on purpose


async def test_rounds_are_kept_for_later_runs_each_by_itself() -> None:
    """An expensive loop that was broken off elsewhere goes on from what is known."""
    opened, calls = services(), []

    async def improve(previous: Draft | None, round: int) -> Draft:  # noqa: A002 - as above
        calls.append(round)
        return Draft(text=f"{previous.text if previous else ''}{round}", score=round)

    for most, expected in ((2, [1, 2]), (4, [1, 2, 3]), (4, [1, 2, 3])):
        pipeline = repeated(improve, until="output.score >= 3", max_times=most, if_not_reached="keep")
        pipeline.steps[0].cache = "forever"
        result = await PipelineExecutor(pipeline, services=opened).execute()
        assert calls == expected
    assert result.final_output == Draft(text="123", score=3)


async def test_a_round_that_only_looks_whether_something_is_there_looks_again_although_it_is_cached() -> None:
    """Else a loop with a cache would never see a change."""
    calls: list[int] = []

    async def look() -> int:
        calls.append(1)
        return len(calls)

    pipeline = repeated(look, until="output == 3")
    pipeline.steps[0].cache = "run"
    assert (await run(pipeline)).result.final_output == 3


async def test_the_last_round_may_name_a_route() -> None:
    """Rewrite until somebody says yes or no, then go that way; a round in between names none."""

    async def review(round: int) -> str:  # noqa: A002 - as above
        return "again" if round < 3 else "good"

    step = PipelineStep(name="again", run=review, routes={"good": "send", "bad": "drop"})
    pipeline = Pipeline("p").add_step(repeat(step, until="output != 'again'"))
    pipeline.step("send", run=returning("sent")).step("drop", run=returning("dropped"))
    ran = await run(pipeline)
    assert ran.result.step_outputs["send"] == "sent"
    assert ran.result.step_metadata["drop"]["code"] == "branch_not_taken"


@pytest.mark.parametrize("is_written", [True, False])
async def test_after_a_crash_at_any_commit_no_finished_round_is_done_again(*, is_written: bool) -> None:
    """Each round may be an hour of work."""
    for at in range(2, 14):
        calls: list[int] = []

        async def note(round: int, calls: list[int] = calls) -> int:  # noqa: A002 - as above
            calls.append(round)
            return round

        pipeline = repeated(note, until="output == 3").step("last", run=lambda again: again * 10)
        store = CrashingStore().arm(at, is_written=is_written)
        opened = everybody_is_gone(services(store=store))
        with suppress(Crash):
            await PipelineExecutor(pipeline, services=opened).execute()
        from tagent.pipeline.journal.loading import load_events

        done = [e.part for e in await load_events(store, "run-1") if isinstance(e, PartCompleted)]
        before = len(calls)
        store.arm(10**9)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
        assert result.final_output == 30
        assert [str(number) for number in calls[before:]] == [n for n in ("1", "2", "3") if n not in done]


async def test_after_a_crash_behind_the_last_round_nothing_but_the_end_is_left() -> None:
    """A round with effects is committed alone, so that the process may end right behind it."""
    for at in range(2, 12):
        calls: list[int] = []

        async def note(context: StepContext, calls: list[int] = calls) -> int:
            context.memory.run.put("n", len(calls))
            calls.append(1)
            return len(calls)

        pipeline = repeated(note, until="output == 3")
        store = CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=store))
        with suppress(Crash):
            await PipelineExecutor(pipeline, services=opened).execute()
        store.arm(10**9)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
        assert (result.final_output, result.success) == (3, True)


def scored(calls: Iterator[int], _request: ModelRequest) -> object:
    """Give every call a better draft."""
    return {"text": "ok", "score": next(calls)}


async def test_an_agent_whose_round_was_cut_off_keeps_its_finished_calls() -> None:
    """A crash in the third round asks the model nothing twice."""

    def pipeline() -> Pipeline:
        return Pipeline("p").step("again", "Write", output_schema=Draft, until="output.score >= 3", max_times=5)

    undisturbed = ScriptedModel(lambda request: {"text": "ok", "score": len(undisturbed.requests)})
    await run(pipeline(), model=undisturbed)
    for at in range(2, 16):
        calls = itertools.count(1)
        model = ScriptedModel(partial(scored, calls))
        store = CrashingStore().arm(at)
        opened = everybody_is_gone(services(store=store, model=model))
        with suppress(Crash):
            await PipelineExecutor(pipeline(), services=opened).execute()
        store.arm(10**9)
        result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline())
        assert result.final_output.score == 3
        assert len(model.requests) == len(undisturbed.requests) == 3


async def test_a_run_that_did_not_get_there_goes_on_with_more_rounds() -> None:
    """Somebody allows more; the rounds that were done stay done."""
    store, calls = MemoryStore(), []

    async def note(round: int) -> int:  # noqa: A002 - as above
        calls.append(round)
        return round

    ran = await run(repeated(note, until="output >= 4", max_times=2), store=store)
    assert ran.result.step_metadata["again"]["code"] == "step.not_reached"
    more = repeated(note, until="output >= 4", max_times=9)
    opened = services(store=store)
    result = await resume_run(ran.result.run_id, opened, TAgentConfig(), pipeline=more, definition="current")
    assert (result.final_output, calls) == (4, [1, 2, 3, 4])


async def test_the_step_that_is_repeated_stays_as_it_was() -> None:
    """It may be used elsewhere too."""
    step = PipelineStep(name="again", run=count)
    again = repeat(step, until="output > 3", max_times=7, if_not_reached="keep")
    assert step.max_times is None
    assert (again.name, again.run, again.max_times, again.if_not_reached) == ("again", count, 7, "keep")
    assert repeat(PipelineStep(name="a", run=count, execution_mode=ExecutionMode.CONCURRENT)).max_times == 5
