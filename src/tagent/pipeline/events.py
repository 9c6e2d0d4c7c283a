"""What can happen in a run. Each event carries the time at which it happened; none is ever changed."""

from collections.abc import Mapping
from dataclasses import field

from tagent.pipeline.approval import ApprovalDefault, AskedOf
from tagent.pipeline.changes import Change
from tagent.pipeline.kinds import RunStatus
from tagent.ports.effects import Effects
from tagent.task_agent.events import AgentEvent, AgentNotice
from tagent.values import value

FORMAT_VERSION = 1
"""Raised when the meaning of a journalled event changes; a journal says which one it was written with."""

CONDITION = "<condition>"
"""The part of a step that finds out whether it is to run, where that takes a model or somebody's function."""

COMPENSATION = "<compensation>"
"""The part of a step that undoes its effects."""

BY_HAND = "by hand"
"""The source of an output that is of no other run."""

ROUNDS = "<rounds>"
"""Whose the parts are of a step that is repeated."""

ASIDE = frozenset({CONDITION, COMPENSATION})
"""The parts that are no items or branches."""


@value
class RunStarted:
    """A run began.

    Attributes:
        run_id: The run.
        pipeline: The pipeline's name.
        inputs: The run's inputs by name, as JSON values.
        shared: The first values of the run's shared memory, as JSON values.
        at: When.
        format_version: How to read this journal.
        labels: Names and values to find the run by.
        actor: Who started it.
    """

    run_id: str
    pipeline: str
    inputs: Mapping[str, object]
    shared: Mapping[str, object]
    at: float
    format_version: int = FORMAT_VERSION
    labels: Mapping[str, str] = field(default_factory=dict)
    actor: str = ""


@value
class RunResumed:
    """A process took the run up again, after a crash or an end that left work to do.

    What was running goes on: a step's interrupted attempt keeps its number and the finished calls of its
    agent. What had failed, was skipped or cancelled is open again, with all its attempts.

    Attributes:
        epoch: The claim under which the run goes on.
        actor: Who resumed it.
        definition_hash: Names the definition that counts from now on.
        at: When.
        definition: That definition as JSON text, when it is another than before; else empty.
    """

    epoch: int
    actor: str
    definition_hash: str
    at: float
    definition: str = ""


@value
class RunForked:
    """The events before this one are copied from another run, with edits; from here the run goes its own way.

    What had failed, was skipped or was cut off is open again.

    Attributes:
        parent: The run they are copied from.
        forked_seq: The place of the last of its events that was looked at.
        actor: Who forked it.
        edits: What was changed, as JSON values.
        at: When.
    """

    parent: str
    forked_seq: int
    actor: str
    edits: Mapping[str, object]
    at: float


@value
class StepStarted:
    """An attempt at a step began, or goes on after a crash. Committed before anything of the step runs.

    `seen` are those of its SOFT dependencies whose outputs it sees, however long it takes.
    """

    step: str
    attempt: int
    idempotency_key: str
    at: float
    seen: tuple[str, ...] = ()


@value
class AgentProgressed:
    """The agent of a step finished a model call or a tool call, or moved on."""

    step: str
    attempt: int
    event: AgentEvent
    at: float
    part: str = ""


@value
class AgentNoticed:
    """Something that the agent of a step does right now. Only shown: it is never journalled, and changes no state."""

    step: str
    attempt: int
    notice: AgentNotice
    at: float
    part: str = ""


@value
class InnerProgressed:
    """The pipeline inside a step came further: `event` is one of the inner run's own."""

    step: str
    attempt: int
    event: "RunEvent"
    at: float
    part: str = ""


@value
class ApprovalRequested:
    """A step waits until somebody says yes or no.

    Attributes:
        step: The step.
        of: To what: that it starts, its output, or that a `call` is made again that a crash cut off.
        attempt: The attempt that it is about; 0 before it starts.
        question: What whoever decides is asked.
        at: When.
        due_at: When `default` counts as the answer; None for never.
        default: What it is then.
        output: What waits to be approved, as JSON values.
        facts: What the attempt learned; it counts with the output, like what follows.
        memories: What it saved.
        effects: What it wrote, sent and received.
        change: What it changed about the steps.
        cached: Whether the output was there already, and nothing ran.
    """

    step: str
    of: AskedOf
    attempt: int
    question: str
    at: float
    due_at: float | None = None
    default: ApprovalDefault = "reject"
    output: object = None
    facts: Mapping[str, object] = field(default_factory=dict)
    memories: Mapping[str, object] = field(default_factory=dict)
    effects: Effects | None = None
    change: Change | None = None
    cached: bool = False


@value
class ApprovalAnswered:
    """Somebody said yes or no, or the time for it is over; then `by_default` is true.

    `output` is what counts instead of what the step gave, as JSON values, if it `is_edited`. `at` is when the run took
    the answer up, which may be long after it was given; `said_at` is when that was, None in older journals. A yes of
    nobody, not `by_default`, is for a step that need not be approved by the definition with which the run goes on.
    """

    step: str
    is_approved: bool
    at: float
    actor: str = ""
    comment: str = ""
    by_default: bool = False
    is_edited: bool = False
    output: object = None
    said_at: float | None = None

    @property
    def given_at(self) -> float:
        """When it was said; where that is not known, when the run took it up."""
        return self.at if self.said_at is None else self.said_at


@value
class StepGiven:
    """A step does not run in this run, which has its output from elsewhere: from the run `source`, or `BY_HAND`."""

    step: str
    output: object
    source: str
    at: float


@value
class StepCompleted:
    """A step is done for good: its output, facts and memories are committed together, as JSON values.

    `cached` says that the output was there already, and nothing ran; `change` what the step changed about others.
    """

    step: str
    attempt: int
    output: object
    at: float
    facts: Mapping[str, object] = field(default_factory=dict)
    memories: Mapping[str, object] = field(default_factory=dict)
    cached: bool = False
    change: Change | None = None


@value
class StepFailed:
    """An attempt failed, or the step could not even begin one: then `attempt` is 0.

    `retry_at` is when the next attempt is due; None means that the step has failed, unless it `falls_back`: then its
    output is to come from its `on_error`.
    """

    step: str
    attempt: int
    code: str
    reason: str
    retry_at: float | None
    at: float
    falls_back: bool = False


@value
class StepSubstituted:
    """A step that failed has its output from elsewhere: from the step `by`, or `default`."""

    step: str
    output: object
    by: str
    at: float


@value
class StepSkipped:
    """A step will not run, because of what happened before it."""

    step: str
    code: str
    reason: str
    at: float


@value
class StepCancelled:
    """A step was stopped, or will not begin any more, because its run ends."""

    step: str
    code: str
    reason: str
    at: float


@value
class ConditionJudged:
    """What a step's condition comes to, now that its dependencies are settled; `reason` says why."""

    step: str
    holds: bool
    reason: str
    at: float


@value
class StepExpanded:
    """A step with several parts knows how many they are; they run before the step itself merges what they give.

    `seen` as in `StepStarted`. `of` says whose parts they are: the path of a list, the names of branches, or `ROUNDS`.
    """

    step: str
    count: int
    at: float
    seen: tuple[str, ...] = ()
    of: str = ""


@value
class PartStarted:
    """An attempt at a part of a step began, or goes on after a crash. Committed before anything of it runs.

    A part is a branch, an item by its place from 0, a round by its number from 1, `CONDITION` or `COMPENSATION`.
    """

    step: str
    part: str
    attempt: int
    idempotency_key: str
    at: float
    seen: tuple[str, ...] = ()


@value
class PartCompleted:
    """A part is done for good. Of a condition the output is `{"holds": ..., "code": ..., "reason": ...}`.

    `is_last` says of a round that there is no further one, as what the step is repeated for is reached.
    """

    step: str
    part: str
    attempt: int
    output: object
    at: float
    facts: Mapping[str, object] = field(default_factory=dict)
    memories: Mapping[str, object] = field(default_factory=dict)
    cached: bool = False
    change: Change | None = None
    is_last: bool = False


@value
class PartFailed:
    """An attempt at a part failed. `retry_at` is when the next one is due; None means that the part has failed."""

    step: str
    part: str
    attempt: int
    code: str
    reason: str
    retry_at: float | None
    at: float


@value
class RunHalted:
    """From now on no step starts, and those that run are stopped; compensations are what may still follow.

    Attributes:
        code: `run.cancelled`, `run.deadline`, `run.fail_fast` or `run.rollback`.
        reason: Why, for people.
        at: When.
        actor: Who cancelled it; empty if nobody did.
        step: The step whose failure it is; empty for none.
    """

    code: str
    reason: str
    at: float
    actor: str = ""
    step: str = ""


@value
class RunPaused:
    """Nobody drives the run any more, until somebody resumes it. What was running goes on then."""

    code: str
    reason: str
    at: float


@value
class RunFinished:
    """Every step has its final status, or the run is given up; then `code` and `reason` say why."""

    status: RunStatus
    at: float
    code: str = ""
    reason: str = ""


StepEvent = (
    ConditionJudged
    | ApprovalRequested
    | ApprovalAnswered
    | StepGiven
    | StepExpanded
    | StepStarted
    | AgentProgressed
    | InnerProgressed
    | StepCompleted
    | StepFailed
    | StepSubstituted
    | StepSkipped
    | StepCancelled
    | PartStarted
    | PartCompleted
    | PartFailed
)
EventOfRun = RunStarted | RunResumed | RunForked | RunHalted | RunPaused | RunFinished
RunEvent = EventOfRun | StepEvent


def innermost(event: RunEvent) -> tuple[str, RunEvent]:
    """Return where something happened, and what: of a pipeline inside a step the path of that, with a `/` at its end.

    Example:
        >>> started = StepStarted("look", 1, "run-1/search/2/look", 0.0)
        >>> innermost(InnerProgressed("search", 1, started, 0.0, "2"))[0], innermost(started)[0]
        ('search/2/', '')
    """
    place = ""
    while isinstance(event, InnerProgressed):
        place += f"{event.step}/{event.part}/" if event.part else f"{event.step}/"
        event = event.event
    return place, event
