"""Choosing tools: few go whole, of many the fitting ones, and the right one is never out of reach."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

import pytest
from benchmarks.retrieval.measuring import LIMIT, Outcome, goals, outcomes
from benchmarks.retrieval.measuring import tools as many_tools
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from tagent.ports.embedder import EmbedderError
from tagent.ports.model_errors import ModelUnavailableError
from tagent.task_agent.retrieval.tool_rag import ToolRAG, ToolSelection
from tagent.task_agent.tools.tool import Tool, tools_by_name

MANY = many_tools()


class Place(BaseModel):
    """A nested parameter."""

    zeppelin: str
    harbour: Literal["north", "moonport"] = "north"


class Nothing(BaseModel):
    """No parameters."""


def ship(target: Place, crates: list[Place] | None = None) -> None:
    """Move it."""


def named(*names: str) -> dict[str, Tool]:
    return {name: Tool(name, "", dict, Nothing) for name in names}


def selected(tools: dict[str, Tool], goal: str, *, limit: int) -> ToolSelection:
    return asyncio.run(ToolRAG(tools, limit=limit).select(goal))


def test_few_tools_are_all_described_in_their_order() -> None:
    """Ranking costs nothing then, and the prompt stays the same, which providers cache."""
    tools = named("b_tool", "a_tool")
    assert selected(tools, "a tool", limit=2) == ToolSelection((tools["b_tool"], tools["a_tool"]), ())


def test_of_many_the_best_come_first_and_a_sure_choice_needs_no_catalogue() -> None:
    """Names of hundreds of tools cost tokens and attention."""
    selection = selected(MANY, "Load customers.csv into the customers table.", limit=24)
    assert selection.tools[0].name == "import_csv_into_table"
    assert len(selection.tools) == 24
    assert selection.catalogue == ()


@pytest.mark.parametrize("goal", ["Quanto dinheiro tenho?", "???", "", "Umbrella?", "预订", "create"])
def test_an_unsure_choice_names_all_the_others(goal: str) -> None:
    """A goal in other words, or in another language, must still reach its tool."""
    selection = selected(MANY, goal, limit=24)
    described = {tool.name for tool in selection.tools}
    assert described.isdisjoint(selection.catalogue)
    assert described | set(selection.catalogue) == set(MANY)
    assert list(selection.catalogue) == [name for name in MANY if name not in described]


def test_parameters_and_their_choices_are_found_at_any_depth() -> None:
    """What a tool can make is often written in a parameter only."""
    tools = {**named(*(f"tool_{number}" for number in range(30))), **tools_by_name([ship])}
    for word in ("zeppelin", "moonport", "crates"):
        assert selected(tools, f"Something with a {word}", limit=1).tools[0].name == "ship"


def test_a_schema_of_a_server_may_be_odd_and_deep() -> None:
    """MCP servers write their own."""
    deep: dict[str, object] = {"const": "treasure"}
    for _ in range(5_000):
        deep = {"anyOf": [deep, True]}

    class Odd(Nothing):
        @classmethod
        def model_json_schema(cls, *_: object, **__: object) -> dict[str, object]:
            return {"properties": {"description": deep, "enum": {"enum": "no list"}}, "items": 3, "$defs": []}

    tools = {**named("one", "two"), "odd": Tool("odd", "", dict, Odd)}
    assert selected(tools, "treasure", limit=1).tools[0].name == "odd"


def test_the_choice_is_the_same_every_time() -> None:
    """A resumed agent must see the tools that it planned with."""
    goal = "Send the report to the team and plan a meeting"
    assert selected(MANY, goal, limit=10) == selected(dict(MANY), goal, limit=10)


def test_a_limit_below_one_is_refused() -> None:
    """No tool at all is another kind of agent."""
    with pytest.raises(ValueError, match="not 0"):
        ToolRAG({}, limit=0)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=12), st.tuples(st.text(max_size=40), st.text(max_size=8)), max_size=12
    ),
    st.text(max_size=200),
    st.integers(1, 8),
)
def test_any_tools_and_goal_are_covered_or_within_the_limit(
    described: dict[str, tuple[str, str]], goal: str, limit: int
) -> None:
    """Whatever people write, no tool is described or named twice, and none gets lost when it is unsure."""
    tools = {name: Tool(name, text, dict, Nothing) for name, (text, _) in described.items()}
    selection = selected(tools, goal, limit=limit)
    names = [tool.name for tool in selection.tools] + list(selection.catalogue)
    assert len(selection.tools) == min(limit, len(tools))
    assert len(set(names)) == len(names)
    assert not selection.catalogue or set(names) == set(tools)


class Synonyms:
    """Knows that an umbrella has to do with weather."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        self.asked.append(len(texts))
        await asyncio.sleep(0)
        return [[1.0, float("umbrella" in text or "weather" in text)] for text in texts]


def test_an_embedder_finds_what_shares_no_word_and_sees_the_tools_once() -> None:
    """Embedding five hundred tools for every goal would cost more than it saves."""
    embedder = Synonyms()
    tools = named("get_weather", *(f"tool_{number}" for number in range(9)))

    async def work() -> list[ToolSelection]:
        async with asyncio.TaskGroup() as group:
            asked = [
                group.create_task(ToolRAG(tools, limit=1, embedder=embedder).select("umbrella?")) for _ in range(5)
            ]
        return [task.result() for task in asked]

    assert {selection.tools[0].name for selection in asyncio.run(work())} == {"get_weather"}
    assert asyncio.run(ToolRAG(tools, limit=1, embedder=embedder).select("umbrella")).tools[0].name == "get_weather"
    assert sorted(embedder.asked) == [1] * 6 + [10]


class Failing:
    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        raise ModelUnavailableError("embedder", "The provider is down.")


def test_without_an_answer_from_the_embedder_words_decide(caplog: pytest.LogCaptureFixture) -> None:
    """An optional improvement must not be a new way to fail, and must not fail in silence."""
    tools = named("get_weather", "send_email", "play_music")
    with caplog.at_level(logging.WARNING, "tagent"):
        selection = asyncio.run(ToolRAG(tools, limit=1, embedder=Failing()).select("What music?"))
    assert selection.tools[0].name == "play_music"
    assert "model.unavailable" in caplog.text


class Wrong:
    def __init__(self, answer: object) -> None:
        self.answer = answer

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        return self.answer  # type: ignore[return-value]  # what an untyped embedder may give


@pytest.mark.parametrize(
    "answer", [[], [[1.0]], [["x"]] * 3, None, [[1.0], [1.0, 2.0], [1.0]], [[float("nan")]] * 3, [1, 2, 3]]
)
def test_an_embedder_that_answers_wrongly_is_named(answer: object) -> None:
    """Ranks by the wrong vectors would look like ranks."""
    rag = ToolRAG(named("a", "b", "c"), limit=1, embedder=Wrong(answer))
    with pytest.raises(EmbedderError) as caught:
        asyncio.run(rag.select("goal"))
    assert caught.value.texts == 3


def found(name: str) -> list[Outcome]:
    return asyncio.run(outcomes(MANY, goals(name)))


def test_the_right_one_of_500_tools_reaches_the_prompt() -> None:
    """The promise of the documentation, on goals by a writer who has not seen the tools."""
    measured = found("test")
    assert (len(MANY), len(measured), LIMIT) == (500, 60, 24)
    assert sum(outcome.in_prompt for outcome in measured) >= 0.95 * len(measured)
    assert sum(outcome.rank is not None for outcome in measured) >= 0.55 * len(measured)


def test_a_sure_choice_holds_the_right_tool() -> None:
    """Without a catalogue nothing else could save the goal."""
    sure = [outcome for name in ("test", "development") for outcome in found(name) if not outcome.has_catalogue]
    assert len(sure) >= 10
    assert sum(outcome.rank is not None for outcome in sure) >= 0.95 * len(sure)
