"""Comparing texts by meaning: what an embedding model is asked."""

from collections.abc import Sequence
from typing import Protocol

from tagent.exceptions import TAgentError


class Embedder(Protocol):
    """Turns texts into vectors; texts that mean the same point the same way.

    Example:
        >>> import asyncio
        >>> class Colours:
        ...     async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        ...         return [[float("red" in text), float("blue" in text)] for text in texts]
        >>> asyncio.run(Colours().embed(["a red house", "a blue door"]))
        [[1.0, 0.0], [0.0, 1.0]]
    """

    async def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Return a vector for each text, in order, all of one length; they need not be normalised.

        Raises:
            ModelError: If the model cannot be asked. Whoever ranks goes on with words alone; any other
                exception ends the agent.
        """
        ...


class EmbedderError(TAgentError):
    """An embedder answered with something that is not one vector of numbers for each text.

    Attributes:
        texts: How many texts it was given.
        problem: What is wrong with the answer.

    Example:
        >>> print(EmbedderError(texts=3, problem="it gave 2 vectors"))
        The embedder was given 3 texts, but it gave 2 vectors. Return one vector of one length for each text, in order.
    """

    code = "embedder.output"

    def __init__(self, *, texts: int, problem: str) -> None:
        self.texts = texts
        self.problem = problem
        super().__init__(
            f"The embedder was given {texts} texts, but {problem}.",
            hint="Return one vector of one length for each text, in order.",
        )
