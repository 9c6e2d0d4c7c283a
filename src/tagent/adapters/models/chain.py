"""Several models, each of which is asked when those before it have failed."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from tagent.ports.language_model import LanguageModel, ModelReply, ModelRequest, ModelSwitched
from tagent.ports.model_errors import ModelChainError, ModelError, ModelTimeoutError


class ChainLink(Protocol):
    """A model of a chain."""

    @property
    def name(self) -> str:
        """The model as its user names it."""
        ...

    @property
    def context_tokens(self) -> int | None:
        """How many tokens of data a prompt may carry; None when the model sets no limit."""
        ...

    async def ask_within(self, request: ModelRequest, *, seconds: float) -> ModelReply:
        """Return an answer within `seconds`.

        Raises:
            ModelError: What kept it from answering.
        """
        ...


class ChainedModel:
    """Asks each model in turn until one answers, all within one deadline.

    Each is given an equal share of the time that is left among those that are left, so that a silent first one
    does not take it all.

    Attributes:
        name: The names of all, with commas.
        context_tokens: The smallest that any of them sets; None if none does.

    Args:
        links: At least one.
        timeout_seconds: How long one answer may take, all models together.
    """

    def __init__(self, links: Sequence[ChainLink], *, timeout_seconds: float) -> None:
        self.name = ", ".join(link.name for link in links)
        self.context_tokens = min((link.context_tokens for link in links if link.context_tokens), default=None)
        self._links = tuple(links)
        self._timeout_seconds = timeout_seconds

    @property
    def has_price(self) -> bool:
        """Whether what a call costs can be known, whichever of the models answers."""
        return all(getattr(link, "has_price", True) for link in self._links)

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the answer of the first model that gives one; usage and cost are those of all that were asked.

        Raises:
            ModelChainError: If none does. What all consumed is on it as `spent`.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + self._timeout_seconds
        spent: ModelReply | None = None
        errors: list[ModelError] = []
        for place, link in enumerate(self._links):
            if errors and request.notify is not None:
                await request.notify(ModelSwitched(errors[-1].model, errors[-1].code, link.name))
            share = max(0.0, deadline - now()) / (len(self._links) - place)
            try:
                return _together(spent, await link.ask_within(request, seconds=share))
            except ModelError as error:
                errors.append(error)
                if error.spent is not None:
                    spent = _together(spent, error.spent)
        failure = ModelChainError(errors)
        failure.spent = spent
        raise failure


class GivenModel:
    """A language model of the user's, held to a time limit: alone, or as a link of a chain.

    Attributes:
        name: As the model says.
        context_tokens: As the model says.
        has_price: As the model says; True if it does not.

    Args:
        model: Whatever has the members of the port.
        timeout_seconds: How long one answer may take when the model is asked alone.
    """

    def __init__(self, model: LanguageModel, *, timeout_seconds: float) -> None:
        self.name = model.name
        self.context_tokens = model.context_tokens
        self.has_price: bool = getattr(model, "has_price", True)
        self._model = model
        self._timeout_seconds = timeout_seconds

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return its answer.

        Raises:
            ModelTimeoutError: If it does not come in time.
            ModelError: What else kept it from answering.
        """
        return await self.ask_within(request, seconds=self._timeout_seconds)

    async def ask_within(self, request: ModelRequest, *, seconds: float) -> ModelReply:
        """Return its answer, if it comes within `seconds`.

        Raises:
            ModelTimeoutError: If it does not.
            ModelError: What else kept it from answering.
        """
        try:
            async with asyncio.timeout(seconds) as limit:
                return await self._model.ask(request)
        except TimeoutError:
            if not limit.expired():
                raise
        raise ModelTimeoutError(self.name, seconds=seconds)


class UnopenedModel:
    """A model that could not be opened: no key, a package that is missing. It fails when it is asked."""

    context_tokens = None

    def __init__(self, name: str, error: ModelError) -> None:
        self.name = name
        self._error = error

    async def ask_within(self, request: ModelRequest, *, seconds: float) -> ModelReply:  # noqa: ARG002 - it never asks
        """Never return.

        Raises:
            ModelError: What kept it from being opened.
        """
        raise self._error


def _together(before: ModelReply | None, reply: ModelReply) -> ModelReply:
    """Return `reply` with what was consumed before it added."""
    if before is None:
        return reply
    is_priced = before.cost_usd is not None and reply.cost_usd is not None
    cost = (before.cost_usd or 0.0) + (reply.cost_usd or 0.0) if is_priced else None
    return replace(reply, usage=before.usage + reply.usage, cost_usd=cost)
