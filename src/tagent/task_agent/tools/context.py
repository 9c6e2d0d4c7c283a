"""What a tool may ask for while it works: its agent's state, memory, mail, a model."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar, overload

from tagent.bridge import Bridge
from tagent.exceptions import ConfigurationError
from tagent.memory import StepMemory
from tagent.messaging import StepMessages
from tagent.task_agent.tools.reach import Reach, required

Output = TypeVar("Output")

LOGGER = "tagent.tools"


class OutsideAgentError(ConfigurationError):
    """A tool asks a model although no agent waits for it: a test calls its function, or it goes on after its end."""

    code = "tool.outside_agent"

    def __init__(self) -> None:
        super().__init__(
            "There is no model to ask here: no agent waits for the tool.",
            hint="In a test, give ToolContext(asker=...), an async function of a prompt and an output type.",
        )


@dataclass(slots=True)
class ToolContext:
    """What a tool may ask for: declare a parameter of this type, of any name, and it is passed in.

    Attributes:
        goal: The goal that the agent works on.
        cancelled: True once nobody waits for the tool any more; a long one looks and returns early.
        idempotency_key: Names this call in its run: step, tool, arguments, and which call with the same
            ones it is. Equal when a later attempt makes the call again, so that a service that takes a
            key does the thing once. Empty outside a pipeline.
        reach: The way to memory and mail; None outside a pipeline.
        state: Key -> what an earlier tool of this agent returned as `(key, value)`; read only.
        attempt: Which try of this call it is, from 1.
        logger: The tool's logger, `tagent.tools.NAME`.
        asker: Asks the agent's model; None where there is no agent.
        bridge: Leads to the agent's event loop, for `ask`; None where there is none.

    Example:
        >>> def greet(name: str, context: ToolContext) -> str:
        ...     return f"{context.state.get('greeting', 'Hello')}, {name}"
        >>> greet("Ada", ToolContext(state={"greeting": "Olá"}))
        'Olá, Ada'
    """

    goal: str = ""
    cancelled: bool = False
    idempotency_key: str = ""
    reach: Reach | None = None
    state: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    attempt: int = 1
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger(LOGGER), repr=False)
    asker: Callable[[str, object], Coroutine[Any, Any, object]] | None = field(default=None, repr=False)
    bridge: Bridge | None = field(default=None, repr=False)

    @property
    def memory(self) -> StepMemory:
        """What is remembered: of the step, its run, its pipeline, and the spaces that this one shares.

        What a tool writes counts when its step succeeds.

        Raises:
            OutsidePipelineError: If the agent does not work at a step of a pipeline.
        """
        return required(self.reach, "memory").memory

    @property
    def messages(self) -> StepMessages:
        """The mail of the step.

        Raises:
            OutsidePipelineError: If the agent does not work at a step of a pipeline.
        """
        return required(self.reach, "mail").messages

    @overload
    def ask(self, prompt: str) -> str: ...

    @overload
    def ask(self, prompt: str, output_type: type[Output]) -> Output: ...

    def ask(self, prompt: str, output_type: type[object] = str) -> object:
        """Do what `aask` does and wait for it, in a tool that is not async.

        Raises:
            BlockingCallError: In an async tool.
            TAgentError: As for `aask`.
        """
        question = self._question(prompt, output_type)
        return asyncio.run(question) if self.bridge is None else self.bridge.wait(question)

    @overload
    async def aask(self, prompt: str) -> str: ...

    @overload
    async def aask(self, prompt: str, output_type: type[Output]) -> Output: ...

    async def aask(self, prompt: str, output_type: type[object] = str) -> object:
        """Return what the agent's model answers; the call counts in the agent's usage and budgets.

        Args:
            prompt: What it is asked.
            output_type: What the answer must be, anything that Pydantic can check.

        Raises:
            OutsideAgentError: If no agent waits for the tool.
            ModelError: If the model does not answer as asked.
            BudgetExceededError: If there is no budget left; the agent ends then, unless the tool catches it.

        Example:
            >>> import asyncio
            >>> async def always_four(prompt: str, output_type: object) -> object:
            ...     return 4
            >>> asyncio.run(ToolContext(asker=always_four).aask("What is 2 + 2?", int))
            4
        """
        question = self._question(prompt, output_type)
        return await (question if self.bridge is None else self.bridge.carry(question))

    def _question(self, prompt: str, output_type: object) -> Coroutine[Any, Any, object]:
        if self.asker is None or self.cancelled:
            raise OutsideAgentError
        return self.asker(prompt, output_type)
