"""Events as JSON for whoever watches from elsewhere: a browser, another program. The journal has a form of its own."""

from dataclasses import fields
from typing import TYPE_CHECKING

from pydantic_core import to_json

if TYPE_CHECKING:
    from tagent.pipeline.events import AgentNoticed, RunEvent
    from tagent.task_agent.events import AgentEvent, AgentNotice

_INSIDE = ("event", "notice")
"""The fields that hold an event of an agent."""


def event_json(event: "RunEvent | AgentNoticed | AgentEvent | AgentNotice") -> str:
    """Return an event as one line of JSON: its name as `kind`, and its fields; an agent's event inside likewise.

    That is what the `data:` of a server-sent event takes. It is for showing: it cannot be read back as an event.

    Args:
        event: What `stream`, a sink or `on_event` is given.

    Example:
        >>> from tagent.pipeline.events import AgentProgressed, StepStarted
        >>> from tagent.task_agent.events import TaskStarted
        >>> event_json(StepStarted("facts", 1, "r-1/facts", at=7.0))
        '{"kind":"StepStarted","step":"facts","attempt":1,"idempotency_key":"r-1/facts","at":7.0,"seen":[]}'
        >>> print(event_json(AgentProgressed("facts", 1, TaskStarted(0, "search"), at=7.5))[53:95])
        "event":{"kind":"TaskStarted","index":0,"t
    """
    return to_json(_members(event), bytes_mode="base64", fallback=str).decode()


def _members(event: "RunEvent | AgentNoticed | AgentEvent | AgentNotice") -> dict[str, object]:
    told: dict[str, object] = {"kind": type(event).__name__}
    for field in fields(event):
        value = getattr(event, field.name)
        told[field.name] = _members(value) if field.name in _INSIDE else value
    return told
