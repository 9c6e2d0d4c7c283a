"""What an agent is told besides its goal: named data and history, fenced, within a token budget."""

import json
import re
from collections.abc import Iterable, Mapping
from html import escape

from pydantic_core import to_jsonable_python

CHARACTERS_PER_TOKEN = 4
"""A rough measure that needs no tokenizer; English prose has about four characters per token."""


_CLOSING_TAG = re.compile(r"<(\s*/\s*data)", re.IGNORECASE)


def fenced(name: str, value: object, *, max_characters: int | None = None) -> str:
    """Return `value` as data between tags that name it, so that a model can tell it from instructions.

    Text stays as it is, everything else becomes JSON. What looks like the closing tag inside the
    value is defused. What is longer than `max_characters` is cut, and the cut says what is missing.

    Example:
        >>> print(fenced("answer", {"n": 42}))
        <data name="answer">{"n": 42}</data>
    """
    text = as_text(value)
    if max_characters is not None and len(text) > max_characters:
        text = f"{text[:max_characters]}\n[cut here: {max_characters} of {len(text)} characters shown]"
    defused = _CLOSING_TAG.sub(r"<\\\1", text)
    return f'<data name="{escape(name)}">{defused}</data>'


def as_text(value: object) -> str:
    """Return text as it is, and any other JSON-like value as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)


def tokens_in(texts: Iterable[str]) -> int:
    """Return how many tokens `texts` take together, rounded up.

    Example:
        >>> tokens_in(["a fact", "and one more"])
        5
    """
    return -(-sum(map(len, texts)) // CHARACTERS_PER_TOKEN)


def fair_shares(sizes: Mapping[str, int], budget: int) -> dict[str, int]:
    """Return how much of each size fits when `budget` is shared out: small ones whole, large ones alike.

    Example:
        >>> fair_shares({"a": 10, "b": 500, "c": 900}, 210)
        {'a': 10, 'b': 100, 'c': 100}
    """
    shares = dict.fromkeys(sizes, 0)
    left = budget
    waiting = sorted(sizes, key=lambda name: sizes[name])
    for position, name in enumerate(waiting):
        shares[name] = min(sizes[name], left // (len(waiting) - position))
        left -= shares[name]
    return shares


class EnhancedContextManager:
    """Facts and history for prompts, rendered within a token budget.

    Attributes:
        goal: What all of it is for.
        max_tokens: The budget, counted as four characters per token.

    Example:
        >>> context = EnhancedContextManager("Describe the package")
        >>> context.add_fact("name", "pydantic")
        >>> print(context.render())
        <data name="name">pydantic</data>
    """

    def __init__(self, goal: str = "", *, max_tokens: int = 16_000) -> None:
        self.goal = goal
        self.max_tokens = max_tokens
        self._facts: dict[str, object] = {}
        self._history: list[str] = []

    @property
    def facts(self) -> Mapping[str, object]:
        """Name -> value, in the order in which they were first added."""
        return self._facts

    @property
    def history(self) -> tuple[str, ...]:
        """What happened, in order."""
        return tuple(self._history)

    def add_fact(self, name: str, value: object) -> None:
        """Keep `value` under `name`, replacing an earlier one."""
        self._facts[name] = value

    def add_history(self, entry: str) -> None:
        """Append one line of what happened."""
        self._history.append(entry)

    @property
    def tokens(self) -> int:
        """How many tokens the facts and the history take when nothing is cut."""
        return tokens_in(self._entries().values())

    def render(self, *, max_tokens: int | None = None) -> str:
        """Return the facts, then the history, each fenced, the large ones cut to fit the budget."""
        entries = self._entries()
        budget = (self.max_tokens if max_tokens is None else max_tokens) * CHARACTERS_PER_TOKEN
        shares = fair_shares({name: len(text) for name, text in entries.items()}, budget)
        return "\n".join(fenced(name, text, max_characters=shares[name]) for name, text in entries.items())

    def _entries(self) -> dict[str, str]:
        entries = {name: as_text(value) for name, value in self._facts.items()}
        if self._history:
            entries["history"] = "\n".join(self._history)
        return entries
