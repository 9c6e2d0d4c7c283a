"""The front door: a goal or a pipeline in, a result out. Each sync function is a thin wrapper over its async twin."""

import asyncio
import contextvars
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Unpack, overload

from pydantic import BaseModel

from tagent.config import ModelLimits, TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.ports.language_model import LanguageModel
from tagent.ports.services import open_services
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.redaction import OnEvent, shown_to
from tagent.task_agent.results import TaskBasedAgentResult
from tagent.task_agent.run import run_task_based_agent
from tagent.task_agent.tools.servers import ToolSource
from tagent.threads import standing_still

if TYPE_CHECKING:
    from tagent.pipeline.driving.cancelling import Cancellation
    from tagent.pipeline.executor import PipelineExecutor
    from tagent.pipeline.models import Pipeline, PipelineResult
    from tagent.pipeline.selecting import Selection
    from tagent.pipeline.state import PipelineState
    from tagent.pipeline.transfer.forking import Fork

Result = TypeVar("Result")
Output = TypeVar("Output")
Config = TAgentConfig | Mapping[str, object] | None


class CallOptions(TypedDict, total=False):
    """Settings of one call, over all others; `TAgentConfig` describes them."""

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


@overload
async def arun_agent(
    goal_or_pipeline: "Pipeline",
    config: Config = None,
    *,
    inputs: Mapping[str, object] | BaseModel | None = None,
    **options: Unpack[CallOptions],
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
    inputs: Mapping[str, object] | BaseModel | None = None,
    output_format: object = None,
    on_event: OnEvent | None = None,
    **options: Any,
) -> "TaskBasedAgentResult[Any] | PipelineResult":
    """Return what an agent makes of a goal, or what a run of a pipeline comes to.

    Args:
        goal_or_pipeline: A goal in words, or a `Pipeline`.
        config: Settings over those of file and environment.
        inputs: What the pipeline is given; a goal takes none.
        output_format: What the goal's output must be, anything that Pydantic can check; None means
            text. A pipeline's steps have their own `output_schema`.
        on_event: Is shown what a goal's agent does, in order: every event, and with `stream=True` the text
            of the answer while it comes. What it raises is logged.
        options: Settings of this call, over all others: `model`, `tools`, `temperature`, ...

    Raises:
        ConfigurationError: If a setting is unknown or wrong.
        ModelError: If no model can be had, or a goal's model call fails for good.
        BudgetExceededError: If a limit leaves no room for a goal's next model call.
        PipelineValidationError: If the pipeline has mistakes.
        InputError: If the inputs do not fit the pipeline.
        BudgetExceededError: If a limit leaves no room for a goal's next model call; it holds the work done.
        IterationsExceededError: If a goal takes too many rounds, with `crash_if_over_iterations`.

    Example:
        >>> from tagent.testing import ScriptedModel
        >>> asyncio.run(arun_agent("Say hello", model=ScriptedModel(["Hello."]))).output
        'Hello.'
    """
    if not isinstance(goal_or_pipeline, str):
        if output_format is not None:
            raise ConfigurationError("A pipeline takes no output_format: give its steps an output_schema.")
        if on_event is not None:
            raise ConfigurationError("A pipeline takes no on_event: its events are in its journal.")
        return await arun_pipeline(goal_or_pipeline, config, inputs=inputs, **options)
    if inputs is not None:
        raise ConfigurationError("A goal takes no inputs: write them into the goal, or run a pipeline.")
    settings = TAgentConfig.of(config).merged(TAgentConfig.of(options))
    attempt = Attempt(on_event=shown_to(on_event, settings)) if on_event else None
    return await run_task_based_agent(goal_or_pipeline, settings, output_format=output_format, attempt=attempt)


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
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("hello").step("greet", run=lambda name: f"Hello, {name}.")
        >>> asyncio.run(arun_pipeline(pipeline, inputs={"name": "Ana"})).final_output
        'Hello, Ana.'
    """
    selection = selection_of(only, start_from, outputs, from_run)
    executor = executor_of(pipeline, config, inputs=inputs, labels=labels, selection=selection, options=options)
    return await executor.execute()


def selection_of(
    only: str | Sequence[str] | None,
    start_from: str | Sequence[str] | None,
    outputs: Mapping[str, object] | None,
    from_run: str | None,
) -> "Selection | None":
    """Return the part of a pipeline that these arguments of `arun_pipeline` name; None for all of it."""
    from tagent.pipeline.selecting import Selection

    return Selection.of(only, start_from, outputs, from_run)


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


async def aresume(
    run_id: str,
    pipeline: "Pipeline | None" = None,
    config: Config = None,
    *,
    definition: Literal["stored", "current"] = "stored",
    **options: Unpack[CallOptions],
) -> "PipelineResult":
    """Take up an interrupted or failed run and return what it comes to; completed steps are not run again.

    Args:
        run_id: The run.
        pipeline: The pipeline with its code; None loads it from the file that the run remembers.
        config: Settings over those of file and environment; `store` says where the run is.
        definition: `stored` goes on with the definition that the run was started with, `current` uses
            today's for what is not completed.
        options: Settings of this call, over all but the steps' own.

    Raises:
        UnknownRunError: If no run has this id; the nearest one is named.
        RunHeldError: If a live process drives it.
        NoPipelineError: If it was built in code and no `pipeline` is given.
        DefinitionMismatchError: If the code does not fit the definition.
        CrashLoopError: If it was resumed too often without getting any further.
        PipelineLoadError: If its file does not give the pipeline any more.
        StepOutputError: If a stored output does not fit the type that its step has today.
        ConfigurationError: If a setting is unknown or wrong.
        ModelError: If a step needs a model and none can be had.
        StoreError: If the journal cannot be written; nothing counts that was not committed.
        PipelineValidationError: If the code has mistakes by now.
        InputError: If the stored inputs do not fit the code any more.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from tagent.pipeline import Pipeline
        >>> async def read_again(folder: Path) -> object:
        ...     store, source = f"file:///{folder}", folder / "facts.txt"
        ...     report = Pipeline("report").step("read", run=lambda: source.read_text(), max_retries=0)
        ...     failed = await arun_pipeline(report, store=store)  # the file is not there yet
        ...     _ = source.write_text("Seven hills")
        ...     return (await aresume(failed.run_id, report, store=store)).final_output
        >>> with TemporaryDirectory() as folder:
        ...     asyncio.run(read_again(Path(folder)))
        'Seven hills'
    """
    from tagent.pipeline.driving.resuming import resume_run

    settings = TAgentConfig.load().merged(TAgentConfig.of(config))
    overrides = TAgentConfig.of(options)
    async with open_services(settings.merged(overrides)) as services:
        return await resume_run(
            run_id, services, settings, pipeline=pipeline, definition=definition, overrides=overrides
        )


def resume(
    run_id: str,
    pipeline: "Pipeline | None" = None,
    config: Config = None,
    *,
    definition: Literal["stored", "current"] = "stored",
    **options: Unpack[CallOptions],
) -> "PipelineResult":
    """Do what `aresume` does and wait for it; also where an event loop is already running.

    Raises:
        TAgentError: As for `aresume`.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from tagent.pipeline import Pipeline
        >>> with TemporaryDirectory() as folder:
        ...     store, source = f"file:///{folder}", Path(folder, "facts.txt")
        ...     report = Pipeline("report").step("read", run=lambda: source.read_text(), max_retries=0)
        ...     failed = run_pipeline(report, store=store)  # the file is not there yet
        ...     _ = source.write_text("Seven hills")
        ...     resume(failed.run_id, report, store=store).final_output
        'Seven hills'
    """
    return run_to_end(aresume(run_id, pipeline, config, definition=definition, **options))


@overload
def run_agent(
    goal_or_pipeline: "Pipeline",
    config: Config = None,
    *,
    inputs: Mapping[str, object] | BaseModel | None = None,
    **options: Unpack[CallOptions],
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


def run_pipeline(
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
    """Do what `arun_pipeline` does and wait for it; also where an event loop is already running.

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
    return run_to_end(
        arun_pipeline(
            pipeline,
            config,
            inputs=inputs,
            labels=labels,
            only=only,
            start_from=start_from,
            outputs=outputs,
            from_run=from_run,
            **options,
        )
    )


async def afork(
    run_id: str,
    config: Config = None,
    *,
    from_step: str | None = None,
    at_event: int | None = None,
    overrides: Mapping[str, object] | None = None,
    pipeline: "Pipeline | None" = None,
    **options: Unpack[CallOptions],
) -> "Fork":
    """Make a new run of what happened in an old one, which stays as it is; `resume` the new one to do the rest.

    Args:
        run_id: The run to fork.
        config: Settings over those of file and environment; `store` says where the run is.
        from_step: This step and all that depend on it run again; all else that completed is reused.
        at_event: The run as it was after so many of its events, from 1.
        overrides: What is different: `{"inputs": {...}, "model": "...", "steps": {name: {"goal": "...",
            "model": "...", "output": ...}}}`.
        pipeline: The code, to check new inputs and outputs; None loads it from where the run came from.
        options: Settings of this call, over all others.

    Raises:
        UnknownRunError: If no run has this id; the nearest one is named.
        ForkError: If the step or the event is unknown, or an edit does not fit.
        InputError: If new inputs do not fit the pipeline.
        StepOutputError: If a new output does not fit its step.
        NoPipelineError: If inputs or outputs are edited, the pipeline was built in code, and none is given.
        StoreError: If the store fails.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent.pipeline import Pipeline
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> async def with_other_facts(store: dict[str, object]) -> object:
        ...     run = await arun_pipeline(report, store)
        ...     new = await afork(run.run_id, store, overrides={"steps": {"facts": {"output": 8}}}, pipeline=report)
        ...     return (await aresume(new.run_id, report, store)).final_output
        >>> with TemporaryDirectory() as folder:
        ...     asyncio.run(with_other_facts({"store": f"file:///{folder}"}))
        '8 hills'
    """
    from tagent.pipeline.transfer.forking import fork_run

    async with open_services(settings_of(config, options)) as services:
        return await fork_run(
            run_id, services, from_step=from_step, at_event=at_event, overrides=overrides, pipeline=pipeline
        )


def fork(
    run_id: str,
    config: Config = None,
    *,
    from_step: str | None = None,
    at_event: int | None = None,
    overrides: Mapping[str, object] | None = None,
    pipeline: "Pipeline | None" = None,
    **options: Unpack[CallOptions],
) -> "Fork":
    """Do what `afork` does and wait for it; also where an event loop is already running.

    Raises:
        TAgentError: As for `afork`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent.pipeline import Pipeline
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> with TemporaryDirectory() as folder:
        ...     store = {"store": f"file:///{folder}"}
        ...     run = run_pipeline(report, store)
        ...     new = fork(run.run_id, store, from_step="text")
        ...     new.reused, new.again, resume(new.run_id, report, store).final_output
        (('facts',), ('text',), '7 hills')
    """
    return run_to_end(
        afork(run_id, config, from_step=from_step, at_event=at_event, overrides=overrides, pipeline=pipeline, **options)
    )


async def acancel(
    run_id: str, config: Config = None, *, reason: str = "", **options: Unpack[CallOptions]
) -> "Cancellation":
    """Cancel a run, whoever drives it, and return what it had come to; when this returns, that is durable.

    No step starts any more. Those that run are stopped within a second, wherever that is; the driver then returns
    its result, with the status CANCELLED. A run in memory can be cancelled only in the process that drives it.

    Args:
        run_id: The run.
        config: Settings over those of file and environment; `store` says where the run is.
        reason: Why, for people; it stays with the run.
        options: Settings of this call, over all others.

    Raises:
        UnknownRunError: If no run has this id; the nearest one is named.
        RunEndedError: If it has come to its end already.
        StoreError: If the store fails; the run goes on then.

    Example:
        >>> from tagent.pipeline import Pipeline, StepContext
        >>> async def stop(context: StepContext) -> None:
        ...     await acancel(context.run_id, reason="It costs too much.")
        ...     await asyncio.sleep(60)
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=stop, depends_on=["facts"])
        >>> result = asyncio.run(arun_pipeline(report))
        >>> result.status.value, {name: step["status"].value for name, step in result.step_metadata.items()}
        ('cancelled', {'facts': 'completed', 'text': 'cancelled'})
    """
    from tagent.pipeline.driving.cancelling import cancel_run

    async with open_services(settings_of(config, options)) as services:
        return await cancel_run(run_id, services, reason=reason)


def cancel(run_id: str, config: Config = None, *, reason: str = "", **options: Unpack[CallOptions]) -> "Cancellation":
    """Do what `acancel` does and wait for it; also where an event loop is already running.

    Raises:
        TAgentError: As for `acancel`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent.pipeline import Pipeline
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> with TemporaryDirectory() as folder:
        ...     store = {"store": f"file:///{folder}"}
        ...     new = fork(run_pipeline(report, store).run_id, store, from_step="text")  # nobody drives it yet
        ...     cancelled = cancel(new.run_id, store)
        ...     cancelled.completed, cancelled.left, resume(new.run_id, report, store).final_output
        (('facts',), ('text',), '7 hills')
    """
    return run_to_end(acancel(run_id, config, reason=reason, **options))


async def astate_at(
    run_id: str, event: int | None = None, config: Config = None, **options: Unpack[CallOptions]
) -> "PipelineState":
    """Return the state that a run had after its first `event` events, from 1; None means now.

    Settings are given as to `aresume`: `store` says where the run is.

    Raises:
        UnknownRunError: If no run has this id; the nearest one is named.
        ForkError: If the run has no such event.
        StoreError: If the store fails.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent.pipeline import Pipeline
        >>> async def looked_back(store: dict[str, object]) -> object:
        ...     run = await arun_pipeline(Pipeline("report").step("facts", run=lambda: 7), store)
        ...     return [(await astate_at(run.run_id, event, store)).statuses["facts"].value for event in (1, 2, 3)]
        >>> with TemporaryDirectory() as folder:
        ...     asyncio.run(looked_back({"store": f"file:///{folder}"}))
        ['pending', 'running', 'completed']
    """
    from tagent.pipeline.transfer import forking

    async with open_services(settings_of(config, options)) as services:
        return await forking.state_at(services.store, run_id, event)


def state_at(
    run_id: str, event: int | None = None, config: Config = None, **options: Unpack[CallOptions]
) -> "PipelineState":
    """Do what `astate_at` does and wait for it; also where an event loop is already running.

    Raises:
        TAgentError: As for `astate_at`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent.pipeline import Pipeline
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> with TemporaryDirectory() as folder:
        ...     store = {"store": f"file:///{folder}"}
        ...     run = run_pipeline(report, store)
        ...     {name: status.value for name, status in state_at(run.run_id, 3, store).statuses.items()}
        {'facts': 'completed', 'text': 'pending'}
    """
    return run_to_end(astate_at(run_id, event, config, **options))


def settings_of(config: Config, options: Mapping[str, object]) -> TAgentConfig:
    """Return the settings of a call: `options` over `config`, over those of file and environment.

    Raises:
        ConfigurationError: If a setting is unknown or wrong.
    """
    return TAgentConfig.load().merged(TAgentConfig.of(config), TAgentConfig.of(options))


def run_to_end(work: Coroutine[object, object, Result]) -> Result:
    """Return what `work` returns, on a loop of its own: here, or in a thread when this one has a running loop."""
    return _run_in_thread(work) if _is_inside_a_loop() else asyncio.run(work)


def _is_inside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _run_in_thread(work: Coroutine[object, object, Result]) -> Result:
    """Return what `work` returns on a loop in another thread; interrupting the wait cancels it."""
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Task[Result]]] = Future()

    async def main() -> Result:
        if not started.set_running_or_notify_cancel():  # interrupted before it began
            work.close()
            raise asyncio.CancelledError
        task = asyncio.current_task()
        started.set_result((asyncio.get_running_loop(), task))  # type: ignore[arg-type]  # inside a task there is one
        return await work

    with standing_still(), ThreadPoolExecutor(1, thread_name_prefix="tagent-loop") as pool:
        try:  # from the start: the interrupt may come before `submit` returns
            return pool.submit(contextvars.copy_context().run, asyncio.run, main()).result()
        except KeyboardInterrupt:
            if not started.cancel():
                loop, task = started.result()
                loop.call_soon_threadsafe(task.cancel)
            raise
