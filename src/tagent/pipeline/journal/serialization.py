"""Events as versioned JSON and back. The only file that knows what a journal's records look like."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json, to_json

from tagent.exceptions import StoreError
from tagent.pipeline.events import (
    FORMAT_VERSION,
    AgentProgressed,
    InnerProgressed,
    RunEvent,
    RunStarted,
)
from tagent.ports.records import Record
from tagent.task_agent.events import AgentEvent

_RUN_EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(RunEvent)}
_AGENT_EVENTS: dict[str, type] = {kind.__name__: kind for kind in get_args(AgentEvent)}
_WRAPPERS = (AgentProgressed.__name__, InnerProgressed.__name__)


class JournalFormatError(StoreError):
    """A record cannot be read: it is damaged, or written by a newer version of tagent."""

    code = "store.format"


def record_of(event: RunEvent, seq: int) -> Record:
    """Return `event` as the journal's record number `seq`."""
    kind: type = type(event)
    if isinstance(event, AgentProgressed | InnerProgressed):
        return Record(seq, kind.__name__, event.at, to_json(_wrapped(event)))
    return Record(seq, kind.__name__, event.at, _encoder(kind)(event))


def _wrapped(event: AgentProgressed | InnerProgressed) -> dict[str, object]:
    """Return an event that holds another one, with the kind of that beside it."""
    inside = event.event
    return {
        "step": event.step,
        "attempt": event.attempt,
        "part": event.part,
        "kind": type(inside).__name__,
        "event": _wrapped(inside) if isinstance(inside, AgentProgressed | InnerProgressed) else inside,
        "at": event.at,
    }


def event_of(record: Record) -> RunEvent:
    """Return the event that `record` holds; outputs come back as JSON values.

    Raises:
        JournalFormatError: If the record is damaged, of an unknown kind or of a newer format.
    """
    try:
        if record.kind in _WRAPPERS:
            return _unwrapped(record.kind, from_json(record.payload))
        event: RunEvent = _adapter(_RUN_EVENTS[record.kind]).validate_json(record.payload)
    except KeyError as error:
        raise JournalFormatError(
            f"Record {record.seq} is of the unknown kind {error.args[0]!r}.",
            hint="Upgrade tagent to read it.",
        ) from error
    except (ValidationError, ValueError, TypeError) as error:
        raise JournalFormatError(f"Record {record.seq} ({record.kind}) is damaged.") from error
    if isinstance(event, RunStarted) and event.format_version > FORMAT_VERSION:
        raise JournalFormatError(
            f"The journal is of format {event.format_version}; this tagent reads up to {FORMAT_VERSION}.",
            hint="Upgrade tagent to read it.",
        )
    return event


def _unwrapped(kind: str, values: dict[str, Any]) -> AgentProgressed | InnerProgressed:
    inside, part = values["kind"], values.get("part", "")
    if kind == AgentProgressed.__name__:
        done = _adapter(_AGENT_EVENTS[inside]).validate_python(values["event"])
        return AgentProgressed(values["step"], values["attempt"], done, values["at"], part)
    event: RunEvent
    if inside in _WRAPPERS:
        event = _unwrapped(inside, values["event"])
    else:
        event = _adapter(_RUN_EVENTS[inside]).validate_python(values["event"])
    return InnerProgressed(values["step"], values["attempt"], event, values["at"], part)


@lru_cache(maxsize=32)
def _adapter(kind: type) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


@lru_cache(maxsize=32)
def _encoder(kind: type) -> Callable[[object], bytes]:
    # The serializer itself: `dump_json` and the general `to_json` take twice as long for a small event.
    encode: Callable[[object], bytes] = TypeAdapter(kind).serializer.to_json
    return encode
