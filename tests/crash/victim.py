"""The processes that are killed. Crash points are put in from outside: `src` knows nothing of them.

`python -m crash.victim` is a process that has imported everything and forks a victim for each order: a
kill then costs what the run takes, not what the imports take.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import alembic.command  # noqa: F401 - for the victims, which are forked
import sqlalchemy.dialects.postgresql.psycopg  # noqa: F401 - likewise
from pydantic_core import to_json

from crash import effects, whole_pipeline
from crash.effects import points
from crash.orders import PIPELINE, Orders, server_side_name
from crash.write_path import files, redis, sql
from crash.write_path.replacing import replace_all
from crash.write_path.store import PointedStore
from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline import Pipeline, PipelineExecutor, PipelineResult, RunStatus
from tagent.pipeline.answering.answering import answer_approval, open_approvals
from tagent.pipeline.attempts import AttemptOutcome
from tagent.pipeline.driving import assembly
from tagent.pipeline.driving.cancelling import cancel_run
from tagent.pipeline.graph import ExecutionGraph
from tagent.pipeline.journal import lease, patience
from tagent.pipeline.journal.loading import load_events
from tagent.pipeline.outputs import output_type
from tagent.pipeline.resuming import resume_run
from tagent.pipeline.selecting import Selection
from tagent.pipeline.state import fold
from tagent.pipeline.step_executor import StepExecutor
from tagent.pipeline.stored.definition import Origin
from tagent.pipeline.stored.loading import load_pipeline
from tagent.pipeline.work.reading import result_of_state
from tagent.ports import Services
from tagent.ports.store_errors import StoreUnavailableError
from tagent.runtime import open_services
from tagent.task_agent.attempt import Attempt
from tagent.values import UNEDITED

LOOKS = 1_000

PIPELINE_FILE = Path(__file__).with_name(PIPELINE)

TOLD = ("code", "reason", "condition", "seen", "unseen", "substituted_by", "optional", "part_count")
"""What the metadata of a step tell besides, where it applies."""


class PointedSteps(StepExecutor):
    """Attempts with a crash point before anything of the step runs, and one before its outcome is reported."""

    async def run_attempt(self, name: str, part: str, attempt: Attempt) -> AttemptOutcome:
        with points.around("attempt"):
            return await super().run_attempt(name, part, attempt)


def put_points_in(orders: Orders) -> None:
    """Put the crash points and faults of `orders` into this process."""
    for put_in in (sql.put_points_in, files.put_points_in, redis.put_points_in):
        put_in(orders)
    replace_all(
        (assembly, "StepExecutor", PointedSteps),
        (patience, "PATIENCE_SECONDS", orders.patience_seconds),
    )
    if orders.renews_often:
        lease.RENEWALS_PER_LEASE = int(orders.lease_seconds / 0.005)
    if orders.point:
        points.arm(orders.point, orders.passing, manner=orders.manner)


async def drive(orders: Orders) -> PipelineResult:
    """Do the deed and return what the run comes to."""
    config = TAgentConfig(store=orders.store, lease_seconds=orders.lease_seconds)
    async with open_services(config) as opened:
        services = replace(opened, store=PointedStore(opened.store, loses_reply_of=orders.loses_reply_of))
        if orders.starts_when:
            await _meet(Path(orders.folder), orders.starts_when)
        return await _done(orders, services, config)


async def _meet(folder: Path, starts_when: str) -> None:
    (folder / f"{os.getpid()}.ready").touch()
    for _ in range(60_000):
        if (folder / starts_when).exists():
            return
        await asyncio.sleep(0.001)


async def _done(orders: Orders, services: Services, config: TAgentConfig) -> PipelineResult:
    file = PIPELINE_FILE.with_name(orders.pipeline)
    if orders.deed == "drive":
        result = await _driven(orders, services, config, file)
        while result.status is RunStatus.WAITING:
            await _approve(result.run_id, services)
            result = await resume_run(result.run_id, services, config)
        return result
    pipeline = load_pipeline(file, "pipeline")
    if orders.deed == "cancel":
        run_id = (await services.store.runs())[0].run_id  # a case has one, which may have begun since the orders
        await cancel_run(run_id, services)
        return await _read(run_id, pipeline, services)
    return await _read(orders.run_id, pipeline, services)


async def _driven(orders: Orders, services: Services, config: TAgentConfig, file: Path) -> PipelineResult:
    if orders.run_id:
        return await resume_run(orders.run_id, services, config)
    pipeline, origin = load_pipeline(file, "pipeline"), Origin(str(file), "pipeline")
    given = whole_pipeline.GIVEN if file.stem == whole_pipeline.NAME else None
    part = Selection.of(outputs=given)
    return await PipelineExecutor(pipeline, config, origin=origin, selection=part, services=services).execute()


async def _approve(run_id: str, services: Services) -> None:
    """Say yes to all that is asked in a run, as somebody who comes by."""
    for it in await open_approvals(services, run_id):
        points.passed("approval")
        output = whole_pipeline.EDITED.get(it.step, UNEDITED)
        await answer_approval(run_id, it.step, services, is_approved=True, actor="ana", output=output)


async def _read(run_id: str, pipeline: Pipeline, services: Services) -> PipelineResult:
    """Return what the run has come to, as the next process finds it."""
    state = fold(ExecutionGraph.build(pipeline), await load_events(services.store, run_id))
    types = {step.name: output_type(step) for step in pipeline.steps}
    return await result_of_state(pipeline, state, types=types, services=services)


def live(orders: Orders) -> int:
    """Do what a victim does and return its exit code; its last words are in `PID.json`."""
    os.environ[effects.FOLDER_VARIABLE] = orders.folder
    os.environ[effects.HOLD_VARIABLE] = orders.hold
    os.environ["PGAPPNAME"] = server_side_name(os.getpid())
    put_points_in(orders)
    try:
        words = outcome_of(asyncio.run(drive(orders)))
        code = 0
    except TAgentError as error:
        words, code = {"error": error.code, "message": str(error)}, 1
    words["points"] = dict(points.counts)
    Path(orders.folder, f"{os.getpid()}.json").write_bytes(to_json(words))
    return code


def outputs_of(result: PipelineResult) -> dict[str, object]:
    """Return all outputs. Large ones are in the store, which may be away when the run has ended."""
    for _ in range(LOOKS):
        try:
            return dict(result.step_outputs)
        except StoreUnavailableError:
            time.sleep(0.05)
    raise AssertionError("the store stays away")


def outcome_of(result: PipelineResult) -> dict[str, object]:
    """Return all of the result that does not depend on ids and clocks, as JSON values."""
    outputs = outputs_of(result)
    compared = {
        "status": result.status,
        "steps": {name: [meta["status"], meta["attempts"]] for name, meta in result.step_metadata.items()},
        "code": result.code,
        "why": {name: why(meta) for name, meta in result.step_metadata.items()},
        "outputs": outputs,
        "types": {name: type(output).__name__ for name, output in outputs.items()},
        "final_output": result.final_output,
        "total_cost": result.total_cost,
        "cost_per_step": result.cost_per_step,
        "token_usage": {name: asdict(usage) for name, usage in result.token_usage.items()},
        "facts": result.learned_facts,
        "memories": result.saved_memories,
    }
    plain: dict[str, object] = json.loads(to_json(compared))
    return plain


def why(meta: Mapping[str, Any]) -> dict[str, object]:
    """Return why a step came to what it came to, and how each of its parts ended."""
    parts: Mapping[str, Mapping[str, object]] = meta.get("parts", {})
    ended = {part: [it["status"], it["attempts"], it["code"], it["reason"]] for part, it in parts.items()}
    return {name: meta[name] for name in TOLD if name in meta} | {"parts": ended}


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
