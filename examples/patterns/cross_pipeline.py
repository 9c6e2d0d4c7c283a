"""Cross-pipeline: two pipelines in two processes ask, answer and send each other what they need.

    python examples/patterns/cross_pipeline.py

starts both on a store in a temporary folder. By hand, in two terminals, in either order:

    tagent run examples/patterns/cross_pipeline.py:warehouse --store sqlite:///patterns.db
    tagent run examples/patterns/cross_pipeline.py:shop --input item=teapot --store sqlite:///patterns.db

    shop                                              warehouse
    ask     -- is there a teapot? ------------------> answer    a request, and its reply
            <---------------------------- yes, 3 ----
    order   -- two teapots, for run 1f2e -----------> pack      a message to the mailbox of a pipeline
    parcel  <---------------------- parcel P-2 ------           a message to the mailbox of one run

What a step sends counts when it succeeds. If a process is killed, `tagent runs resume`, or a `tagent worker`
that looks after the store, goes on: nothing is asked, ordered or packed twice.
"""

import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from tagent.pipeline import Pipeline, StepContext, event

PATIENCE_SECONDS = 60.0


class Question(BaseModel):
    """Is there any?"""

    item: str


class Stock(BaseModel):
    """So many."""

    count: int


class Order(BaseModel):
    """So many of this, for the run that asks."""

    item: str
    count: int
    run_id: str


class Parcel(BaseModel):
    """What was sent."""

    number: str


async def ask(item: str, context: StepContext) -> Stock:
    """Ask the warehouse and wait for the answer."""
    answer: Stock = await context.messages.arequest(
        "warehouse", Question(item=item), timeout=PATIENCE_SECONDS, schema=Stock
    )
    return answer


def order(item: str, ask: Stock, context: StepContext) -> Order:
    """Order all but one."""
    wanted = Order(item=item, count=ask.count - 1, run_id=context.run_id)
    context.messages.send("warehouse", wanted)
    return wanted


def summary(order: Order, parcel: Parcel) -> str:
    """Say what came of it."""
    return f"ordered {order.count} x {order.item}, they come with parcel {parcel.number}"


shop = (
    Pipeline("shop")
    .step("ask", run=ask)
    .step("order", run=order)
    .step("parcel", wait_for=event(from_="run"), output_schema=Parcel, timeout=PATIENCE_SECONDS)
    .step("summary", run=summary)
)


async def answer(context: StepContext) -> str:
    """Take a question from the mailbox and answer it."""
    question = await context.messages.areceive(timeout=PATIENCE_SECONDS, schema=Question)
    context.messages.reply(question, Stock(count=3))
    return f"answered {question.sender}"


async def pack(answer: str, context: StepContext) -> str:
    """Take an order from the mailbox and send the parcel to the run that it is for."""
    message = await context.messages.areceive(timeout=PATIENCE_SECONDS, schema=Order)
    wanted: Order = message.data
    context.messages.send(f"run:{wanted.run_id}", Parcel(number=f"P-{message.seq}"))
    return f"{answer}, packed {wanted.count} x {wanted.item}"


warehouse = Pipeline("warehouse").step("answer", run=answer).step("pack", run=pack)

if __name__ == "__main__":
    tagent = Path(sysconfig.get_path("scripts"), "tagent")
    commands = {"warehouse": ["warehouse"], "shop": ["shop", "--input", "item=teapot"]}
    with TemporaryDirectory() as folder:
        store = f"sqlite:///{folder}/runs.db"
        processes = {
            name: subprocess.Popen(  # noqa: S603 - this file
                [tagent, "run", f"{__file__}:{pipeline}", *inputs, "--store", store],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for name, (pipeline, *inputs) in commands.items()
        }
        for name, process in processes.items():
            said, log = process.communicate()
            print(f"{name:<9} (process {process.pid}): {said.strip() or log}")
    sys.exit(any(process.returncode for process in processes.values()))
