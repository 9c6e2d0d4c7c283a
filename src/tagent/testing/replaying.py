"""Recorded runs as tests: offline, free, and in no time."""

import asyncio
from pathlib import Path

from tagent.config import TAgentConfig
from tagent.pipeline.models import Pipeline
from tagent.pipeline.replay.replaying import Replay, replay_run
from tagent.pipeline.stored.loading import load_pipeline
from tagent.pipeline.transfer.importing import read_recording
from tagent.runtime import open_services

IN_MEMORY = TAgentConfig(store="memory://")


def replay(
    run: str | Path | bytes,
    pipeline: Pipeline | str | Path,
    *,
    object_name: str = "",
    config: TAgentConfig | None = None,
    recorded_functions: bool = False,
) -> Replay:
    """Run a recorded run again on the answers that its models and tools gave, and return what changed.

    For tests that have no event loop of their own; in others, await `tagent.pipeline.replay.replaying.replay_run`.

    Args:
        run: What `tagent runs export` wrote: the file, or its content.
        pipeline: The pipeline under test, or its Python file.
        object_name: The pipeline in the file; empty for its only one.
        config: Settings of the run that are not those of the pipeline: tools that every agent has.
        recorded_functions: Whether functions give what is recorded too, instead of being called.

    Raises:
        RunImportError: If `run` is no exported run.
        PipelineLoadError: If the file gives no pipeline.
        PipelineError: If the pipeline has mistakes, or the recorded inputs do not fit it.

    Example:
        >>> replay("tests/report.json", "report.py").assert_unchanged()  # doctest: +SKIP
        >>> from tagent.pipeline import PipelineExecutor
        >>> from tagent.pipeline.transfer.exporting import export_run
        >>> async def recorded(pipeline: Pipeline) -> bytes:
        ...     async with open_services(IN_MEMORY) as services:
        ...         result = await PipelineExecutor(pipeline, services=services).execute()
        ...         return await export_run(services.store, result.run_id)
        >>> report = Pipeline("report").step("facts", run=lambda: 7).step("text", run=lambda facts: f"{facts} hills")
        >>> recording = asyncio.run(recorded(report))
        >>> report.steps[1].run = lambda facts: f"{facts} green hills"
        >>> [step.step for step in replay(recording, report).differences]
        ['text']
    """
    recording = read_recording(run if isinstance(run, bytes) else Path(run).read_bytes())
    code = pipeline if isinstance(pipeline, Pipeline) else load_pipeline(pipeline, object_name)

    async def work() -> Replay:
        async with open_services(IN_MEMORY) as services:
            return await replay_run(
                recording, services, pipeline=code, config=config, recorded_functions=recorded_functions
            )

    return asyncio.run(work())
