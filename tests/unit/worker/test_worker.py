"""A living process: what it takes up, how it stops, what it survives."""

import asyncio
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from builders import chain, raising, returning, services
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.names import topic_of
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineValidationError, RetryPolicy, event, on_event
from tagent.pipeline.driving.stopping import StopSignal
from tagent.pipeline.events import StepStarted
from tagent.pipeline.exceptions import RunStoppedError
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import MAX_IDLE_RESUMES
from tagent.pipeline.stored.definition import Origin
from tagent.pipeline.stored.loading import load_pipeline
from tagent.ports import Services
from tagent.ports.effects import Effects
from tagent.ports.messages import NewMessage
from tagent.worker import Worker, WorkerStatus
from tagent.worker.health import health_endpoint
from tagent.worker.status import Status
from workers import Hired, Shop, until


class Gate:
    """A step function that waits until it is opened."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_open = False

    async def pass_through(self) -> str:
        """Return once the gate is open."""
        self.calls += 1
        await until(lambda: self.is_open)
        return "through"


def gated(name: str = "gated") -> tuple[Pipeline, Gate]:
    """Return a pipeline that is started by messages to it, waits at a gate and goes on behind it."""
    gate = Gate()
    pipeline = Pipeline(name, triggers=[on_event("pipeline")]).step("gate", run=gate.pass_through)
    return pipeline.step("after", run=returning("after"), depends_on=["gate"]), gate


async def at_the_gate(shop: Shop, gate: Gate) -> Hired:
    """Return a worker whose run is at the gate."""
    hired = shop.hire()
    await hired.looks()
    await shop.send("pipeline:gated", {})
    await until(lambda: gate.calls)
    return hired


async def test_a_run_whose_worker_has_died_is_taken_up_by_another() -> None:
    """At once: nobody waits for the lease of a process that is gone."""
    pipeline, gate = gated()
    shop = Shop(pipeline)
    other = shop.hire()
    first = await at_the_gate(shop, gate)
    await shop.clock.sleep(10)
    await (first if first.worker.status.started else other).die()
    died_at = shop.clock.now()
    gate.is_open = True
    (run,) = await shop.finished(1)
    assert run.finished_at is not None
    assert run.finished_at < died_at + 6
    assert (run.status, gate.calls) == ("completed", 2)
    for each in (first, other):
        if not each.connection.is_broken:
            assert each.worker.status.resumed == 1
            await each.stop()


async def test_what_was_left_is_taken_up_at_the_start_and_what_is_due_is_done() -> None:
    """A retry that was due while no worker lived is made at once."""
    flaky = Pipeline("flaky", triggers=[on_event("pipeline")]).step(
        "try", run=raising(OSError("no"), times=1), retry=RetryPolicy(base_seconds=300, ceiling_seconds=300)
    )
    shop = Shop(flaky)
    first = shop.hire()
    await first.looks()
    await shop.send("pipeline:flaky", {})
    await shop.clock.sleep(10)
    await first.die()
    shop.clock.advance(1000)
    died_at = shop.clock.now()
    second = shop.hire()
    (run,) = await shop.finished(1)
    await second.stop()
    assert run.finished_at == died_at


async def test_a_worker_without_pipelines_takes_up_runs_whose_file_can_be_loaded(tmp_path: Path) -> None:
    """The run remembers where its code is."""
    file = tmp_path / "answer.py"
    file.write_text(
        "from tagent.pipeline import Pipeline\n\n"
        "async def answer() -> int:\n    return 42\n\n"
        'pipeline = Pipeline("answer").step("answer", run=answer)\n'
    )
    shop = Shop()
    await _cut_off(load_pipeline(file), services(store=shop.store), origin=Origin(str(file)))
    hired = shop.hire()
    (run,) = await shop.finished(1)
    await hired.stop()
    assert (run.status, hired.worker.status.resumed) == ("completed", 1)


async def test_a_run_that_cannot_be_resumed_is_named_once_and_left(caplog: pytest.LogCaptureFixture) -> None:
    """It is for people; and a line each second would help nobody."""
    shop = Shop()
    opened = replace(services(clock=shop.clock, store=shop.store), new_id=lambda: "built-in-code")
    await _cut_off(chain("a"), opened)
    with caplog.at_level(logging.WARNING):
        hired = shop.hire()
        await shop.clock.sleep(60)
        await hired.stop()
    (line,) = [it.message for it in caplog.records if "cannot be resumed" in it.message]
    assert "chain built-in-code" in line
    assert "has no file" in line


async def _cut_off(pipeline: Pipeline, opened: Services, *, origin: Origin | None = None) -> None:
    """Begin a run and stop it before its first step."""
    stop = StopSignal()
    stop.give()
    with pytest.raises(RunStoppedError):
        await PipelineExecutor(pipeline, origin=origin, services=opened).execute(stop=stop)


async def test_a_run_that_kills_its_worker_each_time_is_given_up() -> None:
    """Or it would go through the whole crew."""
    pipeline, gate = gated()
    shop = Shop(pipeline)
    hired = await at_the_gate(shop, gate)
    for _ in range(MAX_IDLE_RESUMES):
        await hired.die()
        before = gate.calls
        hired = shop.hire()
        await until(lambda: gate.calls > before)  # noqa: B023 - it is called in this round
    await hired.die()
    hired = shop.hire()
    (run,) = await shop.finished(1)
    assert run.status == "failed"
    assert gate.calls == MAX_IDLE_RESUMES + 1
    await hired.stop()


async def test_a_run_that_waits_sees_any_number_of_workers_come_and_go() -> None:
    """It gets no further, yet nothing is wrong with it."""
    pipeline = Pipeline("patient", triggers=[on_event("pipeline")]).step("paid", wait_for="paid")
    shop = Shop(pipeline)
    hired = shop.hire()
    await hired.looks()
    await shop.send("pipeline:patient", {})
    for _ in range(2 * MAX_IDLE_RESUMES):
        await hired.looks()
        await hired.stop()
        hired = shop.hire()
    await shop.send("topic:paid", {"sum": 5})
    (run,) = await shop.finished(1)
    assert run.status == "completed"
    await hired.stop()


async def test_a_stop_lets_running_steps_end_and_begins_no_others() -> None:
    """The run is free at once for another worker, which goes on behind them."""
    pipeline, gate = gated()
    shop = Shop(pipeline)
    hired = await at_the_gate(shop, gate)
    hired.worker.stop()
    await shop.send("pipeline:gated", {})
    await shop.clock.sleep(5)
    assert (hired.worker.status.status, hired.task.done()) == ("stopping", False)
    gate.is_open = True
    await hired.task
    (run,) = await shop.runs()
    assert (run.owner, run.status) == ("", "running")
    begun = [it.step for it in await load_events(shop.store, run.run_id) if isinstance(it, StepStarted)]
    assert begun == ["gate"]
    other = shop.hire()
    first, second = await shop.finished(2)
    assert (first.status, second.status) == ("completed", "completed")
    assert gate.calls == 2
    await other.stop()


async def test_what_has_not_ended_after_the_grace_is_cut_off() -> None:
    """And done again by whoever takes the run up."""
    pipeline, gate = gated()
    shop = Shop(pipeline)
    hired = await at_the_gate(shop, gate)
    begun = shop.clock.now()
    await hired.stop()
    assert shop.clock.now() == begun + 30
    (run,) = await shop.runs()
    assert run.owner == ""
    gate.is_open = True
    other = shop.hire()
    await shop.finished(1)
    assert gate.calls == 2
    await other.stop()


async def test_runs_that_wait_for_an_event_leave_room_and_do_not_delay_a_stop() -> None:
    """Thousands may wait for days; the end of the wait happens wherever they are by then."""
    pipeline = Pipeline("patient", triggers=[on_event("pipeline")])
    pipeline.step("paid", wait_for=event("paid", where={"id": "{id}"}), timeout=1100, max_retries=0)
    pipeline.step("ship", run=returning("shipped"), depends_on=["paid"])
    shop = Shop(pipeline)
    first = shop.hire(concurrency=1)
    await first.looks()
    await shop.send("pipeline:patient", {"id": 1}, {"id": 2}, {"id": 3})
    await shop.clock.sleep(5)
    assert first.worker.status.runs == 3
    begun = shop.clock.now()
    await first.stop()
    assert shop.clock.now() < begun + 1
    await shop.send("topic:paid", {"id": 2})
    shop.clock.advance(1000)
    await shop.send("topic:paid", {"id": 3})
    second = shop.hire(concurrency=1)
    await shop.finished(3)
    assert [run.status for run in await shop.runs()] == ["failed", "completed", "completed"]
    await second.stop()


async def test_a_run_whose_parts_are_at_work_takes_its_room() -> None:
    """A step waits for an event beside them, yet each of them may be as dear as a step."""
    gate = Gate()
    pipeline = Pipeline("busy", triggers=[on_event("pipeline")])
    pipeline.step("paid", wait_for="paid").step("ask", run=gate.pass_through, for_each="items")
    shop = Shop(pipeline)
    hired = shop.hire(concurrency=1)
    await hired.looks()
    await shop.send("pipeline:busy", {"items": [1, 2, 3]}, {"items": [4]})
    await shop.clock.sleep(5)
    assert (hired.worker.status.runs, gate.calls) == (1, 3)
    gate.is_open = True
    await shop.clock.sleep(5)
    assert (hired.worker.status.runs, gate.calls) == (2, 4)
    await hired.stop()


async def test_a_second_stop_does_not_wait() -> None:
    """Whoever presses Ctrl-C twice means it; the claims are given up all the same."""
    pipeline, gate = gated()
    shop = Shop(pipeline, slowness=lambda: 0.01)
    hired = await at_the_gate(shop, gate)
    begun = shop.clock.now()
    hired.worker.stop()
    hired.worker.stop()
    await shop.clock.sleep(0.005)
    hired.worker.stop()
    await hired.task
    assert shop.clock.now() < begun + 1
    assert [run.owner for run in await shop.runs()] == [""]


async def test_a_store_that_goes_away_is_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    """The worker says so, once, and goes on when it is back."""
    pipeline, gate = gated()
    gate.is_open = True
    shop = Shop(pipeline)
    hired = shop.hire()
    await hired.looks()
    hired.connection.is_broken = True
    await shop.send("pipeline:gated", {})
    with caplog.at_level(logging.INFO, logger="tagent.worker"):
        await shop.clock.sleep(600)
        assert hired.worker.status == replace(hired.worker.status, status="store_unavailable", is_store_reachable=False)
        hired.connection.is_broken = False
        await shop.finished(1)
        await hired.looks()
    events = [getattr(it, "event", "") for it in caplog.records]
    assert [it for it in events if "store" in it] == ["store_unavailable", "store_is_back"]
    assert hired.worker.status.is_healthy
    await hired.stop()


async def test_old_messages_are_swept() -> None:
    """A topic does not grow for ever."""
    shop = Shop()
    hired = shop.hire(messages_days=0.5 / 24)
    await shop.store.write(Effects(messages=(NewMessage(topic_of("t"), b"1"),)))
    await shop.clock.sleep(3500)
    assert len(await shop.store.messages(topic_of("t"))) == 1
    await shop.clock.sleep(200)
    assert len(await shop.store.messages(topic_of("t"))) == 0
    await hired.stop()


async def test_a_worker_that_is_stopped_before_it_begins_ends_at_once() -> None:
    """A signal may come early."""
    worker = Worker([chain("a")], services=services())
    worker.stop()
    await worker.run()


@pytest.mark.parametrize("wrong", [{"concurrency": 0}, {"grace_seconds": -1}, {"messages_days": float("nan")}])
def test_numbers_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    """Before it lives."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        Worker([chain("a")], services=services(), **wrong)  # type: ignore[arg-type]  # wrong on purpose


def test_pipelines_with_mistakes_and_two_of_one_name_are_refused() -> None:
    """A worker that cannot do its work must not seem to."""
    with pytest.raises(ConfigurationError, match="Two pipelines are called 'chain'"):
        Worker([chain("a"), chain("b")], services=services())
    with pytest.raises(PipelineValidationError):
        Worker([Pipeline("empty")], TAgentConfig(), services=services())


def test_a_pipeline_whose_inputs_come_with_a_message_is_not_refused() -> None:
    """A step called `mail` beside an input `mails` is right once there is one."""
    pipeline = Pipeline("p", triggers=[on_event("mails.new")]).step("mail", run=returning(1))
    Worker([pipeline.step("case", run=lambda item: item, for_each="mails")], TAgentConfig(), services=services())


@pytest.mark.parametrize(
    ("asked", "status", "answer"),
    [
        (b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n", "working", "200"),
        (b"GET /health HTTP/1.1\r\n\r\n", "store_unavailable", "503"),
        (b"GET /health HTTP/1.1\r\n\r\n", "stopping", "503"),
        (b"GET /health HTTP/1.1\r\n\r\n", "starting", "503"),
        (b"GET /secrets HTTP/1.1\r\n\r\n", "working", "404"),
        (b"POST /health HTTP/1.1\r\n\r\n", "working", "405"),
        (b"nonsense\r\n\r\n", "working", "404"),
    ],
)
async def test_the_endpoint_tells_how_the_worker_is(asked: bytes, status: Status, answer: str) -> None:
    """A supervisor asks, and restarts what is not well."""
    told = WorkerStatus(status, 1, 3, 2, status == "working", 86_400.0, ("orders",), is_announced=True)
    async with health_endpoint(0, lambda: told) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(asked)
        said = (await reader.read()).decode()
        writer.close()
    assert said.split()[1] == answer
    if answer in ("200", "503"):
        assert json.loads(said.split("\r\n\r\n")[1]) == {
            "status": status,
            "runs": 1,
            "started": 3,
            "resumed": 2,
            "is_store_reachable": status == "working",
            "since": "1970-01-02T00:00:00+00:00",
            "pipelines": ["orders"],
            "is_announced": True,
        }
