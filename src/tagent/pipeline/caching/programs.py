"""Whether code is the user's program, which he changes, or a library's, which stays as it is while it is installed."""

import sys
import sysconfig
from contextlib import suppress
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

_OURS = "tagent"


@lru_cache(maxsize=1)
def _library_folders() -> tuple[str, ...]:
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    folders = {sysconfig.get_path(name) for name in names}
    return tuple(sorted({str(Path(folder).resolve()) for folder in folders if folder}))


@lru_cache(maxsize=4096)
def is_program(module: str) -> bool:
    """Return whether the module of this name is the user's own, not Python's, ours or that of something installed.

    Example:
        >>> is_program("json"), is_program("pydantic"), is_program("tagent.pipeline")
        (False, False, False)
    """
    top = module.partition(".")[0]
    if top == _OURS or top in sys.builtin_module_names or top in sys.stdlib_module_names - {"__main__"}:
        return False
    loaded = sys.modules.get(module) or sys.modules.get(top)
    file = getattr(loaded, "__file__", None)
    if loaded is None:
        with suppress(ImportError, ValueError):
            file = getattr(find_spec(top), "origin", None)
    if file is None:  # typed in, or made by code
        return True
    return not str(Path(file).resolve()).startswith(_library_folders())
