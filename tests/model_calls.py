"""Asks models as an agent does, without the agent: through the adapters, with every event kept."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from pydantic import BaseModel

from endpoints import Endpoint
from tagent.adapters.models import tries
from tagent.adapters.models.provider import AdapterModels
from tagent.config import PROVIDER_KEYS, TAgentConfig
from tagent.ports import LanguageModel, ModelError, ModelReply, ModelRequest
from tagent.ports.language_model import CallEvent, Message
from tagent.retries import RetryPolicy

PROMPT = "Name the colour of my-private-sky"
KEY = "secret-key"
MODEL = "openai-chat:any"


class Colour(BaseModel):
    """What is asked for unless a test says otherwise."""

    output: str
    not_achieved_because: str | None = None


def isolate(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting or key of the machine, no proxy, and no waiting between tries."""
    for name in (*PROVIDER_KEYS, "OPENAI_BASE_URL", "TAGENT_MODEL", "TAGENT_BASE_URL", "TAGENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(tries, "POLICY", RetryPolicy(0, 0))


@dataclass(slots=True)
class Notes:
    """Keeps what happens during a call.

    Attributes:
        events: In order.
    """

    events: list[CallEvent] = field(default_factory=list)

    async def note(self, event: CallEvent) -> None:
        """Keep an event."""
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        """Return the events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]


def request_for(output_type: object = Colour, *, notes: Notes | None = None, **changes: Any) -> ModelRequest:
    """Return a question."""
    messages = (Message("system", "Be brief."), Message("user", PROMPT))
    return ModelRequest("answer", messages, output_type, notify=notes.note if notes else None, **changes)


def config_for(endpoint: Endpoint, **changes: Any) -> TAgentConfig:
    """Return settings that ask the endpoint."""
    return TAgentConfig.of({"model": MODEL, "base_url": endpoint.base_url, "api_key": KEY} | changes)


@asynccontextmanager
async def opened(config: TAgentConfig) -> AsyncIterator[LanguageModel]:
    """Open the model that `config` chooses."""
    async with AdapterModels() as models:
        yield await models.model_for(config)


async def ask(config: TAgentConfig, request: ModelRequest | None = None) -> ModelReply:
    """Return what the model of `config` answers."""
    async with opened(config) as model:
        return await model.ask(request or request_for())


async def ask_in_vain(config: TAgentConfig, request: ModelRequest | None = None) -> ModelError:
    """Return the error in which asking ends."""
    with pytest.raises(ModelError) as raised:
        await ask(config, request)
    return raised.value


@dataclass(frozen=True, slots=True)
class Running:
    """What runs at a moment."""

    tasks: frozenset[Any]
    threads: frozenset[Any]

    @classmethod
    def now(cls) -> "Running":
        """Return what runs now, besides the endpoint and the event loop's own threads."""
        ours = (thread for thread in threading.enumerate() if "process_request" not in thread.name)
        threads = {thread for thread in ours if not thread.name.startswith(("asyncio_", "endpoint"))}
        return cls(frozenset(asyncio.all_tasks()), frozenset(threads))
