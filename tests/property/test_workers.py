"""Workers that come, stop, die and lose their store at any moment, and what is true all the same."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from random import Random

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tagent.pipeline import Pipeline, on_event, on_schedule
from tagent.ports.records import RunRecord
from workers import Hired, Shop

acts = st.one_of(
    st.tuples(st.just("send"), st.integers(1, 4)),
    st.tuples(st.just("hire"), st.just(0)),
    st.tuples(st.just("stop"), st.integers(0, 3)),
    st.tuples(st.just("die"), st.integers(0, 3)),
    st.tuples(st.just("lose"), st.integers(1, 12)),
    st.tuples(st.just("lose the answer"), st.integers(1, 12)),
    st.tuples(st.just("wait"), st.integers(1, 90)),
)


@example(plan=[("hire", 0), ("hire", 0), ("wait", 90), ("wait", 90), ("send", 2), ("wait", 90)], seed=1)
@settings(max_examples=25, deadline=None)
@given(plan=st.lists(acts, max_size=8), seed=st.integers(0, 1000))
def test_each_message_starts_exactly_one_run_and_each_time_at_most_one(plan: list[tuple[str, int]], seed: int) -> None:
    """However many workers there are, and whenever they crash: a run begins together with the fact that it has."""
    asyncio.run(_carry_out(plan, Random(seed)))  # noqa: S311 - no secret


async def _carry_out(plan: list[tuple[str, int]], chance: Random) -> None:
    done: Counter[int] = Counter()

    async def prepare(number: int = -1) -> int:
        await asyncio.sleep(0)
        return number

    async def finish(prepare: int) -> None:
        done[prepare] += 1

    pipeline = Pipeline("orders", triggers=[on_event("orders.#"), on_schedule("* * * * *")])
    pipeline.step("prepare", run=prepare).step("finish", run=finish)
    shop = Shop(pipeline, slowness=lambda: chance.choice([0.0, 0.001, 0.01]))
    first = shop.hire()
    await first.looks()
    crew, sent = [first], 0
    for act, number in plan:
        if act == "send":
            await shop.send("topic:orders.new", *({"number": sent + each} for each in range(number)))
            sent += number
        elif act == "hire":
            crew.append(shop.hire())
        elif act == "wait":
            await shop.clock.sleep(number)
        elif crew:
            await _meet_with(act, crew, number)
    for hired in crew:
        await hired.die()
    last = shop.hire()
    runs = await _all_done(shop, sent)
    await last.stop()
    triggered = Counter(run.labels["trigger"] for run in runs)
    assert set(triggered.values()) <= {1}
    assert {f"orders.new {seq}" for seq in range(1, sent + 1)} <= triggered.keys()
    assert {run.status for run in runs} <= {"completed"}
    assert done.keys() >= set(range(sent))


async def _meet_with(act: str, crew: list[Hired], number: int) -> None:
    """Let something happen to one of the workers."""
    if act.startswith("lose"):
        crew[number % len(crew)].connection.break_at(number, is_answer_lost=act == "lose the answer")
        return
    hired = crew.pop(number % len(crew))
    await (hired.die() if act == "die" or hired.connection.is_broken else hired.stop())


async def _all_done(shop: Shop, sent: int) -> Sequence[RunRecord]:
    """Return the runs once each message has one and all of them are finished."""
    while True:
        runs = await shop.runs()
        started = sum(run.labels["trigger"].startswith("orders.new") for run in runs)
        if started >= sent and all(run.finished_at is not None for run in runs):
            return runs
        await shop.clock.sleep(1)
