"""Agno: a `Workflow` of steps with async executors; the fan is a `Parallel` of static steps, it has no dynamic one."""

import asyncio
import logging
import os

os.environ.update(AGNO_TELEMETRY="false", AGNO_LOG_LEVEL="ERROR")

from agno.workflow import Parallel, Step, StepInput, StepOutput, Workflow

from benchmarks import harness


def chain_of(steps, sleep_seconds=0.0):
    async def following(given: StepInput) -> StepOutput:
        if sleep_seconds:
            await asyncio.sleep(sleep_seconds)
        before = given.previous_step_content
        return StepOutput(content={"n": (before["n"] if before else 0) + 1})

    return Workflow(
        name="chain", steps=[Step(name=f"s{i}", executor=following) for i in range(steps)], telemetry=False
    )


async def final_value(workflow, key):
    return (await workflow.arun(input="go")).content[key]


def chain():
    workflow = chain_of(harness.CHAIN_STEPS)
    return lambda: final_value(workflow, "n")


def fanout():
    async def source(given: StepInput) -> StepOutput:
        return StepOutput(content={"items": harness.FANOUT_STEPS})

    def valued(position):
        async def value(given: StepInput) -> StepOutput:
            await asyncio.sleep(harness.FANOUT_SLEEP_SECONDS)
            return StepOutput(content={"v": position})

        return Step(name=f"w{position}", executor=value)

    async def join(given: StepInput) -> StepOutput:
        values = given.previous_step_outputs["fan"].steps
        return StepOutput(content={"total": sum(each.content["v"] for each in values)})

    workflow = Workflow(
        name="fan",
        steps=[
            Step(name="source", executor=source),
            Parallel(*[valued(position) for position in range(harness.FANOUT_STEPS)], name="fan"),
            Step(name="join", executor=join),
        ],
        telemetry=False,
    )
    return lambda: final_value(workflow, "total")


def many():
    workflows = [chain_of(harness.MANY_STEPS, harness.MANY_SLEEP_SECONDS) for _ in range(harness.MANY_RUNS)]

    async def all_at_once():
        return list(await asyncio.gather(*[final_value(workflow, "n") for workflow in workflows]))

    return all_at_once


if __name__ == "__main__":
    logging.disable(logging.INFO)
    harness.main("agno", {"chain": chain, "fanout": fanout, "many": many}, package="agno")
