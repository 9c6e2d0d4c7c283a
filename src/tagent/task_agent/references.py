"""References between an agent's tasks: `{{tasks.0.output.field}}` -> a value.

The references are also the task graph: a task starts as soon as the tasks it names have completed.
(Sources: ReWOO, Xu et al. 2023, plans with variables; LLMCompiler, Kim et al. 2024, their parallel form.)
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from tagent.exceptions import DataPathError
from tagent.paths import PATH_PATTERN, DataPath

_REFERENCE = re.compile(r"(?<!\\)\{\{\s*(" + PATH_PATTERN + r")\s*\}\}")
_BRACES = "\\{{"
"""Stands for braces that are no reference."""

_REFERENCE_OR_BRACES = re.compile(f"{re.escape(_BRACES)}|{_REFERENCE.pattern}")


def referenced_tasks(arguments: object) -> frozenset[int]:
    """Return the indexes of the tasks that `arguments` refer to, at any depth.

    Raises:
        DataPathError: If a reference is not of the form `tasks.N.output...`.

    Example:
        >>> sorted(referenced_tasks({"url": "{{tasks.0.output[0].url}}", "n": ["{{ tasks.2.output }}"]}))
        [0, 2]
    """
    return frozenset(index for index, _ in references_in(arguments))


def resolve(arguments: object, outputs: Mapping[int, object]) -> object:
    """Return `arguments` with every reference replaced by what it leads to.

    A string that is one whole reference becomes the value, with its type. Inside a longer string,
    text is inserted as it is and everything else as JSON. Braces behind a backslash stay braces.

    Args:
        arguments: JSON values.
        outputs: Task index -> its output.

    Raises:
        DataPathError: If a reference leads nowhere.

    Example:
        >>> resolve({"n": "{{tasks.0.output.n}}", "say": "n is {{tasks.0.output.n}}"}, {0: {"n": 2}})
        {'n': 2, 'say': 'n is 2'}
    """
    match arguments:
        case str():
            return _resolve_text(arguments, outputs)
        case Mapping():
            return {key: resolve(value, outputs) for key, value in arguments.items()}
        case Sequence() if not isinstance(arguments, bytes):
            return [resolve(value, outputs) for value in arguments]
        case _:
            return arguments


def references_in(arguments: object) -> Iterator[tuple[int, tuple[str | int, ...]]]:
    """Yield every reference in `arguments`: a task's index, and the path below its output.

    Raises:
        DataPathError: If one is not of the form `tasks.N.output...`.

    Example:
        >>> list(references_in({"url": "{{tasks.0.output[0].url}}"}))
        [(0, (0, 'url'))]
    """
    for path in _paths_in(arguments):
        yield _task_index(path), path.parts[2:]


def whole_reference(value: object) -> tuple[int, tuple[str | int, ...]] | None:
    """Return the reference that a string consists of; None for any other value.

    Raises:
        DataPathError: If it is not of the form `tasks.N.output...`.
    """
    if not isinstance(value, str) or not (whole := _REFERENCE.fullmatch(value.strip())):
        return None
    path = DataPath.parse(whole[1])
    return _task_index(path), path.parts[2:]


def look_up(index: int, path: tuple[str | int, ...], output: object) -> object:
    """Return what lies under `path` in the output of the task `index`.

    Raises:
        DataPathError: If nothing does.
    """
    name = f"tasks.{index}.output"
    return DataPath(name, path).look_up({name: output})


def _resolve_text(text: str, outputs: Mapping[int, object]) -> object:
    if (whole := whole_reference(text)) is not None:
        return _value(*whole, outputs)

    def inserted(match: re.Match[str]) -> str:
        if match[0] == _BRACES:
            return _BRACES[1:]
        path = DataPath.parse(match[1])
        value = _value(_task_index(path), path.parts[2:], outputs)
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)

    return _REFERENCE_OR_BRACES.sub(inserted, text)


def _value(index: int, path: tuple[str | int, ...], outputs: Mapping[int, object]) -> object:
    if index not in outputs:
        raise DataPathError(f"tasks.{index}.output", f"Task {index} has no output, so nothing can refer to it.")
    return look_up(index, path, outputs[index])


def _task_index(path: DataPath) -> int:
    match path:
        case DataPath("tasks", (int(index) | str(index), "output", *_)) if str(index).isdecimal():
            return int(index)
    raise DataPathError(
        str(path),
        f"{str(path)!r} is no reference. Write {{{{tasks.N.output}}}} or a path below it, "
        "or \\{{ for braces that are to stay.",
    )


def _paths_in(arguments: object) -> Iterator[DataPath]:
    match arguments:
        case str():
            yield from (DataPath.parse(match[1]) for match in _REFERENCE.finditer(arguments))
        case Mapping():
            for value in arguments.values():
                yield from _paths_in(value)
        case Sequence() if not isinstance(arguments, bytes):
            for value in arguments:
                yield from _paths_in(value)
        case _:
            return
