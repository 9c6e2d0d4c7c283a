"""What stands in an approval's document, whoever has written it."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tagent.payloads import LARGEST_VALUE, PayloadTooLargeError
from tagent.pipeline.answering.documents import SCOPE, Answer, OpenApproval, key_of, read, written
from tagent.ports.documents import Document

ASKED = OpenApproval("1f2e", "refunds", "outer/2/refund", "output", "Right?", 10.0, 70.0, "approve", {"amount": 40})
YES = Answer(is_approved=True, actor="ana@desk", at=20.0, comment="Fine.", is_edited=True, output={"amount": 30})


def document(value: bytes, key: str = "1f2e/outer/2/refund") -> Document:
    return Document(SCOPE, key, 1, value, 0.0)


def answered() -> dict[str, object]:
    """Return an answered document as JSON values."""
    value = written(ASKED, YES, expected_version=1).value
    assert value is not None
    told: dict[str, object] = json.loads(value)
    return told


def test_what_is_written_is_read_again() -> None:
    """Whoever asks and whoever answers are different processes."""
    put = written(ASKED, YES, expected_version=7)
    assert (put.scope, put.key, put.expected_version) == (SCOPE, key_of("1f2e", "outer/2/refund"), 7)
    found = read(document(put.value or b""))
    assert found is not None
    assert (found.approval, found.answer) == (ASKED, YES)


@given(st.binary())
def test_no_bytes_raise(value: bytes) -> None:
    """Anybody can write there."""
    read(document(value))


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(answered())), JSON)
def test_no_value_in_the_place_of_another_raises(name: str, value: object) -> None:
    """A field of another type is a damaged document, or a damaged answer, and no more."""
    read(document(json.dumps({**answered(), name: value}).encode("utf-8", "surrogatepass")))


@pytest.mark.parametrize(
    "answer",
    [
        "yes",
        {},
        {"is_approved": "yes", "actor": "ana", "at": 1.0},
        {"is_approved": 1, "actor": "ana", "at": 1.0},
        {"is_approved": True, "actor": None, "at": 1.0},
        {"is_approved": True, "actor": "ana", "at": 1e300},
        {"is_approved": True, "actor": "ana", "at": float("nan")},
    ],
)
def test_an_answer_that_cannot_be_read_is_none(answer: object) -> None:
    """A guess at what somebody meant could pay money; and the question stays open."""
    found = read(document(json.dumps({**answered(), "answer": answer}).encode()))
    assert found is not None
    assert found.answer is None


def test_a_document_in_another_place_is_none() -> None:
    """A copy of a yes must not count for another run."""
    value = written(ASKED, YES, expected_version=1).value
    assert value is not None
    assert read(document(value, "9c1b/outer/2/refund")) is None


def test_an_answer_that_no_store_should_hold_is_refused() -> None:
    """Before it is written."""
    with pytest.raises(PayloadTooLargeError):
        written(ASKED, replace(YES, output="x" * LARGEST_VALUE), expected_version=1)
