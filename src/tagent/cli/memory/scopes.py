"""How a command is told which memory is meant, and how it reaches it."""

import asyncio

import click

from tagent.bridge import Bridge
from tagent.memory import MemoryScope
from tagent.names import memory_scope
from tagent.ports import Services

scope_option = click.option(
    "--scope", required=True, metavar="SCOPE", help="Whose memory: pipeline:NAME, run:ID, step:ID/STEP, space:NAME."
)


def opened(services: Services, scope: str) -> MemoryScope:
    """Return the memory that `scope` names, in the loop that is running.

    Raises:
        InvalidNameError: If it names none.
    """
    return MemoryScope(services.store, memory_scope(scope), bridge=Bridge(asyncio.get_running_loop()))
