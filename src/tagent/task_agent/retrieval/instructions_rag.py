"""Chooses the guidance that fits a goal, within a budget of tokens."""

from collections.abc import Sequence

from tagent.ports.embedder import Embedder
from tagent.task_agent.context import tokens_in
from tagent.task_agent.retrieval.meaning import with_meaning
from tagent.task_agent.retrieval.ranking import index_of


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
        from the front. One that does not fit is passed over, never cut.

        Raises:
            EmbedderError: If the embedder's answer is not one vector for each text.
            FullTextSearchError: If SQLite cannot search text.
        """
        if tokens_in(self._instructions) <= self._limit_tokens:
            return self._instructions
        texts = tuple((instruction,) for instruction in self._instructions)
        ranking = await with_meaning(index_of(texts).ranked(goal), goal, texts, self._embedder)
        chosen: list[int] = []
        for number in dict.fromkeys([*(number for number, _ in ranking), *range(len(texts))]):
            candidates = [self._instructions[position] for position in (*chosen, number)]
            if tokens_in(candidates) <= self._limit_tokens:
                chosen.append(number)
        return tuple(self._instructions[number] for number in sorted(chosen))
