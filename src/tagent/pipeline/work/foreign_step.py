"""A step that is a goal for an agent of somebody else. What it does is journalled as if it were one of ours."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NoReturn

from tagent.config import TAgentConfig
from tagent.exceptions import TAgentError
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.making import made_of
from tagent.pipeline.exceptions import StepFailedError
from tagent.pipeline.models import Pipeline, PipelineStep
from tagent.pipeline.outputs import OutputType
from tagent.pipeline.settings import step_settings
from tagent.pipeline.work.briefing import Briefer, Briefing
from tagent.pipeline.work.reading import RunReader
from tagent.pipeline.work.scope import WHOLE, Scope
from tagent.ports.services import Services
from tagent.task_agent.accounts import Account, Reservation, held, room
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.budgets import BudgetExceededError
from tagent.task_agent.events import AgentStarted, BudgetExceeded, Finalized, ModelFailed
from tagent.task_agent.foreign import (
    MOST_REQUESTS,
    ForeignAgentError,
    Meter,
    UsageLeft,
    agent_name,
    ask_foreign,
    declared_output,
    is_over_limits,
    is_pydantic_agent,
    is_vendors,
    may_mend,
)
from tagent.task_agent.models import AgentPhase, ModelCall
from tagent.task_agent.progress import Progress
from tagent.task_agent.prompts import DATA_RULE, Assignment, answer_messages
from tagent.task_agent.results import GoalNotAchievedError
from tagent.task_agent.tools.context import ToolContext
from tagent.threads import ThreadedCall


class ForeignStep:
    """A goal and an agent that is not ours, ready to be worked on in a run.

    Attributes:
        abandoned: Empty: such an agent is async.
        is_whole: True: an attempt does all of it.
    """

    is_whole = True

    def __init__(
        self,
        step: PipelineStep,
        pipeline: Pipeline,
        reader: RunReader,
        config: TAgentConfig,
        services: Services,
        *,
        output: OutputType,
        scope: Scope = WHOLE,
    ) -> None:
        self.abandoned: list[ThreadedCall] = []
        self._agent = step.agent
        self._scope = scope
        self._step = step
        settings = step_settings(step, config)
        self._deadline_seconds = settings.deadline_seconds
        self._context_tokens = settings.context_tokens
        self._briefer = Briefer(step, pipeline, reader, settings, scope=scope)
        self._output_type = output
        self._clock = services.clock

    async def run(self, attempt: Attempt) -> tuple[object, None]:
        """Return what the agent gives, as the step's type. A call that was answered is not made again.

        Raises:
            StepInputError: If the goal, a rule or `read_data` names what is not there.
            ForeignAgentError: If the agent raises.
            StepOutputError: If what it gives does not fit.
            BudgetExceededError: If a limit leaves no room for it, or it was stopped at one.
            BudgetPausedError: If there is no room before it is asked, and the run waits for a larger budget.
            TAgentError: What the agent raises of ours, as it is.
        """
        progress = Progress(attempt)
        progress.take_up()
        if progress.state.phase is AgentPhase.INIT:
            await progress.happened(AgentStarted(has_tools=False, max_planning_cycles=1))
        if progress.state.phase is AgentPhase.FINALIZING:
            await self._within_budget(progress)
        if progress.state.failure is not None:  # of a try that was cut off before its step knew
            raise GoalNotAchievedError(progress.state.failure)
        return self._output_type.load(progress.state.output, step=self._step.name), None

    async def made_of(self) -> object:
        """Return the code of the agent, if it is a function.

        Raises:
            UnkeyableError: If it is an agent of a library.
        """
        if is_pydantic_agent(self._agent):
            raise UnkeyableError("its agent is not ours, and cannot be looked at")
        function: Callable[..., object] = self._agent  # type: ignore[assignment]  # validation refuses anything else
        return ["agent that is not ours", made_of(function), self._context_tokens]

    async def reads(self, attempt: Attempt) -> object:
        """Return what the agent is told.

        Raises:
            StepInputError: If the goal, a rule or `read_data` names what is not there.
        """
        return (await self._briefer.brief(attempt)).told(self._step)

    async def _within_budget(self, progress: Progress) -> None:
        """Ask the agent within what its step and its run may spend, and within its time."""
        attempt, meter = progress.attempt, Meter(self._agent)
        began_at = attempt.began_at if attempt.work_began_at is None else attempt.work_began_at
        seconds = self._deadline_seconds
        left = None if seconds is None else max(0.0, began_at + seconds - self._clock.now())
        try:
            async with self._clock.timeout(left) as limit:
                await self._until_room(progress)
                with held(attempt.accounts, requests=self._most_requests(attempt.accounts)) as reservation:
                    await self._ask(progress, meter, reservation)
        except TimeoutError:
            if not limit.expired():
                raise
            spent = self._clock.now() - began_at
            await self._give_up(progress, BudgetExceeded("deadline_seconds", seconds or 0.0, spent, (meter.call,)))

    async def _until_room(self, progress: Progress) -> None:
        """Return once there is room for a call."""
        if (limit := await room(progress.attempt.accounts, now=self._clock.now)) is not None:
            await self._give_up(progress, limit)

    async def _give_up(self, progress: Progress, limit: BudgetExceeded) -> NoReturn:
        await progress.happened(limit)
        raise BudgetExceededError(limit, progress.state.spending)

    def _most_requests(self, accounts: Sequence[Account]) -> int:
        """Return how many requests the agent may make, as far as anybody can tell it and wants to know."""
        is_limited = any(account.requests_left is not None for account in accounts)
        return MOST_REQUESTS if is_limited and is_pydantic_agent(self._agent) else 1

    async def _ask(self, progress: Progress, meter: Meter, reservation: Reservation) -> None:
        briefing = await self._briefer.brief(progress.attempt)
        asked_at = self._clock.now()
        try:
            reservation.open()
            output = await self._answer(briefing, progress, meter, reservation)
            plain = self._output_type.dump(output, step=self._step.name)
        except Exception as error:
            call = replace(meter.call, seconds=self._clock.now() - asked_at)
            reservation.spend(call)
            failure = self._failure_of(error, progress, call)
            await progress.happened(ModelFailed(failure.code, str(failure), failure.is_retryable, call))
            if failure is error:
                raise
            raise failure from error
        call = replace(meter.call, seconds=self._clock.now() - asked_at)
        reservation.spend(call)
        await progress.happened(Finalized(plain, call))

    async def _answer(self, briefing: Briefing, progress: Progress, meter: Meter, reservation: Reservation) -> object:
        attempt = progress.attempt
        wanted = self._step.output_schema
        context = ToolContext(
            briefing.goal,
            idempotency_key=attempt.idempotency_key,
            reach=attempt.reach and attempt.reach(attempt.idempotency_key, attempt.effects),
            attempt=attempt.number,
        )
        assignment = Assignment(briefing.goal, briefing.constraints, briefing.context, {}, self._context_tokens)
        try:
            return await ask_foreign(
                self._agent,
                _prompt(assignment, progress),
                context=context,
                meter=meter,
                output_type=None if wanted == declared_output(self._agent) else wanted,
                left=_usage_left(attempt.accounts, reservation),
            )
        finally:
            context.cancelled = True

    def _failure_of(self, error: Exception, progress: Progress, call: ModelCall) -> TAgentError:
        if isinstance(error, TAgentError):
            return error
        if is_over_limits(error) and (limit := _met(progress.attempt.accounts, self._clock.now())) is not None:
            return BudgetExceededError(limit, progress.state.spending.plus(call))
        is_retryable = may_mend(error) if is_vendors(error) else StepFailedError(self._step.name, error).is_retryable
        return ForeignAgentError(agent_name(self._agent), error, is_retryable=is_retryable)


def _usage_left(accounts: Sequence[Account], reservation: Reservation) -> UsageLeft | None:
    """Return what all accounts leave room for; None if none of them limits it."""
    budgets = [(account.budget, account.spending) for account in accounts if not account.budget.is_unlimited]
    if not budgets:
        return None
    tokens = [it.max_tokens - spent.usage.total_tokens for it, spent in budgets if it.max_tokens is not None]
    costs = [it.max_cost_usd - spent.cost_usd for it, spent in budgets if it.max_cost_usd is not None]
    has_most = any(it.max_model_calls is not None for it, _ in budgets)
    return UsageLeft(reservation.requests if has_most else None, min(tokens, default=None), min(costs, default=None))


def _met(accounts: Sequence[Account], now: float) -> BudgetExceeded | None:
    """Return the limit at which a library of somebody else has stopped; None if it was one of its own.

    Of requests, others may hold for now what the agent was denied: it cannot wait in the middle.
    """
    for account in accounts:
        if (limit := account.exceeded(now=now)) is not None:
            return limit
        if account.requests_left == 0:
            budget, spent = account.budget, account.spending.usage.requests
            return BudgetExceeded("max_model_calls", budget.max_model_calls or 0, spent, whose=account.whose)
    return None


def _prompt(assignment: Assignment, progress: Progress) -> str:
    """Return what our own agent would be asked, without the form in which it would answer."""
    asked = answer_messages(assignment, progress.state)[-1].content
    return f"{asked}\n\n{DATA_RULE}" if "<data " in asked else asked
