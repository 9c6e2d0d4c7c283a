"""The scripted model: what an entry of the script stands for."""

import asyncio

import pytest
from pydantic import BaseModel

from tagent import arun_agent
from tagent.ports.language_model import Message, ModelReply, ModelRequest, TokenUsage
from tagent.ports.model_errors import ModelOutputError, ModelRateLimitError
from tagent.task_agent.answers import Answer, Evaluation, answer_type
from tagent.task_agent.plans import plan_type
from tagent.testing import ScriptedModel


class City(BaseModel):
    name: str


def search(query: str = "") -> None: ...


def answer_request(output_type: object = str) -> ModelRequest:
    return ModelRequest("answer", (Message("user", "Goal"),), answer_type(output_type))


def plan_request() -> ModelRequest:
    return ModelRequest("plan", (), plan_type(("search",)))


async def answered(model: ScriptedModel, request: ModelRequest | None = None) -> Answer:
    reply = await model.ask(request or answer_request())
    assert isinstance(reply.output, Answer)
    return reply.output


async def test_gives_its_entries_in_order_and_keeps_what_it_was_asked() -> None:
    """A test reads like the conversation, and can look at the prompts."""
    model = ScriptedModel(["one", "two"])
    request = answer_request()
    assert [(await answered(model, request)).output for _ in range(2)] == ["one", "two"]
    assert model.requests == [request, request]


async def test_an_entry_for_an_answer_is_the_output_itself() -> None:
    """Text, a dict or a model, as the goal's output format wants it."""
    for entry in ({"name": "Oslo"}, City(name="Oslo")):
        assert (await answered(ScriptedModel([entry]), answer_request(City))).output == City(name="Oslo")


async def test_an_entry_may_say_that_the_goal_is_not_achieved() -> None:
    """Such an answer needs no output."""
    answer = await answered(ScriptedModel([{"not_achieved_because": "no", "do_next": "ask"}]))
    assert (answer.output, answer.not_achieved_because, answer.do_next) == (None, "no", "ask")


async def test_an_entry_for_a_plan_is_a_list_of_tasks() -> None:
    """A test need not write what it does not care about."""
    reply = await ScriptedModel([[{"tool_name": "search"}]]).ask(plan_request())
    assert isinstance(reply.output, BaseModel)
    assert reply.output.model_dump() == {"tasks": [{"description": "", "tool_name": "search", "tool_args": {}}]}


async def test_an_entry_for_a_judgement_needs_no_reason() -> None:
    """With `separate_evaluation` a script holds one before the answer."""
    model = ScriptedModel([{"achieved": False, "do_next": "search"}, {"achieved": True, "reason": "It is there."}])
    given = [(await model.ask(ModelRequest("evaluate", (), Evaluation))).output for _ in range(2)]
    assert given == [
        Evaluation(achieved=False, reason="", do_next="search"),
        Evaluation(achieved=True, reason="It is there."),
    ]


async def test_a_plan_may_be_written_as_a_model_would() -> None:
    """What is copied from a journal works, too."""
    reply = await ScriptedModel([{"tasks": [{"tool_name": "search"}]}]).ask(plan_request())
    assert isinstance(reply.output, BaseModel)
    assert reply.output.model_dump() == {"tasks": [{"description": "", "tool_name": "search", "tool_args": {}}]}


async def test_free_text_is_given_as_it_is() -> None:
    """The port is not only for agents."""
    reply = await ScriptedModel(["text"]).ask(ModelRequest("evaluate", (), str))
    assert reply.output == "text"


async def test_a_function_sees_the_request() -> None:
    """For answers that depend on the prompt, or that count the calls."""
    assert (await answered(ScriptedModel(lambda request: request.purpose))).output == "answer"
    assert (await answered(ScriptedModel([lambda request: request.messages[0].content]))).output == "Goal"


@pytest.mark.parametrize(
    "script",
    [
        [ModelRateLimitError("m")],
        [lambda _: ModelRateLimitError("m")],
        lambda _: ModelRateLimitError("m"),
    ],
)
async def test_an_exception_is_raised(script: object) -> None:
    """However it came into the script: failures of a provider are tested like answers."""
    with pytest.raises(ModelRateLimitError):
        await ScriptedModel(script).ask(answer_request())  # type: ignore[arg-type]  # the union of the cases


@pytest.mark.parametrize("misfit", [["x"], [{"tool_name": "unknown"}], "text", [{"tool_name": "search", "extra": 1}]])
async def test_an_entry_that_does_not_fit_is_followed_by_a_reask(misfit: object) -> None:
    """As with a real model, each try is paid for."""
    model = ScriptedModel([misfit, misfit, []], usage=TokenUsage(3, 2, 1), cost_usd=0.5)
    reply = await model.ask(plan_request())
    assert (reply.usage, reply.cost_usd) == (TokenUsage(9, 6, 3), 1.5)
    assert len(model.requests) == 1


async def test_three_entries_that_do_not_fit_are_an_error_with_what_was_spent() -> None:
    """The reason is named; the cost is not lost."""
    model = ScriptedModel(["x", "y", "z", 4], usage=TokenUsage(3, 2, 1), cost_usd=None, name="mine")
    with pytest.raises(ModelOutputError, match=r"mine never gave an answer that fits: .*integer") as raised:
        await model.ask(answer_request(int))
    assert raised.value.spent == ModelReply(None, "mine", TokenUsage(9, 6, 3), None)
    assert (await answered(model, answer_request(int))).output == 4


async def test_an_empty_script_fails_the_test_and_says_what_was_asked() -> None:
    """One model call too many is a mistake that a test should find."""
    with pytest.raises(AssertionError, match="'scripted' has no answer to a 'plan' request"):
        await ScriptedModel().ask(plan_request())


async def test_a_script_that_ends_at_an_entry_that_does_not_fit_says_why_it_does_not() -> None:
    """Else the mistake looks like an entry that is missing."""
    with pytest.raises(AssertionError) as raised:
        await ScriptedModel(["many"]).ask(answer_request(int))
    assert "'scripted' has no other answer to an 'answer' request, and its last entry does not fit: output" in str(
        raised.value
    )
    checked = ModelRequest("answer", (), int, check=lambda _: "It is odd.")
    with pytest.raises(AssertionError, match=r"does not fit: It is odd\.$"):
        await ScriptedModel([1]).ask(checked)
    with pytest.raises(ModelOutputError, match=r"that fits: It is odd\.$"):
        await ScriptedModel([1, 3, 5]).ask(checked)


async def test_an_answer_may_take_its_time() -> None:
    """For tests of what happens meanwhile."""
    assert (await answered(ScriptedModel(["late"], seconds=0.001))).output == "late"


async def test_a_script_may_be_async() -> None:
    """A test may wait for something before the model answers."""

    async def answer(request: ModelRequest) -> str:
        await asyncio.sleep(0)
        return f"{request.purpose} given"

    for script in (answer, [answer]):
        assert (await arun_agent("Say it", model=ScriptedModel(script))).output == "answer given"
