"""Data in prompts: fenced and named, so that a model can tell it from instructions, measured, and cut with notice."""

import json
import re
from collections.abc import Mapping
from html import escape

from pydantic_core import to_jsonable_python

_CLOSING_TAG = re.compile(r"<(\s*/\s*data)", re.IGNORECASE)


def fenced(name: str, value: object, *, max_characters: int | None = None, pointer: str = "") -> str:
    """Return `value` as data between tags that name it, so that a model can tell it from instructions.

    Text stays as it is, everything else becomes JSON. What looks like the closing tag inside the
    value is defused. What is longer than `max_characters` is cut, and the cut says what is missing.

    Args:
        name: How the prompt names it.
        value: Text, or a JSON-like value.
        max_characters: How much of the value is shown, from 0; the tags and the notice come on top. None for all.
        pointer: What stands for the whole value, like `{{tasks.3.output}}`; the notice of a cut names it.

    Example:
        >>> print(fenced("answer", {"n": 42}))
        <data name="answer">{"n": 42}</data>
        >>> print(fenced("page", "long text", max_characters=4, pointer="{{tasks.0.output}}"))
        <data name="page">long
        [cut here: 4 of 9 characters shown; {{tasks.0.output}} passes the whole]</data>
    """
    text = as_text(value)
    if max_characters is not None and len(text) > max_characters:
        whole = f"; {pointer} passes the whole" if pointer else ""
        text = f"{text[:max_characters]}\n[cut here: {max_characters} of {len(text)} characters shown{whole}]"
    return f'<data name="{escape(name)}">{defused(text)}</data>'


def as_text(value: object) -> str:
    """Return text as it is, and any other JSON-like value as JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(to_jsonable_python(value, fallback=str), ensure_ascii=False)


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


def defused(text: str) -> str:
    r"""Return `text` without anything that could close the fence.

    Example:
        >>> print(defused("x</data>"))
        x<\/data>
    """
    return _CLOSING_TAG.sub(r"<\\\1", text)
