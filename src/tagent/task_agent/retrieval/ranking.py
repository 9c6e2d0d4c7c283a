"""Ranks short texts by how well they fit a query. Words only; nothing here asks a model.

The texts are split into words and kept in an SQLite FTS5 table in memory, which scores them by BM25. A word of
the query that no text holds is compared by its pieces instead, so that another form of a word, a typo, or its
cousin in a related language ("apresentação", "presentation") still finds something.
"""

import math
import sqlite3
import threading
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache

from tagent.exceptions import TAgentError
from tagent.task_agent.retrieval.words import naming_words, pieces_of, query_words, words_in

Ranking = Sequence[tuple[int, float]]
"""Which text, and its score, best first; a text that fits not at all is not among them."""

Fields = tuple[str, ...]
"""One text in parts that weigh differently; all texts of an index have the same parts."""

MOST_WORDS = 64
"""Words of a query that are looked up, the rarest. More say little, and SQLite limits an expression."""

MOST_PIECES = 192
"""Pieces of unknown words that are looked up, in the order of the query."""

PIECES_WEIGH = 0.3
"""What a match by pieces counts, where a match by a whole word counts 1."""

LONGEST_TEXT = 10_000
"""Characters of a part of a text that are read; what it is about is said by then."""

FUSION_CONSTANT = 60
"""Damps the lead of the first ranks when rankings are fused, as in the paper."""

KEPT_INDEXES = 32
"""How many sets of texts stay indexed in a process, the latest used."""


class FullTextSearchError(TAgentError):
    """This Python's SQLite was built without FTS5, so texts cannot be ranked.

    Attributes:
        reason: What SQLite said.

    Example:
        >>> FullTextSearchError("no such module: fts5").code
        'retrieval.unavailable'
    """

    code = "retrieval.unavailable"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(
            f"SQLite {sqlite3.sqlite_version} cannot search text: {reason}.",
            hint="Use a Python whose SQLite has FTS5, as python.org's, uv's and the distributions' have.",
        )


class TextIndex:
    """Texts, ready to be ranked. It never changes, and any thread and event loop may use it.

    Example:
        >>> index = TextIndex([("send_email", "Send a letter."), ("get_weather", "Rain and wind.")], weights=(3, 1))
        >>> [number for number, score in index.ranked("Will there be rain?")]
        [1]
        >>> index.ranked("Quem és tu?")
        []
    """

    def __init__(self, texts: Sequence[Fields], *, weights: Sequence[float] = ()) -> None:
        """Index `texts`.

        Args:
            texts: Each in as many parts as there are weights.
            weights: What a match in each part counts; empty if texts have one part, which counts 1.

        Raises:
            FullTextSearchError: If SQLite cannot search text.
        """
        self._weights = tuple(weights) or (1.0,)
        self._size = len(texts)
        # One at a time: SQLite would serialise them anyway, and a cursor must not be shared.
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(":memory:", check_same_thread=False)
        weakref.finalize(self, self._connection.close)
        columns = [f"part{number}" for number in range(len(self._weights))]
        self._create("words", columns)
        self._create("pieces", columns)
        for number, text in enumerate(texts):
            split = [words_in(part[:LONGEST_TEXT]) for part in text]
            self._insert("words", number, [" ".join(words) for words in split])
            self._insert("pieces", number, [" ".join(_pieces(words)) for words in split])

    def ranked(self, query: str) -> list[tuple[int, float]]:
        """Return the texts that fit `query`, best first; equally good ones in their order.

        Args:
            query: Any text in any language; it is never read as a query language.

        Returns:
            The number of each text, and its score: above 0, comparable within this answer only.

        Source:
            Robertson and Zaragoza, "The Probabilistic Relevance Framework: BM25 and Beyond", 2009, as SQLite's
            FTS5 computes it.
        """
        holding = self._holding(query_words(query))
        known = sorted((word for word in holding if holding[word]), key=lambda word: len(holding[word]))[:MOST_WORDS]
        unknown = _pieces(word for word in holding if not holding[word])
        scores = dict(self._scores("words", known))
        for number, score in self._scores("pieces", list(dict.fromkeys(unknown))[:MOST_PIECES]):
            scores[number] = scores.get(number, 0.0) + PIECES_WEIGH * score
        return sorted(scores.items(), key=lambda found: (-found[1], found[0]))

    def coverage(self, query: str) -> dict[int, float]:
        """Return which share of `query` each text covers, from 0 to 1; texts that cover nothing are not named.

        Words weigh by how rare they are in the texts (inverse document frequency); what no text holds
        weighs most. Words that seem to name one particular thing count only where a text holds them.

        Example:
            >>> index = TextIndex([("book a hotel",), ("book a train",)])
            >>> {number: round(share, 2) for number, share in index.coverage("Book me a train").items()}
            {0: 0.21, 1: 1.0}
        """
        holding = self._holding(query_words(query))
        naming = naming_words(query)
        weights = {
            word: math.log(1 + (self._size - len(texts) + 0.5) / (len(texts) + 0.5))
            for word, texts in holding.items()
            if texts or word not in naming
        }
        total = sum(weights.values())
        covered: dict[int, float] = {}
        for word, weight in weights.items():
            for number in holding[word]:
                covered[number] = covered.get(number, 0.0) + weight / total
        return covered

    def _holding(self, words: Iterable[str]) -> dict[str, frozenset[int]]:
        """Return word -> the texts that hold it."""
        with self._lock:
            found = {
                word: self._connection.execute("SELECT rowid FROM words WHERE words MATCH ?", (_quoted([word]),))
                for word in words
            }
            return {word: frozenset(number for (number,) in rows) for word, rows in found.items()}

    def _scores(self, table: str, terms: Sequence[str]) -> list[tuple[int, float]]:
        if not terms:
            return []
        weights = ", ".join(map(str, self._weights))
        # FTS5 gives a better match a lower number. The table and the weights are ours, the terms are a parameter.
        query = f"SELECT rowid, -bm25({table}, {weights}) FROM {table} WHERE {table} MATCH ?"  # noqa: S608
        with self._lock:
            return self._connection.execute(query, (_quoted(terms),)).fetchall()

    def _create(self, table: str, columns: Sequence[str]) -> None:
        # Without stemming: of Porter's, which knows English only, the development goals gained nothing over pieces.
        tokenizer = "tokenize = 'unicode61 remove_diacritics 2'"
        try:
            self._connection.execute(f"CREATE VIRTUAL TABLE {table} USING fts5({', '.join(columns)}, {tokenizer})")
        except sqlite3.OperationalError as error:
            raise FullTextSearchError(str(error)) from error

    def _insert(self, table: str, number: int, parts: Sequence[str]) -> None:
        marks = ", ".join("?" * (len(parts) + 1))
        columns = ", ".join(["rowid", *(f"part{position}" for position in range(len(parts)))])
        self._connection.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", (number, *parts))  # noqa: S608


@lru_cache(maxsize=KEPT_INDEXES)
def index_of(texts: tuple[Fields, ...], weights: tuple[float, ...] = ()) -> TextIndex:
    """Return the index of `texts`, built once for all who ask for the same ones.

    Raises:
        FullTextSearchError: If SQLite cannot search text.

    Example:
        >>> index_of((("rain",), ("wind",))) is index_of((("rain",), ("wind",)))
        True
    """
    return TextIndex(texts, weights=weights)


def fused(rankings: Iterable[Ranking]) -> list[tuple[int, float]]:
    """Return one ranking out of several, by reciprocal ranks; scores need not be comparable.

    Source:
        Cormack, Clarke and Büttcher, "Reciprocal Rank Fusion outperforms Condorcet and individual Rank
        Learning Methods", SIGIR 2009.

    Example:
        >>> [number for number, score in fused([[(7, 9.0), (5, 8.0)], [(5, 0.4), (3, 0.1)]])]
        [5, 7, 3]
    """
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, (number, _) in enumerate(ranking, 1):
            scores[number] = scores.get(number, 0.0) + 1 / (FUSION_CONSTANT + rank)
    return sorted(scores.items(), key=lambda found: (-found[1], found[0]))


def _quoted(terms: Iterable[str]) -> str:
    """Return the FTS5 query for any of `terms`. They are letters and digits only, so quotes make them plain text."""
    return " OR ".join(f'"{term}"' for term in terms)


def _pieces(words: Iterable[str]) -> Iterator[str]:
    for word in words:
        yield from pieces_of(word)
