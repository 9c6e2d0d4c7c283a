"""From a function to what a model is told of it, and from a model's arguments to a call."""

from collections.abc import Callable
from datetime import date
from enum import Enum
from functools import partial, update_wrapper
from typing import Annotated, Literal, Optional

import pytest
from pydantic import BaseModel, Field

from tagent.exceptions import ConfigurationError
from tagent.task_agent.tools.tool import Tool, ToolArgumentsError, ToolContext, tools_by_name


class Unit(Enum):
    METRIC = "metric"
    IMPERIAL = "imperial"


class Place(BaseModel):
    city: str
    country: str = "NO"


class Opaque:
    """Something that Pydantic knows nothing about."""


def forecast(
    place: Place,
    days: list[date],
    unit: Unit = Unit.METRIC,
    kind: Literal["rain", "wind"] = "rain",
    note: str | None = None,
    limit: Annotated[int, Field(ge=1, description="How many lines")] = 10,
) -> str:
    """Return the weather.

    For several days.
    """
    return f"{place} {days} {unit} {kind} {note} {limit}"


class Search:
    """Search an index."""

    def __call__(self, query: str, *, limit: int = 3) -> list[str]:
        return [query] * limit

    def titles(self, query: str) -> list[str]:
        """Search titles only."""
        return [query]


def properties(tool: Tool) -> dict[str, dict[str, object]]:
    found = tool.parameters_schema["properties"]
    assert isinstance(found, dict)
    return found


def test_a_function_is_described_by_its_signature_and_docstring() -> None:
    """This is all that the model knows when it plans."""
    tool = Tool.of(forecast)
    assert tool.name == "forecast"
    assert tool.description == "Return the weather.\n\nFor several days."
    assert tool.parameters_schema["required"] == ["place", "days"]
    described = properties(tool)
    assert list(described) == ["place", "days", "unit", "kind", "note", "limit"]
    assert described["days"]["items"] == {"format": "date", "type": "string"}
    assert described["kind"]["enum"] == ["rain", "wind"]
    assert described["limit"]["description"] == "How many lines"
    assert described["limit"]["minimum"] == 1


def test_json_arguments_become_what_the_annotations_ask_for() -> None:
    """The function is written as if a person called it."""
    given = {"place": {"city": "Oslo"}, "days": ["2026-01-31"], "unit": "imperial", "limit": "2"}
    assert Tool.of(forecast).arguments(given) == {
        "place": Place(city="Oslo"),
        "days": [date(2026, 1, 31)],
        "unit": Unit.IMPERIAL,
        "kind": "rain",
        "note": None,
        "limit": 2,
    }


def test_arguments_that_do_not_fit_are_all_named_and_none_is_repeated() -> None:
    """The planner mends them in one go; what a user typed stays out of logs."""
    given = {"days": ["sk-secret"], "unit": "kelvin", "limit": 0, "colour": "sk-secret"}
    with pytest.raises(ToolArgumentsError) as raised:
        Tool.of(forecast).arguments(given)
    message = str(raised.value)
    assert raised.value.tool == "forecast"
    assert raised.value.code == "tool.arguments"
    for part in ("'forecast'", "'place' is missing", "days.0: ", "unit: ", "limit: ", "'colour' is none of them"):
        assert part in message
    assert "sk-secret" not in message


def test_an_optional_parameter_may_be_null_or_left_out() -> None:
    """Models write null for what they do not know."""

    def find(name: Optional[str], tags: list[str] | None = None) -> None: ...  # noqa: UP045 - the old form is met too

    assert Tool.of(find).arguments({"name": None, "tags": None}) == {"name": None, "tags": None}
    assert Tool.of(find).arguments({"name": "x"}) == {"name": "x", "tags": None}


def test_a_default_that_can_be_changed_is_fresh_for_every_call() -> None:
    """One call's list must not reach the next."""

    def collect(items: list[int] = []) -> None: ...  # noqa: B006 - users write this

    Tool.of(collect).arguments({})["items"].append(1)  # type: ignore[attr-defined]  # a list
    assert Tool.of(collect).arguments({}) == {"items": []}


def test_without_annotations_anything_is_taken() -> None:
    """A quick script has none."""

    def shout(text, times=2): ...  # type: ignore[no-untyped-def]  # the case

    assert Tool.of(shout).arguments({"text": [1]}) == {"text": [1], "times": 2}


def test_a_callable_object_and_a_bound_method_are_tools() -> None:
    """Tools that share a connection are written as classes."""
    search = Search()
    assert (Tool.of(search).name, Tool.of(search).description) == ("Search", "Search an index.")
    assert Tool.of(search).arguments({"query": "x", "limit": "5"}) == {"query": "x", "limit": 5}
    assert (Tool.of(search.titles).name, Tool.of(search.titles).description) == ("titles", "Search titles only.")
    assert Tool.of(search.titles).arguments({"query": "x"}) == {"query": "x"}


def test_a_partial_is_named_and_described_by_its_function() -> None:
    """`partial` says nothing to a planner, and two of that name would hide each other."""
    tool = Tool.of(partial(forecast, unit=Unit.METRIC))
    assert (tool.name, tool.description) == ("forecast", Tool.of(forecast).description)
    assert properties(tool)["limit"]["type"] == "integer"


def test_a_partial_may_be_given_a_name_of_its_own() -> None:
    """So that one function can serve as several tools."""
    tool = partial(forecast, kind="wind")
    tool.__name__ = "wind_forecast"  # type: ignore[attr-defined]  # partials have attributes
    assert Tool.of(tool).name == "wind_forecast"
    assert Tool.of(update_wrapper(partial(forecast, kind="wind"), forecast)).name == "forecast"


def test_what_a_partial_binds_is_hidden_from_the_model() -> None:
    """A bound key must not be shown in a prompt, and must not be overridden by a plan."""

    def fetch(base: str, path: str, key: str = "none") -> str:
        return f"{base}/{path}?{key}"

    tool = Tool.of(partial(fetch, "https://example.org", key="sk-secret"))
    assert list(properties(tool)) == ["path"]
    assert "sk-secret" not in str(tool.parameters_schema)
    assert tool.function(**tool.arguments({"path": "a"})) == "https://example.org/a?sk-secret"
    with pytest.raises(ToolArgumentsError):
        tool.arguments({"path": "a", "key": "mine"})


def test_a_partial_of_a_callable_object_keeps_its_types() -> None:
    """Wrapping must not lose what the signature says."""
    tool = Tool.of(partial(Search(), limit=1))
    assert (tool.name, tool.arguments({"query": "x"})) == ("Search", {"query": "x"})
    assert properties(tool)["query"]["type"] == "string"


def takes_context(query: str, context: ToolContext) -> None: ...


def takes_context_first(ctx: ToolContext, query: str) -> None: ...


def takes_context_or_none(query: str, context: ToolContext | None = None) -> None: ...


def takes_annotated_context(query: str, context: Annotated[ToolContext, "injected"]) -> None: ...


@pytest.mark.parametrize(
    ("function", "parameter"),
    [
        (takes_context, "context"),
        (takes_context_first, "ctx"),
        (takes_context_or_none, "context"),
        (takes_annotated_context, "context"),
        (partial(takes_context_first, query="x"), "ctx"),
        (forecast, None),
    ],
)
def test_the_parameter_for_the_context_is_found_by_its_type_and_hidden(
    function: Callable[..., object], parameter: str | None
) -> None:
    """The model neither sees nor fills it."""
    tool = Tool.of(function)
    assert tool.context_parameter == parameter
    assert parameter not in tool.parameters_schema["properties"]  # type: ignore[operator]  # a dict
    assert "ToolContext" not in str(tool.parameters_schema)


@pytest.mark.parametrize("name", ["json", "schema", "copy", "dict", "validate", "model_config", "model_dump", "_all"])
def test_any_name_may_be_a_parameters(name: str) -> None:
    """What Pydantic reserves for its models is no business of those who write tools."""
    namespace: dict[str, Callable[..., object]] = {}
    exec(f"def save({name}: int, other: int = 0): return {name}", namespace)  # noqa: S102 - the names are ours
    tool = Tool.of(namespace["save"])
    assert list(properties(tool)) == [name, "other"]
    assert tool.arguments({name: "1"}) == {name: 1, "other": 0}
    with pytest.raises(ToolArgumentsError, match=f"{name}: "):
        tool.arguments({name: "x"})


def positional_only(query: str, /) -> None: ...


def positional_context(context: ToolContext, /) -> None: ...


def many(*queries: str) -> None: ...


def anything(**options: str) -> None: ...


@pytest.mark.parametrize("function", [positional_only, positional_context, many, anything, len])
def test_a_parameter_that_cannot_be_passed_by_name_is_refused(function: Callable[..., object]) -> None:
    """A plan names its arguments; better told now than when the tool is called."""
    with pytest.raises(ConfigurationError, match=rf"'{function.__name__}' has the parameter .* by name"):
        Tool.of(function)


def unknown_annotation(query: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821 - the case


def opaque_annotation(query: Opaque) -> None: ...


def callback(query: Callable[[int], int]) -> None: ...


@pytest.mark.parametrize("function", [unknown_annotation, opaque_annotation, callback])
def test_a_signature_that_no_model_could_fill_is_refused(function: Callable[..., object]) -> None:
    """It would fail in every plan, after it was paid for."""
    with pytest.raises(ConfigurationError, match=f"{function.__name__}"):
        Tool.of(function)


def test_what_cannot_be_called_is_no_tool() -> None:
    """A string in a configuration file, for example."""
    with pytest.raises(ConfigurationError, match="A tool must be a function, not str"):
        Tool.of("search")  # type: ignore[arg-type]  # the mistake


def test_a_tool_is_taken_as_it_is() -> None:
    """It may have been given another name or description."""
    tool = Tool("find", "Find it.", forecast, Tool.of(forecast).parameters)
    assert Tool.of(tool) is tool


def test_of_two_tools_with_one_name_the_later_wins() -> None:
    """A step's own tool replaces one of the configuration."""
    tools = tools_by_name([forecast, Search(), partial(forecast, kind="wind")])
    assert list(tools) == ["forecast", "Search"]
    assert "kind" not in properties(tools["forecast"])
