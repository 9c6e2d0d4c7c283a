"""Broadcast: one step tells several pipelines in several processes.

    python examples/patterns/broadcast.py

starts them on a store in a temporary folder. By hand, each line in a terminal of its own, the shop last:

    export TAGENT_STORE=sqlite:///patterns.db
    tagent worker examples/patterns/broadcast.py:billing
    tagent worker examples/patterns/broadcast.py:shipping
    tagent run examples/patterns/broadcast.py:audit
    tagent run examples/patterns/broadcast.py:shop --input number:=7 --input item=teapot
    tagent messages list --to shop

The shop does not know who listens. `billing` and `shipping` are started by the event, by whichever worker
carries out their triggers; `audit` is a run that is waiting for it.
"""

import subprocess
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from pydantic import BaseModel

from tagent import run_agent
from tagent.pipeline import Pipeline, PipelineCommunicator, StepContext, on_event

PATIENCE_SECONDS = 60.0


class Order(BaseModel):
    """What somebody has bought."""

    number: int
    item: str


def announce(number: int, item: str, context: StepContext) -> str:
    """Tell everybody of an order."""
    context.messages.broadcast("orders.created", Order(number=number, item=item))
    return f"told everybody of order {number}"


def write_invoice(number: int, context: StepContext) -> str:
    """Write the invoice of an order, and tell the shop."""
    context.messages.send("shop", f"billing: invoice for order {number}, run started by the event")
    return f"I-{number}"


def pack(item: str, context: StepContext) -> str:
    """Pack what was ordered, and tell the shop."""
    context.messages.send("shop", f"shipping: {item} is packed, run started by the event")
    return item


def open_books(context: StepContext) -> str:
    """Say that from now on no order is missed: this run has begun."""
    context.messages.send("shop", "audit: listening", now=True)
    return "open"


def write_down(order: Order, context: StepContext) -> str:
    """Put an order into the books, and tell the shop."""
    context.messages.send("shop", f"audit: order {order.number} is in the books, run waited for the event")
    return f"{order.number} {order.item}"


shop = Pipeline("shop").step("announce", run=announce)
billing = Pipeline("billing", inputs=Order, triggers=[on_event("orders.created")]).step("invoice", run=write_invoice)
shipping = Pipeline("shipping", inputs=Order, triggers=[on_event("orders.*")]).step("pack", run=pack)
audit = (
    Pipeline("audit")
    .step("open", run=open_books)
    .step("order", wait_for="orders.created", output_schema=Order, timeout=PATIENCE_SECONDS)
    .step("books", run=write_down)
)


@contextmanager
def process(command: str, pipeline: str, store: str) -> Iterator[subprocess.Popen[str]]:
    """Start `tagent run` or `tagent worker` with a pipeline of this file; ask it to stop at the end."""
    tagent = Path(sysconfig.get_path("scripts"), "tagent")
    started = subprocess.Popen(  # noqa: S603 - this file
        [tagent, command, f"{__file__}:{pipeline}", "--store", store],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield started
    finally:
        started.terminate()
        started.communicate()


def wait_until_ready(worker: subprocess.Popen[str]) -> None:
    """Return once a worker says that its triggers have begun: from then on it misses nothing."""
    for line in worker.stderr or ():
        if "Ready" in line:
            return


def main() -> None:
    """Start everybody who listens, announce an order, and print what they say."""
    with TemporaryDirectory() as folder, ExitStack() as stack:
        store = f"sqlite:///{folder}/runs.db"
        workers = {name: stack.enter_context(process("worker", name, store)) for name in ("billing", "shipping")}
        stack.enter_context(process("run", "audit", store))
        mail = stack.enter_context(PipelineCommunicator("shop", store=store))
        print(mail.receive(timeout=PATIENCE_SECONDS).data)
        for name, worker in workers.items():
            wait_until_ready(worker)
            print(f"{name}: worker is ready")
        print(f"shop: {run_agent(shop, inputs={'number': 7, 'item': 'teapot'}, store=store).final_output}")
        for text in sorted(str(mail.receive(timeout=PATIENCE_SECONDS).data) for _ in range(3)):
            print(text)


if __name__ == "__main__":
    main()
