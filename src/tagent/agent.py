"""The front door: a goal or a pipeline in, a result out. Each sync function is a thin wrapper over its async twin."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, Unpack, overload

from pydantic import BaseModel

from tagent.blocking import run_to_end
from tagent.calls import CallOptions, Config, RunOptions
from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.redaction import OnEvent, shown_to
from tagent.task_agent.results import TaskBasedAgentResult
from tagent.task_agent.run import run_task_based_agent

if TYPE_CHECKING:
    from tagent.pipeline.executor import PipelineExecutor
    from tagent.pipeline.models import Pipeline, PipelineResult
    from tagent.pipeline.selecting import Selection

Output = TypeVar("Output")

_AS_A_WHOLE: Final = "A goal is run as a whole: only, start_from, outputs and from_run are for pipelines."
_NOT_FOR_GOALS: Final = {
    "inputs": "A goal takes no inputs: write them into the goal, or run a pipeline.",
    "labels": "A goal takes no labels: it is in no list of runs. Run a pipeline.",
    **dict.fromkeys(("only", "start_from", "outputs", "from_run"), _AS_A_WHOLE),
}


@overload
async def arun_agent(
    goal_or_pipeline: "Pipeline",
    config: Config = None,
    **options: Unpack[RunOptions],
) -> "PipelineResult": ...
@overload
async def arun_agent(
    goal_or_pipeline: str,
    config: Config = None,
    *,
    output_format: type[Output],
    on_event: OnEvent | None = None,
    **options: Unpack[CallOptions],
) -> TaskBasedAgentResult[Output]: ...
@overload
async def arun_agent(
    goal_or_pipeline: str,
    config: Config = None,
    *,
    output_format: None = None,
    on_event: OnEvent | None = None,
    **options: Unpack[CallOptions],
) -> TaskBasedAgentResult[str]: ...
async def arun_agent(
    goal_or_pipeline: "str | Pipeline",
    config: Config = None,
    *,
    output_format: object = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> "TaskBasedAgentResult[Any] | PipelineResult":
    """Return what an agent makes of a goal, or what a run of a pipeline comes to.

    Args:
        goal_or_pipeline: A goal in words, or a `Pipeline`.
        config: Settings over those of file and environment.
        output_format: What the goal's output must be, anything that Pydantic can check; None means
            text. A pipeline's steps have their own `output_schema`.
        on_event: Is shown what a goal's agent does, in order: every event, and with `stream=True` the text
            of the answer while it comes. What it raises is logged.
        options: Settings of this call, over all but the steps' own: `model`, `tools`, `temperature`, ... For a pipeline
            also what else `arun_pipeline` takes: `inputs`, `labels`, a part of it.

    Raises:
        ConfigurationError: If a setting is unknown or wrong, or is not for what is run.
        ModelError: If no model can be had, or a goal's model call fails for good.
        PipelineValidationError: If the pipeline has mistakes.
        InputError: If the inputs do not fit the pipeline.
        SelectionError: If the part of the pipeline that is asked for cannot be run.
        BudgetExceededError: If a limit leaves no room for a goal's next model call; it holds the work done.
        IterationsExceededError: If a goal takes too many rounds, with `crash_if_over_iterations`.

    Example:
        >>> import asyncio
        >>> from tagent.testing import ScriptedModel
        >>> asyncio.run(arun_agent("Say hello", model=ScriptedModel(["Hello."]))).output
        'Hello.'
    """
    if not isinstance(goal_or_pipeline, str):
        if output_format is not None:
            raise ConfigurationError("A pipeline takes no output_format: give its steps an output_schema.")
        if on_event is not None:
            raise ConfigurationError("A pipeline takes no on_event: read its events with stream(pipeline).")
        return await arun_pipeline(goal_or_pipeline, config, **options)
    settings = TAgentConfig.of(config).merged(TAgentConfig.of(_settings_for_goal(options)))
    attempt = Attempt(on_event=shown_to(on_event, settings)) if on_event else None
    return await run_task_based_agent(goal_or_pipeline, settings, output_format=output_format, attempt=attempt)


def _settings_for_goal(options: Mapping[str, object]) -> dict[str, object]:
    """Return those of the options that are settings.

    Raises:
        ConfigurationError: If one of the others says something: it is for pipelines.
    """
    for name, told in _NOT_FOR_GOALS.items():
        if options.get(name) is not None:
            raise ConfigurationError(told)
    return {name: value for name, value in options.items() if name not in _NOT_FOR_GOALS}


async def arun_pipeline(
    pipeline: "Pipeline",
    config: Config = None,
    *,
    inputs: Mapping[str, object] | BaseModel | None = None,
    labels: Mapping[str, str] | None = None,
    only: str | Sequence[str] | None = None,
    start_from: str | Sequence[str] | None = None,
    outputs: Mapping[str, object] | None = None,
    from_run: str | None = None,
    **options: Unpack[CallOptions],
) -> "PipelineResult":
    """Run `pipeline` to its end and return what it came to; a failed step is in the result, not raised.

    Args:
        pipeline: The definition.
        config: Settings over those of file and environment, below the pipeline's own.
        inputs: What the run is given, by name, or an instance of the pipeline's input model.
        labels: Short names and values to find the run by, as in `{"team": "blue"}`.
        only: The steps to run; the others do not. A step that takes the place of one of these may run, too.
        start_from: The steps to begin with; these run, and all that depends on them.
        outputs: Step name -> what it is held to have given. It does not run, and what needs its output goes on.
        from_run: The id of an earlier run of the pipeline: what completed there need not run again, and is given with
            its output; inputs that are not given are its inputs.
        options: Settings of this call, over all but the steps' own.

    Raises:
        MissingExtraError: If pipeline support is not installed.
        ConfigurationError: If a setting is unknown or wrong, or a label cannot be used.
        PipelineValidationError: If the definition has mistakes; it lists all of them.
        InputError: If the inputs do not fit.
        SelectionError: If the part of the pipeline that is asked for cannot be run; it lists all that is missing.
        UnknownRunError: If there is no run `from_run` in the store.
        ModelError: If a step needs a model and none can be had; nothing has run then.
        StoreError: If the journal cannot be written; nothing counts that was not committed.

    Example:
        >>> import asyncio
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("hello").step("greet", run=lambda name: f"Hello, {name}.")
        >>> asyncio.run(arun_pipeline(pipeline, inputs={"name": "Ana"})).final_output
        'Hello, Ana.'
    """
    from tagent.pipeline.selecting import Selection

    selection = Selection.of(only, start_from, outputs, from_run)
    executor = executor_of(pipeline, config, inputs=inputs, labels=labels, selection=selection, options=options)
    return await executor.execute()


def executor_of(
    pipeline: "Pipeline",
    config: Config,
    *,
    inputs: Mapping[str, object] | BaseModel | None,
    labels: Mapping[str, str] | None,
    selection: "Selection | None" = None,
    options: Mapping[str, object],
) -> "PipelineExecutor":
    """Return what runs `pipeline` as `arun_pipeline` does, with the same arguments.

    Raises:
        ConfigurationError: If it is no pipeline, a setting is unknown or wrong, or a label cannot be used.
        PipelineValidationError: If the definition has mistakes.
        InputError: If the inputs do not fit.
    """
    from tagent.pipeline import Pipeline, PipelineExecutor

    if not isinstance(pipeline, Pipeline):
        raise ConfigurationError(f"A goal is a string and a pipeline a Pipeline, not {type(pipeline).__name__}.")
    overrides = TAgentConfig.of(options)
    return PipelineExecutor(pipeline, config, inputs=inputs, labels=labels, selection=selection, overrides=overrides)


@overload
def run_agent(
    goal_or_pipeline: "Pipeline",
    config: Config = None,
    **options: Unpack[RunOptions],
) -> "PipelineResult": ...
@overload
def run_agent(
    goal_or_pipeline: str,
    config: Config = None,
    *,
    output_format: type[Output],
    on_event: OnEvent | None = None,
    **options: Unpack[CallOptions],
) -> TaskBasedAgentResult[Output]: ...
@overload
def run_agent(
    goal_or_pipeline: str,
    config: Config = None,
    *,
    output_format: None = None,
    on_event: OnEvent | None = None,
    **options: Unpack[CallOptions],
) -> TaskBasedAgentResult[str]: ...
def run_agent(
    goal_or_pipeline: "str | Pipeline", config: Config = None, **options: Any
) -> "TaskBasedAgentResult[Any] | PipelineResult":
    """Do what `arun_agent` does and wait for it; also where an event loop is already running, as in a notebook.

    The arguments are the same: `config`, of a goal `output_format` and `on_event`, of a pipeline
    `inputs`, `labels`, `only`, `start_from`, `outputs`, `from_run`, and settings by name, like `model` and `store`.

    Raises:
        TAgentError: As for `arun_agent`.

    Example:
        >>> from tagent.testing import ScriptedModel
        >>> run_agent("Say hello", model=ScriptedModel(["Hello."])).output
        'Hello.'
    """
    result: TaskBasedAgentResult[Any] | PipelineResult = run_to_end(
        arun_agent(goal_or_pipeline, config, **options)  # the parameters are the same
    )
    return result


def run_pipeline(pipeline: "Pipeline", config: Config = None, **options: Unpack[RunOptions]) -> "PipelineResult":
    """Do what `arun_pipeline` does and wait for it; also where an event loop is already running.

    The arguments are the same: `config`, `inputs`, `labels`, `only`, `start_from`, `outputs`, `from_run`,
    and settings by name, like `model` and `store`.

    Raises:
        TAgentError: As for `arun_pipeline`.

    Example:
        >>> from tagent.pipeline import Pipeline
        >>> def facts(city: str) -> dict[str, object]:
        ...     return {"city": city, "hills": 7}
        >>> def text(facts: dict[str, object]) -> str:
        ...     return f"{facts['city']} has {facts['hills']} hills."
        >>> report = Pipeline("report").step("facts", run=facts).step("text", run=text)
        >>> run_pipeline(report, inputs={"city": "Lisbon"}).final_output
        'Lisbon has 7 hills.'
    """
    return run_to_end(arun_pipeline(pipeline, config, **options))
