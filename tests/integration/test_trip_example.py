"""The example of a pipeline inside another one, as a reader starts it."""

from pathlib import Path

from commands import tagent

EXAMPLE = str(Path(__file__).parents[2] / "examples" / "trip.py")


def test_the_example_books_each_stay(tmp_path: Path) -> None:
    """It runs without a key, in an empty folder, and shows what happens inside."""
    ran = tagent("run", EXAMPLE, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "Lisbon (LIS-2), Porto (POR-2): 320.00 EUR" in ran.stdout


def test_the_example_says_where_it_failed(tmp_path: Path) -> None:
    """The reason names the step inside."""
    ran = tagent("run", EXAMPLE, "--input", "nights=0", cwd=tmp_path)
    assert ran.returncode != 0
    assert "its step 'room' failed" in ran.stderr + ran.stdout
