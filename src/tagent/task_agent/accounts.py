"""What several agents may spend together, kept while they spend it. Nothing here is journalled or asks a model.

All of it happens in one event loop. Between `room` and `held` nothing may be awaited: whoever has found room takes it.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from tagent.budget import Budget
from tagent.ports.language_model import TokenUsage
from tagent.task_agent.budgets import BudgetPausedError, exceeded
from tagent.task_agent.events import BudgetExceeded, Owner
from tagent.task_agent.models import ModelCall, Spending


class Account:
    """What a run, a step or a goal may spend, what it has spent, and what is held for the calls under way.

    Attributes:
        budget: The limits.
        whose: Whose they are.
        waits: Whether work pauses where there is no room, instead of failing.

    Args:
        budget: The limits.
        whose: Whose they are.
        spent: What was spent before.
        began_at: When the time of the budget began; None if somebody else looks after its deadline.
        waits: Whether work is to pause where there is no room.

    Example:
        >>> account = Account(Budget(max_model_calls=3), whose="run")
        >>> with held((account,), requests=2) as reservation:
        ...     print(reservation.requests, account.requests_left)
        2 1
        >>> account.spend(ModelCall("m", TokenUsage(requests=3)))
        >>> account.exceeded(now=0.0)
        BudgetExceeded(limit='max_model_calls', allowed=3, spent=3, cut_off=(), whose='run')
    """

    def __init__(
        self,
        budget: Budget,
        *,
        whose: Owner,
        spent: Spending | None = None,
        began_at: float | None = None,
        waits: bool = False,
    ) -> None:
        self.budget = budget
        self.whose: Owner = whose
        self.waits = waits
        self._spent = spent or Spending()
        self._began_at = began_at
        self._held = 0
        self._cut_off = 0
        self._freed = asyncio.Event()
        requests = max(1, self._spent.usage.requests)
        self._most_cost_usd = self._spent.cost_usd / requests
        self._most_tokens = self._spent.usage.total_tokens // requests

    @property
    def spending(self) -> Spending:
        """What is spent. A call that was cut off counts as one request, and as dear as the dearest other one."""
        lost = TokenUsage(self._most_tokens * self._cut_off, 0, self._cut_off)
        return self._spent + Spending(lost, self._most_cost_usd * self._cut_off)

    @property
    def requests_left(self) -> int | None:
        """How many more requests may begin now; None if they are not limited."""
        allowed = self.budget.max_model_calls
        if allowed is None:
            return None
        return max(0, allowed - self._spent.usage.requests - self._cut_off - self._held)

    def exceeded(self, *, now: float) -> BudgetExceeded | None:
        """Return the first limit that what is spent leaves no room in; what is under way may still be given back."""
        if self.budget.is_unlimited:
            return None
        seconds = 0.0 if self._began_at is None else now - self._began_at
        return exceeded(self.budget, self.spending, seconds=seconds, whose=self.whose)

    async def freed(self) -> None:
        """Return when a call that was under way has ended."""
        await self._freed.wait()

    def spend(self, call: ModelCall) -> None:
        """Count what a call took."""
        self._spent = self._spent.plus(call)
        self._most_cost_usd = max(self._most_cost_usd, call.cost_usd or 0.0)
        self._most_tokens = max(self._most_tokens, call.usage.total_tokens)

    def lose(self) -> None:
        """Count a call of which nobody will know what it took."""
        self._cut_off += 1

    def hold(self, requests: int) -> None:
        """Keep others from so many requests."""
        self._held += requests

    def free(self, requests: int) -> None:
        """Give back what was held, and tell those that wait for it."""
        self._held -= requests
        self._freed.set()
        self._freed = asyncio.Event()


class Reservation:
    """Room for one call in several accounts, until what it took is known.

    Attributes:
        requests: How many requests it may take, re-asks included, from 1.
    """

    def __init__(self, accounts: Sequence[Account], *, requests: int) -> None:
        left = [account.requests_left for account in accounts]
        self.requests = max(1, min([requests, *(most for most in left if most is not None)]))
        self._accounts = accounts
        self._is_open = False

    def open(self) -> None:
        """Note that the model is asked now: from here on the call counts, whatever becomes of it."""
        self._is_open = True

    def spend(self, call: ModelCall) -> None:
        """Count what the call took."""
        self._is_open = False
        for account in self._accounts:
            account.spend(call)

    def close(self) -> None:
        """Count the call as lost if it was made and nobody said what it took."""
        if self._is_open:
            for account in self._accounts:
                account.lose()


@contextmanager
def held(accounts: Sequence[Account], *, requests: int) -> Iterator[Reservation]:
    """Hold room for up to so many requests during the block, at once after `room` said that there is some."""
    reservation = Reservation(accounts, requests=requests)
    for account in accounts:
        account.hold(reservation.requests)
    try:
        yield reservation
    finally:
        reservation.close()
        for account in accounts:
            account.free(reservation.requests)


async def room(accounts: Sequence[Account], *, now: Callable[[], float]) -> BudgetExceeded | None:
    """Return the limit that leaves no room for another call; None as soon as there is room in all accounts.

    Where only calls under way are in the way, it waits for them: each holds more requests than it mostly takes.

    Raises:
        BudgetPausedError: If there is none in an account that waits. That a price is unknown is not mended by
            waiting, so it is returned.
    """
    while True:
        for account in accounts:
            if (limit := account.exceeded(now=now())) is None:
                continue
            if account.waits and limit.spent is not None:
                raise BudgetPausedError(limit)
            return limit
        full = next((account for account in accounts if account.requests_left == 0), None)
        if full is None:
            return None
        await full.freed()
