"""The command line as a process, without anybody's keys."""

import os
import subprocess
import sys
from pathlib import Path

TAGENT = [sys.executable, "-c", "from tagent.cli.main import main; main()"]


def environment(extra: dict[str, str] | None = None) -> dict[str, str]:
    """Return this process's environment without keys and settings, with `extra`."""
    kept = {n: v for n, v in os.environ.items() if not n.endswith("_API_KEY") and not n.startswith("TAGENT_")}
    return kept | {"PYTHONIOENCODING": "utf-8"} | (extra or {})


def tagent(*arguments: str, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*TAGENT, *arguments], cwd=cwd, env=environment(env), capture_output=True, text=True, check=False, timeout=120
    )


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start a command whose output nobody reads yet."""
    return subprocess.Popen(
        [*TAGENT, *arguments], cwd=cwd, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
