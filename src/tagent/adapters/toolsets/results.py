"""What a tool of a server returned, as JSON values. Pictures and the like are described, not carried along."""

from collections.abc import Iterable

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
)
from pydantic import BaseModel

LONGEST_ERROR = 2_000
"""Characters of what a server says about a failure that are kept."""


def output_of(result: CallToolResult) -> object:
    """Return the structured content if there is any, else the text, or a list of texts if there are several."""
    if result.structured_content is not None:
        return result.structured_content
    texts = list(texts_of(result.content))
    return texts[0] if len(texts) == 1 else (texts or None)


def error_of(result: CallToolResult) -> str:
    """Return what the server says went wrong, cut to `LONGEST_ERROR`."""
    return bounded(" ".join(texts_of(result.content))) or "The server gave no reason."


def bounded(text: str, *, longest: int = LONGEST_ERROR) -> str:
    """Return `text` cut to `longest` characters."""
    return text if len(text) <= longest else f"{text[:longest]} [cut here: {longest} of {len(text)} characters shown]"


def texts_of(content: Iterable[BaseModel]) -> Iterable[str]:
    """Yield each part of a result as text."""
    for part in content:
        match part:
            case TextContent():
                yield part.text
            case ImageContent() | AudioContent():
                yield f"[{part.type} {part.mime_type}, {_bytes_in(part.data)} bytes]"
            case EmbeddedResource(resource=BlobResourceContents() as blob):
                kind = blob.mime_type or "of unknown type"
                yield f"[resource {blob.uri} {kind}, {_bytes_in(blob.blob)} bytes]"
            case EmbeddedResource(resource=TextResourceContents() as page):
                yield page.text
            case ResourceLink():
                yield f"[link to {part.name}: {part.uri}]"
            case _:
                yield f"[{type(part).__name__}]"


def _bytes_in(base64: str) -> int:
    return len(base64.rstrip("=")) * 3 // 4
