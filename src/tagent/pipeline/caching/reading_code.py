"""What a function's code reads and writes outside of itself, as its byte code says."""

import dis
from collections.abc import Iterator
from types import CodeType
from weakref import WeakKeyDictionary

from tagent.values import value

_LOADS_GLOBAL = frozenset({"LOAD_GLOBAL", "LOAD_NAME"})
_LOADS_CELL = frozenset({"LOAD_DEREF", "LOAD_CLASSDEREF"})
_STORES_GLOBAL = frozenset({"STORE_GLOBAL", "DELETE_GLOBAL"})
_STORES_CELL = frozenset({"STORE_DEREF", "DELETE_DEREF"})
_STORES_INSIDE = frozenset({"STORE_SUBSCR", "DELETE_SUBSCR", "STORE_ATTR", "DELETE_ATTR"})
_ATTRIBUTES = frozenset({"LOAD_ATTR", "LOAD_METHOD"})
_CHANGES = frozenset(
    {
        "add", "append", "appendleft", "clear", "discard", "extend", "extendleft", "insert", "pop", "popitem",
        "popleft", "remove", "reverse", "setdefault", "sort", "update",
    }
)  # fmt: skip
"""The methods that change a list, a dict, a set or a deque."""


@value
class CodeReads:
    """What code reads outside of itself.

    Attributes:
        names: The global names that it reads, in order; `module.name` where it asks a name for an attribute.
        written: Those that it changes: it binds them anew, or changes what they hold.
        written_cells: The variables of the functions around it that it changes likewise.
    """

    names: tuple[str, ...]
    written: frozenset[str]
    written_cells: frozenset[str]


_known: WeakKeyDictionary[CodeType, CodeReads] = WeakKeyDictionary()


def reads_of(code: CodeType) -> CodeReads:
    """Return what code, and the code inside it, reads and changes outside of itself.

    Example:
        >>> calls, rates = [], {"a": 1}
        >>> def rate(name: str) -> int:
        ...     calls.append(name)
        ...     return rates[name]
        >>> found = reads_of(rate.__code__)
        >>> found.names, sorted(found.written)
        (('calls', 'calls.append', 'rates'), ['calls'])
    """
    if code not in _known:
        parts = [_of_one(one) for one in _all_in(code)]
        _known[code] = CodeReads(
            tuple(dict.fromkeys(name for part in parts for name in part.names)),
            frozenset().union(*(part.written for part in parts)),
            frozenset().union(*(part.written_cells for part in parts)),
        )
    return _known[code]


def _all_in(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _all_in(constant)


def _of_one(code: CodeType) -> CodeReads:
    names: list[str] = []
    written: set[str] = set()
    written_cells: set[str] = set()
    begun: dict[object, dis.Instruction] = {}  # where an expression begins -> the name that it begins with
    before: dis.Instruction | None = None
    for it in dis.get_instructions(code):
        if it.opname in _LOADS_GLOBAL:
            names.append(str(it.argval))
        elif it.opname in _STORES_GLOBAL:
            written.add(str(it.argval))
        elif it.opname in _STORES_CELL and it.argval in code.co_freevars:
            written_cells.add(str(it.argval))
        elif it.opname in _ATTRIBUTES and before is not None and before.opname in _LOADS_GLOBAL:
            names.append(f"{before.argval}.{it.argval}")
        if it.opname in _LOADS_GLOBAL | _LOADS_CELL:
            begun[_start(it)] = it
        is_change = it.opname in _STORES_INSIDE or (it.opname in _ATTRIBUTES and it.argval in _CHANGES)
        if is_change and (changed := begun.get(_start(it))) is not None:
            (written_cells if changed.opname in _LOADS_CELL else written).add(str(changed.argval))
        elif it.opname.startswith("CALL"):  # what it gives is changed, not what is called
            begun.pop(_start(it), None)
        before = it
    return CodeReads(tuple(names), frozenset(written), frozenset(written_cells))


def _start(instruction: dis.Instruction) -> object:
    """Return where in the source the expression of an instruction begins; an object of its own if nobody knows."""
    position = instruction.positions
    if position is None or position.lineno is None or position.col_offset is None:
        return object()
    return position.lineno, position.col_offset
