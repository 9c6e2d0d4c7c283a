"""The trail: who did what when, in which attempt, with which model, for how much."""

from builders import services
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import Pipeline, PipelineExecutor
from tagent.pipeline.forking import fork_run
from tagent.pipeline.history import history
from tagent.pipeline.persistence import load_events
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
