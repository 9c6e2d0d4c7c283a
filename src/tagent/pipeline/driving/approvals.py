"""The driver's side of approvals: it asks in documents that anybody may answer, and takes the answers up.

An answer is a put that expects the version of the question, so of several who answer one is heard. What counts when
nobody does in time is written in the same way.
"""

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from tagent.exceptions import StoreError
from tagent.pipeline.answering.documents import SCOPE, Answer, OpenApproval, asked, key_of, read, written
from tagent.pipeline.answering.requests import as_asked, open_requests
from tagent.pipeline.events import (
    ApprovalAnswered,
    ApprovalRequested,
    PartFailed,
    RunEvent,
    RunFinished,
    StepCancelled,
    StepFailed,
    StepSkipped,
    innermost,
)
from tagent.pipeline.journal.paging import every_document
from tagent.pipeline.journal.patience import PatientStore
from tagent.pipeline.state import PipelineState
from tagent.ports.documents import Document, DocumentQuery, Put, version_of
from tagent.ports.effect_errors import DocumentConflictError
from tagent.ports.effects import NO_EFFECTS, Effects
from tagent.ports.services import Services

logger = logging.getLogger("tagent")

LOOK_SECONDS = 5.0
"""How long it is at most from one look for answers to the next."""

PAUSE_SECONDS = 0.1
"""How long it is at least: a busy run changes its store all the time."""

_ASKS = (ApprovalRequested, ApprovalAnswered)
_ENDS = (StepCancelled, StepFailed, StepSkipped, PartFailed, RunFinished)


class ApprovalDesk:
    """Asks and listens for one run. Of a run and those inside it only the outermost writes what is asked.

    Args:
        state: The run's state.
        services: Where the documents are.
        place: Where the run is: its id, and of one inside a step the way there, like `RUN/outer/2`.
        is_inner: Whether the run is inside a step of another one.
    """

    def __init__(self, state: PipelineState, services: Services, *, place: str, is_inner: bool) -> None:
        self._state = state
        self._place = place
        self._store = PatientStore(services.store, services.clock)
        self._changes = services.store
        self._clock = services.clock
        self._is_inner = is_inner
        self._asked = set(open_requests(state))
        self._seen: dict[str, int] = {}
        self._news: dict[str, Answer] = {}
        self._mending: tuple[Put, ...] = ()
        self._reminded = ""
        self._watch: asyncio.Task[None] | None = None

    async def take_up(self) -> None:
        """Look what is there of a run that is taken up, and have its next commit mend what is not as it should be.

        A question may be missing, as in the store of an imported run, be damaged, or be about a step that is gone. It
        is written with a commit, as whoever has lost the run must not write it any more.

        Raises:
            StoreError: If the store cannot be asked.
        """
        if self._is_inner:
            return
        documents = await self._documents()
        requests = open_requests(self._state)
        keys = {key_of(self._place, path): path for path in requests}
        gone = [Put(SCOPE, key, None) for key in documents if key not in keys]
        read_by_key = {key: read(document) for key, document in documents.items()}
        missing = [
            replace(self._question(path, requests[path]), expected_version=version_of(documents.get(key)))
            for key, path in keys.items()
            if (found := read_by_key.get(key)) is None or found.approval.at != requests[path].at
        ]
        self._mending = (*gone, *missing)

    async def mended(self, conflict: DocumentConflictError) -> Effects:
        """Return what becomes of the documents, now that somebody has changed one of them meanwhile.

        Raises:
            DocumentConflictError: The same, if it is about something else, as what a run begins with.
            StoreError: If the store cannot be asked.
        """
        if conflict.scope != SCOPE:
            raise conflict
        await self.take_up()
        return self.effects(())

    def effects(self, events: Sequence[RunEvent]) -> Effects:
        """Return what becomes of the documents with these events, which the state has seen already."""
        mending, self._mending = self._mending, ()
        if not any(map(self._matters, events)):
            return Effects(puts=mending) if mending else NO_EFFECTS
        requests = open_requests(self._state)
        if self._is_inner:
            self._asked = set(requests)
            return NO_EFFECTS
        gone = [Put(SCOPE, key_of(self._place, path), None) for path in sorted(self._asked - requests.keys())]
        new = [self._question(path, requests[path]) for path in requests if path not in self._asked]
        self._asked = set(requests)
        told = {put.key for put in (*gone, *new)}
        return Effects(puts=(*(put for put in mending if put.key not in told), *gone, *new))

    def unanswered(self, *, besides: Effects) -> Effects:
        """Return what is refused if somebody has answered since `look` found nothing: the questions as they are.

        Args:
            besides: What is written with it; of what is asked there nobody has heard yet.
        """
        if self._is_inner:
            return NO_EFFECTS
        requests, told = open_requests(self._state), {put.key for put in besides.puts}
        seen = {path: version for path, version in self._seen.items() if key_of(self._place, path) not in told}
        questions = [(self._question(path, requests[path]), version) for path, version in seen.items()]
        return Effects(puts=tuple(replace(put, expected_version=version) for put, version in questions))

    def _matters(self, event: RunEvent) -> bool:
        _, event = innermost(event)
        return isinstance(event, _ASKS) or (bool(self._asked) and isinstance(event, _ENDS))

    def _question(self, path: str, request: ApprovalRequested) -> Put:
        return asked(self._approval(path, request))

    def _approval(self, path: str, request: ApprovalRequested) -> OpenApproval:
        run_id, _, outer = self._place.partition("/")
        return as_asked(run_id, self._state.pipeline, f"{outer}/{path}" if outer else path, request)

    @property
    def has_news(self) -> bool:
        """Whether there is an answer that was not asked for."""
        return bool(self._news)

    def news(self) -> Mapping[str, Answer]:
        """Return the answers that were found since this was asked last: path of the step -> what was said."""
        news, self._news = self._news, {}
        return news

    async def look(self) -> bool:
        """Look for answers, and let defaults count whose time has come; return whether there is news.

        Raises:
            StoreError: If the store cannot be asked.
        """
        # Of what is not committed yet nobody can have heard.
        requests = {path: it for path, it in open_requests(self._state).items() if path in self._asked}
        seen: dict[str, int] = {}
        documents = await self._documents() if requests else {}
        for path, request in requests.items():
            document = documents.get(key_of(self._place, path))
            answer = await self._answer(path, request, document)
            if answer is not None:
                self._news[path] = answer
            seen[path] = version_of(document)
        self._seen = seen
        return bool(self._news)

    async def _documents(self) -> dict[str, Document]:
        query = DocumentQuery(SCOPE, prefix=f"{self._place}/")
        return {document.key: document async for document in every_document(self._store, query)}

    async def _answer(self, path: str, request: ApprovalRequested, document: Document | None) -> Answer | None:
        """Return what was said about a step, or counts now that the time is over; None while nothing does."""
        said = _said(document, request)
        if said is not None or request.due_at is None or self._clock.now() < request.due_at:
            return said
        answer = Answer(request.default == "approve", "", self._clock.now(), by_default=True)
        try:
            put = written(self._approval(path, request), answer, expected_version=version_of(document))
            await self._store.write(Effects(puts=(put,)))
        except DocumentConflictError:  # somebody was faster yet
            return _said(await self._store.document(SCOPE, key_of(self._place, path)), request)
        return answer

    def remind(self, reason: str) -> None:
        """Say once for each pause why nothing goes on: a run in memory waits, and whoever started it sees nothing."""
        if self._reminded == reason:
            return
        self._reminded = reason
        logger.warning(
            "Run %s is kept in memory, so it waits in this process, which alone can answer: approve(%r, ...). %s "
            "With a store, like store='sqlite:///runs.db', the process may end.",
            self._state.run_id,
            self._state.run_id,
            reason,
        )

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Stop watching when the block ends."""
        try:
            yield
        finally:
            if self._watch is not None:
                self._watch.cancel()

    def watch(self, group: asyncio.TaskGroup, on_news: Callable[[], None], *, is_paused: bool) -> None:
        """From now on look for answers as long as any is awaited, and call `on_news` when there are some.

        Args:
            group: Owns the task that looks.
            on_news: What to call.
            is_paused: Whether something waits for an answer that is to be given further inside.
        """
        is_awaited = bool(self._asked) and (is_paused or bool(self._state.asked) or not self._is_inner)
        if is_awaited and (self._watch is None or self._watch.done()):
            self._watch = group.create_task(self._look_on(on_news), name=f"approvals:{self._place}")

    async def _look_on(self, on_news: Callable[[], None]) -> None:
        seen = 0
        while requests := open_requests(self._state):
            with suppress(StoreError):  # it is away; whoever commits next will say so
                if await self.look():
                    on_news()
                times = [request.due_at for request in requests.values() if request.due_at is not None]
                left = max(0.0, min(times) - self._clock.now()) if times else None
                seen = await self._changed(seen, seconds=left)
            await self._clock.sleep(PAUSE_SECONDS)

    async def _changed(self, seen: int, *, seconds: float | None) -> int:
        """Return when the store has changed since this returned `seen`, or so many seconds later; None for never."""
        with suppress(TimeoutError):
            async with self._clock.timeout(seconds):
                return await self._changes.wait_for_change(seen, seconds=LOOK_SECONDS)
        return seen


def _said(document: Document | None, request: ApprovalRequested) -> Answer | None:
    """Return the answer that a document holds, if it is one to this question."""
    found = None if document is None else read(document)
    return found.answer if found is not None and found.approval.at == request.at else None


def withdrawn(state: PipelineState) -> Effects:
    """Return what takes back all that is asked in a run, as it ends."""
    return Effects(puts=tuple([Put(SCOPE, key_of(state.run_id, path), None) for path in open_requests(state)]))
