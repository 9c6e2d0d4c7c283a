"""What really happened in the world of a run, compared with what its journal says: neither more nor too early."""

from collections import Counter
from collections.abc import Sequence

from property.flow_known import deep, starts
from property.flow_oracle import plan_of
from property.flow_plans import FlowPlan
from property.flow_world import APPROVED, World
from tagent.pipeline.events import CONDITION, ApprovalRequested, PartStarted, RunEvent, StepCompleted
from tagent.pipeline.journal.serialization import event_of
from tagent.ports import Batch


def check_deeds(world: World, events: Sequence[RunEvent], *, crashes: int = 0) -> None:
    """Check that nothing ran that was not begun, nor again what was done: work, model calls, what is kept.

    Args:
        world: What happened, whatever process did it.
        events: The journal.
        crashes: How many processes have died.

    Raises:
        AssertionError: If something happened too often.
    """
    begun = Counter((it.work, it.attempt) for it in world.begun)
    too_often = begun - Counter(starts(events))
    assert not too_often, f"the journal does not know of {too_often}"
    asked = Counter(it.step for it in deep(events) if isinstance(it, PartStarted) and it.part == CONDITION)
    assert world.asked <= asked, f"the model was asked again: {world.asked - asked}"
    held = Counter[int]()  # what nobody has approved yet is not kept
    for it in deep(events):
        if isinstance(it, ApprovalRequested) and it.of == "output":
            flow, place = world.known[it.step]
            kept = plan_of(flow, place).cache
            held.update([] if kept is None else [kept.number])
    for number, times in world.computed.items():
        assert times <= 1 + crashes + held[number], f"the work {number} was done {times} times, and its output kept"


def check_approved(flow: FlowPlan, batches: Sequence[Batch], events: Sequence[RunEvent]) -> None:
    """Check that what waits for a yes has its effects in the commit by which it counts, and nowhere else.

    Raises:
        AssertionError: If there is an effect too early, or none.
    """
    written = Counter[str]()
    for batch in batches:
        keys = [put.key.removeprefix(APPROVED) for put in batch.effects.puts if put.key.startswith(APPROVED)]
        if keys:
            done = [it.step for it in deep(map(event_of, batch.records)) if isinstance(it, StepCompleted)]
            assert set(keys) <= set(done), f"{keys} are written, and {done} done"
            written.update(keys)
    waiting = {*writers(flow)}
    counted = Counter(it.step for it in deep(events) if isinstance(it, StepCompleted) and it.step in waiting)
    assert written == counted, "what is approved counts, and nothing else"


def writers(flow: FlowPlan) -> list[str]:
    """Return the steps that write something and wait for a yes to what they give."""
    found: list[str] = []
    for name, step in flow:
        if step.inner is not None:
            found += writers(step.inner)
        elif step.approval is not None and step.approval.of == "output" and step.is_plain_work:
            found.append(name)
    return found
