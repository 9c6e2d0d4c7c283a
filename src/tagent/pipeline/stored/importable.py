"""Functions, types and tools by the name under which they are found again.

A step that is added while a run goes on is in no pipeline that could be loaded again: its code is named in the
journal. A journal may come from anywhere, so it names no code but that of the function that added the step: what is
defined in that function's own module, or in the same package. Never anything that is only imported there.
"""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

from pydantic_core import from_json, to_json

from tagent.loading import FILE_PREFIX
from tagent.task_agent.tools.tool import Tool

_MODULE = re.compile(r"(?!\d)\w+(\.(?!\d)\w+)*", re.ASCII)
_BUILT_IN: Mapping[str, object] = {
    "str": str, "int": int, "float": float, "bool": bool, "list": list, "dict": dict, "object": object,
    "None": NoneType, "Any": Any,
}  # fmt: skip
"""The types that are named by a word alone."""

_GENERIC: Mapping[str, Any] = {"list": list, "dict": dict, "tuple": tuple, "set": set}
_MOST_NESTED = 20

Reference = Any
"""JSON values that name something."""


class NotImportableError(LookupError):
    """Something cannot be named, or is not found under its name. Says why, as a part of a sentence about it."""


@dataclass(frozen=True, slots=True)
class Home:
    """Where the code of added steps is looked for: the module of the function that adds them.

    Attributes:
        module: Its name today.
        names: What it defines and imports, by name.

    Example:
        >>> def double(n: int) -> int:
        ...     return 2 * n
        >>> home = Home(double.__module__, {"double": double})
        >>> home.reference(double), home.find(home.reference(double)) is double
        ({'module': '', 'name': 'double'}, True)
    """

    module: str
    names: Mapping[str, object]

    @classmethod
    def of(cls, function: Callable[..., object]) -> "Home":
        """Return the home of a step's function: of the code that runs, behind partials, decorators and `__call__`."""
        found: Any = function
        while isinstance(found, partial):
            found = found.func
        if not (inspect.isroutine(found) or inspect.isclass(found)):
            found = type(found).__call__
        found = inspect.unwrap(found)
        names = getattr(found, "__globals__", None)
        if names is None:
            module = str(getattr(found, "__module__", ""))
            return cls(module, vars(sys.modules[module]) if module in sys.modules else {})
        return cls(str(names.get("__name__", "")), names)

    def reference(self, code: object) -> dict[str, str]:
        """Return what names a function, a class or a tool.

        Raises:
            NotImportableError: If it would not be found under that name.
        """
        named = code.function if isinstance(code, Tool) else code
        module, name = getattr(named, "__module__", None), getattr(named, "__qualname__", None)
        if not isinstance(module, str) or not isinstance(name, str):
            raise NotImportableError(
                f"is a {type(code).__name__}, which no name finds again; use a function with `def`"
            )
        if isinstance(code, Tool):  # a tool may have another name than its function
            name = next((key for key, it in self._names_in(module).items() if it is code), name)
        if not name.isidentifier():
            what = "a lambda" if name.endswith("<lambda>") else f"{name!r}, which is inside something else"
            raise NotImportableError(f"is {what}; define it with a name at the top of its module")
        found = {"module": "" if module == self.module else module, "name": name}
        if self.find(found) is not code:
            raise NotImportableError(f"is not what the name {name!r} of {self._told(module)} finds")
        return found

    def find(self, reference: Reference) -> object:
        """Return the function, class or tool that is named.

        Raises:
            NotImportableError: If there is none of this name, or it is not of this module or package.
        """
        if not isinstance(reference, Mapping) or not {"module", "name"} <= reference.keys():
            raise NotImportableError("is not named by a module and a name")
        module, name = reference["module"], reference["name"]
        if not isinstance(module, str) or not isinstance(name, str) or not name.isidentifier():
            raise NotImportableError("is not named by a module and a name")
        module = module or self.module
        found = self._names_in(module).get(name)
        named: Any = found.function if isinstance(found, Tool) else found
        is_code = inspect.isfunction(named) or inspect.isclass(named)
        # What is only imported there is no code of that module: `from os import system` opens no door.
        is_its_own = is_code and named.__module__ == module and (isinstance(found, Tool) or named.__qualname__ == name)
        if not is_its_own:
            raise NotImportableError(f"is not found: {self._told(module)} defines no {name!r}")
        return found

    def function(self, reference: Reference) -> Callable[..., object]:
        """Return the function that is named.

        Raises:
            NotImportableError: As `find`, or if it is no function.
        """
        found = self.find(reference)
        if not inspect.isfunction(found):
            raise NotImportableError(f"is no function, but a {type(found).__name__}")
        return found

    def tool(self, reference: Reference) -> Callable[..., object] | Tool:
        """Return the tool that is named: a function, or a `Tool`.

        Raises:
            NotImportableError: As `find`, or if it is neither.
        """
        found = self.find(reference)
        return found if isinstance(found, Tool) else self.function(reference)

    def type_reference(self, declared: object) -> Reference:
        """Return what names a type: a word for a plain one, its parts for one that is made of others.

        Raises:
            NotImportableError: If it is of another kind, or a class of it would not be found.

        Example:
            >>> home = Home("reports", {})
            >>> home.type_reference(dict[str, list[int] | None])
            {'of': 'dict', 'with': ['str', {'of': '|', 'with': [{'of': 'list', 'with': ['int']}, 'None']}]}
            >>> home.type(home.type_reference(Literal["yes", "no"]))
            typing.Literal['yes', 'no']
        """
        word = next((word for word, known in _BUILT_IN.items() if known is declared), None)
        if word is not None or declared is None:
            return word or "None"
        origin, arguments = get_origin(declared), get_args(declared)
        if origin is Literal:
            if not all(isinstance(it, str | int | bool | NoneType) for it in arguments):
                raise NotImportableError("has a literal that is no text, number or truth value")
            return {"literal": from_json(to_json(list(arguments)))}
        name = "|" if origin in (Union, UnionType) else next((n for n, it in _GENERIC.items() if it is origin), None)
        if name is not None:
            return {"of": name, "with": ["..." if it is ... else self.type_reference(it) for it in arguments]}
        if isinstance(declared, type) and origin is None:
            return self.reference(declared)
        raise NotImportableError(f"is {str(declared)[:80]}, which cannot be named")

    def type(self, reference: Reference, *, depth: int = 0) -> object:
        """Return the type that is named.

        Raises:
            NotImportableError: If there is none.
        """
        if isinstance(reference, str):
            if reference not in _BUILT_IN:
                raise NotImportableError(f"is no type of the name {reference[:80]!r}")
            return _BUILT_IN[reference]
        if not isinstance(reference, Mapping) or depth > _MOST_NESTED:
            raise NotImportableError("is not named as a type is")
        if isinstance(literals := reference.get("literal"), list) and literals:
            return Literal[tuple(literals)]
        if "of" not in reference:
            found = self.find(reference)
            if not isinstance(found, type):
                raise NotImportableError(f"is no type, but a {type(found).__name__}")
            return found
        parts = reference.get("with")
        if not isinstance(parts, list) or not parts:
            raise NotImportableError("is not named as a type is")
        inside = tuple(... if it == "..." else self.type(it, depth=depth + 1) for it in parts)
        return _made_of(str(reference["of"]), inside)

    def _names_in(self, module: str) -> Mapping[str, object]:
        if module == self.module:
            return self.names
        self._require_near(module)
        try:
            return vars(importlib.import_module(module))
        except ImportError as error:
            raise NotImportableError(f"is in the module {module!r}, which cannot be imported: {error}") from None

    def _told(self, module: str) -> str:
        """Return what people call a module: of one that was run from a file, which nobody imports, the file."""
        names = self.names if module == self.module else vars(sys.modules.get(module, sys))
        file = names.get("__file__")
        if module.startswith(FILE_PREFIX) and isinstance(file, str):
            return f"the file {Path(file).name!r}"
        return f"the module {module!r}"

    def _require_near(self, module: str) -> None:
        here, there = self.module.partition(".")[0], module.partition(".")[0]
        # A `__main__` would not be looked into but run.
        if not _MODULE.fullmatch(module) or here != there or "__main__" in (here, *module.split(".")):
            besides = "" if here == "__main__" or here.startswith(FILE_PREFIX) else f", and the package {here!r}"
            raise NotImportableError(
                f"is of the module {module[:80]!r}; of the step that adds it only {self._told(self.module)} is looked "
                f"into{besides}: wrap it in a function of your own there"
            )


def _made_of(name: str, inside: tuple[Any, ...]) -> object:
    try:
        if name == "|":
            return Union[inside]  # noqa: UP007 - of as many as there are
        return _GENERIC[name][inside]
    except (KeyError, TypeError):
        raise NotImportableError(f"is no type that is made as {name[:80]!r}") from None
