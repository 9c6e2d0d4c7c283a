"""Runs with routes, rounds, approvals, runs inside steps and changes leave a store; nothing hostile comes along."""

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from builders import returning, services
from tagent.adapters.clock import SystemClock
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import ExecutionMode, Pipeline, PipelineExecutor, PipelineStep, StepContext
from tagent.pipeline.events import ApprovalAnswered
from tagent.pipeline.replay.recorded_answers import RecordedAnswers
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.routing import repeat, when
from tagent.pipeline.selecting import Selection
from tagent.pipeline.stored.callables import DefinitionMismatchError
from tagent.pipeline.transfer.documents import RunImportError
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.importing import import_run, read_recording
from tagent.ports.documents import DocumentQuery
from tagent.testing import ScriptedModel

PARALLEL = ExecutionMode.PARALLEL_MERGE

Json = dict[str, Any]


def found(n: int) -> str:
    return f"found {n}"


def planned(context: StepContext, n: int) -> int:
    plan = context.plan.step("found", run=found).step("told", "Tell {found}", config={"temperature": 0.5})
    plan.depend("end", on="told").enable("extra")
    return n


def remembered(context: StepContext) -> str:
    context.memory.run.put("note", "kept")
    context.save("saved", 1)
    return "x" * 20_000


def numbered(round: int) -> int:  # noqa: A002 - what it is called
    return round


def inner() -> Pipeline:
    return (
        Pipeline("inner")
        .step("big", run=lambda topic: topic * 20_000)
        .step("deep", pipeline=Pipeline("innermost").step("look", "Look at {topic}"), inputs={"topic": "topic"})
        .step("ok", run=remembered, approval="output", depends_on=["deep"])
    )


def everything() -> Pipeline:
    """Return a pipeline whose run has every kind of event that steers it."""
    return (
        Pipeline("all", "Do all")
        .step("n", run=returning(7))
        .add_step(when("steps.n > 3", name="large").then("yes").otherwise("no"))
        .step("yes", run=returning("yes"), approval=True)
        .step("no", run=returning("no"))
        .add_step(repeat(PipelineStep(name="count", run=numbered), until="output >= 2", max_times=4))
        .step("plan", run=planned)
        .step("extra", run=returning("extra"), enabled=False)
        .step("note", run=remembered, approval="output")
        .step("each", pipeline=inner(), for_each="topics", inputs={"topic": "item"}, execution_mode=PARALLEL)
        .step("end", run=lambda: "end", depends_on=["yes", "count", "plan", "note", "each"])
    )


PATHS = ("yes", "note", "each/0/ok", "each/1/ok")


async def exported(pipeline: Pipeline | None = None, *, selection: Selection | None = None) -> bytes:
    """Return a run in which everybody says yes, as a document."""
    store, clock = MemoryStore(), SystemClock()
    answers = [ApprovalAnswered(path, True, 0.0, "ada") for path in PATHS]  # noqa: FBT003 - the answer
    people = RecordedAnswers(answers, store, clock)
    model = ScriptedModel(lambda request: [] if request.purpose == "plan" else "done")
    opened = services(store=store, clock=clock, model=model)
    given = None if pipeline is not None else {"topics": ["a", "b"]}
    executor = PipelineExecutor(pipeline or everything(), inputs=given, selection=selection, services=opened)
    async with asyncio.TaskGroup() as group:
        answering = group.create_task(people.serve())
        result = await executor.execute()
        answering.cancel()
    assert result.success, list(result.explain())
    return await export_run(store, result.run_id)


def innermost(payload: Json) -> Json:
    """Return what a record tells that is in no other event."""
    while "kind" in payload and "event" in payload:
        payload = payload["event"]
    return payload


def kinds_of(document: bytes) -> set[str]:
    """Return the kinds of all events, those inside others included."""
    found: set[str] = set()
    for event in json.loads(document)["events"]:
        found.add(event["kind"])
        payload = event["payload"]
        while "kind" in payload and "event" in payload:
            found.add(payload["kind"])
            payload = payload["event"]
    return found


async def test_a_run_with_everything_comes_back_as_it_was() -> None:
    """Nothing of it is lost on the way; the large outputs of the runs inside come along."""
    document = await exported()
    assert kinds_of(document) >= {
        "StepExpanded", "PartCompleted", "StepSkipped", "InnerProgressed", "AgentProgressed",
        "ApprovalRequested", "ApprovalAnswered", "RunStarted", "RunFinished",
    }  # fmt: skip
    assert len(json.loads(document)["blobs"]) == 4
    other = MemoryStore()
    assert await import_run(other, document, may_name_code=True) == "run-1"
    assert await export_run(other, "run-1") == document


async def test_a_part_of_a_pipeline_comes_back_as_it_was() -> None:
    """Where its outputs came from is known there too."""
    pipeline = Pipeline("p").step("a", run=returning(1)).step("b", run=lambda a: a)
    document = await exported(pipeline, selection=Selection.of(only=["b"], outputs={"a": 5}))
    assert "StepGiven" in kinds_of(document)
    other = MemoryStore()
    await import_run(other, document)
    assert await export_run(other, "run-1") == document


def cut(document: bytes, end: int) -> bytes:
    """Return the document as it was after so many events, with the blobs that these name."""
    values = json.loads(document)
    values["events"] = values["events"][:end]
    named = {event["payload"].get("blob") for event in values["events"]}
    values["blobs"] = {name: blob for name, blob in values["blobs"].items() if name in named}
    return json.dumps(values).encode()


async def test_a_run_can_be_imported_from_wherever_it_was_cut_off() -> None:
    """Whoever exports an unfinished run does not choose the moment; an open approval is one of them."""
    document = await exported()
    for end in range(1, len(json.loads(document)["events"])):
        assert len(read_recording(cut(document, end)).events) == end


async def test_an_imported_run_goes_on_from_wherever_it_was_cut_off() -> None:
    """What was asked is asked again in the other store, and what was held back is written there."""
    document = await exported()
    values = json.loads(document)
    asked = [at for at, event in enumerate(values["events"], 1) if event["kind"] == "ApprovalRequested"]
    for end in (*asked, len(values["events"]) // 2):
        store, clock = MemoryStore(), SystemClock()
        await import_run(store, cut(document, end), may_name_code=True)
        answers = [ApprovalAnswered(path, True, 0.0, "ada") for path in PATHS]  # noqa: FBT003 - the answer
        people = RecordedAnswers(answers, store, clock)
        model = ScriptedModel(lambda request: [] if request.purpose == "plan" else "done")
        opened = services(store=store, clock=clock, model=model)
        async with asyncio.TaskGroup() as group:
            answering = group.create_task(people.serve())
            result = await resume_run("run-1", opened, TAgentConfig(), pipeline=everything())
            answering.cancel()
        assert result.success, list(result.explain())
        (note,) = await store.documents(DocumentQuery("run/run-1/memory", prefix="note"))
        assert b"kept" in note.value
        assert await store.documents(DocumentQuery("approvals")) == []


def events_of(values: Json, kind: str, **where: object) -> Iterator[Json]:
    """Yield the payloads of the events of this kind, inside others too, whose innermost has these members."""
    for event in values["events"]:
        payload, found_kind = event["payload"], event["kind"]
        while "kind" in payload and "event" in payload:
            payload, found_kind = payload["event"], payload["kind"]
        if found_kind == kind and all(payload.get(name) == value for name, value in where.items()):
            yield payload


def first(values: Json, kind: str, **where: object) -> Json:
    return next(events_of(values, kind, **where))


def outer(values: Json, kind: str, inside: str) -> Json:
    """Return the payload of the first event of this kind that holds one of that kind."""
    payloads = (event["payload"] for event in values["events"] if event["kind"] == kind)
    return next(payload for payload in payloads if payload["kind"] == inside)


def change(values: Json) -> Json:
    changed: Json = first(values, "StepCompleted", step="plan")["change"]
    return changed


def swap_rounds(values: Json) -> None:
    first(values, "PartStarted", step="count", part="1").update(part="2")
    first(values, "PartCompleted", step="count", part="1").update(part="2")


def without(values: Json, kind: str, inside: str) -> None:
    """Take the first such event away."""
    place = next(
        at for at, it in enumerate(values["events"]) if it["kind"] == kind and it["payload"].get("kind") == inside
    )
    del values["events"][place]
    for seq, event in enumerate(values["events"], 1):
        event["seq"] = seq


def nested(values: Json, depth: int) -> None:
    """Put an event into so many others."""
    holder = outer(values, "InnerProgressed", "StepStarted")
    for _ in range(depth):
        holder["event"] = {**holder, "event": holder["event"], "kind": holder["kind"]}
        holder["kind"] = "InnerProgressed"


def needing(step: str) -> list[Json]:
    return [{"step": step, "type": "hard", "path": "", "wait_seconds": None}]


def inside(values: Json, kind: str) -> Json:
    """Return the first event of this kind in a run inside the run."""
    event: Json = outer(values, "InnerProgressed", kind)["event"]
    return event


def named(values: Json, **code: object) -> None:
    """Change how the code of an added step is named."""
    change(values)["added"][0]["code"].update(code)


def added(values: Json, **members: object) -> None:
    change(values)["added"][1].update(members)


HOSTILE: list[tuple[str, Callable[[Json], object], str]] = [
    ("round 0", lambda v: first(v, "PartStarted", step="count").update(part="0"), "a part that its step does not"),
    ("round 5", lambda v: first(v, "PartStarted", step="count").update(part="5"), "a part that its step does not"),
    ("rounds", lambda v: first(v, "StepExpanded", step="count").update(count=10**6), "parts that it cannot have"),
    ("round order", swap_rounds, "nothing that can happen"),
    ("last", lambda v: first(v, "PartCompleted", step="count", part="1").update(is_last=True), "nothing that can"),
    ("last item", lambda v: first(v, "PartCompleted", step="each").update(is_last=True), "nothing that can happen"),
    ("asks", lambda v: first(v, "ApprovalRequested", step="yes").update(step="n"), "nothing that can happen"),
    ("asks other", lambda v: first(v, "ApprovalRequested", step="yes").update(of="output", attempt=1), "nothing that"),
    ("asks now", lambda v: first(v, "ApprovalRequested", step="note").update(of="start"), "nobody could"),
    ("asks attempt", lambda v: first(v, "ApprovalRequested", step="note").update(attempt=7), "nothing that can happen"),
    ("asks gives", lambda v: first(v, "ApprovalRequested", step="yes").update(output=1), "nobody could"),
    ("asks never", lambda v: first(v, "ApprovalRequested", step="yes").update(due_at=1e300), "due at no time"),
    ("said never", lambda v: first(v, "ApprovalAnswered", step="yes").update(said_at=-1.0), "was said at no time"),
    ("asks what", lambda v: first(v, "ApprovalRequested", step="yes").update(of="all"), "damaged"),
    ("answers", lambda v: first(v, "ApprovalAnswered", step="yes").update(step="n"), "nothing that can happen"),
    ("answers edit", lambda v: first(v, "ApprovalAnswered", step="yes").update(is_edited=True), "nothing that can"),
    (
        "answers no edit",
        lambda v: first(v, "ApprovalAnswered", step="note").update(is_edited=True, is_approved=False),
        "nobody could",
    ),
    ("given", lambda v: first(v, "StepSkipped").update(step="nobody"), "does not have"),
    ("inside step", lambda v: outer(v, "InnerProgressed", "RunStarted").update(step="n", part=""), "nothing that can"),
    ("inside part", lambda v: outer(v, "InnerProgressed", "RunStarted").update(part="2"), "a part that its step"),
    ("inside condition", lambda v: outer(v, "InnerProgressed", "RunStarted").update(part="<condition>"), "a part that"),
    ("inside list", lambda v: outer(v, "InnerProgressed", "RunStarted").update(part=["0"]), "a part that|damaged"),
    ("inside run", lambda v: inside(v, "RunStarted").update(run_id="run-2/each/0"), "its own"),
    ("inside other", lambda v: inside(v, "RunStarted").update(run_id="run-1"), "its own"),
    ("inside labels", lambda v: inside(v, "RunStarted").update(labels={"a": "b"}), "its own"),
    ("inside name", lambda v: inside(v, "RunStarted").update(pipeline="\x1b[2J"), "control"),
    ("inside late", lambda v: without(v, "InnerProgressed", "RunStarted"), "has not begun"),
    ("inside attempt", lambda v: outer(v, "InnerProgressed", "StepStarted").update(attempt=-1), "the attempt"),
    ("inside attempts", lambda v: inside(v, "StepStarted").update(attempt=0), "the attempt"),
    ("inside unknown", lambda v: inside(v, "StepStarted").update(step="x"), "does not have"),
    ("inside kind", lambda v: outer(v, "InnerProgressed", "StepStarted").update(kind="Popen"), "unknown kind"),
    ("inside time", lambda v: inside(v, "StepStarted").update(at=1e300), "at no time"),
    ("inside ends", lambda v: inside(v, "RunFinished").update(status="waiting"), "finishes"),
    (
        "inside forked",
        lambda v: outer(v, "InnerProgressed", "StepStarted").update(
            kind="RunForked", event={"parent": "x", "forked_seq": 1, "actor": "", "edits": {}, "at": 0.0}
        ),
        "nothing that can happen in a run inside",
    ),
    (
        "inside resumed",
        lambda v: outer(v, "InnerProgressed", "StepStarted").update(
            kind="RunResumed", event={"epoch": 1, "actor": "", "definition_hash": "", "at": 0.0, "definition": "{}"}
        ),
        "nothing that can happen in a run inside",
    ),
    ("inside not deep", lambda v: nested(v, 1), "does not have|nothing that can happen"),
    ("inside deep", lambda v: nested(v, 11), "more than 10 deep"),
    ("inside deeper", lambda v: nested(v, 120), "more than 10 deep|nested too deeply|damaged"),
    ("change twice", lambda v: first(v, "StepCompleted", step="end").update(change=change(v)), "a name that"),
    ("change agent", lambda v: first(v, "StepCompleted", step="look").update(change=change(v)), "is no function"),
    ("change text", lambda v: change(v).update(added="x"), "damaged"),
    ("change step", lambda v: change(v)["added"].append({}), "adds a step that is none"),
    ("change member", lambda v: added(v, extra=1), "not as it must be"),
    ("change name", lambda v: added(v, name="n"), "a name that there is already"),
    ("change control", lambda v: added(v, name="\x1b[2J"), "control characters"),
    ("change needs", lambda v: added(v, depends_on=needing("x")), "unknown step 'x'"),
    ("change mode", lambda v: added(v, execution_mode="eval"), "of no known kind|no pipeline"),
    ("change setting", lambda v: added(v, config={"api_key": "x"}), "'api_key'"),
    ("change agent's", lambda v: added(v, agent="x"), "cannot be added"),
    ("change inside", lambda v: added(v, pipeline=v["definition"]["steps"][8]["pipeline"]), "cannot be added"),
    ("change circle", lambda v: added(v, depends_on=needing("told")), "no pipeline"),
    ("change link", lambda v: change(v)["linked"].append({"step": "end", "on": "n"}), "not as it must be"),
    ("change unlink", lambda v: change(v)["unlinked"].append(["end", "x"]), "unknown step 'x'"),
    ("change enable", lambda v: change(v)["enabled"].update(x=True), "unknown step 'x'"),
    ("change late", lambda v: change(v)["enabled"].update(n=False), "'n' has begun already"),
    ("change code", lambda v: named(v, run={"module": "os;x", "name": "system"}), "not as it"),
    ("change code name", lambda v: named(v, run={"module": "", "name": "a.b"}), "not as it"),
    ("change code more", lambda v: change(v)["added"][0].update(code={"exec": "import os"}), "not as it must be"),
    ("change type", lambda v: named(v, output={"literal": [[1]]}), "not as it must be"),
]  # fmt: skip


@pytest.fixture(scope="module")
def document() -> bytes:
    """A run with everything."""
    return asyncio.run(exported())


@pytest.mark.parametrize(("edit", "said"), [(e, s) for _, e, s in HOSTILE], ids=[name for name, _, _ in HOSTILE])
def test_an_event_that_no_engine_writes_there_is_refused(
    edit: Callable[[Json], object], said: str, document: bytes
) -> None:
    """The state trusts its own engine; a file is not one."""
    values = json.loads(document)
    edit(values)
    with pytest.raises(RunImportError, match=said):
        read_recording(json.dumps(values).encode(), may_name_code=True)


def waiting(document: bytes, step: str) -> Json:
    """Return the document as it was when it waited for the approval of a step's output."""
    values = json.loads(document)
    end = next(
        at
        for at, event in enumerate(values["events"], 1)
        if event["kind"] == "ApprovalRequested" and event["payload"]["step"] == step
    )
    whole: Json = json.loads(cut(document, end))
    return whole


PUT = {
    "scope": "run/run-1/memory", "key": "k", "value": "1", "text": "", "expected_version": None, "ttl_seconds": None,
    "quota": None,
}  # fmt: skip
MESSAGE = {"topic": "run/run-1/mail", "payload": "1", "key": "", "sender": "", "reply_to": ""}
RECEIPT = {"subscriber": "run/run-1/step/a", "topic": "topic/x", "expected_seq": 0, "seq": 1, "failures": 0}
SUBSCRIPTION = {"subscriber": "run/run-1/step/a", "topic": "topic/x"}


def effects(**lists: object) -> Json:
    return {"puts": [], "messages": [], "receipts": [], "subscriptions": [], **lists}


FOREIGN: list[tuple[str, Json, str]] = [
    ("pipeline", effects(puts=[{**PUT, "scope": "pipeline/all"}]), "'pipeline/all', which does not belong"),
    ("other run", effects(puts=[{**PUT, "scope": "run/run-11/memory"}]), "does not belong"),
    ("dots", effects(puts=[{**PUT, "scope": "run/run-1"}]), "does not belong"),
    ("approval", effects(puts=[{**PUT, "scope": "approvals", "key": "run-2/pay"}]), "'approvals', which does not"),
    ("space", effects(puts=[{**PUT, "scope": "space/prices"}]), "does not belong"),
    ("workers", effects(puts=[{**PUT, "scope": "workers"}]), "does not belong"),
    ("topic", effects(messages=[{**MESSAGE, "topic": "topic/orders.created"}]), "does not belong"),
    ("reply", effects(messages=[{**MESSAGE, "reply_to": "pipeline/other"}]), "does not belong"),
    ("cursor", effects(receipts=[{**RECEIPT, "subscriber": "pipeline/all"}]), "does not belong"),
    ("subscriber", effects(subscriptions=[{**SUBSCRIPTION, "subscriber": "subscriber/x"}]), "does not belong"),
    ("key", effects(puts=[{**PUT, "key": "a\x00b"}]), "a name that is none"),
    ("long", effects(puts=[{**PUT, "key": "a" * 5000}]), "a name that is none"),
    ("text", effects(puts=[{**PUT, "text": "a\x00b"}]), "not every store"),
    ("value", effects(puts=[{**PUT, "value": "{"}]), "no JSON"),
    ("version", effects(puts=[{**PUT, "expected_version": -1}]), "cannot be"),
    ("back", effects(receipts=[{**RECEIPT, "expected_seq": 5}]), "cannot be"),
    ("twice", effects(puts=[PUT, PUT]), "two writes of the same"),
    ("no list", effects(puts=5), "damaged"),
]


@pytest.mark.parametrize(("held", "said"), [(h, s) for _, h, s in FOREIGN], ids=[name for name, _, _ in FOREIGN])
def test_what_is_written_with_a_yes_is_the_runs_own(held: Json, said: str, document: bytes) -> None:
    """Whoever says yes sees the output, and not what comes with it; here or in a run inside."""
    values = waiting(document, "note")
    first(values, "ApprovalRequested", step="note").update(effects=held)
    with pytest.raises(RunImportError, match=said):
        read_recording(json.dumps(values).encode())
    values = json.loads(document)
    at = next(at for at, it in enumerate(values["events"], 1) if it["payload"].get("kind") == "ApprovalRequested")
    values = json.loads(cut(document, at))
    first(values, "ApprovalRequested", step="ok").update(effects=held)
    with pytest.raises(RunImportError, match=said):
        read_recording(json.dumps(values).encode())


def test_what_is_the_runs_own_may_be_held_back(document: bytes) -> None:
    """Of an output that others could use again, it can do without; and what was answered long ago, was written."""
    values = waiting(document, "note")
    held = effects(puts=[PUT, {**PUT, "scope": "cache"}], messages=[MESSAGE], receipts=[RECEIPT])
    first(values, "ApprovalRequested", step="note").update(effects=held)
    recording = read_recording(json.dumps(values).encode())
    asked = recording.events[-1]
    assert [put.scope for put in asked.effects.puts] == ["run/run-1/memory"]  # type: ignore[union-attr]  # what asks
    values = json.loads(document)
    first(values, "ApprovalRequested", step="note").update(effects=effects(messages=[{**MESSAGE, "topic": "topic/x"}]))
    read_recording(json.dumps(values).encode())


def test_runs_inside_are_counted_over_all_parts(document: bytes) -> None:
    """An event of a few bytes begins a run of many steps: a small file would be a large run."""
    values = json.loads(cut(document, len(json.loads(document)["events"])))
    pipeline = next(it for it in values["definition"]["steps"] if it["name"] == "each")["pipeline"]
    (step,) = [it for it in pipeline["steps"] if it["name"] == "ok"]
    pipeline["steps"] += [{**step, "id": f"s{n}", "name": f"s{n}", "depends_on": []} for n in range(2000)]
    begins = next(at for at, it in enumerate(values["events"]) if it["payload"].get("kind") == "RunStarted")
    expands = next(
        at for at, it in enumerate(values["events"]) if it["payload"].get("count") == 2 and "of" in it["payload"]
    )
    values["events"][expands]["payload"]["count"] = 1000
    at = values["events"][begins]["at"]
    kept = values["events"][: expands + 1]
    for number in range(200):
        key = f"run-1/each/{number}"
        start = {"step": "each", "part": str(number), "attempt": 1, "idempotency_key": key, "at": at, "seen": []}
        kept.append({"seq": 0, "kind": "PartStarted", "at": at, "payload": start})
        begun = {**values["events"][begins]["payload"], "part": str(number), "at": at}
        begun["event"] = {**begun["event"], "run_id": key, "at": at}
        kept.append({"seq": 0, "kind": "InnerProgressed", "at": at, "payload": begun})
    values["events"] = [{**event, "seq": seq} for seq, event in enumerate(kept, 1)]
    blobs = {event["payload"].get("blob") for event in kept}
    values["blobs"] = {name: blob for name, blob in values["blobs"].items() if name in blobs}
    with pytest.raises(RunImportError, match="more than 200,000 steps together"):
        read_recording(json.dumps(values).encode())


async def test_an_imported_run_names_no_code(document: bytes) -> None:
    """Promise 16: a file never says which function is called, unless whoever imports it allows that."""
    values = json.loads(document)
    change(values)["added"][0]["code"] = {"run": {"module": "", "name": "elsewhere"}}
    end = next(
        at
        for at, it in enumerate(values["events"], 1)
        if it["kind"] == "StepCompleted" and it["payload"]["step"] == "plan"
    )
    store = MemoryStore()
    await import_run(store, cut(json.dumps(values).encode(), end))
    assert b"elsewhere" not in await export_run(store, "run-1")
    with pytest.raises(DefinitionMismatchError, match="'found', which the run has added, .* is not named"):
        await resume_run("run-1", services(store=store), TAgentConfig(), pipeline=everything())


async def test_an_added_step_sends_no_key_elsewhere(document: bytes) -> None:
    """Wherever a step stands in the file."""
    values = json.loads(document)
    added(values, config={"base_url": "https://evil.example/v1", "store": "file:///x"})
    store = MemoryStore()
    await import_run(store, json.dumps(values).encode())
    assert b"evil" not in await export_run(store, "run-1")


async def test_an_inner_pipeline_sends_no_key_elsewhere() -> None:
    """The same for the steps of the pipelines inside, on the way out and on the way in."""
    pipeline = Pipeline("p").step(
        "a", pipeline=Pipeline("i", config={"base_url": "https://evil.example/v1"}).step("b", run=returning(1))
    )
    document = await exported(pipeline)
    assert b"evil" not in document
    values = json.loads(document)
    values["definition"]["steps"][0]["pipeline"]["config"] = {"base_url": "https://evil.example/v1"}
    values["definition"]["steps"][0]["pipeline"]["steps"][0]["config"] = {"store": "https://evil.example/v1"}
    store = MemoryStore()
    await import_run(store, json.dumps(values).encode())
    assert b"evil" not in await export_run(store, "run-1")
