"""Installs the systems to measure beside, each into a virtual environment of its own under `venvs/`.

Versions are pinned: figures are only worth comparing when both sides are known.
"""

import argparse
import subprocess
import sys
import venv
from pathlib import Path

VENVS = Path(__file__).parent / "venvs"
REQUIREMENTS = {
    "agno": ("agno==3.1.10",),
    "burr": ("apache-burr[tracking-client]==0.43.0", "aiosqlite==0.22.1"),
    "dbos": ("dbos==3.4.0",),
    "langgraph": ("langgraph==1.2.24", "langgraph-checkpoint-sqlite==3.1.2"),
    "pydantic_graph": ("pydantic-graph==2.68.0",),
    "tagent_old": ("tagent==0.7.1",),
}
"""Peer -> what pip is to install. The floor needs nothing and is not here."""


def install(peer: str) -> bool:
    """Make the environment of `peer`, over an older one, and return whether that went well."""
    home = VENVS / peer
    venv.EnvBuilder(clear=True, with_pip=True).create(home)
    pip = [str(home / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    is_installed = subprocess.run([*pip, *REQUIREMENTS[peer]], check=False).returncode == 0
    print(f"{peer}: {'installed' if is_installed else 'could not be installed'}", flush=True)
    return is_installed


def main() -> int:
    """Install the peers named on the command line, or all; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("peers", nargs="*", metavar="PEER", help=f"of {', '.join(REQUIREMENTS)}; all by default")
    peers = parser.parse_args().peers or list(REQUIREMENTS)
    if unknown := sorted(set(peers) - set(REQUIREMENTS)):
        parser.error(f"unknown: {', '.join(unknown)}")
    failed = [peer for peer in peers if not install(peer)]
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
