"""Settings: where they come from, which wins, and what is said about a wrong one."""

from pathlib import Path
from types import MappingProxyType

import pytest
from pydantic import SecretStr, ValidationError

from tagent import run_pipeline
from tagent.config import (
    PROVIDER_KEYS,
    TAgentConfig,
    local_model_file,
    openai_api_key,
    openai_base_url,
    provider_from_keys,
)
from tagent.exceptions import ConfigurationError
from tagent.pipeline import Pipeline


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str, name: str = "tagent.toml") -> Path:
    path = Path(name)
    path.write_text(text, encoding="utf-8")
    return path


def test_without_file_and_environment_the_defaults_hold() -> None:
    """Nothing needs to be configured before the first run."""
    assert TAgentConfig.load(environment={}) == TAgentConfig()


def test_finds_the_file_of_the_current_folder() -> None:
    """A project's settings travel with the project."""
    written('model = "embedded"\ntemperature = 0')
    loaded = TAgentConfig.load(environment={})
    assert (loaded.model, loaded.temperature) == ("embedded", 0)


def test_a_variable_names_another_file() -> None:
    """Staging and production differ by one variable."""
    written('model = "embedded"')
    written('model = "openai:gpt-4.1"', "other.toml")
    assert TAgentConfig.load(environment={"TAGENT_CONFIG": "other.toml"}).model == "openai:gpt-4.1"


def test_a_file_that_is_given_wins_over_the_variable() -> None:
    """What the caller says is nearer than what the shell says."""
    given = written('model = "embedded"', "given.toml")
    assert TAgentConfig.load(file=given, environment={"TAGENT_CONFIG": "missing.toml"}).model == "embedded"


def test_the_environment_wins_over_the_file_setting_by_setting() -> None:
    """One variable changes one setting and leaves the others of the file."""
    written('model = "embedded"\nmax_planning_cycles = 5')
    loaded = TAgentConfig.load(environment={"TAGENT_MAX_PLANNING_CYCLES": "7"})
    assert (loaded.model, loaded.max_planning_cycles) == ("embedded", 7)


def test_an_empty_variable_counts_as_not_set() -> None:
    """CI systems and compose files define variables that are empty."""
    written('model = "embedded"')
    assert TAgentConfig.load(environment={"TAGENT_MODEL": ""}).model == "embedded"


def test_the_process_environment_is_read_when_none_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """This is what a user's shell sets."""
    monkeypatch.setenv("TAGENT_MODEL", "groq:some-model")
    assert TAgentConfig.load().model == "groq:some-model"


def test_tools_cannot_come_from_the_environment() -> None:
    """A variable holds text, and text is no function."""
    assert TAgentConfig.load(environment={"TAGENT_TOOLS": "os.system"}).tools == ()


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_named_file_that_cannot_be_read_is_an_error(name: str) -> None:
    """Somebody asked for this file; running without it would be a surprise."""
    with pytest.raises(ConfigurationError, match=r"configuration file .* cannot be read"):
        TAgentConfig.load(file=name, environment={})


@pytest.mark.parametrize("content", [b"model = ", b"model = '\xff'"])
def test_a_malformed_file_is_an_error_that_names_it(content: bytes) -> None:
    """The user must know which file to open."""
    Path("tagent.toml").write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"tagent\.toml is not valid TOML"):
        TAgentConfig.load(environment={})


def test_an_unknown_setting_is_refused_with_the_nearest_name() -> None:
    """A misspelt setting that is ignored costs an afternoon."""
    written("temprature = 0.5")
    with pytest.raises(ConfigurationError) as raised:
        TAgentConfig.load(environment={})
    assert str(raised.value) == "In tagent.toml: 'temprature' is not a setting. Did you mean 'temperature'?"


@pytest.mark.parametrize("option", ["on_failure", "on_budget", "budget"])
def test_an_option_of_the_pipeline_is_no_setting(option: str) -> None:
    """People look for it where settings are, and no setting is named like it."""
    with pytest.raises(ConfigurationError) as raised:
        run_pipeline(Pipeline("p").step("a", run=lambda: 1), **{option: "fail"})  # type: ignore[arg-type]  # wrong on purpose
    assert f"{option!r} is not a setting. It belongs to the pipeline: Pipeline(..., {option}=...)." in str(raised.value)


def test_every_problem_is_listed_at_once() -> None:
    """Nobody likes to fix settings one error at a time."""
    with pytest.raises(ConfigurationError) as raised:
        TAgentConfig.of({"temperature": 3, "max_planning_cycles": 0, "nothing_like_it": 1})
    message = str(raised.value)
    assert message.startswith("In the configuration: ")
    assert all(name in message for name in ("temperature:", "max_planning_cycles:", "'nothing_like_it' is not"))


def test_a_wrong_value_is_not_repeated_in_the_message() -> None:
    """A key pasted into the wrong variable must not end up in a log."""
    with pytest.raises(ConfigurationError, match="In the environment: max_parallel_tasks: ") as raised:
        TAgentConfig.load(environment={"TAGENT_MAX_PARALLEL_TASKS": "sk-secret"})
    assert "sk-secret" not in str(raised.value)


def test_what_is_no_settings_at_all_is_refused_like_a_wrong_setting() -> None:
    """`run_agent(goal, "openai:gpt-4.1")` is an easy mistake."""
    with pytest.raises(ConfigurationError, match="settings: Input should be a valid dictionary"):
        TAgentConfig.of("openai:gpt-4.1")  # type: ignore[arg-type]  # the mistake


def test_settings_are_taken_as_a_config_a_mapping_or_nothing() -> None:
    """Callers write what is at hand."""
    config = TAgentConfig(temperature=1)
    assert TAgentConfig.of(config) is config
    assert TAgentConfig.of(MappingProxyType({"temperature": 1})) == config
    assert TAgentConfig.of(None) == TAgentConfig()


def test_merging_takes_only_what_the_others_set_the_last_one_winning() -> None:
    """A default of a later layer must not undo a choice of an earlier one."""
    base = TAgentConfig(model="embedded", temperature=0, max_planning_cycles=5)
    merged = base.merged(TAgentConfig(temperature=1), TAgentConfig(temperature=2, max_planning_cycles=3))
    assert (merged.model, merged.temperature, merged.max_planning_cycles) == ("embedded", 2, 3)


def test_a_default_that_was_set_on_purpose_wins_like_any_other_value() -> None:
    """`temperature=None` on a call means: leave it to the provider after all."""
    merged = TAgentConfig(temperature=0).merged(TAgentConfig(temperature=None))
    assert merged.temperature is None
    assert TAgentConfig(temperature=1).merged(merged).temperature is None


def test_merging_changes_neither_side() -> None:
    """Two steps share a config; one step's settings must not leak into the other."""
    base, other = TAgentConfig(temperature=0), TAgentConfig(model="embedded")
    merged = base.merged(other)
    assert (base, other) == (TAgentConfig(temperature=0), TAgentConfig(model="embedded"))
    assert (base.model_fields_set, other.model_fields_set) == ({"temperature"}, {"model"})
    assert merged.model_fields_set == {"temperature", "model"}


def test_a_config_cannot_be_changed() -> None:
    """It is shared between tasks."""
    with pytest.raises(ValidationError):
        TAgentConfig().temperature = 1  # type: ignore[misc]  # the mistake


def test_the_key_is_not_shown() -> None:
    """Configs are logged and printed."""
    config = TAgentConfig(api_key=SecretStr("sk-secret"), tools=(print,))
    assert "sk-secret" not in repr(config)
    assert "print" not in repr(config)


def test_a_providers_key_chooses_its_model_in_a_fixed_order() -> None:
    """With one key set, an agent runs without any other setting."""
    assert provider_from_keys({}) is None
    assert provider_from_keys({"GROQ_API_KEY": ""}) is None
    assert provider_from_keys({"GROQ_API_KEY": "x"}) == PROVIDER_KEYS["GROQ_API_KEY"]
    assert provider_from_keys({"GROQ_API_KEY": "x", "OPENAI_API_KEY": "y"}) == PROVIDER_KEYS["OPENAI_API_KEY"]


def test_variables_name_the_local_models_file_and_openais_endpoint_and_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only this module reads the environment, for the adapters too."""
    monkeypatch.setenv("HOME", "/home/me")
    assert local_model_file({}) is None
    assert local_model_file({"TAGENT_LOCAL_MODEL": "~/m.gguf"}) == Path("/home/me/m.gguf")
    assert openai_base_url({"OPENAI_BASE_URL": ""}) is None
    assert openai_base_url({"OPENAI_BASE_URL": "http://localhost:1"}) == "http://localhost:1"
    assert openai_api_key({"OPENAI_API_KEY": ""}) is None
    assert openai_api_key({"OPENAI_API_KEY": "sk-1"}) == "sk-1"


def test_the_process_environment_serves_the_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an argument these are the real variables."""
    for key in PROVIDER_KEYS:
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("TAGENT_LOCAL_MODEL", "m.gguf")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost:1")
    assert provider_from_keys() is None
    assert local_model_file() == Path("m.gguf")
    assert openai_base_url() == "http://localhost:1"
    assert openai_api_key() is None
