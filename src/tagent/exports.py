"""Public names that are loaded when they are first used, so that importing their package costs almost nothing."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def loaded_late(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], object], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package (PEP 562).

    Args:
        package: Its name.
        homes: Public name -> the module that it is defined in.
    """

    def load(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = getattr(import_module(homes[name]), name)
        setattr(sys.modules[package], name, found)  # the next time nobody asks here
        return found

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *sys.modules[package].__all__})

    return load, names
