"""Texts of conditions: what is read, and what is refused with what to write instead."""

import pytest

from tagent.pipeline.conditions import ConditionError, condition_of


def refusal(text: str) -> ConditionError:
    """Return the error of a text that cannot be read."""
    with pytest.raises(ConditionError) as raised:
        condition_of(text)
    return raised.value


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("steps.a.n = 1", "Write == for equality."),
        ("steps.a.ok & steps.b.ok", "Write && between parts that must both hold."),
        ("steps.a.ok | steps.b.ok", "Write || between parts of which one must hold."),
        ("steps.a.ok and steps.b.ok", "Write && between parts that must both hold."),
        ("not steps.a.ok", "Write ! before what must not hold."),
        ("steps.a.ok == True", "Write true."),
        ("steps.a.x == None", "Write null."),
        ("a.n > 1", "Write steps.a or inputs.a for a value, and quotation marks for a text."),
        ("steps.a.items.map(x, x * 2).size() > 1", "Compute it in a step, and compare its output."),
        ("steps.a.items.filter(x, x > 2).size() > 1", "Compute it in a step, and compare its output."),
        ("steps.a.name.matches('a+')", "Use startsWith, endsWith, contains or in;"),
        ("timestamp(steps.a.at) > timestamp('2026-01-01T00:00:00Z')", "Times are text here"),
        ("duration('1h') > duration('1m')", "Times are text here"),
        ("len(steps.a.items) > 1", "Write size()."),
        ("steps.a.name.startWith('x')", "Did you mean 'startsWith'?"),
        ("steps.a == {'n': 1}", "Maps cannot be written; compare fields one by one."),
        ("steps.my-step.n > `1`", 'Write ["..."] for a name that is no word.'),
        ("steps.a.in == 1", 'Write ["in"].'),
        ("steps.a.items[-1] == 1", "Places count from 0."),
        ("steps.a.items[inputs.n] == 1", "Places count from 0."),
        ("[1, 2][0] == 1", "Compute it in a step"),
        ("steps == 1", "Name one: steps.NAME."),
        ("inputs[0] == 1", "Name one: inputs.NAME."),
        ("has(output)", "Write has(steps.NAME.field)."),
        ("steps.a.x.all(x, x.all(y, y > 0))", "Compute it in a step"),
        ("steps.a.x.all(steps, steps > 0)", "Write all(item, item > 0)."),
        ("steps.a.n > 9223372036854775808", "Write it with a decimal point."),
        ("steps.a.n > 1u", "Leave out the u."),
        ("steps.a.s == 'never ends", "close it with the same quotation mark"),
        ("steps.a.s == '''three'''", "Use one, and \\n."),
        (r"steps.a.s == '\d'", "Write \\\\ for a backslash."),
    ],
)
def test_a_text_that_is_refused_says_what_to_write_instead(text: str, hint: str) -> None:
    """People bring Python, SQL and all of CEL with them; a bare syntax error would send them to search."""
    assert hint in refusal(text).hint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "at character 1: it is empty."),
        ("steps.a.n >", "at character 12: it ends where it should go on"),
        ("(steps.a.n > 1", "')' is expected here"),
        ("steps.a.n > 1)", "at character 14: an operator like && is expected here, not ')'."),
        ("steps.a.n 1", "at character 11: an operator like && is expected here, not '1'."),
        ("steps.a..n", "a name is expected behind the dot"),
        ("has(1)", "has() takes a path."),
        ("size(1, 2)", "size() takes 1 argument, not 2."),
        ("steps.a.s == b'x'", "texts with 'b' before them are not part of the language."),
        ("1e999 > 0.0", "the number is too large."),
        (r"steps.a.s == '\ud800'", "half a character"),
        ("steps.a.s == '\ud800'", "half a character"),
        ("steps.a.n > 1 \x00", "'\\x00' means nothing here."),
    ],
)
def test_an_error_says_where_it_is(text: str, problem: str) -> None:
    """In a line of a hundred characters the eye needs the place."""
    assert problem in refusal(text).message


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("(steps.a.n)>1 // why", "steps.a.n > 1"),
        ("steps['my-step'].in_ == 1", 'steps["my-step"].in_ == 1'),
        ("steps.a['in'][0]['if'] == 0x1F", 'steps.a["in"][0].if == 31'),
        ("!(inputs.a && (inputs.b || inputs.c))", "!(inputs.a && (inputs.b || inputs.c))"),
        ("inputs.a && (inputs.b && inputs.c)", "inputs.a && inputs.b && inputs.c"),
        ("inputs.a - (inputs.b - inputs.c) == -inputs.d", "inputs.a - (inputs.b - inputs.c) == -inputs.d"),
        ("(inputs.a ? inputs.b : inputs.c) ? true : false", "(inputs.a ? inputs.b : inputs.c) ? true : false"),
        ("size(inputs.a) > 0", "inputs.a.size() > 0"),
        (r"inputs.a == 'it\'s \"\101\x41A\U0001F600\n'", r'inputs.a == "it\'s \"AAA\U0001f600\n"'.replace(r"\'", "'")),
        ("inputs.a in [1,2.5,'x',null,true,]", 'inputs.a in [1, 2.5, "x", null, true]'),
        ("!!inputs.a", "inputs.a"),
        ("--1 == -(1)", "1 == -(1)"),
        ("-((1).size()) == 1", "-(1.size()) == 1"),
    ],
)
def test_a_condition_is_written_in_one_form(text: str, written: str) -> None:
    """Definitions are compared by their text: what means the same should look the same."""
    assert condition_of(text).text == written
    assert condition_of(written) == condition_of(text)


def test_a_condition_knows_what_it_reads() -> None:
    """The steps that it reads are the ones it waits for."""
    condition = condition_of(
        "steps.a.n > 1 && has(steps['b c'].x) || inputs.region == 'eu' && output.items.all(i, i > 0)"
    )
    assert condition.steps == {"a", "b c"}
    assert condition.inputs == {"region"}
    assert condition.functions == ()


def test_a_text_that_is_no_text_is_refused() -> None:
    """A definition may hold anything; `condition=True` is easily written for `enabled=True`."""
    for given in (True, 1, None, ["steps.a.ok"]):
        with pytest.raises(ConditionError, match="A condition is a text, a condition or a function, not"):
            condition_of(given)  # type: ignore[arg-type]  # the mistake
