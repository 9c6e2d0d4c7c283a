"""JSON that nobody vouches for: read within limits, without a trap, and the members of a run as they must be.

Reading runs nothing, imports nothing and writes nothing.
"""

import json
import math
import re
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, FailFast, Field, ValidationError
from pydantic_core import to_json

from tagent.pipeline.exceptions import PipelineError
from tagent.pipeline.validation import MAX_NAME_LENGTH

FORMAT = "tagent.run"
VERSION = 1

LARGEST_DOCUMENT = 64 * 1024 * 1024
"""Bytes of a document that are read unless more are asked for."""

MAX_VALUES = 2_000_000
"""Values of a document: one takes up to 70 bytes of memory, however short it is written."""

LATEST = 253_402_300_799.0
"""The last second of the year 9999: later ones cannot be written as a date."""

_STRING = re.compile(r'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
"""A string, or one that never ends: possessive, so that no text makes it look twice at a place."""

LONGEST_PROBLEM = 300
"""Characters that are told of what is wrong."""

_MOST_PROBLEMS = 1000


class RunImportError(PipelineError):
    """A file holds no run that can be imported. Nothing of it was written.

    Attributes:
        problem: What is wrong with it.
    """

    code = "run.import"

    def __init__(self, problem: str, *, hint: str = "") -> None:
        self.problem = problem
        super().__init__(f"This is no run that can be imported: {problem} Nothing was written.", hint=hint)


Moment = Annotated[float, Field(ge=0, le=LATEST, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**53)]
RunId = Annotated[str, Field(pattern=r"\A[A-Za-z0-9][A-Za-z0-9_-]{0,63}\z")]


class Strict(BaseModel):
    """Values of exactly these types, with no member besides."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class RunFacts(Strict):
    """What lists know of a run.

    Attributes:
        id: Its id.
        pipeline: The name of its pipeline.
        status: Where it stood. What it is in the store is worked out from its events.
        created_at: When it was created, in seconds since 1970-01-01 UTC.
        updated_at: When it last changed.
        finished_at: When it came to its end; None while it had not.
        labels: Names and values to find it by.
        cost_usd: The sum of the known prices.
        parent: The run that it was forked from; empty for none.
        forked_seq: The place of the parent's last record that it shares.
    """

    id: RunId
    pipeline: str
    status: str
    created_at: Moment
    updated_at: Moment
    finished_at: Moment | None
    labels: dict[str, str]
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    parent: RunId | Annotated[str, Field(max_length=0)]
    forked_seq: Count


class EventFacts(Strict):
    """One record of the journal, its payload as JSON values."""

    seq: Count
    kind: str
    at: Moment
    payload: dict[str, Any]


class Document(Strict):
    """The members of a document besides its format and version."""

    run: RunFacts
    definition: dict[str, Any]
    events: Annotated[list[EventFacts], FailFast()]
    blobs: dict[str, Any]


def read_document(payload: bytes, *, largest: int = LARGEST_DOCUMENT) -> Document:
    """Return the document that `payload` holds. Its members have the right types; what they say is not checked yet.

    Raises:
        RunImportError: If it is too large, not JSON, of another format or a newer version, or misses a member.
    """
    if len(payload) > largest:
        raise RunImportError(
            f"it is larger than {largest / 1024 / 1024:g} MB.", hint="Allow more if you know where it comes from."
        )
    values = read_json(payload)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise RunImportError(f"its format is not {FORMAT!r}.", hint="Use what `tagent runs export` wrote.")
    version = values.get("version")
    if type(version) is not int or version < 1:
        raise RunImportError("its version is no number from 1.")
    if version > VERSION:
        raise RunImportError(f"it is of version {version}; this tagent reads up to {VERSION}.", hint="Upgrade tagent.")
    members = {name: value for name, value in values.items() if name not in {"format", "version"}}
    try:
        return Document.model_validate(members)
    except ValidationError as error:
        raise RunImportError(told(error)) from None


def read_json(payload: bytes) -> object:
    """Return the JSON values that `payload` holds, as Python's `json` reads them, but no trap.

    Raises:
        RunImportError: If it is no UTF-8 or no JSON, has too many values, is nested too deeply, names a member
            of an object twice, or holds a number that is too large.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise RunImportError(f"it is no UTF-8 text (byte {error.start}).") from None
    if sum(map(text.count, "[{,")) > MAX_VALUES and values_in(text) > MAX_VALUES:
        raise RunImportError(f"it has more than {MAX_VALUES:,} values.")
    try:
        return json.loads(text, object_pairs_hook=_members, parse_float=_finite)
    except json.JSONDecodeError as error:
        raise RunImportError(f"it is no JSON ({error.msg}, line {error.lineno}).") from None
    except RecursionError:
        raise RunImportError("it is nested too deeply.") from None
    except ValueError as error:  # ours, or Python's limit on the digits of a number
        raise RunImportError(str(error) if isinstance(error, _TrapError) else "it holds a number too large.") from None


def values_in(text: str) -> int:
    """Return about how many values a JSON text has, without reading it: its brackets and commas outside of strings.

    Example:
        >>> values_in('{"a, [b]": [1, 2]}')
        3
    """
    return sum(map(_STRING.sub("", text).count, "[{,"))


class _TrapError(ValueError):
    """JSON that two readers would understand differently, or none."""


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _TrapError("an object names a member twice.")
    return members


def _finite(written: str) -> float:
    number = float(written)
    if math.isinf(number):
        raise _TrapError("it holds a number too large.")
    return number


def written(values: object, *, what: str) -> bytes:
    """Return JSON values as tagent writes them.

    Raises:
        RunImportError: If they are nested too deeply, or a text is no valid Unicode.
    """
    try:
        return to_json(values)
    except ValueError:
        raise RunImportError(f"{what} is nested too deeply, or holds a text that is no valid Unicode.") from None


def require_name(name: str, *, what: str) -> None:
    """Refuse a name that is empty, long, or would steer a terminal.

    Raises:
        RunImportError: If it is one.
    """
    if not name.strip() or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise RunImportError(f"the name of {what} is empty, longer than {MAX_NAME_LENGTH}, or has control characters.")


def told(error: ValidationError) -> str:
    """Return the first problem that Pydantic found, without the value: a sentence in the middle of another."""
    if error.error_count() > _MOST_PROBLEMS:  # to list a million of them takes a gigabyte
        return f"it has {error.error_count()} mistakes."
    problem = error.errors(include_input=False, include_url=False, include_context=False)[0]
    where = ".".join(map(str, problem["loc"]))
    return f"{where[:MAX_NAME_LENGTH] or 'it'}: {problem['msg'][:LONGEST_PROBLEM]}."
