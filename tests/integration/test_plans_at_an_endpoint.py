"""Plans as a real server gives them: wrong ones are asked for again with the reason, over the wire."""

import json

import pytest

from endpoints import Endpoint, Reply, answer, completion
from model_calls import isolate
from tagent import TaskBasedAgentResult, run_agent


@pytest.fixture(autouse=True)
def nothing_but_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    """No setting of the machine."""
    isolate(monkeypatch)


def fetch(url: str) -> dict[str, int]:
    """Fetch a page."""
    return {"size": len(url)}


def plan(**tool_args: object) -> Reply:
    """Return a completion that plans one call of `fetch`."""
    tasks = [{"description": "", "tool_name": "fetch", "tool_args": tool_args}]
    return completion(json.dumps({"tasks": tasks}))


def work(endpoint: Endpoint) -> TaskBasedAgentResult[str]:
    return run_agent("Fetch it", model="any", base_url=endpoint.base_url, api_key="k", tools=[fetch])


def test_a_wrong_plan_is_asked_for_again_with_what_is_wrong() -> None:
    """The server sees its own answer and the reason; nothing has run before."""
    with Endpoint(plan(url="{{tasks.3.output}}"), plan(url="x"), answer("done")) as endpoint:
        result = work(endpoint)
    assert (result.output, result.planning_cycles, [c.usage.requests for c in result.calls]) == ("done", 1, [2, 1])
    told = json.dumps(endpoint.requests[1].body["messages"])
    assert "Task 0 refers to task 3, which does not come before it." in told


def test_a_plan_that_stays_wrong_is_planned_anew_with_the_reason() -> None:
    """Two requests for each plan; the next plan starts from what was wrong with the last."""
    wrong = plan(address="x")
    with Endpoint(wrong, wrong, plan(url="x"), answer("done")) as endpoint:
        result = work(endpoint)
    assert (result.output, result.planning_cycles) == ("done", 2)
    assert "It could not be carried out: " in endpoint.requests[2].body["messages"][-1]["content"]
    assert "'address'" in endpoint.requests[2].body["messages"][-1]["content"]
