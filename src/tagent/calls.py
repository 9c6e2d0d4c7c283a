"""What a call of a front door is given: a config, and settings by name."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict

from pydantic import BaseModel

from tagent.config import ModelLimits, TAgentConfig
from tagent.ports.language_model import LanguageModel
from tagent.task_agent.tools.servers import ToolSource

Config = TAgentConfig | Mapping[str, object] | None
"""Settings over those of file and environment."""


class CallOptions(TypedDict, total=False):
    """Settings of one call, over all but the steps' own; `TAgentConfig` describes them."""

    model: "str | LanguageModel | Sequence[str | LanguageModel]"
    planner_model: "str | LanguageModel | Sequence[str | LanguageModel]"
    executor_model: "str | LanguageModel | Sequence[str | LanguageModel]"
    evaluator_model: "str | LanguageModel | Sequence[str | LanguageModel]"
    finalizer_model: "str | LanguageModel | Sequence[str | LanguageModel]"
    tools: Sequence[ToolSource]
    base_url: str
    api_key: str
    temperature: float
    model_settings: Mapping[str, object]
    max_output_tokens: int
    request_timeout_seconds: float
    limits: Mapping[str, ModelLimits | Mapping[str, int]]
    limits_store: str
    max_planning_cycles: int
    max_iterations: int
    crash_if_over_iterations: bool
    separate_evaluation: bool
    max_cost_usd: float
    max_tokens: int
    max_model_calls: int
    deadline_seconds: float
    max_parallel_tasks: int
    tool_timeout_seconds: float
    context_tokens: int
    max_tools: int
    instructions: Sequence[str]
    embedder: object
    stream: bool
    redact: Callable[[object], object]
    store: str
    lease_seconds: float


class RunOptions(CallOptions, total=False):
    """What a run of a pipeline is given beside its settings; `arun_pipeline` describes it."""

    inputs: Mapping[str, object] | BaseModel | None
    labels: Mapping[str, str] | None
    only: str | Sequence[str] | None
    start_from: str | Sequence[str] | None
    outputs: Mapping[str, object] | None
    from_run: str | None


def settings_of(config: Config, options: Mapping[str, object]) -> TAgentConfig:
    """Return the settings of a call: `options` over `config`, over those of file and environment.

    Raises:
        ConfigurationError: If a setting is unknown or wrong.
    """
    return TAgentConfig.load().merged(TAgentConfig.of(config), TAgentConfig.of(options))
