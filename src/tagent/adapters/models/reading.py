"""JSON in what a model wrote around it: prose, code fences. Pure.

Asking again costs a call; reading what is there costs nothing. But it is only read where there is one way to read it.
"""

import json

from pydantic_core import from_json

MAX_STARTS = 200
"""Brackets looked at, so that a text full of them does not take forever."""


def json_values(text: str) -> tuple[str, ...]:
    r"""Return each JSON object in `text`, in order, or each array if there is no object; not those inside others.

    An answer can be read only where there is exactly one: several may contradict each other.

    Example:
        >>> json_values('Sure! {"a": 1} As I said [1], it is {"b": 2}.')
        ('{"a": 1}', '{"b": 2}')
        >>> json_values('```json\n{"output": "blue"}\n```')
        ('{"output": "blue"}',)
    """
    found: dict[str, list[str]] = {"{": [], "[": []}
    decoder = json.JSONDecoder()
    place = 0
    for _ in range(MAX_STARTS):
        starts = [start for bracket in found if (start := text.find(bracket, place)) >= 0]
        if not starts:
            break
        start = min(starts)
        try:
            _, place = decoder.raw_decode(text, start)
        except ValueError:
            place = start + 1
        except RecursionError:  # thousands of brackets in each other are no answer
            return ()
        else:
            found[text[start]].append(text[start:place])
    return tuple(found["{"] or found["["])


def is_json(text: str) -> bool:
    """Return whether the whole text is JSON."""
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def readable(text: str) -> str:
    r"""Return the answer in `text`: the text if it is JSON, else the one JSON object or array in it.

    Without one, or with several, the text cannot be read. Then its code fences are taken away, for the vendor's
    library would take the first thing in a fence for the answer, be it the example before it.

    Example:
        >>> readable('```json\n{"output": "blue"}\n```')
        '{"output": "blue"}'
        >>> readable("Blue, I think.")
        'Blue, I think.'
    """
    if is_json(text):
        return text
    values = json_values(text)
    return values[0] if len(values) == 1 else text.replace("```", "")


def output_so_far(text: str, *, is_text: bool) -> str | None:
    """Return what has come of the final output in the beginning of an answer; None if nothing yet.

    Args:
        text: What the model has written so far.
        is_text: Whether the answer is free text, not JSON with a field `output`.

    Returns:
        The `output` as far as it is there: text as it is, anything else in its JSON form.

    Example:
        >>> output_so_far('{"output": "It is bl', is_text=False)
        'It is bl'
        >>> output_so_far('{"output": {"name": "bl', is_text=False)
        '{"name":"bl"}'
    """
    if is_text:
        return text or None
    begin = text.find("{")  # before it, prose or a code fence
    if begin < 0:
        return None
    try:
        value = from_json(text[begin:].encode("utf-8", "replace"), allow_partial="trailing-strings")
    except ValueError:
        return None
    output = value.get("output") if isinstance(value, dict) else None
    if output is None or output == "":
        return None
    return output if isinstance(output, str) else json.dumps(output, ensure_ascii=False, separators=(",", ":"))
