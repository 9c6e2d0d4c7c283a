"""Our plain values as arguments of scripts and commands. Texts are UTF-8, floats keep every digit."""

from tagent.exceptions import StoreError

Arguments = tuple[bytes, ...]

YES, NO = b"1", b""


def utf8(text: str) -> bytes:
    """Return a text as bytes.

    Raises:
        StoreError: If it is not Unicode.
    """
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise StoreError(
            "A text holds half of a surrogate pair: it is not Unicode, and no store can keep it."
        ) from error


def number_argument(number: float) -> bytes:
    """Return a number with all its digits."""
    return repr(float(number)).encode()
