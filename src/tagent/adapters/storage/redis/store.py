"""`RedisStore`: the store on a Redis server. It writes through one writer and reads beside it.

How durable a commit is, the server's settings say. With `appendonly yes` and `appendfsync always` it is on
disk before it is acknowledged; with `appendfsync everysec` the last second may be lost if the machine
fails, though not if only the server does; without the append-only file a restart loses everything since
the last snapshot.
"""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import NoReturn

from redis.exceptions import RedisError, ResponseError

from tagent.adapters.storage.claiming import claimed
from tagent.adapters.storage.redis import scripts, settings
from tagent.adapters.storage.redis.address import Address, address_of
from tagent.adapters.storage.redis.arguments import Arguments, number_argument, utf8
from tagent.adapters.storage.redis.changes import Changes
from tagent.adapters.storage.redis.effect_store import EffectStore
from tagent.adapters.storage.redis.errors import translated
from tagent.adapters.storage.redis.link import Reply
from tagent.adapters.storage.redis.readers import Readers
from tagent.adapters.storage.redis.refusals import accepted, is_unknown
from tagent.adapters.storage.redis.scripts import Command, Script
from tagent.adapters.storage.redis.values import (
    FORMAT,
    commit_arguments,
    new_run_arguments,
    query_arguments,
    stored_portion,
    stored_record,
    stored_run,
    texts,
)
from tagent.adapters.storage.redis.writer import Writer
from tagent.exceptions import StoreError, nearest
from tagent.ports.records import NEWEST, Batch, NewRun, Record, RunQuery, RunRecord, begun
from tagent.ports.store_errors import (
    MissingBlobError,
    StoreVersionError,
    UnknownRunError,
)

SEARCH_PORTION = 1000
"""So many runs the server looks at before it serves others."""

RECORDS_PORTION = 1000
"""So many records come with one answer."""

NEWEST_IDS = 1000
"""Among these the id is looked for that somebody may have meant."""


def open_redis(url: str) -> "RedisStore":
    """Return the store on a Redis server; one server holds any number of stores, each under its own prefix.

    Args:
        url: `redis://user:password@host:6379/0`, or `rediss://` for TLS. Options behind a `?`: `prefix`;
            `socket_timeout` and `socket_connect_timeout` in seconds; `ssl_ca_certs`, `ssl_certfile` and
            `ssl_keyfile`, the paths of files.

    Raises:
        ConfigurationError: If the URL is not understood.
        StoreUnavailableError: If the server cannot be reached now.
        StoreVersionError: If a newer tagent wrote the store.
        StoreError: If the server refuses the user, or is not one that can hold a store.
    """
    address = address_of(url)
    _check_format(address)
    return RedisStore(address)


def _check_format(address: Address) -> None:
    key = f"{address.prefix}:format"
    try:
        link = address.connect()
        try:
            (found,) = link.exchange([(b"GET", key.encode())])
        finally:
            link.close()
        if isinstance(found, ResponseError):
            raise found
    except (RedisError, OSError) as error:
        raise translated(error, store=address.name) from error
    if found is None:
        return
    if not isinstance(found, bytes) or not found.isdigit():
        raise StoreError(
            f"The store {address.name} holds keys of another program under our names.",
            hint="Choose another ?prefix=.",
        )
    if int(found) > FORMAT:
        raise StoreVersionError(
            f"The store {address.name} has format {int(found)}; this tagent knows up to {FORMAT}.",
            hint="Use the tagent that wrote it, or a newer one.",
        )


class RedisStore(EffectStore):
    """Journals, memory and messages on a Redis server; opened by `open_redis`.

    Args:
        address: Where the server is, and what the names of the keys begin with.
    """

    def __init__(self, address: Address) -> None:
        self._translated = partial(translated, store=address.name)
        writer = Writer(address.connect, translated=self._translated)
        readers = Readers(address.connect, translated=self._translated)
        super().__init__(f"{address.prefix}:".encode(), writer=writer, readers=readers)
        self._changes = Changes(address.connect, stream=self._prefix + b"changes")

    async def create_run(self, run: NewRun) -> RunRecord:
        """Begin a journal with the run's first records and claim it with epoch 1."""
        script = scripts.CREATE_RUN_WITH_EFFECTS if run.effects else scripts.CREATE_RUN
        await self._write(script, run.run_id, new_run_arguments(run))
        return begun(run)

    async def claim(
        self, run_id: str, *, owner: str, lease_seconds: float, is_gone: Callable[[str], bool]
    ) -> RunRecord:
        """Take the run and return it with its new epoch."""

        async def claim(gone: str) -> RunRecord:
            arguments = (utf8(owner), number_argument(lease_seconds), utf8(gone))
            return stored_run(run_id, texts(await self._write(scripts.CLAIM, run_id, arguments)))

        return await claimed(claim, is_gone=is_gone)

    def renew(self, run_id: str, *, epoch: int, lease_seconds: float) -> None:
        """Move the lease's end to `lease_seconds` from now. Blocks; may be called from any thread."""
        arguments = (b"%d" % epoch, number_argument(lease_seconds))
        answer = self._writer.run(scripts.RENEW.call(self._prefix, utf8(run_id), *arguments))
        if is_unknown(answer):
            _refuse_unknown(run_id, self._readers.read_now(self._newest_ids()))
        accepted(answer, run_id)

    async def release(self, run_id: str, *, epoch: int) -> None:
        """Give the run up; does nothing under another epoch."""
        await self._write(scripts.RELEASE, run_id, (b"%d" % epoch,))

    async def commit(self, batch: Batch) -> None:
        """Append the batch's records."""
        script = scripts.COMMIT_WITH_EFFECTS if batch.effects else scripts.COMMIT
        await self._write(script, batch.run_id, commit_arguments(batch))

    async def run(self, run_id: str) -> RunRecord:
        """Return what is known of the run."""
        (found,) = await self._readers.read((b"HGETALL", self._key("run", run_id)))
        if not isinstance(found, list) or not found:
            return await self._unknown(run_id)
        return stored_run(run_id, texts(found))

    async def runs(self, query: RunQuery = NEWEST) -> Sequence[RunRecord]:
        """Return the runs that fit, the newest first."""
        found: dict[str, RunRecord] = {}  # in a deleted run's place, runs may be told twice
        wanted = query_arguments(query)
        after = (b"", b"")
        while (missing := query.limit - len(found)) > 0:
            call = scripts.SEARCH.call(self._prefix, *after, b"%d" % missing, b"%d" % SEARCH_PORTION, *wanted)
            (answer,) = await self._readers.read(call)
            runs, after = stored_portion(answer)
            found |= {run.run_id: run for run in runs}
            if not after[1]:
                break
        return tuple(found.values())

    async def records(self, run_id: str, *, after_seq: int = 0) -> Sequence[Record]:
        """Return the journal's records behind `after_seq`, in order."""
        run, journal = self._key("run", run_id), self._key("journal", run_id)
        found: list[Record] = []
        seen = after_seq
        while True:
            portion = (b"XRANGE", journal, b"%d-0" % (seen + 1), b"+", b"COUNT", b"%d" % RECORDS_PORTION)
            last_seq, entries = await self._readers.read((b"HGET", run, b"last_seq"), portion)
            if not isinstance(last_seq, bytes) or not isinstance(entries, list):
                return await self._unknown(run_id)
            for entry in entries:
                record = stored_record(entry)
                if record.seq != seen + 1:
                    raise _missing_record(run_id, seen + 1)
                found.append(record)
                seen = record.seq
            if seen >= int(last_seq):
                return found
            if not entries:
                raise _missing_record(run_id, seen + 1)

    async def definition(self, definition_hash: str) -> bytes:
        """Return the definition with this hash."""
        (found,) = await self._readers.read((b"GET", self._key("definition", definition_hash)))
        if not isinstance(found, bytes):
            raise StoreError(f"No definition has the hash {definition_hash!r}.")
        return found

    async def blob(self, blob_hash: str) -> bytes:
        """Return the content of the blob with this hash."""
        (found,) = await self._readers.read((b"GET", self._key("blob", blob_hash)))
        if not isinstance(found, bytes):
            raise MissingBlobError(blob_hash)
        return found

    async def delete(self, run_id: str) -> None:
        """Delete a finished run, and every definition and blob that no other run needs."""
        await self._write(scripts.DELETE, run_id)

    async def wait_for_change(self, seen: int, *, seconds: float) -> int:
        """Return as soon as anything may have been committed since this returned `seen`."""
        return await self._changes.wait(seen, seconds=seconds)

    async def close(self) -> None:
        """Finish the writes that wait, then let go of every connection."""
        await asyncio.to_thread(self._writer.close)
        await asyncio.to_thread(self._readers.close)
        self._changes.close()

    async def append_only_problem(self) -> str:
        """Return why the server may lose acknowledged commits, "" if it does not.

        Raises:
            StoreUnavailableError: If it cannot be reached.
        """
        config = texts(await self._told((b"CONFIG", b"GET", b"appendfsync")))
        info = settings.info_of(await self._told((b"INFO", b"persistence")))
        return settings.append_only_problem(info, appendfsync=config[1] if len(config) == 2 else "")

    async def eviction_problem(self) -> str:
        """Return how the server might throw runs away for want of memory, "" if it does not.

        Raises:
            StoreUnavailableError: If it cannot be reached.
        """
        return settings.eviction_problem(settings.info_of(await self._told((b"INFO", b"memory"))))

    async def _write(self, script: Script, run_id: str, arguments: Arguments = ()) -> list[Reply]:
        """Return what the script answers behind its `done`."""
        answer = await self._writer.submit(script.call(self._prefix, utf8(run_id), *arguments))
        if is_unknown(answer):
            await self._unknown(run_id)
        return accepted(answer, run_id)

    async def _unknown(self, run_id: str) -> NoReturn:
        _refuse_unknown(run_id, await self._readers.read(self._newest_ids()))

    async def _told(self, question: Command) -> Reply:
        """Return the answer to a question that a server may refuse, None then."""
        try:
            (answer,) = await self._readers.read(question)
        except StoreError as error:
            if isinstance(error.__cause__, ResponseError):
                return None
            raise
        return answer

    def _newest_ids(self) -> Command:
        return (b"ZREVRANGE", self._prefix + b"runs", b"0", b"%d" % (NEWEST_IDS - 1))


def _missing_record(run_id: str, seq: int) -> StoreError:
    return StoreError(
        f"In the journal of run {run_id}, record {seq} is missing.",
        hint="Another program has deleted it, or the server for want of memory: see maxmemory-policy.",
    )


def _refuse_unknown(run_id: str, replies: Sequence[Reply]) -> NoReturn:
    (ids,) = replies
    raise UnknownRunError(run_id, suggestion=nearest(run_id, texts(ids)))
