"""What a pipeline inside a step is made of, as JSON values: its steps with their code, settings, models and tools."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from tagent.config import TAgentConfig
from tagent.pipeline import bindings
from tagent.pipeline.caching.agents import agent_made
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.making import made_of
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.settings import inner_settings, step_settings
from tagent.pipeline.stored.steps import step_spec
from tagent.ports.services import Services
from tagent.task_agent.foreign import is_pydantic_agent

_POLICY = frozenset(
    {
        "budget", "cache", "circuit", "compensate", "id", "max_concurrency", "max_retries", "memory", "pipeline",
        "retry", "retry_count", "timeout",
    }
)  # fmt: skip
"""What of a stored step says only how it is done, not what."""


async def pipeline_made(pipeline: Pipeline, settings: TAgentConfig, services: Services) -> object:
    """Return what a pipeline is made of.

    Args:
        pipeline: The pipeline.
        settings: Those of its run.
        services: Where models are.

    Raises:
        ModelError: If a model cannot be had.
        UnkeyableError: If what it comes to depends on more than it is given, or on what cannot be looked at.
    """
    require_keyable(pipeline)
    names = [step.name for step in pipeline.steps]
    shared = {name: OutputType().dump(value, step=name) for name, value in pipeline.shared_context.items()}
    steps = [
        [await _step_made(step, pipeline, names, settings, services), *[made_of(it) for it in _functions(step)]]
        for step in pipeline.steps
    ]
    about = [pipeline.description, pipeline.global_constraints, pipeline.final, pipeline.on_failure]
    return ["pipeline", about, shared, steps]


async def _step_made(
    step: PipelineStep, pipeline: Pipeline, names: list[str], settings: TAgentConfig, services: Services
) -> object:
    spec = step_spec(step, names, pipeline.global_constraints)
    told: list[object] = [{name: value for name, value in spec.items() if name not in _POLICY}]
    if step.pipeline is not None:
        inside = inner_settings(step, step.pipeline, config=settings)
        told.append(await pipeline_made(step.pipeline, inside, services))
    elif bindings.has_agents(replace(step, compensate=None)):  # what undoes it has no say in what it comes to
        own = step_settings(step, settings)
        told.append(await agent_made(own, [*own.tools, *step.tools], services, wanted=step.tools_filter))
    elif step.agent is not None:
        told.append(step_settings(step, settings).context_tokens)  # how much it is told of what it reads
    return told


def require_keyable(pipeline: Pipeline) -> None:
    """Refuse a pipeline in which a step asks somebody, or remembers: that depends on more than it is given.

    Raises:
        UnkeyableError: If one does, also in a pipeline inside it.
    """
    for step in pipeline.steps:
        if step.wait_for is not None:
            raise UnkeyableError(f"its step {step.name!r} waits for a message")
        if step.approval not in (None, False):
            raise UnkeyableError(f"its step {step.name!r} asks for approval")
        if (step.memory or pipeline.memory) == "pipeline":
            raise UnkeyableError(f"its step {step.name!r} remembers from run to run")
        if is_pydantic_agent(step.agent):
            raise UnkeyableError(f"the agent of its step {step.name!r} is not ours, and cannot be looked at")
        if step.pipeline is not None:
            require_keyable(step.pipeline)


def _functions(step: PipelineStep) -> Iterator[Callable[..., object]]:
    """Yield the functions that have a say in what a step comes to."""
    for work in (*bindings.functions(step), step.merge, step.agent, step.inputs):
        if callable(work):
            yield work
    for condition in bindings.conditions_of(step):
        yield from condition.functions
