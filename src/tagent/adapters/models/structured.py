"""How pydantic-ai is made to give answers of a type: one agent of it for each type, built once."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pydantic_ai import Agent, ModelRetry, RunContext

Check = Callable[[object], str] | None
"""Says what is wrong with an answer that fits its type; empty if nothing."""


def agent_for(output_type: object, *, reasks: int) -> Agent[Check, Any]:
    """Return the agent whose answers are of a type; what `deps` finds wrong with one is asked for again too.

    Building one takes milliseconds, so it is kept; it holds nothing of a single call and serves any event loop.

    Raises:
        Exception: Whatever pydantic-ai has against the type.
    """
    try:
        return _kept(output_type, reasks)
    except TypeError:  # a type that cannot be hashed, or that nothing can be made of: then this raises again
        return _built(output_type, reasks)


def _built(output_type: object, reasks: int) -> Agent[Check, Any]:
    agent: Agent[Check, Any] = Agent(output_type=output_type, retries=reasks, deps_type=object)  # type: ignore[call-overload]  # any type will do

    async def checked(context: RunContext[Check], output: object) -> object:  # one that is not async gets a thread
        if context.deps is not None and (problems := context.deps(output)):
            raise ModelRetry(problems)
        return output

    agent.output_validator(checked)
    return agent


_kept = lru_cache(maxsize=256)(_built)
