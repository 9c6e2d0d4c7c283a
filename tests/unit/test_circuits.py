"""The circuits of a process: one probe at a time, whoever calls, and what counts as a failure."""

import asyncio
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from tagent.circuit import CircuitPolicy
from tagent.circuits import CircuitOpenError, Circuits, Outcome, guarded, outcome_of
from tagent.exceptions import ConfigurationError, IllegalTransitionError
from tagent.pipeline.exceptions import StepOutputError, StepTimeoutError
from tagent.ports.model_errors import (
    ModelAuthenticationError,
    ModelCircuitOpenError,
    ModelRateLimitError,
    ModelRejectedError,
)
from tagent.testing import ManualClock

POLICY = CircuitPolicy(failures=3, open_seconds=30, ceiling_seconds=120)
KEY = "step:report/search"


class Interrupted(str):
    """A key at each look-up of which other threads come in, where nothing keeps them out."""

    __slots__ = ()

    def __hash__(self) -> int:
        threading.Event().wait(1e-5)
        return super().__hash__()

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


class Guarded:
    """Something with a circuit, and a clock.

    Attributes:
        calls: How often it was called.
    """

    def __init__(self, policy: CircuitPolicy = POLICY) -> None:
        self.clock = ManualClock(now=1000)
        self.circuits = Circuits()
        self.calls = 0
        self._policy = policy

    def call(self, error: BaseException | None = None) -> None:
        """Call it; it raises `error`."""
        with guarded(KEY, self._policy, now=self.clock.now, circuits=self.circuits):
            self.calls += 1
            if error is not None:
                raise error

    def fail(self, times: int, error: BaseException | None = None) -> None:
        """Call it so often, in vain; it is never refused."""
        error = error or ConnectionError()
        for _ in range(times):
            with pytest.raises(type(error)) as raised:
                self.call(error)
            assert raised.value is error

    def refused_for(self) -> float:
        """Return for how long a call is refused now."""
        with pytest.raises(CircuitOpenError) as raised:
            self.call()
        return raised.value.retry_after_seconds

    async def call_slowly(self, seconds: float, error: Exception | None = None) -> None:
        """Call it; it takes so long."""
        with guarded(KEY, self._policy, now=self.clock.now, circuits=self.circuits):
            self.calls += 1
            await self.clock.sleep(seconds)
            if error is not None:
                raise error


def test_failures_in_a_row_open_it_and_one_probe_closes_it() -> None:
    """What is down is left alone, and what is back is used."""
    it = Guarded()
    it.fail(2)
    it.call()
    it.fail(3)
    assert (it.refused_for(), it.calls) == (30, 6)
    it.clock.advance(30)
    it.call()
    it.call()
    assert it.calls == 8


def test_a_probe_that_fails_doubles_the_wait_up_to_the_ceiling() -> None:
    """Who is down for long is called ever more seldom."""
    it = Guarded()
    it.fail(3)
    waits = []
    for _ in range(4):
        waits.append(it.refused_for())
        it.clock.advance(waits[-1])
        it.fail(1)
    assert waits == [30, 60, 120, 120]


def test_the_error_says_whose_circuit_and_for_how_long() -> None:
    """It is read in a report in which nothing else of that step happened."""
    it = Guarded()
    it.fail(3)
    it.clock.advance(12)
    with pytest.raises(CircuitOpenError) as raised:
        it.call()
    assert (raised.value.code, raised.value.circuit, raised.value.is_retryable) == ("circuit.open", KEY, True)
    told = "The step 'search' has failed again and again and is not called for 18.0 s; the last time: ConnectionError."
    assert raised.value.message == told


def test_the_error_says_what_the_last_failure_was() -> None:
    """In a run that only finds it open, that failure is nowhere else."""
    it = Guarded()
    it.fail(2, ConnectionError("first"))
    it.fail(1, ConnectionError(f"refused\nby {'x' * 1000}"))
    with pytest.raises(CircuitOpenError) as raised:
        it.call()
    assert raised.value.last == "ConnectionError: refused by ..."
    it.clock.advance(30)
    it.call()
    it.fail(2, TimeoutError())
    it.fail(1, StepTimeoutError("search", seconds=5))
    with pytest.raises(CircuitOpenError, match="; the last time: The step 'search' "):
        it.call()


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        KeyboardInterrupt(),
        TypeError(),
        ConfigurationError("wrong"),
        ModelAuthenticationError("mine", "no key"),
        ModelRejectedError("mine", "too long"),
        ModelCircuitOpenError("mine", retry_after_seconds=1),
        StepOutputError("a", "no list"),
        IllegalTransitionError("A", "b"),
    ],
)
def test_what_would_not_pass_by_itself_says_nothing(error: BaseException) -> None:
    """A user's mistake does not hide behind an open circuit, and does not mend one either."""
    it = Guarded()
    it.fail(2)
    it.fail(5, error)
    assert it.circuits.is_open(KEY) is False
    it.fail(1)
    assert it.refused_for() == 30


@pytest.mark.parametrize(
    "error", [ValueError(), SystemExit(1), ModelRateLimitError("mine"), StepTimeoutError("a", seconds=1)]
)
def test_what_may_pass_by_itself_counts(error: BaseException) -> None:
    """So does an exit, which a step takes for a failure."""
    assert outcome_of(error) is Outcome.FAILED


def test_a_cancelled_probe_makes_room_for_another() -> None:
    """Cancelling the one run that probes must not lock out all others."""
    it = Guarded()
    it.fail(3)
    it.clock.advance(30)
    it.fail(1, asyncio.CancelledError())
    it.call()
    assert it.circuits.is_open(KEY) is False


def test_another_key_has_another_circuit_and_no_policy_none() -> None:
    """One step's failures say nothing of the next."""
    it = Guarded()
    it.fail(3)
    with guarded("step:report/write", POLICY, now=it.clock.now, circuits=it.circuits):
        it.calls += 1
    for _ in range(9):
        with pytest.raises(ConnectionError), guarded(KEY, None, now=it.clock.now, circuits=it.circuits):
            raise ConnectionError
    assert it.calls == 4


def test_circuits_with_nothing_to_remember_take_no_memory() -> None:
    """Programs make pipelines with names like `report-2026-11-30`, without end."""
    circuits = Circuits()
    for number in range(1000):
        with guarded(f"step:report-{number}/search", POLICY, now=lambda: 0.0, circuits=circuits):
            pass
    assert vars(circuits)["_circuits"] == {}


async def test_of_many_tasks_one_probes() -> None:
    """A thousand agents that wait for a service do not run it over when it comes back."""
    it = Guarded()
    it.fail(3)
    it.clock.advance(30)
    outcomes: Counter[str] = Counter()

    async def attempt() -> None:
        try:
            await it.call_slowly(5)
            outcomes["called"] += 1
        except CircuitOpenError as error:
            outcomes["refused"] += 0 < error.retry_after_seconds <= 1

    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(attempt())
    assert outcomes == {"called": 1, "refused": 99}
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(attempt())
    assert outcomes == {"called": 101, "refused": 99}


async def test_calls_from_before_say_nothing_about_now() -> None:
    """They began while all was well, and end late, one way or the other."""
    it = Guarded()
    async with asyncio.TaskGroup() as group:
        group.create_task(it.call_slowly(40))
        group.create_task(it.call_slowly(10))
        await asyncio.sleep(0)
        it.fail(3)
        group.create_task(_probe_that_fails_at(it, 1030))
    assert it.circuits.is_open(KEY)
    assert it.clock.now() == 1040
    assert it.refused_for() == 50


async def _probe_that_fails_at(it: Guarded, at: float) -> None:
    await it.clock.sleep(at - it.clock.now())
    it.fail(1)


def test_threads_never_probe_together() -> None:
    """Steps and tools run in threads, and runs in loops of their own."""
    circuits, policy = Circuits(), CircuitPolicy(failures=1, open_seconds=0.0)
    inside, most = 0, 0
    start, key = threading.Barrier(8), Interrupted(KEY)
    with pytest.raises(ConnectionError), guarded(key, policy, now=lambda: 0.0, circuits=circuits):
        raise ConnectionError

    def fail() -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        threading.Event().wait(0.001)  # others have time to come in, if they may
        inside -= 1
        raise ConnectionError

    def hammer() -> Counter[str]:
        calls: Counter[str] = Counter()
        start.wait()
        for _ in range(50):
            try:
                with guarded(key, policy, now=lambda: 0.0, circuits=circuits):
                    fail()
            except CircuitOpenError:
                calls["refused"] += 1
            except ConnectionError:
                calls["made"] += 1
        return calls

    with ThreadPoolExecutor(8) as pool:
        calls = [done.result() for done in [pool.submit(hammer) for _ in range(8)]]
    assert most == 1
    assert sum(made["made"] for made in calls) >= 1
    assert sum(made["made"] + made["refused"] for made in calls) == 8 * 50
    assert circuits.is_open(KEY)


def test_no_failure_is_lost_between_threads() -> None:
    """The last of exactly so many opens it, whichever thread makes it."""
    circuits, policy = Circuits(), CircuitPolicy(failures=400)
    start, key = threading.Barrier(8), Interrupted(KEY)

    def fail(times: int) -> None:
        start.wait()
        for _ in range(times):
            circuits.report(circuits.admit(key, now=lambda: 0.0), Outcome.FAILED, now=lambda: 0.0, policy=policy)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(fail, 50 if number else 49) for number in range(8)]:
            done.result()
    assert not circuits.is_open(KEY)
    circuits.report(circuits.admit(KEY, now=lambda: 0.0), Outcome.FAILED, now=lambda: 0.0, policy=policy)
    assert circuits.is_open(KEY)
