"""What an imported run holds back until somebody approves it: writes into its own names, and nowhere else.

Whoever approves an output sees the output, and not what is written with it. So a file may hold back only what
belongs to its own run: no memory of a pipeline, no message to others, no answer to another approval.
"""

from collections.abc import Iterator

from tagent.names import run_prefix
from tagent.pipeline.course.records import WorkRecord
from tagent.pipeline.state import PipelineState
from tagent.pipeline.transfer.documents import RunImportError, read_json
from tagent.ports.effects import Effects

LONGEST_NAME = 1000
"""Characters of a scope, a key or a topic: a few names of people's, one behind the other."""

MAX_VERSION = 2**53


def require_own_effects(state: PipelineState, *, run_id: str) -> None:
    """Refuse a run that holds back effects which reach beyond it, or that no engine writes.

    What was held back in its past was written then, or will never be.

    Args:
        state: The state of the run, or of one inside it.
        run_id: The run, not one inside it.

    Raises:
        RunImportError: If it does.
    """
    if state.is_finished:
        return
    for name, record in state.steps.items():
        if state.statuses[name].is_terminal:
            continue
        if record.held is not None and record.held.effects is not None:
            _require_own(record.held.effects, run_id=run_id, step=name)
        works: tuple[WorkRecord, ...] = (record, *record.parts.values())
        for inner in [work.inner for work in works if work.inner is not None]:
            require_own_effects(inner, run_id=run_id)


def _require_own(effects: Effects, *, run_id: str, step: str) -> None:
    told = f"its step {step!r} holds back"
    own = run_prefix(run_id)
    if foreign := next((name for name in _owners(effects) if not name.startswith(own)), None):
        raise RunImportError(
            f"{told} a write to {foreign[:100]!r}, which does not belong to the run.",
            hint="Answer the approval where the run comes from, and export it then.",
        )
    if not all(name.isprintable() and len(name) <= LONGEST_NAME for name in _names(effects)):
        raise RunImportError(f"{told} a write to a name that is none.")
    if any("\0" in put.text for put in effects.puts):
        raise RunImportError(f"{told} a text that not every store can keep.")
    for content in (*(put.value for put in effects.puts), *(message.payload for message in effects.messages)):
        if content is not None:
            read_json(content)
    if not all(0 <= number <= MAX_VERSION for number in _numbers(effects)):
        raise RunImportError(f"{told} a write that cannot be.")
    documents = {(put.scope, put.key) for put in effects.puts}
    readers = {(it.subscriber, it.topic) for it in effects.receipts}
    if len(documents) < len(effects.puts) or len(readers) < len(effects.receipts):
        raise RunImportError(f"{told} two writes of the same.")


def _owners(effects: Effects) -> Iterator[str]:
    """Yield whose everything is that would be written, or where an answer to it would go."""
    yield from (put.scope for put in effects.puts)
    for message in effects.messages:
        yield message.topic
        if message.reply_to:
            yield message.reply_to
    yield from (receipt.subscriber for receipt in effects.receipts)
    yield from (subscription.subscriber for subscription in effects.subscriptions)


def _names(effects: Effects) -> Iterator[str]:
    """Yield every name in them: a store takes what it is given."""
    yield from _owners(effects)
    yield from (put.key for put in effects.puts)
    for message in effects.messages:
        yield from (message.key, message.sender)
    yield from (receipt.topic for receipt in effects.receipts)
    yield from (subscription.topic for subscription in effects.subscriptions)


def _numbers(effects: Effects) -> Iterator[float]:
    for put in effects.puts:
        yield put.expected_version or 0
        yield put.ttl_seconds or 0
        if put.quota is not None:
            yield from (put.quota.documents, put.quota.bytes)
    for receipt in effects.receipts:
        yield from (receipt.expected_seq, receipt.seq - receipt.expected_seq, receipt.failures)
