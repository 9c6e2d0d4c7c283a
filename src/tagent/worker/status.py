"""What a worker tells of itself: a status for whoever asks, and notes in the log while it works."""

import logging
from dataclasses import dataclass
from typing import Literal

Status = Literal["starting", "working", "store_unavailable", "stopping"]
"""Where a worker stands; it is `working` once all its triggers have begun."""

logger = logging.getLogger("tagent.worker")


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """How a worker is.

    Attributes:
        status: Where it stands.
        runs: How many runs it drives now.
        started: How many it has started.
        resumed: How many it has taken up again.
        is_store_reachable: Whether the store answered when it was last asked.
        since: When the worker began, in seconds since 1970-01-01 UTC.
        pipelines: The pipelines whose runs it goes on with; of others it loads the file, if it can.
        is_announced: Whether the store knows that it lives, so that whoever answers an approval is told.

    Example:
        >>> from tagent.worker import Worker
        >>> status = Worker([], {"store": "memory://"}).status
        >>> status.status, status.runs, status.is_healthy
        ('starting', 0, False)
    """

    status: Status
    runs: int
    started: int
    resumed: int
    is_store_reachable: bool
    since: float
    pipelines: tuple[str, ...] = ()
    is_announced: bool = False

    @property
    def is_healthy(self) -> bool:
        """Whether it does its work."""
        return self.status == "working"


def note(event: str, message: str, *, level: int = logging.INFO, **facts: object) -> None:
    """Write a line into the log.

    Args:
        event: What happened, for programs: `run_started`.
        message: The same for people.
        level: How bad it is.
        facts: What programs are told besides, as JSON values.
    """
    logger.log(level, "%s", message, extra={"event": event, "facts": facts})
