"""What a function is made of, as JSON values: its code, what it is bound to, what it reads of its program.

The byte code counts, not the text: it is what runs, a comment does not change it, and it is there for code that is in
no file. What the function calls counts too as far as it is the user's program. Of a library, and of what
is no data, the name counts.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import PurePath
from re import Pattern
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast, get_args, get_type_hints
from uuid import UUID

from pydantic import BaseModel

from tagent.pipeline.caching.errors import UnkeyableError
from tagent.pipeline.caching.programs import is_program
from tagent.pipeline.caching.reading_code import reads_of

MOST_VALUES = 100_000
"""How many pieces of data a function may be bound to, and read of its program; more would take too long each time."""

_PLAIN = (str, int, float, bool, complex, bytes, type(None), type(Ellipsis), type(NotImplemented))
_BY_TEXT = (date, time, timedelta, tzinfo, Decimal, Fraction, PurePath, Pattern, UUID, range)
_MEANS = frozenset(
    {
        "_asyncio", "_contextvars", "_queue", "_thread", "asyncio", "concurrent", "itertools", "logging", "queue",
        "threading",
    }
)  # fmt: skip
"""The modules whose objects are no data: locks, loggers, counters, pools."""

_ABOUT_NAMES = (
    "__module__",
    "__qualname__",
    "__doc__",
    "__dict__",
    "__weakref__",
    "__annotations__",
    "__firstlineno__",
)

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
        >>> from types import SimpleNamespace
        >>> made_of(functools.partial(print, file=SimpleNamespace()))
        Traceback (most recent call last):
        tagent.pipeline.caching.errors.UnkeyableError: Nothing of it can be used again: its function is bound to an ...
    """
    try:
        found = _Look(frozenset())
        found.all_of(function)
        return _Look(frozenset(found.written)).all_of(function)
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
            told.append(self._class(one) if isinstance(one, type) else self._function(cast("FunctionType", one)))
        return [top, told]

    def value(self, given: object) -> object:
        """Return what a value that counts comes to.

        Raises:
            UnkeyableError: If it is neither data nor code.
        """
        self._values += 1
        if self._values > MOST_VALUES:
            raise UnkeyableError(f"its function is bound to more than {MOST_VALUES} pieces of data")
        if type(given) in _PLAIN:
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
            return ["enum", _name(type(given)), given.name, repr(given.value)]
        if isinstance(given, _BY_TEXT):
            return ["text", _name(type(given)), str(given), repr(given)]
        if isinstance(given, CodeType):
            return self._code(given)
        if isinstance(given, list | tuple):
            return [_name(type(given)), [self.value(item) for item in given]]
        if isinstance(given, Mapping) and type(given).__module__ in {"builtins", "collections", "types"}:
            return [_name(type(given)), [[self.value(key), self.value(item)] for key, item in given.items()]]
        if isinstance(given, set | frozenset):  # in no order
            return [_name(type(given)), sorted((self.value(item) for item in given), key=repr)]
        if isinstance(given, type) or callable(given):
            return self._callable(given)
        return self._object(given)

    def _callable(self, given: object) -> object:
        if isinstance(given, type):
            return self._listed(given) if is_program(given.__module__) else ["of a library", _name(given)]
        if isinstance(given, functools.partial):
            return ["partial", self.value(given.func), self.value(given.args), self.value(given.keywords)]
        if isinstance(given, MethodType):
            return ["method", self.value(given.__func__), self.value(given.__self__)]
        if isinstance(given, FunctionType):
            return self._of_function(given)
        if isinstance(given, BuiltinFunctionType) and not isinstance(given.__self__, ModuleType | type(None)):
            return ["method", given.__name__, self.value(given.__self__)]
        if hasattr(given, "__qualname__"):
            return ["of a library", _name(given)]
        wrapped = getattr(given, "__wrapped__", None)  # as that of a cache of functools
        return self._object(given) if wrapped is None else ["wrapped", _name(type(given)), self.value(wrapped)]

    def _of_function(self, given: FunctionType) -> object:
        """Return a function; of one that a library has wrapped around the user's, the user's."""
        if is_program(given.__module__ or ""):
            return self._listed(given)
        wrapped = inspect.unwrap(given)
        if wrapped is not given:
            return ["wrapped", _name(given), self.value(wrapped)]
        bound = [self._cell("", cell) for cell in given.__closure__ or ()]
        return ["of a library", _name(given), given.__code__.co_code.hex(), bound]

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
            "reads": {name: self._global(name, names) for name in reads.names},
            "types": [self._listed(one) for one in _types_of(function)],
        }

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
        return ["changed"] if (id(cell), name) in self._unread else self.value(content)

    def _global(self, name: str, names: Mapping[str, object]) -> object:
        """Return what a name of the program stands for; what is no data and no code of it is the function's means."""
        root, _, attribute = name.partition(".")
        if root not in names or (id(names), root) in self._unread:
            return ["built in" if root not in names else "changed"]
        found = names[root]
        if isinstance(found, ModuleType):
            if not attribute or not is_program(found.__name__):
                return ["module", found.__name__]
            found = getattr(found, attribute, None)
        elif attribute:
            return None  # its own name is told
        before = self._values
        try:
            return self.value(found)
        except (UnkeyableError, RecursionError):
            self._values = before
            return ["means", _name(type(found))]

    def _object(self, given: object) -> object:
        kind = type(given)
        if kind.__module__.partition(".")[0] in _MEANS:
            return ["means", _name(kind)]
        if isinstance(given, BaseModel):
            return [self._callable(kind), self.value(dict(given)), self.value(given.model_extra or {})]
        if is_dataclass(given):
            told = {field.name: getattr(given, field.name, None) for field in fields(given)}
            return [self._callable(kind), self.value(told)]
        if is_program(kind.__module__) and hasattr(given, "__dict__"):
            return [self._callable(kind), self.value(dict(vars(given)))]
        raise UnkeyableError(f"its function is bound to an object of the class {kind.__qualname__}")

    def _class(self, kind: type) -> object:
        """Return what a class of the program is made of: of what it inherits, its functions, its data."""
        told: dict[str, object] = {}
        for name, member in vars(kind).items():
            if name in _ABOUT_NAMES or name.startswith("__pydantic_"):
                continue
            inner = member.__func__ if isinstance(member, staticmethod | classmethod) else member
            if isinstance(inner, property):
                told[name] = [self.value(part) for part in (inner.fget, inner.fset) if part is not None]
            elif not (isinstance(inner, FunctionType) and inner.__code__.co_filename.startswith("<")):
                told[name] = self._member(inner)
        annotated = {name: str(hint) for name, hint in vars(kind).get("__annotations__", {}).items()}
        return [kind.__qualname__, [self.value(base) for base in kind.__bases__], told, annotated]

    def _member(self, member: object) -> object:
        try:
            return self.value(member)
        except UnkeyableError:
            return ["means", _name(type(member))]


def _types_of(function: FunctionType) -> Iterator[type]:
    """Yield the classes of the program to which arguments are converted, and the output."""
    try:
        hints: Mapping[str, Any] = get_type_hints(function, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations may hold anything; what they come to was said by validation
        return
    open_ = list(hints.values())
    seen: set[int] = set()
    while open_:
        hint = open_.pop(0)
        if id(hint) in seen:
            continue
        seen.add(id(hint))
        if isinstance(hint, type) and is_program(hint.__module__):
            yield hint
        open_ += get_args(hint)


def _name(given: object) -> str:
    named = given if hasattr(given, "__qualname__") else type(given)
    return f"{getattr(named, '__module__', '')}.{getattr(named, '__qualname__', '')}"
