"""PARALLEL_MERGE: items and branches, each with its own attempts, and what becomes of what they give."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from builders import Ran, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.config import TAgentConfig
from tagent.pipeline import (
    ExecutionMode,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    RetryPolicy,
    RunStatus,
    StepContext,
    StepStatus,
)
from tagent.pipeline.events import PartCompleted, PartStarted
from tagent.pipeline.resuming import resume_run
from tagent.testing import ManualClock, ScriptedModel

PARALLEL = ExecutionMode.PARALLEL_MERGE


class Order(BaseModel):
    """An item with a type."""

    id: int


class Checked(BaseModel):
    """What is made of it."""

    id: int
    is_good: bool = True


def over(items: object, function: Callable[..., object], **options: object) -> Pipeline:
    """Return a pipeline that runs `function` for each of `items`."""
    pipeline = Pipeline("p").step("orders", run=returning({"open": items}))
    return pipeline.step("each", run=function, for_each="orders.open", execution_mode=PARALLEL, **options)  # type: ignore[arg-type]  # step options


def parts_of(ran: Ran | PipelineResult) -> dict[str, str]:
    """Return where each part ended."""
    result = ran.result if isinstance(ran, Ran) else ran
    return {name: part["status"].value for name, part in result.step_metadata["each"].get("parts", {}).items()}


async def tenfold(item: int, index: int) -> int:
    """Give an item's value and place."""
    return item * 10 + index


async def test_a_function_runs_for_each_item_and_the_outputs_keep_their_order() -> None:
    """Whichever item is done first."""

    async def slow_first(item: int) -> int:
        await clock.sleep(10 - item)
        return item

    clock = ManualClock()
    ran = await run(over([1, 2, 3], slow_first), clock=clock)
    assert ran.result.final_output == [1, 2, 3]
    assert clock.now() == 9
    assert (await run(over([5], tenfold))).result.final_output == [50]


async def test_items_and_branches_make_a_step_parallel_by_themselves() -> None:
    """Nobody should have to say the same thing twice."""
    pipeline = Pipeline("p", default_mode=ExecutionMode.CONCURRENT).step("orders", run=returning([1, 2]))
    pipeline.step("each", run=tenfold, for_each="orders").step("both", branches=[returning(1), returning(2)])
    ran = await run(pipeline)
    assert ran.result.step_outputs == {"orders": [1, 2], "each": [10, 21], "both": [1, 2]}
    assert pipeline.steps[1].execution_mode is PARALLEL


async def test_no_items_give_an_empty_list() -> None:
    """Nothing to do is done."""
    ran = await run(over([], tenfold))
    assert (ran.result.final_output, ran.result.status) == ([], RunStatus.COMPLETED)


async def test_items_and_outputs_have_their_types() -> None:
    """An item comes as the parameter says, and what each gives is checked by what the schema's list holds."""

    async def check(item: Order) -> Checked:
        return Checked(id=item.id)

    ran = await run(over([{"id": 1}, {"id": 2}], check, output_schema=list[Checked]))
    assert ran.result.final_output == [Checked(id=1), Checked(id=2)]


async def test_an_output_of_an_item_that_does_not_fit_fails_that_item() -> None:
    """And says so, instead of failing the merge of a thousand."""

    async def check(item: int) -> object:
        return {"id": item} if item == 1 else {"no": item}

    pipeline = over([1, 2], check, output_schema=list[Checked], min_success=1, max_retries=0)
    ran = await run(pipeline)
    assert ran.result.final_output == [Checked(id=1)]
    assert ran.result.step_metadata["each"]["parts"]["1"]["code"] == "step.output"


async def test_each_item_has_its_own_attempts() -> None:
    """One that fails is tried again, the others are not."""

    async def flaky(item: int, context: StepContext) -> int:
        if item == 2 and context.attempt < 3:
            raise OSError("away")
        return item

    ran = await run(over([1, 2, 3], flaky, retry=RetryPolicy(base_seconds=1)))
    assert ran.result.final_output == [1, 2, 3]
    parts = ran.result.step_metadata["each"]["parts"]
    assert {name: part["attempts"] for name, part in parts.items()} == {"0": 1, "1": 3, "2": 1}


async def even_only(item: int) -> int:
    """Fail for odd items."""
    if item % 2:
        raise TypeError("odd")
    return item


@pytest.mark.parametrize(("least", "is_enough"), [(2, True), (0.5, True), (3, False), (None, False), (0, True)])
async def test_as_many_must_succeed_as_min_success_says(least: float | None, is_enough: bool) -> None:  # noqa: FBT001 - a parameter
    """A number or a share of them; all, where nothing is said."""
    ran = await run(over([0, 1, 2, 3], even_only, min_success=least))
    metadata = ran.result.step_metadata["each"]
    assert metadata["status"] is (StepStatus.COMPLETED if is_enough else StepStatus.FAILED)
    assert ran.result.final_output == ([0, 2] if is_enough else None)
    if not is_enough:
        allowed = 1 if least == 3 else 0
        assert metadata["code"] == "step.parts"
        assert metadata["reason"].startswith(f"2 of its 4 parts failed ('1' and 1 more); at most {allowed} may.")
        assert "odd" in metadata["reason"]


async def test_no_more_items_start_once_too_many_have_failed() -> None:
    """What can no longer succeed is not paid for."""
    ran = await run(over(list(range(1, 100)), even_only, max_concurrency=1))
    assert len([event for event in ran.events if isinstance(event, PartStarted)]) == 1


async def test_no_more_items_run_at_once_than_allowed() -> None:
    """A provider has limits."""
    busy: list[int] = [0, 0]

    async def counted(item: int) -> int:
        busy[0] += 1
        busy[1] = max(busy)
        await asyncio.sleep(0)
        busy[0] -= 1
        return item

    await run(over(list(range(50)), counted, max_concurrency=7))
    assert busy[1] == 7


async def test_a_thousand_items_work() -> None:
    """The size of a real list."""
    ran = await run(over(list(range(1000)), tenfold))
    assert ran.result.final_output == [item * 11 for item in range(1000)]


async def total(outputs: list[Checked]) -> int:
    """Merge by summing."""
    return sum(each.id for each in outputs)


async def test_a_merge_function_gets_the_outputs_as_their_types() -> None:
    """So that it need not read dictionaries."""

    async def check(item: int) -> Checked:
        return Checked(id=item)

    assert (await run(over([1, 2, 3], check, merge=total))).result.final_output == 6


@pytest.mark.parametrize(
    ("merge", "expected"), [(None, [10, 21]), ("list", [10, 21]), ("dict", {"0": 10, "1": 21}), (len, 2)]
)
async def test_outputs_are_merged_as_the_step_says(merge: object, expected: object) -> None:
    """A list by default; a dict by place; whatever a function makes of the list."""
    assert (await run(over([1, 2], tenfold, merge=merge))).result.final_output == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"branches": {"law": returning(1), "tax": returning(2)}}, {"law": 1, "tax": 2}),
        ({"branches": [returning(1), returning(2)]}, [1, 2]),
        ({"branches": {"law": returning(1), "tax": returning(2)}, "merge": "list"}, [1, 2]),
        ({"branches": [returning(1), returning(2)], "merge": "dict"}, {"0": 1, "1": 2}),
        ({"branches": {"law": returning(1)}, "merge": lambda outputs: outputs["law"] + 1}, 2),
    ],
)
async def test_branches_run_at_once_and_are_merged(options: dict[str, object], expected: object) -> None:
    """Named ones by name, others in their order."""
    ran = await run(Pipeline("p").step("each", execution_mode=PARALLEL, **options))  # type: ignore[arg-type]  # step options
    assert ran.result.final_output == expected


async def test_with_neither_branches_nor_items_it_merges_what_it_depends_on() -> None:
    """The mode's name says no more than that."""
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", run=returning(2))
    ran = await run(pipeline.step("both", execution_mode=PARALLEL, depends_on=["a", "b"]))
    assert ran.result.final_output == {"a": 1, "b": 2}


async def test_goals_run_for_items_and_the_model_merges_them() -> None:
    """Every part has its own agent, and the last one sees what they came to."""
    model = ScriptedModel(["Lisbon is hilly.", "Porto is wet.", "Both are worth it."])
    pipeline = Pipeline("p").step("cities", run=returning(["Lisbon", "Porto"]))
    pipeline.step(
        "each",
        "Describe {item}",
        for_each="cities",
        merge="Compare them in one sentence",
        execution_mode=PARALLEL,
        max_concurrency=1,
    )
    ran = await run(pipeline, model=model)
    assert ran.result.final_output == "Both are worth it."
    asked = [request.messages[-1].content for request in model.requests]
    assert "Lisbon" in asked[0]
    assert "Lisbon is hilly." in asked[2]
    assert "Porto is wet." in asked[2]
    assert ran.result.token_usage["each"].requests == 3


@pytest.mark.parametrize("output", [{"open": 7}, {"open": {"a": 1}}, {}])
async def test_a_path_that_leads_to_no_list_says_so(output: object) -> None:
    """And the step does not run for the letters of a word."""
    pipeline = Pipeline("p").step("orders", run=returning(output))
    pipeline.step("each", run=tenfold, for_each="orders.open", execution_mode=PARALLEL)
    metadata = (await run(pipeline)).result.step_metadata["each"]
    assert metadata["code"] in {"step.input", "dependency_unmet"}


async def test_a_list_that_was_given_as_a_text_says_how_it_is_given() -> None:
    """On the command line an input is a text unless it is written with a colon."""
    pipeline = Pipeline("p").step("each", run=tenfold, for_each="cities", execution_mode=PARALLEL)
    reason = (await run(pipeline, inputs={"cities": '["Porto"]'})).result.step_metadata["each"]["reason"]
    assert reason == (
        "The step 'each' cannot go through cities: it is a text, not a list. On the command line, JSON is given with a "
        "colon: --input 'cities:=[...]'."
    )


async def test_items_may_come_from_the_inputs() -> None:
    """A list need not have a step of its own."""
    pipeline = Pipeline("p").step("each", run=tenfold, for_each="numbers", execution_mode=PARALLEL)
    assert (await run(pipeline, inputs={"numbers": [1, 2]})).result.final_output == [10, 21]


async def test_after_a_crash_finished_items_are_kept() -> None:
    """A thousand answers are not paid for twice; what was cut off goes on."""
    calls: list[int] = []

    async def note(item: int) -> int:
        calls.append(item)
        await asyncio.sleep(0)
        return item

    pipeline = over(list(range(30)), note, max_concurrency=3)
    store = CrashingStore().arm(6)
    opened = everybody_is_gone(services(store=store))
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    kept = [e.part for e in await _events(opened) if isinstance(e, PartCompleted)]
    store.arm(10**9)
    before = len(calls)
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=pipeline)
    assert result.final_output == list(range(30))
    assert kept
    assert sorted(calls[before:]) == sorted(set(range(30)) - {int(part) for part in kept})


async def _events(opened: object) -> list[object]:
    from tagent.pipeline.journal.loading import load_events

    return list(await load_events(opened.store, "run-1"))  # type: ignore[attr-defined]  # services


async def test_after_a_failure_a_resume_runs_only_the_items_that_failed() -> None:
    """What some of the thousand needed was mended; the others stay as they are."""
    is_mended: list[bool] = []
    calls: list[int] = []

    async def needy(item: int) -> int:
        calls.append(item)
        if item == 2 and not is_mended:
            raise TypeError("not yet")
        return item

    pipeline = over([1, 2, 3], needy)
    opened = services()
    first = await PipelineExecutor(pipeline, services=opened).execute()
    assert first.status is RunStatus.FAILED
    is_mended.append(True)
    calls.clear()
    result = await resume_run(first.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert result.final_output == [1, 2, 3]
    assert 1 not in calls
    assert 2 in calls


async def test_items_have_keys_of_their_own() -> None:
    """A service that is told the key must not take two items for one."""
    keys: dict[str, str] = {}

    async def keyed(item: int, context: StepContext) -> int:
        keys[context.part] = context.idempotency_key
        return item

    ran = await run(over([1, 2], keyed))
    assert keys == {part: f"{ran.result.run_id}/each/{part}" for part in ("0", "1")}


async def test_the_agent_of_an_item_is_not_told_the_whole_list() -> None:
    """A thousand agents that each read a thousand items would cost a million."""
    model = ScriptedModel(lambda request: "described")
    pipeline = Pipeline("p").step("cities", run=returning(["Lisbon", "Porto"]))
    pipeline.step("each", "Describe it", for_each="cities")
    await run(pipeline, model=model)
    asked = [request.messages[-1].content for request in model.requests]
    assert all(("Lisbon" in one) is not ("Porto" in one) for one in asked)
