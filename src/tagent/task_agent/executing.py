"""Carries a plan out: each task as soon as those it refers to are settled, and again while its tool allows it."""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import cast

from pydantic_core import to_json

from tagent.bridge import Bridge
from tagent.config import TAgentConfig
from tagent.effects import EffectBuffer
from tagent.exceptions import DataPathError, ToolError, ungrouped
from tagent.ports.services import Services
from tagent.retries import backoff_seconds
from tagent.secrets import scrubbed
from tagent.task_agent.asking import Asker
from tagent.task_agent.budgets import BudgetExceededError, BudgetPausedError
from tagent.task_agent.events import TaskCompleted, TaskFailed, TaskStarted, cut_off_calls
from tagent.task_agent.models import Task, TaskStatus
from tagent.task_agent.progress import Progress
from tagent.task_agent.prompts import Assignment
from tagent.task_agent.references import referenced_tasks, resolve
from tagent.task_agent.tools.runner import ToolInDoubtError, run_tool
from tagent.task_agent.tools.tool import ToolContext
from tagent.threads import ThreadedCall


class PlanExecutor:
    """Runs the tasks of one agent's plans."""

    def __init__(
        self,
        assignment: Assignment,
        settings: TAgentConfig,
        services: Services,
        progress: Progress,
        asker: Asker,
        on_abandon: Callable[[ThreadedCall], None] | None,
    ) -> None:
        self._assignment = assignment
        self._settings = settings
        self._services = services
        self._progress = progress
        self._asker = asker
        self._on_abandon = on_abandon
        self._abandoned: dict[int, ThreadedCall] = {}
        self._made = Counter(_without_occurrence(task.call_key) for task in progress.state.tasks)

    def require_no_doubt(self) -> None:
        """Make sure that no call was cut off that may have happened and must not be made twice.

        Raises:
            ToolInDoubtError: If one was.
        """
        attempt = self._progress.attempt
        begun = {it.index for it in cut_off_calls(attempt.history[attempt.cleared :])}
        running = [task for task in self._progress.state.tasks if task.status is TaskStatus.RUNNING]
        calls = [(it.tool_name, "in an earlier try") for it in attempt.in_doubt]
        calls += [(task.tool_name, task.description) for task in running if task.index in begun]
        if doubtful := [call for call in calls if not self._may_repeat(call[0])]:
            raise ToolInDoubtError(doubtful)

    def _may_repeat(self, tool_name: str) -> bool:
        tool = self._assignment.tools.get(tool_name)
        return tool is not None and (tool.idempotent or not tool.side_effect)

    async def run_plan(self) -> None:
        """Return when every task of the plan is settled, or a tool has asked for more than the budget allows."""
        pending = self._progress.state.pending_tasks
        settled = {task.index: asyncio.Event() for task in pending}
        slots = asyncio.Semaphore(self._settings.max_parallel_tasks)
        try:
            with ungrouped():  # of a tool no error is left, as that is an event: else `record` has failed
                async with asyncio.TaskGroup() as group:
                    for task in pending:
                        group.create_task(self._run_task(task, settled, slots), name=f"task:{task.index}")
        except BudgetExceededError as error:
            self._progress.catch_up()
            await self._progress.happened(replace(error.event, cut_off=self._asker.calls_cut_off))

    async def _run_task(self, task: Task, settled: Mapping[int, asyncio.Event], slots: asyncio.Semaphore) -> None:
        needed = referenced_tasks(task.tool_args)
        for index in needed:
            if index in settled:
                await settled[index].wait()
        while not (now := self._progress.state.tasks[task.index]).is_settled:
            if now.retry_at is not None:
                await self._services.clock.sleep(max(0.0, now.retry_at - self._services.clock.now()))
            async with slots:
                await self._progress.happened(await self._outcome(now, needed))
        settled[task.index].set()

    async def _outcome(self, task: Task, needed: frozenset[int]) -> TaskCompleted | TaskFailed:
        state = self._progress.state
        if failed := [index for index in sorted(needed) if state.tasks[index].status is not TaskStatus.COMPLETED]:
            return TaskFailed(task.index, "task.dependency_failed", f"It needs task {failed[0]}, which failed.")
        tool = self._assignment.tools.get(task.tool_name)
        if tool is None:  # it was planned before a crash, and today's agent does not have it
            return TaskFailed(task.index, "tool.unknown", f"There is no tool {task.tool_name!r} any more.")
        attempt = self._progress.attempt
        effects = EffectBuffer(attempt.effects, may_merge=False)
        started_at = self._services.clock.now()
        try:
            arguments = resolve(task.tool_args, {index: state.tasks[index].output for index in needed})
            key = self._call_key(task, arguments)
            await self._progress.happened(TaskStarted(task.index, task.tool_name, key))
            result = await run_tool(
                tool,
                cast("Mapping[str, object]", arguments),
                context=ToolContext(
                    self._assignment.goal,
                    idempotency_key=key,
                    reach=attempt.reach and attempt.reach(key, effects),
                    state=MappingProxyType(dict(state.kept)),
                    attempt=task.failures + 1,
                    asker=partial(self._asker.ask_for_tool, task.index),
                    bridge=Bridge(asyncio.get_running_loop()),
                ),
                clock=self._services.clock,
                threads=self._services.threads,
                timeout_seconds=self._settings.tool_timeout_seconds,
                on_abandon=partial(self._abandon, task.index),
            )
        except (ToolError, DataPathError) as error:
            if isinstance(error.__cause__, BudgetExceededError | BudgetPausedError):
                raise error.__cause__ from None
            await self._asker.settle(task.index)
            return TaskFailed(task.index, error.code, scrubbed(str(error)), self._retry_at(task, error))
        gathered = effects.effects or None
        if gathered is not None:
            attempt.effects.absorb(gathered)
        seconds = self._services.clock.now() - started_at
        return TaskCompleted(task.index, result.output, seconds, gathered, result.key)

    def _retry_at(self, task: Task, error: ToolError | DataPathError) -> float | None:
        """Return when the tool is called once more; None if it is not.

        A call that goes on in its thread is not joined by another one, unless twice does no harm.
        """
        tool = self._assignment.tools[task.tool_name]
        failures = task.failures + 1
        if not isinstance(error, ToolError) or not tool.may_retry(error, failures):
            return None
        abandoned = self._abandoned.get(task.index)
        if abandoned is not None and not abandoned.has_ended and not tool.idempotent:
            return None
        wait = backoff_seconds(tool.retry_policy, failures, jitter=self._services.random())
        return self._services.clock.now() + wait

    def _abandon(self, index: int, call: ThreadedCall) -> None:
        self._abandoned[index] = call
        if self._on_abandon:
            self._on_abandon(call)

    def _call_key(self, task: Task, arguments: object) -> str:
        """Return the key that names this call, however often it is made.

        Of several calls with the same arguments each has a number of its own, in the order in which they begin.
        """
        if task.call_key:
            return task.call_key
        digest = hashlib.sha256(to_json(arguments)).hexdigest()[:16]
        call = f"{self._progress.attempt.idempotency_key}/{task.tool_name}/{digest}"
        self._made[call] += 1
        return f"{call}/{self._made[call] - 1}"


def _without_occurrence(call_key: str) -> str:
    return call_key.rpartition("/")[0]
