"""Forks of runs with parts, conditions, fallbacks, rollbacks and pauses: what is taken over, and what begins anew."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from builders import CONCURRENT, services
from tagent.adapters.storage.memory import MemoryStore
from tagent.adapters.storage.urls import open_store
from tagent.config import TAgentConfig
from tagent.pipeline import (
    Dependency,
    DependencyType,
    ExecutionMode,
    Pipeline,
    PipelineExecutor,
    PipelineResult,
    RunStatus,
    StepStatus,
)
from tagent.pipeline.events import (
    COMPENSATION,
    ConditionJudged,
    PartCompleted,
    PartStarted,
    RunEvent,
    RunFinished,
    RunHalted,
    RunPaused,
    StepSubstituted,
)
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.transfer.forking import Fork, fork_run, state_at
from tagent.ports import Services, Store
from tagent.testing import ScriptedModel

PARALLEL = ExecutionMode.PARALLEL_MERGE


class Lab:
    """A pipeline that has everything, what of it was called, and a run of it that is rolled back and taken up again."""

    def __init__(self, store: Store | None = None) -> None:
        self.calls: Counter[str] = Counter()
        self.is_broken = True
        self.services: Services = services(store=store or MemoryStore(), model=ScriptedModel(lambda request: "text"))
        self.pipeline = (
            Pipeline("all", default_mode=CONCURRENT, on_failure="rollback")
            .step("book", run=lambda: self._called("book", 7), compensate=lambda: self._called("unbook", None))
            .step("found", run=lambda: self._called("found", [1, 2, 3, 4]))
            .step("fetch", run=self.fetch, for_each="found", execution_mode=PARALLEL, min_success=3, max_retries=1)
            .step("both", branches={"left": "Say left", "right": lambda: 2}, execution_mode=PARALLEL)
            .step("rate", run=lambda: self._broken("rate"), max_retries=0, on_error="old_rate")
            .step("old_rate", run=lambda: self._called("old_rate", 1.5))
            .step("extra", run=lambda: self._broken("extra"), max_retries=0, optional=True)
            .step("big", run=lambda: self._called("big", 1), condition="size(steps.found) > 9")
            .step("small", run=lambda: self._called("small", 1), condition=lambda found: len(found) < 9)
            .step("off", run=lambda: self._called("off", 1), enabled=False)
            .step(
                "end",
                run=self.end,
                depends_on=["fetch", "both", "rate", Dependency("extra", DependencyType.SOFT, wait_seconds=5)],
            )
        )

    def _called(self, name: str, output: object) -> object:
        self.calls[name] += 1
        return output

    def _broken(self, name: str) -> object:
        self.calls[name] += 1
        raise TypeError(name)

    def fetch(self, item: int) -> int:
        self.calls[f"fetch {item}"] += 1
        if item == 3:
            raise TypeError("three")
        return 10 * item

    def end(self, fetch: Sequence[int], rate: float, book: int, small: int = 0, big: int = 0) -> Sequence[object]:
        self.calls["end"] += 1
        if self.is_broken:
            raise TypeError("not yet")
        return [list(fetch), rate, book, small, big]

    async def run(self) -> PipelineResult:
        """Have it rolled back first, and completed when it is taken up again."""
        first = await PipelineExecutor(self.pipeline, services=self.services).execute()
        assert first.status is RunStatus.FAILED
        assert first.step_metadata["book"]["status"] is StepStatus.COMPENSATED
        self.is_broken = False
        return await self.resume(first.run_id)

    async def fork(self, run_id: str, **options: object) -> Fork:
        self.calls.clear()
        return await fork_run(run_id, self.services, pipeline=self.pipeline, **options)  # type: ignore[arg-type]  # as given

    async def resume(self, run_id: str) -> PipelineResult:
        return await resume_run(run_id, self.services, TAgentConfig(), pipeline=self.pipeline)

    async def events(self, run_id: str) -> tuple[RunEvent, ...]:
        return await load_events(self.services.store, run_id)


EXPECTED = [[10, 20, 40], 1.5, 7, 1, 0]


def fates(result: PipelineResult) -> Mapping[str, StepStatus]:
    return {name: told["status"] for name, told in result.step_metadata.items()}


async def test_a_fork_at_every_event_of_a_run_that_has_everything_comes_to_the_same() -> None:
    """Time travel, also into the middle of a rollback: nothing that is reused runs again, and the end is a good one."""
    lab = Lab()
    parent = await lab.run()
    assert parent.final_output == EXPECTED
    count = len(await lab.events(parent.run_id))
    for at in range(1, count + 1):
        fork = await lab.fork(parent.run_id, at_event=at)
        before = await state_at(lab.services.store, fork.run_id)
        assert before.halted is None
        assert set(fork.reused) == {n for n, s in before.statuses.items() if s is StepStatus.COMPLETED}
        assert not set(fork.reused) & set(fork.again)
        result = await lab.resume(fork.run_id)
        assert (at, result.status, result.final_output) == (at, RunStatus.COMPLETED, EXPECTED)
        assert (at, fates(result)) == (at, fates(parent))
        assert not set(fork.reused) & set(lab.calls), at
        assert not lab.calls["unbook"], "nothing is undone in a fork that was undone in its parent"
        assert max(lab.calls.values(), default=0) <= 1, at


async def test_a_fork_at_many_events_in_a_file_comes_to_the_same(tmp_path: Path) -> None:
    """The same through a store that keeps records and no objects."""
    store = open_store(f"sqlite:///{tmp_path}/runs.db?synchronous=normal")
    try:
        lab = Lab(store)
        parent = await lab.run()
        count = len(await lab.events(parent.run_id))
        for at in range(1, count + 1, 7):
            fork = await lab.fork(parent.run_id, at_event=at)
            assert (await lab.resume(fork.run_id)).final_output == EXPECTED
    finally:
        await store.close()


@pytest.mark.parametrize(
    ("step", "again"),
    [
        ("found", {"found", "fetch", "small", "big", "end"}),
        ("fetch", {"fetch", "end"}),
        ("both", {"both", "end"}),
        ("rate", {"rate", "old_rate", "end"}),
        ("old_rate", {"rate", "old_rate", "end"}),
        ("small", {"small", "end"}),
        ("book", {"book", "end"}),
    ],
)
async def test_from_a_step_on_all_that_rests_on_it_begins_anew(step: str, again: set[str]) -> None:
    """Its parts, its condition and what took its place with it; all else stays as it was."""
    lab = Lab()
    parent = await lab.run()
    fork = await lab.fork(parent.run_id, from_step=step)
    assert set(fork.again) - {"extra"} == again, "what has failed is tried again, too"
    taken = [e.step for e in await lab.events(fork.run_id) if not isinstance(e, RunHalted) and hasattr(e, "step")]
    assert not again & set(taken)
    result = await lab.resume(fork.run_id)
    assert (result.status, result.final_output, fates(result)) == (RunStatus.COMPLETED, EXPECTED, fates(parent))


async def test_how_the_parent_ended_is_not_taken_over() -> None:
    """A fork of a run that was rolled back is neither halted nor finished, and undoes nothing that it has not done."""
    lab = Lab()
    first = await PipelineExecutor(lab.pipeline, services=lab.services).execute()
    fork = await lab.fork(first.run_id, from_step="end")
    taken = await lab.events(fork.run_id)
    assert not [event for event in taken if isinstance(event, RunHalted | RunFinished | RunPaused)]
    assert not [event for event in taken if isinstance(event, PartStarted) and event.part == COMPENSATION]
    assert "book" in fork.again, "what was undone is not there any more"
    assert "found" in fork.reused
    lab.is_broken = False
    assert (await lab.resume(fork.run_id)).final_output == EXPECTED
    assert (lab.calls["book"], lab.calls["found"], lab.calls["unbook"]) == (1, 0, 0)


async def test_a_fork_that_fails_itself_is_rolled_back_itself() -> None:
    """What it has taken over is its own to undo."""
    lab = Lab()
    parent = await lab.run()
    fork = await lab.fork(parent.run_id, from_step="end")
    lab.is_broken = True
    result = await lab.resume(fork.run_id)
    assert (result.code, fates(result)["book"], lab.calls["unbook"]) == ("run.rollback", StepStatus.COMPENSATED, 1)


async def test_what_could_not_be_undone_in_the_parent_is_undone_in_a_fork_that_fails() -> None:
    """It is there in both, and each has its own chance."""
    tries: list[str] = []

    def undo() -> None:
        tries.append("undo")
        if len(tries) == 1:
            raise TypeError("later")

    def fail(book: int) -> None:
        raise TypeError("no")

    pipeline = Pipeline("p", on_failure="rollback").step("book", run=lambda: 7, compensate=undo)
    pipeline.step("fail", run=fail)
    opened = services(store=MemoryStore())
    parent = await PipelineExecutor(pipeline, services=opened).execute()
    assert parent.step_metadata["book"]["code"] == "step.compensation"
    fork = await fork_run(parent.run_id, opened, from_step="fail")
    assert fork.reused == ("book",)
    result = await resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline)
    assert (tries, fates(result)["book"]) == (["undo", "undo"], StepStatus.COMPENSATED)


async def test_finished_parts_are_reused_by_a_fork() -> None:
    """412 of 1,000 items cost the same as they cost before: nothing."""
    lab = Lab()
    parent = await lab.run()
    events = await lab.events(parent.run_id)
    [first, second] = [n for n, e in enumerate(events, 1) if isinstance(e, PartCompleted) and e.step == "fetch"][:2]
    fork = await lab.fork(parent.run_id, at_event=second)
    assert fork.parts["fetch"] == 2
    done = {event.part for event in events[:second] if isinstance(event, PartCompleted) and event.step == "fetch"}
    await lab.resume(fork.run_id)
    assert not {f"fetch {int(part) + 1}" for part in done} & set(lab.calls)
    assert first < second


async def test_the_places_between_a_judgement_and_what_it_leads_to_are_places_like_any_other() -> None:
    """A condition that does not hold does not hold in a fork either, and what has failed keeps its substitute."""
    lab = Lab()
    parent = await lab.run()
    events = await lab.events(parent.run_id)
    judged = [n for n, e in enumerate(events, 1) if isinstance(e, ConditionJudged) and not e.holds]
    substituted = [n - 1 for n, e in enumerate(events, 1) if isinstance(e, StepSubstituted)]
    assert judged
    assert substituted
    for at in (*judged, *substituted):
        fork = await lab.fork(parent.run_id, at_event=at)
        assert fates(await lab.resume(fork.run_id)) == fates(parent)


async def test_a_paused_run_can_be_forked() -> None:
    """What waits for a larger budget may as well go on as another run."""
    pipeline = Pipeline("p", on_budget="wait").step("a", "Say it").step("b", "Say {a}")
    opened = services(store=MemoryStore(), model=ScriptedModel(lambda request: "text"))
    call = TAgentConfig(max_model_calls=1)
    parent = await PipelineExecutor(pipeline, overrides=call, services=opened).execute()
    assert parent.status is RunStatus.WAITING
    fork = await fork_run(parent.run_id, opened, at_event=len(await load_events(opened.store, parent.run_id)))
    assert (fork.reused, fork.again) == (("a",), ("b",))
    taken = await load_events(opened.store, fork.run_id)
    assert not [event for event in taken if isinstance(event, RunPaused)]
    more = TAgentConfig(max_model_calls=5)
    result = await resume_run(fork.run_id, opened, TAgentConfig(), pipeline=pipeline, overrides=more)
    assert (result.status, result.final_output) == (RunStatus.COMPLETED, "text")
