"""A replay neither asks nor teaches the circuits of the process."""

import itertools
from collections.abc import Callable

import pytest

from builders import raising, run, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.circuit import CircuitPolicy
from tagent.circuits import process_circuits
from tagent.pipeline import Pipeline
from tagent.pipeline.replay.replaying import replay_run
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.importing import read_recording
from tagent.testing import ManualClock

NAMES = (f"replayed-{number}" for number in itertools.count())


@pytest.mark.parametrize("recorded_functions", [True, False])
async def test_a_replay_neither_asks_nor_teaches_a_circuit(recorded_functions: bool) -> None:  # noqa: FBT001 - a case
    """It is about the past: what is down now does not change it, and looking at it takes nothing down."""
    name, circuit = next(NAMES), CircuitPolicy(failures=1, open_seconds=60)

    def pipeline(function: Callable[[], object]) -> Pipeline:
        return Pipeline(name).step("a", run=function, max_retries=0, circuit=circuit)

    stores, clock = (MemoryStore(), MemoryStore()), ManualClock(1000)
    good = await run(pipeline(lambda: "well"), store=stores[0], clock=clock)
    bad = await run(pipeline(raising(OSError())), store=stores[1], clock=clock)
    assert process_circuits.is_open(f"step:{name}/a")
    recording = read_recording(await export_run(stores[0], good.result.run_id))
    replay = await replay_run(
        recording, services(clock=clock), pipeline=pipeline(lambda: "well"), recorded_functions=recorded_functions
    )
    replay.assert_unchanged()

    clock.advance(60)
    await run(pipeline(lambda: "well"), clock=clock)
    assert not process_circuits.is_open(f"step:{name}/a")
    recording = read_recording(await export_run(stores[1], bad.result.run_id))
    await replay_run(
        recording,
        services(clock=clock),
        pipeline=pipeline(raising(OSError())),
        recorded_functions=recorded_functions,
    )
    assert not process_circuits.is_open(f"step:{name}/a")
