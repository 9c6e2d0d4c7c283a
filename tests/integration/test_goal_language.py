"""What an endpoint is asked when the goal is not in English."""

from pathlib import Path
from typing import Any

import pytest

from endpoints import Endpoint, Request, answer, completion
from tagent import TaskBasedAgentResult, run_agent
from tagent.config import PROVIDER_KEYS

GOAL = "Qual é a população de Évora?\nResponda com «número e ano» — não traduza nada: coração, pão, à vontade."
ANSWER = "53 591 habitantes (2021)"
PLAN = '{"tasks": [{"description": "Procurar", "tool_name": "population", "tool_args": {"city": "Évora"}}]}'


@pytest.fixture(autouse=True)
def only_what_the_test_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting or key of the machine, and no proxy."""
    for name in (*PROVIDER_KEYS, "OPENAI_BASE_URL", "TAGENT_MODEL", "TAGENT_BASE_URL", "TAGENT_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.chdir(tmp_path)


def population(city: str) -> str:
    """Return how many people live in a city."""
    return f"{city}: 53 591 (2021)"


def ask(endpoint: Endpoint, **options: Any) -> TaskBasedAgentResult[Any]:
    """Give the goal to an agent whose model is the endpoint."""
    return run_agent(GOAL, model="openai-chat:any", base_url=endpoint.base_url, api_key="k", **options)


def contents(request: Request) -> list[str]:
    """Return the texts of all messages of a request."""
    return [message["content"] for message in request.body["messages"]]


def holds_the_goal_unchanged(request: Request) -> bool:
    """Whether the user's message has the goal, character for character."""
    return f"Goal: {GOAL}" in contents(request)[-1]


def asks_for_the_language_of_the_goal(request: Request) -> bool:
    """Whether the rules say in which language to answer."""
    return "Answer in the language of the goal." in contents(request)[0]


def test_asks_once_with_the_goal_as_it_is_and_for_an_answer_in_its_language() -> None:
    """A translation on the way in or out costs calls and changes what was meant."""
    with Endpoint(answer(ANSWER)) as endpoint:
        result = ask(endpoint)
    [request] = endpoint.requests
    assert holds_the_goal_unchanged(request)
    assert asks_for_the_language_of_the_goal(request)
    assert (result.goal, result.output, result.token_usage.requests) == (GOAL, ANSWER, 1)


def test_plan_and_answer_both_see_the_goal_as_it_is() -> None:
    """With a tool there are two calls, and neither of them is a translation."""
    with Endpoint(completion(PLAN), answer(ANSWER)) as endpoint:
        result = ask(endpoint, tools=[population])
    assert [holds_the_goal_unchanged(request) for request in endpoint.requests] == [True, True]
    assert [asks_for_the_language_of_the_goal(request) for request in endpoint.requests] == [True, True]
    assert population("Évora") in contents(endpoint.requests[1])[-1]
    assert (result.output, result.token_usage.requests) == (ANSWER, 2)


def test_a_goal_in_another_language_is_asked_in_the_same_words_as_one_in_english() -> None:
    """Nothing guesses the language: the prompt differs in the goal alone."""
    with Endpoint(answer(ANSWER)) as endpoint:
        ask(endpoint)
        run_agent("Say hello.", model="openai-chat:any", base_url=endpoint.base_url, api_key="k")
    portuguese, english = (contents(request) for request in endpoint.requests)
    assert [text.replace(GOAL, "Say hello.") for text in portuguese] == english
