"""What a tool returned -> JSON values."""

import base64

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    EmbeddedResource,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from tagent.adapters.toolsets.results import LONGEST_ERROR, error_of, output_of

BYTES = base64.b64encode(b"12345").decode()


def test_everything_that_is_no_text_is_described() -> None:
    """A picture in base64 would fill the prompt and mean nothing in it."""
    result = CallToolResult(
        content=[
            TextContent(type="text", text="see"),
            AudioContent(type="audio", data=BYTES, mime_type="audio/wav"),
            EmbeddedResource(
                type="resource", resource=BlobResourceContents(uri="file:///a.bin", blob=BYTES, mime_type="x/y")
            ),
            EmbeddedResource(type="resource", resource=TextResourceContents(uri="file:///a.txt", text="a page")),
            ResourceLink(type="resource_link", name="more", uri="file:///b.txt"),
        ]
    )
    assert output_of(result) == [
        "see",
        "[audio audio/wav, 5 bytes]",
        "[resource file:///a.bin x/y, 5 bytes]",
        "a page",
        "[link to more: file:///b.txt]",
    ]


def test_nothing_is_none() -> None:
    """A tool that only acts returns nothing."""
    assert output_of(CallToolResult(content=[])) is None


def test_a_long_reason_is_cut() -> None:
    """It is a server's text, and goes into a prompt and the journal."""
    told = error_of(CallToolResult(content=[TextContent(type="text", text="x" * 9_000)], is_error=True))
    assert told.endswith(f"[cut here: {LONGEST_ERROR} of 9000 characters shown]")
    assert error_of(CallToolResult(content=[], is_error=True)) == "The server gave no reason."
