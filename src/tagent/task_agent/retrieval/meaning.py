"""Ranks texts by meaning, with an embedder that the user plugs in, and joins that with the ranking by words."""

import asyncio
import logging
import math
import operator
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence

from tagent.ports.embedder import Embedder, EmbedderError
from tagent.ports.model_errors import ModelError
from tagent.task_agent.retrieval.ranking import Fields, fused

logger = logging.getLogger("tagent")

KEPT_SETS = 32
"""For how many sets of texts an embedder's vectors are kept, the latest used."""

KEPT_EMBEDDERS = 8
"""How many embedders a process remembers the vectors of, the latest used."""

Vector = tuple[float, ...]


async def with_meaning(
    by_words: Sequence[tuple[int, float]], query: str, texts: tuple[Fields, ...], embedder: Embedder | None
) -> Sequence[tuple[int, float]]:
    """Return the ranking by words, fused with that by meaning if there is an embedder and it answers.

    Raises:
        EmbedderError: If the embedder's answer is not one vector of one length for each text.
    """
    if embedder is None:
        return by_words
    try:
        by_meaning = await meaning_index(embedder).ranked(query, tuple(": ".join(filter(None, text)) for text in texts))
    except ModelError as error:
        logger.warning("The embedder failed (%s); texts are ranked by their words alone.", error.code)
        return by_words
    return fused([by_words, by_meaning])


class MeaningIndex:
    """What one embedder makes of sets of texts. In an event loop each set is embedded once, however many ask.

    Example:
        >>> class Colours:
        ...     async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        ...         return [[float("red" in text), float("blue" in text)] for text in texts]
        >>> index = MeaningIndex(Colours())
        >>> asyncio.run(index.ranked("a blue door", ("red house", "blue house")))
        [(1, 1.0), (0, 0.0)]
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._kept: OrderedDict[tuple[str, ...], tuple[Vector, ...]] = OrderedDict()
        # An asyncio lock belongs to one event loop, and an embedder may serve several, in threads of their own.
        self._asking: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = weakref.WeakKeyDictionary()
        self._guard = threading.Lock()

    async def ranked(self, query: str, texts: tuple[str, ...]) -> list[tuple[int, float]]:
        """Return all `texts`, the closest in meaning to `query` first; equally close ones in their order.

        Returns:
            The number of each text, and its cosine similarity, from -1 to 1.

        Raises:
            EmbedderError: If the embedder's answer is not one vector of one length for each text.
            ModelError: What the embedder raises when it cannot be asked.
        """
        vectors = await self._vectors(texts)
        (wanted,) = await self._embedded((query,))
        if vectors and len(vectors[0]) != len(wanted):
            raise EmbedderError(
                texts=1, problem=f"its vector has {len(wanted)} numbers, earlier ones {len(vectors[0])}"
            )
        scores = [sum(map(operator.mul, wanted, vector)) for vector in vectors]
        return sorted(enumerate(scores), key=lambda found: (-found[1], found[0]))

    async def _vectors(self, texts: tuple[str, ...]) -> tuple[Vector, ...]:
        with self._guard:
            asking = self._asking.setdefault(asyncio.get_running_loop(), asyncio.Lock())
        async with asking:
            with self._guard:
                vectors = self._kept.get(texts)
            if vectors is None:
                vectors = await self._embedded(texts)
            with self._guard:
                self._kept[texts] = vectors
                self._kept.move_to_end(texts)
                while len(self._kept) > KEPT_SETS:
                    self._kept.popitem(last=False)
            return vectors

    async def _embedded(self, texts: tuple[str, ...]) -> tuple[Vector, ...]:
        given = await self._embedder.embed(texts)
        try:
            vectors = tuple(tuple(map(float, vector)) for vector in given)
        except (TypeError, ValueError, OverflowError):
            raise EmbedderError(texts=len(texts), problem="its answer is not vectors of numbers") from None
        if len(vectors) != len(texts):
            raise EmbedderError(texts=len(texts), problem=f"it gave {len(vectors)} vectors")
        if len(set(map(len, vectors))) > 1:
            raise EmbedderError(texts=len(texts), problem="its vectors differ in length")
        if not all(math.isfinite(number) for vector in vectors for number in vector):
            raise EmbedderError(texts=len(texts), problem="a number in its vectors is not finite")
        return tuple(_of_length_one(vector) for vector in vectors)


_indexes: OrderedDict[int, MeaningIndex] = OrderedDict()
_indexes_guard = threading.Lock()


def meaning_index(embedder: Embedder) -> MeaningIndex:
    """Return the index that all who use `embedder` share.

    Embedders are told apart by identity, since a user's object need not be hashable. An index holds on to its
    embedder, so that no other object can get the same identity meanwhile.
    """
    with _indexes_guard:
        index = _indexes.setdefault(id(embedder), MeaningIndex(embedder))
        _indexes.move_to_end(id(embedder))
        if len(_indexes) > KEPT_EMBEDDERS:
            _indexes.popitem(last=False)
        return index


def _of_length_one(vector: Vector) -> Vector:
    length = math.hypot(*vector)
    return tuple(number / length for number in vector) if length else vector
