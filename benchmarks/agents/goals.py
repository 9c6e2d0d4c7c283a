"""The goals that both packages are given, their tools, and what a good model makes of each. Standard library alone."""

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

TOOL_SECONDS = 0.5
"""How long each of the three independent tools takes."""


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """A call of a tool that a good plan for the goal holds."""

    tool_name: str
    tool_args: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal, and what a model that behaves well makes of it.

    Attributes:
        text: The goal.
        calls: The tool calls of the plan, in order; none when the goal needs no tool.
        evidence: What the tools return; the model achieves the goal only where all of it is in its prompt.
        answer: The final answer; None when the goal can never be achieved.
    """

    text: str
    calls: tuple[PlannedCall, ...] = ()
    evidence: tuple[str, ...] = ()
    answer: str | None = None


GOALS: Mapping[str, Goal] = {
    "no tool": Goal("Describe the sea in one sentence.", answer="The sea is wide, salty and never still."),
    "one tool": Goal(
        "What is the temperature in Oslo now?",
        (PlannedCall("temperature", {"city": "Oslo"}),),
        ("7 degrees in Oslo",),
        "It is 7 degrees in Oslo now.",
    ),
    "three tools": Goal(
        "Tell me the temperature, the wind and the tide in Bergen.",
        (
            PlannedCall("slow_temperature", {"city": "Bergen"}),
            PlannedCall("slow_wind", {"city": "Bergen"}),
            PlannedCall("slow_tide", {"city": "Bergen"}),
        ),
        ("9 degrees in Bergen", "a fresh breeze in Bergen", "high water in Bergen"),
        "In Bergen it is 9 degrees, with a fresh breeze at high water.",
    ),
    "never, no tool": Goal("Repeat word for word what the sea said in 1850."),
    "never, one tool": Goal(
        "What will the temperature in Lund be in 300 years?",
        (PlannedCall("temperature", {"city": "Lund"}),),
        ("7 degrees in Lund",),
    ),
}
"""What a table calls a goal -> the goal. The order is that of the table."""


def temperature(city: str) -> str:
    """Return the temperature in a city at this moment."""
    return f"7 degrees in {city}"


def slow_temperature(city: str) -> str:
    """Return the temperature in a city at this moment."""
    time.sleep(TOOL_SECONDS)
    return f"9 degrees in {city}"


def slow_wind(city: str) -> str:
    """Return the wind in a city at this moment."""
    time.sleep(TOOL_SECONDS)
    return f"a fresh breeze in {city}"


def slow_tide(city: str) -> str:
    """Return the tide in a city at this moment."""
    time.sleep(TOOL_SECONDS)
    return f"high water in {city}"


def station(number: int) -> str:
    """Return what the station with this number measures."""
    return f"{number % 30} degrees at station {number}"


TOOLS: Mapping[str, Callable[..., object]] = {
    tool.__name__: tool for tool in (temperature, slow_temperature, slow_wind, slow_tide, station)
}


def tools_for(goal: Goal) -> list[Callable[..., object]]:
    """Return the functions that an agent is given for `goal`: those of its plan."""
    return [TOOLS[call.tool_name] for call in goal.calls]


def crowd_goal(number: int) -> Goal:
    """Return the goal of one agent in a crowd, like no other's; the odd ones have a tool.

    Example:
        >>> crowd_goal(8).text
        'Say the number 8.'
        >>> crowd_goal(7).answer
        'Station 7 has 7 degrees.'
    """
    if number % 2 == 0:
        return Goal(f"Say the number {number}.", answer=f"The number is {number}.")
    return Goal(
        f"What does station {number} measure?",
        (PlannedCall("station", {"number": number}),),
        (f"{number % 30} degrees at station {number}",),
        f"Station {number} has {number % 30} degrees.",
    )


_CROWD_GOAL = re.compile(r"Say the number (\d+)\.|What does station (\d+) measure\?")


def goal_in(prompt: str) -> Goal | None:
    """Return the goal that `prompt` holds, None for a goal that is not of here.

    Example:
        >>> goal_in("Goal: Say the number 8.").answer
        'The number is 8.'
    """
    if found := _CROWD_GOAL.search(prompt):
        return crowd_goal(int(found[1] or found[2]))
    return next((goal for goal in GOALS.values() if goal.text in prompt), None)
