"""`remember` and `recall`: the tools with which an agent keeps something for later steps and runs."""

from typing import Annotated

from pydantic import Field

from tagent.memory import MemoryEntry, MemoryScope
from tagent.names import LONGEST_NAME
from tagent.search import searchable
from tagent.task_agent.tools.tool import ToolContext

MOST_RECALLED = 10
MOST_COMPARED = 1_000
"""Memories that are compared with what is looked for, by key."""

SHORTEST_WORD = 3
"""Characters; shorter words are in every text."""


async def remember(
    key: Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)], text: str, context: ToolContext
) -> str:
    """Remember a text for later, under a short key that says what it is about. It replaces an earlier one.

    Raises:
        OutsidePipelineError: If the agent does not work at a step of a pipeline.

    Example:
        >>> from tagent import run_agent
        >>> from tagent.pipeline import Pipeline
        >>> from tagent.testing import ScriptedModel
        >>> plan = [{"tool_name": "remember", "tool_args": {"key": "tea", "text": "Ada likes it green."}}]
        >>> model = ScriptedModel([plan, "It is noted."])
        >>> run_agent(Pipeline("notes").step("note", "Note it", tools=[remember], model=model)).final_output
        'It is noted.'
    """
    await scope_of(context).aput(key, text)
    return f"Remembered as {key!r}."


async def recall(about: str, context: ToolContext) -> dict[str, object]:
    """Return what was remembered about something, by key.

    Raises:
        OutsidePipelineError: If the agent does not work at a step of a pipeline.

    Example:
        >>> from tagent import run_agent
        >>> from tagent.pipeline import Pipeline, StepContext
        >>> from tagent.testing import ScriptedModel
        >>> async def note(context: StepContext) -> None:
        ...     await context.memory.run.aput("tea", "Ada likes it green.")
        >>> model = ScriptedModel([[{"tool_name": "recall", "tool_args": {"about": "tea for Ada"}}], "Green."])
        >>> notes = Pipeline("notes").step("note", run=note)
        >>> run_agent(notes.step("offer", "Which tea?", tools=[recall], model=model, depends_on=["note"])).final_output
        'Green.'
    """
    return {entry.key: entry.value for entry in await fitting(about, scope_of(context))}


def scope_of(context: ToolContext) -> MemoryScope:
    """Return the memory that the step uses: of its run, or of its pipeline.

    Raises:
        OutsidePipelineError: If the agent does not work at a step of a pipeline.
    """
    memory = context.memory
    return memory.pipeline if context.reach is not None and context.reach.remembers == "pipeline" else memory.run


async def fitting(text: str, memory: MemoryScope) -> list[MemoryEntry]:
    """Return the memories that share most words with `text`, the best first; none that shares no word."""
    wanted = {word for word in _words(text) if len(word) >= SHORTEST_WORD}
    scored = []
    for entry in await memory.aentries(limit=MOST_COMPARED):
        shared = len(wanted & _words(f"{entry.key} {searchable([entry.value])}"))
        if shared:
            scored.append((-shared, entry.key, entry))
    return [entry for *_, entry in sorted(scored, key=lambda it: it[:2])[:MOST_RECALLED]]


def _words(text: str) -> set[str]:
    return set("".join(letter if letter.isalnum() else " " for letter in searchable([text])).split())
