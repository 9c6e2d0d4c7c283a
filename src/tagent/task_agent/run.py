"""Runs one agent: asks its state machine where it stands, calls the model or the tools, feeds the events back."""

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import cast

from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.ports.clock import Clock
from tagent.ports.language_model import ModelRequest, Purpose
from tagent.ports.model_errors import ModelOutputError
from tagent.ports.services import Services, open_services
from tagent.secrets import register_secret
from tagent.task_agent.answers import Answer, Evaluation, answer_type
from tagent.task_agent.asking import Answered, Asker, NotAnswered
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.budgets import BudgetExceededError
from tagent.task_agent.context import EnhancedContextManager
from tagent.task_agent.events import (
    AgentStarted,
    BudgetExceeded,
    Evaluated,
    Finalized,
    ModelFailed,
    Planned,
    PlanRejected,
)
from tagent.task_agent.executing import PlanExecutor
from tagent.task_agent.models import AgentPhase, Task
from tagent.task_agent.plans import Plan, PlanRules, plan_type
from tagent.task_agent.progress import Progress
from tagent.task_agent.prompts import Assignment, answer_messages, evaluation_messages, plan_messages
from tagent.task_agent.results import IterationsExceededError, TaskBasedAgentResult, result_of
from tagent.task_agent.retrieval.instructions_rag import InstructionsRAG
from tagent.task_agent.retrieval.tool_rag import ToolRAG
from tagent.task_agent.state_machine import TOO_MANY_ITERATIONS
from tagent.task_agent.tools.servers import ToolSource, opened_tools
from tagent.task_agent.tools.tool import Tool
from tagent.threads import ThreadedCall

PLAN_REASKS = 1
"""A plan that cannot be carried out is asked for once more; then a new plan is, with what was wrong."""

INSTRUCTIONS_SHARE = 4
"""Instructions take at most this part of the tokens that a prompt may carry."""


async def run_task_based_agent(
    goal: str,
    config: TAgentConfig | Mapping[str, object] | None = None,
    *,
    output_format: object = None,
    tools: Sequence[ToolSource] | None = None,
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
        tools: The functions and servers of tools it may use; None takes those of `config`.
        constraints: Rules to keep.
        context: What it is told besides its goal.
        services: Clock, models and so on; the registered defaults when None.
        attempt: Where its events are committed, and what an interrupted try had done; None keeps no journal.
        on_abandon: Told of each blocking tool that goes on in its thread although nobody waits for it any more.

    Returns:
        The result; `goal_achieved` is False with a reason when a tool failed for good or the model
        judged the goal not reached.

    Raises:
        ModelError: If a model cannot be had, or a call of it fails for good.
        BudgetExceededError: If a limit leaves no room for the next model call; it holds the work done.
        IterationsExceededError: If it took too many rounds, with `crash_if_over_iterations`.
        ConfigurationError: If a setting, a tool or the output format is wrong.
        ToolsetUnavailableError: If a server of tools cannot be reached.
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
    if settings.api_key:
        register_secret(settings.api_key.get_secret_value())
    if not is_text(goal):
        raise ConfigurationError("The goal holds characters that are no Unicode text.")
    answer = answer_type(str if output_format is None else output_format)
    attempt = attempt or Attempt()
    if not attempt.idempotency_key:  # outside a pipeline: then the keys of its tools are of this work alone
        attempt = replace(attempt, idempotency_key=services.new_id())
    began_at = attempt.began_at or services.clock.now()
    progress = Progress(attempt)
    progress.take_up()
    asker = Asker(settings, services, progress, began_at=began_at)
    started_at = services.clock.now()

    async def work() -> None:
        found = await opened_tools(settings.tools if tools is None else tools, services)
        told = context or EnhancedContextManager()
        assignment = await _assigned(goal, found, settings, asker, constraints=tuple(constraints), context=told)
        executor = PlanExecutor(assignment, settings, services, progress, asker, on_abandon)
        executor.require_no_doubt()
        await _Agent(assignment, answer, settings, progress, asker, executor).work()

    try:
        await _until_deadline(work(), settings.deadline_seconds, began_at, asker, progress, services.clock)
    finally:
        progress.is_closed = True
    return _result(goal, settings, progress, seconds=services.clock.now() - started_at)


async def _until_deadline(
    work: Coroutine[object, object, None],
    seconds: float | None,
    began_at: float,
    asker: Asker,
    progress: Progress,
    clock: Clock,
) -> None:
    """Do the work; end it when its `seconds` are over, with that on record."""
    left = None if seconds is None else max(0.0, began_at + seconds - clock.now())
    try:
        async with clock.timeout(left) as limit:
            await work
    except TimeoutError:
        if not limit.expired():
            raise
        progress.catch_up()
        if not progress.state.is_over:
            spent = clock.now() - began_at
            await progress.happened(BudgetExceeded("deadline_seconds", seconds or 0.0, spent, asker.calls_cut_off))


def _result(goal: str, settings: TAgentConfig, progress: Progress, *, seconds: float) -> TaskBasedAgentResult[object]:
    """Return what came of it.

    Raises:
        ModelError: If a model call failed for good.
        BudgetExceededError: If there was no budget left for the next one.
        IterationsExceededError: If it took too many rounds and is to raise then.
    """
    state = progress.state
    result = result_of(goal, state, seconds=seconds, trace=progress.trace)
    if progress.error is not None:
        progress.error.result = result
        raise progress.error
    last = progress.trace[-1]
    if isinstance(last, BudgetExceeded):
        raise BudgetExceededError(last, state.spending, result=result)
    is_too_long = state.failure is not None and state.failure.code == TOO_MANY_ITERATIONS
    if is_too_long and settings.crash_if_over_iterations:
        raise IterationsExceededError(result)
    return result


async def _assigned(
    goal: str,
    tools: Mapping[str, Tool],
    settings: TAgentConfig,
    asker: Asker,
    *,
    constraints: tuple[str, ...],
    context: EnhancedContextManager,
) -> Assignment:
    """Return the goal with the tools and instructions that fit it, within what its models can be told."""
    purposes: list[Purpose] = ["answer"]
    if tools:
        purposes += ["plan", "evaluate"] if settings.separate_evaluation else ["plan"]
    told = [(await asker.model_for(purpose)).context_tokens for purpose in purposes]
    most_tokens = min([settings.context_tokens, *filter(None, told)])
    selected = await ToolRAG(tools, limit=settings.max_tools, embedder=settings.embedder).select(goal)
    instructions = InstructionsRAG(
        settings.instructions, limit_tokens=most_tokens // INSTRUCTIONS_SHARE, embedder=settings.embedder
    )
    described = tuple(tool.name for tool in selected.tools)
    return Assignment(
        goal,
        constraints,
        context,
        tools,
        most_tokens,
        described,
        selected.catalogue,
        await instructions.select(goal),
    )


def is_text(text: str) -> bool:
    """Return whether a text can be written anywhere: it has no half of a surrogate pair alone."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _Agent:
    """One agent at work on one goal."""

    def __init__(
        self,
        assignment: Assignment,
        answer: type[Answer],
        settings: TAgentConfig,
        progress: Progress,
        asker: Asker,
        executor: PlanExecutor,
    ) -> None:
        self._assignment = assignment
        self._answer_type = answer
        self._settings = settings
        self._progress = progress
        self._asker = asker
        self._executor = executor

    async def work(self) -> None:
        """Go on until the state machine has come to an end."""
        while True:
            match self._progress.state.phase:
                case AgentPhase.INIT:
                    await self._start()
                case AgentPhase.EXECUTING:
                    await self._executor.run_plan()
                case AgentPhase.COMPLETED | AgentPhase.FAILED:
                    return
                case AgentPhase.PLANNING:
                    await self._within_budget("plan", self._plan)
                case AgentPhase.EVALUATING if self._progress.state.separate_evaluation:
                    await self._within_budget("evaluate", self._evaluate)
                case AgentPhase.EVALUATING | AgentPhase.FINALIZING:
                    await self._within_budget("answer", self._answer)

    async def _within_budget(self, purpose: Purpose, ask: Callable[[], Awaitable[None]]) -> None:
        if (limit := await self._asker.limit(purpose)) is not None:
            await self._progress.happened(limit)
        else:
            await ask()

    async def _start(self) -> None:
        settings = self._settings
        await self._progress.happened(
            AgentStarted(
                bool(self._assignment.tools),
                settings.max_planning_cycles,
                settings.max_iterations,
                settings.separate_evaluation,
            )
        )

    async def _plan(self) -> None:
        state = self._progress.state
        rules = PlanRules(self._assignment.tools, state.tasks, frozenset(self._assignment.catalogue))
        messages = plan_messages(self._assignment, state)
        form = plan_type(self._assignment.names)
        asked = await self._asker.ask(ModelRequest("plan", messages, form, max_reasks=PLAN_REASKS, check=rules.check))
        if isinstance(asked, Answered):
            tasks = tuple(
                Task(index, task.description, task.tool_name, task.tool_args)
                for index, task in enumerate(cast("Plan", asked.reply.output).tasks, len(state.tasks))
            )
            await self._progress.happened(Planned(tasks, asked.call))
        elif isinstance(asked.error, ModelOutputError):
            await self._progress.happened(PlanRejected(asked.error.problems or asked.error.message, asked.call))
        else:
            await self._give_up(asked)

    async def _evaluate(self) -> None:
        messages = evaluation_messages(self._assignment, self._progress.state)
        asked = await self._asker.ask(ModelRequest("evaluate", messages, Evaluation))
        if isinstance(asked, NotAnswered):
            return await self._give_up(asked)
        judged = cast("Evaluation", asked.reply.output)
        event = Evaluated(judged.reason, judged.do_next or "", asked.call, is_achieved=judged.achieved)
        return await self._progress.happened(event)

    async def _answer(self) -> None:
        messages = answer_messages(self._assignment, self._progress.state)
        streams = self._settings.stream and self._settings.redact is None  # beginnings of a text cannot be redacted
        request = ModelRequest("answer", messages, self._answer_type, streams=streams)
        asked = await self._asker.ask(request)
        if isinstance(asked, NotAnswered):
            return await self._give_up(asked)
        answer = cast("Answer", asked.reply.output)
        if answer.is_achieved:
            return await self._progress.happened(Finalized(answer.output, asked.call))
        reason = answer.not_achieved_because or "The model gave no output and no reason."
        return await self._progress.happened(Evaluated(reason, answer.do_next or "", asked.call))

    async def _give_up(self, asked: NotAnswered) -> None:
        self._progress.error = error = asked.error
        await self._progress.happened(ModelFailed(error.code, str(error), error.is_retryable, asked.call))
