"""Who goes on with a run, as it is told to whoever has answered."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from builders import returning, services
from tagent.adapters.processes import MachineProcesses
from tagent.pipeline import GoesOn, Pipeline
from tagent.pipeline.answering.going_on import who_goes_on
from tagent.pipeline.answering.workers import LivingWorker, announcement, farewell
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.ports.documents import Put
from tagent.ports.effects import Effects
from tagent.ports.records import Batch, NewRun, Record, RunSummary
from tagent.ports.services import Services
from tagent.ports.store_errors import StoreUnavailableError

HERE = MachineProcesses().this_process()
GONE = " ".join([*HERE.split(" ")[:2], "1"])
"""A process of this machine that had our number long ago."""

ELSEWHERE = "attic/4f2c/pid:[1] 4711 99281"


async def begin(opened: Services, *, owner: str, status: str = "running", file: str = "") -> str:
    """Begin a run of the pipeline `refunds` and return its id."""
    definition = Definition.of(Pipeline("refunds").step("refund", run=returning("paid")), Origin(file))
    new = NewRun(
        "1f2e",
        "refunds",
        definition.payload,
        definition.hash,
        owner=owner,
        lease_seconds=15,
        at=0.0,
        summary=RunSummary(status, 0.0, 0.0),
    )
    await opened.store.create_run(new)
    return new.run_id


async def announce(opened: Services, process: str, *pipelines: str) -> None:
    """Say that a worker lives."""
    worker = LivingWorker(process, pipelines, 0.0)
    await opened.store.write(Effects(puts=(announcement(process, worker, ttl_seconds=15),)))


async def test_the_process_that_drives_the_run_goes_on() -> None:
    """Nobody need do anything."""
    opened = services()
    goes_on = await who_goes_on(await begin(opened, owner=ELSEWHERE), opened)
    assert goes_on == GoesOn("driver", "pid 4711 on attic")


@pytest.mark.parametrize(("owner", "status"), [("", "waiting"), (GONE, "running"), (ELSEWHERE, "waiting")])
async def test_nobody_goes_on_with_a_run_that_is_left(owner: str, status: str) -> None:
    """One whose driver is dead, or is just about to give it up, is left too."""
    opened = services()
    assert await who_goes_on(await begin(opened, owner=owner, status=status), opened) == GoesOn("nobody")


async def test_whoever_took_an_answer_and_is_done_with_the_run_went_on() -> None:
    """A short run may have ended before anybody looked; nobody need do anything then."""
    opened = services()
    run_id = await begin(opened, owner=ELSEWHERE)
    ended = RunSummary("completed", 0.0, 0.0, is_finished=True)
    await opened.store.commit(Batch(run_id, 1, (Record(1, "RunFinished", 0.0, b"{}"),), ended))
    assert (await opened.store.run(run_id)).owner == ""
    assert await who_goes_on(run_id, opened, driven_by=ELSEWHERE) == GoesOn("driver", "pid 4711 on attic")
    assert await who_goes_on(run_id, opened) == GoesOn("unknown")


async def test_a_worker_with_the_pipeline_goes_on_until_it_says_farewell() -> None:
    """Wherever it is."""
    opened = services()
    run_id = await begin(opened, owner="", status="waiting")
    await announce(opened, ELSEWHERE, "reports", "refunds")
    assert await who_goes_on(run_id, opened) == GoesOn("worker", "pid 4711 on attic")
    await opened.store.write(Effects(puts=(farewell(ELSEWHERE),)))
    assert await who_goes_on(run_id, opened) == GoesOn("nobody")


async def test_a_worker_that_is_dead_or_cannot_know_the_pipeline_does_not_count() -> None:
    """What it announced lives on for a while, and the file of the run is not on its machine for sure."""
    opened = services()
    run_id = await begin(opened, owner="", status="waiting", file=__file__)
    await announce(opened, GONE, "refunds")
    await announce(opened, ELSEWHERE, "reports")
    assert await who_goes_on(run_id, opened) == GoesOn("nobody")


@pytest.mark.parametrize(("file", "by"), [(__file__, "worker"), (str(Path(__file__).parent / "none.py"), "nobody")])
async def test_a_worker_of_this_machine_loads_the_file_if_it_is_there(file: str, by: str) -> None:
    """It was given no pipelines, and takes up what it can."""
    opened = services()
    run_id = await begin(opened, owner="", status="waiting", file=file)
    await announce(opened, HERE)
    assert (await who_goes_on(run_id, opened)).by == by


@pytest.mark.parametrize("nonsense", [b"", b"{}", b"[1]", b'{"process": 1, "pipelines": [], "since": 0}'])
async def test_nonsense_among_the_workers_is_no_worker(nonsense: bytes) -> None:
    """Anybody can write there."""
    opened = services()
    run_id = await begin(opened, owner="", status="waiting")
    await opened.store.write(Effects(puts=(Put("workers", "x", nonsense),)))
    assert await who_goes_on(run_id, opened) == GoesOn("nobody")


async def test_a_store_that_fails_now_leaves_it_open() -> None:
    """The answer is written and must not look as if it was not."""

    class Failing:
        async def run(self, run_id: str) -> object:
            await asyncio.sleep(0)
            raise StoreUnavailableError("It is away.")

    opened = replace(services(), store_url="failing://", store=Failing())  # type: ignore[arg-type]  # nothing else is asked
    assert await who_goes_on("1f2e", opened) == GoesOn("unknown")
