"""The table that both state machines stand on."""

from enum import Enum

import pytest

from tagent.exceptions import IllegalTransitionError
from tagent.transitions import TransitionTable


class Light(Enum):
    RED = "red"
    GREEN = "green"
    OFF = "off"


class Switched: ...


class Broken: ...


TABLE = TransitionTable(
    {
        (Light.RED, Switched): (Light.GREEN,),
        (Light.GREEN, Switched): (Light.RED, Light.OFF),
    }
)


@pytest.mark.parametrize("target", [Light.RED, Light.OFF])
def test_allows_every_target_of_a_move(target: Light) -> None:
    """Where an event's contents decide, the table allows each outcome."""
    assert TABLE.check(Light.GREEN, Switched, target) is target
    assert target in TABLE.targets(Light.GREEN, Switched)


def test_refuses_an_event_that_the_state_does_not_know() -> None:
    """A journal that does not make sense must not be folded on."""
    with pytest.raises(IllegalTransitionError, match="Broken is not allowed in the state RED") as raised:
        TABLE.targets(Light.RED, Broken)
    assert (raised.value.state, raised.value.event) == ("RED", "Broken")


def test_refuses_a_target_that_the_move_does_not_have() -> None:
    """A reducer with a mistake is caught by its own table."""
    with pytest.raises(IllegalTransitionError):
        TABLE.check(Light.RED, Switched, Light.OFF)


def test_draws_each_move_in_the_order_of_the_table() -> None:
    """The diagram in the documentation is made from the table, so that it cannot lie."""
    assert TABLE.mermaid().splitlines() == [
        "stateDiagram-v2",
        "    RED --> GREEN: Switched",
        "    GREEN --> RED: Switched",
        "    GREEN --> OFF: Switched",
    ]
