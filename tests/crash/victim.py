"""The processes that are killed. Crash points are put in from outside: `src` knows nothing of them.

`python -m crash.victim` is a process that has imported everything and forks a victim for each order: a
kill then costs what the run takes, not what the imports take.
"""

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - for the victims, which are forked
from pydantic_core import to_json
from sqlalchemy import Connection

from crash import effects
from crash.effects import points
from tagent.adapters.storage.sql import schema, sqlite
from tagent.adapters.storage.sql.driver import Cursor, DriverConnection
from tagent.adapters.storage.sql.writer import GroupWriter
from tagent.config import TAgentConfig
from tagent.exceptions import StoreError, TAgentError
from tagent.pipeline import PipelineExecutor, PipelineResult, executor, lease, persistence
from tagent.pipeline.definition import Origin
from tagent.pipeline.loading import load_pipeline
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.step_executor import AttemptOutcome, StepExecutor
from tagent.ports import Batch, NewRun, Record, RunRecord, Services, Store
from tagent.ports.records import NEWEST, RunQuery
from tagent.ports.store_errors import StoreUnavailableError
from tagent.runtime import open_services
from tagent.task_agent.attempt import Attempt

PIPELINE_FILE = Path(__file__).with_name("victim_pipeline.py")

NO_LIMIT = 1 << 30


@dataclass(frozen=True)
class Orders:
    """What a victim is to do.

    Attributes:
        folder: Where its case keeps its files.
        run_id: The run to resume; empty to start one.
        point: The crash point that is armed; empty for none.
        passing: At which passing it kills, from 1.
        lingers: Whether the other threads go on for a moment before it does.
        hold: The step in which it waits until the file `open` is there.
        lease_seconds: The lease of its claim.
        renews_often: Renew the claim every 5 ms.
        patience_seconds: How long it waits for a store that cannot be written.
        busy_seconds: How long a write waits for a locked database.
        full_after: Behind this many commits the database may not grow, until the file `room` is there; 0 for never.
        loses_reply_of: The number of the commit whose answer never arrives; 0 for none.
        starts_when: The file for which it waits, after it has made `PID.ready`; empty for none.
    """

    folder: str
    run_id: str = ""
    point: str = ""
    passing: int = 1
    lingers: bool = False
    hold: str = ""
    lease_seconds: float = 15.0
    renews_often: bool = False
    patience_seconds: float = persistence.PATIENCE_SECONDS
    busy_seconds: float = sqlite.BUSY_SECONDS
    full_after: int = 0
    loses_reply_of: int = 0
    starts_when: str = ""


class PointedStore:
    """A store with a crash point before and behind each call that writes."""

    def __init__(self, store: Store, *, loses_reply_of: int) -> None:
        self._store = store
        self._loses_reply_of = loses_reply_of
        self._commits = 0

    async def create_run(self, run: NewRun) -> RunRecord:
        with points.around("store.create_run"):
            return await self._store.create_run(run)

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        with points.around("store.claim"):
            return await self._store.claim(run_id, owner=owner, lease_seconds=lease_seconds, is_gone=is_gone)

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        with points.around("store.renew"):
            self._store.renew(run_id, epoch=epoch, lease_seconds=lease_seconds)

    async def release(self, run_id: str, *, epoch: int) -> None:
        with points.around("store.release"):
            await self._store.release(run_id, epoch=epoch)

    async def commit(self, batch: Batch) -> None:
        with points.around("store.commit"):
            await self._store.commit(batch)
        self._commits += 1
        if self._commits == self._loses_reply_of:
            raise StoreUnavailableError("The answer was lost on its way.")

    async def run(self, run_id: str) -> RunRecord:
        return await self._store.run(run_id)

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        return await self._store.runs(query)

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        return await self._store.records(run_id, after_seq=after_seq)

    async def blob(self, blob_hash: str) -> bytes:
        return await self._store.blob(blob_hash)

    async def delete(self, run_id: str) -> None:
        await self._store.delete(run_id)

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        return await self._store.wait_for_change(seen, seconds=seconds)

    async def definition(self, definition_hash: str) -> bytes:
        return await self._store.definition(definition_hash)

    async def close(self) -> None:
        await self._store.close()


class PointedCursor:
    """A cursor with a crash point behind each statement."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor

    @property
    def rowcount(self) -> int:
        return self._cursor.rowcount

    def execute(self, statement: str, parameters: Mapping[str, object] | None = None, /) -> object:
        is_begin = statement.startswith("BEGIN")
        if is_begin:
            points.passed("writer.begin.before")
        found = _noticed(lambda: self._cursor.execute(statement, parameters or {}))
        points.passed("writer.begin.after" if is_begin else "writer.statement.after")
        return found

    def executemany(self, statement: str, parameters: Sequence[Sequence[object]], /) -> object:
        found = _noticed(lambda: self._cursor.executemany(statement, parameters))
        points.passed("writer.statement.after")
        return found

    def fetchall(self) -> Sequence[Sequence[Any]]:
        return self._cursor.fetchall()

    def close(self) -> None:
        self._cursor.close()


class PointedConnection:
    """The writer's connection with a crash point around each COMMIT, and a disk that may be full."""

    def __init__(self, connection: DriverConnection, *, full_after: int) -> None:
        self._connection = connection
        self._full_after = full_after
        self._commits = 0

    def cursor(self) -> Cursor:
        if self._full_after and (effects.folder() / "room").exists():
            self._full_after = 0
            self._connection.cursor().execute(f"PRAGMA max_page_count = {NO_LIMIT}")
        return PointedCursor(self._connection.cursor())

    def commit(self) -> None:
        points.passed("writer.commit.before")
        _noticed(self._connection.commit)
        points.passed("writer.commit.after")  # on disk, and nobody knows yet
        self._commits += 1
        if self._full_after and self._commits == self._full_after:
            cursor = self._connection.cursor()
            cursor.execute("PRAGMA page_count")
            ((pages,),) = cursor.fetchall()
            cursor.execute(f"PRAGMA max_page_count = {pages}")

    def rollback(self) -> None:
        self._connection.rollback()

    def close(self) -> None:
        self._connection.close()


class PointedSteps(StepExecutor):
    """Attempts with a crash point before anything of the step runs, and one before its outcome is reported."""

    async def run_attempt(self, name: str, attempt: Attempt) -> AttemptOutcome:
        with points.around("attempt"):
            return await super().run_attempt(name, attempt)


def _noticed(work: Callable[[], object]) -> object:
    """Return what `work` returns; the file `refused` says that the database refused."""
    try:
        return work()
    except sqlite3.OperationalError:
        (effects.folder() / "refused").touch()
        raise


def put_points_in(orders: Orders) -> None:
    """Put the crash points and faults of `orders` into this process."""

    class PointedWriter(GroupWriter):
        def __init__(
            self,
            connect: Callable[[], DriverConnection],
            *,
            begin: str,
            translated: Callable[[Exception], StoreError],
        ) -> None:
            def pointed() -> DriverConnection:
                return PointedConnection(connect(), full_after=orders.full_after)

            super().__init__(pointed, begin=begin, translated=translated)

    migrate = schema._migrate

    def pointed_migrate(connection: Connection) -> None:
        with points.around("schema.migrate"):
            migrate(connection)

    for module, name, ours in (
        (sqlite, "GroupWriter", PointedWriter),
        (sqlite, "BUSY_SECONDS", orders.busy_seconds),
        (executor, "StepExecutor", PointedSteps),
        (schema, "_migrate", pointed_migrate),
        (persistence, "PATIENCE_SECONDS", orders.patience_seconds),
    ):
        assert hasattr(module, name), f"{name} has another name by now: this point would never be passed"
        setattr(module, name, ours)
    if orders.renews_often:
        lease.RENEWALS_PER_LEASE = int(orders.lease_seconds / 0.005)
    if orders.point:
        points.arm(orders.point, orders.passing, lingers=orders.lingers)


async def drive(orders: Orders) -> PipelineResult:
    """Start a run, or resume one, and return what it comes to."""
    config = TAgentConfig(store=f"sqlite:///{orders.folder}/runs.db", lease_seconds=orders.lease_seconds)
    async with open_services(config) as opened:
        services = replace(opened, store=PointedStore(opened.store, loses_reply_of=orders.loses_reply_of))
        if orders.starts_when:
            await _meet(Path(orders.folder), orders.starts_when)
        return await _begin_or_go_on(orders.run_id, services, config)


async def _meet(folder: Path, starts_when: str) -> None:
    (folder / f"{os.getpid()}.ready").touch()
    for _ in range(60_000):
        if (folder / starts_when).exists():
            return
        await asyncio.sleep(0.001)


async def _begin_or_go_on(run_id: str, services: Services, config: TAgentConfig) -> PipelineResult:
    if run_id:
        return await resume_run(run_id, services, config)
    pipeline = load_pipeline(PIPELINE_FILE, "pipeline")
    origin = Origin(str(PIPELINE_FILE), "pipeline")
    return await PipelineExecutor(pipeline, config, origin=origin, services=services).execute()


def live(orders: Orders) -> int:
    """Do what a victim does and return its exit code; its last words are in `PID.json`."""
    os.environ[effects.FOLDER_VARIABLE] = orders.folder
    os.environ[effects.HOLD_VARIABLE] = orders.hold
    put_points_in(orders)
    try:
        words = outcome_of(asyncio.run(drive(orders)))
        code = 0
    except TAgentError as error:
        words, code = {"error": error.code, "message": str(error)}, 1
    words["points"] = dict(points.counts)
    Path(orders.folder, f"{os.getpid()}.json").write_bytes(to_json(words))
    return code


def outcome_of(result: PipelineResult) -> dict[str, object]:
    """Return all of the result that does not depend on ids and clocks, as JSON values."""
    compared = {
        "status": result.status,
        "steps": {name: [meta["status"], meta["attempts"]] for name, meta in result.step_metadata.items()},
        "outputs": result.step_outputs,
        "types": {name: type(output).__name__ for name, output in result.step_outputs.items()},
        "final_output": result.final_output,
        "total_cost": result.total_cost,
        "cost_per_step": result.cost_per_step,
        "token_usage": {name: asdict(usage) for name, usage in result.token_usage.items()},
        "facts": result.learned_facts,
        "memories": result.saved_memories,
    }
    plain: dict[str, object] = json.loads(to_json(compared))
    return plain


def serve() -> None:
    """Fork a victim for each line that holds orders, and answer its id; wait for the one that a line names."""
    for line in sys.stdin:
        order = json.loads(line)
        if isinstance(order, dict):
            pid = os.fork()
            if pid == 0:
                _become_a_victim(Orders(**order))
            answer = pid
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(order, 0)[1])
        sys.stdout.write(f"{answer}\n")
        sys.stdout.flush()


def _become_a_victim(orders: Orders) -> None:
    code = 70
    try:
        log = os.open(Path(orders.folder, f"{os.getpid()}.log"), os.O_WRONLY | os.O_CREAT, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        code = live(orders)
    except BaseException:  # the victim's last words, whatever they are
        sys.excepthook(*sys.exc_info())
        raise
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
