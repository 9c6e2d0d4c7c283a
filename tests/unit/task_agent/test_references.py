"""References between tasks: what they find, and what they keep."""

import pytest

from tagent.exceptions import DataPathError
from tagent.task_agent.references import referenced_tasks, resolve

OUTPUT = {"n": 2, "list": [1, {"url": "https://example.org"}], "none": None, "yes": True, "text": "für", "f": 0.5}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("", OUTPUT),
        (".n", 2),
        (".f", 0.5),
        (".yes", True),
        (".none", None),
        (".list", OUTPUT["list"]),
        (".list[1].url", "https://example.org"),
        (".list[-1]", {"url": "https://example.org"}),
        (".text", "für"),
    ],
)
@pytest.mark.parametrize("form", ["{{tasks.0.output%s}}", "{{ tasks.0.output%s }}", " {{tasks[0].output%s}}\n"])
def test_a_whole_reference_keeps_the_type(path: str, value: object, form: str) -> None:
    """A tool that wants a list must not get its text."""
    resolved = resolve({"argument": form % path}, {0: OUTPUT})
    assert resolved == {"argument": value}
    assert type(resolved["argument"]) is type(value)


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("n={{tasks.0.output.n}}", "n=2"),
        ("{{tasks.0.output.n}}{{tasks.0.output.n}}", "22"),
        ("see {{tasks.0.output.list}}!", 'see [1, {"url": "https://example.org"}]!'),
        ("{{tasks.0.output.text}} {{tasks.0.output.yes}} {{tasks.0.output.none}}", "für true null"),
    ],
)
def test_inside_a_text_text_stays_text_and_the_rest_becomes_json(text: str, resolved: str) -> None:
    """A sentence or a URL is built from what earlier tasks found."""
    assert resolve(text, {0: OUTPUT}) == resolved


def test_references_are_resolved_at_any_depth() -> None:
    """Arguments are as deep as the tools want them."""
    arguments = {"a": [{"b": "{{tasks.0.output.n}}"}], "c": ("{{tasks.1.output}}", 1, None), "d": b"x"}
    assert resolve(arguments, {0: OUTPUT, 1: "one"}) == {"a": [{"b": 2}], "c": ["one", 1, None], "d": b"x"}


@pytest.mark.parametrize("text", ["", "plain", "{tasks.0.output}", "{{}}", "{{ 1 + 1 }}", "{{#if x}}"])
def test_what_is_no_reference_stays_as_it_is(text: str) -> None:
    """Braces occur in code and in templates."""
    assert resolve(text, {}) == text
    assert referenced_tasks(text) == frozenset()


def test_what_a_task_returned_is_not_resolved_again() -> None:
    """A page that holds `{{tasks.1.output}}` must not reach into another task's output."""
    assert resolve("{{tasks.0.output}}", {0: "{{tasks.1.output}}", 1: "secret"}) == "{{tasks.1.output}}"
    assert resolve("x {{tasks.0.output}}", {0: "{{tasks.1.output}}", 1: "secret"}) == "x {{tasks.1.output}}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{tasks.7.output}}", "Task 7 has no output"),
        ("{{tasks.0.output.m}}", "tasks.0.output has no field 'm'"),
        ("{{tasks.0.output.list[5]}}", "tasks.0.output.list has 2 items"),
        ("x {{tasks.0.output.m}}", "tasks.0.output has no field 'm'"),
    ],
)
def test_a_reference_that_leads_nowhere_is_an_error(text: str, message: str) -> None:
    """The planner must learn which reference was wrong; an empty text would hide it."""
    with pytest.raises(DataPathError) as raised:
        resolve(text, {0: OUTPUT})
    assert message in str(raised.value)


@pytest.mark.parametrize(
    "text", ["{{name}}", "{{tasks}}", "{{tasks.0}}", "{{tasks.0.result}}", "{{tasks.x.output}}", "{{tasks[-1].output}}"]
)
def test_a_path_to_anything_but_a_tasks_output_is_no_reference(text: str) -> None:
    """The model is told how to write one."""
    with pytest.raises(DataPathError, match=r"Write {{tasks\.N\.output}}"):
        referenced_tasks([{"a": text}])
    with pytest.raises(DataPathError, match="is no reference"):
        resolve(text, {0: OUTPUT})


def test_the_referenced_tasks_are_found_at_any_depth() -> None:
    """They are the task graph: one that is missed would start too early."""
    arguments = {"a": ["{{tasks.3.output}}", {"b": "{{tasks.1.output.x}} and {{tasks.10.output}}"}], "n": 1}
    assert referenced_tasks(arguments) == {1, 3, 10}


def test_braces_behind_a_backslash_stay_braces() -> None:
    """A tool may be given a template of its own."""
    arguments = {"template": "Dear \\{{ name }}, {{tasks.0.output.n}} of \\{{n}}"}
    assert resolve(arguments, {0: {"n": 2}}) == {"template": "Dear {{ name }}, 2 of {{n}}"}
    assert referenced_tasks(arguments) == {0}
    assert resolve("\\{{ name }}", {}) == "{{ name }}"
