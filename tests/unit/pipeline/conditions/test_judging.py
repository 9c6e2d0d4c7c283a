"""What conditions come to, and why."""

import pytest

from tagent.pipeline.conditions import ConditionError, condition_of, exists, field

VALUES: dict[str, object] = {
    "steps": {
        "sentiment": {"score": 6.5, "label": "good", "topics": ["price", "speed"]},
        "search": {"items": [{"price": 3}, {"price": -1}], "note": None},
    },
    "inputs": {"region": "eu", "most": 10},
}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("steps.sentiment.score > 7.0", "steps.sentiment.score > 7.0 is false: steps.sentiment.score is 6.5"),
        (
            "steps.sentiment.score > 7.0 && inputs.region == 'eu'",
            "steps.sentiment.score > 7.0 is false: steps.sentiment.score is 6.5",
        ),
        (
            "steps.sentiment.score > 6 && inputs.region == 'eu'",
            "steps.sentiment.score > 6 is true: steps.sentiment.score is 6.5; "
            'inputs.region == "eu" is true: inputs.region is "eu"',
        ),
        (
            "steps.missing.ok || inputs.region == 'eu'",
            'inputs.region == "eu" is true: inputs.region is "eu"',
        ),
        ("!(inputs.region in ['us'])", '!(inputs.region in ["us"]) is true: inputs.region is "eu"'),
        ("!(inputs.region in ['eu'])", '!(inputs.region in ["eu"]) is false: inputs.region is "eu"'),
        ("!has(steps.search.next)", "!has(steps.search.next) is true"),
        (
            "!(steps.sentiment.score > 6 && inputs.region == 'eu')",
            '!(steps.sentiment.score > 6 && inputs.region == "eu") is false: '
            "steps.sentiment.score > 6 is true: steps.sentiment.score is 6.5; "
            'inputs.region == "eu" is true: inputs.region is "eu"',
        ),
        (
            "!steps.search.items.all(i, i.price > 0)",
            "!steps.search.items.all(i, i.price > 0) is true: "
            'steps.search.items.all(i, i.price > 0) is false: item [1] is {"price": -1}',
        ),
        ("has(steps.search.next)", "has(steps.search.next) is false"),
        (
            "steps.search.items.size() > inputs.most",
            "steps.search.items.size() > inputs.most is false: steps.search.items.size() is 2 and inputs.most is 10",
        ),
        (
            "steps.search.items.all(i, i.price > 0)",
            'steps.search.items.all(i, i.price > 0) is false: item [1] is {"price": -1}',
        ),
        (
            "steps.search.items.exists(i, i.price > 5)",
            "steps.search.items.exists(i, i.price > 5) is false: it holds for none of its items (2)",
        ),
        (
            "steps.search.items.exists_one(i, i.price > 0)",
            "steps.search.items.exists_one(i, i.price > 0) is true: it holds for 1 of its items (2)",
        ),
        (
            "inputs.region == 'us' ? true : steps.sentiment.score > 1.0",
            'inputs.region == "us" is false: inputs.region is "eu"; '
            "steps.sentiment.score > 1.0 is true: steps.sentiment.score is 6.5",
        ),
        (
            "steps.sentiment.label.startsWith('go')",
            'steps.sentiment.label.startsWith("go") is true: steps.sentiment.label is "good"',
        ),
    ],
)
def test_the_reason_names_what_decided_and_what_it_saw(text: str, reason: str) -> None:
    """`skipped: condition_false` alone sends people to the debugger."""
    assert condition_of(text).judge(VALUES).reason == reason


def test_a_value_in_a_reason_is_short_and_harmless() -> None:
    """It comes from a model or a tool: it must not fill the log, or move the cursor of a terminal."""
    nested: object = []
    for _ in range(100_000):
        nested = [nested]
    for value in ("\x1b[2J\x9b\u202e" + "x" * 10_000_000, nested, {"k" * 1000: 1}, 10**5000, [1] * 1_000_000):
        reason = condition_of("inputs.it == 0").judge({"inputs": {"it": value}}).reason
        assert reason.isprintable()
        assert len(reason) < 100


@pytest.mark.parametrize(
    ("text", "problem", "path"),
    [
        ("steps.sentiment.scor > 7", "steps.sentiment has no 'scor'. Did you mean 'score'?", "steps.sentiment.scor"),
        ("steps.sentimnt.score > 7", "Did you mean 'sentiment'?", "steps.sentimnt.score"),
        (
            "steps.search.items[2].price > 1",
            "steps.search.items has 2 items, so there is no [2].",
            "steps.search.items[2].price",
        ),
        ("steps.search.note.x == 1", "steps.search.note is null, not a map", "steps.search.note.x"),
        ("steps.sentiment.label > 7", "> does not go with a string and an int.", ""),
        ("steps.sentiment.score", "it gives a double, not a bool.", ""),
        ("steps.sentiment.score && inputs.most > 1", "&& does not go with a double.", ""),
        ("output.ok", "there is no 'output' here.", "output.ok"),
        ("inputs.most / 0 == 1", "/ has 0 on its right.", ""),
        ("inputs.most + 9223372036854775807 > 0", "the result of + has more than 64 bits.", ""),
        ("steps.sentiment.label.all(i, true)", "only a list can be looked through, not a string.", ""),
    ],
)
def test_a_condition_without_an_answer_says_why(text: str, problem: str, path: str) -> None:
    """The step fails for it: whoever reads that has to find the misspelt word."""
    with pytest.raises(ConditionError) as raised:
        condition_of(text).judge(VALUES)
    assert problem in raised.value.message
    assert (raised.value.path, raised.value.code) == (path, "pipeline.condition")


def test_an_error_never_shows_a_value() -> None:
    """Errors go to logs and other machines; outputs must not."""
    with pytest.raises(ConditionError) as raised:
        condition_of("inputs.key > 1").judge({"inputs": {"key": "sk-secret"}})
    assert "secret" not in str(raised.value)


def test_what_is_missing_can_be_asked_for() -> None:
    """A step that was left out has no output; the condition goes on without it, at whichever depth."""
    for text in ("has(steps.left.out)", "has(steps.left)", "has(steps.search.items[2].price)", "has(inputs.region.x)"):
        assert not condition_of(text).judge(VALUES).holds
    assert condition_of("!has(steps.left) || steps.left.score > 7").judge(VALUES).holds
    assert exists("search.note").judge(VALUES).holds  # null is something


@pytest.mark.parametrize("path", ["__class__", "__class__.__init__.__globals__", "items", "get", "keys", "0"])
def test_nothing_but_keys_and_places_is_looked_at(path: str) -> None:
    """An attribute of a Python object leads to everything; a condition may come from a stranger."""
    for value in ({}, [1], "text", object(), condition_of):
        written = f"inputs.it{''.join(f'[{part!a}]' for part in path.split('.'))}"
        assert not condition_of(f"has({written})").judge({"inputs": {"it": value}}).holds
        with pytest.raises(ConditionError):
            condition_of(f"{written} == 1").judge({"inputs": {"it": value}})


def test_numbers_compare_by_value_and_bools_are_none() -> None:
    """A model writes 7 where 7.0 is meant; but true is not 1, which Python holds."""
    for text in ("7 == 7.0", "1 != true", "[1, 2.0] == [1.0, 2]", "1.0 in [1]", "!(true in [1])", "7 > 6.9"):
        assert condition_of(text).judge({}).holds, text


def test_what_is_no_number_has_no_order() -> None:
    """`score > 7` and `score <= 7` would both be false, and nobody would notice."""
    values = {"inputs": {"score": float("nan")}}
    for text in ("inputs.score > 7.0", "inputs.score <= 7.0", "7 < inputs.score"):
        with pytest.raises(ConditionError, match="does not go with NaN"):
            condition_of(text).judge(values)
    assert condition_of("inputs.score != inputs.score").judge(values).holds


def test_whole_numbers_beyond_64_bits_compare_but_do_not_calculate() -> None:
    """JSON has no limit for numbers; an id of 20 digits in some output must not break a condition beside it."""
    values = {"inputs": {"id": 2**70}}
    assert condition_of("inputs.id > 1 && inputs.id == inputs.id && inputs.id != 1.0").judge(values).holds
    with pytest.raises(ConditionError, match="at most 64 bits"):
        condition_of("inputs.id - 1 > 0").judge(values)


def test_a_text_and_an_object_give_the_same_verdict() -> None:
    """One meaning for both: the reason is the same, too."""
    by_text = condition_of("steps.sentiment.score > 7 && !(inputs.region in ['us', 'uk'])")
    by_object = (field("sentiment.score") > 7) & ~field("inputs.region").is_in(["us", "uk"])
    assert by_text == by_object
    assert by_text.judge(VALUES) == by_object.judge(VALUES)


def test_a_text_in_the_place_of_a_bool_is_told_how_a_bool_is_given() -> None:
    """On the command line `--input send=true` is a text."""
    with pytest.raises(ConditionError) as raised:
        condition_of("inputs.send").judge({"inputs": {"send": "true"}})
    assert raised.value.hint.endswith("as --input send:=true.")
    with pytest.raises(ConditionError) as raised:
        condition_of("steps.a").judge({"steps": {"a": "true"}})
    assert raised.value.hint == "Compare it with something."
