"""The front door of runs that were begun: taken up again, forked, cancelled, looked back at."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, Unpack

from tagent.blocking import run_to_end
from tagent.calls import CallOptions, Config, settings_of
from tagent.config import TAgentConfig
from tagent.ports.services import open_services

if TYPE_CHECKING:
    from tagent.pipeline.driving.cancelling import Cancellation
    from tagent.pipeline.models import Pipeline, PipelineResult
    from tagent.pipeline.state import PipelineState
    from tagent.pipeline.transfer.forking import Fork


async def aresume(
    run_id: str,
    pipeline: "Pipeline | None" = None,
    config: Config = None,
    *,
    definition: Literal["stored", "current"] = "stored",
    **options: Unpack[CallOptions],
) -> "PipelineResult":
    """Take up an interrupted, waiting or failed run and return what it comes to; completed steps do not run again.

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
        >>> import asyncio
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import arun_pipeline
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
    from tagent.pipeline.resuming import resume_run

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

    The arguments are the same: `pipeline`, `config`, `definition`, and settings by name, like `store`.

    Raises:
        TAgentError: As for `aresume`.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import run_pipeline
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
        >>> import asyncio
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import aresume, arun_pipeline
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

    The arguments are the same: `config`, `from_step`, `at_event`, `overrides`, `pipeline`, and settings by name, like
    `store`.

    Raises:
        TAgentError: As for `afork`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import run_pipeline, resume
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
        >>> import asyncio
        >>> from tagent import arun_pipeline
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

    The arguments are the same: `config`, `reason`, and settings by name, like `store`.

    Raises:
        TAgentError: As for `acancel`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import run_pipeline, resume
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
        >>> import asyncio
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import arun_pipeline
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

    The arguments are the same: `event`, `config`, and settings by name, like `store`.

    Raises:
        TAgentError: As for `astate_at`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> with TemporaryDirectory() as folder:
        ...     store = {"store": f"file:///{folder}"}
        ...     run = run_pipeline(report, store)
        ...     {name: status.value for name, status in state_at(run.run_id, 3, store).statuses.items()}
        {'facts': 'completed', 'text': 'pending'}
    """
    return run_to_end(astate_at(run_id, event, config, **options))
