"""Bytes in JSON. Pure."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any


def json_of_bytes(name: str, content: bytes) -> dict[str, str]:
    """Return bytes as text, which somebody can read, if they are UTF-8; else as base64 under another name."""
    try:
        return {name: content.decode()}
    except UnicodeDecodeError:
        return {f"{name}_base64": b64encode(content).decode()}


def bytes_of(name: str, data: Mapping[str, Any]) -> bytes:
    """Return the bytes that `json_of_bytes` made JSON of."""
    text: str | None = data.get(name)
    return b64decode(data[f"{name}_base64"], validate=True) if text is None else text.encode()
