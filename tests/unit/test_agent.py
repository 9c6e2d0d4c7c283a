"""The front door with a goal: sync and async, options, and which setting wins."""

import asyncio
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Never

import pytest
from pydantic import BaseModel

import tagent
from agent_runs import call
from tagent import arun_agent, run_agent
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError, TAgentError
from tagent.ports.language_model import ModelRequest
from tagent.ports.model_errors import ModelUnavailableError
from tagent.testing import ScriptedModel

PATIENCE_SECONDS = 10
"""After so long a test gives up on another thread; only a broken agent comes near it."""


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


async def test_the_sync_form_works_where_a_loop_is_running() -> None:
    """A notebook cell runs inside a loop."""
    assert run_agent("Say hello", model=ScriptedModel(["Hello."])).output == "Hello."


async def test_context_variables_reach_the_tools_where_a_loop_is_running() -> None:
    """A trace that breaks in notebooks only is hard to find."""
    trace: ContextVar[str] = ContextVar("trace", default="none")
    trace.set("t-1")

    def current_trace() -> str:
        return trace.get()

    result = run_agent("g", model=ScriptedModel([[call("current_trace")], "done"]), tools=[current_trace])
    assert result.tasks[0].output == "t-1"


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


def test_an_interrupt_where_a_loop_is_running_ends_the_agent() -> None:
    """Stopping a notebook cell must not leave an agent that spends money in the background."""
    is_cancelled = threading.Event()

    async def interrupted() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            is_cancelled.set()
            raise

    async def cell() -> None:
        run_agent("g", model=ScriptedModel([[call("interrupted")]]), tools=[interrupted])

    loop = asyncio.new_event_loop()  # not asyncio.run, which takes the interrupt for itself
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        loop.close()
    assert is_cancelled.wait(PATIENCE_SECONDS)


def test_an_interrupt_before_the_agent_has_begun_leaves_nothing_that_begins_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The impatient are right too: no call is made that nobody waits for."""
    late: list[Callable[[], object]] = []

    class SlowToStart(ThreadPoolExecutor):
        def submit(self, function: Callable[..., object], /, *arguments: object) -> Never:  # type: ignore[override]  # it never returns
            late.append(partial(function, *arguments))
            raise KeyboardInterrupt

    monkeypatch.setattr("tagent.agent.ThreadPoolExecutor", SlowToStart)
    model = ScriptedModel(["never asked"])

    async def cell() -> None:
        run_agent("g", model=model)

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(cell())
    finally:
        loop.close()
    with pytest.raises(asyncio.CancelledError):
        late[0]()
    assert model.requests == []


def test_the_public_names_are_there_and_others_are_not() -> None:
    """They are loaded on first use, so a typo in the table would show only then."""
    assert all(getattr(tagent, name) is not None for name in tagent.__all__)
    assert issubclass(tagent.GoalNotAchievedError, TAgentError)
    assert set(tagent.__all__) <= set(dir(tagent))
    with pytest.raises(AttributeError, match="nonsense"):
        tagent.nonsense  # noqa: B018 - looking it up is the test
