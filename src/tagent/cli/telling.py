"""What an agent's events are told as: one short line each, for a terminal or a log."""

from tagent.cli.errors import printable
from tagent.pipeline.events import ASIDE
from tagent.ports.language_model import ModelRetried, ModelSwitched
from tagent.task_agent.events import (
    AgentEvent,
    AgentNotice,
    BudgetExceeded,
    Evaluated,
    ModelAsked,
    Planned,
    PlanRejected,
    TaskFailed,
    TaskStarted,
)

LONGEST_LINE = 200
"""Characters of what is told of one event."""

LONGEST_TEXT = 60
"""Characters of an answer that are shown while it comes, the last ones."""

MOST_NAMES = 4
"""Tools of a plan that are named."""


def decision(event: AgentEvent) -> str:
    """Return what an agent decided; empty for an event that decides nothing.

    Example:
        >>> from tagent.task_agent.models import ModelCall
        >>> decision(Evaluated("The price is missing.", "", ModelCall("m")))
        'not achieved: The price is missing.'
    """
    match event:
        case Planned(tasks=()):
            return "planned: answer"
        case Planned():
            names = list(dict.fromkeys(task.tool_name for task in event.tasks))
            more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
            return bounded(f"planned: {', '.join(names[:MOST_NAMES])}{more}")
        case PlanRejected():
            return bounded(f"plan rejected: {event.problems}")
        case Evaluated(is_achieved=True):
            return bounded(f"achieved: {event.reason}")
        case Evaluated():
            return bounded(f"not achieved: {event.reason}")
        case _:
            return ""


def noteworthy(event: AgentEvent) -> str:
    """Return what whoever reads a log should know of an agent; empty where all goes its way.

    Example:
        >>> noteworthy(ModelSwitched("openai:gpt-4.1", "model.timeout", next_model="mistral:small"))
        'model openai:gpt-4.1: model.timeout, now mistral:small'
    """
    match event:
        case PlanRejected() | Evaluated(is_achieved=False):
            return decision(event)
        case TaskFailed():
            ended = "failed" if event.retry_at is None else "is tried again"
            return bounded(f"task {event.index} {ended}: {event.code}: {event.message}")
        case ModelRetried():
            return bounded(f"model {event.model}: {event.code}, asked again in {event.wait_seconds:.1f}s")
        case ModelSwitched():
            return bounded(f"model {event.model}: {event.code}, now {event.next_model}")
        case BudgetExceeded():
            return bounded(f"budget exceeded: {event.limit} allows {event.allowed:g}, {_spent(event)}")
        case _:
            return ""


def doing(event: AgentEvent) -> str:
    """Return what an agent does after `event`; empty when its next step will say."""
    return bounded(f"tool: {event.tool_name}") if isinstance(event, TaskStarted) else noteworthy(event)


def doing_now(notice: AgentNotice) -> str:
    """Return what an agent does right now; of an answer that comes, its end."""
    if isinstance(notice, ModelAsked):
        return bounded(f"{notice.purpose}: {notice.model}")
    text = _one_line(notice.text[-2 * LONGEST_TEXT :])  # it comes again, longer, with every word
    return text if len(text) <= LONGEST_TEXT else f"...{text[-LONGEST_TEXT:]}"


def of_part(part: str, told: str) -> str:
    """Return what is told of an item or a branch, and which one it is."""
    return f"[{part}] {told}" if told and part and part not in ASIDE else told


def bounded(text: str) -> str:
    r"""Return `text` in one line, with nothing in it that would steer a terminal, cut where it is too long.

    Example:
        >>> bounded("one\n\x1b[2Jtwo")
        'one \\x1b[2Jtwo'
    """
    line = _one_line(text[: 2 * LONGEST_LINE])
    return line if len(line) <= LONGEST_LINE else f"{line[: LONGEST_LINE - 3]}..."


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))


def _spent(event: BudgetExceeded) -> str:
    return "what is spent is not known" if event.spent is None else f"{event.spent:g} are spent"
