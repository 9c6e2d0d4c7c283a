"""An approval as the document that whoever answers it reads and writes. Anybody can write there, also nonsense."""

from dataclasses import field
from typing import Annotated

from pydantic import Field, StrictBool, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, to_json

from tagent.exceptions import text_of
from tagent.names import APPROVALS
from tagent.payloads import LARGEST_VALUE, PayloadError, PayloadTooLargeError
from tagent.pipeline.approval import ApprovalDefault, AskedOf
from tagent.ports.documents import Document, Put
from tagent.values import value

SCOPE = APPROVALS
"""Where the documents are; the key of one is `RUN_ID/PATH`, with the path of the step."""

ANSWERED = "answered"
"""What a document with an answer is found by."""

Time = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False)]
"""Seconds since 1970-01-01 UTC, as far as anybody can write them as a date."""


@value
class Answer:
    """What somebody said, or what counts as nobody did.

    Attributes:
        is_approved: Whether the answer was yes.
        actor: Who gave it; empty for what counts as nobody did in time.
        at: When.
        comment: What he said with it.
        is_edited: Whether `output` counts instead of what the step gave.
        output: As JSON values.
        by_default: Whether it counts as nobody answered in time.
    """

    is_approved: StrictBool
    actor: str
    at: Time
    comment: str = ""
    is_edited: StrictBool = False
    output: object = None
    by_default: StrictBool = False


@value
class OpenApproval:
    """A step about which somebody is asked.

    Attributes:
        run_id: The run.
        pipeline: Its pipeline's name.
        step: The step; one inside another by its path, `outer/inner`.
        of: To what he says yes or no: that the step starts, its output, or that a `call` of it is made again.
        question: What he is asked.
        at: Since when, in seconds since 1970-01-01 UTC.
        due_at: Until when; None for ever.
        default: What counts as the answer then.
        output: What the step gave, as JSON values, if it is about that; of a large one the beginning.

    Example:
        >>> OpenApproval("1f2e", "refunds", "refund", "start", "Refund 40 EUR?", at=0.0).step
        'refund'
    """

    run_id: str
    pipeline: str
    step: str
    of: AskedOf
    question: str
    at: Time
    due_at: Time | None = None
    default: ApprovalDefault = "reject"
    output: object = None


@value
class ApprovalDocument:
    """What a document says.

    Attributes:
        approval: What is asked.
        answer: What was said; None before.
    """

    approval: OpenApproval
    answer: Answer | None = field(default=None)


_approvals = TypeAdapter(OpenApproval)
_answers = TypeAdapter(dict[str, object])
_answer = TypeAdapter(Answer)


def key_of(run_id: str, path: str) -> str:
    """Return the key of an approval's document."""
    return f"{run_id}/{path}"


def read(document: Document) -> ApprovalDocument | None:
    """Return what a document says; None if it is damaged, or does not belong where it is.

    An answer that cannot be read is none.
    """
    try:
        whole = _answers.validate_json(document.value)
        approval = _approvals.validate_python(whole)
    except ValidationError:
        return None
    if document.key != key_of(approval.run_id, approval.step):
        return None
    return ApprovalDocument(approval, _read_answer(whole.get("answer")))


def _read_answer(written: object) -> Answer | None:
    try:
        return _answer.validate_python(written)
    except ValidationError:
        return None


def asked(approval: OpenApproval) -> Put:
    """Return what asks, whatever somebody has put there before.

    Example:
        >>> put = asked(OpenApproval("1f2e", "refunds", "refund", "start", "Refund 40 EUR?", at=0.0))
        >>> put.key, put.expected_version
        ('1f2e/refund', None)
    """
    return Put(SCOPE, key_of(approval.run_id, approval.step), _content(approval, None))


def written(approval: OpenApproval, answer: Answer, *, expected_version: int) -> Put:
    """Return what answers an approval whose document is of this version; 0 if there is none.

    Raises:
        PayloadError: If the answer could not be read again.
        PayloadTooLargeError: If it is larger than a document may be.
    """
    what = f"The answer about the step {approval.step!r}"
    try:
        _answer.validate_json(to_json(answer))
        content = _content(approval, answer)
    except (ValidationError, PydanticSerializationError) as error:
        raise PayloadError(what, f"cannot be kept: {text_of(error)}.") from None
    if len(content) > LARGEST_VALUE:
        raise PayloadTooLargeError(what, size=len(content), largest=LARGEST_VALUE)
    return Put(SCOPE, key_of(approval.run_id, approval.step), content, text=ANSWERED, expected_version=expected_version)


def _content(approval: OpenApproval, answer: Answer | None) -> bytes:
    whole = {name: getattr(approval, name) for name in OpenApproval.__slots__}  # type: ignore[attr-defined]  # a value has them
    return to_json({**whole, "answer": answer})
