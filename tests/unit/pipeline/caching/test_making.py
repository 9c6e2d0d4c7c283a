"""What a function is made of: two that do the same are the same, two that do not are not."""

import functools
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from tagent.pipeline.caching import making
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.making import made_of

PROGRAM = """
import functools, json
calls, counts, total = [], {"n": 0}, 0
rates = {"tea": 2}
PROMPT = "Describe"

def note(text):
    calls.append(text)

def helper(name):
    return rates[name]

def work(name: str) -> int:
    global total
    total += 1
    counts["n"] += 1
    note(name)
    return helper(name) * len(PROMPT)
"""


def program(**changes: str) -> dict[str, Any]:
    """Return the names of a program, in which texts are replaced."""
    source = PROGRAM
    for old, new in changes.items():
        source = source.replace(old, new)
    names: dict[str, Any] = {"__name__": "a_program"}
    exec(compile(source, "program.py", "exec"), names)  # noqa: S102
    return names


def test_the_same_program_is_the_same_in_another_process() -> None:
    """Only then is anything found that an earlier run has kept."""
    assert made_of(program()["work"]) == made_of(program()["work"])


@pytest.mark.parametrize(
    "changes",
    [
        {"rates[name]": "rates[name] + 1"},
        {'{"tea": 2}': '{"tea": 3}'},
        {'PROMPT = "Describe"': 'PROMPT = "Explain"'},
        {"* len(PROMPT)": "+ len(PROMPT)"},
        {"(text):\n": "(text, twice=2):\n"},
    ],
    ids=["a helper", "data", "a constant", "its code", "a default"],
)
def test_what_a_function_reads_of_its_program_counts(changes: dict[str, str]) -> None:
    """An output of code that has been mended since is wrong."""
    names = {"__name__": "a_program"}
    source = PROGRAM
    for old, new in changes.items():
        assert old in source
        source = source.replace(old, new)
    exec(compile(source, "program.py", "exec"), names)  # noqa: S102
    assert made_of(names["work"]) != made_of(program()["work"])  # type: ignore[arg-type]  # a function


def test_comments_lines_and_names_of_functions_do_not_count() -> None:
    """Nobody wants to pay for a comment."""
    first = made_of(program()["work"])
    assert made_of(program(**{"def work(": "# why\n\n\ndef work("})["work"]) == first
    assert made_of(program(**{"def work(": "def other("})["other"]) == first


def test_what_a_function_itself_changes_does_not_count() -> None:
    """A list of calls and a counter are its record, not what its output depends on."""
    names = program()
    first = made_of(names["work"])
    names["work"]("tea")
    assert (names["calls"], names["counts"], names["total"]) == (["tea"], {"n": 1}, 1)
    assert made_of(names["work"]) == first


def test_what_a_function_is_bound_to_counts() -> None:
    """A factory makes functions that do different things with the same code."""

    def times(factor: object) -> Callable[[int], object]:
        return lambda number: (number, factor)

    assert made_of(times([1, {"a": 2}])) == made_of(times([1, {"a": 2}]))
    assert len({str(made_of(times(factor))) for factor in (1, True, 1.0, "1", (1,), [1], None, {1}, b"1")}) == 9
    assert made_of(times({"b", "a", "c"})) == made_of(times({"c", "b", "a"}))

    def scaled(number: int, factor: int = 2) -> int:
        return number * factor

    assert made_of(functools.partial(scaled, factor=3)) != made_of(functools.partial(scaled, factor=4))
    assert made_of(times(scaled)) != made_of(times(functools.partial(scaled, factor=4)))


class Scorer:
    """Scores, with a weight."""

    def __init__(self, weight: object) -> None:
        self.weight = weight

    def score(self, number: int) -> object:
        """Return the score."""
        return number, self.weight


@dataclass
class Weight:
    """A weight."""

    kilograms: float


class Price(BaseModel):
    """A price."""

    euros: float


def test_methods_and_callable_objects_count_with_their_data() -> None:
    """Two objects of one class do different things."""
    for one, other in ((1, 2), (Weight(1), Weight(2)), (Price(euros=1), Price(euros=2))):
        assert made_of(Scorer(one).score) == made_of(Scorer(one).score)
        assert made_of(Scorer(one).score) != made_of(Scorer(other).score)


def test_locks_loggers_and_counters_are_means() -> None:
    """They say nothing about what comes out, and nearly every program has them."""

    def bound() -> Callable[[], int]:
        lock, logger, counter = threading.Lock(), logging.getLogger("x"), itertools.count()

        def work() -> int:
            with lock:
                logger.debug("works")
                return next(counter)

        return work

    assert made_of(bound()) == made_of(bound())


def test_what_is_neither_data_nor_code_cannot_be_looked_at() -> None:
    """A guess would hand over what a client for another address gave."""
    client = memoryview(b"a socket, for example")
    with pytest.raises(UnkeyableError, match="class memoryview") as raised:
        made_of(lambda: client.nbytes)
    assert raised.value.code == "step.not_keyable"
    with pytest.raises(UnkeyableError):
        made_of(Scorer(client).score)


def test_data_without_an_end_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be looked at before each attempt."""
    monkeypatch.setattr(making, "MOST_VALUES", 100)
    long = list(range(200))
    with pytest.raises(UnkeyableError, match="more than 100"):
        made_of(lambda: long[0])


def test_what_holds_itself_comes_to_an_end() -> None:
    """A tree knows its parents; a function calls itself."""
    tree: dict[str, object] = {}
    tree["self"] = tree

    def again(number: int) -> int:
        return again(number - 1) if number else len(tree)

    assert made_of(again) == made_of(again)


def test_a_decorator_of_a_library_does_not_hide_the_function() -> None:
    """What matters is what it wraps."""

    def work(number: int) -> int:
        return number + 1

    def other(number: int) -> int:
        return number + 2

    assert made_of(functools.lru_cache(work)) != made_of(functools.lru_cache(other))
    assert made_of(len) != made_of(sum)
