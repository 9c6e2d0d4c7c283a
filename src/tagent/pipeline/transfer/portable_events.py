"""Events without what belongs to the machine that they come from, and without what others would use again."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from pydantic_core import from_json, to_json

from tagent.effects import without_spare
from tagent.pipeline.changes import Change
from tagent.pipeline.events import ApprovalRequested, InnerProgressed, PartCompleted, RunEvent, StepCompleted
from tagent.pipeline.stored.added_steps import CODE
from tagent.pipeline.transfer.definitions import portable_step

_CHANGES = b'"change":{'


def portable_event(event: RunEvent, *, may_name_code: bool) -> RunEvent:
    """Return an event from elsewhere as it may be written here.

    Steps that were added are sent nowhere by their settings, and say not which functions are called; outputs that are
    held back until somebody approves them are not kept for others to use again.

    Args:
        event: The event.
        may_name_code: Whether added steps keep the names of their functions, types and tools.

    Raises:
        KeyError: If an added step has no settings.
    """
    if isinstance(event, InnerProgressed):
        inside = portable_event(event.event, may_name_code=may_name_code)
        return event if inside is event.event else replace(event, event=inside)
    if isinstance(event, ApprovalRequested) and event.effects is not None:
        kept = without_spare(event.effects)
        if kept != event.effects:
            event = replace(event, effects=kept)
    if isinstance(event, ApprovalRequested | StepCompleted | PartCompleted) and event.change is not None:
        change = _portable_change(event.change, may_name_code=may_name_code)
        return event if change == event.change else replace(event, change=change)
    return event


def _portable_change(change: Change, *, may_name_code: bool) -> Change:
    without = () if may_name_code else (CODE,)
    return replace(
        change,
        added=tuple([_without(portable_step(spec), without) for spec in change.added]),
        linked=tuple([_without(link, without) for link in change.linked]),
    )


def _without(values: Mapping[str, object], names: Collection[str]) -> dict[str, object]:
    return {name: given for name, given in values.items() if name not in names}


def portable_payload(payload: bytes) -> bytes:
    """Return the payload of a record as another machine may have it; most are returned as they are."""
    if _CHANGES not in payload:
        return payload
    values = from_json(payload)
    innermost = values
    while "kind" in innermost and isinstance(innermost.get("event"), dict):
        innermost = innermost["event"]
    change: dict[str, Any] | None = innermost.get("change")
    if not isinstance(change, dict) or not isinstance(change.get("added"), list):
        return payload  # it was in an output
    change["added"] = [portable_step(spec) for spec in change["added"]]
    return to_json(values)
