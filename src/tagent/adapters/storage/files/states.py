"""What is known of a run, as the fold of what has happened to it. Pure: it knows no file and no other run."""

from dataclasses import dataclass, replace

from tagent.adapters.storage.files.operations import BatchCommitted, RunCreated, RunHeld
from tagent.ports.records import RunRecord, summarized


@dataclass(frozen=True, slots=True)
class RunState:
    """A run without its records.

    Attributes:
        run: What callers are told of it.
        lease_ends: When its claim ends, in seconds since 1970-01-01 UTC.
        text: What queries look for words in.
        blobs: The hashes of the blobs that it needs.
    """

    run: RunRecord
    lease_ends: float
    text: str
    blobs: frozenset[str]


def created(creation: RunCreated) -> RunState:
    """Return the state of a run that has just begun."""
    return RunState(creation.run, creation.lease_ends, creation.text, frozenset(creation.blobs))


def committed(state: RunState, commit: BatchCommitted) -> RunState:
    """Return the state after a commit."""
    run, text = state.run, state.text
    if commit.summary is not None:
        run = summarized(run, commit.summary)
        text = text if commit.summary.text is None else commit.summary.text
    if commit.records:
        run = replace(run, last_seq=commit.records[-1].seq)
    return RunState(run, state.lease_ends, text, state.blobs.union(commit.blobs))


def held(state: RunState, hold: RunHeld) -> RunState:
    """Return the state after a claim, a renewal or a release."""
    return replace(state, run=replace(state.run, epoch=hold.epoch, owner=hold.owner), lease_ends=hold.lease_ends)
