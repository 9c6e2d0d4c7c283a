"""Keeps the claims of this process alive: one thread renews every run that the process holds.

A thread of its own, because the event loop may be kept busy for longer than a lease by somebody's code.
"""

import logging
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass

from tagent.exceptions import StoreError
from tagent.ports.store import Store
from tagent.ports.store_errors import ConflictError

logger = logging.getLogger(__name__)

RENEWALS_PER_LEASE = 3
"""So two renewals may fail before a lease ends."""

IDLE_SECONDS = 5.0
"""How long the thread sleeps at most; a third of the default lease."""


@dataclass(frozen=True, slots=True, eq=False)
class Lease:
    """A claim to keep.

    Attributes:
        store: Where the run is.
        run_id: The run.
        epoch: The claim.
        seconds: How long the claim lasts from each renewal.
        on_lost: Called when somebody else has taken the run, from any thread; it must not block.
    """

    store: Store
    run_id: str
    epoch: int
    seconds: float
    on_lost: Callable[[ConflictError], None]


class LeaseKeeper:
    """The thread and what it keeps. It starts with the first lease and stays; between leases it mostly sleeps."""

    def __init__(self) -> None:
        self._leases: set[Lease] = set()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._wait_seconds = IDLE_SECONDS

    def keep(self, lease: Lease) -> None:
        """Renew `lease` until `drop`."""
        with self._changed:
            self._leases.add(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="tagent-leases", daemon=True)
                self._thread.start()
            elif lease.seconds / RENEWALS_PER_LEASE < self._wait_seconds:
                self._changed.notify()  # else it comes round early enough: short runs need not wake it

    def drop(self, lease: Lease) -> None:
        """Renew `lease` no more."""
        with self._changed:
            self._leases.discard(lease)

    def _serve(self) -> None:
        while True:
            with self._changed:
                shortest = min((lease.seconds for lease in self._leases), default=math.inf)
                self._wait_seconds = min(shortest / RENEWALS_PER_LEASE, IDLE_SECONDS)
                self._changed.wait(self._wait_seconds)
                due = tuple(self._leases)
            for lease in due:
                if self._is_kept(lease):  # it may have ended while others were renewed
                    self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        try:
            lease.store.renew(lease.run_id, epoch=lease.epoch, lease_seconds=lease.seconds)
        except ConflictError as error:
            self._lose(lease, error)
        except StoreError as error:
            # The epoch keeps a stale writer out; until then the store may come back.
            if self._is_kept(lease):
                logger.warning("The claim on run %s could not be renewed: %s", lease.run_id, error)

    def _lose(self, lease: Lease, error: ConflictError) -> None:
        """Tell of a lost lease, unless it was dropped meanwhile: its event loop may be gone by then."""
        with self._changed:
            if lease in self._leases:
                self._leases.discard(lease)
                lease.on_lost(error)

    def _is_kept(self, lease: Lease) -> bool:
        with self._changed:
            return lease in self._leases


keeper = LeaseKeeper()
"""The one of this process."""
