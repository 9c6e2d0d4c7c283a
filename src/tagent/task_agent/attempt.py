"""One try at some work, as the work sees it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import field
from typing import Any

from tagent.effects import EffectBuffer
from tagent.ports.effects import Effects
from tagent.task_agent.accounts import Account
from tagent.task_agent.events import AgentEvent, AgentNotice, TaskStarted
from tagent.task_agent.models import Spending
from tagent.task_agent.tools.reach import OpenReach
from tagent.values import value

RecordEvent = Callable[[AgentEvent], Awaitable[None]]
CommitInner = Callable[[Sequence[Any], Effects], Awaitable[None]]


@value
class Attempt:
    """One try, whichever process it began in.

    Attributes:
        number: Which try this is, from 1.
        idempotency_key: Names the work in its run, equal in every try; empty outside a pipeline.
        record: Commits an event of the agent; returns once it is durable. An event that it was given is committed
            also when the waiting for it is cancelled. None keeps no journal.
        history: What the agent had done when this try was interrupted; its finished calls are not made again.
        cleared: How much of `history` somebody has looked at: a call cut off there may be made again, although it may
            have happened.
        in_doubt: The calls of earlier tries that were cut off, and about which nobody has said anything.
        began_at: When it began, in the process it began in, in seconds since 1970-01-01 UTC.
        effects: Gathers what it changes besides its output.
        reach: Opens memory and mail; None outside a pipeline.
        spent: What earlier tries at the same work took; it counts in the limits of its own settings.
        accounts: What else its model calls are paid from, together with other agents: its step's, then its run's.
        work_began_at: When the first try at the same work began; a deadline counts from then. None means `began_at`.
        commit_inner: Commits events of a pipeline that is the work, with their effects; returns once they are durable.
            Raises `EffectRefusedError` if an effect cannot be had; nothing was written then. None outside a pipeline.
        on_event: Is shown each event once it is committed, and what is never journalled. It must not raise.
    """

    number: int = 1
    idempotency_key: str = ""
    record: RecordEvent | None = None
    history: Sequence[AgentEvent] = ()
    began_at: float = 0.0
    effects: EffectBuffer = field(default_factory=EffectBuffer)
    reach: OpenReach | None = None
    spent: Spending = Spending()
    accounts: tuple[Account, ...] = ()
    work_began_at: float | None = None
    commit_inner: CommitInner | None = None
    cleared: int = 0
    in_doubt: tuple[TaskStarted, ...] = ()
    on_event: Callable[[AgentEvent | AgentNotice], None] | None = None
