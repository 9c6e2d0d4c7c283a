"""Every public name explains itself: a sentence, the errors that it raises, and an example that runs."""

import ast
import builtins
import doctest
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from types import ModuleType

import pytest

import tagent

PACKAGES = ["tagent", *(it.name for it in pkgutil.iter_modules(tagent.__path__, "tagent.") if it.ispkg)]
"""What is public is named in the `__all__` of one of these."""

SECTION = re.compile(r"^(\w+):$", re.MULTILINE)
ENTRY = re.compile(r"^    (\w+):", re.MULTILINE)


def named(public: str) -> object:
    """Return what `package:name` names."""
    package, _, name = public.partition(":")
    found: object = getattr(importlib.import_module(package), name)
    return found


def public_names() -> Iterator[str]:
    """Yield `package:name` once for each public class and function; the value of a constant explains nothing."""
    seen: set[object] = set()
    for package in PACKAGES:
        for name in getattr(importlib.import_module(package), "__all__", ()):
            part = named(f"{package}:{name}")
            if (inspect.isclass(part) or inspect.isroutine(part)) and part not in seen:
                seen.add(part)
                yield f"{package}:{name}"


EXPLAINED = tuple(public_names())


def is_run(example: doctest.Example) -> bool:
    """Return whether an example is more than shown."""
    return not example.options.get(doctest.SKIP, False)


@cache
def examples(module: str) -> set[str]:
    """Return the dotted names in a module whose docstrings hold an example that `doctest.testmod` runs."""
    tests = doctest.DocTestFinder().find(importlib.import_module(module))
    return {test.name for test in tests if any(map(is_run, test.examples))}


def section(doc: str, title: str) -> str:
    """Return a section of a docstring in Google form, empty if there is none."""
    _, *parts = SECTION.split(inspect.cleandoc(doc))
    return dict(zip(parts[::2], parts[1::2], strict=True)).get(title, "")


@cache
def errors() -> dict[str, type[BaseException]]:
    """Return every error by its class's name: those of Python and those of tagent."""
    for module in pkgutil.walk_packages(tagent.__path__, "tagent."):
        if not module.name.endswith("embedded_server"):  # it is a program
            importlib.import_module(module.name)
    ours = {error.__name__: error for error in descendants(tagent.TAgentError)}
    python = {name: it for name, it in vars(builtins).items() if inspect.isclass(it) and issubclass(it, BaseException)}
    return python | ours


def descendants(error: type[BaseException]) -> Iterator[type[BaseException]]:
    """Yield an error's class and those below it."""
    yield error
    for child in error.__subclasses__():
        yield from descendants(child)


@cache
def definitions(module: ModuleType) -> dict[str, ast.AST]:
    """Return the classes and functions that a module defines, by dotted name; of overloads the one that is run."""
    found: dict[str, ast.AST] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found[f"{prefix}{child.name}"] = child
                if isinstance(child, ast.ClassDef):
                    visit(child, f"{prefix}{child.name}.")

    visit(ast.parse(inspect.getsource(module)), "")
    return found


def raised_in(function: ast.AST) -> Iterator[str]:
    """Yield the names of the errors that a function's own body raises and does not catch itself."""

    def visit(node: ast.AST, caught: tuple[type[BaseException], ...]) -> Iterator[str]:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            return  # raises when it is called
        if isinstance(node, ast.Raise) and (name := _class_in(node.exc)) and not issubclass(errors()[name], caught):
            yield name
        for field, value in ast.iter_fields(node):
            inside = (*caught, *_caught_by(node)) if isinstance(node, ast.Try) and field == "body" else caught
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    yield from visit(child, inside)

    for child in ast.iter_child_nodes(function):
        yield from visit(child, ())


def _class_in(raised: ast.expr | None) -> str:
    """Return the error's class in `raise Class(...)`; empty where a variable or nothing is raised."""
    called = raised.func if isinstance(raised, ast.Call) else raised
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    return name if name in errors() and not name.startswith("_") else ""


def _caught_by(node: ast.Try) -> Iterator[type[BaseException]]:
    for handler in node.handlers:
        types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
        for caught in types:
            if isinstance(caught, ast.Name) and caught.id in errors():
                yield errors()[caught.id]


def documented_parts(public: str) -> Iterator[tuple[str, str, ast.AST]]:
    """Yield name, docstring and code of a public function, or of a class and its public methods.

    What a class raises when it is made stands in the docstring of the class.
    """
    part = named(public)
    module = inspect.getmodule(part)
    assert module is not None
    assert inspect.isclass(part) or inspect.isroutine(part)
    code = definitions(module)
    if inspect.isroutine(part):
        yield part.__qualname__, part.__doc__ or "", code[part.__qualname__]
        return
    for name, node in code.items():
        owner, _, method = name.rpartition(".")
        if owner != part.__qualname__ or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if method in {"__init__", "__post_init__", "__new__"}:
            yield name, f"{part.__doc__}\n{ast.get_docstring(node) or ''}", node
        elif not method.startswith("_"):
            yield name, ast.get_docstring(node) or "", node


@pytest.mark.parametrize("public", EXPLAINED)
def test_a_public_name_says_in_a_sentence_what_it_is(public: str) -> None:
    """The first line is what an editor shows."""
    doc = vars(named(public)).get("__doc__") if inspect.isclass(named(public)) else named(public).__doc__
    first, *rest = inspect.cleandoc(doc or "").splitlines() or [""]
    assert re.fullmatch(r"[A-Z`].*[.?]", first)
    assert not rest or not rest[0], "the sentence fits one line"


@pytest.mark.parametrize("public", EXPLAINED)
def test_a_public_name_has_an_example_that_runs(public: str) -> None:
    """An example says in three lines what prose says in ten. `test_documents` runs all that this finds."""
    part = named(public)
    assert inspect.isclass(part) or inspect.isroutine(part)
    assert f"{part.__module__}.{part.__qualname__}" in examples(part.__module__)


@pytest.mark.parametrize("public", EXPLAINED)
def test_what_a_public_name_raises_itself_is_in_its_docstring(public: str) -> None:
    """Whoever wants to handle an error has to know of it. A base of it will do."""
    for name, doc, code in documented_parts(public):
        told = tuple(errors()[error] for error in ENTRY.findall(section(doc, "Raises")) if error in errors())
        missing = {error for error in raised_in(code) if not issubclass(errors()[error], told)}
        assert not missing, f"{name} raises {', '.join(sorted(missing))}"


@pytest.mark.parametrize("public", EXPLAINED)
def test_every_error_in_a_public_docstring_exists(public: str) -> None:
    """Nobody can catch what was renamed."""
    part = named(public)
    docs = [part.__doc__ or "", *(doc for _, doc, _ in documented_parts(public))]
    for doc in docs:
        assert set(ENTRY.findall(section(doc, "Raises"))) <= errors().keys()
