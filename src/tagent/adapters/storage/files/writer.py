"""Group commit: what waits at the same moment shares one fsync, and nobody is answered before it is on the disk."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from tagent.adapters.storage.files.draft import Draft
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.submissions import Submissions, Submitted
from tagent.exceptions import StoreError

Result = TypeVar("Result")
Work = Callable[[Draft], Result]
"""Adds to a draft and returns an answer. A `StoreError` is an answer too: what raises one has added nothing."""

CLEANS_AGAIN_SECONDS = 60.0
"""How long the writer lets a file be that could not be cleaned."""

logger = logging.getLogger(__name__)


class LogWriter:
    """The one writer of a log in this process.

    Args:
        log: What it writes.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cleans_at = 0.0
        self._submissions = Submissions(self._write, afterwards=self._clean)

    def submit(self, work: Work[Result]) -> asyncio.Future[Result]:
        """Return the future of what `work` returns; it is done when that is on the disk.

        Raises:
            StoreError: At once, if the writer is closed; later, by the future, if nothing was written.
        """
        return self._submissions.submit(work)

    def run(self, work: Work[Result]) -> Result:
        """Return what `work` returns once it is on the disk. Blocks; may be called from any thread.

        Raises:
            StoreError: If the writer is closed, or nothing was written.
        """
        result: Result = self._submissions.run(work)
        return result

    def close(self) -> None:
        """Finish what waits, answer it and end the thread. Blocks until then; closing twice does no harm."""
        self._submissions.close()

    def _write(self, group: list[Submitted[Work[object]]]) -> None:
        """Write all works together; if the disk objects, each alone."""
        has_begun = False
        try:
            with self._log.writing() as draft:
                has_begun = True
                for submitted in group:
                    _carry_out(submitted, draft)
                self._log.append(draft)
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            if not has_begun or len(group) == 1:  # no work is to blame, and each alone would only wait as long again
                self._fail(group, error)
                return
            for submitted in group:
                self._write([submitted])

    def _fail(self, group: Iterable[Submitted[Work[object]]], error: Exception) -> None:
        for submitted in group:
            own = translated(error, store=self._log.directory)
            submitted.error = own if own is not error else _copy_of(own)
            submitted.error.__cause__ = error

    def _clean(self) -> None:
        """Give room back while nobody waits; a file that cannot be cleaned is left for later."""
        if time.monotonic() < self._cleans_at:
            return
        try:
            while self._log.clean() and self._submissions.is_idle:
                pass
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and nothing is lost
            self._cleans_at = time.monotonic() + CLEANS_AGAIN_SECONDS
            logger.warning("What was deleted still takes room: %s", translated(error, store=self._log.directory))


def _carry_out(submitted: Submitted[Work[object]], draft: Draft) -> None:
    submitted.value = submitted.error = None
    try:
        submitted.value = submitted.work(draft)
    except StoreError as refusal:
        submitted.error = refusal


def _copy_of(error: StoreError) -> StoreError:
    """Return an error that says the same: each who waits has his own, so that tracebacks do not grow together."""
    copy = type(error).__new__(type(error))
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    return copy
