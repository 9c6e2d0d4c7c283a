"""Checks of what is installed: Python, tagent, and its optional parts."""

import platform
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, requires, version

from tagent import __version__
from tagent.cli.doctor.findings import Finding, Outcome

OLDEST_PYTHON = (3, 11)

EXTRAS = {
    "pipeline": "pipelines",
    "persistence": "stores in SQLite, PostgreSQL and Redis",
    "local": "embedded model",
    "mcp": "tools of MCP servers",
}
"""Extra -> what there is none of without it."""

_OF_EXTRA = re.compile(r"""(?P<package>[\w.-]+).*;\s*extra\s*==\s*["'](?P<extra>[\w-]+)["']""")


def python_version() -> Finding:
    """Return whether this Python is one that tagent is made for."""
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Finding("python", found)
    oldest = ".".join(map(str, OLDEST_PYTHON))
    return Finding("python", found, Outcome.FAILED, f"Install Python {oldest} or newer.")


def tagent_version() -> Finding:
    """Return which tagent this is."""
    return Finding("tagent", __version__)


def extras() -> Finding:
    """Return which optional parts are there; one that is missing is nobody's fault."""
    missing = [extra for extra in EXTRAS if not all(map(_is_installed, packages_of(extra)))]
    there = ", ".join(extra for extra in EXTRAS if extra not in missing) or "none"
    if not missing:
        return Finding("extras", there)
    without = "; ".join(f"without {extra}: no {EXTRAS[extra]}" for extra in missing)
    return Finding("extras", f"{there}; {without}", Outcome.WARNING, f"pip install 'tagent[{','.join(missing)}]'")


def packages_of(extra: str) -> Sequence[str]:
    """Return the names of the packages that an extra of tagent installs."""
    matches = map(_OF_EXTRA.match, requires("tagent") or ())
    return [match["package"] for match in matches if match and match["extra"] == extra]


def _is_installed(package: str) -> bool:
    try:
        version(package)
    except PackageNotFoundError:
        return False
    return True


INSTALLATION_CHECKS: tuple[Callable[[], Finding], ...] = (python_version, tagent_version, extras)
