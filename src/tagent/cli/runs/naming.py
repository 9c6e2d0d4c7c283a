"""Runs named by the beginning of their ids, as people type them."""

from collections.abc import Callable, Iterable, Mapping
from functools import partial, wraps
from pathlib import Path
from typing import TypeVar

import click

from tagent.cli.runs.options import LEAST, listed, look_at, run_table
from tagent.ports import Services
from tagent.ports.records import RunQuery
from tagent.ports.store_errors import UnknownRunError

Returned = TypeVar("Returned")

WHOLE = 16
"""Characters of an id as tagent makes them; of so many nothing is missing."""

MOST_LISTED = 10
"""So many runs are listed of those that may be meant."""


def short_ids(*arguments: str) -> Callable[[Callable[..., Returned]], Callable[..., Returned]]:
    """Give a command the whole ids of the runs that these arguments of it name by their beginnings."""

    def decorated(command: Callable[..., Returned]) -> Callable[..., Returned]:
        @wraps(command)
        def with_whole_ids(*, store: str | None, **options: object) -> Returned:
            named = [name for argument in arguments for name in _names(options[argument])]
            found = whole_ids(named, _store_of(store, options.get("config_file")))
            for argument in arguments:
                options[argument] = _whole(options[argument], found)
            return command(store=store, **options)

        return with_whole_ids

    return decorated


def whole_ids(named: Iterable[str], store: str | None) -> Mapping[str, str]:
    """Return beginning -> the id of the only run with it. What names no run, or may be whole, is not looked for.

    Args:
        named: What somebody has typed.
        store: The URL of the store; None for that of the settings.

    Raises:
        click.BadParameter: If several runs begin so.
    """
    short = [name for name in dict.fromkeys(named) if LEAST <= len(name) < WHOLE]
    return look_at(store, partial(_looked_up, short)) if short else {}


async def _looked_up(short: Iterable[str], services: Services) -> dict[str, str]:
    return {name: await _id_of(name, services) for name in short}


async def _id_of(named: str, services: Services) -> str:
    """Return the id of the run that is named; `named` itself if there is none, so that the command says so."""
    from tagent.pipeline.journal.paging import every_run  # takes longer to import than a store to be looked at
    from tagent.search import words_of

    try:
        return (await services.store.run(named)).run_id
    except UnknownRunError:
        query = RunQuery(words=words_of(named))  # an id is among the words of its run; so are others, which may hold it
        found = [run async for run in every_run(services.store, query) if run.run_id.startswith(named)]
    if len(found) > 1:
        rows = "".join(f"\n  {line}" for line in run_table([listed(run, services) for run in found[:MOST_LISTED]]))
        raise click.BadParameter(f"{len(found)} runs have an id that begins with {named!r}: write more of it.{rows}")
    return found[0].run_id if found else named


def _names(given: object) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else given if isinstance(given, tuple) else ()


def _whole(given: object, found: Mapping[str, str]) -> object:
    if isinstance(given, str):
        return found.get(given, given)
    return tuple(found.get(name, name) for name in given) if isinstance(given, tuple) else given


def _store_of(store: str | None, config_file: object) -> str | None:
    """Return the URL that a command's options lead to, as far as they do."""
    if store is not None or not isinstance(config_file, Path):
        return store
    from tagent.cli.stores import with_store
    from tagent.config import TAgentConfig

    return with_store(TAgentConfig.load(file=config_file), None).store
