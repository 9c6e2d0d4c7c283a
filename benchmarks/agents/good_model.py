"""What a model that behaves well answers: it does what is asked, in the shape that is asked for. Pure.

It looks at the prompt and the schema, never at who asks. A schema is found where either package puts it: in
`response_format`, or written into the prompt. What it must fill without having anything to say gets one word, so that
no package pays for long-winded answers in its later prompts.
"""

import json
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.agents.goals import Goal, goal_in
from benchmarks.agents.prompt_size import prompt_of

ASIDE = "None."
"""What it says where it has nothing to say."""

REFUSAL = "Nobody can know that."
BUILT_IN_TOOL = "llm_task"
"""The older package's tool for a task that needs no tool; its planner is told to use it then."""

Schema = Mapping[str, Any]


class NotUnderstoodError(Exception):
    """The request is none that this model can answer; the endpoint says so with status 400."""


def reply_to(body: Mapping[str, Any]) -> str:
    """Return the content of the answer to a chat completion's request.

    Raises:
        NotUnderstoodError: If the goal is unknown, or tool calls are asked for.

    Example:
        >>> reply_to({"messages": [{"role": "user", "content": "Goal: Say the number 8."}]})
        'The number is 8.'
    """
    if body.get("tools"):
        raise NotUnderstoodError("It answers in text or JSON, not with tool calls.")
    prompt = prompt_of(body)
    goal = goal_in(prompt)
    if goal is None:
        raise NotUnderstoodError("The goal is none that it knows.")
    schema = _schema_asked_for(body, prompt)
    has_evidence = all(text in prompt for text in goal.evidence)
    answer = goal.answer if has_evidence else None
    if schema is None:
        return answer or REFUSAL
    known: Mapping[str, Callable[[], object]] = {
        "tasks": lambda: _tasks(goal, prompt),
        "output": lambda: answer,
        "not_achieved_because": lambda: None if answer else REFUSAL,
        "achieved": lambda: answer is not None,
        "goal_achieved": lambda: answer is not None,
        "failure_reason": lambda: None if answer else REFUSAL,
        "result": lambda: answer or REFUSAL,
    }
    facts = {name: tell() for name, tell in known.items() if name in schema.get("properties", {})}
    return json.dumps(_filled(schema, schema.get("$defs", {}), facts), ensure_ascii=False)


def _schema_asked_for(body: Mapping[str, Any], prompt: str) -> Schema | None:
    """Return the schema of the answer; None when text will do."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema: Schema = wanted["json_schema"]["schema"]
        return schema
    marker = "following schema: "
    start = prompt.find(marker)
    if start < 0:
        return None
    found, _ = json.JSONDecoder().raw_decode(prompt, start + len(marker))
    return found if isinstance(found, dict) else None


def _tasks(goal: Goal, prompt: str) -> list[dict[str, Any]]:
    if goal.calls:
        return [
            {"description": f"Call {call.tool_name}.", "tool_name": call.tool_name, "tool_args": dict(call.tool_args)}
            for call in goal.calls
        ]
    if BUILT_IN_TOOL in prompt:
        return [{"description": "Answer.", "tool_name": BUILT_IN_TOOL, "tool_args": {"prompt": goal.text}}]
    return []


def _filled(schema: Schema, definitions: Schema, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return an object that fits: the `facts`, then what is required besides. It leaves out all else."""
    properties = schema.get("properties", {})
    filled = {name: value for name, value in facts.items() if name in properties}
    for name in schema.get("required", ()):
        if name not in filled:
            filled[name] = _anything(properties[name], definitions)
    if isinstance(filled.get("tasks"), list):
        item = _resolved(properties["tasks"].get("items", {}), definitions)
        filled["tasks"] = [_filled(_shape_for(item, task, definitions), definitions, task) for task in filled["tasks"]]
    return filled


def _shape_for(item: Schema, task: Mapping[str, Any], definitions: Schema) -> Schema:
    """Return the shape of one task: where tasks differ by tool, the one that names the tool."""
    for option in (*item.get("anyOf", ()), *item.get("oneOf", ())):
        shape = _resolved(option, definitions)
        named = shape.get("properties", {}).get("tool_name", {})
        if task["tool_name"] in (named.get("const"), *named.get("enum", ())):
            return shape
    return item


def _anything(schema: Schema, definitions: Schema) -> Any:
    """Return the smallest value that fits `schema`."""
    schema = _resolved(schema, definitions)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    options = [_resolved(option, definitions) for option in schema.get("anyOf", ())]
    if options:
        return None if {"type": "null"} in options else _anything(options[0], definitions)
    if schema.get("type") == "object":
        return _filled(schema, definitions, {})
    return {"array": [], "boolean": False, "integer": 0, "number": 0, "null": None}.get(schema.get("type", ""), ASIDE)


def _resolved(schema: Schema, definitions: Schema) -> Schema:
    reference = schema.get("$ref", "")
    target: Schema = definitions[reference.rpartition("/")[2]] if reference else schema
    return target
