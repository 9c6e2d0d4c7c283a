"""One batch of cases in one process: `python -m fuzz.batch KIND SEED COUNT [--tell]`.

Each case may take one second of the processor's time. When it takes more, a timer of the kernel ends the process,
whatever it is doing; nothing in it has to cooperate. With `--tell` each case is printed before it is tried, so that
the last line names the one that broke the process.
"""

import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from random import Random

from fuzz.cases import random_condition
from fuzz.definitions import random_definitions
from fuzz.hostile import HOSTILE, VALUES
from tagent.exceptions import TAgentError
from tagent.pipeline.conditions import ConditionError, condition_of, condition_problems

SECONDS = 1.0
"""Processor time for one case."""

Case = tuple[str, Callable[[], object]]


def read_and_judge(text: str) -> str:
    """Read a condition, check it, write it, read that again, and judge it; return how it ended.

    Raises:
        AssertionError: If what is written is not the same condition.
    """
    try:
        condition = condition_of(text)
    except ConditionError as error:
        return _told("cannot be read", error)
    problems = list(condition_problems(condition, step_types={"a": None, "b": int}, inputs=None))
    if condition_of(condition.text) != condition:
        raise AssertionError(f"It is written as another condition: {condition.text!r}")
    if not all(isinstance(part, str) for problem in problems for part in problem):
        raise AssertionError("A problem is no text.")
    try:
        verdict = condition.judge(VALUES)
    except ConditionError as error:
        return _told("cannot be answered", error)
    verdict.reason.encode()
    return f"is {verdict.holds}"


def _told(outcome: str, error: ConditionError) -> str:
    """Return `outcome`, after making sure that the error can be shown."""
    str(error).encode()
    return outcome


def conditions(seed: int, count: int) -> Iterator[Case]:
    """Yield `count` random conditions, after the hostile ones if the seed is 0."""
    random = Random(seed)  # noqa: S311 - a case must be the same again
    for text in HOSTILE if seed == 0 else ():
        yield text, lambda text=text: read_and_judge(text)  # type: ignore[misc]  # a default binds it now
    for _ in range(count):
        text = random_condition(random)
        yield text, lambda text=text: read_and_judge(text)  # type: ignore[misc]  # likewise


def definitions(seed: int, count: int) -> Iterator[Case]:
    """Yield `count` random definitions: documents and pipelines."""
    for told, case in random_definitions(Random(seed), count):  # noqa: S311 - likewise
        yield told, lambda case=case: _ended(case)  # type: ignore[misc]  # likewise


def _ended(case: Callable[[], object]) -> object:
    try:
        return case()
    except TAgentError as error:
        str(error).encode("utf-8", "backslashreplace")
        return error.code


KINDS: dict[str, Callable[[int, int], Iterator[Case]]] = {"conditions": conditions, "definitions": definitions}


def main(kind: str, seed: int, count: int, *, is_telling: bool) -> None:
    """Try the cases of a batch and print how many ended in which way."""
    outcomes: Counter[object] = Counter()
    for number, (told, case) in enumerate(KINDS[kind](seed, count)):
        if is_telling:
            sys.stdout.write(f"{number} {told[:2000]!a}\n")
            sys.stdout.flush()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        outcomes[case()] += 1
        signal.setitimer(signal.ITIMER_PROF, 0)
    sys.stdout.write(f"{outcomes.total()} cases: {dict(outcomes)}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), is_telling="--tell" in sys.argv)
