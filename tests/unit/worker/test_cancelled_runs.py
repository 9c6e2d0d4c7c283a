"""A worker whose run is cancelled by somebody else goes on with the others."""

import logging
from dataclasses import replace

import pytest

from builders import returning, services
from tagent.pipeline import Pipeline, on_event
from tagent.pipeline.driving.cancelling import cancel_run
from tagent.pipeline.journal import claim_watch
from workers import Shop, until


class Gate:
    """A step function that waits until it is opened, for each run."""

    def __init__(self) -> None:
        self.calls = 0
        self.is_open = False

    async def pass_through(self) -> str:
        """Return once the gate is open."""
        self.calls += 1
        await until(lambda: self.is_open, turns=10**9)
        return "through"


async def test_a_worker_leaves_a_cancelled_run_and_goes_on_with_the_others(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It tells how the run ended, and nobody takes it up again."""
    monkeypatch.setattr(claim_watch, "LOOK_SECONDS", 0.01)
    caplog.set_level(logging.INFO, logger="tagent.worker")
    gate = Gate()
    pipeline = Pipeline("gated", triggers=[on_event("pipeline")]).step("gate", run=gate.pass_through)
    shop = Shop(pipeline.step("after", run=returning("after"), depends_on=["gate"]))
    hired = shop.hire()
    await hired.looks()
    await shop.send("pipeline:gated", {}, {})
    await until(lambda: gate.calls == 2)
    first, second = await shop.runs()
    await cancel_run(first.run_id, replace(services(clock=shop.clock, store=shop.store)))
    await until(lambda: hired.worker.status.runs == 1, turns=10**7)
    gate.is_open = True
    runs = await shop.finished(2)
    await hired.stop()
    assert {run.run_id: run.status for run in runs} == {first.run_id: "cancelled", second.run_id: "completed"}
    assert (gate.calls, hired.worker.status.resumed) == (2, 0)
    assert any(f"Ended gated {first.run_id}: cancelled" in record.message for record in caplog.records)
