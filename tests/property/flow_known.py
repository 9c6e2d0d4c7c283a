"""What a reader of a journal knows of the work in it."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tagent.pipeline import StepStatus
from tagent.pipeline.events import (
    ASIDE,
    ApprovalAnswered,
    ApprovalRequested,
    InnerProgressed,
    PartStarted,
    RunEvent,
    StepStarted,
)

if TYPE_CHECKING:
    from property.flow_laws import JournalReader

S = StepStatus


@dataclass
class Known:
    """What has been read of a piece of work; `inner` reads the journal of the pipeline that it runs."""

    status: StepStatus = S.PENDING
    attempts: int = 0
    is_cut_off: bool = False
    code: str = ""
    output: object = None
    inner: "JournalReader | None" = None
    is_last: bool = False

    def begins(self, attempt: int) -> None:
        """An attempt begins: a new one, or the one that a crash cut off."""
        assert self.status in {S.PENDING, S.WAITING}, f"it is {self.status}"
        assert attempt == self.attempts + (not self.is_cut_off), f"attempt {attempt} behind {self.attempts}"
        self.status, self.attempts, self.is_cut_off = S.RUNNING, attempt, False

    def ends(self, status: StepStatus, code: str = "", reason: str = "") -> None:
        """It has its final status, and never had one before."""
        assert not self.status.is_terminal, f"it is {self.status} already"
        assert bool(code and reason) is (status is not S.COMPLETED), f"{status} with {code!r} and {reason!r}"
        self.status, self.code = status, code
        if status is not S.COMPLETED and self.inner is not None:
            self.inner.closes()


@dataclass
class KnownStep(Known):
    """What has been read of a step."""

    parts: dict[str, Known] = field(default_factory=dict)
    count: int | None = None
    holds: bool | None = None
    has_fallen: bool = False
    settled_at: float = 0.0
    seen: tuple[str, ...] = ()
    asked: ApprovalRequested | None = None
    answer: ApprovalAnswered | None = None
    is_given: bool = False

    def part(self, name: str) -> Known:
        """Return what has been read of a part."""
        return self.parts.setdefault(name, Known())

    def cancelled(self, code: str, reason: str) -> None:
        """It is given up, with all that has not ended of it."""
        self.asked = None
        self.ends(S.CANCELLED, code, reason)
        for part in self.parts.values():
            if not part.status.is_terminal:
                part.status = S.CANCELLED
                if part.inner is not None:
                    part.inner.closes()

    @property
    def own_parts(self) -> dict[str, Known]:
        """Its items, branches or rounds by name."""
        return {name: part for name, part in self.parts.items() if name not in ASIDE}

    @property
    def has_reached(self) -> bool:
        """Whether its newest round is the last one."""
        return any(part.is_last and part.status is S.COMPLETED for part in self.own_parts.values())

    @property
    def takes_its_turn(self) -> bool:
        """Whether another SERIAL step has to wait for it: not while it waits for somebody or something else itself."""
        if self.status is S.RUNNING:
            return True
        if self.status is not S.WAITING or self.has_fallen or self.asked is not None:
            return False
        is_rejected = self.answer is not None and not self.answer.is_approved
        if self.count is None:
            return not is_rejected
        parts = self.own_parts.values()
        return not self.has_reached and not (len(parts) == self.count and all(it.status.is_terminal for it in parts))


def deep(events: Iterable[RunEvent]) -> Iterator[RunEvent]:
    """Yield the events, each one of a pipeline inside a step as it is in that."""
    for event in events:
        inside: RunEvent = event
        while isinstance(inside, InnerProgressed):
            inside = inside.event
        yield inside


def starts(events: Iterable[RunEvent]) -> Iterator[tuple[str, int]]:
    """Yield the key and the number of each attempt at whose start work may begin, however deep inside."""
    held: set[str] = set()
    for event in events:
        is_wrapped = isinstance(event, InnerProgressed)
        yield from starts_of(event, held) if not is_wrapped else starts_of(next(deep([event])), held, path=_path(event))


def _path(event: RunEvent) -> str:
    path = ""
    while isinstance(event, InnerProgressed):
        path += f"{event.step}/{event.part}/"
        event = event.event
    return path


def starts_of(event: RunEvent, held: set[str], *, path: str = "") -> Iterator[tuple[str, int]]:
    """Yield the attempt that an event starts, unless that only hands over what has been approved."""
    match event:
        case ApprovalRequested(step=step, of="output"):
            held.add(path + step)
        case StepStarted(step=step) if path + step in held:
            held.discard(path + step)
        case StepStarted() | PartStarted():
            yield event.idempotency_key, event.attempt
        case _:
            pass
