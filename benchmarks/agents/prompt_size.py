"""How large a prompt is, by one rule for all packages. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class PromptSize:
    """What one or several requests hold.

    Attributes:
        message_characters: Of the contents of all messages.
        schema_characters: Of `tools` and `response_format`, as compact JSON. A provider reads them too.
    """

    message_characters: int = 0
    schema_characters: int = 0

    @property
    def message_tokens(self) -> int:
        """Tokens of the messages alone."""
        return -(-self.message_characters // CHARACTERS_PER_TOKEN)

    @property
    def tokens(self) -> int:
        """Tokens of everything that is sent."""
        return -(-(self.message_characters + self.schema_characters) // CHARACTERS_PER_TOKEN)

    def __add__(self, other: "PromptSize") -> "PromptSize":
        return PromptSize(
            self.message_characters + other.message_characters, self.schema_characters + other.schema_characters
        )


def prompt_of(body: Mapping[str, Any]) -> str:
    r"""Return the contents of all messages of a chat completion's request, one after the other.

    Example:
        >>> prompt_of({"messages": [{"content": "a"}, {"content": [{"type": "text", "text": "b"}]}]})
        'a\nb'
    """
    return "\n".join(_text(message.get("content")) for message in body["messages"])


def prompt_size(body: Mapping[str, Any]) -> PromptSize:
    """Return how large the request is: a token is four characters, of the messages and of the schemas.

    Example:
        >>> prompt_size({"messages": [{"content": "12345"}], "response_format": {"type": "text"}})
        PromptSize(message_characters=5, schema_characters=15)
    """
    messages = sum(len(_text(message.get("content"))) for message in body["messages"])
    schemas = sum(
        len(json.dumps(body[field], ensure_ascii=False, separators=(",", ":")))
        for field in ("tools", "response_format")
        if body.get(field)
    )
    return PromptSize(messages, schemas)


def _text(content: object) -> str:
    if isinstance(content, list):
        return "".join(part.get("text", "") for part in content)
    return content if isinstance(content, str) else ""
