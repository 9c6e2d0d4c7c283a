"""Event triggers: each message starts one run."""

import logging

import pytest
from pydantic import BaseModel, field_validator

from tagent.messaging.dead_letters import open_dead_letters, redeliver
from tagent.pipeline import ExecutionMode, Pipeline, on_event
from tagent.pipeline.triggers import EventTrigger
from tagent.ports import LanguageModel, ModelNotChosenError
from workers import Shop, until


class Order(BaseModel):
    id: int

    @field_validator("id")
    @classmethod
    def known(cls, number: int) -> int:
        return {666: []}.get(number, [number])[0]  # a mistake in a validator, which Pydantic does not expect


def listening(*triggers: EventTrigger, name: str = "orders") -> tuple[Pipeline, list[int]]:
    """Return a pipeline that starts on `triggers`, and the orders that it has seen."""
    seen: list[int] = []

    async def take(id: int) -> int:  # noqa: A002 - the input's name
        seen.append(id)
        return id

    return Pipeline(name, inputs=Order, triggers=triggers).step("take", run=take), seen


async def test_each_message_starts_one_run_with_its_data_as_inputs() -> None:
    """That is what an event is for; the run tells which message it was."""
    pipeline, seen = listening(on_event("orders.*"))
    shop = Shop(pipeline)
    hired = shop.hire()
    await hired.looks()
    await shop.send("topic:orders.new", {"id": 1}, {"id": 2})
    await shop.send("topic:other", {"id": 9})
    runs = await shop.finished(2)
    assert seen == [1, 2]
    assert [run.labels["trigger"] for run in runs] == ["orders.new 1", "orders.new 2"]
    assert (hired.worker.status.started, hired.worker.status.runs) == (2, 0)
    await hired.stop()


async def test_a_new_trigger_begins_now_and_an_old_one_where_it_was() -> None:
    """Nobody wants a run for everything that ever happened, nor to miss what happens while no worker lives."""
    pipeline, seen = listening(on_event("orders.*"))
    shop = Shop(pipeline)
    await shop.send("topic:orders.new", {"id": 1})
    first = shop.hire()
    await first.looks()
    await first.stop()
    await shop.send("topic:orders.new", {"id": 2})
    await shop.send("topic:orders.late", {"id": 3})
    second = shop.hire()
    await shop.finished(2)
    await second.stop()
    assert sorted(seen) == [2, 3]


async def test_only_messages_that_are_meant_start_runs() -> None:
    """And those that are not are read once, not at every look."""
    pipeline, seen = listening(on_event("orders.new", where={"id": 2}))
    shop = Shop(pipeline)
    hired = shop.hire()
    await hired.looks()
    await shop.send("topic:orders.new", {"id": 1}, {"id": 2}, {"id": 3})
    await shop.finished(1)
    await hired.stop()
    assert seen == [2]
    cursors = await shop.store.cursors(topic="topic/orders.new")
    assert [cursor.seq for cursor in cursors] == [3]


async def test_what_is_sent_to_a_pipeline_starts_it() -> None:
    """The pipeline's own mailbox is a trigger like a topic."""
    pipeline, seen = listening(on_event("pipeline"))
    shop = Shop(pipeline)
    hired = shop.hire()
    await hired.looks()
    await shop.send("pipeline:orders", {"id": 5})
    await shop.finished(1)
    await hired.stop()
    assert seen == [5]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"id": "many"}, "pipeline.inputs"),
        ({"name": "tea"}, "pipeline.inputs"),
        (["tea"], "pipeline.inputs"),
        ({"id": 666}, "worker.run_crashed"),
    ],
)
async def test_a_message_that_does_not_fit_is_put_aside_and_holds_nothing_up(data: object, code: str) -> None:
    """It waits with its reason until somebody decides about it."""
    trigger = on_event("orders.new")
    pipeline, seen = listening(trigger)
    shop = Shop(pipeline)
    hired = shop.hire()
    await hired.looks()
    await shop.send("topic:orders.new", data, {"id": 2})
    await shop.finished(1)
    letters = await open_dead_letters(shop.store, trigger.subscriber("orders"))
    assert [(letter.code, letter.message.data) for letter in letters] == [(code, data)]
    assert "orders" in letters[0].error
    assert seen == [2]
    await hired.stop()


async def test_a_message_that_was_put_aside_can_be_tried_again() -> None:
    """Somebody has mended the pipeline."""
    trigger = on_event("orders.new")
    strict, _ = listening(trigger)
    shop = Shop()
    first = shop.hire(strict)
    await first.looks()
    await shop.send("topic:orders.new", {"id": 666})
    await first.looks()
    await first.stop()
    subscriber = trigger.subscriber("orders")
    (letter,) = await open_dead_letters(shop.store, subscriber)
    assert await redeliver(shop.store, subscriber, letter)
    given: list[int] = []

    async def take(id: int) -> None:  # noqa: A002 - the input's name
        given.append(id)

    second = shop.hire(Pipeline("orders", triggers=[trigger]).step("take", run=take))
    (run,) = await shop.finished(1)
    assert (given, run.labels["trigger"]) == ([666], "orders.new 1")
    await second.stop()


async def test_several_pipelines_hear_of_one_message() -> None:
    """Each reads for itself."""
    orders, seen = listening(on_event("orders.new"))
    bills, billed = listening(on_event("orders.new"), name="bills")
    shop = Shop(orders, bills)
    hired = shop.hire()
    await hired.looks()
    await shop.send("topic:orders.new", {"id": 1})
    await shop.finished(2)
    assert (seen, billed) == ([1], [1])
    await hired.stop()


async def test_two_workers_start_one_run_for_each_message() -> None:
    """However they race: the receipt and the run's beginning are one write."""
    pipeline, seen = listening(on_event("orders.#"))
    shop = Shop(pipeline)
    one, other = shop.hire(), shop.hire()
    await one.looks()
    for number in range(20):
        await shop.send("topic:orders.new", {"id": number})
    runs = await shop.finished(20)
    assert sorted(seen) == list(range(20))
    assert len(runs) == 20
    await one.stop()
    await other.stop()


async def test_messages_wait_while_the_pipeline_cannot_be_started_here(caplog: pytest.LogCaptureFixture) -> None:
    """A key that is missing is no fault of the message, and another worker may have it."""

    class NoModels:
        async def model_for(self, config: object) -> LanguageModel:
            raise ModelNotChosenError(key_variables=[])

    pipeline = Pipeline("talk", triggers=[on_event("said")]).step("answer", "Answer {text}")
    shop = Shop(pipeline)
    poor = shop.hire(models=NoModels())
    await poor.looks()
    await shop.send("topic:said", {"text": "hello"})
    with caplog.at_level(logging.WARNING):
        await shop.clock.sleep(50)
    assert [it.message for it in caplog.records if "its messages wait" in it.message]
    assert not await shop.runs()
    rich = shop.hire()
    await shop.finished(1)
    await rich.stop()
    await poor.stop()


async def test_no_more_runs_than_allowed_go_on_at_once() -> None:
    """What is beyond waits in its topic, not in memory."""
    running = 0
    most = 0
    gate: list[bool] = []

    async def hold(id: int) -> int:  # noqa: A002 - the input's name
        nonlocal running, most
        running += 1
        most = max(most, running)
        await until(lambda: gate)
        running -= 1
        return id

    pipeline = Pipeline("slow", triggers=[on_event("go")], default_mode=ExecutionMode.CONCURRENT).step("hold", run=hold)
    shop = Shop(pipeline)
    hired = shop.hire(concurrency=3)
    await hired.looks()
    await shop.send("topic:go", *({"id": number} for number in range(8)))
    await until(lambda: running == 3)
    await shop.clock.sleep(10)
    assert len(await shop.runs()) == 3
    gate.append(True)
    assert len(await shop.finished(8)) == 8
    assert most == 3
    await hired.stop()
