"""Runs that leave one store and come into another: nothing is lost, and nothing hostile comes in."""

import ast
import json
import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import CONCURRENT, chain, raising, returning, run, services
from crashes import Crash, CrashingStore, everybody_is_gone
from tagent.adapters.storage.memory import MemoryStore
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor
from tagent.pipeline.events import RunResumed
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.stored.definition import Definition, Origin
from tagent.pipeline.stored.origins import NoPipelineError
from tagent.pipeline.transfer.documents import MAX_VALUES, RunImportError
from tagent.pipeline.transfer.exporting import export_run
from tagent.pipeline.transfer.importing import RunExistsError, import_run, read_recording
from tagent.pipeline.transfer.recording import load_recording
from tagent.ports import RunQuery
from tagent.testing import ScriptedModel

SOURCE = Path(__file__).parents[3] / "src"

Json = dict[str, Any]

UNSAFE_YAML = {"yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load"}


def lookup(n: int) -> str:
    """Look a page up."""
    return f"page {n} " * 4000


def research() -> Pipeline:
    """Return a pipeline with everything that a journal can hold: tools, large outputs, retries, a failure."""
    return (
        Pipeline("research", "Find out", shared_context={"team": "blue"}, config={"temperature": 0.5})
        .step("start", run=raising(OSError("down"), times=1, then={"text": "é" * 20_000, "n": 1.5}))
        .step("found", "Find {start.n}", tools=[lookup], execution_mode=CONCURRENT)
        .step("broken", run=raising(ValueError("no")), max_retries=0, depends_on=["found"])
        .step("never", run=returning(1), depends_on=["broken"])
    )


def researcher() -> ScriptedModel:
    return ScriptedModel([[{"tool_name": "lookup", "tool_args": {"n": 1}}], "It is there."])


async def exported(pipeline: Pipeline | None = None) -> bytes:
    """Return a run of `pipeline` as a document."""
    store = MemoryStore()
    ran = await run(pipeline or chain("a", "b"), store=store, model=researcher())
    return await export_run(store, ran.result.run_id)


async def test_an_exported_run_comes_back_as_it_was() -> None:
    """Events, large outputs, definition, times, labels and cost; and a second export is the same to the byte."""
    store, other = MemoryStore(), MemoryStore()
    opened = services(store=store, model=researcher())
    executor = PipelineExecutor(
        research(), inputs={}, labels={"team": "blue"}, origin=Origin("/home/me/secret/report.py"), services=opened
    )
    run_id = (await executor.execute()).run_id
    document = await export_run(store, run_id)
    assert await import_run(other, document) == run_id
    assert await load_events(other, run_id) == await load_events(store, run_id)
    assert await export_run(other, run_id) == document
    was, now = await store.run(run_id), await other.run(run_id)
    assert replace(now, definition_hash=was.definition_hash) == was
    assert json.loads(document)["run"]["labels"] == {"team": "blue"}
    assert b"/home/me" not in document, "where files lie on this machine is nobody's business"
    assert len(json.loads(document)["blobs"]) == 2
    assert [found.run_id for found in await other.runs(RunQuery(words=("blue",)))] == [run_id], (
        "it is found by its text"
    )


async def test_an_unfinished_run_goes_on_where_it_was_imported() -> None:
    """With the code given: held by nobody, what was completed is reused, the finished calls too."""
    store = CrashingStore().arm(8)
    with pytest.raises(Crash):
        await PipelineExecutor(research(), services=services(store=store, model=researcher())).execute()
    document = await export_run(store, "run-1")
    other = MemoryStore()
    await import_run(other, document)
    assert (await other.run("run-1")).owner == ""
    model = ScriptedModel(["It is there."])
    opened = everybody_is_gone(services(store=other, model=model))
    result = await resume_run("run-1", opened, TAgentConfig(), pipeline=research())
    assert (result.step_outputs["found"], [request.purpose for request in model.requests]) == (
        "It is there.",
        ["answer"],
    )


async def test_a_run_that_was_resumed_with_another_definition_keeps_both() -> None:
    """The one it was started with and the one that counts, each under the hash that its events name."""
    store, opened = MemoryStore(), services()
    opened = replace(opened, store=store)
    broken = chain("a").step("b", run=raising(TypeError("no")), depends_on=["a"])
    await PipelineExecutor(broken, origin=Origin("/home/me/p.py"), services=opened).execute()
    mended = chain("a", "b").step("c", run=raising(TypeError("no"), times=1))
    for choice in ("current", "stored"):
        await resume_run("run-1", opened, TAgentConfig(), pipeline=mended, definition=choice)
    document = await export_run(store, "run-1")
    assert b"/home/me" not in document
    other = MemoryStore()
    await import_run(other, document)
    assert await export_run(other, "run-1") == document
    counts = (await load_recording(other, "run-1")).counts
    resumes = [event for event in await load_events(other, "run-1") if isinstance(event, RunResumed)]
    assert [event.definition_hash for event in resumes] == [counts.hash, counts.hash]
    assert [step["name"] for step in counts.spec["steps"]] == ["a", "b", "c"]


async def test_an_id_that_exists_is_refused_and_the_old_run_stays() -> None:
    """Importing never overwrites."""
    store = MemoryStore()
    await run(chain("a"), store=store)
    before = await export_run(store, "run-1")
    with pytest.raises(RunExistsError, match="run-1"):
        await import_run(store, await exported(chain("b")))
    assert await export_run(store, "run-1") == before


def changed(document: bytes, *path: str | int, to: object = None, gone: bool = False) -> bytes:
    """Return the document with what is at `path` set to `to`, or taken away."""
    values = json.loads(document)
    holder = values
    for part in path[:-1]:
        holder = holder[part]
    if gone:
        del holder[path[-1]]
    else:
        holder[path[-1]] = to
    return json.dumps(values).encode()


STEP = ("definition", "steps", 0)
DEEP: Any = None
for _ in range(300):
    DEEP = [DEEP]

HASH_OF_X = "ba2df4903a2c14e86dc3bcca58911b44ac1d2514b7227bf6eb08cfb978f55a1b"


def dependency(step: str, *, path: str = "") -> Json:
    return {"step": step, "type": "data" if path else "hard", "path": path, "wait_seconds": None}


def event(seq: int, kind: str, **values: object) -> Json:
    return {"seq": seq, "kind": kind, "at": 0.0, "payload": {"attempt": 1, "at": 0.0, **values}}


def progressed(seq: int, step: object, *, kind: str = "TaskStarted") -> Json:
    whole = event(seq, "AgentProgressed", step=step, event={"index": 3, "tool_name": "x"})
    return {**whole, "payload": {**whole["payload"], "kind": kind}}


def twice(document: bytes) -> bytes:
    """Return the document with its first step a second time."""
    steps = json.loads(document)["definition"]["steps"]
    return changed(document, "definition", "steps", to=[steps[0], *steps])


def with_blob(document: bytes, *path: str | int) -> bytes:
    return changed(changed(document, "blobs", to={HASH_OF_X: "x"}), *path, "blob", to=HASH_OF_X)


HOSTILE: list[tuple[str, Callable[[bytes], bytes], str]] = [
    ("nothing", lambda d: b"", "no JSON"),
    ("text", lambda d: b"MZ\x90\x00\x03", "no UTF-8"),
    ("cut", lambda d: d[:-20], "no JSON"),
    ("list", lambda d: b"[]", "its format is not"),
    ("pickle", lambda d: b"cos\nsystem\n(S'touch /tmp/pwned'\ntR.", "no JSON"),
    ("yaml", lambda d: b"!!python/object/apply:os.system ['touch /tmp/pwned']", "no JSON"),
    ("deep", lambda d: b'{"format":' + b"[" * 1_000_000, "nested too deeply"),
    ("deep value", lambda d: changed(d, "events", 2, "payload", "output", to=DEEP), "nested too deeply"),
    ("many values", lambda d: b"[" + b"[]," * MAX_VALUES, "more than 2,000,000 values"),
    ("huge integer", lambda d: d.replace(b'"version":1', b'"version":' + b"9" * 5000), "too large"),
    ("huge float", lambda d: d.replace(b'"cost_usd":0.0', b'"cost_usd":1e999'), "too large"),
    ("twice", lambda d: d.replace(b'"version":1,', b'"version":1,"version":1,', 1), "names a member twice"),
    ("surrogate", lambda d: changed(d, "events", 2, "payload", "output", to="\ud800"), "no valid Unicode"),
    ("format", lambda d: changed(d, "format", to="other"), "its format is not"),
    ("version", lambda d: changed(d, "version", to=2), "version 2; this tagent reads up to 1"),
    ("version text", lambda d: changed(d, "version", to="1"), "its version is no number"),
    ("more", lambda d: changed(d, "extra", to=1), "extra"),
    ("run text", lambda d: changed(d, "run", to="x"), "run"),
    ("id path", lambda d: changed(d, "run", "id", to="../../etc/passwd"), "run.id"),
    ("id long", lambda d: changed(d, "run", "id", to="a" * 65), "run.id"),
    ("id empty", lambda d: changed(d, "run", "id", to=""), "run.id"),
    ("id newline", lambda d: changed(d, "run", "id", to="run-1\n"), "run.id"),
    ("parent path", lambda d: changed(d, "run", "parent", to="../x"), "run.parent"),
    ("no date", lambda d: changed(d, "run", "created_at", to=1e300), "run.created_at"),
    ("no number", lambda d: d.replace(b'"created_at":0.0', b'"created_at":NaN'), "run.created_at"),
    ("label", lambda d: changed(d, "run", "labels", to={"a b": "x"}), "a label is wrong"),
    ("label control", lambda d: changed(d, "run", "labels", to={"a": "\x1b[2J"}), "a label has control characters"),
    ("pipeline control", lambda d: changed(d, "run", "pipeline", to="\x1b[2J"), "control characters"),
    ("pipeline other", lambda d: changed(d, "run", "pipeline", to="other"), "another pipeline"),
    ("definition version", lambda d: changed(d, "definition", "version", to=3), "no version up to 2"),
    ("definition member", lambda d: changed(d, "definition", "extra", to=1), "extra"),
    ("step name control", lambda d: changed(d, *STEP, "name", to="a\x00"), "control characters"),
    ("step name twice", twice, "Another step has this name"),
    ("no steps", lambda d: changed(d, "definition", "steps", to=[]), "no steps"),
    ("mode", lambda d: changed(d, *STEP, "execution_mode", to="eval"), "of no known kind"),
    ("cycle", lambda d: changed(d, *STEP, "depends_on", to=[dependency("b")]), "wait for each other"),
    ("unknown step", lambda d: changed(d, *STEP, "depends_on", to=[dependency("x")]), "unknown step 'x'"),
    ("unknown final", lambda d: changed(d, "definition", "final", to="x"), "unknown step 'x'"),
    ("bad path", lambda d: changed(d, *STEP, "depends_on", to=[dependency("b", path="__class__.a()")]), "no pipeline"),
    ("setting key", lambda d: changed(d, "definition", "config", to={"api_key": "x"}), "'api_key'"),
    ("setting tools", lambda d: changed(d, *STEP, "config", to={"tools": "os"}), "'tools'"),
    ("setting wrong", lambda d: changed(d, *STEP, "config", to={"temperature": 99}), "a wrong setting"),
    ("no events", lambda d: changed(d, "events", to=[]), "must be RunStarted"),
    ("started late", lambda d: changed(d, "events", 0, "kind", to="RunFinished"), "damaged"),
    ("gap", lambda d: changed(d, "events", 1, "seq", to=7), "number 2 has the place 7"),
    ("kind", lambda d: changed(d, "events", 1, "kind", to="os.system"), "unknown kind"),
    ("other run", lambda d: changed(d, "events", 0, "payload", "run_id", to="run-2"), "of another run"),
    ("newer event", lambda d: changed(d, "events", 0, "payload", "format_version", to=99), "format 99"),
    ("other time", lambda d: changed(d, "events", 1, "payload", "at", to=5.0), "do not agree"),
    ("attempt", lambda d: changed(d, "events", 1, "payload", "attempt", to=10**300), "the attempt"),
    ("event step", lambda d: changed(d, "events", 1, "payload", "step", to="../../etc/passwd"), "does not have"),
    ("illegal", lambda d: changed(d, "events", 1, to=event(2, "StepCompleted", step="a", output=1)), "cannot happen"),
    ("never ends", lambda d: changed(d, "events", -1, "payload", "status", to="running"), "finishes the run as"),
    ("agent step", lambda d: changed(d, "events", 2, to=progressed(3, [1])), "does not have|damaged"),
    ("agent kind", lambda d: changed(d, "events", 2, to=progressed(3, "a", kind="Popen")), "unknown kind"),
    ("agent order", lambda d: changed(d, "events", 2, to=progressed(3, "a")), "cannot be"),
    ("blob unknown", lambda d: changed(d, "events", 2, "payload", "blob", to="0" * 64), "not in the file"),
    ("blob list", lambda d: changed(d, "events", 2, "payload", "blob", to=["0"]), "not in the file"),
    ("blob hash", lambda d: changed(d, "blobs", to={"0" * 64: "x"}), "does not have the hash"),
    ("blob alone", lambda d: changed(d, "blobs", to={HASH_OF_X: "x"}), "no event names"),
    ("blob path", lambda d: changed(d, "blobs", to={"../../etc/passwd": "x"}), "does not have the hash"),
    ("blob without output", lambda d: with_blob(d, "events", 1, "payload"), "has no output"),
]  # fmt: skip


@pytest.mark.parametrize(("make", "said"), [(m, s) for _, m, s in HOSTILE], ids=[name for name, _, _ in HOSTILE])
async def test_a_hostile_file_is_refused_and_nothing_is_written(make: Callable[[bytes], bytes], said: str) -> None:
    """With one clear error of a stable code, whatever it is."""
    store = MemoryStore()
    document = make(await exported())
    with pytest.raises(RunImportError, match=said) as caught:
        await import_run(store, document)
    assert (caught.value.code, caught.value.is_retryable) == ("run.import", False)
    assert "Nothing was written." in caught.value.message
    assert len(str(caught.value)) < 1000
    assert (await store.runs(), store._definitions, store._blobs) == ([], {}, {})


@pytest.mark.parametrize(
    ("at", "path", "to"),
    [
        ("TaskStarted", ("index",), -1),
        ("TaskStarted", ("index",), 7),
        ("Planned", ("tasks", 0, "index"), 1),
        ("Planned", ("tasks", 0, "tool_args"), {"n": "{{tasks.0.output}}"}),
        ("Planned", ("tasks", 0, "tool_args"), {"n": "{{os.system}}"}),
        ("Planned", ("tasks", 0, "status"), "completed"),
        ("Planned", ("call", "usage", "input_tokens"), 10**400),
        ("Planned", ("call", "cost_usd"), -1.0),
    ],
)
async def test_an_agent_that_would_wait_for_itself_or_for_nothing_is_refused(
    at: str, path: tuple[str | int, ...], to: object
) -> None:
    """The state machine trusts its own agent; a file is not one. Found by changing files at random."""
    document = await exported(research())
    place = next(n for n, it in enumerate(json.loads(document)["events"]) if it["payload"].get("kind") == at)
    with pytest.raises(RunImportError, match=f"event {place + 1} |usage or the price"):
        read_recording(changed(document, "events", place, "payload", "event", *path, to=to))


async def test_every_member_is_needed() -> None:
    """A file from which something was lost is no run."""
    document = await exported(research())
    for path in paths_of(json.loads(document)):
        with pytest.raises(RunImportError):
            read_recording(changed(document, *path, gone=True))


def paths_of(values: Json) -> list[tuple[str | int, ...]]:
    """Return where a member is that must be there."""
    tops: list[tuple[str | int, ...]] = [(name,) for name in values]
    runs = [("run", name) for name in values["run"]]
    definition = [("definition", name) for name in values["definition"]]
    steps = [(*STEP, name) for name in values["definition"]["steps"][0]]
    events = [("events", at, name) for at in (0, 3) for name in values["events"][at]]
    return [*tops, *runs, *definition, *steps, *events, *[("blobs", name) for name in values["blobs"]]]


async def test_what_is_too_large_is_refused_before_it_is_read() -> None:
    """By its size first, then by its values, which take far more memory than the file."""
    with pytest.raises(RunImportError, match="larger than 1 MB"):
        read_recording(b"[" * (1024 * 1024 + 1), largest=1024 * 1024)
    bomb = b"[" + b"[]," * 4_000_000 + b"[]]"
    tracemalloc.start()
    try:
        with pytest.raises(RunImportError, match="values"):
            read_recording(bomb)
        assert tracemalloc.get_traced_memory()[1] < 10 * len(bomb)
    finally:
        tracemalloc.stop()


async def test_a_blob_that_is_named_again_and_again_does_not_fill_the_memory() -> None:
    """Each naming is a copy in the memory of whoever reads the run: a small file would be a large run."""
    values = json.loads(await exported(Pipeline("p").step("a", run=returning("x" * 100_000))))
    began, done = values["events"][1], values["events"][2]
    for number in range(4, 1000):
        values["events"].insert(-1, {**(began if number % 2 == 0 else done), "seq": number})
    values["events"][-1]["seq"] = len(values["events"])
    payload = json.dumps(values).encode()
    with pytest.raises(RunImportError, match="fill the memory"):
        read_recording(payload, largest=len(payload) + 1)


async def test_strange_text_in_outputs_is_kept_as_data() -> None:
    """Paths, control characters and code in what steps gave are nobody's business but theirs."""
    odd = {"../../etc/passwd": "\x00\x1b[2J", "code": "__import__('os').system('x')", "braces": "{a} {{tasks.0}}"}
    document = await exported(Pipeline("p").step("..\\..\\passwd", run=returning(odd)))
    store = MemoryStore()
    assert await import_run(store, document) == "run-1"
    assert await export_run(store, "run-1") == document


async def test_an_imported_definition_can_run_no_code_and_send_no_key_elsewhere(tmp_path: Path) -> None:
    """Promise 16: wherever a definition stands in the file, it names no Python file and no endpoint afterwards."""
    mine = tmp_path / "mine.py"
    mine.write_text(f"open({str(tmp_path / 'pwned')!r}, 'w')\nfrom tagent.pipeline import Pipeline\n")
    store = MemoryStore()
    opened = services(store=store)
    await run(chain("a"), store=store)
    definition = Definition.of(chain("a"), Origin(str(mine), "pipeline"))
    values = json.loads(await export_run(store, "run-1"))
    hostile = json.loads(definition.payload) | {"config": {"base_url": "https://evil.example/v1", "store": "file:///x"}}
    hostile["steps"][0]["config"] = {"base_url": "https://evil.example/v1"}
    values["definition"] = hostile
    values["events"][-1] = {
        "seq": 4,
        "kind": "RunResumed",
        "at": 0.0,
        "payload": {"epoch": 2, "actor": "x", "definition_hash": "y", "at": 0.0, "definition": json.dumps(hostile)},
    }
    other = MemoryStore()
    await import_run(other, json.dumps(values).encode())
    with pytest.raises(NoPipelineError):
        await resume_run("run-1", replace(opened, store=other), TAgentConfig())
    assert not (tmp_path / "pwned").exists()
    counts = (await load_recording(other, "run-1")).counts
    resumed = (await load_events(other, "run-1"))[-1]
    assert isinstance(resumed, RunResumed)
    assert resumed.definition_hash == counts.hash
    for kept in (counts.payload, resumed.definition.encode(), *other._definitions.values()):
        assert b"evil" not in kept
        assert str(mine).encode() not in kept
        assert b"file:///x" not in kept


def test_no_pickle_is_read_and_nothing_of_ours_runs_text_as_code() -> None:
    """Promise 16, for the whole of the source: no pickle, eval, exec, compile, marshal or unsafe YAML."""
    forbidden_calls = {"eval", "exec", "compile", "__import__"}
    forbidden_modules = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "jsonpickle"}
    found = []
    for file in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            where = f"{file.relative_to(SOURCE)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in forbidden_calls:
                found.append(f"{where} calls {node.func.id}")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in UNSAFE_YAML:
                found.append(f"{where} uses {ast.unparse(node)}")
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
            modules = {*names, node.module or ""} if isinstance(node, ast.ImportFrom) else set(names)
            found += [f"{where} imports {name}" for name in modules if name.split(".")[0] in forbidden_modules]
    assert found == []
    assert re.search(r"def load_pipeline", (SOURCE / "tagent/pipeline/stored/loading.py").read_text()), (
        "the source was scanned"
    )
