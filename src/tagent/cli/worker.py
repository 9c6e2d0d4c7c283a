"""`tagent worker`: a living process."""

import asyncio
import logging
import signal
import sys
from contextlib import AsyncExitStack, redirect_stdout
from datetime import UTC, datetime

import click
from pydantic_core import to_json

from tagent.cli.errors import printable
from tagent.cli.run import pipeline_of
from tagent.cli.runs.options import store_option, verbose_option
from tagent.cli.stores import with_store, without_password
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline
from tagent.pipeline.stored.definition import Origin
from tagent.worker import Worker
from tagent.worker.health import health_endpoint
from tagent.worker.status import note

HELP = """Resume what was left, and start pipelines on their events and schedules.

Name the files of the pipelines whose triggers are to be carried out. Several workers may share a store.
The first SIGTERM or Ctrl-C lets running steps end, a second one stops at once.

\b
tagent worker
tagent worker orders.py reports.py:weekly --store postgresql://me@host/tagent
"""


@click.command(help=HELP)
@click.argument("files", nargs=-1, metavar="[FILE[:OBJECT]]...")
@store_option
@click.option("--concurrency", type=click.IntRange(1), default=10, show_default=True, help="The most runs at once.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running steps may go on after a stop.",
)
@click.option(
    "--health-port",
    type=click.IntRange(0, 65535),
    metavar="PORT",
    help="Answer http://127.0.0.1:PORT/health; 0 takes a free port.  [default: none]",
)
@click.option(
    "--messages-days",
    type=click.FloatRange(0),
    default=7.0,
    show_default=True,
    metavar="DAYS",
    help="How long messages are kept.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the log as JSON, one object a line.")
@verbose_option
def worker(
    files: tuple[str, ...],
    store: str | None,
    concurrency: int,
    grace: float,
    health_port: int | None,
    messages_days: float,
    as_json: bool,
) -> None:
    """Work until somebody stops it."""
    _write_log(as_json=as_json)
    config = with_store(TAgentConfig.load(), store)
    with redirect_stdout(sys.stderr):  # what files and steps print is talk
        pipelines, origins = _pipelines_of(files)

        async def work() -> None:
            living = Worker(
                pipelines,
                config,
                origins=origins,
                concurrency=concurrency,
                grace_seconds=grace,
                messages_days=messages_days,
            )
            loop = asyncio.get_running_loop()
            for each in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(each, living.stop)
            async with AsyncExitStack() as stack:
                if health_port is not None:
                    try:
                        port = await stack.enter_async_context(health_endpoint(health_port, lambda: living.status))
                    except OSError as error:
                        raise click.BadParameter(f"{error}.", param_hint="--health-port") from None
                    note("health", f"Health is told at http://127.0.0.1:{port}/health", port=port)
                note("starting", f"Starting on {without_password(config.store)}")
                await living.run()
                note("stopped", "Stopped")

        asyncio.run(work())


def _pipelines_of(files: tuple[str, ...]) -> tuple[list[Pipeline], dict[str, Origin]]:
    pipelines: list[Pipeline] = []
    origins: dict[str, Origin] = {}
    for file in files:
        pipeline, origin = pipeline_of(file)
        if not origin.file:
            raise click.BadParameter(f"{file!r} is no Python file.", param_hint="FILE")
        pipelines.append(pipeline)
        origins[pipeline.name] = origin
    return pipelines, origins


def _write_log(*, as_json: bool) -> None:
    """Let the notes of the worker, and warnings of all else, appear on stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter(_JsonLines() if as_json else _PlainLines())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("tagent.worker").setLevel(logging.INFO)


def _time_of(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class _PlainLines(logging.Formatter):
    """`2026-11-24T08:00:00.000Z Started report 1f2e... for orders.created 7`."""

    def format(self, record: logging.LogRecord) -> str:
        level = "" if record.levelno <= logging.INFO else f"{record.levelname}: "
        return printable(f"{_time_of(record)} {level}{super().format(record)}")


class _JsonLines(logging.Formatter):
    """`{"at": ..., "level": ..., "event": ..., "message": ...}` and what else is known."""

    def format(self, record: logging.LogRecord) -> str:
        facts = getattr(record, "facts", {})
        told = {
            "at": _time_of(record),
            "level": record.levelname.lower(),
            "event": getattr(record, "event", "log"),
            "message": super().format(record),
            **facts,
        }
        return to_json(told, fallback=str).decode()
