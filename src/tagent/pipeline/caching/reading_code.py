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
        names: The global names that it reads, in order; `module.name` where it asks a name for an attribute, and so on.
        whole: Those that it uses as they are, without asking them for an attribute.
        imports: The modules that it imports itself: the level, the name, and what it takes of them; nothing for all.
        written: Those that it changes: it binds them anew, or changes what they hold; likewise with attributes.
        written_cells: The variables of the functions around it that it changes likewise.
    """

    names: tuple[str, ...]
    whole: frozenset[str]
    imports: frozenset[tuple[int, str, tuple[str, ...]]]
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
            frozenset().union(*(part.whole for part in parts)),
            frozenset().union(*(part.imports for part in parts)),
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
    names, whole = _names_in(code)
    written: set[str] = set()
    written_cells: set[str] = set()
    begun: dict[object, dis.Instruction] = {}  # where an expression begins -> the name that it begins with
    chains: dict[object, str] = {}  # likewise -> that name with the attributes that follow it
    for it in dis.get_instructions(code):
        if it.opname in _STORES_GLOBAL:
            written.add(str(it.argval))
        elif it.opname in _STORES_CELL and it.argval in code.co_freevars:
            written_cells.add(str(it.argval))
        if it.opname in _LOADS_GLOBAL | _LOADS_CELL:
            begun[_start(it)], chains[_start(it)] = it, str(it.argval)
        is_change = it.opname in _STORES_INSIDE or (it.opname in _ATTRIBUTES and it.argval in _CHANGES)
        if is_change and (changed := begun.get(_start(it))) is not None:
            chain = chains[_start(it)] + (f".{it.argval}" if it.opname in _STORES_INSIDE and it.argval else "")
            (written_cells if changed.opname in _LOADS_CELL else written).update({str(changed.argval), chain})
        elif it.opname in _ATTRIBUTES and _start(it) in chains:
            chains[_start(it)] += f".{it.argval}"
        elif it.opname.startswith("CALL"):  # what it gives is changed, not what is called
            begun.pop(_start(it), None)
    return CodeReads(names, whole, frozenset(_imports_in(code)), frozenset(written), frozenset(written_cells))


def _names_in(code: CodeType) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the global names that code reads, with the attributes that follow them, and those that none follows."""
    names: list[str] = []
    whole: set[str] = set()
    chain = ""
    for it in dis.get_instructions(code):
        if chain and it.opname in _ATTRIBUTES:
            chain = f"{chain}.{it.argval}"
        elif chain and it.opname == "CACHE":
            continue
        else:
            whole |= {chain} - {""}
            chain = str(it.argval) if it.opname in _LOADS_GLOBAL else ""
        names += [chain] if chain else []
    return tuple(names), frozenset(whole)


def _imports_in(code: CodeType) -> Iterator[tuple[int, str, tuple[str, ...]]]:
    last: list[object] = [0, None]  # the level, and what is taken: they come before the import
    for it in dis.get_instructions(code):
        if it.opname == "IMPORT_NAME":
            level, taken = last
            yield int(str(level)), str(it.argval), tuple(taken) if isinstance(taken, tuple) else ()
        last = [last[1], it.argval]


def _start(instruction: dis.Instruction) -> object:
    """Return where in the source the expression of an instruction begins; an object of its own if nobody knows."""
    position = instruction.positions
    if position is None or position.lineno is None or position.col_offset is None:
        return object()
    return position.lineno, position.col_offset
