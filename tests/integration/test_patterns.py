"""The four communication patterns, as a reader starts them: one command each."""

import subprocess
import sys
from pathlib import Path

import pytest

from commands import environment, tagent

PATTERNS = Path(__file__).parents[2] / "examples" / "patterns"

SAYS = {
    "sequential": ["words -> counts -> report", "'row': it is there 3 times."],
    "parallel": ["Tomorrow there is rain in Porto.", "they were asked at the same time."],
    "cross_pipeline": [
        "answered pipeline:shop, packed 2 x teapot",
        "ordered 2 x teapot, they come with parcel P-2",
    ],
    "broadcast": [
        "shop: told everybody of order 7",
        "audit: order 7 is in the books, run waited for the event",
        "billing: invoice for order 7, run started by the event",
        "shipping: teapot is packed, run started by the event",
    ],
}
"""Example -> what must be in its output, in this order."""


@pytest.mark.parametrize("name", SAYS)
def test_a_pattern_shows_what_it_is_about(name: str, tmp_path: Path) -> None:
    """Examples are copied: they must run, and say what happened."""
    ran = subprocess.run(
        [sys.executable, str(PATTERNS / f"{name}.py")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    places = [ran.stdout.find(text) for text in SAYS[name]]
    assert -1 not in places, ran.stdout
    assert places == sorted(places), ran.stdout
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_a_pattern_in_one_process_is_a_file_for_the_command_line_too(tmp_path: Path) -> None:
    """As its docstring says."""
    ran = tagent("run", str(PATTERNS / "parallel.py"), "--input", "city=Lisbon", "--store", "memory://", cwd=tmp_path)
    assert (ran.returncode, ran.stdout.strip()) == (0, "Tomorrow there is sun in Lisbon. Take the train at 09:00.")
