"""What is kept, for how long, and what of it is believed."""

from datetime import timedelta

import pytest

from tagent.payloads import LARGEST_VALUE, PayloadTooLargeError
from tagent.pipeline.caching.entries import WorkResult, kept_in, key_of, put_of
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.ports.documents import Document

KEPT = WorkResult({"n": 1}, {"city": "Porto"}, {"river": "Douro"}, is_last=True)


def put(*, use: object = "forever", kept: WorkResult = KEPT, before: Document | None = None) -> object:
    """Return what keeps `kept`."""
    return put_of(kept, use, scope="cache", key="k", before=before, now=100.0)  # type: ignore[arg-type]  # one of them


def test_what_is_kept_comes_back_as_it_was() -> None:
    """Facts and memories of a step count with its output."""
    written = put_of(KEPT, "forever", scope="cache", key="k", before=None, now=0.0)
    assert kept_in(Document("cache", "k", 1, written.value or b"", at=0.0)) == KEPT


@pytest.mark.parametrize("payload", [b"", b"{", b"[]", b'{"v":1,"data":{}}', b'{"v":99,"data":{"output":1}}', b"\xff"])
def test_a_damaged_entry_is_none(payload: bytes) -> None:
    """Then the work is done again; nothing fails for a cache."""
    assert kept_in(Document("cache", "k", 1, payload, at=0.0)) is None


@pytest.mark.parametrize(
    ("use", "expires_at", "seconds"),
    [
        (60, "absent", 60),
        (timedelta(minutes=2), "absent", 120),
        ("forever", "absent", None),
        (60, None, None),
        (60, 300.0, 200),
        (60, 110.0, 60),
        ("forever", 110.0, None),
    ],
)
def test_nobody_shortens_for_how_long_another_one_keeps_it(
    use: object, expires_at: object, seconds: float | None
) -> None:
    """Two pipelines may want the same for different times."""
    before = None if expires_at == "absent" else Document("cache", "k", 1, b"", 0.0, expires_at)  # type: ignore[arg-type]  # a time or None
    assert put(use=use, before=before).ttl_seconds == seconds  # type: ignore[attr-defined]  # a put


def test_what_is_too_large_is_refused() -> None:
    """It would be in the way of everything else."""
    with pytest.raises(PayloadTooLargeError):
        put(kept=WorkResult("x" * LARGEST_VALUE, {}, {}))


def test_what_is_no_json_has_no_key() -> None:
    """Half a surrogate pair can be written nowhere."""
    with pytest.raises(UnkeyableError):
        key_of("a", "\ud800", output=None)
