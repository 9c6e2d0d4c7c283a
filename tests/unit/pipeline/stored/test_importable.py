"""Code by its name in a journal: found again where it was, and nowhere else, whoever wrote the journal."""

import os
import sys
from collections.abc import Callable
from functools import partial, wraps
from os import system  # noqa: F401 - what a hostile journal would name
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import pytest
from pydantic import BaseModel

from tagent.loading import run_file
from tagent.pipeline import Pipeline
from tagent.pipeline.stored.added_steps import bound_added
from tagent.pipeline.stored.callables import DefinitionMismatchError
from tagent.pipeline.stored.importable import Home, NotImportableError
from tagent.task_agent.tools.tool import Tool


class Finding(BaseModel):
    """A type of this module."""

    hits: int

    @staticmethod
    def of(hits: int) -> int:
        """Give it."""
        return hits


def double(n: int) -> int:
    """Give twice as much."""
    return 2 * n


def decorated(function: Callable[..., object]) -> Callable[..., object]:
    """Return the function behind another one."""

    @wraps(function)
    def called(*args: object) -> object:
        return function(*args)

    return called


@decorated
def triple(n: int) -> int:
    """Give three times as much."""
    return 3 * n


named = Tool.of(double, name="twice")
HOME = Home.of(double)


def test_code_of_a_file_that_was_run_is_told_by_the_file(tmp_path: Path) -> None:
    """Nobody knows the name that its module has in here."""
    file = tmp_path / "m.py"
    file.write_text("def do() -> int:\n    return 1\n")
    module = run_file(file)
    assert isinstance(module, ModuleType)
    home = Home.of(module.do)
    with pytest.raises(NotImportableError, match=r"is not found: the file 'm\.py' defines no 'did'"):
        home.find({"module": "", "name": "did"})
    with pytest.raises(
        NotImportableError, match=r"only the file 'm\.py' is looked into: wrap it in a function of your"
    ):
        home.find({"module": "os", "name": "system"})


class _Callable:
    def __call__(self) -> int:
        return 1


@pytest.mark.parametrize("code", [double, triple, Finding, named])
def test_what_stands_at_the_top_of_the_module_is_found_again(code: object) -> None:
    """A function, a decorated one, a class, a tool."""
    reference = HOME.reference(code)
    assert reference["module"] == ""  # the module may have another name next time
    assert HOME.find(reference) is code


@pytest.mark.parametrize("function", [double, partial(double, 1), triple, decorated(double), _Callable()])
def test_the_home_of_a_function_is_that_of_the_code_that_runs(function: Callable[..., object]) -> None:
    """Behind partials, decorators and objects."""
    assert Home.of(function).names["double"] is double


def test_a_function_of_the_interpreter_has_no_names_of_its_own() -> None:
    """Nothing is found there that could be added."""
    with pytest.raises(NotImportableError):
        Home.of(len).reference(double)


def _inside() -> Callable[..., object]:
    def inner() -> int:
        return 1

    return inner


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (lambda: 1, "is a lambda"),
        (_inside(), "inside something else"),
        (Finding.of, "inside something else"),
        (partial(double, 1), "is a partial"),
        (_Callable(), "is a _Callable"),
        (os.path.join, "is of the module 'posixpath'"),
        (len, "is of the module 'builtins'"),
        (os.system, "is of the module 'posix'"),
        (Tool.of(double, name="other"), "is not what the name"),
    ],
)
def test_what_would_not_be_found_is_refused_when_it_is_named(code: object, told: str) -> None:
    """Not when the run is taken up again, when it is too late."""
    with pytest.raises(NotImportableError, match=told):
        HOME.reference(code)


HOSTILE: list[Any] = [
    {"module": "os", "name": "system"},
    {"module": "posix", "name": "system"},
    {"module": "", "name": "system"},  # imported here, and not of here
    {"module": "", "name": "os"},
    {"module": "subprocess", "name": "Popen"},
    {"module": "", "name": "__builtins__"},
    {"module": "", "name": "Finding.of"},
    {"module": "", "name": "double.__globals__"},
    {"module": "", "name": "decorated"[:0]},
    {"module": "", "name": "HOSTILE"},
    {"module": "builtins", "name": "eval"},
    {"module": "..", "name": "system"},
    {"module": "os\n", "name": "system"},
    {"module": 7, "name": "system"},
    {"module": "", "name": ["double"]},
    {"name": "double"},
    "os:system",
    None,
]


@pytest.mark.parametrize("reference", HOSTILE)
def test_a_journal_names_nothing_but_code_of_the_module(reference: object) -> None:
    """Whatever is only imported there, lies inside something, or belongs to somebody else."""
    with pytest.raises(NotImportableError):
        HOME.find(reference)


def test_a_module_of_the_same_package_is_looked_into_and_one_of_another_is_not_even_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Importing runs a module, so it is decided before."""
    package = tmp_path / "surveys_of_test"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "plans.py").write_text("from surveys_of_test.reads import read\ndef plan(): return read\n")
    (package / "reads.py").write_text("def read(): return 'read'\n")
    (package / "__main__.py").write_text("raise SystemExit('it ran')\n")
    (tmp_path / "surveys_of_test_too.py").write_text("raise SystemExit('it ran')\n")
    monkeypatch.syspath_prepend(tmp_path)
    plans = __import__("surveys_of_test.plans").plans
    home = Home.of(plans.plan)
    reference = home.reference(plans.read)
    assert reference == {"module": "surveys_of_test.reads", "name": "read"}
    assert home.find(reference) is plans.read
    for module in ("surveys_of_test_too", "surveys_of_test.__main__", "surveys_of_test.nothing"):
        with pytest.raises(NotImportableError):
            home.find({"module": module, "name": "read"})
    assert "surveys_of_test_too" not in sys.modules
    for name in [name for name in sys.modules if name.startswith("surveys_of_test")]:
        monkeypatch.delitem(sys.modules, name)


def test_from_a_script_only_its_own_code_is_found() -> None:
    """`__main__` is no package, and is another module next time."""
    script = ModuleType("__main__")
    exec("def plan(): ...\ndef step(): ...", vars(script))  # noqa: S102 - as Python runs a script
    home = Home.of(script.plan)
    assert home.find(home.reference(script.step)) is script.step
    with pytest.raises(NotImportableError):
        home.find({"module": "__main__.other", "name": "step"})


@pytest.mark.parametrize(
    "declared",
    [
        str, int, float, bool, list, dict, Any, list[str], dict[str, Finding], Finding | None, tuple[int, ...],
        Literal["a", 1, True], dict[str, list[Finding | str]], set[int],
    ],
)  # fmt: skip
def test_a_type_comes_back_as_it_was(declared: object) -> None:
    """What a step gives is checked after a crash as it was before."""
    assert HOME.type(HOME.type_reference(declared)) == declared


@pytest.mark.parametrize(
    "reference",
    [
        "eval", {"of": "type", "with": ["str"]}, {"of": "list", "with": []}, {"of": "list"}, {"literal": []}, 7, None,
        {"module": "os", "name": "system"}, {"module": "", "name": "double"}, {"of": "|", "with": [7]},
    ],
)  # fmt: skip
def test_a_journal_names_no_other_type(reference: object) -> None:
    """Not a function, not a call of something."""
    with pytest.raises(NotImportableError):
        HOME.type(reference)


def test_a_type_that_is_nested_without_end_is_refused() -> None:
    """It would take the whole stack."""
    reference: object = "str"
    for _ in range(1000):
        reference = {"of": "list", "with": [reference]}
    with pytest.raises(NotImportableError):
        HOME.type(reference)


def test_an_added_step_whose_code_is_that_of_somebody_else_is_not_bound() -> None:
    """However the journal has come here."""
    spec: dict[str, Any] = {
        "id": "x", "name": "x", "goal": None, "function": "system", "wait_for": None, "constraints": [],
        "depends_on": [], "execution_mode": "serial", "timeout": None, "retry_count": 0, "max_retries": 0,
        "retry": {"base_seconds": 1, "ceiling_seconds": 1}, "tools_filter": None, "read_data": [], "model": None,
        "config": {}, "memory": None, "output": None, "code": {"run": {"module": "os", "name": "system"}},
    }  # fmt: skip
    with pytest.raises(DefinitionMismatchError, match="is of the module 'os'"):
        bound_added(spec, HOME, pipeline=Pipeline("p").name)
    with pytest.raises(DefinitionMismatchError):
        bound_added({**spec, "code": {}}, HOME, pipeline="p")
