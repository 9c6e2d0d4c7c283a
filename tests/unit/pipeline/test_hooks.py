"""Hooks before and after each attempt: what they are told, when, and that nothing they do fails a run."""

import asyncio
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from builders import raising, returning, run, services
from tagent.adapters.clock import SystemClock
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, RunStatus, StepContext, StepStatus, validate
from tagent.pipeline import hooks as hooks_module
from tagent.pipeline.hooks import Hooks, StepOutcome
from tagent.pipeline.journal.loading import load_events
from tagent.ports import Services
from tagent.retries import RetryPolicy
from tagent.testing import ScriptedModel


def context() -> StepContext:
    return StepContext("run-1", "s", 1, "run-1/s", facts={"a": 1})


def real_time() -> Services:
    """Services whose clock does not jump while a thread works."""
    return services(clock=SystemClock())


async def test_hooks_see_every_attempt_and_how_it_ended() -> None:
    """Also those that are followed by another one."""
    seen: list[object] = []

    async def before(context: StepContext) -> None:
        seen.append(("before", context.step, context.attempt, dict(context.inputs)))

    async def after(context: StepContext, outcome: StepOutcome) -> None:
        seen.append(("after", context.attempt, outcome.status, outcome.output, outcome.code))

    pipeline = Pipeline("p", before_step=[before], after_step=[after])
    step = raising(OSError("away"), times=1, then={"n": 7})
    ran = await run(pipeline.step("s", run=step, retry=RetryPolicy(jitter=False)), inputs={"city": "Lisbon"})
    assert ran.result.final_output == {"n": 7}
    assert seen == [
        ("before", "s", 1, {"city": "Lisbon"}),
        ("after", 1, StepStatus.WAITING, None, "step.failed"),
        ("before", "s", 2, {"city": "Lisbon"}),
        ("after", 2, StepStatus.COMPLETED, {"n": 7}, ""),
    ]


async def test_a_hook_is_called_once_the_start_or_the_outcome_is_committed_and_before_the_work() -> None:
    """It may tell others, and what it tells them must not be undone by a crash."""
    opened = services()
    seen: list[str] = []

    async def look(*told: object) -> None:
        kinds = [type(event).__name__ for event in await load_events(opened.store, "run-1")]
        seen.append(f"{'after' if len(told) > 1 else 'before'} {kinds[-1]}")

    async def work() -> None:
        seen.append("work")

    pipeline = Pipeline("p", before_step=[look], after_step=[look]).step("s", run=work)
    assert (await PipelineExecutor(pipeline, services=opened).execute()).success
    assert seen[:2] == ["before StepStarted", "work"]
    assert seen[2] in {"after StepCompleted", "after RunFinished"}  # one commit may hold both


async def test_hooks_are_told_of_agents_and_of_parts() -> None:
    """What a step is made of does not matter to whoever watches."""
    seen: list[tuple[str, str]] = []

    async def before(context: StepContext) -> None:
        seen.append((context.step, context.part))

    pipeline = Pipeline("p", before_step=[before]).step("write", "Write it")
    pipeline.step("both", execution_mode=ExecutionMode.PARALLEL_MERGE, branches={"a": returning(1), "b": returning(2)})
    ran = await run(pipeline, model=ScriptedModel(["It."]))
    assert ran.result.success
    assert sorted(seen) == [("both", ""), ("both", "a"), ("both", "b"), ("write", "")]


async def test_a_success_that_could_not_be_committed_is_told_as_the_failure_that_it_is() -> None:
    """Whoever announces results must not announce one that does not count."""
    told: list[StepOutcome] = []

    async def after(context: StepContext, outcome: StepOutcome) -> None:
        told.append(outcome)

    async def loses(context: StepContext) -> int:
        await context.memory.run.aput("x", 1, expected_version=5)
        return 7

    await run(Pipeline("p", after_step=[after]).step("s", run=loses, max_retries=0))
    assert [(outcome.status, outcome.output, outcome.code) for outcome in told] == [
        (StepStatus.FAILED, None, "store.document_conflict")
    ]


async def test_an_output_is_not_changed_by_a_hook() -> None:
    """The steps behind it go on with what was committed."""

    async def change(context: StepContext, outcome: StepOutcome) -> None:
        assert isinstance(outcome.output, list)
        outcome.output.append("more")

    pipeline = Pipeline("p", after_step=[change, change]).step("a", run=returning(["one"]))
    ran = await run(pipeline.step("b", run=lambda a: a))
    assert ran.result.final_output == ["one"]


@pytest.mark.parametrize("kind", ["error", "exit", "group", "closing", "cancelled", "timeout", "sync"])
async def test_a_hook_that_fails_is_logged_and_the_run_goes_on(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever watches never breaks what is watched."""

    async def broken(*told: object) -> None:
        match kind:
            case "error":
                raise ValueError("no")
            case "exit":
                raise SystemExit(2)
            case "group":
                raise BaseExceptionGroup("several", [KeyboardInterrupt()])
            case "closing":
                raise GeneratorExit
            case "cancelled":
                raise asyncio.CancelledError
            case _:
                raise TimeoutError("its own")

    def sync(*told: object) -> None:
        raise ValueError("no")

    hook = sync if kind == "sync" else broken
    pipeline = Pipeline("p", before_step=[hook], after_step=[hook]).step("s", run=returning(7))
    with caplog.at_level(logging.ERROR, "tagent"):
        result = await PipelineExecutor(pipeline, services=real_time()).execute()
    assert result.final_output == 7
    assert [record.levelname for record in caplog.records] == ["ERROR"] * 2
    assert f"{hook.__qualname__} at the step 's' of run run-1" in caplog.text
    assert "took longer" not in caplog.text


async def test_a_hook_that_hangs_is_given_up_and_costs_the_step_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The step's timeout is for its work."""

    async def hangs(*told: object) -> None:
        await asyncio.Event().wait()

    pipeline = Pipeline("p", before_step=[hangs], after_step=[hangs]).step("s", run=returning(7), timeout=1)
    with caplog.at_level(logging.ERROR, "tagent"):
        ran = await run(pipeline)
    assert (ran.result.final_output, ran.clock.now()) == (7, 20.0)
    assert caplog.text.count("took longer than 10 s") == 2


async def test_hooks_are_cancelled_with_the_run() -> None:
    """A run that is stopped does not wait for them."""
    hangs = asyncio.Event()
    has_begun = asyncio.Event()

    async def hook(context: StepContext) -> None:
        has_begun.set()
        await hangs.wait()

    pipeline = Pipeline("p", before_step=[hook]).step("s", run=returning(7))
    async with asyncio.TaskGroup() as group:
        running = group.create_task(PipelineExecutor(pipeline, services=real_time()).execute())
        await has_begun.wait()
        running.cancel()
    assert running.cancelled()


async def test_a_sync_hook_runs_in_a_thread_and_its_awaitable_on_the_loop() -> None:
    """A blocking call in it holds nobody up."""
    loop = threading.get_ident()
    seen: list[bool] = []

    def hook(context: StepContext) -> object:
        seen.append(threading.get_ident() == loop)
        return then()

    async def then() -> None:
        seen.append(threading.get_ident() == loop)

    class Called:
        async def __call__(self, context: StepContext) -> None:
            seen.append(threading.get_ident() == loop)

    async def with_more(more: int, context: StepContext) -> None:
        seen.append(threading.get_ident() == loop)

    await Hooks([hook, Called(), partial(with_more, 1)], [], real_time()).before(context())
    assert seen == [False, True, True, True]


async def test_a_blocking_hook_that_hangs_is_told_that_nobody_waits(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A thread cannot be stopped; it can look."""
    monkeypatch.setattr(hooks_module, "LONGEST_HOOK_SECONDS", 0.01)
    has_ended = threading.Event()

    def hangs(context: StepContext) -> None:
        while not context.cancelled:
            pass
        has_ended.set()

    with caplog.at_level(logging.ERROR, "tagent"):
        await Hooks([hangs], [], real_time()).before(context())
    assert has_ended.wait(10)
    assert "took longer than 0.01 s" in caplog.text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda context: context.learn("a", 1), "learns and saves nothing"),
        (lambda context: context.save("a", 1), "learns and saves nothing"),
        (lambda context: context.memory, "There is no memory here"),
        (lambda context: context.messages, "There is no mail here"),
    ],
    ids=["learn", "save", "memory", "messages"],
)
async def test_a_hook_cannot_write_what_would_be_lost(
    change: Callable[[StepContext], object], why: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Its step has committed already, or would commit what it never wrote: so it is told."""

    async def hook(context: StepContext) -> None:
        change(context)

    with caplog.at_level(logging.ERROR, "tagent"):
        assert (await run(Pipeline("p", before_step=[hook]).step("s", run=returning(7)))).result.success
    assert why in caplog.text


async def test_what_a_hook_raises_is_logged_without_secrets(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A client's error may hold the key that it was refused with."""
    monkeypatch.setenv("SOME_API_KEY", "sk-very-secret")

    async def hook(context: StepContext) -> None:
        raise ConnectionError("401 for sk-very-secret")

    with caplog.at_level(logging.ERROR, "tagent"):
        await Hooks([hook], [], services()).before(context())
    assert "401 for ***" in caplog.text
    assert "sk-very-secret" not in caplog.text


def test_without_hooks_there_is_nothing_to_do() -> None:
    """Who has none pays for none, not even for a context."""
    assert [bool(Hooks(*given, services())) for given in [([], []), ([print], []), ([], [print])]] == [
        False,
        True,
        True,
    ]


async def test_a_copy_of_a_pipeline_keeps_its_hooks_and_adds_more() -> None:
    """As it does with all else."""
    seen: list[str] = []

    async def first(context: StepContext) -> None:
        seen.append("first")

    async def second(context: StepContext) -> None:
        seen.append("second")

    pipeline = Pipeline("p", before_step=[first]).step("s", run=returning(7))
    ran = await run(Pipeline(pipeline, before_step=[second]))
    assert (ran.result.status, seen) == (RunStatus.COMPLETED, ["first", "second"])


@pytest.mark.parametrize("hooks", [{"after_step": lambda context: None}, {"before_step": lambda context, more: None}])
def test_a_hook_that_cannot_be_called_is_told_before_the_run(hooks: dict[str, Any]) -> None:
    """It would be logged at each step, and no run would fail for it."""
    [problem] = validate(Pipeline("p", **hooks).step("a", run=returning(1)))
    assert problem.code == "bad_hook"
    assert "cannot be called as <lambda>(context" in problem.message
