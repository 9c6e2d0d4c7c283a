"""The small base that both state machines stand on: which event leads from which state to which.

A table is data: it can be checked, drawn and asked; it never runs anything.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, TypeVar

from tagent.exceptions import IllegalTransitionError

State = TypeVar("State", bound=Enum)


@dataclass(frozen=True, slots=True)
class TransitionTable(Generic[State]):
    """The states that each event may lead to.

    Attributes:
        moves: (state, event type) -> the states it may lead to: one where the event alone decides,
            several where its contents do.

    Example:
        >>> class Door(Enum):
        ...     OPEN = "open"
        ...     CLOSED = "closed"
        >>> class Pushed: ...
        >>> table = TransitionTable({(Door.OPEN, Pushed): (Door.CLOSED,)})
        >>> table.check(Door.OPEN, Pushed, Door.CLOSED)
        <Door.CLOSED: 'closed'>
        >>> print(table.mermaid())
        stateDiagram-v2
            OPEN --> CLOSED: Pushed
    """

    moves: Mapping[tuple[State, type], tuple[State, ...]]

    def targets(self, state: State, event: type) -> tuple[State, ...]:
        """Return where `event` may lead from `state`.

        Raises:
            IllegalTransitionError: If it is not allowed there.
        """
        if (state, event) not in self.moves:
            raise IllegalTransitionError(state.name, event.__name__)
        return self.moves[state, event]

    def check(self, state: State, event: type, target: State) -> State:
        """Return `target` if `event` may lead there from `state`.

        Raises:
            IllegalTransitionError: If the table does not have this move.
        """
        if target not in self.targets(state, event):
            raise IllegalTransitionError(state.name, event.__name__)
        return target

    def mermaid(self) -> str:
        """Return the table as a Mermaid state diagram, one line per move, in the table's order."""
        lines = [
            f"    {state.name} --> {target.name}: {event.__name__}"
            for (state, event), targets in self.moves.items()
            for target in targets
        ]
        return "\n".join(["stateDiagram-v2", *lines])
