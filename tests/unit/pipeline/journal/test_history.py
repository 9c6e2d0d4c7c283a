"""The trail: who did what when, in which attempt, with which model, for how much."""

from builders import services
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Pipeline, PipelineExecutor
from tagent.pipeline.events import COMPENSATION, CONDITION, RunResumed
from tagent.pipeline.journal.history import history
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.pipeline.transfer.forking import fork_run
from tagent.testing import ScriptedModel


def search(query: str) -> str:
    """Search."""
    return f"found {query}"


async def test_every_event_has_its_entry_with_actor_attempt_model_sizes_and_cost() -> None:
    """An audit asks exactly this."""
    plan = [{"tool_name": "search", "tool_args": {"query": "tea"}}]
    model = ScriptedModel(lambda request: plan if request.purpose == "plan" else "done")
    opened = services(store=MemoryStore(), model=model)
    await PipelineExecutor(Pipeline("p").step("a", "Find it", tools=[search]), services=opened).execute()
    events = await load_events(opened.store, "run-1")
    entries = list(history(events))
    assert [entry.seq for entry in entries] == list(range(1, len(events) + 1))
    assert entries[0].actor == opened.processes.user()
    by_name = {entry.event: entry for entry in entries}
    assert (by_name["Planned"].model, by_name["Planned"].detail, by_name["Planned"].attempt) == (
        "scripted",
        "search",
        1,
    )
    assert by_name["Finalized"].input_tokens > 0
    assert by_name["Finalized"].cost_usd == 0
    assert by_name["TaskStarted"].detail == "search"
    assert by_name["RunFinished"].detail == "completed"
    fork = await fork_run("run-1", opened, from_step="a", overrides={"model": "other"})
    forked = list(history(await load_events(opened.store, fork.run_id)))[-1]
    assert (forked.event, forked.actor) == ("RunForked", opened.processes.user())
    assert "run-1" in forked.detail
    assert "model" in forked.detail


async def test_a_failure_says_what_and_when_it_is_tried_again() -> None:
    """The reason is what people look for."""

    def broken() -> None:
        raise OSError("no network")

    opened = services(store=MemoryStore())
    await PipelineExecutor(Pipeline("p").step("a", run=broken, max_retries=1), services=opened).execute()
    details = [
        entry.detail for entry in history(await load_events(opened.store, "run-1")) if entry.event == "StepFailed"
    ]
    assert len(details) == 2
    assert "no network" in details[0]
    assert "Tried again in" in details[0]
    assert "Tried again" not in details[1]


async def test_parts_conditions_substitutes_and_halts_have_their_entries() -> None:
    """An audit asks which item it was, why a step ran, and who stopped the run."""

    def undo() -> None:
        raise TypeError("cannot be undone")

    def fail(rate: float, x: list[int]) -> None:
        raise TypeError("no")

    def bad() -> float:
        raise TypeError("no rate")

    def item_of(item: int) -> int:
        if item == 2:
            raise OSError("slow")
        return item

    pipeline = (
        Pipeline("p", on_failure="rollback")
        .step("n", run=lambda: [1, 2], compensate=undo, max_retries=0)
        .step("x", run=item_of, for_each="n", execution_mode=ExecutionMode.PARALLEL_MERGE, min_success=1, max_retries=1)
        .step("low", run=lambda: 1, condition="steps.n[0] < 5")
        .step("asked", run=lambda: 1, condition=lambda n: len(n) > 5)
        .step("rate", run=bad, on_error="spare", max_retries=0)
        .step("spare", run=lambda: 1.5)
        .step("end", run=fail)
    )
    opened = services(store=MemoryStore())
    await PipelineExecutor(pipeline, services=opened).execute()
    entries = list(history(await load_events(opened.store, "run-1")))

    def details(event: str, step: str, part: str = "") -> list[str]:
        return [it.detail for it in entries if (it.event, it.step, it.part) == (event, step, part)]

    assert details("StepExpanded", "x") == ["2 parts"]
    assert details("PartStarted", "x", "0") == [""]
    first, last = details("PartFailed", "x", "1")
    assert first.startswith("[step.failed] The step 'x' raised OSError: slow")
    assert "Tried again in" in first
    assert "Tried again in" not in last
    assert details("ConditionJudged", "low") == ["holds: steps.n[0] < 5 is true: steps.n[0] is 1"]
    assert details("PartCompleted", "asked", CONDITION)[0].startswith("does not hold: ")
    assert details("StepFailed", "rate")[0].endswith(" Something else takes its place.")
    assert details("StepSubstituted", "rate") == ["the output of spare"]
    assert details("RunHalted", "end") == ["[run.rollback] The step 'end' failed, so the run is rolled back."]
    assert "cannot be undone" in details("PartFailed", "n", COMPENSATION)[0]
    assert entries[-1].detail.startswith("failed [run.rollback] ")


async def test_a_start_says_what_it_sees_of_what_is_not_needed() -> None:
    """Only there it can be found out later what an output was made of."""
    soft = [Dependency(name, DependencyType.SOFT) for name in ("a", "bad")]
    pipeline = Pipeline("p").step("a", run=lambda: 1).step("bad", run=lambda: 1, enabled=False)
    pipeline.step("b", run=lambda **seen: len(seen), depends_on=soft)
    pipeline.step("c", branches=[lambda **seen: len(seen)], depends_on=soft)
    opened = services(store=MemoryStore())
    await PipelineExecutor(pipeline, services=opened).execute()
    details = {(it.event, it.step): it.detail for it in history(await load_events(opened.store, "run-1"))}
    assert (details["StepStarted", "a"], details["StepStarted", "b"]) == ("", "sees a")
    assert details["StepExpanded", "c"] == "1 part; sees a"


async def test_a_resume_says_whether_it_brought_another_budget_or_another_definition() -> None:
    """Another definition is news that somebody looks into; more money is not."""
    small = Definition.of(Pipeline("p", budget={"max_tokens": 10}).step("a", "Find it"), Origin())
    large = Definition.of(Pipeline("p", config={"max_cost_usd": 5}).step("a", "Find it"), Origin())
    other = Definition.of(Pipeline("p", budget={"max_tokens": 10}).step("a", "Find that"), Origin())
    resumes = [RunResumed(2, "me", it.hash, 1.0, definition=it.payload.decode()) for it in (large, other)]
    told = history([*resumes, RunResumed(4, "me", other.hash, 2.0)], definition=small)
    assert [entry.detail for entry in told] == ["with another budget", "with another definition", ""]
    assert next(history(resumes)).detail == "with another definition"
