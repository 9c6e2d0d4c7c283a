"""Which failures of a step are tried again, how long it waits, and when it is left alone."""

import itertools
from collections.abc import Callable

import pytest

from builders import Ran, raising, run
from tagent.circuit import CircuitPolicy
from tagent.pipeline import ExecutionMode, Pipeline, RetryPolicy
from tagent.pipeline.events import StepFailed
from tagent.ports.model_errors import ModelAuthenticationError, ModelTimeoutError
from tagent.testing import ManualClock, ScriptedModel

NAMES = (f"circuits-{number}" for number in itertools.count())
"""Circuits are those of the process, so each test has a pipeline of its own."""


async def attempts(function: Callable[[], object], **policy: object) -> int:
    """Return how many attempts a step makes that always fails so."""
    retry = RetryPolicy(**policy)  # type: ignore[arg-type]  # settings of a policy
    ran = await run(Pipeline("p").step("a", run=function, retry=retry))
    found = ran.result.step_metadata["a"]["attempts"]
    assert isinstance(found, int)
    return found


def codes(ran: Ran) -> list[str]:
    """Return the code of every failed attempt, in order."""
    return [event.code for event in ran.events if isinstance(event, StepFailed)]


@pytest.mark.parametrize(
    ("error", "policy", "expected"),
    [
        (KeyError(), {}, 4),
        (KeyError(), {"never": [LookupError]}, 1),
        (KeyError(), {"only": [OSError]}, 1),
        (ConnectionResetError(), {"only": [OSError]}, 4),
        (ExceptionGroup("tasks", [ConnectionResetError()]), {"only": [OSError]}, 4),
        (TypeError(), {}, 1),
        (TypeError(), {"only": ["step.failed"]}, 4),
        (ModelTimeoutError("mine", seconds=1), {"only": ["model"]}, 4),
        (ModelAuthenticationError("mine", "no key"), {"only": [Exception]}, 1),
        (ModelAuthenticationError("mine", "no key"), {"only": [ModelAuthenticationError]}, 4),
    ],
)
async def test_what_is_tried_again_can_be_said(error: Exception, policy: dict[str, object], expected: int) -> None:
    """By code or by class; without a word the table decides."""
    assert await attempts(raising(error), **policy) == expected


async def test_an_agent_may_begin_anew_when_it_did_not_reach_its_goal() -> None:
    """Models have better and worse days; who wants to pay for that says so."""
    script = [{"not_achieved_because": "It is not there."}] * 3 + ["found"]
    asked = RetryPolicy(only=["agent.goal_not_achieved"])
    pipeline = Pipeline("p", config={"max_planning_cycles": 1}).step("find", "Find it", retry=asked)
    ran = await run(pipeline, model=ScriptedModel(script))
    assert (ran.result.final_output, ran.result.step_metadata["find"]["attempts"]) == ("found", 4)


async def test_without_jitter_the_whole_wait_is_waited() -> None:
    """Some services say when they may be asked again, and mean it."""
    clock = ManualClock()
    await run(Pipeline("p").step("a", run=raising(OSError()), retry=RetryPolicy(2, 5, jitter=False)), clock=clock)
    assert clock.now() == 2 + 4 + 5


async def test_a_step_that_fails_again_and_again_is_left_alone_by_all_runs() -> None:
    """A hundred runs do not make worse what is bad already."""
    circuit = CircuitPolicy(failures=3, open_seconds=60)
    clock = ManualClock(1000)
    pipeline = Pipeline(next(NAMES)).step("a", run=raising(OSError(), times=3), max_retries=0, circuit=circuit)
    found = [codes(await run(pipeline, clock=clock)) for _ in range(4)]
    assert found == [["step.failed"]] * 3 + [["circuit.open"]]
    clock.advance(60)
    assert (await run(pipeline, clock=clock)).result.final_output == "mended"


async def test_a_step_waits_as_long_as_its_circuit_asks() -> None:
    """Its attempts would be used up long before."""
    circuit = CircuitPolicy(failures=1, open_seconds=60)
    clock = ManualClock(1000)
    retry = RetryPolicy(base_seconds=1, jitter=False)
    pipeline = Pipeline(next(NAMES)).step("a", run=raising(OSError(), times=1), retry=retry, circuit=circuit)
    ran = await run(pipeline, clock=clock)
    assert codes(ran) == ["step.failed", "circuit.open"]
    assert (ran.result.final_output, clock.now()) == ("mended", 1060)


async def test_mistakes_do_not_hide_behind_a_circuit() -> None:
    """The error names the line; `circuit.open` would not."""
    circuit = CircuitPolicy(failures=1)
    pipeline = Pipeline(next(NAMES), default_mode=ExecutionMode.CONCURRENT)
    pipeline.step("a", run=raising(TypeError()), circuit=circuit)
    assert [codes(await run(pipeline)) for _ in range(3)] == [["step.failed"]] * 3
