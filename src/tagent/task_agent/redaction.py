"""What subscribers see of an agent's events: the structure, and the contents that a function lets through."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar, assert_never, cast

from tagent.config import TAgentConfig
from tagent.exceptions import ConfigurationError
from tagent.ports.language_model import AnswerStreamed, ModelRetried, ModelSwitched
from tagent.task_agent.events import (
    AgentEvent,
    AgentNotice,
    AgentStarted,
    BudgetExceeded,
    Evaluated,
    Finalized,
    ModelAsked,
    ModelFailed,
    Planned,
    PlanRejected,
    TaskCompleted,
    TaskFailed,
    TaskStarted,
    ToolAsked,
)

Redact = Callable[[object], object]
"""Takes a value that an event holds, text or JSON values, and returns what may be seen of it."""

OnEvent = Callable[[AgentEvent | AgentNotice], None]
"""Is shown what an agent does: each event once it counts, and what it does right now."""

logger = logging.getLogger("tagent")

Event = TypeVar("Event", bound=AgentEvent | AgentNotice)


def redacted(event: Event, redact: Redact) -> Event:
    """Return the event with every content replaced by what `redact` makes of it.

    Names, numbers, codes, prices and times stay: they say how the work goes, not what it is about.

    Example:
        >>> redacted(AnswerStreamed("My number is 555"), lambda value: "***")
        AnswerStreamed(text='***')
    """

    def text(value: str) -> str:
        return str(redact(value)) if value else value

    shown: AgentEvent | AgentNotice = event
    match shown:
        case Planned(tasks):
            told = (
                replace(
                    task,
                    description=text(task.description),
                    tool_args={k: redact(v) for k, v in task.tool_args.items()},
                )
                for task in tasks
            )
            shown = replace(shown, tasks=tuple(told))
        case PlanRejected(problems):
            shown = replace(shown, problems=text(problems))
        case TaskCompleted(output=output):
            shown = replace(shown, output=redact(output), effects=None)
        case Finalized(output):
            shown = replace(shown, output=redact(output))
        case TaskFailed(message=message) | ModelFailed(message=message):
            shown = replace(shown, message=text(message))
        case Evaluated(reason, advice):
            shown = replace(shown, reason=text(reason), advice=text(advice))
        case AnswerStreamed(streamed):
            shown = AnswerStreamed(text(streamed))
        case (
            AgentStarted()
            | TaskStarted()
            | ToolAsked()
            | ModelRetried()
            | ModelSwitched()
            | BudgetExceeded()
            | ModelAsked()
        ):
            pass
        case _:
            assert_never(shown)
    return cast("Event", shown)


def shown_to(on_event: OnEvent, settings: TAgentConfig) -> OnEvent:
    """Return what shows `on_event` the events as the settings redact them; what goes wrong there is logged.

    Raises:
        ConfigurationError: If it is no plain function.
    """
    if not callable(cast("object", on_event)) or inspect.iscoroutinefunction(on_event):
        raise ConfigurationError("`on_event` must be a function of an event that is not async.")
    redact: Redact | None = settings.redact

    def show(event: AgentEvent | AgentNotice) -> None:
        try:
            on_event(event if redact is None else redacted(event, redact))
        except Exception:
            logger.exception("Showing %s failed; the agent goes on.", type(event).__name__)

    return show
