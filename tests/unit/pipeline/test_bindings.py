"""What a step reads of others, and so waits for, without anybody writing it twice."""

from collections.abc import Mapping

import pytest

from tagent.pipeline import Dependency, DependencyType, ExecutionMode, PipelineStep, StepContext
from tagent.pipeline.bindings import branches_of, dependencies, fallback_of, names_read, texts
from tagent.pipeline.conditions import field
from tagent.pipeline.models import Fallback, Work

PARALLEL = ExecutionMode.PARALLEL_MERGE
SOFT, DATA, VALIDATION = DependencyType.SOFT, DependencyType.DATA, DependencyType.VALIDATION
NAMES = ("a", "b", "c", "item")


def data(step: str, path: str = "") -> Dependency:
    return Dependency(step, DATA, path=path)


def hard(step: str) -> Dependency:
    return Dependency(step)


def reads_a(a: int, context: StepContext) -> bool:
    return a > 0


def may_read_a(b: int, a: int = 0) -> bool:
    return a > b


READ: Mapping[str, tuple[Mapping[str, object], list[Dependency]]] = {
    "placeholder": ({"goal": "Use {a.n} and {x}"}, [data("a", "n")]),
    "parameter": ({"run": reads_a}, [data("a")]),
    "parameter with a default": ({"run": may_read_a}, [data("b"), hard("a")]),
    "condition": ({"goal": "Do it", "condition": "steps.a.n > 1 && inputs.b == 2"}, [hard("a")]),
    "condition object": (
        {"goal": "Do it", "condition": (field("a.n") > 1) | (field("b") == 2)}, [hard("a"), hard("b")],
    ),
    "condition function": ({"goal": "Do it", "condition": reads_a}, [hard("a")]),
    "condition of its own": ({"goal": "Do it", "condition": "steps.last.n > 1"}, []),
    "condition that cannot be read": ({"goal": "Do it", "condition": "steps.a >"}, []),
    "condition and goal": ({"goal": "Use {a}", "condition": "steps.a.n > 1"}, [data("a")]),
    "condition of what is soft": (
        {"goal": "Do it", "condition": "has(steps.a)", "depends_on": [Dependency("a", SOFT)]}, [Dependency("a", SOFT)],
    ),
    "check": (
        {"goal": "Do it", "depends_on": [Dependency("a", VALIDATION, check="output.n > steps.b.n")]},
        [Dependency("a", VALIDATION, check="output.n > steps.b.n"), hard("b")],
    ),
    "check function": (
        {"goal": "Do it", "depends_on": [Dependency("b", VALIDATION, check=reads_a)]},
        [Dependency("b", VALIDATION, check=reads_a), hard("a")],
    ),
    "enabled": ({"goal": "Do it", "enabled": "inputs.a == 1"}, []),
    "items": (
        {"goal": "Use {item.n} as {index}", "for_each": "a.list", "execution_mode": PARALLEL}, [data("a", "list")],
    ),
    "items of what comes before": (
        {"goal": "Use {item}", "for_each": "a.list", "depends_on": ["a"], "execution_mode": PARALLEL},
        [hard("a"), data("a", "list")],
    ),
    "items of an input": ({"goal": "Use {item} and {b}", "for_each": "x", "execution_mode": PARALLEL}, [data("b")]),
    "item function": (
        {"run": lambda item, index, b: item, "for_each": "a", "execution_mode": PARALLEL}, [data("b"), data("a")],
    ),
    "branches": (
        {"branches": {"one": "Use {a.n}", "two": may_read_a, "three": "Use {c}"}, "execution_mode": PARALLEL},
        [data("a", "n"), data("c"), data("b")],
    ),
    "merge goal": (
        {"branches": ["One"], "merge": "Weigh them against {b}", "execution_mode": PARALLEL}, [data("b")],
    ),
    "merge word": ({"branches": ["One"], "merge": "dict", "execution_mode": PARALLEL}, []),
    "merge function": ({"branches": ["One"], "merge": reads_a, "execution_mode": PARALLEL}, []),
    "compensation": ({"goal": "Do it", "compensate": "Undo {a}"}, []),
    "fallback": ({"goal": "Do it", "on_error": "a"}, []),
}  # fmt: skip


@pytest.mark.parametrize(("options", "expected"), READ.values(), ids=READ)
def test_what_is_read_is_waited_for(options: Mapping[str, object], expected: list[Dependency]) -> None:
    """DATA where it cannot do without, HARD where it can, nothing where it does not wait."""
    step = PipelineStep(name="last", **options)  # type: ignore[arg-type]  # each is right
    assert list(dependencies(step, (*NAMES, "last"))) == expected


def test_outside_of_items_their_names_are_those_of_steps() -> None:
    """Only `for_each` takes them."""
    assert dependencies(PipelineStep(name="last", goal="Use {item}"), NAMES) == (data("item"),)


def test_texts_are_all_that_placeholders_are_replaced_in() -> None:
    """And the words for a merge are none."""
    branches: Mapping[str, Work] = {"one": "One", "two": reads_a}
    step = PipelineStep(
        goal=None, branches=branches, merge="Weigh", constraints=["Rule"], compensate="Undo", execution_mode=PARALLEL
    )
    assert texts(step, ["For all"]) == ("", "Rule", "For all", "One", "Weigh")
    step.merge = "list"
    assert texts(step) == ("", "Rule", "One")


def test_all_names_that_a_step_reads_are_found() -> None:
    """Inputs among them, so that one that nobody reads is pointed out."""
    step = PipelineStep(
        name="last",
        goal="Use {a}",
        for_each="b.list",
        condition="steps.c.n > inputs.d",
        enabled="inputs.e == 1",
        compensate="Undo {f}",
        depends_on=[Dependency("a", VALIDATION, check="output.n > inputs.g")],
        execution_mode=PARALLEL,
    )
    assert set(names_read(step)) == {"a", "b", "c", "d", "e", "f", "g"}
    assert set(names_read(PipelineStep(run=may_read_a, compensate=reads_a))) == {"a", "b"}


def test_branches_in_a_list_are_called_by_their_places() -> None:
    """Parts need names that stay."""
    assert branches_of(PipelineStep(branches=["One", reads_a])) == {"0": "One", "1": reads_a}
    assert branches_of(PipelineStep()) == {}


def test_a_fallback_is_a_step_or_an_output() -> None:
    """A name alone means the step."""
    assert fallback_of(PipelineStep(on_error="a")) == Fallback("a")
    assert fallback_of(PipelineStep(on_error=Fallback(output=1))) == Fallback(output=1)
    assert fallback_of(PipelineStep()) is None
