"""Telling a coroutine that is closed where it waits from one that raises the same by itself."""

import asyncio


def is_at_work(task: asyncio.Task[object] | None) -> bool:
    """Return whether `task` is the one that runs right now: then nobody closes the coroutine in it.

    A `GeneratorExit` that reaches code of the task meanwhile was raised by what it has called.

    Args:
        task: The task to which the code belongs, as `asyncio.current_task` has returned it there.
    """
    try:
        return asyncio.current_task() is task
    except RuntimeError:  # no event loop runs here
        return False
