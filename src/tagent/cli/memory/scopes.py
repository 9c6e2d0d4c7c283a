"""How a command is told which memory is meant, and how it reaches it."""

import asyncio

import click

from tagent.bridge import Bridge
from tagent.memory import MemoryScope
from tagent.names import InvalidNameError, memory_address, memory_scope
from tagent.ports import Services

KINDS = "pipeline:NAME, run:ID, step:ID/STEP, space:NAME, shared:NAME"

scope_option = click.option("--scope", required=True, metavar="SCOPE", help=f"Whose memory: {KINDS}.")


def is_memory(scope: str) -> bool:
    """Return whether a scope of the store is a memory of somebody's, and none of tagent's own.

    Example:
        >>> is_memory("space/prices"), is_memory("workers"), is_memory("schedule/report")
        (True, False, False)
    """
    try:
        return memory_scope(memory_address(scope)) == scope
    except InvalidNameError:
        return False


def opened(services: Services, scope: str) -> MemoryScope:
    """Return the memory that `scope` names, in the loop that is running.

    Raises:
        InvalidNameError: If it names none.
    """
    return MemoryScope(services.store, memory_scope(scope), bridge=Bridge(asyncio.get_running_loop()))
