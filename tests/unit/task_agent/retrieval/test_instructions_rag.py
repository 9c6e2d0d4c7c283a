"""Choosing guidance: all if it fits, else what fits the goal, never over the budget."""

import asyncio
import logging
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tagent.task_agent.retrieval.instructions_rag import InstructionsRAG
from tagent.tokens import tokens_in

DATES = "Write dates as year, month, day."
PRICES = "Quote prices in euros."
MUSIC = "Music is played in the kitchen."


def selected(instructions: Sequence[str], goal: str, *, limit_tokens: int) -> tuple[str, ...]:
    return asyncio.run(InstructionsRAG(instructions, limit_tokens=limit_tokens).select(goal))


def test_all_are_told_if_they_fit() -> None:
    """Leaving guidance out needs a reason."""
    everything = (DATES, PRICES, MUSIC)
    assert selected(everything, "anything", limit_tokens=tokens_in(everything)) == everything


def test_those_that_fit_the_goal_come_first_into_the_budget_and_keep_their_order() -> None:
    """Guidance is written to be read in order."""
    budget = tokens_in((DATES, MUSIC))
    assert selected((DATES, PRICES, MUSIC), "Play music on these dates", limit_tokens=budget) == (DATES, MUSIC)
    assert selected((DATES, PRICES, MUSIC), "What is the price?", limit_tokens=tokens_in([PRICES])) == (PRICES,)


def test_when_nothing_matches_the_first_ones_are_told() -> None:
    """What is most important is written first."""
    assert selected((DATES, PRICES, MUSIC), "Olá", limit_tokens=tokens_in((DATES, PRICES))) == (DATES, PRICES)


def test_what_does_not_fit_is_passed_over_and_never_cut() -> None:
    """Half a rule may say the opposite."""
    assert selected(("long rule " * 50, PRICES), "a long rule", limit_tokens=tokens_in([PRICES])) == (PRICES,)
    assert selected((DATES,), "dates", limit_tokens=0) == ()


def test_what_is_left_out_though_it_matters_is_told_once_for_a_set(caplog: pytest.LogCaptureFixture) -> None:
    """Guidance that is not there looks like a model that does not obey."""
    everything = ("A long rule. " * 50, DATES, PRICES, MUSIC)
    budget = tokens_in([DATES])
    with caplog.at_level(logging.WARNING, "tagent"):
        selected(everything, "Prices", limit_tokens=budget)
        selected(everything, "Quote prices and dates", limit_tokens=budget)
        selected(everything, "Quote prices and dates", limit_tokens=budget)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert told[0].startswith(f"1 of 4 instructions cannot be told, as each alone is over the budget of {budget} tok")
    assert told[1].startswith(f"1 of 4 instructions left out although they match: the budget of {budget} tokens is f")


def test_what_does_not_match_is_left_out_without_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """Choosing is what it is for."""
    with caplog.at_level(logging.WARNING, "tagent"):
        assert selected((DATES, PRICES, MUSIC), "dates", limit_tokens=tokens_in([DATES])) == (DATES,)
    assert caplog.messages == []


class Meaning:
    """Knows that cost is about prices."""

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        return [[1.0, float("prices" in text or "cost" in text)] for text in texts]


def test_an_embedder_ranks_by_meaning() -> None:
    """Guidance and goals seldom share words."""
    rag = InstructionsRAG((DATES, PRICES, MUSIC), limit_tokens=tokens_in([PRICES]), embedder=Meaning())
    assert asyncio.run(rag.select("What does it cost?")) == (PRICES,)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(max_size=60), max_size=8), st.text(max_size=100), st.integers(0, 60))
def test_the_budget_is_kept_exactly(instructions: list[str], goal: str, limit_tokens: int) -> None:
    """By the measure by which it is given."""
    chosen = selected(instructions, goal, limit_tokens=limit_tokens)
    assert tokens_in(chosen) <= limit_tokens
    remaining = iter(instructions)
    assert all(instruction in remaining for instruction in chosen)
    left_out = list(instructions)
    for instruction in chosen:
        left_out.remove(instruction)
    assert all(tokens_in([*chosen, instruction]) > limit_tokens for instruction in left_out)
