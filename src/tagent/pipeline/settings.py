"""Which settings and limits a run has, each of its steps, and the pipeline inside one."""

from dataclasses import replace

from tagent.budget import LIMITS, Budget
from tagent.config import TAgentConfig
from tagent.pipeline.models import Pipeline, PipelineStep

NO_SETTINGS = TAgentConfig()


def run_budget(pipeline: Pipeline, config: TAgentConfig, overrides: TAgentConfig = NO_SETTINGS) -> Budget:
    """Return what a run may spend: the call's limits over the pipeline's `budget`, over its `config`, over `config`.

    Args:
        pipeline: The definition.
        config: The settings below those of the pipeline.
        overrides: The settings of the call.

    Raises:
        ConfigurationError: If one of them is wrong.

    Example:
        >>> pipeline = Pipeline("p", budget={"max_cost_usd": 1}, config={"max_cost_usd": 2, "max_tokens": 900})
        >>> run_budget(pipeline, TAgentConfig(max_model_calls=7), TAgentConfig(max_tokens=500))
        Budget(max_cost_usd=1, max_tokens=500, max_model_calls=7, deadline_seconds=None)
    """
    below = Budget.among(config.merged(TAgentConfig.of(pipeline.config)))
    return overridden(below.merged(Budget.of(pipeline.budget)), overrides)


def overridden(budget: Budget, overrides: TAgentConfig) -> Budget:
    """Return the budget with the limits of the call instead, of which None means: without limit."""
    asked = Budget.among(overrides)
    return replace(budget, **{name: getattr(asked, name) for name in LIMITS if name in overrides.model_fields_set})


def step_budget(step: PipelineStep) -> Budget:
    """Return what a step may spend with all its attempts and parts: its `budget` over its `config`.

    Raises:
        ConfigurationError: If one of them is wrong.
    """
    return Budget.among(TAgentConfig.of(step.config)).merged(Budget.of(step.budget))


def step_settings(step: PipelineStep, config: TAgentConfig) -> TAgentConfig:
    """Return the settings of a step's agent: those of the run, and its own over them.

    Of limits it has the step's deadline alone: those of the run are of all steps together, and what the step may
    spend is in its account.

    Example:
        >>> step = PipelineStep(name="s", goal="Find it", budget={"max_tokens": 9, "deadline_seconds": 60})
        >>> settings = step_settings(step, TAgentConfig(max_cost_usd=5, deadline_seconds=900, temperature=0))
        >>> settings.max_cost_usd, settings.max_tokens, settings.deadline_seconds, settings.temperature
        (None, None, 60, 0.0)
    """
    own = TAgentConfig.of(step.config)
    if step.model is not None:
        own = own.model_copy(update={"model": step.model})
    limits = {**dict.fromkeys(LIMITS), "deadline_seconds": step_budget(step).deadline_seconds}
    return config.merged(own).model_copy(update=limits)


def inner_settings(step: PipelineStep, pipeline: Pipeline, *, config: TAgentConfig) -> TAgentConfig:
    """Return the settings of the pipeline inside a step: those of the run, over them the step's, then its own.

    Of limits it has its own alone: what all of it may spend is in the accounts of the run and of the step, and how long
    it may take is looked after there.

    Args:
        step: The step.
        pipeline: The pipeline inside it.
        config: The settings of the run around it.

    Example:
        >>> inner = Pipeline("inner", config={"max_tokens": 9})
        >>> step = PipelineStep(name="s", pipeline=inner, model="small", budget={"deadline_seconds": 60})
        >>> settings = inner_settings(step, inner, config=TAgentConfig(temperature=0, max_cost_usd=5))
        >>> settings.model, settings.temperature, settings.max_cost_usd, settings.max_tokens, settings.deadline_seconds
        ('small', 0.0, None, 9, None)
    """
    below = step_settings(step, config).model_copy(update=dict.fromkeys(LIMITS))
    return below.merged(TAgentConfig.of(pipeline.config))
