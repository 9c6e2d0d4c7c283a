"""More than plain parameters: what people annotate, `state` and `args`, and what comes back."""

import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, computed_field, field_validator, model_validator

from tagent.exceptions import ConfigurationError
from tagent.task_agent.tools.tool import Tool, ToolArgumentsError, ToolContext

if TYPE_CHECKING:
    from decimal import Decimal as OnlyForTypeCheckers


class Where(BaseModel):
    city: str
    country: Literal["PT", "NO"] = "PT"

    @field_validator("city")
    @classmethod
    def _known(cls, city: str) -> str:
        return {"Porto": "Porto", "Oslo": "Oslo"}[city]


@dataclass
class Size:
    width: int
    height: int = 1


class Named(TypedDict, total=False):
    name: typing.Required[str]
    size: Size


class Area(BaseModel):
    side: int

    @computed_field  # type: ignore[prop-decorator]  # as Pydantic documents it
    @property
    def area(self) -> int:
        return self.side**2


class Cat(BaseModel):
    kind: Literal["cat"]


class Dog(BaseModel):
    kind: Literal["dog"]


def properties(tool: Tool) -> dict[str, dict[str, object]]:
    found = tool.parameters_schema["properties"]
    assert isinstance(found, dict)
    return found


def test_dataclasses_and_typed_dictionaries_are_given_as_what_they_are() -> None:
    """Whatever the code of a team is made of."""

    def draw(size: Size, names: list[Named], one: Named | None = None, either: int | list[Size] = 0) -> None: ...

    given = {"size": {"width": "2"}, "names": [{"name": "a", "size": {"width": 1}}], "either": [{"width": 3}]}
    assert Tool.of(draw).arguments(given) == {
        "size": Size(2),
        "names": [{"name": "a", "size": Size(1)}],
        "one": None,
        "either": [Size(3)],
    }
    assert Tool.of(draw).problems({"size": {"width": 1}, "names": [{}]}).endswith("names.0.name: Field required.")


def test_the_docstring_describes_the_parameters_unless_a_field_does() -> None:
    """A model sees each meaning once, at the parameter."""

    def find(text: str, limit: Annotated[int, Field(description="At most")] = 3, json: str = "") -> None:
        """Find it.

        Args:
            text: What to find.
            limit: Not told.
            json: As data.
        """

    tool = Tool.of(find)
    assert tool.description == "Find it."
    assert [properties(tool)[name]["description"] for name in ("text", "limit", "json")] == [
        "What to find.",
        "At most",
        "As data.",
    ]


class Counter:
    """Count."""

    def __call__(self, n: int) -> int:
        return n

    @staticmethod
    def twice(n: int) -> int:
        return 2 * n

    plain = staticmethod(lambda n: n)


class Needy(Counter):
    def __init__(self, start: int) -> None:
        self.start = start


def test_a_class_of_callable_objects_is_made_once_and_called() -> None:
    """So that a configuration can name the class alone."""
    tool = Tool.of(Counter)
    assert (tool.name, tool.description, tool.arguments({"n": "1"})) == ("Counter", "Count.", {"n": 1})
    assert isinstance(tool.function, Counter)
    with pytest.raises(ConfigurationError, match="'Needy' cannot be made without arguments"):
        Tool.of(Needy)


def test_static_methods_are_tools_and_other_classes_are_called() -> None:
    """A class without `__call__` makes its objects."""
    assert Tool.of(Counter.twice).arguments({"n": "1"}) == {"n": 1}
    assert Tool.of(vars(Counter)["twice"]).name == "twice"
    assert Tool.of(Size).arguments({"width": "2"}) == {"width": 2, "height": 1}


def by_model(state: Mapping[str, object], args: Where) -> object:
    return args


def by_dataclass(state, args: Size):  # type: ignore[no-untyped-def]  # the case
    return args


def by_typed_dict(args: Named, state: dict[str, Any]) -> object:
    return args


def freely(state, args):  # type: ignore[no-untyped-def]  # the case
    return args


def by_mapping(state: Any, args: Mapping[str, object], context: ToolContext) -> object:
    return args


@pytest.mark.parametrize(
    ("function", "given", "args"),
    [
        (by_model, {"city": "Oslo"}, Where(city="Oslo")),
        (by_dataclass, {"width": "2"}, Size(2)),
        (by_typed_dict, {"name": "a"}, {"name": "a"}),
        (freely, {"a": [1], "model_dump": 2}, {"a": [1], "model_dump": 2}),
        (by_mapping, {}, {}),
    ],
)
def test_a_function_of_state_and_args_gets_all_arguments_in_one(
    function: Callable[..., object], given: dict[str, object], args: object
) -> None:
    """The model sees the fields, the function the value that it asks for."""
    tool = Tool.of(function)
    assert tool.takes_state
    assert tool.arguments(given) == {"args": args}
    assert tool.problems(given, unresolved=frozenset()) == ""
    assert tool.parameters_schema["type"] == "object"
    assert not properties(tool).keys() & {"state", "args"}


def test_only_the_fields_of_args_are_arguments() -> None:
    """A misspelt one would be dropped silently."""
    assert list(properties(Tool.of(by_model))) == ["city", "country"]
    for function, wrong in ((by_model, "contry"), (by_dataclass, "hight"), (by_typed_dict, "nam")):
        with pytest.raises(ToolArgumentsError, match=rf"'{wrong}' is none of them \(Did you mean"):
            Tool.of(function).arguments({wrong: 1})


def test_parameters_that_only_have_these_names_are_ordinary() -> None:
    """A tax tool asks for a state, too."""

    def tax(state: str, args: list[str]) -> None: ...

    def start(state: str) -> None: ...

    assert list(properties(Tool.of(tax))) == ["state", "args"]
    assert list(properties(Tool.of(start))) == ["state"]


class Order(BaseModel):
    model_config = ConfigDict(validate_by_name=True)

    low: int = Field(alias="from")
    high: int

    @model_validator(mode="after")
    def _in_order(self) -> "Order":
        if self.low > self.high:
            raise ValueError("`from` is above `high`")
        return self


def plan(order: Order, where: Where, pets: list[Annotated[Cat | Dog, Field(discriminator="kind")]] = []) -> None: ...  # noqa: B006


def ordered(state: object, args: Order) -> None: ...


@pytest.mark.parametrize(
    ("function", "given", "unresolved", "problems"),
    [
        (plan, {"order": 1, "where": {"city": "Porto"}}, {"order"}, ""),
        (plan, {"where": {"city": "Porto"}}, set(), "'order' is missing"),
        (
            plan,
            {"ordr": 1, "where": {"city": "Porto"}},
            {"ordr"},
            "'ordr' is none of them (Did you mean 'order'?); 'order' is missing",
        ),
        (plan, {"order": {"from": 2, "high": 1}, "where": 1}, {"where"}, "order: Value error, `from` is above `high`"),
        (plan, {"order": 1, "where": {"city": "sk-secret"}}, {"order"}, ""),
        (
            plan,
            {"order": {"from": 1, "high": 1}, "where": {"city": "sk-secret"}},
            set(),
            "to check them raised KeyError",
        ),
        (
            plan,
            {"order": 1, "where": 1, "pets": [{"kind": "sk-secret"}]},
            {"order", "where"},
            "pets.0: Its tag is none of those that are expected",
        ),
        (ordered, {"from": 2, "high": 1}, set(), "Value error, `from` is above `high`"),
        (ordered, {"from": 2, "high": 1}, {"high"}, ""),
        (ordered, {"low": 1, "high": 1}, set(), ""),
        (ordered, {"from": "{{tasks.0.output}}"}, {"from"}, "'high' is missing"),
    ],
)
def test_planned_arguments_are_checked_but_for_values_that_are_not_known_yet(
    function: Callable[..., object], given: dict[str, object], unresolved: set[str], problems: str
) -> None:
    """The model is asked again before anything runs, and told all at once, without the values."""
    told = Tool.of(function).problems(given, unresolved=frozenset(unresolved))
    assert told == (f"The arguments for the tool {function.__name__!r} do not fit: {problems}." if problems else "")


def test_a_validator_that_breaks_is_a_wrong_argument() -> None:
    """A plan may hold anything; what a validator does not expect must not end the agent."""
    with pytest.raises(ToolArgumentsError, match="to check them raised KeyError"):
        Tool.of(by_model).arguments({"city": "Lisbon"})


def returns_area() -> Area: ...  # type: ignore[empty-body]  # only looked at, like all below


async def returns_async() -> list[int]: ...  # type: ignore[empty-body]


def returns_later() -> Awaitable[int]: ...  # type: ignore[empty-body]


def returns_keyed() -> tuple[Literal["page"], int]: ...  # type: ignore[empty-body]


def returns_either() -> tuple[str, int]: ...  # type: ignore[empty-body]


def returns_open() -> Any: ...


def returns_unknown() -> "OnlyForTypeCheckers": ...  # type: ignore[empty-body]


def returns_callable() -> Callable[[], int]: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("function", "schema"),
    [
        (returns_async, {"type": "array", "items": {"type": "integer"}}),
        (returns_later, {"type": "integer"}),
        (returns_keyed, {"type": "integer"}),
        (returns_either, None),
        (returns_open, None),
        (returns_unknown, None),
        (returns_callable, None),
        (Tool.of(lambda: 1, name="one"), None),
    ],
)
def test_the_output_schema_is_that_of_the_return_annotation(function: Callable[..., object], schema: object) -> None:
    """References are checked against it; where it is not known, nothing is refused."""
    assert Tool.of(function).output_schema == schema


def test_the_output_schema_is_of_what_is_written() -> None:
    """A computed field is in an output, so a plan may refer to it."""
    schema = Tool.of(returns_area).output_schema
    assert schema is not None
    assert schema["required"] == ["side", "area"]


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"timeout_seconds": 0}, "above 0"),
        ({"timeout_seconds": "a"}, "must be a number of seconds above 0"),
        ({"timeout_seconds": True}, "must be a number of seconds above 0"),
        ({"retries": -1}, "-1 times"),
        ({"retries": "two"}, "'two' times. `retries` is a whole number from 0."),
        ({"retry_policy": 3}, "must be a RetryPolicy, not int. How often is said by retries=3"),
        ({"retry_policy": 0}, "must be a RetryPolicy, not int"),
        ({"side_effect": True, "retries": 1}, "not called again when it fails"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], problem: str) -> None:
    """A payment that is tried again without a key is made twice."""
    with pytest.raises(ConfigurationError, match=problem):
        Tool.of(freely, **settings)
    assert Tool.of(freely, side_effect=True, retries=1, idempotent=True).retries == 1


def test_a_lambda_is_a_tool_only_under_a_name() -> None:
    """No plan could call `<lambda>`."""
    with pytest.raises(ConfigurationError, match="A lambda has no name by which a plan could call it"):
        Tool.of(lambda n: 2 * n)
    with pytest.raises(ConfigurationError, match="A lambda has no name"):
        Tool.of(partial(lambda n, m: n * m, m=2))
    assert Tool.of(lambda n: 2 * n, name="double").name == "double"


def test_what_is_said_of_a_tool_is_added_to_it() -> None:
    """To mark somebody else's tool must not be ignored."""
    tool = Tool.of(freely, retries=2)
    marked = Tool.of(Tool.of(tool, name="other"), idempotent=True)
    assert (marked.name, marked.retries, marked.idempotent, tool.name) == ("other", 2, True, "freely")


def test_a_sentence_of_a_users_validator_ends_with_one_full_stop() -> None:
    """What it says is joined with what else is wrong."""

    def even(n: Annotated[int, AfterValidator(refusing)], m: int) -> None: ...

    with pytest.raises(ToolArgumentsError, match=r"do not fit: n: Value error, It is odd; 'm' is missing\.$"):
        Tool.of(even).arguments({"n": 1})
    with pytest.raises(ToolArgumentsError, match=r"do not fit: n: Value error, It is odd\.$"):
        Tool.of(even).arguments({"n": 1, "m": 1})


def refusing(n: int) -> int:
    raise ValueError("It is odd.")
