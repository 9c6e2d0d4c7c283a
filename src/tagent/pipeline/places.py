"""Where an exception comes from, for those who wrote the code: in their own file, not in a library that they call."""

import traceback
from pathlib import Path
from typing import Final

_STANDARD: Final = Path(traceback.__file__).parent
_OURS: Final = Path(__file__).parent.parent
_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


def place_of(error: BaseException) -> str:
    """Return `file, line N` of the innermost line of the user's code; of any code where none is the user's.

    The standard library, installed packages and this one are not. Without a traceback it is empty.

    Example:
        >>> place_of(ValueError("nowhere"))
        ''
    """
    places = [(frame.f_code.co_filename, line) for frame, line in traceback.walk_tb(error.__traceback__)]
    if not places:
        return ""
    file, line = next((place for place in reversed(places) if not _is_of_a_library(place[0])), places[-1])
    return f"{Path(file).name}, line {line}"


def _is_of_a_library(file: str) -> bool:
    path = Path(file)
    if file.startswith("<frozen ") or not _INSTALLED.isdisjoint(path.parts):
        return True
    return path.is_relative_to(_STANDARD) or path.is_relative_to(_OURS)
