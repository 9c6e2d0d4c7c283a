"""A condition as an object: a tree, what it reads, and the judgement on it."""

from collections.abc import Callable, Mapping
from functools import cached_property, lru_cache

from tagent.pipeline.conditions.errors import ConditionError
from tagent.pipeline.conditions.evaluating import Evaluate, Scope, evaluator
from tagent.pipeline.conditions.explaining import Explain, explainer
from tagent.pipeline.conditions.lexing import shortened
from tagent.pipeline.conditions.parsing import parse
from tagent.pipeline.conditions.problems import Unanswered, kind_of
from tagent.pipeline.conditions.tree import (
    MAX_LENGTH,
    And,
    Asked,
    Has,
    Node,
    Not,
    Or,
    Path,
    conjunction,
    disjunction,
    require_shallow,
    walk,
)
from tagent.pipeline.conditions.writing import text_of
from tagent.values import value

PARENTHESES = "Beside & and | put each part in parentheses: (a > 1) & (b < 2)."
"""What to do where Python takes `a > 1 & b < 2` for `a > (1 & b) < 2`."""

_NO_ANSWERS: Mapping[Callable[..., object], bool] = {}


@value
class Verdict:
    """What a condition comes to.

    Attributes:
        holds: Whether it holds.
        reason: Why, for people: the parts that decided, and the values that they saw.

    Example:
        >>> condition_of("steps.mood.score > 7.0").judge({"steps": {"mood": {"score": 6.5}}}).reason
        'steps.mood.score > 7.0 is false: steps.mood.score is 6.5'
    """

    holds: bool
    reason: str


class Condition:
    """What must hold. Conditions are put together with `&`, `|` and `~`, with each other and with functions.

    Conditions are equal when they are the same tree; their text may have been written differently.

    Attributes:
        tree: It as a tree.
        text: It as text: CEL, unless it calls functions, which are written as `name()`.
        steps: The steps that it reads.
        inputs: The inputs that it reads.
        functions: The functions that it calls, each once; without any it is pure.

    Example:
        >>> from tagent.pipeline.conditions import exists, field
        >>> condition = exists("search.hits") & ~(field("search.hits") < 3)
        >>> print(condition, sorted(condition.steps))
        has(steps.search.hits) && !(steps.search.hits < 3) ['search']
        >>> condition == condition_of("has(steps.search.hits) && !(steps['search'].hits<3)")
        True
    """

    def __init__(self, tree: Node) -> None:
        """Make a condition of a tree.

        Raises:
            ConditionError: If the tree is too deep, or its text longer than 2,000 characters.
        """
        require_shallow(tree)
        self.tree: Node = tree
        self.text: str = text_of(tree)
        if len(self.text) > MAX_LENGTH:
            raise ConditionError(
                f"The condition {shortened(self.text)!a} has {len(self.text):,} characters; at most {MAX_LENGTH:,} "
                "are allowed.",
                text=self.text[:MAX_LENGTH],
                hint="Compute a part of it in a step.",
            )
        self.steps: frozenset[str] = _names(tree, "steps")
        self.inputs: frozenset[str] = _names(tree, "inputs")
        asked = [node.function for node, _ in walk(tree) if isinstance(node, Asked)]
        self.functions: tuple[Callable[..., object], ...] = tuple(dict.fromkeys(asked))

    @cached_property
    def inputs_needed(self) -> frozenset[str]:
        """The inputs that it reads without asking by `has()` whether they are given.

        Example:
            >>> sorted(condition_of("has(inputs.n) && inputs.n > inputs.least").inputs_needed)
            ['least']
        """
        asked = {str(it.path.parts[0]) for it, _ in walk(self.tree) if isinstance(it, Has) and it.path.root == "inputs"}
        return self.inputs - asked

    @cached_property
    def steps_needed(self) -> frozenset[str]:
        """The steps that it reads without asking by `has()` whether there is an output.

        Example:
            >>> sorted(condition_of("has(steps.a.n) && steps.a.n > steps.b.n").steps_needed)
            ['b']
        """
        asked = {str(it.path.parts[0]) for it, _ in walk(self.tree) if isinstance(it, Has) and it.path.root == "steps"}
        return self.steps - asked

    @cached_property
    def _evaluate(self) -> Evaluate:
        return evaluator(self.tree)

    @cached_property
    def _explain(self) -> Explain:
        return explainer(self.tree)

    def judge(
        self, values: Mapping[str, object], answers: Mapping[Callable[..., object], bool] | None = None
    ) -> Verdict:
        """Return what it comes to. Where a function decides that was not asked yet, it raises `NeedsCallError`.

        Args:
            values: `steps`, `inputs` and, for the check of a dependency, `output`, as JSON values.
            answers: What its functions have said so far.

        Raises:
            ConditionError: If a field is missing, values do not go together, or the result is no bool.

        Example:
            >>> condition_of("inputs.region in ['eu', 'uk']").judge({"inputs": {"region": "eu"}}).reason
            'inputs.region in ["eu", "uk"] is true: inputs.region is "eu"'
        """
        known = _NO_ANSWERS if answers is None else answers
        try:
            holds = self._evaluate(Scope(values, known))
            if holds.__class__ is not bool:
                raise Unanswered(f"it gives {kind_of(holds)}, not a bool.", hint=self._how_to_ask)  # noqa: TRY301 - one way out
        except Unanswered as problem:
            raise problem.error(self.text) from None
        return Verdict(holds is True, self._reason(Scope(values, known), holds=holds is True))

    def _reason(self, scope: Scope, *, holds: bool) -> str:
        try:
            return self._explain(scope, holds=holds)
        except Unanswered:  # telling why takes more steps than finding out
            return f"{shortened(self.text)} is {'true' if holds else 'false'}"

    @property
    def _how_to_ask(self) -> str:
        """What to do where it comes to something else than a bool."""
        hint = "Compare it with something."
        if isinstance(self.tree, Path) and self.tree.root == "inputs" and len(self.tree.parts) == 1:
            return f"{hint} On the command line a bool is given as --input {self.tree.parts[0]}:=true."
        return hint

    def __and__(self, other: "Given") -> "Condition":
        return Condition(conjunction(self.tree, _beside(other)))

    def __rand__(self, other: "Given") -> "Condition":
        return Condition(conjunction(_beside(other), self.tree))

    def __or__(self, other: "Given") -> "Condition":
        return Condition(disjunction(self.tree, _beside(other)))

    def __ror__(self, other: "Given") -> "Condition":
        return Condition(disjunction(_beside(other), self.tree))

    def __invert__(self) -> "Condition":
        is_double = isinstance(self.tree, Not) and isinstance(self.tree.part, And | Or | Not)
        return Condition(self.tree.part if is_double and isinstance(self.tree, Not) else Not(self.tree))

    def __bool__(self) -> bool:
        raise ConditionError(
            f"The condition {shortened(self.text)!a} is neither true nor false before it is judged.",
            text=self.text,
            hint="Write & for `and`, | for `or` and ~ for `not`, each part in parentheses, and a < b < c as two parts.",
        )

    def __eq__(self, other: object) -> bool:
        return self.tree == other.tree if isinstance(other, Condition) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        return f"Condition({self.text!r})"

    def __reduce__(self) -> tuple[type["Condition"], tuple[Node]]:
        return type(self), (self.tree,)


Given = str | Condition | Callable[..., object]
"""What is taken for a condition."""


def condition_of(given: Given) -> Condition:
    """Return what is given as a condition: a text, a condition, or a function; of a `field(...)` that it is true.

    Raises:
        ConditionError: If a text cannot be read, or it is none of these.

    Example:
        >>> condition_of("steps.search.hits>=3").text
        'steps.search.hits >= 3'
    """
    if isinstance(given, Condition):
        return given if type(given) is Condition else Condition(given.tree)
    if isinstance(given, str):
        return _read(given) if len(given) <= MAX_LENGTH else Condition(parse(given))
    if not callable(given):
        raise ConditionError(
            f"A condition is a text, a condition or a function, not {type(given).__name__}.",
            hint='Write it like "steps.NAME.field > 7" or field("NAME.field") > 7.',
        )
    try:
        hash(given)
    except TypeError:
        message = f"The function of the class {type(given).__name__} has no hash."
        raise ConditionError(message, hint="Put it into a plain function.") from None
    return Condition(Asked(given))


def _beside(given: Given) -> Node:
    """Return what stands beside `&` or `|` as a tree.

    Raises:
        ConditionError: If it is no condition: as a rule it is the end of a comparison without parentheses.
    """
    try:
        return condition_of(given).tree
    except ConditionError as error:
        hint = f"{PARENTHESES} {error.hint}".rstrip()
        raise ConditionError(error.message, text=error.text, path=error.path, word=error.word, hint=hint) from None


@lru_cache(maxsize=4096)
def _read(text: str) -> Condition:
    return Condition(parse(text))


def _names(tree: Node, root: str) -> frozenset[str]:
    return frozenset(
        str(node.parts[0]) for node, _ in walk(tree) if isinstance(node, Path) and node.root == root and node.parts
    )
