"""Whether the output of a step can be used again, and for how long."""

from collections.abc import Iterator
from datetime import timedelta

from tagent.exceptions import ConfigurationError
from tagent.pipeline import bindings
from tagent.pipeline.caching.definitions import require_keyable
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.exceptions import Problem
from tagent.pipeline.models import PipelineStep
from tagent.pipeline.validating.known import Found, Known
from tagent.pipeline.validating.work_checks import is_number, without_servers
from tagent.ports.toolsets import MCPServer
from tagent.task_agent.foreign import is_pydantic_agent
from tagent.task_agent.tools.tool import tools_by_name

_LONGEST = timedelta(days=36_525)
"""100 years: the clock of a store knows no time that is far beyond."""

_WORDS = ("run", "forever")


def cache_problems(step: PipelineStep, _known: Known) -> Iterator[Found]:
    """Yield the mistakes in how the output of `step` is to be used again."""
    use: object = step.cache
    if use is None:
        return
    if not _is_use(use):
        told = "it must be 'run', 'forever', or a time above 0 and up to 100 years, in seconds or as a timedelta"
        yield "bad_cache", f"`cache` is {use!r}; {told}."
    if why := _why_not(step):
        yield "bad_cache", f"Its output cannot be used again, as {why}. Remove `cache`."


def _is_use(use: object) -> bool:
    if isinstance(use, timedelta):
        return timedelta(0) < use <= _LONGEST
    return use in _WORDS if isinstance(use, str) else is_number(use) and 0 < use <= _LONGEST.total_seconds()


def _why_not(step: PipelineStep) -> str:
    """Return why nothing of a step could be used again; empty if it can."""
    if step.wait_for is not None:
        return "it waits for a message"
    if bindings.is_router(step):
        return "it only chooses what runs"
    if step.compensate is not None:
        return "what it does can be undone: a reused output would not have done it"
    if bindings.is_merge(step) and step.for_each is None and not step.branches:
        return "it only merges what other steps gave"
    if is_pydantic_agent(step.agent):
        return "its agent is not ours, and nobody can tell whether it is still the same"
    if step.pipeline is not None:
        try:
            require_keyable(step.pipeline)
        except UnkeyableError as error:
            return error.problem
    return ""


def cache_warnings(step: PipelineStep, known: Known) -> Iterator[Problem]:
    """Yield what somebody who has the output of `step` used again may not expect."""
    if step.cache is None:
        return
    if harmful := _harmful_tools(step):
        message = f"Where its output is used again, its tools with side effects are not called: {', '.join(harmful)}."
        yield Problem("cached_effects", message, step.name, "warning")
    if (step.memory or known.pipeline.memory) == "pipeline" and step.run is None and step.pipeline is None:
        message = "Its agent is told what is remembered, so its output is used again only while that stays as it is."
        yield Problem("cached_memory", message, step.name, "hint")


def _harmful_tools(step: PipelineStep) -> list[str]:
    try:
        named = tools_by_name(without_servers(step.tools))
    except (ConfigurationError, TypeError):  # said elsewhere
        return []
    servers = [it.name for it in step.tools if isinstance(it, MCPServer) and it.side_effects]
    return [*(name for name, tool in named.items() if tool.side_effect), *servers]
