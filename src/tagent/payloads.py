"""Values of users as versioned JSON, for memory and messages: limited in size, checked when they are read."""

from typing import Any, cast

from pydantic import PydanticSchemaGenerationError, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError, from_json, to_json

from tagent.exceptions import TAgentError, text_of

VERSION = 1

LARGEST_VALUE = 1024 * 1024
"""Bytes of a document in memory."""

LARGEST_MESSAGE = 256 * 1024
"""Bytes of a message."""


class PayloadError(TAgentError):
    """A value cannot be kept or sent, or what was kept or sent is not what is expected.

    Attributes:
        what: What it is a value of.
    """

    code = "payload.invalid"

    def __init__(self, what: str, problem: str, *, hint: str = "") -> None:
        self.what = what
        super().__init__(f"{what} {problem}", hint=hint)


class PayloadTooLargeError(PayloadError):
    """A value takes more bytes than may be kept or sent.

    Attributes:
        size: Its bytes.
        largest: The most that it may have.
    """

    code = "payload.too_large"

    def __init__(self, what: str, *, size: int, largest: int) -> None:
        self.size = size
        self.largest = largest
        super().__init__(
            what,
            f"takes {size} bytes; at most {largest} are allowed.",
            hint="Keep large values in a file or as a step's output, and pass on where they are.",
        )


def encoded(data: object, *, what: str, largest: int = LARGEST_VALUE) -> bytes:
    """Return `data` as versioned JSON.

    Args:
        data: A Pydantic model, dataclass, dict, list or scalar, with finite numbers.
        what: What it is a value of, for messages: "The document 'price'".
        largest: The most bytes.

    Raises:
        PayloadError: If it cannot be written as JSON.
        PayloadTooLargeError: If it takes too many bytes.

    Example:
        >>> encoded({"n": 1}, what="The document 'count'")
        b'{"v":1,"data":{"n":1}}'
    """
    try:
        payload = to_json({"v": VERSION, "data": data}, by_alias=False)
        from_json(payload, allow_inf_nan=False)
    except (PydanticSerializationError, ValueError, TypeError, RecursionError) as error:
        raise PayloadError(
            what,
            f"({type(data).__name__}) cannot be written as JSON.",
            hint="Give a Pydantic model, dataclass, dict, list or scalar, with finite numbers.",
        ) from error
    if len(payload) > largest:
        raise PayloadTooLargeError(what, size=len(payload), largest=largest)
    return payload


def decoded(payload: bytes, *, what: str, schema: object = None) -> Any:
    """Return the data that `encoded` has written.

    Args:
        payload: What was kept or sent.
        what: What it is a value of, for messages.
        schema: The type to read it as, a Pydantic model or anything that Pydantic can check; None for JSON values.

    Raises:
        PayloadError: If it is damaged, of a newer version, or does not fit.
        TypeError: If Pydantic cannot check the type.

    Example:
        >>> decoded(b'{"v":1,"data":[1,2]}', what="The document 'counts'", schema=tuple[int, int])
        (1, 2)
    """
    try:
        version, data = (envelope := from_json(payload))["v"], envelope["data"]
    except (ValueError, KeyError, TypeError) as error:
        raise PayloadError(what, "is damaged: it is no versioned JSON.") from error
    if version != VERSION:
        raise PayloadError(
            what, f"is of version {version!r}; this tagent reads {VERSION}.", hint="Upgrade tagent to read it."
        )
    if schema is None:
        return data
    try:
        return _adapter(schema).validate_python(data, by_alias=True, by_name=True)
    except ValidationError as error:
        raise PayloadError(what, f"does not fit {getattr(schema, '__name__', schema)}: {text_of(error)}.") from None


def _adapter(schema: object) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(cast("Any", schema))
    except (PydanticSchemaGenerationError, PydanticUserError) as error:
        raise TypeError(f"{schema!r} is no type that can be checked: {error.message}") from error
