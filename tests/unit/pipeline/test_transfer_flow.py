"""Runs with parts, conditions and a rollback leave a store and come into another, and nothing hostile comes along."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from builders import raising, returning, run
from tagent.adapters.storage.memory import MemoryStore
from tagent.pipeline import Dependency, DependencyType, ExecutionMode, Pipeline
from tagent.pipeline.models import Fallback
from tagent.pipeline.transfer.documents import RunImportError
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.importing import import_run, read_recording
from tagent.ports import ModelRequest
from tagent.testing import ScriptedModel

CONDITIONAL, PARALLEL = ExecutionMode.CONDITIONAL, ExecutionMode.PARALLEL_MERGE

Json = dict[str, Any]


def steered() -> Pipeline:
    """Return a pipeline whose run has every kind of event of a step that is not cancelled."""
    soft = Dependency("left_out", DependencyType.SOFT)
    return (
        Pipeline("steered", on_failure="rollback")
        .step("search", run=returning({"hits": [*range(10)]}), compensate=returning(None))
        .step("each", run=lambda item: item, for_each="search.hits", execution_mode=PARALLEL)
        .step("both", branches={"x": "Do x", "y": lambda: 1}, execution_mode=PARALLEL, compensate="Undo {both}")
        .step("left_out", run=returning(1), condition="steps.search.hits.size() > 50")
        .step("asked", run=returning(1), condition=lambda search: True)
        .step("judged", "Do it", execution_mode=CONDITIONAL, constraints=["Only if it is cold"])
        .step("off", run=returning(1), enabled=False)
        .step("replaced", run=raising(ValueError("no")), max_retries=0, on_error=Fallback(output=5))
        .step("helped", run=raising(ValueError("no")), max_retries=0, on_error="helper")
        .step("helper", run=returning(7))
        .step("tried", run=raising(OSError("down"), times=1), depends_on=[soft, "helped", "each", "both"])
        .step(
            "fails", run=raising(ValueError("no")), max_retries=0, depends_on=["tried", "judged", "asked", "replaced"]
        )
    )


def answered(request: ModelRequest) -> object:
    is_question = "Decide whether" in str(request)
    return {"reason": "It is cold.", "holds": True} if is_question else "done"


async def exported() -> bytes:
    store = MemoryStore()
    ran = await run(steered(), store=store, model=ScriptedModel(answered))
    assert ran.statuses["fails"] == "failed"
    assert ran.statuses["both"] == "compensated"
    return await export_run(store, ran.result.run_id)


async def test_a_run_with_parts_conditions_fallbacks_and_a_rollback_comes_back_as_it_was() -> None:
    """Nothing of it is lost on the way."""
    document = await exported()
    kinds = {event["kind"] for event in json.loads(document)["events"]}
    assert kinds >= {
        "StepExpanded", "PartStarted", "PartCompleted",
        "ConditionJudged", "StepSubstituted", "StepSkipped", "RunHalted",
    }  # fmt: skip
    other = MemoryStore()
    assert await import_run(other, document) == "run-1"
    assert await export_run(other, "run-1") == document


async def test_a_run_can_be_imported_from_wherever_it_was_cut_off() -> None:
    """Whoever exports an unfinished run does not choose the moment."""
    values = json.loads(await exported())
    for end in range(1, len(values["events"])):
        cut = {**values, "events": values["events"][:end]}
        assert len(read_recording(json.dumps(cut).encode()).events) == end


def first(values: Json, kind: str, **where: object) -> Json:
    """Return the payload of the first event of this kind with these members."""
    payloads = (event["payload"] for event in values["events"] if event["kind"] == kind)
    found: Json = next(it for it in payloads if all(it.get(name) == value for name, value in where.items()))
    return found


HOSTILE: list[tuple[str, Callable[[Json], object], str]] = [
    ("parts", lambda v: first(v, "StepExpanded", step="each").update(count=10**9), "parts that it cannot have"),
    ("no parts", lambda v: first(v, "StepExpanded", step="each").update(count=-1), "parts that it cannot have"),
    ("branches", lambda v: first(v, "StepExpanded", step="both").update(count=3), "parts that it cannot have"),
    ("expands", lambda v: first(v, "StepExpanded", step="both").update(step="off"), "parts that it cannot have"),
    ("part", lambda v: first(v, "PartStarted", step="each").update(part="10"), "a part that its step does not have"),
    ("part text", lambda v: first(v, "PartStarted", step="each").update(part="01"), "a part that its step"),
    ("part path", lambda v: first(v, "PartStarted", step="both").update(part="../x"), "a part that its step"),
    ("condition", lambda v: first(v, "PartStarted", step="each").update(part="<condition>"), "a part that its step"),
    ("undo", lambda v: first(v, "PartStarted", step="each").update(part="<compensation>"), "a part that its step"),
    (
        "part list",
        lambda v: first(v, "AgentProgressed", step="both").update(part=["x"]),
        "a part that its step|damaged",
    ),
    ("part attempt", lambda v: first(v, "PartStarted").update(attempt=0), "the attempt"),
    ("part order", lambda v: first(v, "PartStarted", step="each").update(part="1"), "cannot happen"),
    ("seen", lambda v: first(v, "StepStarted", step="tried").update(seen=["../x"]), "sees a step"),
    ("verdict", lambda v: first(v, "PartCompleted", step="asked").update(output=True), "whether a condition holds"),
    ("verdict text", lambda v: first(v, "PartCompleted", step="asked").update(output={"holds": "yes"}), "whether a"),
    ("judged", lambda v: first(v, "ConditionJudged").update(step="off"), "nothing that can happen"),
    ("stand-in", lambda v: first(v, "StepSubstituted", by="helper").update(by="os"), "nothing that can happen"),
    ("falls back", lambda v: first(v, "StepFailed", step="fails").update(falls_back=True), "nothing that can happen"),
    ("attempt", lambda v: first(v, "StepFailed", step="fails").update(attempt=-1), "the attempt"),
    ("halt", lambda v: first(v, "RunHalted").update(code="os.system"), "no known reason"),
    ("halt step", lambda v: first(v, "RunHalted").update(step="../x"), "does not have"),
]


@pytest.mark.parametrize(("change", "said"), [(c, s) for _, c, s in HOSTILE], ids=[name for name, _, _ in HOSTILE])
async def test_an_event_that_no_engine_writes_there_is_refused(change: Callable[[Json], object], said: str) -> None:
    """The state trusts its own engine; a file is not one."""
    values = json.loads(await exported())
    change(values)
    with pytest.raises(RunImportError, match=said):
        read_recording(json.dumps(values).encode())


async def test_parts_are_counted_over_all_steps() -> None:
    """An event of a few bytes makes as many as it says: a small file would be a large run."""
    pipeline = Pipeline("p", default_mode=PARALLEL).step("list", merge=list, branches=[lambda: 1])
    for name in ("a", "b"):
        pipeline.step(name, run=lambda item: item, for_each="list")
    store = MemoryStore()
    await run(pipeline, store=store)
    values = json.loads(await export_run(store, "run-1"))
    for name in ("a", "b"):
        first(values, "StepExpanded", step=name).update(count=600_000)
    kept = [event for event in values["events"] if event["payload"].get("step") != "a" or "count" in event["payload"]]
    values["events"] = [{**event, "seq": number} for number, event in enumerate(kept, 1)]
    with pytest.raises(RunImportError, match="more than 1,000,000 parts together"):
        read_recording(json.dumps(values).encode())
