"""A tree -> a function that answers it. Made once for each condition, so that judging is a few calls.

As in CEL, `&&` and `||` do not depend on the order of their parts: one that decides makes good for one that has no
answer. A Python function is asked only when nothing else decides.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final, assert_never

from tagent.pipeline.conditions import operations
from tagent.pipeline.conditions.errors import NeedsCallError
from tagent.pipeline.conditions.operations import Allowance, equal, in_order, is_in, listed
from tagent.pipeline.conditions.problems import Missing, Unanswered, is_list, kind_of, mismatch
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
    walk,
)
from tagent.pipeline.conditions.writing import function_name

_STEPS_OF_AN_ERROR: Final = 10
"""What it costs to go on behind a part that has no answer: an exception takes as long as so many steps."""


class Scope(Allowance):
    """What one judgement looks at.

    Attributes:
        values: The roots: `steps`, `inputs`, `output`; and the variable of a macro while it runs.
        answers: What Python functions have said.
    """

    __slots__ = ("answers", "values")

    def __init__(self, values: Mapping[str, object], answers: Mapping[Callable[..., object], bool]) -> None:
        super().__init__()
        self.values = values
        self.answers = answers

    @contextmanager
    def variable(self, name: str) -> Iterator[dict[str, object]]:
        """Give a dict in which the variable `name` can be set while the context lasts; macros do not nest."""
        outer = self.values
        self.values = inner = {**outer, name: None}
        try:
            yield inner
        finally:
            self.values = outer


Evaluate = Callable[[Scope], object]


def evaluator(node: Node) -> Evaluate:
    """Return a function that answers `node`; it raises `Unanswered`, or `NeedsCallError` for a Python function.

    Example:
        >>> from tagent.pipeline.conditions.parsing import parse
        >>> evaluator(parse("inputs.n + 1"))(Scope({"inputs": {"n": 2}}, {}))
        3
    """
    match node:
        case Constant(value):
            return lambda _scope: value
        case Path(root, parts):
            return partial(follow, root, parts)
        case Has(path):
            return partial(_is_there, path.root, path.parts)
        case Compare(left, sign, right):
            return _comparison(evaluator(left), sign, evaluator(right))
        case And(parts):
            return partial(_decided, tuple(map(evaluator, parts)), sign="&&", deciding=False)
        case Or(parts):
            return partial(_decided, tuple(map(evaluator, parts)), sign="||", deciding=True)
        case _:
            return _rarer(node)


def _rarer(node: Not | Choice | Asked | Quantified | ListOf | Negative | Arithmetic | Call) -> Evaluate:
    match node:
        case Not(part):
            return partial(_opposite, evaluator(part))
        case Choice(condition, then, otherwise):
            return partial(_choice, evaluator(condition), evaluator(then), evaluator(otherwise))
        case Asked(function):
            return partial(_answer, function)
        case Quantified():
            return _quantified(node)
        case ListOf(items):
            evaluators = tuple(map(evaluator, items))
            return lambda scope: [evaluate(scope) for evaluate in evaluators]
        case Negative(part):
            evaluate = evaluator(part)
            return lambda scope: operations.negative(evaluate(scope))
        case Arithmetic(left, sign, right):
            one, two = evaluator(left), evaluator(right)
            return lambda scope: operations.calculated(sign, one(scope), two(scope), scope)
        case Call():
            return _call(node)
        case _:
            assert_never(node)


def follow(root: str, parts: tuple[str | int, ...], scope: Scope) -> object:
    """Return what a path leads to: keys of mappings and places in lists, nothing else.

    Raises:
        Unanswered: If something along it is missing.
    """
    try:
        value = scope.values[root]
    except KeyError:
        raise _nowhere(root, parts, scope) from None
    for part in parts:
        # Most data are dicts; what is neither dict nor list is looked at closely.
        if value.__class__ is dict or (value.__class__ is list and part.__class__ is int):
            try:
                value = value[part]  # type: ignore[index]  # a dict or a list
            except (KeyError, IndexError):
                raise _nowhere(root, parts, scope) from None
        else:
            value = _looked_into(value, part)
            if value is _NOTHING:
                raise _nowhere(root, parts, scope)
    return value


_NOTHING: Final = object()


def _looked_into(value: object, part: str | int) -> object:
    if isinstance(part, str):
        return value.get(part, _NOTHING) if isinstance(value, Mapping) else _NOTHING
    if is_list(value) and part < len(value):
        return value[part]
    return _NOTHING


def _nowhere(root: str, parts: tuple[str | int, ...], scope: Scope) -> Missing:
    if root not in scope.values:
        return Missing(root, parts, -1, None)
    value = scope.values[root]
    for depth, part in enumerate(parts):
        found = _looked_into(value, part)
        if found is _NOTHING:
            return Missing(root, parts, depth, value)
        value = found
    return Missing(root, parts, len(parts) - 1, value)


def _is_there(root: str, parts: tuple[str | int, ...], scope: Scope) -> bool:
    """Return whether a path leads to something. Unlike in CEL, it may break off anywhere."""
    if root not in scope.values:
        raise _nowhere(root, parts, scope)
    value = scope.values[root]
    for part in parts:
        value = _looked_into(value, part)
        if value is _NOTHING:
            return False
    return True


def _comparison(left: Evaluate, sign: str, right: Evaluate) -> Evaluate:
    match sign:
        case "==":
            return lambda scope: equal(left(scope), right(scope), scope)
        case "!=":
            return lambda scope: not equal(left(scope), right(scope), scope)
        case "in":
            return lambda scope: is_in(left(scope), right(scope), scope)
        case _:
            return lambda scope: in_order(sign, left(scope), right(scope), scope)


def _decided(parts: Iterable[Evaluate], scope: Scope, *, sign: str, deciding: bool) -> bool:
    """Return `deciding` if one of `parts` does; a function that is to be asked comes before a part without answer."""
    needed: NeedsCallError | None = None
    problem: Unanswered | None = None
    for part in parts:
        try:
            value = part(scope)
        except Unanswered as error:
            if scope.left < 0:
                raise
            problem = problem or error
            scope.left -= _STEPS_OF_AN_ERROR
        except NeedsCallError as error:
            needed = needed or error
        else:
            if value is deciding:
                return deciding
            if value.__class__ is not bool:
                problem = problem or mismatch(sign, value)
    if needed is not None:
        raise needed
    if problem is not None:
        raise problem
    return not deciding


def _opposite(part: Evaluate, scope: Scope) -> bool:
    return not truth(part(scope), "!")


def _choice(condition: Evaluate, then: Evaluate, otherwise: Evaluate, scope: Scope) -> object:
    return (then if truth(condition(scope), "?:") else otherwise)(scope)


def truth(value: object, sign: str) -> bool:
    """Return a bool.

    Raises:
        Unanswered: If it is none.
    """
    if value.__class__ is not bool:
        raise mismatch(sign, value)
    return value is True


def _answer(function: Callable[..., object], scope: Scope) -> bool:
    answer = scope.answers.get(function, _NOTHING)
    if answer is _NOTHING:
        raise NeedsCallError(function)
    if answer.__class__ is not bool:
        raise Unanswered(f"the function {function_name(function)} gives {kind_of(answer)}; it must give a bool.")
    return answer is True


def _call(node: Call) -> Evaluate:
    first, *others = map(evaluator, node.arguments)
    name = node.function
    match name:
        case "size":
            return lambda scope: operations.size(first(scope))
        case "int":
            return lambda scope: operations.to_int(first(scope))
        case "double":
            return lambda scope: operations.to_double(first(scope))
        case "string":
            return lambda scope: operations.to_string(first(scope))
        case "startsWith" | "endsWith" | "contains":
            [part] = others
            return lambda scope: operations.text_test(name, first(scope), part(scope), scope)
        case _:
            assert_never(name)


def _quantified(node: Quantified) -> Evaluate:
    over, body = evaluator(node.over), evaluator(node.body)
    steps_per_item = sum(_steps(part) for part, _ in walk(node.body))
    macro, variable = node.macro, node.variable

    def evaluate(scope: Scope) -> bool:
        items = listed(over(scope))
        scope.spend(steps_per_item * len(items))
        with scope.variable(variable) as variables:

            def each() -> Iterator[Evaluate]:
                for item in items:
                    variables[variable] = item
                    yield body

            if macro == "exists_one":
                return sum(truth(part(scope), macro) for part in each()) == 1
            return _decided(each(), scope, sign=macro, deciding=macro == "exists")

    return evaluate


def _steps(node: Node) -> int:
    """Return how many steps a node takes by itself."""
    return 1 + len(node.parts) if isinstance(node, Path) else 1
