"""Forks and time travel: the parent stays, nothing before the fork point runs again, edits count from there."""

from collections.abc import Mapping

import pytest
from pydantic import BaseModel

from builders import CONCURRENT, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult, RunStatus
from tagent.pipeline.events import StepCompleted
from tagent.pipeline.exceptions import InputError, StepOutputError
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.models import StepStatus
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.stored.origins import NoPipelineError
from tagent.pipeline.transfer.comparing import compare_runs
from tagent.pipeline.transfer.edits import ForkError
from tagent.pipeline.transfer.forking import Fork, fork_run, state_at
from tagent.ports import Services
from tagent.ports.records import RunQuery
from tagent.ports.store_errors import UnknownRunError
from tagent.testing import ScriptedModel


class Facts(BaseModel):
    """What the first step finds."""

    words: list[str]


class Lab:
    """A pipeline `find -> (write, count) -> join`, what of it was called, and a run of it."""

    def __init__(self, *, breaks: bool = False, large: bool = False) -> None:
        self.calls: list[str] = []
        self.breaks = breaks
        self.model = ScriptedModel(lambda request: "again" if "xxx" in request.messages[-1].content else "once")
        self.services: Services = services(store=MemoryStore(), model=self.model)

        def find(topic: str) -> Facts:
            self.calls.append("find")
            return Facts(words=[topic, "x" * (40_000 if large else 1)])

        def count(find: Facts) -> int:
            self.calls.append("count")
            if self.breaks:
                raise ValueError("not today")
            return len(find.words)

        def join(write: str, count: int) -> str:
            self.calls.append("join")
            return f"{write}: {count}"

        self.pipeline = (
            Pipeline("lab", default_mode=CONCURRENT)
            .step("find", run=find)
            .step("write", "Write about {find.words[0]}")
            .step("count", run=count)
            .step("join", run=join)
        )

    async def run(self, topic: str = "tea") -> PipelineResult:
        executor = PipelineExecutor(
            self.pipeline, inputs={"topic": topic}, labels={"team": "blue"}, services=self.services
        )
        return await executor.execute()

    async def fork(self, parent: PipelineResult, **options: object) -> Fork:
        self.calls.clear()
        del self.model.requests[:]
        return await fork_run(parent.run_id, self.services, pipeline=self.pipeline, **options)  # type: ignore[arg-type]  # as given

    async def resume(self, fork: Fork) -> PipelineResult:
        return await resume_run(fork.run_id, self.services, TAgentConfig(), pipeline=self.pipeline)


async def test_a_fork_leaves_its_parent_untouched_and_runs_nothing_before_its_point_again() -> None:
    """Promise 11."""
    lab = Lab()
    parent = await lab.run()
    store = lab.services.store
    before = await store.run(parent.run_id), list(await store.records(parent.run_id))
    fork = await lab.fork(parent, from_step="count")
    assert (fork.reused, fork.again) == (("find", "write"), ("count", "join"))
    result = await lab.resume(fork)
    assert result.step_outputs == parent.step_outputs
    assert (lab.calls, len(lab.model.requests)) == (["count", "join"], 0)
    assert (await store.run(parent.run_id), list(await store.records(parent.run_id))) == before
    of_fork = await store.run(fork.run_id)
    assert (of_fork.parent, of_fork.forked_seq, of_fork.labels) == (parent.run_id, before[0].last_seq, {"team": "blue"})


async def test_new_inputs_count_for_what_runs_again() -> None:
    """What if it had been about coffee?"""
    lab = Lab()
    fork = await lab.fork(await lab.run(), from_step="find", overrides={"inputs": {"topic": "coffee"}})
    result = await lab.resume(fork)
    assert result.step_outputs["find"].words[0] == "coffee"
    assert lab.calls == ["find", "count", "join"]


async def test_a_new_goal_runs_its_step_and_what_depends_on_it_again() -> None:
    """Nobody has to name the step twice."""
    lab = Lab()
    fork = await lab.fork(await lab.run(), overrides={"steps": {"write": {"goal": "Write xxx"}}})
    assert fork.again == ("write", "join")
    result = await lab.resume(fork)
    assert result.step_outputs["write"] == "again"
    assert lab.calls == ["join"]


async def test_a_new_output_is_taken_as_given() -> None:
    """What if the count had been seven?"""
    lab = Lab()
    fork = await lab.fork(await lab.run(), overrides={"steps": {"count": {"output": 7}}})
    assert (fork.reused, fork.again) == (("find", "write", "count"), ("join",))
    assert str((await lab.resume(fork)).final_output).endswith(": 7")
    assert lab.calls == ["join"]


@pytest.mark.parametrize("where", [{}, {"from_step": "write"}])
async def test_a_new_model_counts_for_what_runs_again(where: Mapping[str, str]) -> None:
    """The rest stays what the old one made of it."""
    lab = Lab()
    parent = await lab.run()
    fork = await lab.fork(parent, overrides={"model": "test:other"}, **where)
    definition = await lab.services.store.definition((await lab.services.store.run(fork.run_id)).definition_hash)
    assert b'"model":"test:other"' in definition
    assert fork.again == (("write", "join") if where else ())


@pytest.mark.parametrize("at", range(1, 10))
async def test_a_fork_at_any_event_comes_to_the_same(at: int) -> None:
    """Time travel: the run as it was, gone on from there."""
    lab = Lab()
    parent = await lab.run()
    events = (await load_events(lab.services.store, parent.run_id))[:at]
    done = {event.step for event in events if isinstance(event, StepCompleted)}
    fork = await lab.fork(parent, at_event=at)
    assert set(fork.reused) == done
    result = await lab.resume(fork)
    assert (result.step_outputs, result.status) == (parent.step_outputs, RunStatus.COMPLETED)
    assert not done & set(lab.calls)


async def test_what_failed_in_the_parent_is_tried_again() -> None:
    """The usual reason to fork."""
    lab = Lab(breaks=True)
    parent = await lab.run()
    assert parent.status is RunStatus.FAILED
    lab.breaks = False
    fork = await lab.fork(parent, from_step="join")
    assert fork.again == ("count", "join")
    result = await lab.resume(fork)
    assert (result.status, lab.calls) == (RunStatus.COMPLETED, ["count", "join"])


async def test_large_outputs_are_shared_and_outlive_the_parent() -> None:
    """A fork of a large run is small, and does not lose what it shares when the parent is deleted."""
    lab = Lab(large=True)
    parent = await lab.run()
    store = lab.services.store
    assert all(len(record.payload) < 20_000 for record in await store.records(parent.run_id))
    fork = await lab.fork(parent, from_step="join")
    await store.delete(parent.run_id)
    result = await lab.resume(fork)
    assert result.step_outputs == parent.step_outputs
    assert len(result.step_outputs["find"].words[1]) == 40_000


async def test_a_fork_of_a_fork_is_a_fork() -> None:
    """People try several ways."""
    lab = Lab()
    fork = await lab.fork(await lab.run(), overrides={"steps": {"count": {"output": 7}}})
    await lab.resume(fork)
    again = await fork_run(fork.run_id, lab.services, from_step="join")
    assert str((await lab.resume(again)).final_output).endswith(": 7")
    assert (await lab.services.store.run(again.run_id)).parent == fork.run_id


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"from_step": "wirte"}, ForkError, "no step 'wirte'. Did you mean 'write'"),
        ({"at_event": 0}, ForkError, "events 1 to"),
        ({"at_event": 99}, ForkError, "events 1 to"),
        ({}, ForkError, "a place to begin"),
        ({"overrides": {"step": {}}}, ForkError, "'step' cannot be edited. Did you mean 'steps'"),
        ({"overrides": {"steps": {"cuont": {"output": 1}}}}, ForkError, "no step 'cuont'. Did you mean 'count'"),
        ({"overrides": {"steps": {"count": {"goal": "Count"}}}}, ForkError, "is a function"),
        ({"overrides": {"steps": {"write": {"gaol": "x"}}}}, ForkError, "Did you mean 'goal'"),
        ({"overrides": {"steps": {"write": {"goal": " "}}}}, ForkError, "must be a text"),
        ({"overrides": {"steps": ["write"]}}, ForkError, "map names"),
        ({"overrides": {"steps": {"count": {"output": "many"}}}}, StepOutputError, "count"),
        ({"overrides": {"inputs": {"topic": object()}}}, InputError, "topic"),
    ],
)
async def test_what_does_not_fit_is_told_and_makes_no_run(
    options: Mapping[str, object], kind: type[Exception], message: str
) -> None:
    """Before anything is written."""
    lab = Lab()
    parent = await lab.run()
    with pytest.raises(kind, match=message):
        await lab.fork(parent, **options)
    assert len(await lab.services.store.runs(RunQuery())) == 1


async def test_unknown_runs_and_code_that_nobody_has_are_told() -> None:
    """Both are mistakes of the caller."""
    lab = Lab()
    parent = await lab.run()
    with pytest.raises(UnknownRunError):
        await fork_run("run-x", lab.services, from_step="join")
    with pytest.raises(NoPipelineError, match="built in code"):
        await fork_run(parent.run_id, lab.services, overrides={"steps": {"count": {"output": 1}}})


async def test_the_state_at_an_event_is_what_it_was() -> None:
    """Looking back changes nothing."""
    lab = Lab()
    run_id = (await lab.run()).run_id
    first = await state_at(lab.services.store, run_id, 1)
    assert set(first.statuses.values()) == {StepStatus.PENDING}
    now = await state_at(lab.services.store, run_id)
    assert now.status is RunStatus.COMPLETED
    with pytest.raises(ForkError, match="not 1000"):
        await state_at(lab.services.store, run_id, 1000)


async def test_two_runs_are_compared_step_by_step() -> None:
    """What did the edit change?"""
    lab = Lab()
    parent = await lab.run()
    fork = await lab.fork(parent, overrides={"steps": {"count": {"output": 7}}})
    await lab.resume(fork)
    found = await compare_runs(lab.services.store, parent.run_id, fork.run_id)
    assert {step.step: step.is_equal for step in found.steps} == {
        "find": True,
        "write": True,
        "count": False,
        "join": False,
    }
    assert (found.steps[2].before.output, found.steps[2].after.output) == (2, 7)
