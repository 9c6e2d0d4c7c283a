"""Asks models for an agent: the one for the purpose, within the budgets, with every try and price on record."""

import asyncio
from dataclasses import dataclass, replace

from pydantic_core import PydanticSerializationError, to_json

from tagent.budget import Budget
from tagent.config import TAgentConfig
from tagent.ports.language_model import (
    AnswerStreamed,
    CallEvent,
    LanguageModel,
    Message,
    ModelReply,
    ModelRequest,
    Purpose,
    TokenUsage,
)
from tagent.ports.model_errors import ModelError, ModelOutputError
from tagent.ports.services import Services
from tagent.task_agent.accounts import Account, Reservation, held, room
from tagent.task_agent.budgets import BudgetExceededError
from tagent.task_agent.events import BudgetExceeded, ModelAsked, ToolAsked
from tagent.task_agent.models import ModelCall
from tagent.task_agent.progress import Progress


@dataclass(frozen=True, slots=True)
class Answered:
    """A model has answered."""

    reply: ModelReply
    call: ModelCall


@dataclass(frozen=True, slots=True)
class NotAnswered:
    """A call has failed for good."""

    error: ModelError
    call: ModelCall


def require_checked(reply: ModelReply, request: ModelRequest) -> None:
    """Make sure of what a model of the user's own may not have looked at.

    Raises:
        ModelOutputError: If the answer is not one that the request's check takes, or cannot be written down.
    """
    problems = request.check(reply.output) if request.check is not None else ""
    try:
        to_json(reply.output, fallback=str)
    except PydanticSerializationError:
        problems = "It holds characters that are no Unicode text."
    if problems:
        error = ModelOutputError(reply.model, f"{reply.model} gave no answer that can be used.", problems=problems)
        error.spent = reply
        raise error


class Asker:
    """Asks the models of one agent.

    Attributes:
        cut_off: The calls that were cancelled under way, so that nobody knows what they took; the tasks whose
            tools had asked, None for the agent itself.
    """

    def __init__(self, settings: TAgentConfig, services: Services, progress: Progress, *, began_at: float) -> None:
        self.cut_off: list[tuple[int | None, ModelCall]] = []
        self._settings = settings
        self._services = services
        self._progress = progress
        attempt = progress.attempt
        spent = attempt.spent + progress.state.spending
        own = Account(Budget.among(settings), whose="goal", spent=spent, began_at=began_at)
        self._accounts = (own, *attempt.accounts)

    async def model_for(self, purpose: Purpose) -> LanguageModel:
        """Return the model that is asked for this purpose.

        Raises:
            ModelError: If it cannot be had.
        """
        return await self._services.models.model_for(self._settings.for_purpose(purpose))

    async def limit(self, purpose: Purpose) -> BudgetExceeded | None:
        """Return the limit that leaves no room for a call of this purpose; None if there is room.

        A model that is known to have no price leaves no room in a budget of cost, before it was asked. Whoever
        asks then must do so at once: until that nothing is held for the call.

        Raises:
            BudgetPausedError: If the run waits for a larger budget.
        """
        for account in self._accounts:
            allowed = account.budget.max_cost_usd
            if allowed is not None and not await self._may_have_price(purpose):
                return BudgetExceeded("max_cost_usd", allowed, None, whose=account.whose)
        return await room(self._accounts, now=self._services.clock.now)

    async def ask(self, request: ModelRequest, *, task: int | None = None) -> Answered | NotAnswered:
        """Return what came of the request; tries, switches and streamed text are shown meanwhile.

        Args:
            request: The question; it is asked again within the budget of calls.
            task: The task whose tool asks; None for the agent itself.
        """
        with held(self._accounts, requests=1 + request.max_reasks) as reservation:
            return await self._ask(request, reservation, task)

    async def _ask(self, request: ModelRequest, reservation: Reservation, task: int | None) -> Answered | NotAnswered:
        clock = self._services.clock
        asked_at = clock.now()
        name = ""

        def call_of(reply: ModelReply) -> ModelCall:
            return ModelCall(reply.model, reply.usage, reply.cost_usd, clock.now() - asked_at, request.purpose)

        try:
            model = await self.model_for(request.purpose)
            name = model.name
            self._progress.show(ModelAsked(request.purpose, name))
            reservation.open()
            reply = await model.ask(replace(request, notify=self._notify, max_reasks=reservation.requests - 1))
            require_checked(reply, request)
        except ModelError as error:
            call = call_of(error.spent or ModelReply(None, name or error.model, cost_usd=0.0))
            reservation.spend(call)
            return NotAnswered(error, call)
        except asyncio.CancelledError:
            if name:
                self.cut_off.append((task, call_of(ModelReply(None, name, TokenUsage(requests=1)))))
            raise
        call = call_of(reply)
        reservation.spend(call)
        return Answered(reply, call)

    async def ask_for_tool(self, index: int, prompt: str, output_type: object) -> object:
        """Return what the executor's model answers to a tool of the task `index`.

        Raises:
            BudgetExceededError: If there is no budget left for it.
            BudgetPausedError: If there is none now, and the run waits for a larger one.
            ModelError: If the call fails for good.
        """
        if (limit := await self.limit("execute")) is not None:
            raise BudgetExceededError(limit, self._progress.state.spending)
        asked = await self.ask(ModelRequest("execute", (Message("user", prompt),), output_type), task=index)
        await self._progress.happened(ToolAsked(index, asked.call))
        if isinstance(asked, NotAnswered):
            raise asked.error from asked.error.__cause__
        return asked.reply.output

    async def settle(self, index: int) -> None:
        """Put on record the calls of a task that ended with its tool: its time was over."""
        ended = [call for task, call in self.cut_off if task == index]
        self.cut_off = [(task, call) for task, call in self.cut_off if task != index]
        for call in ended:
            await self._progress.happened(ToolAsked(index, call))

    @property
    def calls_cut_off(self) -> tuple[ModelCall, ...]:
        """The calls that were cancelled and are on no record."""
        return tuple(call for _, call in self.cut_off)

    async def _may_have_price(self, purpose: Purpose) -> bool:
        try:
            return getattr(await self.model_for(purpose), "has_price", True)
        except ModelError:  # it is told when the model is asked
            return True

    async def _notify(self, event: CallEvent) -> None:
        if isinstance(event, AnswerStreamed):
            self._progress.show(event)
        else:
            await self._progress.happened(event)
