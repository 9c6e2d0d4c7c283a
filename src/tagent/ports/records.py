"""What a store keeps, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.values import value


@value
class Record:
    """One entry of a journal.

    Attributes:
        seq: Its place in the run's journal, from 1, without gaps.
        kind: What happened, the event's name.
        at: When, in seconds since 1970-01-01 UTC.
        payload: The event as UTF-8 JSON.

    Example:
        >>> Record(seq=1, kind="run_started", at=0.0, payload=b"{}").kind
        'run_started'
    """

    seq: int
    kind: str
    at: float
    payload: bytes


@value
class RunSummary:
    """What lists show of a run; written with the records that changed it.

    Attributes:
        status: Where the run stands, in the words of `tagent.pipeline.RunStatus`.
        at: When that was so, in seconds since 1970-01-01 UTC.
        cost_usd: The sum of the known prices up to then.
        is_finished: Whether the run has come to an end. Then nobody holds it any more.
        text: What `RunQuery.words` are looked for in; None leaves it.

    Example:
        >>> RunSummary("completed", at=60.0, cost_usd=0.02, is_finished=True).is_finished
        True
    """

    status: str
    at: float
    cost_usd: float = 0.0
    is_finished: bool = False
    text: str | None = None


@value
class Blob:
    """Something large that records name by its hash.

    It is kept as long as a run that wrote it, or was forked from one that did, is.

    Attributes:
        hash: A hash of its content; equal contents are stored once.
        content: The bytes; None for a blob that the store holds already.

    Example:
        >>> from hashlib import sha256
        >>> content = b"much text"
        >>> Batch("1f2e", epoch=1, records=(), blobs=(Blob(sha256(content).hexdigest(), content),)).blobs[0].content
        b'much text'
    """

    hash: str
    content: bytes | None


@value
class Batch:
    """What is written together, all or nothing.

    Attributes:
        run_id: The run whose journal grows.
        epoch: The writer's claim.
        records: New entries; the first follows the journal's last, each the one before it.
        summary: What lists are to show from now on; None leaves it.
        blobs: What the new entries name.
        effects: What else changes with them.

    Example:
        >>> batch = Batch("1f2e", epoch=1, records=(Record(2, "step_started", 1.0, b"{}"),))
        >>> batch.records[0].seq, batch.summary
        (2, None)
    """

    run_id: str
    epoch: int
    records: tuple[Record, ...]
    summary: RunSummary | None = None
    blobs: tuple[Blob, ...] = ()
    effects: Effects = NO_EFFECTS


@dataclass(frozen=True, slots=True)
class NewRun:
    """A run to begin.

    Attributes:
        run_id: Its id, new to the store.
        pipeline: The name of its pipeline.
        definition: The pipeline as UTF-8 JSON.
        definition_hash: A hash of `definition`; equal ones are stored once.
        owner: Who holds it: what `this_process` says of itself.
        lease_seconds: How long the claim lasts unless it is renewed.
        at: When it was created, in seconds since 1970-01-01 UTC.
        records: The beginning of its journal, from seq 1: a run that exists has begun.
        summary: What lists are to show of it; None is `running`.
        blobs: What the records name.
        labels: Names and values to find it by.
        parent: The run that it was forked from; empty for none.
        forked_seq: The place of the parent's last record that it shares.
        effects: What else changes with its beginning.

    Example:
        >>> begun(NewRun("1f2e", "report", b"{}", "0a1b", owner="me", lease_seconds=15, at=0.0)).epoch
        1
    """

    run_id: str
    pipeline: str
    definition: bytes
    definition_hash: str
    owner: str
    lease_seconds: float
    at: float
    records: tuple[Record, ...] = ()
    summary: RunSummary | None = None
    blobs: tuple[Blob, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""
    forked_seq: int = 0
    effects: Effects = NO_EFFECTS


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What a store knows of a run besides its journal.

    Attributes:
        run_id: The run.
        pipeline: The name of its pipeline.
        definition_hash: Names its definition.
        status: Where it stands, as its last `RunSummary` says; `running` before the first.
        epoch: How often it was claimed, from 1.
        last_seq: The newest record's place; 0 for an empty journal.
        owner: Who holds it; empty when nobody does.
        created_at: When it was created.
        updated_at: When its summary last changed.
        finished_at: When it came to its end; None while it has not.
        cost_usd: The sum of the known prices as its last `RunSummary` says, which is written when it begins, waits or
            ends: while it runs, it has cost this at least. Its journal knows what it has cost.
        labels: Names and values to find it by.
        parent: The run that it was forked from; empty for none.
        forked_seq: The place of the parent's last record that it shares.

    Example:
        >>> import asyncio
        >>> from tagent.adapters.storage.memory import MemoryStore
        >>> new = NewRun("1f2e", "report", b"{}", "0a1b", owner="me", lease_seconds=15, at=0.0)
        >>> record = asyncio.run(MemoryStore().create_run(new))
        >>> record.pipeline, record.status, record.last_seq
        ('report', 'running', 0)
    """

    run_id: str
    pipeline: str
    definition_hash: str
    status: str
    epoch: int
    last_seq: int
    owner: str
    created_at: float
    updated_at: float
    finished_at: float | None
    cost_usd: float
    labels: Mapping[str, str] = field(default_factory=dict)
    parent: str = ""
    forked_seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RunQuery:
    """Which runs to list. What is left as it is does not restrict.

    Attributes:
        statuses: It stands at one of these.
        pipelines: Its pipeline has one of these names.
        since: It was created at this time or later, in seconds since 1970-01-01 UTC.
        until: It was created before this time.
        labels: It has each of these.
        words: The text of its summary contains each of these, letter by letter. Whoever wants upper and
            lower case to be the same writes and asks for only one of them.
        limit: How many at most, the newest.

    Example:
        >>> labels = {"team": "blue"}
        >>> run = begun(NewRun("1f2e", "report", b"{}", "0a1b", owner="me", lease_seconds=15, at=0.0, labels=labels))
        >>> RunQuery(labels={"team": "blue"}).fits(run, ""), RunQuery(statuses=("failed",)).fits(run, "")
        (True, False)
    """

    statuses: tuple[str, ...] = ()
    pipelines: tuple[str, ...] = ()
    since: float | None = None
    until: float | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    words: tuple[str, ...] = ()
    limit: int = 100

    def fits(self, run: RunRecord, text: str) -> bool:
        """Return whether `run`, whose summaries left `text`, is one of them. Says nothing of the limit."""
        return (
            (not self.statuses or run.status in self.statuses)
            and (not self.pipelines or run.pipeline in self.pipelines)
            and (self.since is None or run.created_at >= self.since)
            and (self.until is None or run.created_at < self.until)
            and self.labels.items() <= run.labels.items()
            and all(word in text for word in self.words)
        )


NEWEST = RunQuery()
"""The newest runs, whatever they are."""


def begun(run: NewRun) -> RunRecord:
    """Return what is known of a run that has just begun."""
    record = RunRecord(
        run_id=run.run_id,
        pipeline=run.pipeline,
        definition_hash=run.definition_hash,
        status="running",
        epoch=1,
        last_seq=len(run.records),
        owner=run.owner,
        created_at=run.at,
        updated_at=run.at,
        finished_at=None,
        cost_usd=0.0,
        labels=run.labels,
        parent=run.parent,
        forked_seq=run.forked_seq,
    )
    return record if run.summary is None else summarized(record, run.summary)


def summarized(record: RunRecord, summary: RunSummary) -> RunRecord:
    """Return `record` as `summary` changes it."""
    return replace(
        record,
        status=summary.status,
        updated_at=summary.at,
        finished_at=summary.at if summary.is_finished else None,
        cost_usd=summary.cost_usd,
        owner="" if summary.is_finished else record.owner,
    )
