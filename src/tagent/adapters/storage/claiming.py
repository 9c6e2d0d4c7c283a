"""Taking a run over from a holder that is gone, in a store that cannot ask about processes while it writes."""

from collections.abc import Awaitable, Callable

from tagent.ports.records import RunRecord
from tagent.ports.store_errors import RunHeldError


async def claimed(claim: Callable[[str], Awaitable[RunRecord]], *, is_gone: Callable[[str], bool]) -> RunRecord:
    """Return what `claim` returns, called again with the name of a holder whose process is found to be gone.

    `is_gone` is asked between the calls and not in them: it may take its time, and in the thread that writes
    everybody's writes would wait for it.

    Args:
        claim: Claims a run that is free, or held by whom it is given; "" for nobody.
        is_gone: Whether the process of this name no longer exists.

    Raises:
        RunHeldError: If somebody else holds it.
    """
    gone = ""
    while True:
        try:
            return await claim(gone)
        except RunHeldError as held:
            if not held.owner:  # given up between being found held and being looked at: each look is one of its own
                continue
            if held.owner == gone or not is_gone(held.owner):
                raise
            gone = held.owner
