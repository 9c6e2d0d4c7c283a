"""Group commit: what waits at the same moment shares one fsync, and nobody is answered before it is on the disk."""

import logging
import time
from collections.abc import Iterable

from tagent.adapters.storage.files.draft import Draft
from tagent.adapters.storage.files.errors import translated
from tagent.adapters.storage.files.log import Log
from tagent.adapters.storage.submissions import Submitted
from tagent.adapters.storage.writing import Work, WorkWriter, carry_out
from tagent.exceptions import StoreError

CLEANS_AGAIN_SECONDS = 60.0
"""How long the writer lets a file be that could not be cleaned."""

logger = logging.getLogger(__name__)


class LogWriter(WorkWriter[Draft]):
    """The one writer of a log in this process.

    Args:
        log: What it writes.
    """

    def __init__(self, log: Log) -> None:
        self._log = log
        self._cleans_at = 0.0
        super().__init__()

    def _write(self, group: list[Submitted[Work[Draft, object]]]) -> None:
        """Write all works together; if the disk objects, each alone."""
        has_begun = False
        try:
            with self._log.writing() as draft:
                has_begun = True
                for submitted in group:
                    carry_out(submitted, draft)
                self._log.append(draft)
        except Exception as error:  # noqa: BLE001 - it becomes the answer of those who wait
            if not has_begun or len(group) == 1:  # no work is to blame, and each alone would only wait as long again
                self._fail(group, error)
                return
            for submitted in group:
                self._write([submitted])

    def _fail(self, group: Iterable[Submitted[Work[Draft, object]]], error: Exception) -> None:
        for submitted in group:
            own = translated(error, store=self._log.directory)
            submitted.error = own if own is not error else _copy_of(own)
            submitted.error.__cause__ = error

    def _afterwards(self) -> None:
        """Give room back while nobody waits; a file that cannot be cleaned is left for later."""
        if time.monotonic() < self._cleans_at:
            return
        try:
            while self._log.clean() and self._submissions.is_idle:
                pass
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and nothing is lost
            self._cleans_at = time.monotonic() + CLEANS_AGAIN_SECONDS
            logger.warning("What was deleted still takes room: %s", translated(error, store=self._log.directory))


def _copy_of(error: StoreError) -> StoreError:
    """Return an error that says the same: each who waits has his own, so that tracebacks do not grow together."""
    copy = type(error).__new__(type(error))
    copy.__dict__.update(error.__dict__)
    copy.args = error.args
    return copy
