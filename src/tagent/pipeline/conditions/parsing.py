"""A condition as text -> its tree: a subset of CEL, read by precedence climbing.

Source: the grammar of the CEL specification (langdef.md), for order of precedence, signs and escapes; Pratt, "Top Down
Operator Precedence", 1973.
"""

from typing import Final, NoReturn, cast, get_args

from tagent.exceptions import nearest
from tagent.pipeline.conditions.lexing import Token, refuse, string_of, tokens_of
from tagent.pipeline.conditions.tree import (
    INT_MAX,
    INT_MIN,
    MAX_DEPTH,
    Arithmetic,
    Call,
    Choice,
    Compare,
    Comparison,
    FunctionName,
    Has,
    ListOf,
    Macro,
    Negative,
    Node,
    Not,
    Path,
    Quantified,
    conjunction,
    constant,
    disjunction,
    require_shallow,
)

ROOTS: Final = ("steps", "inputs", "output")
NAMED_ROOTS: Final = ("steps", "inputs")
"""Roots that are nothing by themselves: a name follows."""

UNSELECTABLE: Final = frozenset({"true", "false", "null", "in"})
"""What CEL does not allow behind a dot."""

RESERVED: Final = UNSELECTABLE | {
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package",
    "namespace", "return", "var", "void", "while",
}  # fmt: skip
"""What no variable can be named."""

_PRECEDENCE: Final = {
    "||": 1, "&&": 2, "==": 3, "!=": 3, "<": 3, "<=": 3, ">": 3, ">=": 3, "in": 3,
    "+": 4, "-": 4, "*": 5, "/": 5, "%": 5,
}  # fmt: skip

_METHODS: Final = {"size": 0, "startsWith": 1, "endsWith": 1, "contains": 1}
_FUNCTIONS: Final = ("size", "int", "double", "string")
_MACROS: Final = get_args(Macro)
_LITERALS: Final = {"true": True, "false": False, "null": None}

_IN_A_STEP: Final = "Compute it in a step, and compare its output."
_NO_TIMES: Final = "Times are text here: compute a number or a bool in a step, and compare its output."
_INSTEAD: Final = {
    "map": _IN_A_STEP,
    "filter": _IN_A_STEP,
    "matches": "Use startsWith, endsWith, contains or in; or match in a step, and compare its output.",
    "timestamp": _NO_TIMES,
    "duration": _NO_TIMES,
    "existsOne": "Write exists_one.",
    "len": "Write size().",
    "str": "Write string().",
    "float": "Write double().",
    "bool": "Compare with a value: == 'true', != 0.",
    "uint": "Write int().",
    "type": "Use has() for what may be missing.",
    "startswith": "Write startsWith.",
    "endswith": "Write endsWith.",
    "and": "Write && between parts that must both hold.",
    "or": "Write || between parts of which one must hold.",
    "not": "Write ! before what must not hold.",
    "is": "Write == for equality.",
    "True": "Write true.",
    "False": "Write false.",
    "None": "Write null.",
}


def parse(text: str) -> Node:
    """Return the tree of `text`.

    Raises:
        ConditionError: If it cannot be read, is too long or nested too deeply. It says where, and what to write.

    Example:
        >>> parse("inputs.a != steps.b.c")
        Compare(left=Path(root='inputs', parts=('a',)), operator='!=', right=Path(root='steps', parts=('b', 'c')))
    """
    tree = _Parser(text).whole()
    require_shallow(tree)
    return tree


class _Parser:
    """One pass over the words of a text."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens_of(text)
        self._place = 0
        self._level = 0
        self._variable: str | None = None

    def whole(self) -> Node:
        """Return the tree of the whole text."""
        if self._is_at_end():
            self._refuse("it is empty.")
        tree = self._expression()
        if not self._is_at_end():
            self._refuse_now("an operator like && is expected here")
        return tree

    @property
    def _now(self) -> Token:
        return self._tokens[self._place]

    def _take(self) -> Token:
        token = self._tokens[self._place]
        self._place += token.kind != "end"
        return token

    def _is_at_end(self) -> bool:
        return self._now.kind == "end"

    def _is_at(self, sign: str) -> bool:
        token = self._tokens[self._place]
        return token.text == sign and token.kind in {"sign", "word"}

    def _accept(self, sign: str) -> bool:
        if self._is_at(sign):
            self._place += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._accept(sign):
            self._refuse_now(f"{sign!r} is expected here")

    def _refuse(self, problem: str, *, at: Token | None = None, hint: str = "") -> NoReturn:
        refuse(self._text, (at or self._now).place, problem, hint=hint)

    def _refuse_now(self, expected: str) -> NoReturn:
        token = self._now
        if token.kind == "end":
            self._refuse(f"it ends where it should go on; {expected}.")
        self._refuse(f"{expected}, not {token.text[:40]!a}.", hint=_INSTEAD.get(token.text, ""))

    def _expression(self) -> Node:
        if self._level > MAX_DEPTH:
            self._refuse(f"it is nested more than {MAX_DEPTH} levels deep.", hint="Split it.")
        self._level += 1
        tree = self._operators(1)
        if self._accept("?"):
            then = self._operators(1)
            self._expect(":")
            tree = Choice(tree, then, self._expression())
        self._level -= 1
        return tree

    def _operators(self, weakest: int) -> Node:
        left = self._signed()
        while True:
            token = self._now
            precedence = _PRECEDENCE.get(token.text, 0) if token.kind in {"sign", "word"} else 0
            if precedence < weakest:
                return left
            self._place += 1
            left = _combined(left, token.text, self._operators(precedence + 1))

    def _signed(self) -> Node:
        """Return an operand with what stands before it. As in CEL, an even number of signs is none."""
        sign = self._now.text if self._now.kind == "sign" else ""
        signs = 0
        while sign in {"!", "-"} and self._accept(sign):
            signs += 1
        first = self._now
        if sign == "-" and signs == 1 and first.kind in {"integer", "double"}:
            return self._followed(self._number(negative=True), first)
        operand = self._followed(self._operand(), first)
        if signs % 2 == 0:
            return operand
        return Not(operand) if sign == "!" else Negative(operand)

    def _operand(self) -> Node:
        token = self._now
        if token.kind in {"integer", "double"}:
            return self._number(negative=False)
        if token.kind == "string":
            return constant(string_of(self._take(), self._text))
        if token.kind == "word" and token.text != "in":
            return self._word()
        if self._accept("["):
            return self._list()
        if not self._accept("("):
            self._refuse_now("a value is expected here")
        tree = self._expression()
        self._expect(")")
        return tree

    def _number(self, *, negative: bool) -> Node:
        token = self._take()
        written = f"-{token.text}" if negative else token.text
        if self._now.place == token.place + len(token.text) and self._now.text.lower() == "u":
            self._refuse("unsigned numbers are not part of the language.", hint="Leave out the u.")
        if token.kind == "double":
            number = float(written)
            if number in {float("inf"), float("-inf")}:
                self._refuse("the number is too large.", at=token)
            return constant(number)
        whole = int(written, 16 if "x" in written else 10)
        if not INT_MIN <= whole <= INT_MAX:
            self._refuse("whole numbers have at most 64 bits.", at=token, hint="Write it with a decimal point.")
        return constant(whole)

    def _list(self) -> ListOf:
        items: list[Node] = []
        while not self._accept("]"):
            items.append(self._expression())
            if not self._accept(","):
                self._expect("]")
                break
        return ListOf(tuple(items))

    def _word(self) -> Node:
        token = self._take()
        word = token.text
        if self._is_at("("):
            return self._function(token)
        if word in _LITERALS:
            return constant(_LITERALS[word])
        if self._now.kind == "string" and self._now.place == token.place + len(word):
            self._refuse(f"texts with {word[:10]!r} before them are not part of the language.", at=token)
        if word not in ROOTS and word != self._variable:
            self._refuse_word(token)
        return Path(word)

    def _refuse_word(self, token: Token) -> NoReturn:
        word = token.text
        problem = f"{word[:60]!r} is nothing that is known here."
        if word in _INSTEAD:
            self._refuse(problem, at=token, hint=_INSTEAD[word])
        hint = f"Write steps.{word} or inputs.{word} for a value, and quotation marks for a text."
        refuse(self._text, token.place, problem, word=word, hint=hint)

    def _key(self) -> str | int:
        token = self._take()
        key: str | int
        if token.kind == "string":
            key = string_of(token, self._text)
        elif token.kind == "integer" and len(token.text) < 20:
            key = int(token.text, 16 if "x" in token.text else 10)
        else:
            hint = "Places count from 0."
            self._refuse("between [ and ] stands a text or a whole number.", at=token, hint=hint)
        self._expect("]")
        return key

    def _followed(self, node: Node, at: Token) -> Node:
        """Return `node`, which begins at the word `at`, with the keys, places and methods that follow it."""
        while self._is_at(".") or self._is_at("["):
            if self._accept("["):
                node = self._within(node, self._key(), at)
                continue
            self._place += 1
            name = self._now
            if name.kind != "word":
                self._refuse_now("a name is expected behind the dot")
            self._place += 1
            if self._is_at("("):
                node = self._method(name, self._complete(node, at))
            elif name.text in UNSELECTABLE:
                self._refuse("this word cannot follow a dot.", at=name, hint=f'Write ["{name.text}"].')
            else:
                node = self._within(node, name.text, at)
        return self._complete(node, at)

    def _within(self, node: Node, part: str | int, at: Token) -> Path:
        if not isinstance(node, Path):
            self._refuse("only what a path leads to can be looked into.", at=at, hint=_IN_A_STEP)
        return Path(node.root, (*node.parts, part))

    def _complete(self, node: Node, at: Token) -> Node:
        if isinstance(node, Path) and node.root in NAMED_ROOTS and not (node.parts and isinstance(node.parts[0], str)):
            self._refuse(f"{node.root!r} alone is no value.", at=at, hint=f"Name one: {node.root}.NAME.")
        return node

    def _method(self, name: Token, receiver: Node) -> Node:
        if name.text in _MACROS:
            return self._quantified(cast("Macro", name.text), receiver)
        if name.text not in _METHODS:
            self._refuse_function(name, (*_METHODS, *_MACROS))
        arguments = self._arguments(name, _METHODS[name.text])
        return Call(cast("FunctionName", name.text), (receiver, *arguments))

    def _function(self, name: Token) -> Node:
        if name.text == "has":
            return self._has(name)
        if name.text not in _FUNCTIONS:
            self._refuse_function(name, (*_FUNCTIONS, "has"))
        return Call(cast("FunctionName", name.text), self._arguments(name, 1))

    def _refuse_function(self, name: Token, known: tuple[str, ...]) -> NoReturn:
        listed = ", ".join(known)
        hint = _INSTEAD.get(name.text) or f"{nearest(name.text, known)} There are: {listed}.".strip()
        self._refuse(f"there is no function {name.text[:60]!r} here.", at=name, hint=hint)

    def _arguments(self, name: Token, count: int) -> tuple[Node, ...]:
        self._expect("(")
        given: list[Node] = []
        while not self._accept(")"):
            if given:
                self._expect(",")
            given.append(self._expression())
        if len(given) != count:
            self._refuse(f"{name.text}() takes {count} argument{'s' * (count != 1)}, not {len(given)}.", at=name)
        return tuple(given)

    def _has(self, name: Token) -> Node:
        [path] = self._arguments(name, 1)
        if not isinstance(path, Path) or not path.parts:
            self._refuse("has() takes a path.", at=name, hint="Write has(steps.NAME.field).")
        return Has(path)

    def _quantified(self, macro: Macro, over: Node) -> Node:
        self._expect("(")
        variable = self._take()
        if variable.kind != "word" or variable.text in RESERVED or variable.text in ROOTS or not self._accept(","):
            self._refuse(f"{macro} takes a name and a condition.", at=variable, hint=f"Write {macro}(item, item > 0).")
        if self._variable is not None:
            self._refuse("all, exists and exists_one cannot stand in each other.", at=variable, hint=_IN_A_STEP)
        self._variable = variable.text
        body = self._expression()
        self._variable = None
        self._expect(")")
        return Quantified(macro, over, variable.text, body)


def _combined(left: Node, operator: str, right: Node) -> Node:
    match operator:
        case "&&":
            return conjunction(left, right)
        case "||":
            return disjunction(left, right)
        case "+" | "-" | "*" | "/" | "%":
            return Arithmetic(left, operator, right)
        case _:
            return Compare(left, cast("Comparison", operator), right)
