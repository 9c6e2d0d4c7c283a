"""How many tokens a text takes, about: a measure that needs no tokenizer."""

from collections.abc import Iterable

CHARACTERS_PER_TOKEN = 4
"""English prose has about four characters per token."""


def tokens_in(texts: Iterable[str]) -> int:
    """Return how many tokens `texts` take together, rounded up.

    Example:
        >>> tokens_in(["a fact", "and one more"])
        5
    """
    return -(-sum(map(len, texts)) // CHARACTERS_PER_TOKEN)
