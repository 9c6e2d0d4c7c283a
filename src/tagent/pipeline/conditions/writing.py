"""A tree -> the condition as text, so that reading the text gives the same meaning again."""

import re
from typing import Final, assert_never

from tagent.pipeline.conditions.parsing import UNSELECTABLE
from tagent.pipeline.conditions.tree import (
    And,
    Arithmetic,
    Asked,
    Call,
    Choice,
    Compare,
    Constant,
    Has,
    ListOf,
    Negative,
    Node,
    Not,
    Or,
    Path,
    Quantified,
    Scalar,
)

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNPRINTABLE: Final = re.compile(r'[\\"\n\r\t]|[^\x20-\x7e]')

_LOOSEST: Final = 0
_OPERAND: Final = 7
"""What needs no parentheses anywhere."""

_STRENGTHS: Final = {"+": 4, "-": 4, "*": 5, "/": 5, "%": 5}


def text_of(tree: Node) -> str:
    """Return `tree` as text. It is CEL where the tree holds no Python function.

    Example:
        >>> from tagent.pipeline.conditions.parsing import parse
        >>> text_of(parse("!(steps.a['my-key']==1)&&inputs.n<2"))
        '!(steps.a["my-key"] == 1) && inputs.n < 2'
    """
    return _written(tree, _LOOSEST)


def _written(node: Node, place: int) -> str:
    """Return `node` as it is written where only what binds at least as strongly as `place` needs no parentheses."""
    text, strength = _with_strength(node)
    return text if strength >= place else f"({text})"


def _with_strength(node: Node) -> tuple[str, int]:
    match node:
        case Choice(condition, then, otherwise):
            return f"{_written(condition, 1)} ? {_written(then, 1)} : {_written(otherwise, 0)}", 0
        case Or(parts):
            return " || ".join(_written(part, 2) for part in parts), 1
        case And(parts):
            return " && ".join(_written(part, 3) for part in parts), 2
        case Compare(left, operator, right):
            return f"{_written(left, 3)} {operator} {_written(right, 4)}", 3
        case Arithmetic(left, operator, right):
            strength = _STRENGTHS[operator]
            return f"{_written(left, strength)} {operator} {_written(right, strength + 1)}", strength
        case Not(part):
            return f"!{_written(part, _OPERAND)}", 6
        case Negative(part):
            text = _written(part, _OPERAND)  # parentheses keep the sign from becoming a part of a number
            return f"-({text})" if text[0].isdigit() else f"-{text}", 6
        case _:
            return _operand(node), 6 if isinstance(node, Constant) and scalar_text(node.value).startswith("-") else 7


def _operand(node: Constant | ListOf | Path | Has | Call | Quantified | Asked) -> str:
    match node:
        case Constant(value):
            return scalar_text(value)
        case ListOf(items):
            return f"[{', '.join(_written(item, _LOOSEST) for item in items)}]"
        case Path():
            return path_text(node.root, node.parts)
        case Has(path):
            return f"has({path_text(path.root, path.parts)})"
        case Call(function, arguments):
            return _call(function, arguments)
        case Quantified(macro, over, variable, body):
            return f"{_written(over, _OPERAND)}.{macro}({variable}, {_written(body, _LOOSEST)})"
        case Asked(function):
            return f"{function_name(function)}()"
        case _:
            assert_never(node)


def _call(function: str, arguments: tuple[Node, ...]) -> str:
    first, *others = arguments
    if function in {"int", "double", "string"}:
        return f"{function}({_written(first, _LOOSEST)})"
    return f"{_written(first, _OPERAND)}.{function}({', '.join(_written(other, _LOOSEST) for other in others)})"


def path_text(root: str, parts: tuple[str | int, ...]) -> str:
    """Return a path as text; a key that is no word is written in brackets."""
    return root + "".join(map(_part_text, parts))


def _part_text(part: str | int) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return f".{part}" if _WORD.fullmatch(part) and part not in UNSELECTABLE else f"[{string_text(part)}]"


def scalar_text(value: Scalar) -> str:
    """Return a value as it is written in a condition."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    return string_text(value) if isinstance(value, str) else repr(value)


def string_text(value: str) -> str:
    """Return a string as it is written in a condition, in ASCII."""
    return f'"{_UNPRINTABLE.sub(_escaped, value)}"'


def _escaped(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    return _ESCAPES.get(character) or (f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}")


def function_name(function: object) -> str:
    """Return how a function is called in texts."""
    name = getattr(function, "__name__", None)
    return name if isinstance(name, str) else type(function).__name__
