"""Chooses the guidance that fits a goal, within a budget of tokens."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Collection, Sequence

from tagent.ports.embedder import Embedder
from tagent.task_agent.retrieval.meaning import with_meaning
from tagent.task_agent.retrieval.ranking import index_of
from tagent.tokens import tokens_in

logger = logging.getLogger("tagent")

KEPT_SETS = 32
"""Of how many sets of instructions it is known that a warning was given, the latest used."""


class InstructionsRAG:
    """Chooses among instructions. Rules without which an agent cannot work do not belong here.

    Example:
        >>> import asyncio
        >>> rag = InstructionsRAG(["Write dates as 2026-11-30.", "Quote prices in euros."], limit_tokens=7)
        >>> asyncio.run(rag.select("Compare the prices of tea"))
        ('Quote prices in euros.',)
    """

    def __init__(self, instructions: Sequence[str], *, limit_tokens: int, embedder: Embedder | None = None) -> None:
        """Take the instructions.

        Args:
            instructions: Pieces of guidance, each complete in itself.
            limit_tokens: What those that are chosen may take together, counted by `tokens_in`.
            embedder: Ranks by meaning besides words; None for words alone.
        """
        self._instructions = tuple(instructions)
        self._limit_tokens = limit_tokens
        self._embedder = embedder

    async def select(self, goal: str) -> tuple[str, ...]:
        """Return all instructions if they fit, else the best for `goal` that do, in their order.

        Those that match come first into the budget, best first; what room is left goes to the others,
        from the front. One that does not fit is passed over, never cut. When that is one that matches, or one that
        alone is over the budget, a warning is logged, once for a set of instructions and each of the two reasons.

        Raises:
            EmbedderError: If the embedder's answer is not one vector for each text.
            FullTextSearchError: If SQLite cannot search text.
        """
        if tokens_in(self._instructions) <= self._limit_tokens:
            return self._instructions
        texts = tuple((instruction,) for instruction in self._instructions)
        by_words = index_of(texts).ranked(goal)
        ranking = await with_meaning(by_words, goal, texts, self._embedder)
        chosen: list[int] = []
        for number in dict.fromkeys([*(number for number, _ in ranking), *range(len(texts))]):
            candidates = [self._instructions[position] for position in (*chosen, number)]
            if tokens_in(candidates) <= self._limit_tokens:
                chosen.append(number)
        self._warn(set(range(len(texts))) - set(chosen), matching={number for number, _ in by_words})
        return tuple(self._instructions[number] for number in sorted(chosen))

    def _warn(self, left_out: Collection[int], *, matching: Collection[int]) -> None:
        """Say how many instructions are left out that nobody would expect to be."""
        large = {number for number in left_out if tokens_in([self._instructions[number]]) > self._limit_tokens}
        of_all = f"of {len(self._instructions)} instructions"
        if large and _is_news((self._instructions, self._limit_tokens, "large")):
            logger.warning(
                "%d %s cannot be told, as each alone is over the budget of %d tokens. "
                "Write shorter ones, or raise `context_tokens`.",
                len(large),
                of_all,
                self._limit_tokens,
            )
        crowded = {number for number in left_out if number in matching} - large
        if crowded and _is_news((self._instructions, self._limit_tokens, "crowded")):
            logger.warning(
                "%d %s left out although they match: the budget of %d tokens is full. "
                "Write shorter ones, or raise `context_tokens`.",
                len(crowded),
                of_all,
                self._limit_tokens,
            )


_told: OrderedDict[object, None] = OrderedDict()
_told_guard = threading.Lock()


def _is_news(warning: object) -> bool:
    """Return whether a warning has not been given yet in this process, and take it for given."""
    with _told_guard:
        is_news = warning not in _told
        _told[warning] = None
        _told.move_to_end(warning)
        while len(_told) > KEPT_SETS:
            _told.popitem(last=False)
    return is_news
