"""Runs a Python file that a user names, as importing it would, and says where it goes wrong.

Nothing else of tagent runs files of users.
"""

import hashlib
import re
import sys
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from tagent.exceptions import text_of

FILE_PREFIX = "tagent_file_"
"""What the name of a module begins with that was run from a file."""


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """Why a file did not run.

    Attributes:
        reason: What it raised, without a full stop; names another file when the mistake is there.
        line: The line of the file that led to it; None when no line did.
        cause: What it raised; None when there is no such Python file.
    """

    reason: str
    line: int | None = None
    cause: BaseException | None = None

    @property
    def told(self) -> str:
        """The reason with the line."""
        return self.reason if self.line is None else f"{self.reason} (line {self.line})"


def run_file(file: Path) -> ModuleType | LoadFailure:
    """Return the module that `file` makes, or why there is none. Its folder can be imported from afterwards.

    Two files of one name are two modules. A file that is run again makes its module anew.

    Args:
        file: A Python file; dots in its name do no harm.
    """
    if not file.is_file():
        return LoadFailure("there is no such file")
    digest = hashlib.sha256(str(file.resolve()).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    stem = re.sub(r"\W", "_", file.stem)  # what stands before a dot would be taken for a package
    spec = spec_from_file_location(f"{FILE_PREFIX}{stem}_{digest}", file)
    if spec is None or spec.loader is None:
        return LoadFailure("it is no Python file")
    module = module_from_spec(spec)
    sys.modules[spec.name] = module  # its classes look their annotations up there
    folder = str(file.resolve().parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - what a user's file raises is told, not raised
        sys.modules.pop(spec.name, None)
        return failure_of(error, file)
    return module


def failure_of(error: BaseException, file: Path) -> LoadFailure:
    """Return what code of `file` raised, with the last of its lines that led to it."""
    here = [frame.lineno for frame in extract_tb(error.__traceback__) if _is_same(frame.filename, file)]
    line = here[-1] if here else None
    if not isinstance(error, SyntaxError):
        return LoadFailure(f"{type(error).__name__}: {text_of(error)}".rstrip(": "), line, error)
    if error.filename is None or _is_same(error.filename, file):
        return LoadFailure(f"SyntaxError: {error.msg}", error.lineno, error)
    return LoadFailure(f"SyntaxError: {error.msg} in {error.filename}, line {error.lineno}", line, error)


def _is_same(filename: str, file: Path) -> bool:
    return Path(filename).resolve() == file.resolve()
