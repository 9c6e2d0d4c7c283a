"""The page of the events is the events."""

import re
from dataclasses import fields
from pathlib import Path
from typing import get_args

from tagent.pipeline.events import AgentNoticed, RunEvent
from tagent.task_agent.events import AgentEvent, AgentNotice

PAGE = Path(__file__).parents[2] / "docs/reference/events.md"


def test_the_page_of_the_events_names_each_with_its_fields_in_their_order() -> None:
    """Whoever writes a `match` takes them apart by position."""
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = {name: re.findall(r"`(\w+)`", listed) for name, listed in rows}
    kinds = (*get_args(RunEvent), AgentNoticed, *get_args(AgentEvent), *get_args(AgentNotice))
    assert told == {kind.__name__: [field.name for field in fields(kind)] for kind in kinds}
    assert len(rows) == len(kinds)
