"""Why a condition came to what it came to: the parts that decided, and the values they saw.

Values are other people's data: they are shown as JSON in ASCII, cut after 60 characters, and never more of them is
looked at than is shown.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

from tagent.pipeline.conditions.errors import NeedsCallError
from tagent.pipeline.conditions.evaluating import Scope, evaluator
from tagent.pipeline.conditions.lexing import shortened
from tagent.pipeline.conditions.operations import listed
from tagent.pipeline.conditions.problems import Unanswered, is_list
from tagent.pipeline.conditions.tree import (
    And,
    Call,
    Choice,
    Compare,
    Constant,
    ListOf,
    Node,
    Not,
    Or,
    Quantified,
)
from tagent.pipeline.conditions.writing import text_of

MOST_CHARACTERS: Final = 60
"""Characters of a value that are shown."""

_MOST_PARTS: Final = 5
"""Parts of a chain that are told one by one."""

_LONGEST_PART: Final = 200
_MOST_BITS: Final = 200


class Explain(Protocol):
    """Says why a condition came to what it came to."""

    def __call__(self, scope: Scope, /, *, holds: bool) -> str:
        """Return the reason, given what was looked at and what it came to."""
        ...


_TOLD: Final = {True: "true", False: "false"}


def explainer(node: Node) -> Explain:
    """Return a function that says why `node` came to what it came to.

    Example:
        >>> from tagent.pipeline.conditions.parsing import parse
        >>> why = explainer(parse("steps.mood.score > 7.0 && inputs.region == 'eu'"))
        >>> why(Scope({"steps": {"mood": {"score": 6.5}}, "inputs": {"region": "eu"}}, {}), holds=False)
        'steps.mood.score > 7.0 is false: steps.mood.score is 6.5'
    """
    match node:
        case And(parts) | Or(parts):
            deciding = isinstance(node, Or)
            return partial(_chain, [(evaluator(part), explainer(part)) for part in parts], deciding=deciding)
        case Not(part):
            return _opposite(node, part)
        case Choice(condition, then, otherwise):
            return partial(_choice, evaluator(condition), (explainer(condition), explainer(then), explainer(otherwise)))
        case Quantified():
            return partial(
                _quantified, node, shortened(text_of(node), _LONGEST_PART), evaluator(node.over), evaluator(node.body)
            )
        case _:
            return partial(_atom, shortened(text_of(node), _LONGEST_PART), [*_watched(node)])


def _opposite(node: Not, part: Node) -> Explain:
    """Return the explainer of a negation, which tells all of it, and then why its part came to what it came to."""
    text = shortened(text_of(node), _LONGEST_PART)
    if not isinstance(part, And | Or | Not | Choice | Quantified):
        return partial(_atom, text, [*_watched(part)])
    inner = explainer(part)
    return lambda scope, /, *, holds: f"{text} is {_TOLD[holds]}: {inner(scope, holds=not holds)}"


def _watched(node: Node) -> Iterator[tuple[str, Callable[[Scope], object]]]:
    """Yield what a reader wants to see of a node: its operands that are not written out."""
    operands = (
        (node.left, node.right) if isinstance(node, Compare) else node.arguments if isinstance(node, Call) else ()
    )
    for operand in dict.fromkeys(operands):
        if not isinstance(operand, Constant) and not _is_written_out(operand):
            yield shortened(text_of(operand), _LONGEST_PART), evaluator(operand)


def _is_written_out(node: Node) -> bool:
    return isinstance(node, ListOf) and all(isinstance(item, Constant) for item in node.items)


def _atom(text: str, watched: list[tuple[str, Callable[[Scope], object]]], scope: Scope, /, *, holds: bool) -> str:
    told = f"{text} is {_TOLD[holds]}"
    if not watched:
        return told
    return f"{told}: {' and '.join([f'{name} is {shown(value(scope))}' for name, value in watched])}"


def _chain(
    parts: list[tuple[Callable[[Scope], object], Explain]], scope: Scope, /, *, deciding: bool, holds: bool
) -> str:
    """Tell the part that decided, or all parts where none did."""
    if holds is deciding:
        for evaluate, explain in parts:
            with suppress(Unanswered, NeedsCallError):
                if evaluate(scope) is deciding:
                    return explain(scope, holds=deciding)
    told = [explain(scope, holds=holds) for _, explain in parts[:_MOST_PARTS]]
    rest = len(parts) - len(told)
    return "; ".join(told) + (f"; and {rest} more are {_TOLD[holds]}" if rest else "")


def _choice(
    condition: Callable[[Scope], object],
    explains: tuple[Explain, Explain, Explain],
    scope: Scope,
    /,
    *,
    holds: bool,
) -> str:
    of_condition, of_then, of_otherwise = explains
    is_first = condition(scope) is True
    return f"{of_condition(scope, holds=is_first)}; {(of_then if is_first else of_otherwise)(scope, holds=holds)}"


def _quantified(
    node: Quantified,
    text: str,
    over: Callable[[Scope], object],
    body: Callable[[Scope], object],
    scope: Scope,
    /,
    *,
    holds: bool,
) -> str:
    """Tell the item that decided, or of how many none or all did."""
    items = listed(over(scope))
    deciding = node.macro != "all"
    found = 0
    with scope.variable(node.variable) as variables:
        for place, item in enumerate(items):
            variables[node.variable] = item
            with suppress(Unanswered):
                if body(scope) is deciding:
                    found += 1
                    if node.macro != "exists_one":
                        return f"{text} is {_TOLD[holds]}: item [{place}] is {shown(item)}"
    how = {"all": "it holds for all", "exists": "it holds for none"}.get(node.macro, f"it holds for {found}")
    return f"{text} is {_TOLD[holds]}: {how} of its items ({len(items)})"


def shown(value: object) -> str:
    r"""Return a value as JSON, cut after 60 characters, with what cannot be printed escaped.

    Example:
        >>> shown({"name": "O\x1b[2J", "items": [1, 2.5, None, True]})
        '{"name": "O\\u001b[2J", "items": [1, 2.5, null, true]}'
        >>> len(shown("long " * 1_000_000))
        60
    """
    if value.__class__ is float or value.__class__ is bool:
        return _scalar(value)
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > MOST_CHARACTERS:
            return text[: MOST_CHARACTERS - 3] + "..."
    return text


def _pieces(value: object) -> Iterator[str]:
    """Yield the beginning of a value's JSON first; whoever reads stops when it is enough."""
    if isinstance(value, Mapping):
        yield "{"
        for place, (key, item) in enumerate(value.items()):
            yield f"{', ' * (place > 0)}{_scalar(str(key))}: "
            yield from _pieces(item)
        yield "}"
    elif is_list(value):
        yield "["
        for place, item in enumerate(value):
            yield ", " * (place > 0)
            yield from _pieces(item)
        yield "]"
    else:
        yield _scalar(value)


def _scalar(value: object) -> str:
    if value is None or value.__class__ is bool:
        return "null" if value is None else "true" if value else "false"
    if value.__class__ is float:
        return repr(value)
    if isinstance(value, int):
        bits = value.bit_length()
        return str(value) if bits < _MOST_BITS else f"<a number of {bits} bits>"
    if not isinstance(value, str):
        return f"<{type(value).__name__}>"
    text = json.dumps(value[: MOST_CHARACTERS + 1], ensure_ascii=False)
    return text if text.isprintable() else "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
