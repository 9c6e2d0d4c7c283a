"""A pipeline in which people, routes, rounds, pipelines inside steps, changes and kept outputs come together.

However it is killed it comes to the same. What each function does is on the log under the part of its idempotency key
that says what it is, `for_each/0/checked` for one inside.
"""

import asyncio

from crash.effects import done
from crash.flow_pipeline import soon
from crash.victim_pipeline import added as summed
from crash.victim_pipeline import at_once
from tagent.pipeline import ExecutionMode, Pipeline, PipelineStep, StepContext, repeat, switch, when
from tagent.pipeline.approval import Approval

NAME = "whole_pipeline"

GIVEN = {"rate": 2}
"""Of the steps that do not run: what they are held to have given."""

EDITED = {"letter": "Dear all"}
"""What counts instead of what these steps give, as somebody says who approves of them."""

LINES = ("tea", "milk")


def order(context: StepContext) -> dict[str, object]:
    done(context)
    return {"kind": "bug", "lines": list(LINES), "amount": 40}


def never(context: StepContext) -> str:
    done(context)
    raise AssertionError("It was left out.")


def rate(context: StepContext) -> int:
    done(context)
    raise AssertionError("It was given.")


async def fixed(order: dict[str, object], rate: int, context: StepContext) -> str:
    done(context)
    if context.attempt < 2:
        raise ConnectionError("not yet")
    return f"{order['kind']} x {rate}"


def draft(round: int, context: StepContext, previous: int | None = None) -> int:  # noqa: A002 - that is what it is called
    done(context)
    context.memory.pipeline.put("drafts", 1, merge=summed)
    if round == 2 and context.attempt < 2:
        raise ConnectionError("not yet")
    return (previous or 0) + round


def found(line: str, context: StepContext) -> str:
    done(context)
    context.messages.broadcast("crash.found", line)
    return f"found {line}"


def checked(found: str, context: StepContext) -> str:
    done(context)
    context.memory.run.put("checked", found)
    return f"{found}, checked"


async def sealed(checked: str, context: StepContext) -> str:
    done(context)
    await asyncio.sleep(0.001)
    if context.attempt < 2:
        raise ConnectionError("not yet")
    return f"{checked}, sealed"


def letter(context: StepContext) -> str:
    done(context)
    context.memory.pipeline.put("letter", context.attempt)
    return "Dear Ana"


async def costly() -> int:
    from crash.effects import noted  # whose program changes nothing of itself, as what is used again must not

    noted("costly")
    await asyncio.sleep(0.002)
    return 7


def planner(context: StepContext) -> str:
    done(context)
    context.plan.step("stamped", run=stamped, depends_on=["planner"], execution_mode=ExecutionMode.CONCURRENT)
    context.plan.depend("sent", on="stamped")
    context.plan.disable("dropped")
    return "planned"


def stamped(planner: str, context: StepContext) -> str:
    done(context)
    return f"{planner} and stamped"


def sent(letter: str, drafts: int, researched: list[str], context: StepContext, fixed: str = "nothing") -> str:
    done(context)
    return f"{letter}: {fixed}, {drafts}, {'; '.join(researched)}"


research = (
    Pipeline("research", default_mode=at_once)
    .step("found", run=found)
    .step("checked", run=checked, approval="output")
    .step("sealed", run=sealed, retry=soon)
)
pipeline = Pipeline("whole", default_mode=at_once, final="sent")
pipeline.step("order", run=order)
pipeline.step("rate", run=rate)
pipeline.add_step(switch("order.kind", {"bug": "fixed", "refund": "paid"}, default="paid", name="triage"))
pipeline.step("fixed", run=fixed, retry=soon)
pipeline.step("paid", run=never)
pipeline.add_step(when("steps.order.amount > 100", name="is_large").then("asked").otherwise("letter"))
pipeline.step("asked", run=never)
drafts = PipelineStep(name="drafts", run=draft, execution_mode=at_once, retry=soon)
pipeline.add_step(repeat(drafts, until="output >= 6", max_times=5))
pipeline.step("researched", pipeline=research, inputs={"line": "item"}, for_each="order.lines")
pipeline.step("letter", run=letter, depends_on=["order"], approval=Approval("output", "Send {order.kind}?"))
pipeline.step("costly", run=costly, cache="forever")
pipeline.step("costly_again", run=costly, cache="forever")
pipeline.step("planner", run=planner, approval=True)
pipeline.step("dropped", run=never, depends_on=["planner"])
pipeline.step("sent", run=sent, depends_on=["planner", "costly", "costly_again"], approval=True)
