"""What is kept of work that may be used again, under which key, and for how long. Nothing is read here."""

import hashlib
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import PydanticSerializationError, from_json, to_json

from tagent.names import CACHE, run_cache
from tagent.payloads import PayloadError, decoded, encoded
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.models import CacheUse
from tagent.ports.documents import Document, Put, Quota
from tagent.values import value

KEY_VERSION = 1
"""Raised when keys come to mean something else: then nothing that was kept before is used."""

CACHE_QUOTA = Quota(documents=100_000, bytes=1024 * 1024 * 1024)
"""What is kept for all runs, and of each run, at most."""


@value
class WorkResult:
    """What some work gave, and may give again.

    Attributes:
        output: Its output, as JSON values.
        facts: What it learned.
        memories: What it saved.
        is_last: Whether it was the last round of a step that is repeated.
    """

    output: object
    facts: Mapping[str, object]
    memories: Mapping[str, object]
    is_last: bool = False


_KEPT = TypeAdapter(WorkResult)
_WHAT = "A kept output"


def key_of(made_of: object, reads: object, *, output: str | None) -> str:
    """Return the key of some work: the SHA-256 of all that its output depends on, in hexadecimal.

    Args:
        made_of: Its code, texts, settings, models and tools, as JSON values.
        reads: The data that it reads, likewise.
        output: The fingerprint of the type of its output; None for any JSON values.

    Raises:
        UnkeyableError: If something of it cannot be written as JSON.

    Example:
        >>> key_of("a", {"n": 1}, output=None) == key_of("a", {"n": 1}, output=None)
        True
        >>> key_of("a", {"n": 1}, output=None) == key_of("a", {"n": True}, output=None)
        False
    """
    try:
        payload = to_json([KEY_VERSION, made_of, reads, output])
    except (PydanticSerializationError, ValueError, RecursionError):
        raise UnkeyableError("what it is given cannot be written as JSON") from None
    return hashlib.sha256(payload).hexdigest()


def scope_of(use: CacheUse, run_id: str) -> str:
    """Return the scope in which outputs are kept so.

    Example:
        >>> scope_of("run", "1f2e"), scope_of("forever", "1f2e"), scope_of(60, "1f2e")
        ('run/1f2e/cache', 'cache', 'cache')
    """
    return run_cache(run_id) if use == "run" else CACHE


def seconds_of(use: CacheUse) -> float | None:
    """Return for how many seconds outputs may be used again; None for as long as they are there.

    Example:
        >>> seconds_of("forever"), seconds_of(60), seconds_of(timedelta(days=1))
        (None, 60, 86400.0)
    """
    if isinstance(use, timedelta):
        return use.total_seconds()
    return None if isinstance(use, str) else use


def is_fresh(at: float, use: CacheUse, *, now: float) -> bool:
    """Return whether what was kept `at` a time may still be used now, whoever kept it and for however long.

    Example:
        >>> is_fresh(100.0, 60, now=150.0), is_fresh(100.0, 60, now=170.0), is_fresh(100.0, "forever", now=1e9)
        (True, False, True)
    """
    seconds = seconds_of(use)
    return seconds is None or now < at + seconds


def put_of(kept: WorkResult, use: CacheUse, *, scope: str, key: str, before: Document | None, now: float) -> Put:
    """Return what keeps an output.

    What somebody else kept there for longer than is asked for here is replaced, and kept as long.

    Raises:
        PayloadError: If it is too large.
    """
    payload = encoded(
        {"output": kept.output, "facts": kept.facts, "memories": kept.memories, "is_last": kept.is_last}, what=_WHAT
    )
    seconds = seconds_of(use)
    if before is not None and seconds is not None:
        seconds = None if before.expires_at is None else max(seconds, before.expires_at - now)
    return Put(scope, key, payload, ttl_seconds=seconds, quota=CACHE_QUOTA)


def kept_in(document: Document) -> WorkResult | None:
    """Return what a document keeps; None if it is damaged.

    Example:
        >>> kept_in(Document("cache", "1f", 1, b'{"v":1,"data":{"output":7,"facts":{},"memories":{}}}', at=0.0)).output
        7
        >>> kept_in(Document("cache", "1f", 1, b'{"v":1,"data":[]}', at=0.0))
    """
    try:
        from_json(document.value, allow_inf_nan=False)  # what is no number was never kept
        found: dict[str, Any] = decoded(document.value, what=_WHAT)
        return _KEPT.validate_python(found)
    except (PayloadError, ValueError):
        return None
