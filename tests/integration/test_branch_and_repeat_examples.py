"""The examples of branches and rounds, as a reader starts them."""

from pathlib import Path

import pytest

from builders import run
from commands import tagent
from tagent.pipeline.stored.loading import load_pipeline

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize(
    ("text", "reply", "left_out"),
    [
        ("Please give me my 20 euros back.", "Hello, we have paid 20.00 euros back.", 4),
        ("I want 900 euros back", "Hello, somebody looks at your 900.00 euros.", 4),
        ("It crashes when I print", "Hello, we have written it down (i print).", 4),
        ("I like it", "Hello, thank you.", 5),
    ],
)
async def test_a_mail_goes_the_way_of_its_kind(text: str, reply: str, left_out: int) -> None:
    """Whichever way it goes, there is one reply, and nothing of another way was done."""
    ran = await run(load_pipeline(EXAMPLES / "support_desk.py"), inputs={"text": text})
    assert (ran.result.final_output, ran.result.success) == (reply, True)
    assert [it["code"] for it in ran.result.step_metadata.values()].count("branch_not_taken") == left_out


async def test_a_text_is_shortened_until_it_fits() -> None:
    """No round more than is needed."""
    ran = await run(load_pipeline(EXAMPLES / "shorten.py"))
    assert ran.result.final_output == "It is a way of saying that tea is good."
    assert len(ran.result.step_metadata["shorten"]["parts"]) == 8


async def test_a_text_that_does_not_get_short_enough_is_not_published() -> None:
    """The step fails when its rounds are used up."""
    ran = await run(load_pipeline(EXAMPLES / "shorten.py"), inputs={"longest": 10})
    assert ran.result.step_metadata["shorten"]["code"] == "step.not_reached"
    assert "publish" not in ran.result.step_outputs


def test_the_command_line_runs_both(tmp_path: Path) -> None:
    """That is what stands on top of the files."""
    for example, said in (("support_desk.py", "we have paid 20.00 euros back"), ("shorten.py", "tea is good.")):
        done = tagent("run", str(EXAMPLES / example), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
