"""Checks of the store: whether it opens, whether runs can be written to it, and how safe they are there."""

import os
import secrets
import shlex
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tagent.adapters.clock import SystemClock
from tagent.adapters.processes import MachineProcesses
from tagent.adapters.storage.urls import open_store, sqlite_path
from tagent.cli.doctor.filesystems import NETWORK_FILE_SYSTEMS, file_system_of, mounts
from tagent.cli.doctor.findings import Finding, Outcome, findings_of
from tagent.cli.schemas import Schema, schema_of
from tagent.cli.stores import MEMORY_STORE, without_password
from tagent.ports.records import NewRun, Record, RunQuery, RunSummary
from tagent.ports.store import Store


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """The store to be checked.

    Attributes:
        url: Its URL; may hold a password.
        path: Its file or directory, if it is a store of this machine.
        store: The store, open.
    """

    url: str
    path: Path | None
    store: Store


StoreCheck = Callable[[OpenedStore], Awaitable[Finding | None]]
"""Comes back with None where there is nothing to check."""


async def findings_of_store(url: str, checks: Iterable[StoreCheck]) -> Sequence[Finding]:
    """Return what is found of the store; creates none, and brings none up to date.

    Raises:
        TAgentError: If it cannot be looked at.
    """
    schema = schema_of(url)
    if schema is not None and schema.found is None:
        return [_not_there_yet(url, sqlite_path(url) or Path())]
    directory = directory_of(url)
    if directory is not None and not directory.exists():
        return [_not_there_yet(url, directory)]
    if schema is not None and not schema.is_current and not schema.is_newer:  # opening would bring it up to date
        return [_outdated(url, schema)]
    store = open_store(url)
    try:
        opened = OpenedStore(url, sqlite_path(url) or directory, store)
        return [finding for check in checks for finding in await findings_of("store", _as_sequence(check(opened)))]
    finally:
        await store.close()


async def _as_sequence(check: Awaitable[Finding | None]) -> Sequence[Finding]:
    finding = await check
    return [] if finding is None else [finding]


def directory_of(url: str) -> Path | None:
    """Return the directory of a store in files, None for any other store."""
    scheme, _, rest = url.partition("://")
    return Path(rest.partition("?")[0][1:]) if scheme == "file" and rest.startswith("/") else None


def _not_there_yet(url: str, path: Path) -> Finding:
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK):
        return Finding("store", f"{without_password(url)}: not there yet; the first run makes it")
    return Finding(
        "store",
        f"{without_password(url)}: not there, and it cannot be made in {parent}",
        Outcome.FAILED,
        "Choose another place with --store or TAGENT_STORE.",
    )


def _outdated(url: str, schema: Schema) -> Finding:
    return Finding(
        "store",
        f"{without_password(url)}: its schema is {schema.found or 'missing'}, this tagent's is {schema.newest}",
        Outcome.FAILED,
        "tagent db upgrade (the next run does it too)",
    )


async def can_be_used(opened: OpenedStore) -> Finding | None:
    """Write a finished run, read it, and take it away again."""
    now = SystemClock().now()
    run_id = f"doctor-{secrets.token_hex(8)}"
    record = Record(1, "Checked", now, b"{}")
    await opened.store.create_run(
        NewRun(
            run_id,
            "tagent doctor",
            b"{}",
            "tagent doctor",
            MachineProcesses().this_process(),
            1.0,
            now,
            (record,),
            RunSummary("completed", now, is_finished=True),
        )
    )
    try:
        is_read = list(await opened.store.records(run_id)) == [record]
        await opened.store.runs(RunQuery(limit=1))
    finally:
        await opened.store.delete(run_id)
    if not is_read:
        return Finding(
            "store",
            f"{without_password(opened.url)}: what was written is not what is read",
            Outcome.FAILED,
            "Put a backup in its place, or choose another store.",
        )
    kept = "; its runs end with the process" if opened.url == MEMORY_STORE else ""
    return Finding("store", f"{without_password(opened.url)}: can be read and written{kept}")


async def is_private(opened: OpenedStore) -> Finding | None:
    """Look whether the runs are for their owner only: they hold prompts and outputs."""
    if opened.path is None:
        return None
    mode = opened.path.stat().st_mode & 0o777
    if not mode & 0o077:
        return Finding("privacy", "only their owner can read the runs")
    remedy = f"chmod {'700' if opened.path.is_dir() else '600'} {shlex.quote(str(opened.path))}"
    return Finding("privacy", f"others can reach the runs (mode {mode:03o})", Outcome.WARNING, remedy)


async def is_on_a_local_disk(opened: OpenedStore) -> Finding | None:
    """Look where the runs are: over a network neither locks nor memory are shared as a store needs it."""
    if opened.path is None:
        return None
    kind = file_system_of(opened.path.resolve(), mounts())
    if kind not in NETWORK_FILE_SYSTEMS:
        return Finding("disk", f"local ({kind})") if kind else None
    return Finding(
        "disk",
        f"a network file system ({kind}): two machines that write at once may damage the store",
        Outcome.WARNING,
        "Put the store on a local disk, or use PostgreSQL or Redis.",
    )


async def keeps_what_it_acknowledged(opened: OpenedStore) -> Finding | None:
    """Look whether a Redis server writes to its disk, and never throws runs away."""
    if opened.url.partition("://")[0] not in {"redis", "rediss"}:
        return None
    from tagent.adapters.storage.redis.store import RedisStore

    if not isinstance(opened.store, RedisStore):
        return None
    problem = await opened.store.append_only_problem() or await opened.store.eviction_problem()
    if not problem:
        return Finding("durability", "the server writes every commit to its disk")
    what, _, remedy = problem.rstrip(".").partition(". ")
    return Finding("durability", what, Outcome.WARNING, remedy)


STORE_CHECKS: tuple[StoreCheck, ...] = (can_be_used, is_private, is_on_a_local_disk, keeps_what_it_acknowledged)
