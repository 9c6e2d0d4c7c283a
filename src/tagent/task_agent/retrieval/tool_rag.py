"""Narrows many tools to those that fit a goal, without ever hiding the right one."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from tagent.ports.embedder import Embedder
from tagent.task_agent.retrieval.meaning import with_meaning
from tagent.task_agent.retrieval.ranking import Fields, index_of
from tagent.task_agent.retrieval.words import words_in
from tagent.task_agent.tools.tool import Tool

FIELD_WEIGHTS = (3.0, 2.0, 1.0, 1.0, 1.0)
"""What a match counts in a tool's name, description, names of parameters, their descriptions, their choices."""

SURE_COVERAGE = 0.35
"""Share of a goal that the best selected tool must cover for the ranking to be trusted alone. Of the development
goals, those whose right tool was not selected were covered up to 0.29."""

CLOSE_RIVAL = 0.75
"""A tool that was left out, yet covers this share of what the best one covers, makes the ranking unsure."""


@dataclass(frozen=True, slots=True)
class ToolSelection:
    """The tools that a prompt describes, and the names of the others if the choice is unsure.

    Attributes:
        tools: The tools to describe, best first.
        catalogue: The names of all other tools, in their order, if the right one may be among them; else empty.
    """

    tools: tuple[Tool, ...]
    catalogue: tuple[str, ...] = ()


class ToolRAG:
    """Chooses the tools of a goal.

    Example:
        >>> import asyncio
        >>> from tagent.task_agent.tools.tool import tools_by_name
        >>> def send_email(to: str, subject: str) -> None:
        ...     "Send an email to a person."
        >>> def get_forecast(city: str) -> str:
        ...     "Return the weather of tomorrow in a city."
        >>> rag = ToolRAG(tools_by_name([send_email, get_forecast]), limit=1)
        >>> selection = asyncio.run(rag.select("Send an email to Ana"))
        >>> [tool.name for tool in selection.tools], selection.catalogue
        (['send_email'], ())
        >>> asyncio.run(rag.select("Chove em Lisboa?")).catalogue
        ('get_forecast',)
    """

    def __init__(self, tools: Mapping[str, Tool], *, limit: int, embedder: Embedder | None = None) -> None:
        """Take the tools.

        Args:
            tools: Name -> tool.
            limit: How many tools a prompt may describe, from 1.
            embedder: Ranks by meaning besides words; None for words alone.

        Raises:
            ValueError: If `limit` is below 1.
        """
        if limit < 1:
            raise ValueError(f"At least one tool must be described, not {limit}.")
        self._tools = dict(tools)
        self._known_texts: tuple[Fields, ...] | None = None
        self._limit = limit
        self._embedder = embedder

    async def select(self, goal: str) -> ToolSelection:
        """Return all tools if there are at most `limit`, in their order; else the `limit` best.

        When the ranking is unsure the selection names all the others too. The same tools and goal
        always give the same selection. Without an answer from the embedder words alone decide.

        Raises:
            EmbedderError: If the embedder's answer is not one vector for each text.
            FullTextSearchError: If SQLite cannot search text.
        """
        if len(self._tools) <= self._limit:
            return ToolSelection(tuple(self._tools.values()))
        texts = self._texts()
        index = index_of(texts, FIELD_WEIGHTS)
        ranking = await with_meaning(index.ranked(goal), goal, texts, self._embedder)
        # What fits not at all follows in the tools' order, so that the prompt describes as many as it may.
        order = list(dict.fromkeys([*(number for number, _ in ranking), *range(len(texts))]))
        chosen = order[: self._limit]
        unsure = is_unsure(chosen, index.coverage(goal))
        names = tuple(self._tools)
        left_out = sorted(order[self._limit :]) if unsure else ()
        return ToolSelection(
            tuple(self._tools[names[number]] for number in chosen), tuple(names[number] for number in left_out)
        )

    def _texts(self) -> tuple[Fields, ...]:
        """Return the tools' texts. Read at the first need: a schema takes long, and few tools need none."""
        if self._known_texts is None:
            self._known_texts = tuple(tool_text(name, tool) for name, tool in self._tools.items())
        return self._known_texts


def is_unsure(chosen: list[int], coverage: Mapping[int, float]) -> bool:
    """Return whether the right tool may be among those that were not chosen.

    It may when no chosen tool covers enough of the goal (its words mean something else here, or it is in
    another language), or when one that was left out covers nearly as much as the best.

    Args:
        chosen: The numbers of the chosen tools.
        coverage: Tool -> the share of the goal that it covers, from 0 to 1.

    Example:
        >>> is_unsure([3], {3: 0.8, 4: 0.2})
        False
        >>> is_unsure([3], {3: 0.1}), is_unsure([3], {3: 0.8, 4: 0.8})
        (True, True)
    """
    best = max((coverage.get(number, 0.0) for number in chosen), default=0.0)
    rival = max((share for number, share in coverage.items() if number not in chosen), default=0.0)
    return best < SURE_COVERAGE or rival >= CLOSE_RIVAL * best


def tool_text(name: str, tool: Tool) -> Fields:
    """Return what a tool is found by: name, description, names of parameters, their descriptions, their choices."""
    names: list[str] = []
    descriptions: list[str] = []
    choices: list[str] = []
    for schema in _schemas_in(tool.parameters_schema):
        properties = schema.get("properties")
        if isinstance(properties, Mapping):
            names += map(str, properties)
        if isinstance(schema.get("description"), str):
            descriptions.append(str(schema["description"]))
        choice = schema.get("enum")
        choices += [str(value) for value in choice] if isinstance(choice, list) else []
        choices += [str(schema["const"])] if "const" in schema else []
    return " ".join(words_in(name)), tool.description, " ".join(names), " ".join(descriptions), " ".join(choices)


def _schemas_in(schema: object) -> Iterator[Mapping[str, object]]:
    """Yield `schema` and every schema in it. Without recursion: a server's schema may be deep."""
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if not isinstance(found, Mapping):
            continue
        yield found
        waiting += [found.get(key) for key in ("items", "additionalProperties", "not")]
        for key in ("anyOf", "oneOf", "allOf", "prefixItems"):
            inside = found.get(key)
            waiting += inside if isinstance(inside, list) else []
        for key in ("properties", "$defs", "definitions"):
            named = found.get(key)
            waiting += reversed(named.values()) if isinstance(named, dict) else []
