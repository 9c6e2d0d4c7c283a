"""A language model that answers from a script."""

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python

from tagent.ports.language_model import AnswerStreamed, ModelReply, ModelRequest, TokenUsage
from tagent.ports.model_errors import ModelOutputError
from tagent.task_agent.answers import Answer, Evaluation

Entry = object
Script = Iterable[Entry] | Callable[[ModelRequest], Entry]


class ScriptedModel:
    """Gives the answers of a script, in order, and keeps what it was asked.

    Each entry answers one request. For a plan it is a list of tasks (`{"tool_name": ..., "tool_args":
    ...}`); for an answer the output itself: text, a dict, a Pydantic model; or `{"not_achieved_because": ...}`.
    With `separate_evaluation` a judgement stands before the answer: `{"achieved": True}`, or `{"achieved": False,
    "reason": ..., "do_next": ...}`; of tasks and judgements what is left out is empty. An exception is raised, a
    function, async or not, is called with the request and returns an entry. An entry that does not fit its request
    is followed by a re-ask, which takes the next entry, as often as the request allows.

    Attributes:
        name: Its name.
        context_tokens: How many tokens of data a prompt may carry; None means no limit.
        requests: What it was asked, in order.

    Args:
        script: Entries, or one function, async or not, that makes an entry for every request.
        name: The model's name in results.
        seconds: How long each answer takes.
        usage: What each request is said to consume.
        cost_usd: What each request is said to cost; None for an unknown price.

    Example:
        >>> from tagent import run_agent
        >>> model = ScriptedModel([{"not_achieved_because": "No such package."}])
        >>> run_agent("Describe it", model=model).failure_reason
        'No such package.'
    """

    def __init__(
        self,
        script: Script = (),
        *,
        name: str = "scripted",
        seconds: float = 0.0,
        usage: TokenUsage | None = None,
        cost_usd: float | None = 0.0,
    ) -> None:
        self.name = name
        self.context_tokens: int | None = None
        self.requests: list[ModelRequest] = []
        self._make: Callable[[ModelRequest], Entry] | None = script if callable(script) else None
        self._entries = iter(()) if callable(script) else iter(script)
        self._seconds = seconds
        self._usage = usage or TokenUsage(input_tokens=10, output_tokens=5, requests=1)
        self._cost_usd = cost_usd

    async def ask(self, request: ModelRequest) -> ModelReply:
        """Return the script's next answer.

        Raises:
            AssertionError: If the script is at its end; it says why the entry before did not fit, if it did not.
            ModelOutputError: If no entry fits, as many as the request allows re-asks.
        """
        self.requests.append(request)
        usage = TokenUsage()
        cost: float | None = 0.0
        problems = ""
        adapter: TypeAdapter[object] = TypeAdapter(cast("Any", request.output_type))
        for _ in range(1 + request.max_reasks):
            if self._seconds:
                await asyncio.sleep(self._seconds)
            entry = await self._next(request, problems)
            usage += self._usage
            cost = None if self._cost_usd is None or cost is None else cost + self._cost_usd
            try:
                output = adapter.validate_python(_as_asked(entry, request))
            except ValidationError as caught:
                problems = "; ".join(map(_told, caught.errors(include_input=False)))
                continue
            problems = request.check(output) if request.check else ""
            if not problems:
                await _stream(output, request)
                return ModelReply(output, self.name, usage, cost)
        message = f"{self.name} never gave an answer that fits: {problems.rstrip('.')}."
        error = ModelOutputError(self.name, message, problems=problems)
        error.spent = ModelReply(None, self.name, usage, cost)
        raise error

    async def _next(self, request: ModelRequest, problems: str) -> Entry:
        """Return the next entry for `request`; `problems` says why the one before did not fit, empty if there is none.

        Raises:
            AssertionError: If there is no more.
        """
        if self._make is not None:
            entry = self._make(request)
        else:
            try:
                entry = next(self._entries)
            except StopIteration:
                kind = f"{'a' if request.purpose == 'plan' else 'an'} {request.purpose!r} request"
                message = f"The script of {self.name!r} has no answer to {kind}."
                if problems:
                    message = (
                        f"The script of {self.name!r} has no other answer to {kind}, "
                        f"and its last entry does not fit: {problems.rstrip('.')}."
                    )
                raise AssertionError(message) from None
        if callable(entry) and not isinstance(entry, type):
            entry = entry(request)
        if inspect.isawaitable(entry):
            entry = await entry
        if isinstance(entry, Exception):
            raise entry
        return entry


def _as_asked(entry: Entry, request: ModelRequest) -> object:
    """Return the entry in the form that the request's type has: a plan's, a judgement's or an answer's."""
    plain = to_jsonable_python(entry)
    if request.purpose == "plan" and isinstance(plain, dict) and isinstance(plain.get("tasks"), list):
        return {**plain, "tasks": _whole_tasks(plain["tasks"])}
    if request.purpose == "plan" and isinstance(plain, list):
        return {"tasks": _whole_tasks(plain)}
    if request.output_type is Evaluation and isinstance(plain, dict):
        return {"reason": "", **plain}
    is_answer = isinstance(request.output_type, type) and issubclass(request.output_type, Answer)
    is_refusal = isinstance(plain, dict) and "not_achieved_because" in plain
    if is_refusal and is_answer:
        return {"output": None, **plain}
    return {"output": entry if isinstance(entry, BaseModel) else plain} if is_answer else plain


def _whole_tasks(tasks: list[object]) -> list[object]:
    """Return the tasks with what a plan must say and a test need not."""
    defaults = {"description": "", "tool_args": {}}
    return [defaults | task if isinstance(task, dict) else task for task in tasks]


def _told(problem: ErrorDetails) -> str:
    """Return what is wrong with an entry, and where."""
    where = ".".join(map(str, problem["loc"]))
    return f"{where}: {problem['msg']}" if where else problem["msg"]


async def _stream(output: object, request: ModelRequest) -> None:
    """Say a text word by word, as a model that streams does."""
    text = output.output if isinstance(output, Answer) else output
    if not (request.streams and request.notify and isinstance(text, str)):
        return
    for end in [place for place, letter in enumerate(text) if letter == " "] + [len(text)]:
        await request.notify(AnswerStreamed(text[:end]))
