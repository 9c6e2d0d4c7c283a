"""Drives a run to its end while people watch; a stop leaves it resumable and says how to go on."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Iterable
from contextlib import redirect_stdout
from typing import NoReturn

import click
from pydantic_core import to_json

from tagent.adapters.clock import SystemClock
from tagent.cli import errors
from tagent.cli.commands import RunCommands
from tagent.cli.lines import open_view
from tagent.cli.runs.options import with_its_store
from tagent.cli.stores import MEMORY_STORE
from tagent.cli.view import Picture
from tagent.cli.waiting import asked_and_how_to_answer
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineResult, RunStatus
from tagent.pipeline.answering.requests import open_requests
from tagent.pipeline.events import RunEvent
from tagent.pipeline.state import PipelineState
from tagent.pipeline.stored.definition import Definition
from tagent.ports import Services
from tagent.ports.store_errors import UnknownRunError
from tagent.runtime import open_services
from tagent.task_agent.budgets import BudgetExceededError

_EXIT_CODES = {
    RunStatus.COMPLETED: errors.DONE,
    RunStatus.PARTIAL: errors.PARTIAL,
    RunStatus.WAITING: errors.WAITING,
}
_BUDGET_CODES = frozenset({BudgetExceededError.code, "run.deadline"})


def drive(
    pipeline: Pipeline,
    config: TAgentConfig,
    work: Callable[[Services], Awaitable[PipelineResult]],
    *,
    as_json: bool,
    history: Iterable[RunEvent] = (),
    definition: Definition | None = None,
    file: str = "",
) -> int:
    """Do `work`, showing the run of `pipeline` on stderr and its result on stdout; return the exit code.

    Args:
        pipeline: What is shown.
        config: Names the store.
        work: Runs or resumes it with the services that it is given.
        history: What had happened in the run before, for the view.
        definition: What is stored of the pipeline; None if the run knows from where its code comes.
        file: The file that was named for it, should the run not know; empty for none.
        as_json: Whether stdout gets the whole result as one JSON object.
    """
    if config.store == MEMORY_STORE and _asks(pipeline):
        message = "Nobody can answer the approvals of a run in memory from elsewhere: name another store with --store."
        click.echo(message, err=True)
    picture = Picture(pipeline, now=SystemClock().now)
    for event in history:
        picture.emit(event)
    try:
        with redirect_stdout(sys.stderr):  # what steps print is talk
            result = asyncio.run(_watched(picture, config, work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        _say_how_to_go_on(RunCommands.of(picture.state.run_id, config.store, definition, file=file))
    if as_json:
        click.echo(to_json(result, indent=2, fallback=str).decode())
    elif (output := result.final_output) is not None:  # an empty line would be an output, too
        click.echo(as_text(output))
    if result.status is RunStatus.WAITING:
        commands = RunCommands.of(result.run_id, config.store, definition, file=file)
        _say_what_it_waits_for(result, picture.state, commands)
    elif result.status is not RunStatus.COMPLETED:
        click.echo(errors.printable(result.explain()), err=True)
    return exit_code_of(result)


def _asks(pipeline: Pipeline) -> bool:
    """Return whether a step of the pipeline, or of one inside, may wait for somebody's approval."""
    return any(step.approval or (step.pipeline is not None and _asks(step.pipeline)) for step in pipeline.steps)


def exit_code_of(result: PipelineResult) -> int:
    """Return the exit code of a run that came to this."""
    if result.status is RunStatus.FAILED:
        codes = {result.code, *(told.get("code") for told in result.step_metadata.values())}
        return errors.OVER_BUDGET if codes & _BUDGET_CODES else errors.FAILED
    return _EXIT_CODES.get(result.status, errors.FAILED)


async def _watched(
    picture: Picture, config: TAgentConfig, work: Callable[[Services], Awaitable[PipelineResult]]
) -> PipelineResult:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - inside a coroutine there is one
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with open_view(picture) as view:
        try:
            async with open_services(config, sinks=(view,)) as services:
                return await work(services)
        except UnknownRunError as error:  # the one that the outputs were to be taken from
            raise with_its_store(error, config.store) from error


def _say_what_it_waits_for(result: PipelineResult, state: PipelineState, commands: RunCommands) -> None:
    click.echo(f"The run waits [{result.code}]: {errors.printable(result.reason)}", err=True)
    if commands.store != MEMORY_STORE:
        more = " --max-cost USD" if result.code in _BUDGET_CODES else ""
        for line in asked_and_how_to_answer(open_requests(state), commands):
            click.echo(line, err=True)
        click.echo(f"Go on with it: {commands.resume}{more}{commands.alternative}", err=True)


def _say_how_to_go_on(commands: RunCommands) -> NoReturn:
    if commands.run_id and commands.store != MEMORY_STORE:
        click.echo(f"Go on with it: {commands.resume}{commands.alternative}", err=True)
    raise KeyboardInterrupt


def as_text(output: object) -> str:
    """Return an output for people and pipes: text as it is, nothing for None, all else as JSON."""
    if output is None:
        return ""
    return output if isinstance(output, str) else to_json(output, indent=2, fallback=str).decode()
