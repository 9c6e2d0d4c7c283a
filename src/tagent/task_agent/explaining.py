"""An agent's work told in a few lines. Pure."""

from collections import Counter
from collections.abc import Sequence

from tagent.task_agent.models import Failure, ModelCall, Spending, Task, TaskStatus

LONGEST_GOAL = 120
"""Characters of the goal that are told; the first line at most."""

LONGEST_REASON = 300
"""Characters of why something failed; the first line at most."""

MOST_TASKS = 20
"""Tasks that are told one by one."""


def explanation(
    goal: str, tasks: Sequence[Task], calls: Sequence[ModelCall], *, planning_cycles: int, failure: Failure | None
) -> str:
    """Return what was done, what failed and why it stopped.

    Args:
        goal: The goal; its first line is told.
        tasks: The tasks of all plans.
        calls: The model calls.
        planning_cycles: How many plans were asked for.
        failure: Why the goal was not achieved; None if it was.

    Example:
        >>> print(explanation("Find it", [], [], planning_cycles=0, failure=Failure("model.timeout", "No answer.")))
        Not achieved: Find it
        No model call.
        Stopped because: No answer. (model.timeout)
    """
    lines = [f"{'Not achieved' if failure else 'Achieved'}: {_shortened(goal)}"]
    if tasks:
        counts = Counter(task.status.value for task in tasks)
        lines.append(f"{_counted(planning_cycles, 'plan')}, {_counted(len(tasks), 'task')}: {_listed(counts)}.")
        lines += [f"  {_told(task)}" for task in tasks[:MOST_TASKS]]
        if len(tasks) > MOST_TASKS:
            lines.append(f"  and {len(tasks) - MOST_TASKS} more.")
    lines.append(_spent(calls))
    if failure:
        lines.append(f"Stopped because: {_shortened(failure.reason, LONGEST_REASON)} ({failure.code})")
    return "\n".join(lines)


def _told(task: Task) -> str:
    signs = {TaskStatus.COMPLETED: "✓", TaskStatus.FAILED: "✗"}
    tries = f", {task.failures} failed tries" if task.failures and task.status is TaskStatus.COMPLETED else ""
    failed = f": {_shortened(task.error, LONGEST_REASON)} ({task.error_code})"
    why = failed if task.status is TaskStatus.FAILED else tries
    what = f" {_shortened(task.description)}" if task.description else ""
    return f"{signs.get(task.status, '○')} {task.index} {task.tool_name}{what}{why}"


def _spent(calls: Sequence[ModelCall]) -> str:
    if not calls:
        return "No model call."
    spending = Spending()
    for call in calls:
        spending = spending.plus(call)
    price = f"${spending.cost_usd:.4f}"
    if spending.unpriced_calls:
        price += f" and {_counted(spending.unpriced_calls, 'call')} of unknown price"
    purposes = _listed(Counter(call.purpose or "unknown" for call in calls), only_one=len(calls) == 1)
    tokens = f"{spending.usage.total_tokens:,} tokens"
    return f"{_counted(len(calls), 'model call')} ({purposes}), {tokens}, {price}."


def _listed(counts: Counter[str], *, only_one: bool = False) -> str:
    return ", ".join(name if only_one else f"{count} {name}" for name, count in counts.items())


def _counted(count: int, name: str) -> str:
    return f"{count} {name}{'' if count == 1 else 's'}"


def _shortened(text: str, longest: int = LONGEST_GOAL) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= longest else f"{line[:longest]}..."
