"""What nobody could read again is no answer: it is refused before it is written."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tagent import TAgentError, approvals, approve, reject, resume, run_pipeline
from tagent.exceptions import ConfigurationError
from tagent.payloads import PayloadError
from tagent.pipeline import Pipeline

REFUNDS = Pipeline("refunds").step("refund", run=lambda: "paid", approval=True)


@pytest.fixture
def store(tmp_path: Path) -> dict[str, object]:
    return {"store": f"file:///{tmp_path / 'runs'}"}


@pytest.mark.parametrize(
    "said", [{"comment": 3}, {"comment": ["why"]}, {"actor": 3}, {"comment": "\ud800"}, {"actor": "\ud800"}], ids=str
)
def test_what_could_not_be_read_again_is_refused(store: dict[str, object], said: Mapping[str, Any]) -> None:
    """It would be called an answer, and the run would never hear of it."""
    waiting = run_pipeline(REFUNDS, store)
    for answer in (approve, reject):
        with pytest.raises(PayloadError, match=r"The answer about the step 'refund' cannot be kept: "):
            answer(waiting.run_id, "refund", store, **said)
    assert [asked.step for asked in approvals(waiting.run_id, store)] == ["refund"]
    approve(waiting.run_id, "refund", store)
    assert resume(waiting.run_id, REFUNDS, store).final_output == "paid"


def test_no_comment_is_an_empty_one(store: dict[str, object]) -> None:
    """`None` is what people write for nothing; the answer counts, and no second one does."""
    waiting = run_pipeline(REFUNDS, store)
    said = approve(waiting.run_id, "refund", store, comment=None, actor=None)  # type: ignore[arg-type]  # on purpose
    assert (said.comment, said.actor != "") == ("", True)
    assert approvals(waiting.run_id, store) == ()
    assert resume(waiting.run_id, REFUNDS, store).final_output == "paid"


@pytest.mark.parametrize("name", [None, 3, ["refund"], b"refund"], ids=str)
def test_a_run_and_a_step_are_named_by_texts(store: dict[str, object], name: object) -> None:
    """Whoever mistakes an argument is told which."""
    waiting = run_pipeline(REFUNDS, store)
    with pytest.raises(ConfigurationError, match=r"The step of an answer is named by a text, and not by "):
        approve(waiting.run_id, name, store)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(ConfigurationError, match=r"The run of an answer is named by a text, and not by "):
        reject(name, "refund", store)  # type: ignore[arg-type]  # on purpose


def test_a_name_that_can_be_kept_nowhere_is_an_error_of_ours(store: dict[str, object]) -> None:
    """Nobody has to catch what a library raises."""
    waiting = run_pipeline(REFUNDS, store)
    for run_id, step in ((waiting.run_id, "\ud800"), ("\ud800", "refund")):
        with pytest.raises(TAgentError):
            approve(run_id, step, store)
