"""What is found after a process has ended: what really happened, and what the journal says of it."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic_core import from_json

from crash.flow_pipeline import ASKED
from crash.stores import DurableStore
from crash.victim_pipeline import CALLS
from tagent.adapters.storage.urls import open_store
from tagent.payloads import decoded
from tagent.pipeline.answering.documents import SCOPE as APPROVALS
from tagent.pipeline.events import (
    AgentProgressed,
    ApprovalRequested,
    InnerProgressed,
    PartCompleted,
    PartFailed,
    PartStarted,
    RunEvent,
    RunFinished,
    RunHalted,
    StepCompleted,
    StepFailed,
    StepStarted,
)
from tagent.pipeline.journal.loading import load_events
from tagent.ports import RunRecord, Store
from tagent.ports.documents import DocumentQuery
from tagent.task_agent.events import Finalized, Planned, TaskCompleted

AGENT_STEPS = frozenset(step for step, _ in CALLS)
MODEL_CALLS = (".plan", ".answer")
"""How the effects end that are calls of a model."""


@dataclass(frozen=True)
class Place:
    """Where a case keeps what it has.

    Attributes:
        store: The kind of its store.
        folder: Its files.
        url: Its store.
    """

    store: DurableStore
    folder: Path
    url: str


Unit = tuple[str, int]
"""An effect and its attempt: the function of a step or of a part of it, a model call or a tool call."""


@dataclass(frozen=True)
class Scene:
    """What is found after a process has ended.

    Attributes:
        run: The run; None when not even that was stored.
        events: Its journal.
        effects: How often each unit really happened.
        shared: What is remembered and was sent, and how far it was read, without the run's id.
    """

    run: RunRecord | None
    events: tuple[RunEvent, ...]
    effects: Counter[Unit]
    shared: Mapping[str, object]

    @property
    def run_id(self) -> str:
        """The run; empty when it does not exist."""
        return self.run.run_id if self.run else ""

    @property
    def finished(self) -> set[Unit]:
        """The units whose end is committed: in the same life of the run they must never happen again."""
        units: set[Unit] = set()
        for event, name in self._named:
            match event:
                case StepCompleted(step, attempt) | StepFailed(step, attempt) if step not in AGENT_STEPS:
                    units.add((name, attempt))
                case ApprovalRequested(attempt=attempt) if attempt:  # it waits with what it gave
                    units.add((name, attempt))
                case PartCompleted(step, attempt=attempt) | PartFailed(step, attempt=attempt) if step not in ASKED:
                    units.add((name, attempt))
                case AgentProgressed(event=Finalized(), part=part) if part:
                    units.add((f"{name}.answer", 1))
                case AgentProgressed(step, event=TaskCompleted(index)):
                    units.add((CALLS[step, index], 1))
                case AgentProgressed(step, event=Planned() | Finalized() as call):
                    units.add((CALLS[step, type(call).__name__], 1))
                case _:
                    pass
        return units

    @property
    def completed(self) -> set[Unit]:
        """Those of them that succeeded: they must not happen again in any life of the run."""
        return {
            (name, event.attempt)
            for event, name in self._named
            if isinstance(event, StepCompleted | PartCompleted) and event.step not in AGENT_STEPS | ASKED
        }

    @property
    def in_flight(self) -> set[Unit]:
        """The units that may have happened without the journal's knowing it: these may happen again."""
        begun: set[Unit] = set()
        for event, name in self._named:
            if isinstance(event, StepStarted):
                calls = {(call, 1) for (step, _), call in CALLS.items() if step == event.step}
                begun |= calls or {(name, event.attempt)}
            elif isinstance(event, PartStarted):
                begun.add((f"{name}.answer", 1) if event.step in ASKED else (name, event.attempt))
        return begun - self.finished

    @property
    def _named(self) -> Iterator[tuple[RunEvent, str]]:
        """Each event with the name of what it tells of: the part of its idempotency key that says what it is."""
        names: dict[tuple[str, str, str], str] = {}
        for event, path in map(inside_of, self.events):
            place = path, getattr(event, "step", ""), getattr(event, "part", "")
            if isinstance(event, StepStarted | PartStarted):
                names[place] = event.idempotency_key.removeprefix(f"{self.run_id}/")
            yield event, names.get(place, path + place[1])

    @property
    def has_ended(self) -> bool:
        """Whether the run came to an end, from which nobody has taken it up since."""
        return bool(self.events) and isinstance(self.events[-1], RunFinished)

    @property
    def halted(self) -> RunHalted | None:
        """What says that nothing starts any more; None if it may."""
        return next((event for event in self.events if isinstance(event, RunHalted)), None)

    @property
    def model_calls(self) -> int:
        """How many model calls the journal knows."""
        return sum(isinstance(getattr(event, "event", None), Planned | Finalized) for event in self.events)


def inside_of(event: RunEvent) -> tuple[RunEvent, str]:
    """Return what happened in the pipeline inside a step, and the path to it; of other events themselves."""
    path = ""
    while isinstance(event, InnerProgressed):
        path += f"{event.step}/{event.part}/" if event.part else f"{event.step}/"
        event = event.event
    return event, path


def look_at(place: Place) -> Scene:
    """Return what is found, without touching it."""
    with place.store.shown(place.folder, place.url) as url:
        run, events, shared = asyncio.run(_read(url)) if url else (None, (), {})
    log = place.folder / "effects.log"
    lines = log.read_text().splitlines() if log.exists() else []
    effects = Counter((name, int(attempt)) for name, _, attempt in (line.rpartition(" ") for line in lines))
    return Scene(run, events, effects, shared)


def completed_steps(place: Place) -> set[str]:
    """Return the steps that are committed as completed, while the process that does them lives."""
    _, events, _ = asyncio.run(_read(place.url))
    return {event.step for event in events if isinstance(event, StepCompleted)}


async def _read(url: str) -> tuple[RunRecord | None, tuple[RunEvent, ...], Mapping[str, object]]:
    store = open_store(url)
    try:
        runs = await store.runs()
        assert len(runs) <= 1, "a case has one run"
        if not runs:
            return None, (), {}
        run_id = runs[0].run_id
        return runs[0], await load_events(store, run_id), await _shared(store, run_id)
    finally:
        await store.close()


async def _shared(store: Store, run_id: str) -> Mapping[str, object]:
    """Return all memory by scope and key, all messages by topic, and all places by reader."""
    found: dict[str, object] = {}
    for usage in await store.scopes():
        for document in await store.documents(DocumentQuery(usage.scope)):
            is_plain = usage.scope == APPROVALS
            value = from_json(document.value) if is_plain else decoded(document.value, what="it")
            found[f"{usage.scope}: {document.key}"] = value
    for topic in await store.topics():
        messages = await store.messages(topic.name)
        found[topic.name] = [decoded(message.payload, what="it") for message in messages]
    for cursor in await store.cursors():
        found[f"{cursor.subscriber} reads {cursor.topic}"] = cursor.seq
    return {name.replace(run_id, "ID"): value for name, value in found.items()}
