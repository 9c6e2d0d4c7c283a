"""`Answers`: runs that waited for a word which is there now, and that nobody drives.

It looks at the approvals, not at the runs: of those there may be very many, and most of them wait on.
"""

import math
from collections.abc import AsyncIterator

from tagent.pipeline.answering.documents import ANSWERED, SCOPE, read
from tagent.pipeline.journal.paging import every_document
from tagent.ports.documents import Document, DocumentQuery
from tagent.ports.services import Services
from tagent.values import value

PAGE = 1000

SHORTEST_SECONDS = 2.0
"""How long it is at least from one look at all approvals to the next."""

REST_SECONDS = 1.0
"""How long it is at least from one look at what is due to the next."""

SHARE = 20.0
"""Of so many seconds a look at all approvals takes one: the more they are, the less often all of them are read."""


@value
class Word:
    """An approval that is answered, or whose time is over.

    Attributes:
        run_id: The run that waits for it.
        key: The approval.
        version: That of its document.
    """

    run_id: str
    key: str
    version: int


class Answers:
    """Finds what is answered or overdue.

    What is answered is asked for by itself, each time. When approvals are due is read from all of them, now and then,
    and remembered.

    Args:
        services: Where the approvals are.
    """

    def __init__(self, services: Services) -> None:
        self._store = services.store
        self._clock = services.clock
        self._due: dict[str, tuple[float, Word]] = {}
        self._looked_at = 0.0
        self._next_look_at = 0.0
        self._settled: dict[str, int] = {}

    def due_at(self) -> float:
        """Return when it wants to look, as an approval is due; infinite for never."""
        at = min((at for at, word in self._due.values() if not self._is_settled(word)), default=math.inf)
        return max(at, self._looked_at + REST_SECONDS)  # one whose run another process holds stays overdue

    async def found(self) -> list[Word]:
        """Return what is answered or overdue and was not settled here, what was asked for first in front.

        Raises:
            StoreUnavailableError: If the store cannot be reached.
        """
        words = {word.key: (at, word) async for at, word in self._read(DocumentQuery(SCOPE, words=(ANSWERED,)))}
        began_at = self._looked_at = self._clock.now()
        if began_at >= self._next_look_at:
            self._due = {word.key: (at, word) async for at, word in self._read(DocumentQuery(SCOPE))}
            self._settled = {key: it for key, it in self._settled.items() if key in self._due or key in words}
            now = self._clock.now()
            self._next_look_at = now + max(SHORTEST_SECONDS, SHARE * (now - began_at))
        for key, (at, word) in self._due.items():
            if at <= began_at and not self._is_settled(word) and key not in words and await self._is_so(word):
                words[key] = at, word
        unsettled = [it for it in words.values() if not self._is_settled(it[1])]
        return [word for _, word in sorted(unsettled, key=lambda it: (it[0], it[1].key))]

    def settle(self, word: Word) -> None:
        """Note that a run was taken up for it, or cannot be: once is enough, whatever became of it."""
        self._settled[word.key] = word.version

    def _is_settled(self, word: Word) -> bool:
        return self._settled.get(word.key) == word.version

    async def _is_so(self, word: Word) -> bool:
        """Return whether an approval is still as it was read."""
        document = await self._store.document(SCOPE, word.key)
        return document is not None and document.version == word.version

    async def _read(self, query: DocumentQuery) -> AsyncIterator[tuple[float, Word]]:
        """Yield each approval with the time from which on its run can go on."""
        async for document in every_document(self._store, query, page=PAGE):
            at, run_id = _ready_at(document)
            if at is not None:
                yield at, Word(run_id, document.key, document.version)


def _ready_at(document: Document) -> tuple[float | None, str]:
    """Return from when on the run of an approval can go on, None for not yet, and the run."""
    said = read(document)
    if said is None:  # it is damaged, and for people
        return None, ""
    return (said.approval.due_at if said.answer is None else said.answer.at), said.approval.run_id
