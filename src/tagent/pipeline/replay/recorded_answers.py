"""Approvals in a replay: what people said when the run was recorded, they say again."""

from collections.abc import Iterable
from contextlib import suppress

from tagent.pipeline.answering.documents import SCOPE, Answer, read, written
from tagent.pipeline.events import ApprovalAnswered, RunEvent, innermost
from tagent.pipeline.journal.paging import every_document
from tagent.ports.clock import Clock
from tagent.ports.documents import Document, DocumentQuery
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import Effects
from tagent.ports.store import Store

LOOK_SECONDS = 5.0
"""How long it is at most from one look to the next."""


class RecordedAnswers:
    """Answers approvals in a store of its own as they were answered when a run was recorded.

    Args:
        events: The recorded run's journal.
        store: Where the replay asks.
        clock: Tells the time.
    """

    def __init__(self, events: Iterable[RunEvent], store: Store, clock: Clock) -> None:
        self._answers: dict[str, ApprovalAnswered] = {}
        self._store = store
        self._clock = clock
        for event in events:
            path, inside = innermost(event)
            if isinstance(inside, ApprovalAnswered):
                self._answers[f"{path}{inside.step}"] = inside

    async def serve(self) -> None:
        """Answer all that is asked, until it is cancelled."""
        seen = 0
        while True:
            async for document in every_document(self._store, DocumentQuery(SCOPE)):
                await self._say(document)
            seen = await self._store.wait_for_change(seen, seconds=LOOK_SECONDS)

    async def _say(self, document: Document) -> None:
        said = read(document)
        if said is None or said.answer is not None:
            return
        put = written(said.approval, self._answer(said.approval.step), expected_version=document.version)
        with suppress(DocumentConflictError):  # the question is gone, as its step was cancelled
            await self._store.write(Effects(puts=(put,)))

    def _answer(self, path: str) -> Answer:
        """Return what was said about a step; no, if nobody was asked about it then."""
        said = self._answers.get(path)
        if said is None:
            why = "When the run was recorded, nobody was asked."
            return Answer(is_approved=False, actor="", at=self._clock.now(), comment=why)
        return Answer(
            said.is_approved, said.actor, said.given_at, said.comment, said.is_edited, said.output, said.by_default
        )
