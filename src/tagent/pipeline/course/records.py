"""What is known of a piece of work in a run: of a step, and of each of its parts."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tagent.pipeline.events import ASIDE, ApprovalAnswered, ApprovalRequested
from tagent.pipeline.kinds import StepStatus
from tagent.task_agent.events import AgentEvent, TaskStarted, cut_off_calls
from tagent.task_agent.models import Spending

if TYPE_CHECKING:
    from tagent.pipeline.course.run_state import PipelineState


@dataclass(slots=True)
class WorkRecord:
    """What is known of work besides its status.

    Attributes:
        attempts: How many attempts have started.
        attempts_before: How many of them belong to earlier ends of the run; the limit counts from there.
        is_interrupted: Whether the last attempt was cut off by a crash and is to go on.
        agent_events: What the agent of the current attempt has done so far.
        attempt_began_at: When the newest attempt began, in the process it began in.
        opened_at: When the first one did, or the first after an end of the run; deadlines count from there.
        started_at: When the first one did; None before.
        finished_at: When it reached its final status; None before.
        asked_seconds: How long it waited for somebody's word since it started, and did nothing.
        output: Its output as JSON values, or a `StoredOutput` while a large one is in the store only;
            None until it completed.
        code: Why it failed or was skipped, for programs.
        reason: The same for people.
        spending: What its model calls took, those of failed attempts included.
        spent_before: What those of attempts before the current one took.
        cached: Whether its output was there already.
        cleared: How much of what its agent has done somebody has looked at: a call cut off there may be made again.
        in_doubt: The calls of earlier attempts that were cut off, and about which nobody has said anything.
        inner: The state of the pipeline that it runs; None before that began, and for other work.
        inner_attempt: The attempt in which that came furthest; 0 before it began.
    """

    attempts: int = 0
    attempts_before: int = 0
    is_interrupted: bool = False
    agent_events: list[AgentEvent] = field(default_factory=list)
    attempt_began_at: float = 0.0
    opened_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    asked_seconds: float = 0.0
    output: object = None
    code: str = ""
    reason: str = ""
    spending: Spending = Spending()
    spent_before: Spending = Spending()
    cached: bool = False
    cleared: int = 0
    in_doubt: tuple[TaskStarted, ...] = ()
    inner: "PipelineState | None" = None
    inner_attempt: int = 0

    @property
    def next_attempt(self) -> int:
        """The number of the next attempt; an interrupted one keeps its own."""
        return self.attempts if self.is_interrupted else self.attempts + 1

    @property
    def seconds(self) -> float:
        """How long it took from its first start to its end, without what it waited for somebody's word; 0 before."""
        if self.started_at is None or self.finished_at is None:
            return 0.0
        return max(0.0, self.finished_at - self.started_at - self.asked_seconds)

    def begin(self, attempt: int, *, at: float) -> bool:
        """Note that an attempt began or goes on; return whether it is a new one."""
        is_new = attempt != self.attempts
        if is_new:
            self.in_doubt += cut_off_calls(self.agent_events[self.cleared :])
            self.cleared = 0
            self.agent_events.clear()
            self.spent_before = self.spending
            self.attempt_began_at = at
        self.is_interrupted = False
        self.attempts = attempt
        self.opened_at = at if self.opened_at is None else self.opened_at
        self.started_at = at if self.started_at is None else self.started_at
        return is_new

    def reopen(self) -> None:
        """Have it open again, with all of its attempts."""
        self.attempts_before = self.attempts
        self.is_interrupted = False
        self.opened_at = self.started_at = self.finished_at = None
        self.asked_seconds = 0.0
        self.code = self.reason = ""


@dataclass(slots=True)
class PartRecord(WorkRecord):
    """What is known of one part of a step.

    Attributes:
        status: Where it stands.
        is_last: Whether it is a round without a further one.
    """

    status: StepStatus = StepStatus.PENDING
    is_last: bool = False


@dataclass(slots=True)
class StepRecord(WorkRecord):
    """What is known of a step besides its status.

    Attributes:
        parts: Part -> what is known of it, for those that have begun.
        count: How many items or branches it has; None before that is known.
        parts_of: Whose parts its items or branches are; empty for nobody's, and in the journals of older versions.
        holds: What its condition came to; None before it was judged.
        verdict: Why.
        verdict_code: The same for programs, where it does not hold.
        seen: The SOFT dependencies whose outputs the current attempt sees.
        shared_seen: How many writes to the shared memory it sees.
        arrived_at: When all that it does not only wait for with patience was settled; None before.
        has_fallen: Whether it failed, and something else is to take its place.
        substituted_by: Whose output it has: a step's, or the `default`; empty if its own.
        undone: How often its effects were undone.
        answer: What was said when it had to be approved; None before.
        held: What its current attempt gave and was asked about; None where nothing is.
        given_by: From where it has its output, if it does not run in this run: a run, or by hand.
    """

    parts: dict[str, PartRecord] = field(default_factory=dict)
    count: int | None = None
    parts_of: str = ""
    holds: bool | None = None
    verdict: str = ""
    verdict_code: str = ""
    seen: tuple[str, ...] = ()
    shared_seen: int = 0
    arrived_at: float | None = None
    has_fallen: bool = False
    substituted_by: str = ""
    undone: int = 0
    answer: ApprovalAnswered | None = None
    held: ApprovalRequested | None = None
    given_by: str = ""

    @property
    def hands_over(self) -> bool:
        """Whether its attempt goes on with what was approved: there is nothing more to be done."""
        return self.held is not None and self.is_interrupted and self.held.attempt == self.attempts

    def next_attempt_at(self, part: str) -> int:
        """Return the number of the next attempt at a part, without making a record of it: asking changes nothing."""
        return self.parts[part].next_attempt if part in self.parts else 1

    def drop_parts(self) -> None:
        """Forget the items or branches: the step has other ones by now."""
        self.parts = {name: part for name, part in self.parts.items() if name in ASIDE}
        self.count = None
        self.parts_of = ""

    def part(self, name: str) -> PartRecord:
        """Return the record of a part, a new one if it has not begun."""
        if name not in self.parts:
            self.parts[name] = PartRecord()
        return self.parts[name]
