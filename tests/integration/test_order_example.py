"""The example of flow control, as a reader starts it: what runs, what is left out, what is undone."""

import asyncio
from pathlib import Path

import pytest

from builders import services
from commands import tagent
from tagent.adapters.clock import SystemClock
from tagent.pipeline import PipelineExecutor, PipelineResult
from tagent.pipeline.stored.loading import load_pipeline
from tagent.ports.services import Services
from tagent.testing import ScriptedModel

EXAMPLE = Path(__file__).parents[2] / "examples" / "order.py"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the file of rates be missing."""
    monkeypatch.chdir(tmp_path)


def ordered(opened: Services | None = None, **inputs: object) -> PipelineResult:
    """Return what becomes of an order; the goods are those of the store that is opened."""
    executor = PipelineExecutor(
        load_pipeline(EXAMPLE), inputs=inputs, services=opened or services(clock=SystemClock(), model=ScriptedModel([]))
    )
    return asyncio.run(executor.execute())


def told(result: PipelineResult) -> dict[str, str]:
    """Return where each step ended, with the code of why."""
    return {name: f"{it['status']} {it['code']}".strip() for name, it in result.step_metadata.items()}


def test_at_home_an_order_needs_neither_a_form_nor_a_rate() -> None:
    """What is not wanted is left out, and the parcel goes all the same, without what the shop does not have."""
    result = ordered()
    assert result.success
    assert result.final_output.splitlines()[:2] == ["1 x teapot", "6 x cup"]
    assert told(result) == {
        "offers": "completed",
        "rate": "skipped condition_false",
        "usual_rate": "skipped not_needed",
        "customs": "skipped condition_false",
        "reserve": "completed",
        "charge": "completed",
        "note": "skipped disabled",
        "pack": "completed",
    }
    assert result.step_metadata["offers"]["parts"]["2"]["status"] == "failed"


def test_abroad_it_needs_both_and_a_missing_rate_has_a_substitute() -> None:
    """The file of rates is not there, and the order does not fail for it."""
    result = ordered(country="CH")
    assert result.success
    assert result.step_metadata["rate"]["substituted_by"] == "usual_rate"
    assert result.final_output.splitlines()[2].startswith("44.65 paid")
    assert "customs" in result.step_outputs


def test_the_rate_of_the_file_is_taken_where_there_is_one() -> None:
    """A substitute is for failures only."""
    Path("rates.json").write_text('{"CH": 2}', encoding="utf-8")
    result = ordered(country="CH")
    assert result.final_output.splitlines()[2].startswith("94.00 paid")
    assert told(result)["usual_rate"] == "skipped not_needed"


def test_when_the_card_is_refused_the_goods_can_be_ordered_by_somebody_else() -> None:
    """There are twenty: two orders of twenty in a row work only if the first has given them back."""
    opened = services(clock=SystemClock(), model=ScriptedModel([]))
    basket = [{"article": "cup", "count": 20}]
    refused = ordered(opened, basket=basket, card_limit=1)
    assert (refused.status, refused.code) == ("failed", "run.rollback")
    assert told(refused)["reserve"] == "compensated"
    assert ordered(opened, basket=basket).success
    sold_out = ordered(opened, basket=basket)
    assert "only 0 x cup left" in sold_out.step_metadata["reserve"]["reason"]


def test_a_note_is_written_by_a_model_and_nobody_minds_if_it_is_not() -> None:
    """It is optional."""
    model = ScriptedModel(["Thank you, and enjoy your tea!"])
    assert ordered(services(clock=SystemClock(), model=model), with_note=True).final_output.endswith("enjoy your tea!")
    silent = ordered(with_note=True)
    assert silent.success
    assert told(silent)["note"].startswith("failed")


def test_it_runs_on_the_command_line_as_its_docstring_says(tmp_path: Path) -> None:
    """A reader copies the lines; a refused card ends with the reason and what was undone."""
    ran = tagent("run", str(EXAMPLE), "--store", "memory://", cwd=tmp_path)
    assert (ran.returncode, ran.stdout.splitlines()[:2]) == (0, ["1 x teapot", "6 x cup"])
    refused = tagent("run", str(EXAMPLE), "--input", "card_limit=10", "--store", "memory://", cwd=tmp_path)
    assert refused.returncode == 1
    assert "'reserve' was undone" in refused.stderr
    assert "CardRefusedError" in refused.stderr
