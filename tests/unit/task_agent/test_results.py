"""What a result tells: by model, by phase, and in a few lines."""

from agent_runs import call, not_achieved, scripted
from tagent.ports.language_model import TokenUsage
from tagent.task_agent.explaining import explanation
from tagent.task_agent.models import Failure, ModelCall, Task, TaskStatus
from tagent.task_agent.results import TaskBasedAgentResult

CALLS = (
    ModelCall("planner", TokenUsage(100, 10, 1), 0.25, purpose="plan"),
    ModelCall("writer", TokenUsage(10, 1, 2), None, purpose="answer"),
    ModelCall("planner", TokenUsage(100, 10, 1), 0.25, purpose="answer"),
)


def search() -> str:
    """Search."""
    return "found"


def test_usage_and_cost_are_told_by_model_and_by_phase() -> None:
    """So people see what a better planner costs."""
    result: TaskBasedAgentResult[str] = TaskBasedAgentResult("g", "x", goal_achieved=True, calls=CALLS)
    by_model = {name: (spent.usage.requests, spent.cost_usd) for name, spent in result.usage_by_model.items()}
    assert by_model == {"planner": (2, 0.5), "writer": (2, 0.0)}
    by_phase = {name: (spent.usage.total_tokens, spent.unpriced_calls) for name, spent in result.usage_by_phase.items()}
    assert by_phase == {"plan": (110, 0), "answer": (121, 1)}


async def test_a_result_explains_what_was_done_and_what_failed() -> None:
    """In the order in which it happened."""

    def broken() -> None:
        """Fail."""
        raise ValueError("out of order")

    script = [[call("broken"), call("search")], [call("search")], not_achieved("No price.")]
    run = await scripted(*script).work(broken, search, goal="Find the price\nof tea", max_planning_cycles=2)
    assert run.result.explain().splitlines() == [
        "Not achieved: Find the price",
        "2 plans, 3 tasks: 1 failed, 2 completed.",
        "  ✗ 0 broken: The tool 'broken' raised ValueError: out of order (tool.failed)",
        "  ✓ 1 search",
        "  ✓ 2 search",
        "3 model calls (2 plan, 1 answer), 45 tokens, $0.0000.",
        "Stopped because: No price. (agent.goal_not_achieved)",
    ]


def test_unknown_prices_and_long_plans_are_told_as_such() -> None:
    """Nobody reads a thousand lines, and nobody is told that a call was free when it may not have been."""
    tasks = [Task(n, "", "search", status=TaskStatus.COMPLETED, failures=n % 2) for n in range(30)]
    lines = explanation("g" * 500, tasks, CALLS, planning_cycles=1, failure=None).splitlines()
    assert lines[0] == f"Achieved: {'g' * 120}..."
    assert lines[3] == "  ✓ 1 search, 1 failed tries"
    assert lines[-2] == "  and 10 more."
    assert lines[-1] == "3 model calls (1 plan, 2 answer), 231 tokens, $0.5000 and 1 call of unknown price."


async def test_the_trace_holds_everything_in_order() -> None:
    """It is what a pipeline would have journalled."""
    run = await scripted([call("search")], "done").work(search)
    assert list(run.result.trace) == run.events
    assert (run.result.iterations, [c.purpose for c in run.result.calls]) == (3, ["plan", "answer"])


def test_a_failure_without_calls_is_told_too() -> None:
    """As when the deadline came first."""
    told = explanation("g", [], [], planning_cycles=0, failure=Failure("budget.exceeded", "No time."))
    assert told.endswith("No model call.\nStopped because: No time. (budget.exceeded)")
