"""What is wrong with a plan, before anything of it runs."""

from typing import Any

import pytest
from pydantic import BaseModel

from agent_runs import call, scripted
from tagent.ports.language_model import ModelReply, ModelRequest
from tagent.task_agent.answers import answer_type
from tagent.task_agent.events import Planned, PlanRejected, TaskStarted
from tagent.task_agent.models import Task, TaskStatus
from tagent.task_agent.plans import PlannedTask, PlanRules, plan_type
from tagent.task_agent.tools.tool import tools_by_name


class Page(BaseModel):
    url: str
    size: int = 0


def search(query: str, limit: int = 3) -> list[Page]:
    """Search."""
    return [Page(url=query)]


def fetch(url: str) -> str:
    """Fetch."""
    return url


def store(pages: list[Page], note: str | None = None) -> dict[str, object]:
    """Store."""
    return {"stored": len(pages)}


def anything(value: object) -> Any:
    """Take and give anything."""
    return value


TOOLS = tools_by_name([search, fetch, store, anything])
DONE = (
    Task(0, "", "search", status=TaskStatus.COMPLETED, output=[{"url": "a", "size": 1}]),
    Task(1, "", "fetch", status=TaskStatus.FAILED, error="no"),
)


def planned(
    *tasks: dict[str, object], done: tuple[Task, ...] = (), undescribed: frozenset[str] = frozenset()
) -> list[PlannedTask]:
    rules = PlanRules(TOOLS, done, undescribed)
    plan = plan_type(tuple(TOOLS)).model_validate({"tasks": [{"description": "", **task} for task in tasks]})
    if problems := rules.check(plan):
        raise ValueError(problems)
    return plan.tasks


def refused(*tasks: dict[str, object], done: tuple[Task, ...] = (), undescribed: frozenset[str] = frozenset()) -> str:
    with pytest.raises(ValueError, match=r"\w") as raised:  # Pydantic's own is one too
        planned(*tasks, done=done, undescribed=undescribed)
    return str(raised.value)


@pytest.mark.parametrize(
    "tasks",
    [
        [],
        [call("search", query="x")],
        [call("search", query="x"), call("fetch", url="{{tasks.0.output[0].url}}")],
        [call("search", query="x"), call("fetch", url="https://{{tasks.0.output[0].url}}/{{tasks.0.output[1].size}}")],
        [call("search", query="x"), call("store", pages="{{tasks.0.output}}")],
        [call("search", query="x"), call("search", query="{{tasks.0.output[0].size}}")],
        [call("anything", value=1), call("fetch", url="{{tasks.0.output.whatever[3].it}}")],
        [call("store", pages=[]), call("fetch", url="{{tasks.0.output.stored}}")],
        [call("search", query="x"), call("store", pages=["{{tasks.0.output[0]}}"], note=None)],
    ],
)
def test_a_plan_that_can_be_carried_out_is_taken(tasks: list[dict[str, object]]) -> None:
    """Numbers may stand where text is wanted, and what nobody declared is not refused."""
    assert len(planned(*tasks)) == len(tasks)


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        ([call("serch")], "Input should be 'search'"),
        ([call("fetch", url="{{tasks.0.output}}")], "Task 0 refers to itself."),
        (
            [call("fetch", url="{{tasks.1.output}}"), call("fetch", url="{{tasks.0.output}}")],
            "Tasks 0 and 1 refer to each other.",
        ),
        (
            [call("fetch", url="{{tasks.1.output}}"), call("search", query="x")],
            "Task 0 refers to task 1, which does not come before it.",
        ),
        ([call("fetch", url="{{tasks.7.output}}")], "Task 0 refers to task 7, which does not come before it."),
        ([call("fetch", url="{{url}}")], "Task 0: 'url' is no reference. Write {{tasks.N.output}}"),
        (
            [call("search", query="x"), call("fetch", url="{{tasks.0.output[0].title}}")],
            "Task 1 refers to 'title' of task 0, which its output does not have.",
        ),
        (
            [call("search", query="x"), call("fetch", url="see {{tasks.0.output.url}}")],
            "Task 1 refers to 'url' of task 0, which its output does not have.",
        ),
        (
            [call("search", query="x"), call("fetch", url="{{tasks.0.output}}")],
            "'url' of 'fetch' is of another type than what task 0 returns there: array instead of string.",
        ),
        ([call("search")], "'query'"),
        ([call("search", query="x", limt=3)], "'limt'"),
        ([call("search", query="x", limit="many")], "limit"),
        ([call("search", query="x"), call("search", query="{{tasks.0.output[0].url}}", limt=3)], "'limt'"),
        ([{"tool_name": "search"}], "Field required"),
        ([{**call("search", query="x"), "note": "x"}], "Extra inputs are not permitted"),
    ],
)
def test_a_plan_that_could_not_work_is_refused_with_the_reason(tasks: list[dict[str, object]], told: str) -> None:
    """The model is asked again with this reason, before anything has run."""
    assert told in refused(*tasks)


def test_everything_that_is_wrong_is_told_at_once() -> None:
    """There is only one more try."""
    told = refused(call("search"), call("fetch", url="{{tasks.5.output}}"), call("fetch", url=1, x=2))
    assert all(f"Task {number}" in told for number in (0, 1, 2))


def test_earlier_plans_can_be_referred_to_where_they_have_something() -> None:
    """Their outputs are known, so the reference is looked up."""
    assert planned(call("fetch", url="{{tasks.0.output[0].url}}"), done=DONE)
    assert "has no field 'title'" in refused(call("fetch", url="{{tasks.0.output[0].title}}"), done=DONE)
    assert "has 1 items" in refused(call("fetch", url="{{tasks.0.output[4].url}}"), done=DONE)
    assert "Task 2 refers to task 1, which failed." in refused(call("fetch", url="{{tasks.1.output}}"), done=DONE)


def test_wrong_arguments_of_a_tool_that_was_only_named_are_answered_with_what_it_takes() -> None:
    """So a tool from the catalogue of names costs a re-ask, and no plan."""
    assert '"tool": "fetch"' in refused(call("fetch", address="x"), undescribed=frozenset({"fetch"}))
    assert '"tool": "fetch"' not in refused(call("fetch", address="x"))


def test_the_schema_of_a_plan_lists_the_tools() -> None:
    """Providers that enforce a schema cannot name another one."""
    schema = plan_type(tuple(TOOLS)).model_json_schema()
    assert schema["$defs"]["PlannedTask"]["properties"]["tool_name"]["enum"] == list(TOOLS)


# An agent with such plans

WRONG = [call("fetch", url="{{tasks.3.output}}")]
RIGHT = [call("fetch", url="x")]


async def test_a_wrong_plan_is_asked_for_once_more_with_the_reason() -> None:
    """Nothing of it runs, and it is the same call."""
    run = await scripted(WRONG, RIGHT, "done").work(fetch)
    assert (run.result.output, run.calls, run.result.planning_cycles) == ("done", ["plan", "answer"], 1)
    assert run.result.token_usage.requests == 3


async def test_a_plan_that_is_wrong_twice_is_followed_by_another_that_knows_why() -> None:
    """It counts as a plan that fell short."""
    run = await scripted(WRONG, WRONG, RIGHT, "done").work(fetch)
    assert (run.result.output, run.calls, run.result.planning_cycles) == ("done", ["plan", "plan", "answer"], 2)
    assert "could not be carried out: " in run.model.requests[1].messages[-1].content
    assert "refers to task 3" in run.model.requests[1].messages[-1].content
    kinds = [type(event) for event in run.events]
    assert kinds.index(PlanRejected) < kinds.index(Planned) < kinds.index(TaskStarted)


class Careless:
    """A model of the user's own that looks at nothing."""

    name = "careless"
    context_tokens = None

    def __init__(self) -> None:
        self.plans = [WRONG, RIGHT]

    async def ask(self, request: ModelRequest) -> ModelReply:
        if request.purpose == "plan":
            tasks = [{"description": "", **task} for task in self.plans.pop(0)]
            return ModelReply(plan_type(("fetch",)).model_validate({"tasks": tasks}), self.name)
        return ModelReply(answer_type(str)(output="done"), self.name)


async def test_a_model_that_checks_nothing_is_checked() -> None:
    """A wrong plan never runs, whoever made it."""
    run = await scripted().work(fetch, model=Careless())
    assert (run.result.output, run.result.planning_cycles) == ("done", 2)
