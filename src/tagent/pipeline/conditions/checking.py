"""What is wrong with a condition before anything runs: unknown names, unknown fields, kinds that do not go together.

Nothing is judged. Of what is not declared nothing is said.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Final, assert_never

from pydantic import BaseModel

from tagent.exceptions import nearest
from tagent.pipeline.conditions.condition import Condition
from tagent.pipeline.conditions.declared import (
    ANYTHING,
    Shape,
    fields_of,
    items_of,
    kinds_of,
    shape_of,
    values_of,
    within,
)
from tagent.pipeline.conditions.explaining import shown
from tagent.pipeline.conditions.lexing import shortened
from tagent.pipeline.conditions.parsing import NAMED_ROOTS, ROOTS
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
)
from tagent.pipeline.conditions.writing import path_text, text_of

_TOLD: Final = {
    "bool": "a bool",
    "number": "a number",
    "string": "a text",
    "null": "null",
    "list": "a list",
    "map": "a map",
}
_BOOL: Final[Shape] = (bool,)
_RESULTS: Final[Mapping[str, Shape]] = {
    "size": (int,),
    "int": (int,),
    "double": (float,),
    "string": (str,),
    "startsWith": _BOOL,
    "endsWith": _BOOL,
    "contains": _BOOL,
}
_TAKEN: Final[Mapping[str, frozenset[str]]] = {
    "size": frozenset({"string", "list", "map"}),
    "int": frozenset({"number", "string"}),
    "double": frozenset({"number", "string"}),
    "string": frozenset({"number", "string"}),
    "startsWith": frozenset({"string"}),
    "endsWith": frozenset({"string"}),
    "contains": frozenset({"string"}),
}
_ORDERED: Final = frozenset({"bool", "number", "string"})
_SUMMED: Final = frozenset({"number", "string", "list"})
_LOOKED_THROUGH: Final = frozenset({"list", "map"})


def condition_problems(
    condition: Condition,
    *,
    step_types: Mapping[str, object],
    inputs: type[BaseModel] | Collection[str] | None = None,
    roots: Collection[str] = NAMED_ROOTS,
    output: object = None,
) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with a condition: a code, and what is wrong and what would be right.

    Args:
        condition: The condition.
        step_types: The declared type of each step's output; None where it is not known.
        inputs: What the run is given: a model, the names, or None where they are not known.
        roots: What the condition may read: `steps`, `inputs`, `output`.
        output: The declared type of `output`; None where it is not known.

    Yields:
        `unknown_step`, `unknown_input`, `unknown_path` or `bad_condition`, and a message.

    Example:
        >>> from tagent.pipeline.conditions import condition_of
        >>> condition = condition_of("steps.mod.score > 7 && steps.name > 3")
        >>> for code, message in condition_problems(condition, step_types={"mood": None, "name": str}):
        ...     print(code, message)
        unknown_step There is no step 'mod'. Did you mean 'mood'?
        bad_condition `steps.name > 3` compares a text with a number.
    """
    checker = _Checker(step_types, inputs, roots, output, condition.inputs - condition.inputs_needed)
    checker.require_bool(condition.tree)
    yield from checker.problems


class _Checker:
    """One pass over a tree; `problems` is what it finds, each once and in order."""

    def __init__(
        self,
        step_types: Mapping[str, object],
        inputs: type[BaseModel] | Collection[str] | None,
        roots: Collection[str],
        output: object,
        asked: Collection[str],
    ) -> None:
        self.problems: dict[tuple[str, str], None] = {}
        self._step_types = step_types
        self._inputs = inputs
        self._roots = roots
        self._output = output
        self._asked = asked
        self._variables: dict[str, Shape] = {}

    def require_bool(self, whole: Node) -> None:
        """Note a problem if the whole condition cannot be a bool."""
        found = kinds_of(self.shape(whole))
        if found and "bool" not in found:
            message = f"It must be a bool, and {_quoted(whole)} is {_listed(found)}. Compare it with something."
            self._note("bad_condition", message)

    def require(self, node: Node, kinds: frozenset[str], otherwise: str) -> Shape:
        """Return the shape of `node`; empty, with a problem noted, if it can be none of `kinds`."""
        shape = self.shape(node)
        found = kinds_of(shape)
        if not shape or found is None or found & kinds:
            return shape
        self._note("bad_condition", f"{_quoted(node)} {otherwise}, and it is {_listed(found)}.")
        return ()

    def _note(self, code: str, message: str) -> None:
        self.problems[code, message] = None

    def shape(self, node: Node) -> Shape:
        """Return what `node` may come to; empty where a problem was noted already."""
        match node:
            case Constant():
                return (node.type,)
            case Path():
                return self._path(node)
            case Has(path):
                self._path(path)
                return _BOOL
            case And(parts) | Or(parts):
                for part in parts:
                    self.require(part, frozenset({"bool"}), "must be a bool")
                return _BOOL
            case Not(part):
                self.require(part, frozenset({"bool"}), "must be a bool")
                return _BOOL
            case Compare():
                self._compare(node)
                return _BOOL
            case _:
                return self._rarer(node)

    def _rarer(self, node: ListOf | Negative | Arithmetic | Choice | Call | Quantified | Asked) -> Shape:
        match node:
            case ListOf(items):
                for item in items:
                    self.shape(item)
                return (list,)
            case Negative(part):
                return self.require(part, frozenset({"number"}), "must be a number")
            case Arithmetic():
                return self._arithmetic(node)
            case Choice(condition, then, otherwise):
                self.require(condition, frozenset({"bool"}), "must be a bool")
                return (*(self.shape(then) or ANYTHING), *(self.shape(otherwise) or ANYTHING))
            case Call(function, arguments):
                for argument in arguments:
                    self.require(argument, _TAKEN[function], f"does not go with {function}()")
                return _RESULTS[function]
            case Quantified():
                return self._quantified(node)
            case Asked():
                return _BOOL
            case _:
                assert_never(node)

    def _path(self, path: Path) -> Shape:
        shape, parts = self._start(path)
        for place, part in enumerate(parts):
            if not shape:
                return ()
            found = within(shape, part)
            if not found:
                known = path.parts[: len(path.parts) - len(parts) + place]
                self._note("unknown_path", _nowhere(path, path_text(path.root, known), shape, part))
            shape = found
        return shape

    def _start(self, path: Path) -> tuple[Shape, tuple[str | int, ...]]:
        """Return the shape in which a path begins, and what of the path lies in it."""
        root, parts = path.root, path.parts
        if root in self._variables:
            return self._variables[root], parts
        if root not in self._roots:
            readable = " and ".join(name for name in ROOTS if name in self._roots)
            self._note("bad_condition", f"`{path_text(root, parts)}` cannot be read here, only {readable}.")
            return (), parts
        if root == "output":
            return shape_of(self._output), parts
        name = str(parts[0])
        if root == "steps":
            if name not in self._step_types:
                self._note("unknown_step", f"There is no step {name!a}.{nearest(name, self._step_types)}")
                return (), parts[1:]
            return shape_of(self._step_types[name]), parts[1:]
        return self._input(name), parts[1:]

    def _input(self, name: str) -> Shape:
        if self._inputs is None:
            return ANYTHING
        fields = fields_of(self._inputs) if isinstance(self._inputs, type) else dict.fromkeys(self._inputs)
        if fields is None:
            return ANYTHING
        if name not in fields:
            if not isinstance(self._inputs, type) and name in self._asked:  # whether it is given is what has() asks
                return ANYTHING
            self._note("unknown_input", f"There is no input {name!a}.{nearest(name, fields)}")
            return ()
        return shape_of(fields[name])

    def _compare(self, node: Compare) -> None:
        if node.operator == "in":
            self._contained(node)
            return
        left, right = self.shape(node.left), self.shape(node.right)
        one, two = kinds_of(left), kinds_of(right)
        if not left or not right or one is None or two is None:
            return
        if node.operator in {"==", "!="}:
            if not one & two:
                self._note("bad_condition", f"{_quoted(node)} compares {_listed(one)} with {_listed(two)}.")
            self._never(left, node.right)
            self._never(right, node.left)
        elif not one & two & _ORDERED:
            self._note("bad_condition", f"{_quoted(node)} compares {_listed(one)} with {_listed(two)}.")

    def _contained(self, node: Compare) -> None:
        left = self.shape(node.left)
        container = self.require(node.right, _LOOKED_THROUGH, "must be a list")
        if isinstance(node.right, ListOf):
            for item in node.right.items:
                self._never(left, item)
        elif left and container:
            items, one = kinds_of(items_of(container)), kinds_of(left)
            if items and one is not None and not items & one:
                self._note("bad_condition", f"{_quoted(node)} looks for {_listed(one)} among {_listed(items)}.")

    def _never(self, shape: Shape, value: Node) -> None:
        """Note a constant that is compared with an enumeration which does not have it."""
        values = values_of(shape) if shape else None
        if values is None or not isinstance(value, Constant) or value.value in values:
            return
        suggestion = nearest(str(value.value), (one for one in values if isinstance(one, str)))
        known = ", ".join(map(shown, values[:20]))
        self._note("bad_condition", f"It is never {shown(value.value)}.{suggestion} There are: {known}.")

    def _arithmetic(self, node: Arithmetic) -> Shape:
        taken = _SUMMED if node.operator == "+" else frozenset({"number"})
        left = self.require(node.left, taken, f"does not go with {node.operator}")
        right = self.require(node.right, taken, f"does not go with {node.operator}")
        one, two = kinds_of(left), kinds_of(right)
        if one is None or two is None or not left or not right:
            return ANYTHING if taken is _SUMMED else (float,)
        if not one & two & taken:
            self._note("bad_condition", f"{_quoted(node)} puts {_listed(one)} and {_listed(two)} together.")
        return left if one & two == {"list"} else (*left, *right)

    def _quantified(self, node: Quantified) -> Shape:
        over = self.require(node.over, _LOOKED_THROUGH, f"does not go with {node.macro}()")
        self._variables[node.variable] = items_of(over) or ANYTHING
        self.require(node.body, frozenset({"bool"}), "must be a bool")
        del self._variables[node.variable]
        return _BOOL


def _nowhere(path: Path, here: str, shape: Shape, part: str | int) -> str:
    written = path_text(path.root, path.parts)
    known = [name for option in shape for name in fields_of(option) or ()]
    if isinstance(part, str) and known:
        listed = ", ".join(known[:30])
        return f"`{written}` leads nowhere: {here} has no field {part!a}.{nearest(part, known)} It has: {listed}."
    return f"`{written}` leads nowhere: {here} is {_listed(kinds_of(shape) or frozenset())}."


def _listed(kinds: frozenset[str]) -> str:
    return " or ".join(_TOLD[kind] for kind in sorted(kinds))


def _quoted(node: Node) -> str:
    return f"`{shortened(text_of(node))}`"
