"""Steps that wait for a message: what they see, and that they go on wherever they were."""

import asyncio
from collections.abc import Callable

import pytest
from pydantic import BaseModel

from builders import returning, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.names import pipeline_mailbox, run_mailbox, topic_of
from tagent.payloads import encoded
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult, StepContext, event, validate
from tagent.pipeline.replay.replaying import replay_run
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.stored.definition import Definition, DefinitionMismatchError, Origin, bind
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.forking import fork_run
from tagent.pipeline.transfer.recording import load_recording
from tagent.ports import Services
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.testing import ManualClock


class Order(BaseModel):
    id: int
    city: str = "Porto"


async def send(opened: Services, topic: str, data: object) -> None:
    message = NewMessage(topic, encoded(data, what="it"))
    await opened.store.write(Effects(messages=(message,)))


async def told(opened: Services, topic: str, *data: object, after: float = 0.01) -> None:
    """Send messages to a topic when some time has passed."""
    await asyncio.sleep(after)
    for it in data:
        await send(opened, topic_of(topic), it)


async def run_while(opened: Services, pipeline: Pipeline, *meanwhile: object, **inputs: object) -> PipelineResult:
    """Run `pipeline` while other things happen."""
    async with asyncio.TaskGroup() as group:
        running = group.create_task(PipelineExecutor(pipeline, inputs=inputs, services=opened).execute())
        for work in meanwhile:
            group.create_task(work)  # type: ignore[arg-type]  # coroutines
    return running.result()


async def test_a_step_waits_for_an_event_that_is_sent_after_its_run_began() -> None:
    """What was sent before was for somebody else."""
    opened = services()
    await send(opened, topic_of("orders.created"), {"id": 1})
    pipeline = Pipeline("p").step("order", wait_for="orders.*", output_schema=Order).step("after", run=_shown)
    result = await run_while(opened, pipeline, told(opened, "orders.created", {"id": 2}, {"id": 3}))
    assert result.success, result.step_metadata
    assert result.step_outputs == {"order": Order(id=2), "after": "2 in Porto"}


def _shown(order: Order) -> str:
    return f"{order.id} in {order.city}"


async def test_a_step_waits_for_the_event_that_fits() -> None:
    """Placeholders are those of goals; what they name is waited for."""
    opened = services()
    pipeline = Pipeline("p").step("first", run=returning({"id": 7}))
    pipeline.step("paid", wait_for=event("orders.paid", where={"id": "{first.id}", "city": "{city}"}))
    messages = {"id": 6, "city": "Porto"}, {"id": 7, "city": "Faro"}, {"id": 7, "city": "Porto"}
    result = await run_while(opened, pipeline, told(opened, "orders.paid", *messages), city="Porto")
    assert result.step_outputs["paid"] == {"id": 7, "city": "Porto"}


async def test_steps_wait_for_mail() -> None:
    """To the pipeline, which every run sees, or to the run."""
    opened = services()
    pipeline = Pipeline("p").step("mine", wait_for=event(from_="run")).step("ours", wait_for=event(from_="pipeline"))

    async def post() -> None:
        await asyncio.sleep(0.01)
        await send(opened, run_mailbox("run-1"), "to the run")
        await send(opened, pipeline_mailbox("p"), "to the pipeline")

    result = await run_while(opened, pipeline, post())
    assert result.step_outputs == {"mine": "to the run", "ours": "to the pipeline"}


async def test_a_step_that_waits_keeps_no_other_from_working() -> None:
    """SERIAL is about work."""
    opened = services()

    async def ask(context: StepContext) -> str:
        await context.messages.abroadcast("answers", 42, now=True)
        return "asked"

    pipeline = Pipeline("p").step("answer", wait_for="answers").step("ask", run=ask)
    result = await run_while(opened, pipeline)
    assert result.step_outputs == {"answer": 42, "ask": "asked"}


async def test_a_wait_has_an_end_that_counts_from_when_it_began() -> None:
    """Also across a crash: the time is that of the journal."""
    clock = ManualClock()
    store = CrashingStore().arm(1)
    opened = services(store=store, clock=clock)
    pipeline = Pipeline("p").step("order", wait_for="orders", timeout=60)
    with pytest.raises(Crash):
        await PipelineExecutor(pipeline, services=opened).execute()
    await clock.sleep(100)
    result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)
    assert result.step_metadata["order"]["code"] == "message.timeout"
    assert result.step_metadata["order"]["attempts"] == 1


@pytest.mark.parametrize("is_written", [True, False])
async def test_an_event_is_read_exactly_when_its_step_is_done(is_written: bool) -> None:  # noqa: FBT001
    """A crash between the two would lose it, or read it twice."""
    store = CrashingStore()
    opened = services(store=store)
    pipeline = Pipeline("p").step("first", wait_for="orders").step("second", wait_for="orders", depends_on=["first"])

    async def post() -> None:
        await asyncio.sleep(0.01)
        store.arm(1, is_written=is_written)
        await told(opened, "orders", 1, 2, after=0)

    with pytest.raises(BaseExceptionGroup):
        await run_while(opened, pipeline, post())
    store.arm(0)
    result = await resume_run("run-1", everybody_is_gone(opened), TAgentConfig(), pipeline=pipeline)
    assert result.step_outputs == {"first": 1, "second": 1}, "each is a subscriber of its own, from the run's beginning"
    assert {cursor.seq for cursor in await store.cursors()} == {1}


async def test_a_fork_waits_for_what_is_sent_after_it() -> None:
    """It is a run of its own."""
    opened = services()
    pipeline = Pipeline("p").step("order", wait_for="orders").step("end", run=returning("done"), depends_on=["order"])
    first = await run_while(opened, pipeline, told(opened, "orders", 1))
    fork = await fork_run(first.run_id, opened, from_step="order", pipeline=pipeline)
    async with asyncio.TaskGroup() as group:
        resuming = group.create_task(resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline))
        group.create_task(told(opened, "orders", 2))
    assert resuming.result().step_outputs["order"] == 2


async def test_a_replay_is_told_what_was_received() -> None:
    """Nobody sends it a second time."""
    opened = services()
    pipeline = Pipeline("p").step("order", wait_for="orders", output_schema=Order).step("after", run=_shown)
    ran = await run_while(opened, pipeline, told(opened, "orders", {"id": 3}))
    replay = await replay_run(await load_recording(opened.store, ran.run_id), services(), pipeline=pipeline)
    assert replay.result.step_outputs == ran.step_outputs
    assert b"wait_for" in await export_run(opened.store, ran.run_id)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda: Pipeline("p").step("a", wait_for="orders.**"), "bad_event"),
        (lambda: Pipeline("p").step("a", wait_for=7), "bad_type"),  # type: ignore[arg-type]
        (lambda: Pipeline("p").step("a", "A goal", wait_for="orders"), "two_works"),
        (lambda: Pipeline("p").step("a", wait_for="orders", run=returning(1)), "two_works"),
    ],
)
def test_a_definition_that_cannot_be_is_told(change: Callable[[], Pipeline], code: str) -> None:
    """Before anything runs."""
    assert [problem.code for problem in validate(change())] == [code]


def test_the_event_is_stored_with_the_definition() -> None:
    """A resumed run goes on waiting for what it was waiting for."""
    pipeline = Pipeline("p").step("a", wait_for=event("orders.*", where={"id": 1}))
    stored = Definition.of(pipeline, Origin())
    code = Pipeline("p").step("a", wait_for="anything")
    assert bind(stored, code).steps[0].wait_for == event("orders.*", where={"id": 1})
    with pytest.raises(DefinitionMismatchError, match="was an event when the run was started, and is a goal today"):
        bind(stored, Pipeline("p").step("a", "A goal"))


async def test_many_runs_wait_for_the_same_event() -> None:
    """Each is told."""
    store = MemoryStore()
    opened = services(store=store)
    pipeline = Pipeline("p").step("order", wait_for="orders")
    async with asyncio.TaskGroup() as group:
        runs = [group.create_task(PipelineExecutor(pipeline, services=opened).execute()) for _ in range(20)]
        group.create_task(told(opened, "orders", "sent", after=0.05))
    assert [it.result().step_outputs["order"] for it in runs] == ["sent"] * 20
