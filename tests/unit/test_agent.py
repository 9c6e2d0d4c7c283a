"""The front door with a goal: sync and async, options, and which setting wins."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import tagent
from agent_runs import call
from tagent import arun_agent, run_agent
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError, TAgentError
from tagent.pipeline import Pipeline
from tagent.ports.language_model import ModelRequest
from tagent.ports.model_errors import ModelUnavailableError
from tagent.testing import ScriptedModel


class City(BaseModel):
    name: str
    people: int


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    for name in TAgentConfig.model_fields:
        monkeypatch.delenv(f"TAGENT_{name.upper()}", raising=False)
    monkeypatch.delenv("TAGENT_CONFIG", raising=False)


def broken() -> None:
    """Fail."""
    raise ValueError("out of order")


def never_gets_there(request: ModelRequest) -> object:
    return [call("broken")] if request.purpose == "plan" else "unreachable"


def test_a_goal_is_answered_without_any_event_loop() -> None:
    """The first line of the tutorial, as a script runs it."""
    result = run_agent("Say hello", model=ScriptedModel(["Hello."]))
    assert (result.output, result.goal_achieved, result.failure_reason) == ("Hello.", True, "")


async def test_the_async_twin_answers_too() -> None:
    """Servers await it."""
    result = await arun_agent("Say hello", model=ScriptedModel(["Hello."]))
    assert result.required_output() == "Hello."


def test_the_output_has_the_type_asked_for() -> None:
    """Users go on with an object, not with text to parse."""
    model = ScriptedModel([{"name": "Oslo", "people": 700_000}])
    result = run_agent("Describe Oslo", model=model, output_format=City)
    assert result.output == City(name="Oslo", people=700_000)


def test_an_error_of_the_model_comes_out_as_one_of_ours() -> None:
    """`except TAgentError` is all that a user needs."""
    with pytest.raises(ModelUnavailableError):
        run_agent("g", model=ScriptedModel([ModelUnavailableError("scripted", "It is down.")]))


@pytest.mark.parametrize(
    ("layers", "cycles"),
    [
        (["file"], 1),
        (["file", "environment"], 2),
        (["file", "environment", "config"], 3),
        (["file", "environment", "config", "call"], 4),
        (["file", "call"], 4),
        (["environment", "config"], 3),
    ],
)
def test_the_nearest_setting_wins(layers: list[str], cycles: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, then environment, then config, then the call: each over the ones before."""
    if "file" in layers:
        Path("tagent.toml").write_text("max_planning_cycles = 1", encoding="utf-8")
    if "environment" in layers:
        monkeypatch.setenv("TAGENT_MAX_PLANNING_CYCLES", "2")
    config = {"max_planning_cycles": 3} if "config" in layers else None
    options = {"max_planning_cycles": 4} if "call" in layers else {}
    model = ScriptedModel(never_gets_there)
    result = run_agent("g", config, model=model, tools=[broken], **options)  # type: ignore[call-overload]  # mypy takes it for any option
    assert result.planning_cycles == cycles


def test_a_config_object_that_is_passed_is_not_changed_by_the_call() -> None:
    """One config serves many calls."""
    config = TAgentConfig(model=ScriptedModel(["one", "two"]), temperature=0)
    run_agent("g", config, temperature=1, max_planning_cycles=2)
    assert (config.temperature, config.model_fields_set) == (0, {"model", "temperature"})
    assert run_agent("g", config).output == "two"


async def test_an_unknown_option_is_refused_with_the_nearest_name() -> None:
    """A misspelt option that is ignored costs an afternoon."""
    with pytest.raises(ConfigurationError, match=r"'modle' is not a setting.* Did you mean 'model'"):
        await arun_agent("g", modle="embedded")  # type: ignore[call-overload]  # the mistake


async def test_an_unknown_setting_of_the_config_is_refused_with_the_nearest_name() -> None:
    """The same holds for what is passed as a mapping."""
    with pytest.raises(ConfigurationError, match="Did you mean 'temperature'"):
        await arun_agent("g", {"temprature": 1}, model=ScriptedModel(["x"]))


async def test_a_goal_takes_no_inputs() -> None:
    """They would be ignored, and the answer would be wrong."""
    with pytest.raises(ConfigurationError, match="A goal takes no inputs"):
        await arun_agent("g", inputs={"a": 1}, model=ScriptedModel(["x"]))  # type: ignore[call-overload]  # the mistake


@pytest.mark.parametrize(
    "options",
    [{"only": ["a"]}, {"start_from": "a"}, {"outputs": {"a": 1}}, {"from_run": "r"}, {"labels": {"team": "blue"}}],
    ids=lambda options: next(iter(options)),
)
async def test_a_goal_is_run_as_a_whole(options: dict[str, object]) -> None:
    """It has no steps, and is in no list of runs; that is said, and not that there were no such setting."""
    told = "A goal takes no labels" if "labels" in options else "A goal is run as a whole"
    with pytest.raises(ConfigurationError, match=told):
        await arun_agent("g", model=ScriptedModel(["x"]), **options)  # type: ignore[call-overload]  # the mistake
    given_nothing: dict[str, Any] = dict.fromkeys(options)
    assert (await arun_agent("g", model=ScriptedModel(["x"]), **given_nothing)).output == "x"


async def test_a_pipeline_takes_all_that_running_it_takes() -> None:
    """A part of it and labels too: mypy lets through what works."""
    pipeline = Pipeline("p").step("a", run=lambda: 1).step("b", run=lambda a: a + 1)
    result = await arun_agent(pipeline, inputs={}, only=["b"], outputs={"a": 4}, labels={"team": "blue"})
    assert (result.final_output, run_agent(pipeline, only="a", labels={"team": "blue"}).final_output) == (5, 1)


async def test_a_pipeline_takes_no_output_format() -> None:
    """Each of its steps has its own."""
    with pytest.raises(ConfigurationError, match="output_schema"):
        await arun_agent(object(), output_format=City)  # type: ignore[call-overload]  # stands for a pipeline


async def test_what_is_neither_goal_nor_pipeline_is_refused() -> None:
    """The message says what is meant, not where it crashed."""
    with pytest.raises(ConfigurationError, match="A goal is a string and a pipeline a Pipeline, not int"):
        await arun_agent(42)  # type: ignore[call-overload]  # the mistake


async def test_an_object_that_is_no_model_is_refused() -> None:
    """The message says what a model is."""
    with pytest.raises(ConfigurationError, match="not int"):
        await arun_agent("g", {"model": 42})


def test_the_public_names_are_there_and_others_are_not() -> None:
    """They are loaded on first use, so a typo in the table would show only then."""
    assert all(getattr(tagent, name) is not None for name in tagent.__all__)
    assert issubclass(tagent.GoalNotAchievedError, TAgentError)
    assert set(tagent.__all__) <= set(dir(tagent))
    with pytest.raises(AttributeError, match="nonsense"):
        tagent.nonsense  # noqa: B018 - looking it up is the test
