"""Settings: one immutable value, merged from file, environment and arguments."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from tagent import surroundings
from tagent.exceptions import ConfigurationError, nearest

PROVIDER_KEYS: Mapping[str, str] = {
    "OPENAI_API_KEY": "openai-chat:gpt-4.1-mini",
    "ANTHROPIC_API_KEY": "anthropic:claude-haiku-4-5",
    "GOOGLE_API_KEY": "google:gemini-2.5-flash",
    "MISTRAL_API_KEY": "mistral:mistral-small-latest",
    "GROQ_API_KEY": "groq:llama-3.3-70b-versatile",
}
"""Key variable -> the model that is used when only this key says which provider to ask."""


ONLY_IN_CODE_OR_FILE = frozenset({"tools", "instructions", "embedder", "redact", "limits", "model_settings"})
"""Settings that are no single word, so no variable of the environment sets them."""

MODEL_OF_PURPOSE: Mapping[str, str] = {
    "plan": "planner_model",
    "execute": "executor_model",
    "evaluate": "evaluator_model",
    "answer": "finalizer_model",
}
"""The purpose of a model call -> the setting that names a model for it."""


_OF_PIPELINES = frozenset(
    {
        "after_step", "before_step", "budget", "default_mode", "description", "final", "global_constraints", "memory",
        "on_budget", "on_failure", "shared_context", "spaces", "triggers",
    }
)  # fmt: skip
"""What a pipeline says of itself, and is given as a setting by mistake."""


class ModelLimits(BaseModel):
    """What a provider may be asked at once and per minute, by all runs of a process together.

    Attributes:
        concurrent_requests: Requests at the same time, from 1; None means without limit.
        requests_per_minute: Requests that begin within a minute, from 1; None means without limit.
        tokens_per_minute: Tokens sent and received within a minute, from 1; None means without limit.

    Example:
        >>> ModelLimits(concurrent_requests=8, requests_per_minute=500).tokens_per_minute is None
        True
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    concurrent_requests: int | None = Field(default=None, ge=1)
    requests_per_minute: int | None = Field(default=None, ge=1)
    tokens_per_minute: int | None = Field(default=None, ge=1)


class TAgentConfig(BaseModel):
    """Settings of agents and pipelines. Only what was set counts when two are merged.

    Attributes:
        model: `provider:name`, `embedded`, or an object with the `LanguageModel` methods. Several, in a
            sequence or with commas, are a chain: each is asked when those before it have failed.
        planner_model: Asked for plans; None means `model`, as for the next three.
        executor_model: Asked by tools, through `ToolContext.ask`.
        evaluator_model: Asked whether the goal is reached, with `separate_evaluation`.
        finalizer_model: Asked for the final answer.
        base_url: An OpenAI-compatible endpoint to ask instead of the provider's own.
        api_key: The provider's key, when it is not in the provider's own variable.
        temperature: From 0 to 2; None leaves it to the provider.
        model_settings: More of what the provider is sent, in the names of pydantic-ai: `top_p`, `seed`, ...
        max_output_tokens: The longest answer, in tokens, from 1; None leaves it to the provider.
        request_timeout_seconds: How long one answer may take, all tries of it together.
        limits: Provider -> what it may be asked at once and per minute; `*` means every other one.
        limits_store: A `redis://` URL that shares the limits among processes; None keeps them in this one.
        max_planning_cycles: How many plans an agent may make for one goal, from 1.
        max_iterations: How many rounds it may take for it, from 1: each plan, each execution of one and
            each answer is a round.
        crash_if_over_iterations: Whether to raise `IterationsExceededError` then, instead of returning a
            result that has not achieved its goal.
        separate_evaluation: Whether a call of its own judges the goal before the one that answers.
        max_cost_usd: What model calls may cost in USD, above 0: those of a goal, or of all that a run does together; in
            a step's `config`, those of the step. None means without limit, like below.
        max_tokens: How many tokens they may take together, from 1.
        max_model_calls: How many there may be, from 1.
        deadline_seconds: How long a goal, a run or a step may take, above 0.
        max_parallel_tasks: How many tasks of one plan run at once, from 1.
        tool_timeout_seconds: How long one call of a tool may take; None means without limit.
        context_tokens: How many tokens of data an agent's prompt may carry, from 100.
        max_tools: How many tools a planning prompt describes, from 1; of more, those that fit the goal.
        instructions: Guidance for the agent; of much, what fits the goal is told.
        embedder: Compares texts by meaning when tools and instructions are chosen; None compares words.
        stream: Whether the final answer is shown while it comes.
        redact: Called with every value that subscribers are shown and returns what they may see; None
            shows all. The journal keeps what a resume needs.
        store: The URL of the journal's store: `memory://`, `sqlite:///file`, `file:///directory`, `postgresql://...`,
            `redis://...`.
        lease_seconds: How long a claim on a run lasts unless it is renewed, from 1.
        tools: Functions that every agent may use, on top of a step's own.

    Example:
        >>> base = TAgentConfig(model="openai:gpt-4.1", temperature=0)
        >>> base.merged(TAgentConfig(temperature=1)).model
        'openai:gpt-4.1'
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())

    model: Any = Field(default=None)
    planner_model: Any = Field(default=None)
    executor_model: Any = Field(default=None)
    evaluator_model: Any = Field(default=None)
    finalizer_model: Any = Field(default=None)
    base_url: str | None = Field(default=None, repr=False)  # it may hold a password, like the next two
    api_key: SecretStr | None = None
    temperature: float | None = Field(default=None, ge=0, le=2)
    model_settings: Mapping[str, Any] = Field(default_factory=dict)
    max_output_tokens: int | None = Field(default=None, ge=1)
    request_timeout_seconds: float = Field(default=120, gt=0)
    limits: Mapping[str, ModelLimits] = Field(default_factory=dict)
    limits_store: str | None = Field(default=None, repr=False)
    max_planning_cycles: int = Field(default=3, ge=1)
    max_iterations: int = Field(default=50, ge=1)
    crash_if_over_iterations: bool = False
    separate_evaluation: bool = False
    max_cost_usd: float | None = Field(default=None, gt=0)
    max_tokens: int | None = Field(default=None, ge=1)
    max_model_calls: int | None = Field(default=None, ge=1)
    deadline_seconds: float | None = Field(default=None, gt=0)
    max_parallel_tasks: int = Field(default=8, ge=1)
    tool_timeout_seconds: float | None = Field(default=None, gt=0)
    context_tokens: int = Field(default=16_000, ge=100)
    max_tools: int = Field(default=24, ge=1)
    instructions: tuple[str, ...] = ()
    embedder: Any = Field(default=None)
    stream: bool = False
    redact: Any = Field(default=None)
    store: str = Field(default="memory://", repr=False)
    lease_seconds: float = Field(default=15.0, ge=1)
    tools: tuple[Any, ...] = Field(default=(), repr=False)

    def merged(self, *others: Self) -> Self:
        """Return these settings with those that each of `others` sets, the later ones winning.

        Who sets `model` sets it for all phases, but for those whose model it sets too.
        """
        update: dict[str, object] = {}
        for other in others:
            if "model" in other.model_fields_set:  # then that model is asked, also where an earlier one had exceptions
                exceptions = (self.model_fields_set | update.keys()) & {*MODEL_OF_PURPOSE.values()}
                update.update(dict.fromkeys(exceptions))
            update.update({name: getattr(other, name) for name in other.model_fields_set})
        return self.model_copy(update=update)

    def for_purpose(self, purpose: str) -> Self:
        """Return these settings with the model that calls for this purpose ask.

        Example:
            >>> TAgentConfig(model="openai:gpt-4.1", planner_model="openai:o3").for_purpose("plan").model
            'openai:o3'
        """
        chosen = getattr(self, MODEL_OF_PURPOSE[purpose])
        return self if chosen is None else self.model_copy(update={"model": chosen})

    @classmethod
    def of(cls, settings: "TAgentConfig | Mapping[str, object] | None") -> "TAgentConfig":
        """Return `settings` as a config: as it is, from a mapping, or empty for None.

        Raises:
            ConfigurationError: If a name is unknown or a value does not fit; it lists all of them.
        """
        if isinstance(settings, TAgentConfig):
            return settings
        return cls.model_validate({} if settings is None else settings)

    @classmethod
    def load(cls, *, file: str | Path | None = None, environment: Mapping[str, str] | None = None) -> "TAgentConfig":
        """Return the settings of a TOML file with those of the environment over them.

        Args:
            file: Read when given; else `TAGENT_CONFIG` if set; else `tagent.toml` if it exists here.
            environment: Variables `TAGENT_<NAME>`; this process's own when None.

        Raises:
            ConfigurationError: If the file is missing or malformed, or a value does not fit.
        """
        environment = surroundings.environment() if environment is None else environment
        path, values = surroundings.settings_of_file(file, environment)
        settings = cls.model_validate(values, context={"origin": path})
        return settings.merged(cls._from_environment(environment))

    @classmethod
    def _from_environment(cls, environment: Mapping[str, str]) -> "TAgentConfig":
        names = cls.model_fields.keys() - ONLY_IN_CODE_OR_FILE
        found = {name: surroundings.variable_of(name, environment) for name in names}
        values = {name: value for name, value in found.items() if value}
        return cls.model_validate(values, context={"origin": "the environment"})

    @field_validator("redact")
    @classmethod
    def _can_redact(cls, value: object) -> object:
        if value is not None and not callable(value):
            raise ValueError("It must be a function of a value")
        return value

    @field_validator("embedder")
    @classmethod
    def _can_embed(cls, value: object) -> object:
        if value is not None and not callable(getattr(value, "embed", None)):
            raise ValueError("It must have an async method `embed`")
        return value

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: object, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:
        """Turn Pydantic's report into one error of ours that lists every problem, without values."""
        try:
            return handler(values)
        except ValidationError as error:
            problems = [
                _told(".".join(map(str, problem["loc"])), problem["type"], problem["msg"], len(problem["loc"]))
                for problem in error.errors(include_input=False, include_url=False)
            ]
            origin = info.context["origin"] if info.context else "the configuration"
            raise ConfigurationError(f"In {origin}: {' '.join(problems)}") from None


def _told(name: str, kind: str, message: str, depth: int) -> str:
    """Return one problem of the settings in words of ours."""
    known: Iterable[str] = TAgentConfig.model_fields if depth == 1 else ModelLimits.model_fields
    match kind:
        case "extra_forbidden":
            if depth == 1 and name in _OF_PIPELINES:
                return f"{name!r} is not a setting. It belongs to the pipeline: Pipeline(..., {name}=...)."
            if depth == 1 and name in {"timeout", "timeout_seconds"}:
                told = "For all of it say deadline_seconds=, for each attempt at a step step(..., timeout=...)."
                return f"{name!r} is not a setting. {told}"
            return f"{name!r} is not a setting.{nearest(name.rpartition('.')[2], known)}"
        case "tuple_type":
            return f"{name}: Write a list."
        case _:
            return f"{name or 'settings'}: {message}."


def provider_from_keys(environment: Mapping[str, str] | None = None) -> str | None:
    """Return the model string for the first provider whose key is in the environment, None without one."""
    environment = surroundings.environment() if environment is None else environment
    return next((model for key, model in PROVIDER_KEYS.items() if environment.get(key)), None)


def local_model_file(environment: Mapping[str, str] | None = None) -> Path | None:
    """Return the GGUF file that `TAGENT_LOCAL_MODEL` names, None when it is not set."""
    environment = surroundings.environment() if environment is None else environment
    named = surroundings.variable_of("local_model", environment)
    return Path(named).expanduser() if named else None


def openai_base_url(environment: Mapping[str, str] | None = None) -> str | None:
    """Return the endpoint that `OPENAI_BASE_URL` names for OpenAI's models, None when it is not set."""
    environment = surroundings.environment() if environment is None else environment
    return environment.get("OPENAI_BASE_URL") or None


def openai_api_key(environment: Mapping[str, str] | None = None) -> str | None:
    """Return the key in `OPENAI_API_KEY`, None when it is not set."""
    environment = surroundings.environment() if environment is None else environment
    return environment.get("OPENAI_API_KEY") or None
