"""What a condition is: a small tree of frozen values. Texts are read into it, objects are written as it.

The tree knows neither how it is written nor what it comes to. Each node is what CEL has under the same name, but for
`Asked`, a Python function. Chains of `&&` and of `||` are one node, however long.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from tagent.pipeline.conditions.errors import ConditionError

MAX_LENGTH: Final = 2_000
"""Characters of a condition as text."""

MAX_DEPTH: Final = 50
"""Levels of a tree. A tree of this depth is read, judged and written without getting near Python's own limit."""

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1

Scalar = bool | int | float | str | None
Comparison = Literal["==", "!=", "<", "<=", ">", ">=", "in"]
Operation = Literal["+", "-", "*", "/", "%"]
FunctionName = Literal["size", "startsWith", "endsWith", "contains", "int", "double", "string"]
Macro = Literal["all", "exists", "exists_one"]


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that is written out. Its class is part of what it is: 1, 1.0 and true are three constants."""

    value: Scalar
    type: type


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list that is written out."""

    items: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Path:
    """A way into the data.

    Attributes:
        root: `steps`, `inputs`, `output`, or the variable of a macro.
        parts: The keys and places that follow. Those of `steps` and `inputs` begin with a name.
    """

    root: str
    parts: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Has:
    """Whether a path leads to something."""

    path: Path


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    part: "Node"


@dataclass(frozen=True, slots=True)
class Negative:
    """The negative of a number."""

    part: "Node"


@dataclass(frozen=True, slots=True)
class And:
    """Whether all parts hold."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Whether one of the parts holds."""

    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Compare:
    """How two values stand to each other."""

    left: "Node"
    operator: Comparison
    right: "Node"


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What two values give together."""

    left: "Node"
    operator: Operation
    right: "Node"


@dataclass(frozen=True, slots=True)
class Choice:
    """One value or the other."""

    condition: "Node"
    then: "Node"
    otherwise: "Node"


@dataclass(frozen=True, slots=True)
class Call:
    """A function of the language; what a method is called on is the first argument."""

    function: FunctionName
    arguments: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Quantified:
    """Whether something holds for all items of a list, for one at least, or for exactly one."""

    macro: Macro
    over: "Node"
    variable: str
    body: "Node"


@dataclass(frozen=True, slots=True)
class Asked:
    """The answer of a Python function."""

    function: Callable[..., object]


Node = (
    Constant
    | ListOf
    | Path
    | Has
    | Not
    | Negative
    | And
    | Or
    | Compare
    | Arithmetic
    | Choice
    | Call
    | Quantified
    | Asked
)


def constant(value: Scalar) -> Constant:
    """Return `value` as a node."""
    return Constant(value, type(value))


def conjunction(left: Node, right: Node) -> Node:
    """Return that both hold; chains stay flat."""
    return And(
        (*(left.parts if isinstance(left, And) else (left,)), *(right.parts if isinstance(right, And) else (right,)))
    )


def disjunction(left: Node, right: Node) -> Node:
    """Return that one of both holds; chains stay flat."""
    return Or(
        (*(left.parts if isinstance(left, Or) else (left,)), *(right.parts if isinstance(right, Or) else (right,)))
    )


def children(node: Node) -> tuple[Node, ...]:
    """Return the nodes directly below `node`, from left to right."""
    match node:
        case And() | Or():
            return node.parts
        case Compare() | Arithmetic():
            return node.left, node.right
        case Not() | Negative():
            return (node.part,)
        case Has():
            return (node.path,)
        case ListOf():
            return node.items
        case Call():
            return node.arguments
        case Choice():
            return node.condition, node.then, node.otherwise
        case Quantified():
            return node.over, node.body
        case _:
            return ()


def walk(tree: Node) -> Iterator[tuple[Node, int]]:
    """Yield every node of `tree` with its level, the root's being 0; parents come first, in no order besides."""
    waiting: list[tuple[Node, int]] = [(tree, 0)]
    while waiting:
        node, level = waiting.pop()
        yield node, level
        waiting.extend((child, level + 1) for child in reversed(children(node)))


def require_shallow(tree: Node) -> None:
    """Refuse a tree of too many levels.

    Raises:
        ConditionError: If it has more than `MAX_DEPTH`.
    """
    if any(level > MAX_DEPTH for _, level in walk(tree)):
        raise ConditionError(
            f"The condition is nested more than {MAX_DEPTH} levels deep.",
            hint="Split it, or compute a part of it in a step.",
        )
