"""Steps that wait for a message: which one they get, and for how long they wait."""

from collections.abc import Mapping

import pytest

from builders import chain, services
from tagent.messaging import MessageTimeoutError
from tagent.messaging.sending import new_message
from tagent.names import InvalidNameError
from tagent.pipeline import Pipeline
from tagent.pipeline.awaited import Event, event, event_of
from tagent.pipeline.events import RunStarted, StepCompleted, StepStarted
from tagent.pipeline.exceptions import StepInputError
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.state import PipelineState, apply
from tagent.pipeline.work.event_step import EventStep, filled, listening
from tagent.pipeline.work.large_outputs import LargeOutputs
from tagent.pipeline.work.reading import RunReader
from tagent.ports import Services
from tagent.ports.effects import Effects
from tagent.task_agent.attempt import Attempt
from tagent.testing import ManualClock


async def sent(opened: Services, topic: str, *data: object) -> None:
    """Send messages to a topic of the store."""
    await opened.store.write(Effects(messages=tuple(new_message(topic, it) for it in data)))


async def begin(opened: Services, awaited: Event) -> None:
    """Write what is written when the run begins."""
    pipeline = Pipeline("p").step("wait", wait_for=awaited)
    await opened.store.write(await listening(pipeline, run_id="r", store=opened.store))


def step(
    opened: Services, awaited: Event, *, inputs: Mapping[str, object] | None = None, timeout: float | None = None
) -> EventStep:
    """Return the step `wait` of the run `r`; before it, the step `order` has come to `{"id": 7}`."""
    pipeline = chain("order", "wait")
    state = PipelineState(ExecutionGraph.build(pipeline))
    apply(state, RunStarted("r", "p", inputs or {}, {}, 0))
    apply(state, StepStarted("order", 1, "k", 0))
    apply(state, StepCompleted("order", 1, {"id": 7}, 0))
    types = {"order": OutputType(), "wait": OutputType()}
    reader = RunReader(pipeline, state, types, LargeOutputs(state, opened, final="wait"), store_url="")
    return EventStep("wait", awaited, reader, opened, pipeline="p", timeout=timeout)


async def test_it_gets_the_first_message_since_the_run_began() -> None:
    """An older one belongs to an earlier run."""
    opened = services()
    awaited = event("orders.*")
    await sent(opened, "topic/orders.created", "old")
    await begin(opened, awaited)
    await sent(opened, "topic/orders.paid", "new")
    await sent(opened, "topic/orders.created", "newer")
    attempt = Attempt()
    assert await step(opened, awaited).run(attempt) == ("new", None)
    again = Attempt()
    assert await step(opened, awaited).run(again) == ("new", None), "an attempt that fails has read nothing"
    await again.effects.write(opened.store, opened.store.write)
    assert await step(opened, awaited).run(Attempt()) == ("newer", None)


async def test_what_does_not_fit_is_passed_over_in_the_same_write() -> None:
    """A run that waits for one order among thousands must not look at them again."""
    opened = services()
    awaited = event("orders.created", where={"order.id": "{order.id}", "city": "{city}"})
    await begin(opened, awaited)
    fitting = {"order": {"id": 7}, "city": "Porto"}
    await sent(opened, "topic/orders.created", *[{"order": {"id": n}} for n in range(150)], 3, fitting, fitting)
    attempt = Attempt()
    output, _ = await step(opened, awaited, inputs={"city": "Porto"}).run(attempt)
    assert output == fitting
    (receipt,) = attempt.effects.effects.receipts
    assert (receipt.expected_seq, receipt.seq) == (0, 152)


async def test_mail_of_the_run_and_of_the_pipeline_is_awaited_as_well() -> None:
    """Somebody approves one run; or tells all of them."""
    opened = services()
    for awaited, mailbox in ((event(from_="run"), "run/r/mail"), (event(from_="pipeline"), "pipeline/p")):
        await sent(opened, "pipeline/p", "old")
        await begin(opened, awaited)
        await sent(opened, mailbox, "go on")
        attempt = Attempt()
        assert await step(opened, awaited).run(attempt) == ("go on", None)
        assert attempt.effects.effects.receipts[0].subscriber == "run/r/step/wait"


async def test_the_time_counts_from_when_the_attempt_began_also_across_a_crash() -> None:
    """A process that is restarted every hour must not wait for ever for what comes within a day."""
    clock = ManualClock(now=1000)
    opened = services(clock=clock)
    with pytest.raises(MessageTimeoutError) as raised:
        await step(opened, event("t"), timeout=60).run(Attempt(began_at=970))
    assert clock.now() == 1030
    assert (raised.value.awaited, raised.value.seconds, raised.value.is_retryable) == ("t", 60, False)
    await sent(opened, "topic/t", "late")
    assert await step(opened, event("t"), timeout=60).run(Attempt(began_at=100)) == ("late", None)


async def test_what_is_compared_with_must_be_there() -> None:
    """A misspelt path would wait for ever."""
    with pytest.raises(StepInputError, match="order has no field 'nr'"):
        await step(services(), event("t", where={"id": "{order.nr}"})).run(Attempt())


def test_placeholders_are_replaced_once_and_keep_the_type_of_what_they_stand_for() -> None:
    """A number is not equal to its text."""
    known = {"order": {"id": 7, "tags": ["a"]}, "text": "{order.id}"}
    assert filled("{order.id}", known) == 7
    assert filled("n-{order.id}-{order.tags}", known) == 'n-7-["a"]'
    assert filled("{text}", known) == "{order.id}"
    assert filled("{unknown} {{order.id}}", known) == "{unknown} {{order.id}}"
    assert filled(7, known) == 7


def test_an_event_is_checked_when_it_is_written() -> None:
    """Not when a run has waited for it for a day."""
    assert event_of("orders.*") == event("orders.*") == Event("orders.*")
    assert event("t", where={"a": "{x}", "b": 1}).texts == ("{x}",)
    for wrong in ("", "orders created", "orders..x"):
        with pytest.raises(InvalidNameError):
            event(wrong)
    with pytest.raises(InvalidNameError, match="has no topic"):
        event("t", from_="run")
    with pytest.raises(InvalidNameError, match="Write topic, pipeline or run"):
        event("t", from_="elsewhere")  # type: ignore[arg-type]  # on purpose


def test_nothing_is_left_running() -> None:
    """It has no thread that could go on."""
    assert step(services(), event("t")).abandoned == []
