"""The front door of approvals: what people are asked, and their answers. Each sync function wraps its async twin."""

from typing import TYPE_CHECKING, Unpack

from tagent.blocking import run_to_end
from tagent.calls import CallOptions, Config, settings_of
from tagent.exceptions import ConfigurationError
from tagent.ports.services import open_services
from tagent.values import UNEDITED

if TYPE_CHECKING:
    from tagent.pipeline.answering.answering import AnsweredApproval
    from tagent.pipeline.answering.documents import OpenApproval
    from tagent.pipeline.models import Pipeline


async def aapprovals(
    run_id: str | None = None, config: Config = None, **options: Unpack[CallOptions]
) -> "tuple[OpenApproval, ...]":
    """Return what somebody is asked and has not answered, what has waited longest first.

    Args:
        run_id: Only of this run; None for all.
        config: Settings over those of file and environment; `store` says where the runs are. What is asked by runs in
            memory is known only in the process that drives them.
        options: Settings of this call, over all others.

    Raises:
        ConfigurationError: If `run_id` is no text, or a setting is wrong.
        UnknownRunError: If no run has this id; the nearest one is named.
        StoreError: If the store fails.

    Example:
        >>> import asyncio
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import arun_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("refunds").step("refund", run=lambda: "paid", approval=True)
        >>> async def asked(store: dict[str, object]) -> list[str]:
        ...     result = await arun_pipeline(pipeline, store)
        ...     return [it.step for it in await aapprovals(result.run_id, store)]
        >>> with TemporaryDirectory() as folder:
        ...     asyncio.run(asked({"store": f"file:///{folder}"}))
        ['refund']
    """
    from tagent.pipeline.answering.answering import open_approvals

    given: object = run_id
    if given is not None and not isinstance(given, str):
        told = f"What approvals are asked for first is the id of a run, which is a text, and no {type(given).__name__}."
        raise ConfigurationError(told, hint="Give settings by name: approvals(config=...), or approvals(store=...).")
    async with open_services(settings_of(config, options)) as services:
        return await open_approvals(services, run_id)


def approvals(
    run_id: str | None = None, config: Config = None, **options: Unpack[CallOptions]
) -> "tuple[OpenApproval, ...]":
    """Do what `aapprovals` does and wait for it; also where an event loop is already running.

    The arguments are the same: `run_id` for those of one run, `config`, and settings by name, like `store`.

    Raises:
        TAgentError: As for `aapprovals`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import run_pipeline
        >>> from tagent.pipeline import Approval, Pipeline
        >>> ask = Approval(question="Refund 40 EUR?")
        >>> with TemporaryDirectory() as folder:
        ...     store = {"store": f"file:///{folder}"}
        ...     waiting = run_pipeline(Pipeline("refunds").step("refund", run=lambda: "paid", approval=ask), store)
        ...     [(it.step, it.question) for it in approvals(config=store)]
        [('refund', 'Refund 40 EUR?')]
    """
    return run_to_end(aapprovals(run_id, config, **options))


async def aapprove(
    run_id: str,
    step: str,
    config: Config = None,
    *,
    comment: str = "",
    actor: str = "",
    output: object = UNEDITED,
    pipeline: "Pipeline | None" = None,
    **options: Unpack[CallOptions],
) -> "AnsweredApproval":
    """Say yes to what a step waits for, and return who goes on with the run; when this returns, that is durable.

    Nothing is run here: the process that drives the run goes on with it, or a worker; else `resume` it.

    Args:
        run_id: The run.
        step: The step; one inside another by its path, `outer/inner`, in an item or a round `outer/2/inner`.
        config: Settings over those of file and environment; `store` says where the run is.
        comment: Why, for people; it stays with the run.
        actor: Who says so; empty for the user of this process.
        output: What counts instead of what the step gave, if it is asked about its output.
        pipeline: The code, to check `output`; None loads it from the file that the run remembers.
        options: Settings of this call, over all others.

    Raises:
        UnknownRunError: If no run has this id; the nearest one is named.
        ApprovalNotOpenError: If nobody is asked about this step; it says what is asked.
        ApprovalAnsweredError: If somebody was faster, or the time was over; it says who and when.
        PayloadError: If what is said cannot be kept, or is too large; nothing is written.
        ApprovalOutputError: If there is no output to edit.
        StepOutputError: If `output` does not fit the type of the step; nothing is written.
        NoPipelineError: If `output` is given, the pipeline was built in code, and no `pipeline` is given.
        StoreError: If the store fails.

    Example:
        >>> import asyncio
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import aresume, arun_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("letters").step("draft", run=lambda: "Dear Sir", approval="output")
        >>> async def edited(store: dict[str, object]) -> object:
        ...     waiting = await arun_pipeline(pipeline, store)
        ...     await aapprove(waiting.run_id, "draft", store, output="Dear Madam", pipeline=pipeline)
        ...     return (await aresume(waiting.run_id, pipeline, store)).final_output
        >>> with TemporaryDirectory() as folder:
        ...     asyncio.run(edited({"store": f"file:///{folder}"}))
        'Dear Madam'
    """
    from tagent.pipeline.answering.answering import answer_approval

    async with open_services(settings_of(config, options)) as services:
        return await answer_approval(
            run_id, step, services, is_approved=True, comment=comment, actor=actor, output=output, pipeline=pipeline
        )


def approve(
    run_id: str,
    step: str,
    config: Config = None,
    *,
    comment: str = "",
    actor: str = "",
    output: object = UNEDITED,
    pipeline: "Pipeline | None" = None,
    **options: Unpack[CallOptions],
) -> "AnsweredApproval":
    """Do what `aapprove` does and wait for it; also where an event loop is already running.

    The arguments are the same: `config`, `comment`, `actor`, `output` instead of what the step gave, `pipeline` to
    check it, and settings by name, like `store`.

    Raises:
        TAgentError: As for `aapprove`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import resume, run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("refunds").step("refund", run=lambda: "paid", approval=True)
        >>> with TemporaryDirectory() as folder:
        ...     store = {"store": f"file:///{folder}"}
        ...     waiting = run_pipeline(pipeline, store)
        ...     answered = approve(waiting.run_id, "refund", store, comment="He is right.")
        ...     waiting.status.value, answered.goes_on.by, resume(waiting.run_id, pipeline, store).final_output
        ('waiting', 'nobody', 'paid')
    """
    return run_to_end(
        aapprove(run_id, step, config, comment=comment, actor=actor, output=output, pipeline=pipeline, **options)
    )


async def areject(
    run_id: str, step: str, config: Config = None, *, comment: str = "", actor: str = "", **options: Unpack[CallOptions]
) -> "AnsweredApproval":
    """Say no to what a step waits for, and return who goes on with the run; when this returns, that is durable.

    The step then fails with the code `approval.rejected`, and what follows from that is as for any failure.

    Args:
        run_id: The run.
        step: The step; one inside another by its path, `outer/inner`, in an item or a round `outer/2/inner`.
        config: Settings over those of file and environment; `store` says where the run is.
        comment: Why, for people; it stays with the run.
        actor: Who says so; empty for the user of this process.
        options: Settings of this call, over all others.

    Raises:
        UnknownRunError: If no run has this id; the nearest one is named.
        ApprovalNotOpenError: If nobody is asked about this step; it says what is asked.
        ApprovalAnsweredError: If somebody was faster, or the time was over; it says who and when.
        PayloadError: If what is said cannot be kept, or is too large; nothing is written.
        StoreError: If the store fails.

    Example:
        >>> import asyncio
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import aresume, arun_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("refunds").step("refund", run=lambda: "paid", approval=True)
        >>> async def refused(store: dict[str, object]) -> object:
        ...     waiting = await arun_pipeline(pipeline, store)
        ...     await areject(waiting.run_id, "refund", store, comment="Too late.")
        ...     return (await aresume(waiting.run_id, pipeline, store)).step_metadata["refund"]["code"]
        >>> with TemporaryDirectory() as folder:
        ...     asyncio.run(refused({"store": f"file:///{folder}"}))
        'approval.rejected'
    """
    from tagent.pipeline.answering.answering import answer_approval

    async with open_services(settings_of(config, options)) as services:
        return await answer_approval(run_id, step, services, is_approved=False, comment=comment, actor=actor)


def reject(
    run_id: str, step: str, config: Config = None, *, comment: str = "", actor: str = "", **options: Unpack[CallOptions]
) -> "AnsweredApproval":
    """Do what `areject` does and wait for it; also where an event loop is already running.

    The arguments are the same: `config`, `comment`, `actor`, and settings by name, like `store`.

    Raises:
        TAgentError: As for `areject`.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from tagent import resume, run_pipeline
        >>> from tagent.pipeline import Pipeline
        >>> pipeline = Pipeline("refunds").step("refund", run=lambda: "paid", approval=True)
        >>> with TemporaryDirectory() as folder:
        ...     store = {"store": f"file:///{folder}"}
        ...     waiting = run_pipeline(pipeline, store)
        ...     answered = reject(waiting.run_id, "refund", store)
        ...     resume(waiting.run_id, pipeline, store).status.value
        'failed'
    """
    return run_to_end(areject(run_id, step, config, comment=comment, actor=actor, **options))
