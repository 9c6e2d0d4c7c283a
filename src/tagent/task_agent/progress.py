"""How far an agent has come: its state, moved only by events that are committed first."""

from tagent.ports.model_errors import ModelError
from tagent.task_agent.attempt import Attempt
from tagent.task_agent.events import AgentEvent, AgentNotice, TaskCompleted
from tagent.task_agent.models import AgentState
from tagent.task_agent.state_machine import TaskBasedStateMachine, reduce


class Progress:
    """One agent's work so far.

    Attributes:
        attempt: Where events are committed, and what an interrupted try had done.
        trace: Everything that happened, the interrupted try included.
        error: The error of the model call that ended the work; None unless one did.
        is_closed: Whether the work has ended. What ends later, like a question of a tool that nobody waits for any
            more, is told to nobody: the journal may have gone on.
    """

    def __init__(self, attempt: Attempt) -> None:
        self.attempt = attempt
        self.trace: list[AgentEvent] = []
        self.error: ModelError | None = None
        self.is_closed = False
        self._machine = TaskBasedStateMachine()
        self._under_way: list[AgentEvent] = []

    @property
    def state(self) -> AgentState:
        """What the events come to."""
        return self._machine.state

    def take_up(self) -> None:
        """Go to where the interrupted work stood."""
        for event in self.attempt.history:
            self._move(event)
            if isinstance(event, TaskCompleted) and event.effects:
                self.attempt.effects.absorb(event.effects)

    async def happened(self, event: AgentEvent) -> None:
        """Commit the event first, then let the state follow.

        Raises:
            IllegalTransitionError: If it cannot happen now; then it is not committed.
        """
        if self.is_closed:
            return
        if self.attempt.record:
            reduce(self.state, event)  # what cannot happen must not be committed
            self._under_way.append(event)
            await self.attempt.record(event)
            self._under_way.remove(event)
        self._move(event)
        self.show(event)

    def catch_up(self) -> None:
        """Let the state follow what is being committed although nobody waits for it any more.

        When a deadline cancels the work, an event may be on its way to the journal, and will be there before
        any later one.
        """
        for event in self._under_way:
            self._move(event)
            self.show(event)
        self._under_way.clear()

    def show(self, event: AgentEvent | AgentNotice) -> None:
        """Let whoever watches see it."""
        if self.attempt.on_event:
            self.attempt.on_event(event)

    def _move(self, event: AgentEvent) -> None:
        self._machine.send(event)
        self.trace.append(event)
