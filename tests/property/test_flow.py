"""Generated pipelines with all modes, kinds of dependencies, conditions and failures: the rules hold whatever happens."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import given, settings

from builders import services
from property.flow_oracle import Oracle
from property.flow_plans import FlowPlan, flows
from property.flow_world import INPUTS, World
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import PipelineExecutor, PipelineResult, StepStatus
from tagent.pipeline.events import RunEvent
from tagent.pipeline.persistence import load_events

LAW = settings(deadline=None, max_examples=100, report_multiple_bugs=False)


@dataclass
class FlowRun:
    """A finished run."""

    result: PipelineResult
    events: Sequence[RunEvent]
    world: World


def ran(flow: FlowPlan) -> FlowRun:
    """Run the pipeline of a plan to its end."""

    async def driven() -> FlowRun:
        world, store = World(), MemoryStore()
        opened = services(clock=world.clock, store=store, model=world.model(flow))
        result = await PipelineExecutor(world.pipeline(flow), inputs=INPUTS, services=opened).execute()
        return FlowRun(result, await load_events(store, result.run_id), world)

    return asyncio.run(driven())


@LAW
@given(flows())
def test_a_run_comes_to_what_the_rules_say(flow: FlowPlan) -> None:
    """Each step has the status, reason, attempts and output that a reader of the definition expects."""
    result = ran(flow).result
    oracle = Oracle(flow)
    for name, expected in oracle.all().items():
        told = result.step_metadata[name]
        assert told["status"] is expected.status, (name, told, expected)
        if expected.codes or told["status"] is not StepStatus.SKIPPED:
            assert told["code"] in (expected.codes or {""}), (name, told, expected)
        assert told["attempts"] == expected.attempts, (name, told, expected)
        assert bool(told["substituted_by"]) is expected.is_substituted
        assert result.step_outputs.get(name) == expected.output, (name, expected)
        assert bool(told["reason"]) is bool(told["code"]), (name, told)
        if expected.parts is not None:
            parts = {part: (it["status"], it["attempts"]) for part, it in told.get("parts", {}).items()}
            assert parts == expected.parts, (name, told, expected)
        for part, it in told.get("parts", {}).items():
            assert it["status"].is_terminal, (name, part, it)
            assert bool(it["code"] and it["reason"]) is (it["status"] is not StepStatus.COMPLETED), (name, part, it)
    assert result.status is oracle.status()
