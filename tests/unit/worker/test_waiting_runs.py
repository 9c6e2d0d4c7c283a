"""A worker takes up runs that wait for somebody as soon as he has answered, or his time is over."""

import json
import logging
from dataclasses import replace

import pytest

from builders import returning, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import Approval, Pipeline, PipelineExecutor
from tagent.pipeline.answering.answering import answer_approval
from tagent.pipeline.answering.documents import ANSWERED, SCOPE, OpenApproval
from tagent.pipeline.answering.workers import living_workers
from tagent.ports import Services
from tagent.ports.documents import Document, DocumentQuery, Put
from tagent.ports.effects import Effects
from tagent.testing import ManualClock
from tagent.worker import approvals
from tagent.worker.approvals import Answers
from tagent.worker.worker import LEFTOVERS_SECONDS
from workers import Shop, until

URL = "shop://"


def refunds(**limit: object) -> Pipeline:
    """Return a pipeline with a step that somebody has to approve."""
    return Pipeline("refunds").step("refund", run=returning("paid"), approval=Approval(**limit))  # type: ignore[arg-type]


def opened_on(shop: Shop) -> Services:
    """Return services on the shop's store, which is one that can be opened again."""
    return replace(services(clock=shop.clock, store=shop.store), store_url=URL)


async def waiting_in(shop: Shop) -> str:
    """Return a run that waits, and that nobody drives."""
    result = await PipelineExecutor(shop.pipelines[0], services=opened_on(shop)).execute()
    assert result.status == "waiting"
    return result.run_id


async def status_of(shop: Shop) -> str:
    """Return where the only run stands."""
    (run,) = await shop.runs()
    return run.status


async def test_an_answer_lets_a_worker_go_on_within_seconds() -> None:
    """Whoever answers is told that it does."""
    shop = Shop(refunds(), store_url=URL)
    run_id = await waiting_in(shop)
    hired = shop.hire()
    await shop.clock.sleep(60)
    assert await status_of(shop) == "waiting"
    answered_at = shop.clock.now()
    answered = await answer_approval(run_id, "refund", opened_on(shop), is_approved=True)
    assert (answered.goes_on.by, answered.goes_on.process) == ("worker", hired.name)
    (run,) = await shop.finished(1)
    await hired.stop()
    assert run.status == "completed"
    assert run.finished_at is not None
    assert run.finished_at <= answered_at + 3
    assert hired.worker.status.resumed == 1


@pytest.mark.parametrize("after_a_look", [0.1, 0.5, 0.9, 1.5])
async def test_an_answer_right_behind_a_look_does_not_wait_for_a_whole_pause(after_a_look: float) -> None:
    """It looks again as soon as it may, and not as late as without a hint."""
    shop = Shop(refunds(), store_url=URL)
    run_id = await waiting_in(shop)
    hired = shop.hire()
    await shop.clock.sleep(60 + after_a_look)  # it looks every two seconds
    answered_at = shop.clock.now()
    await answer_approval(run_id, "refund", opened_on(shop), is_approved=True)
    (run,) = await shop.finished(1)
    await hired.stop()
    assert run.finished_at is not None
    assert run.finished_at <= max(answered_at, 60 + LEFTOVERS_SECONDS) + 0.2


async def test_the_end_of_the_time_lets_a_worker_go_on_when_it_comes() -> None:
    """Not seconds later: it knows when that is."""
    shop = Shop(refunds(timeout=1001.2, default="approve"), store_url=URL)
    await waiting_in(shop)
    hired = shop.hire()
    (run,) = await shop.finished(1)
    await hired.stop()
    assert run.status == "completed"
    assert run.finished_at is not None
    assert 1001.2 <= run.finished_at < 1001.5


async def test_of_several_workers_one_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    """And the others do not complain."""
    shop = Shop(refunds(), store_url=URL)
    run_id = await waiting_in(shop)
    crew = [shop.hire() for _ in range(3)]
    await crew[0].looks()
    await answer_approval(run_id, "refund", opened_on(shop), is_approved=True)
    (run,) = await shop.finished(1)
    for hired in crew:
        await hired.stop()
    assert (run.status, sum(hired.worker.status.resumed for hired in crew)) == ("completed", 1)
    assert [it for it in caplog.records if it.levelno >= logging.WARNING] == []


async def test_a_worker_that_cannot_go_on_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """The run was built in code that it does not have; the answer stays for whoever has it."""
    shop = Shop(refunds(), store_url=URL)
    run_id = await waiting_in(shop)
    hired = shop.hire(Pipeline("reports").step("text", run=returning("text")))
    answered = await answer_approval(run_id, "refund", opened_on(shop), is_approved=True)
    assert answered.goes_on.by == "nobody"
    with caplog.at_level(logging.WARNING):
        await shop.clock.sleep(60)
    await hired.stop()
    assert len([it for it in caplog.records if "cannot be resumed" in it.message]) == 1
    assert await status_of(shop) == "waiting"


async def test_a_run_that_waits_on_after_its_answer_is_not_taken_up_again_and_again() -> None:
    """An answer that its run cannot read would keep a worker busy for ever."""
    shop = Shop(refunds(), store_url=URL)
    run_id = await waiting_in(shop)
    found = await shop.store.document(SCOPE, f"{run_id}/refund")
    assert found is not None
    old = json.loads(found.value) | {"at": 1.0, "answer": {"is_approved": True, "actor": "eve", "at": 2.0}}
    await shop.store.write(Effects(puts=(Put(SCOPE, found.key, json.dumps(old).encode()),)))
    hired = shop.hire()
    await shop.clock.sleep(60)
    assert hired.worker.status.resumed == 1
    assert await status_of(shop) == "waiting"
    await answer_approval(run_id, "refund", opened_on(shop), is_approved=True)
    (run,) = await shop.finished(1)
    await hired.stop()
    assert run.status == "completed"


@pytest.mark.parametrize("junk", [b"", b"[]", b'{"run_id": "none"}'])
async def test_nonsense_among_the_approvals_does_no_harm(junk: bytes) -> None:
    """Anybody can write there; approvals of runs that do not exist neither."""
    shop = Shop(refunds(), store_url=URL)
    run_id = await waiting_in(shop)
    made_up = OpenApproval("no-run", "refunds", "refund", "start", "?", 1.0, due_at=2.0)
    whole = {name: getattr(made_up, name) for name in OpenApproval.__slots__}  # type: ignore[attr-defined]  # a value has them
    puts = (Put(SCOPE, "a/b", junk, text="answered"), Put(SCOPE, "no-run/refund", json.dumps(whole).encode()))
    await shop.store.write(Effects(puts=puts))
    hired = shop.hire()
    await answer_approval(run_id, "refund", opened_on(shop), is_approved=True)
    (run,) = await shop.finished(1)
    assert hired.worker.status.is_healthy
    await hired.stop()
    assert run.status == "completed"


async def announced(shop: Shop) -> set[str]:
    """Return the processes of the workers that are known to live."""
    return {it.process for it in await living_workers(opened_on(shop))}


async def test_a_worker_is_known_while_it_lives_and_no_longer() -> None:
    """One that ends says so; one that dies is believed to live for a while, where nobody can see its process."""
    shop = Shop(refunds(), store_url=URL)
    first, second = shop.hire(), shop.hire()
    await first.looks()
    assert await announced(shop) == {first.name, second.name}
    status = first.worker.status
    assert (status.is_announced, status.pipelines) == (True, ("refunds",))
    await shop.clock.sleep(600)
    assert await announced(shop) == {first.name, second.name}
    await first.stop()
    assert await announced(shop) == {second.name}
    assert not first.worker.status.is_announced
    await second.die()
    await shop.clock.sleep(16)
    assert await announced(shop) == set()


async def test_a_worker_whose_store_was_away_announces_itself_again() -> None:
    """It does not end, and is not healthy meanwhile."""
    shop = Shop(refunds(), store_url=URL)
    hired = shop.hire()
    await hired.looks()
    hired.connection.is_broken = True
    await shop.clock.sleep(20)
    assert not hired.worker.status.is_announced
    assert await announced(shop) == set()
    hired.connection.is_broken = False

    async def is_back() -> bool:
        await shop.clock.sleep(1)
        return hired.worker.status.is_announced

    await until(is_back)
    assert await announced(shop) == {hired.name}
    await hired.stop()


class Counting:
    """A store that counts the documents that are read of it."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.read = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def documents(self, query: DocumentQuery) -> list[Document]:
        found = list(await self._store.documents(query))
        self.read += len(found)
        return found


async def test_ten_thousand_that_wait_are_not_read_at_every_look() -> None:
    """What is answered is asked for by itself; all are read now and then, the less often the longer that takes."""
    clock = ManualClock(1000.0)
    store = Counting(MemoryStore(now=clock.now))
    puts = []
    for number in range(10_000):
        asked = OpenApproval(f"run-{number:05}", "refunds", "refund", "start", "?", 1.0)
        whole = {name: getattr(asked, name) for name in OpenApproval.__slots__}  # type: ignore[attr-defined]  # a value has them
        puts.append(Put(SCOPE, f"{asked.run_id}/refund", json.dumps(whole).encode()))
    answered = json.loads(puts[7].value or b"") | {"answer": {"is_approved": True, "actor": "ana", "at": 2.0}}
    await store._store.write(Effects(puts=tuple(puts)))
    answers = Answers(replace(services(clock=clock), store=store))  # type: ignore[arg-type]  # it passes all on
    assert await answers.found() == []
    assert store.read == 10_000
    put = Put(SCOPE, puts[7].key, json.dumps(answered).encode(), text=ANSWERED)
    await store._store.write(Effects(puts=(put,)))
    (word,) = await answers.found()
    assert (word.run_id, store.read) == ("run-00007", 10_001)
    answers.settle(word)
    assert await answers.found() == []
    clock.advance(approvals.SHORTEST_SECONDS)
    assert await answers.found() == []
    assert store.read == 20_003
