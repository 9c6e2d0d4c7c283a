"""Runs one agent: asks its state machine where it stands, calls the model or the tools, feeds the events back."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import cast

from pydantic_core import to_json

from tagent.config import TAgentConfig
from tagent.effects import EffectBuffer
from tagent.exceptions import DataPathError, ToolError
from tagent.ports.language_model import LanguageModel, ModelReply, ModelRequest
from tagent.ports.model_errors import ModelError
from tagent.ports.services import Services, open_services
from tagent.task_agent.answers import Answer, answer_type
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.events import (
    AgentEvent,
    AgentStarted,
    Evaluated,
    Finalized,
    ModelFailed,
    Planned,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
)
from tagent.task_agent.models import AgentPhase, ModelCall, Task, TaskBasedAgentResult, TaskStatus
from tagent.task_agent.prompts import Assignment, answer_messages, plan_messages, plan_type
from tagent.task_agent.references import referenced_tasks, resolve
from tagent.task_agent.state_machine import TaskBasedStateMachine
from tagent.task_agent.tool_runner import ToolInDoubtError, run_tool
from tagent.task_agent.tools import Tool, ToolContext, tools_by_name
from tagent.threads import ThreadedCall


async def run_task_based_agent(
    goal: str,
    config: TAgentConfig | Mapping[str, object] | None = None,
    *,
    output_format: object = None,
    tools: Sequence[Callable[..., object] | Tool] | None = None,
    constraints: Sequence[str] = (),
    context: EnhancedContextManager | None = None,
    services: Services | None = None,
    attempt: Attempt | None = None,
    on_abandon: Callable[[ThreadedCall], None] | None = None,
) -> TaskBasedAgentResult[object]:
    """Return what an agent makes of `goal`.

    Without tools that is one model call. With tools the model plans, the tools run, and one more
    call answers or says what is missing; then it plans again, up to `max_planning_cycles`.

    Args:
        goal: What to reach, in any language.
        config: Settings over those of file and environment.
        output_format: What the output must be, anything that Pydantic can check; None means text.
        tools: The functions it may use; None takes those of `config`.
        constraints: Rules to keep.
        context: What it is told besides its goal.
        services: Clock, models and so on; the registered defaults when None.
        attempt: Where its events are committed, and what an interrupted try had done; None keeps no journal.
        on_abandon: Told of each blocking tool that goes on in its thread although nobody waits for it any more.

    Returns:
        The result; `goal_achieved` is False with a reason when a tool failed for good or the model
        judged the goal not reached.

    Raises:
        ModelError: If the model cannot be had, or a call of it fails for good.
        ConfigurationError: If a setting, a tool or the output format is wrong.
        ToolInDoubtError: If the interrupted try ended in a call of a tool with side effects that may have happened.
    """
    settings = TAgentConfig.of(config) if services else TAgentConfig.load().merged(TAgentConfig.of(config))
    if services is None:
        async with open_services(settings) as opened:
            return await run_task_based_agent(
                goal,
                settings,
                output_format=output_format,
                tools=tools,
                constraints=constraints,
                context=context,
                services=opened,
                attempt=attempt,
                on_abandon=on_abandon,
            )
    answer = answer_type(str if output_format is None else output_format)
    model = await services.models.model_for(settings)
    assignment = Assignment(
        goal,
        tuple(constraints),
        context or EnhancedContextManager(),
        tools_by_name(settings.tools if tools is None else tools),
        min(settings.context_tokens, model.context_tokens or settings.context_tokens),
    )
    agent = _Agent(assignment, answer, model, settings, services, attempt or Attempt(), on_abandon)
    agent.take_up()
    started_at = services.clock.now()
    await agent.work()
    return agent.result(services.clock.now() - started_at)


class _Agent:
    """One agent at work on one goal."""

    def __init__(
        self,
        assignment: Assignment,
        answer: type[Answer],
        model: LanguageModel,
        settings: TAgentConfig,
        services: Services,
        attempt: Attempt,
        on_abandon: Callable[[ThreadedCall], None] | None,
    ) -> None:
        self._attempt = attempt
        self._on_abandon = on_abandon
        self._assignment = assignment
        self._answer_type = answer
        self._model = model
        self._settings = settings
        self._services = services
        self._machine = TaskBasedStateMachine()
        self._model_error: ModelError | None = None

    def take_up(self) -> None:
        """Go to where the interrupted work stood.

        Raises:
            ToolInDoubtError: If a call that may have happened must not be made again.
        """
        for event in self._attempt.history:
            self._machine.send(event)
            if isinstance(event, TaskCompleted) and event.effects:
                self._attempt.effects.absorb(event.effects)
        for task in self._machine.state.tasks:
            tool = self._assignment.tools.get(task.tool_name)
            if task.status is TaskStatus.RUNNING and tool is not None and tool.side_effect:
                raise ToolInDoubtError(tool.name, task.description)

    async def work(self) -> None:
        """Go on until the state machine has come to an end."""
        while True:
            match self._machine.state.phase:
                case AgentPhase.INIT:
                    has_tools = bool(self._assignment.tools)
                    await self._happened(AgentStarted(has_tools, self._settings.max_planning_cycles))
                case AgentPhase.PLANNING:
                    await self._plan()
                case AgentPhase.EXECUTING:
                    await self._execute()
                case AgentPhase.EVALUATING | AgentPhase.FINALIZING:
                    await self._answer()
                case AgentPhase.COMPLETED | AgentPhase.FAILED:
                    return

    def result(self, seconds: float) -> TaskBasedAgentResult[object]:
        """Return what came of it.

        Raises:
            ModelError: If a model call failed for good.
        """
        if self._model_error is not None:
            raise self._model_error
        state = self._machine.state
        return TaskBasedAgentResult(
            goal=self._assignment.goal,
            output=state.output,
            goal_achieved=state.phase is AgentPhase.COMPLETED,
            failure=state.failure,
            planning_cycles=state.planning_cycles,
            tasks=state.tasks,
            token_usage=state.spending.usage,
            total_cost=state.spending.cost_usd,
            unpriced_calls=state.spending.unpriced_calls,
            models=state.spending.models,
            execution_time=seconds,
        )

    async def _happened(self, event: AgentEvent) -> None:
        """Commit the event first, then let the state follow."""
        if self._attempt.record:
            await self._attempt.record(event)
        self._machine.send(event)

    async def _plan(self) -> None:
        state = self._machine.state
        first = len(state.tasks)
        request = ModelRequest(
            "plan", plan_messages(self._assignment, state), plan_type(self._assignment.tools, first=first)
        )
        reply, call = await self._ask(request)
        if reply is not None:
            planned = reply.output.tasks  # type: ignore[attr-defined]  # of the type that plan_type made
            tasks = tuple(
                Task(index, task.description, task.tool_name, task.tool_args)
                for index, task in enumerate(planned, first)
            )
            await self._happened(Planned(tasks, call))

    async def _answer(self) -> None:
        messages = answer_messages(self._assignment, self._machine.state)
        reply, call = await self._ask(ModelRequest("answer", messages, self._answer_type))
        if reply is None:
            return
        answer = cast("Answer", reply.output)
        if answer.is_achieved:
            await self._happened(Finalized(answer.output, call))
        else:
            reason = answer.not_achieved_because or "The model gave no output and no reason."
            await self._happened(Evaluated(reason, answer.do_next or "", call))

    async def _ask(self, request: ModelRequest) -> tuple[ModelReply | None, ModelCall]:
        """Return the model's reply and what it took; None for a reply when the call failed for good."""
        clock = self._services.clock
        asked_at = clock.now()
        try:
            reply = await self._model.ask(request)
        except ModelError as error:
            self._model_error = error
            spent = error.spent or ModelReply(None, self._model.name, cost_usd=0.0)
            call = ModelCall(spent.model, spent.usage, spent.cost_usd, clock.now() - asked_at)
            await self._happened(ModelFailed(error.code, str(error), error.is_retryable, call))
            return None, call
        return reply, ModelCall(reply.model, reply.usage, reply.cost_usd, clock.now() - asked_at)

    async def _execute(self) -> None:
        """Run the plan's tasks, each as soon as those it refers to are settled."""
        pending = self._machine.state.pending_tasks
        settled = {task.index: asyncio.Event() for task in pending}
        slots = asyncio.Semaphore(self._settings.max_parallel_tasks)
        try:
            async with asyncio.TaskGroup() as group:
                for task in pending:
                    group.create_task(self._run_task(task, settled, slots), name=f"task:{task.index}")
        except BaseExceptionGroup as raised:  # not a tool's error, which is an event: `record` failed
            raise raised.exceptions[0] from raised.exceptions[0].__cause__

    async def _run_task(self, task: Task, settled: Mapping[int, asyncio.Event], slots: asyncio.Semaphore) -> None:
        needed = referenced_tasks(task.tool_args)
        for index in needed:
            if index in settled:
                await settled[index].wait()
        async with slots:
            await self._happened(await self._outcome(task, needed))
        settled[task.index].set()

    async def _outcome(self, task: Task, needed: frozenset[int]) -> TaskCompleted | TaskFailed:
        tasks = self._machine.state.tasks
        if failed := [index for index in sorted(needed) if tasks[index].status is not TaskStatus.COMPLETED]:
            return TaskFailed(task.index, "task.dependency_failed", f"It needs task {failed[0]}, which failed.")
        started_at = self._services.clock.now()
        effects = EffectBuffer(self._attempt.effects, may_merge=False)
        try:
            arguments = resolve(task.tool_args, {index: tasks[index].output for index in needed})
            key = self._call_key(task, arguments)
            await self._happened(TaskStarted(task.index, task.tool_name))
            output = await run_tool(
                self._assignment.tools[task.tool_name],
                cast("Mapping[str, object]", arguments),
                context=ToolContext(
                    self._assignment.goal,
                    idempotency_key=key,
                    reach=self._attempt.reach and self._attempt.reach(key, effects),
                ),
                clock=self._services.clock,
                threads=self._services.threads,
                timeout_seconds=self._settings.tool_timeout_seconds,
                on_abandon=self._on_abandon,
            )
        except (ToolError, DataPathError) as error:
            return TaskFailed(task.index, error.code, str(error))
        gathered = effects.effects or None
        if gathered is not None:
            self._attempt.effects.absorb(gathered)
        return TaskCompleted(task.index, output, self._services.clock.now() - started_at, gathered)

    def _call_key(self, task: Task, arguments: object) -> str:
        """Return the key that names this call, however often it is made."""
        if not self._attempt.idempotency_key:
            return ""
        tasks = self._machine.state.tasks[: task.index]
        occurrence = sum(t.tool_name == task.tool_name and t.tool_args == task.tool_args for t in tasks)
        digest = hashlib.sha256(to_json(arguments)).hexdigest()[:16]
        return f"{self._attempt.idempotency_key}/{task.tool_name}/{digest}/{occurrence}"
