"""The example of outputs that are used again, as a reader starts it."""

import subprocess
import sys
from pathlib import Path

from commands import environment

EXAMPLE = Path(__file__).parents[2] / "examples" / "reuse.py"


def test_the_second_run_works_on_what_is_new(tmp_path: Path) -> None:
    """Examples are copied: this one must run, and show a hit."""
    ran = subprocess.run(
        [sys.executable, str(EXAMPLE)], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True
    )
    assert ran.stdout.count("works on") == 3
    assert "(0 of 2 from the cache)" in ran.stdout
    assert "The tower; Seven hills; The tram  (2 of 3 from the cache)" in ran.stdout
