"""What a function is made of, as JSON values: its code, what it is bound to, what it reads of its program.

The byte code counts, not the text: it is what runs, a comment does not change it, and it is there for code that is in
no file. What the function calls counts too as far as it is the user's program. Of a library, and of what
is no data, the name counts.
"""

import functools
import inspect
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.util import resolve_name
from re import Pattern
from types import (
    BuiltinFunctionType,
    CellType,
    CodeType,
    FunctionType,
    MethodType,
    ModuleType,
    SimpleNamespace,
)
from typing import cast

from pydantic import BaseModel, TypeAdapter

from tagent.pipeline.caching.classes import class_made
from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.inspecting import (
    BASES,
    BY_TEXT,
    CHANGEABLE,
    MEANS,
    PLAIN,
    hints_of,
    is_data,
    name_of,
    parts_of,
    state_of,
    text_of,
)
from tagent.pipeline.caching.programs import is_program
from tagent.pipeline.caching.reading_code import reads_of

MOST_VALUES = 100_000
"""How many pieces of data a function may be bound to, and read of its program; more would take too long each time."""

_BY_NAME = frozenset({"__import__", "eval", "exec", "globals"})
"""What finds code and data by names that are known only when it works."""

Written = frozenset[tuple[int, str]]
"""What is changed by the code that is looked at: the id of a module's names or of a variable, and the name."""


def made_of(function: Callable[..., object]) -> object:
    """Return what `function` is made of; equal for two that do the same with the same arguments.

    What the code itself changes, like a list of its calls, does not count.

    Raises:
        UnkeyableError: If it is bound to something that is neither data nor code.

    Example:
        >>> def times(factor: int) -> Callable[[int], int]:
        ...     return lambda number: number * factor
        >>> made_of(times(2)) == made_of(times(2)), made_of(times(2)) == made_of(times(3))
        (True, False)
        >>> made_of(functools.partial(print, file=memoryview(b"")))
        Traceback (most recent call last):
        tagent.pipeline.caching.errors.UnkeyableError: Nothing of it can be used again: its function is bound to an ...
    """
    try:
        first = _Look(frozenset())
        made = first.all_of(function)
        return made if not first.written else _Look(frozenset(first.written)).all_of(function)
    except RecursionError:
        raise UnkeyableError("its function is bound to data that are nested too deeply") from None


class _Look:
    """One look at a function and at all that it reaches. Functions and classes are listed once, and named by place.

    Args:
        unread: What does not count.
    """

    def __init__(self, unread: Written) -> None:
        self.written: set[tuple[int, str]] = set()
        self._unread = unread
        self._places: dict[int, int] = {}
        self._found: list[object] = []
        self._values = 0
        self._open: set[int] = set()

    def all_of(self, function: object) -> object:
        """Return the function with all that it reaches."""
        top = self.value(function)
        told: list[object] = []
        while len(told) < len(self._found):
            one = self._found[len(told)]
            told.append(class_made(one, self) if isinstance(one, type) else self._function(cast("FunctionType", one)))
        return [top, told]

    def value(self, given: object) -> object:
        """Return what a value that counts comes to.

        Raises:
            UnkeyableError: If it is neither data nor code.
        """
        self._values += 1
        if self._values > MOST_VALUES:
            raise UnkeyableError(f"its function is bound to more than {MOST_VALUES} pieces of data")
        if type(given) in PLAIN:
            return [type(given).__name__, repr(given)]
        if id(given) in self._open:  # inside itself
            return ["again"]
        self._open.add(id(given))
        try:
            return self._several(given)
        finally:
            self._open.discard(id(given))

    def _several(self, given: object) -> object:
        if isinstance(given, Enum):
            kind = self._callable(type(given)) if is_program(type(given).__module__) else None
            return ["enum", name_of(type(given)), given.name, repr(given.value), kind]
        if isinstance(given, BY_TEXT):
            return ["text", name_of(type(given)), str(given), repr(given)]
        if isinstance(given, CodeType):
            return self._code(given)
        if isinstance(given, Pattern):  # what it is shown as is cut short
            return ["pattern", self.value(given.pattern), given.flags]
        items = self._items(given)
        if items is not None:
            own = self._object(given) if is_program(type(given).__module__) else None
            return [name_of(type(given)), items, own]
        if isinstance(given, type) or (callable(given) and not is_data(given)):
            return self._callable(given)
        return self._object(given)

    def _items(self, given: object) -> object:
        """Return what a container holds; None if it is none."""
        is_known = type(given).__module__ in {"builtins", "collections", "types"} or is_program(type(given).__module__)
        if isinstance(given, list | tuple | deque):
            return [self.value(item) for item in given]
        if isinstance(given, Mapping) and is_known:
            told = [[self.value(key), self.value(item)] for key, item in given.items()]
            return [told, self.value(getattr(given, "default_factory", None))]
        if isinstance(given, set | frozenset):  # in no order
            return sorted((self.value(item) for item in given), key=repr)
        return None

    def _callable(self, given: object) -> object:
        if isinstance(given, type):
            return self._listed(given) if is_program(given.__module__) else ["of a library", name_of(given)]
        if isinstance(given, functools.partial):
            return ["partial", self.value(given.func), self.value(given.args), self.value(given.keywords)]
        if isinstance(given, MethodType):
            return ["method", self.value(given.__func__), self.value(given.__self__)]
        if isinstance(given, FunctionType):
            return self._of_function(given)
        if isinstance(given, BuiltinFunctionType) and not isinstance(given.__self__, ModuleType | type(None)):
            return ["method", given.__name__, self.value(given.__self__)]
        wrapped = getattr(given, "__wrapped__", None)  # as that of a cache of functools, which has a name as well
        if wrapped is not None:
            return ["wrapped", name_of(type(given)), self.value(wrapped)]
        return ["of a library", name_of(given)] if hasattr(given, "__qualname__") else self._object(given)

    def _of_function(self, given: FunctionType) -> object:
        """Return a function; of one that a library has wrapped around the user's, the user's."""
        if is_program(given.__module__ or ""):
            return self._listed(given)
        wrapped = inspect.unwrap(given)
        if wrapped is not given:
            return ["wrapped", name_of(given), self.value(wrapped)]
        bound = [self._cell("", cell) for cell in given.__closure__ or ()]
        return ["of a library", name_of(given), given.__code__.co_code.hex(), bound]

    def _listed(self, given: object) -> object:
        if id(given) not in self._places:
            self._places[id(given)] = len(self._found)
            self._found.append(given)
        return ["number", self._places[id(given)]]

    def _function(self, function: FunctionType) -> object:
        reads = reads_of(function.__code__)
        names, cells = (
            function.__globals__,
            dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)),
        )
        self.written |= {(id(names), name) for name in reads.written}
        self.written |= {(id(cells[name]), name) for name in reads.written_cells if name in cells}
        return {
            "code": self.value(function.__code__),
            "defaults": [self.value(function.__defaults__), self.value(function.__kwdefaults__)],
            "bound": {name: self._cell(name, cell) for name, cell in cells.items()},
            "reads": {name: self._global(name, names, is_whole=name in reads.whole) for name in reads.names},
            "imports": [self._imported(one, names) for one in sorted(reads.imports)],
            "types": self.hints(function),
            "attributes": {name: self.soft(item) for name, item in vars(function).items() if not name.startswith("_")},
        }

    def hints(self, given: object) -> object:
        """Return how something is annotated, with the classes of the program and what else its types check."""
        return [[name, text_of(hint), *self.hint(hint)] for name, hint in hints_of(given).items()]

    def hint(self, hint: object) -> Iterator[object]:
        """Yield what an annotation reaches of the program, and the values in it."""
        for part in parts_of(hint):
            if not isinstance(part, type):
                yield self.soft(part)
            elif is_program(part.__module__):
                yield self._listed(part)

    def _code(self, code: CodeType) -> object:
        return [
            code.co_code.hex(),
            [self.value(constant) for constant in code.co_consts],
            [code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars],
            [code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags],
            code.co_exceptiontable.hex(),
        ]

    def _cell(self, name: str, cell: CellType) -> object:
        try:
            content = cell.cell_contents
        except ValueError:  # not bound yet
            return ["nothing"]
        return self._changed(content) if (id(cell), name) in self._unread else self.value(content)

    def _changed(self, found: object) -> object:
        """Return what counts of something that the code changes: no data, but the code of it."""
        kind = type(found)
        if kind in PLAIN or (isinstance(found, CHANGEABLE) and not is_program(kind.__module__)):
            return ["changed"]
        if isinstance(found, type) or callable(found):
            return ["changed", self.value(found)]
        return ["changed", self._callable(kind)]

    def _global(self, name: str, names: Mapping[str, object], *, is_whole: bool) -> object:
        """Return what a name of the program stands for; what is no data and no code of it is the function's means."""
        root, _, attribute = name.partition(".")
        if root not in names:
            if root in _BY_NAME:
                raise UnkeyableError(f"its function looks names up with {root!r}")
            return ["built in"]
        found = names[root]
        while attribute and isinstance(found, ModuleType) and is_program(found.__name__):
            part, _, attribute = attribute.partition(".")
            found = getattr(found, part, None)
        if isinstance(found, ModuleType):
            return self._module(found, is_whole=is_whole)
        if attribute:
            return None  # its own name is told
        is_of_module = isinstance(names[root], ModuleType)
        if (id(names), name if is_of_module else root) in self._unread:
            return self._changed(found)
        return self.soft(found)

    def _module(self, module: ModuleType, *, is_whole: bool) -> object:
        if is_whole and is_program(module.__name__):
            raise UnkeyableError(f"its function uses the module {module.__name__!r} as a whole")
        return ["module", module.__name__]

    def _imported(self, one: tuple[int, str, tuple[str, ...]], names: Mapping[str, object]) -> object:
        """Return what the code takes of a module that it imports itself."""
        level, name, taken = one
        package = str(names.get("__package__") or names.get("__name__", ""))
        try:
            module = resolve_name("." * level + name, package) if level else name
        except ImportError:
            module = name
        if not is_program(module):
            return ["module", module]
        loaded = sys.modules.get(module)
        if loaded is None or not taken or "*" in taken or not all(hasattr(loaded, part) for part in taken):
            raise UnkeyableError(f"its function imports the module {module!r} where it works")
        return [self._global(part, vars(loaded), is_whole=True) for part in taken]

    def soft(self, given: object) -> object:
        """Return what a value comes to, and where it is neither data nor code, of which class it is.

        Raises:
            UnkeyableError: If it is data that cannot be looked at.
        """
        before = self._values
        try:
            return self.value(given)
        except (UnkeyableError, RecursionError):
            if is_data(given):
                raise
            self._values = before
        kind = type(given)
        if not is_program(kind.__module__) or id(given) in self._open:
            return ["means", name_of(kind)]
        self._open.add(id(given))
        try:
            return ["means", self._callable(kind), {name: self.soft(item) for name, item in state_of(given).items()}]
        finally:
            self._open.discard(id(given))

    def _object(self, given: object) -> object:
        kind = type(given)
        if kind.__module__.partition(".")[0] in MEANS:
            return ["means", name_of(kind)]
        if isinstance(given, BaseModel):
            return [self._callable(kind), self.value(dict(given)), self.value(given.model_extra or {})]
        if is_dataclass(given):
            told = {field.name: getattr(given, field.name, None) for field in fields(given)}
            return [self._callable(kind), self.value(told)]
        if isinstance(given, TypeAdapter):
            return ["type", *([text_of(one), *self.hint(one)] for one in [vars(given).get("_type")])]
        if is_program(kind.__module__):
            own = [base.__repr__(given) for base in BASES if isinstance(given, base)]
            return [self._callable(kind), self.value(state_of(given)), own]
        if isinstance(given, SimpleNamespace):
            return [name_of(kind), self.value(dict(vars(given)))]
        if is_data(given):
            return self._reduced(given)
        raise UnkeyableError(f"its function is bound to an object of the class {kind.__qualname__}")

    def _reduced(self, given: object) -> object:
        """Return what Python needs to copy data, like an array or an address of the network."""
        try:
            _, *parts = cast("tuple[object, ...]", given.__reduce_ex__(4))
        except TypeError:
            raise UnkeyableError(
                f"its function is bound to an object of the class {type(given).__qualname__}"
            ) from None
        return [name_of(type(given)), [self.value([*part] if isinstance(part, Iterator) else part) for part in parts]]
