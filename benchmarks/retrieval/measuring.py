"""Goals and tools from the data beside this file -> what the selection makes of them."""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from tagent.task_agent.retrieval.tool_rag import ToolRAG
from tagent.task_agent.tools.tool import Tool

HERE = Path(__file__).resolve().parent
STYLES = ("plain", "paraphrase", "portuguese")
LIMIT = 24
"""How many tools a prompt describes unless the user says otherwise (`max_tools`)."""


class Goal(BaseModel):
    """A goal, and the tool that reaches it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: int
    style: str
    goal: str
    tool: str
    topic: str = ""
    accepted: dict[str, str] = {}
    """Other tools that reach the goal as well -> why."""
    note: str = ""

    @property
    def right(self) -> set[str]:
        """The names of all tools that reach the goal."""
        return {self.tool, *self.accepted}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one selection gave.

    Attributes:
        goal: The goal.
        rank: The place of the right tool among the described ones, from 1; None if it is not described.
        in_prompt: Whether the right tool is in the prompt, described or only named.
        has_catalogue: Whether the names of all other tools were added.
        tokens: What tools and names take in the prompt, at four characters per token.
        seconds: How long `select` took.
    """

    goal: Goal
    rank: int | None
    in_prompt: bool
    has_catalogue: bool
    tokens: float
    seconds: float


def tools() -> dict[str, Tool]:
    """Return the 500 tools by name, in the order of the file."""
    return {written["name"]: _tool(written) for written in json.loads((HERE / "tools.json").read_text("utf-8"))}


def goals(name: str) -> tuple[Goal, ...]:
    """Return the goals of a set: `test`, or `development`, on which the thresholds were chosen."""
    return tuple(map(Goal.model_validate, json.loads((HERE / f"{name}_goals.json").read_text("utf-8"))))


async def outcomes(all_tools: Mapping[str, Tool], wanted: Sequence[Goal], *, limit: int = LIMIT) -> list[Outcome]:
    """Select tools for every goal, in order."""
    rag = ToolRAG(all_tools, limit=limit)
    await rag.select("")  # the index is built at the first need
    found = []
    for goal in wanted:
        started = time.perf_counter()
        selection = await rag.select(goal.goal)
        seconds = time.perf_counter() - started
        described = [tool.name for tool in selection.tools]
        ranks = [rank for rank, name in enumerate(described, 1) if name in goal.right]
        in_prompt = bool(ranks) or not goal.right.isdisjoint(selection.catalogue)
        tokens = described_tokens(selection.tools) + len(", ".join(selection.catalogue)) / 4
        found.append(Outcome(goal, min(ranks, default=None), in_prompt, bool(selection.catalogue), tokens, seconds))
    return found


def described_tokens(chosen: Sequence[Tool]) -> float:
    """Return what `chosen` take in a planning prompt, at four characters per token."""
    return (
        sum(
            len(json.dumps({"tool": tool.name, "description": tool.description, "arguments": tool.parameters_schema}))
            + 1
            for tool in chosen
        )
        / 4
    )


def _tool(written: Mapping[str, Any]) -> Tool:
    class Arguments(BaseModel):
        """Only its schema is used: the tool is never called."""

        @classmethod
        def model_json_schema(cls, *_: Any, **__: Any) -> dict[str, Any]:
            return dict(written["parameters"])

    return Tool(written["name"], written["description"], dict, Arguments)
