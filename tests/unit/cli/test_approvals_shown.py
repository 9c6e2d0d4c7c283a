"""What `runs show`, `list`, `approvals` and `resume` say of questions and answers, and runs named by a beginning."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import click
import pytest
from click.testing import CliRunner, Result

from builders import CONCURRENT, returning
from tagent import approve, run_pipeline
from tagent.cli.runs.answering import approve_command
from tagent.cli.runs.asking import approvals_command
from tagent.cli.runs.cancelling import cancel_command
from tagent.cli.runs.comparing import diff_command
from tagent.cli.runs.listing import list_command
from tagent.cli.runs.resuming import go_on, resume_command
from tagent.cli.runs.showing import show_command
from tagent.cli.tables import columns_of, cut
from tagent.pipeline import Approval, Pipeline
from tagent.pipeline.answering.errors import ApprovalAnsweredError
from tagent.pipeline.stored.origins import NoPipelineError
from tagent.ports.store_errors import UnknownRunError

LETTER = "Dear Sir,\n" + "so long " * 40

OLD = """
from tagent.pipeline import Pipeline

pipeline = Pipeline("grown").step("one", run=lambda: 1).step("two", run=lambda: 2, approval=True)
"""

NEW = """
pipeline.step("new", run=lambda: 3, approval=True)
"""


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"file:///{tmp_path}/runs"


def said(command: click.Command, *arguments: str, store: str) -> Result:
    """Call a command and return what it said; whatever it raises is raised."""
    return CliRunner().invoke(command, [*arguments, "--store", store], standalone_mode=False, catch_exceptions=False)


def asking(store: str) -> str:
    """Return a run that waits for two approvals, of a start and of a long output."""
    pipeline = Pipeline("claim").step("letter", run=returning(LETTER), approval="output", execution_mode=CONCURRENT)
    pay = Approval(question="Pay it?", timeout=3600)
    pipeline.step("pay", run=returning(2), approval=pay, execution_mode=CONCURRENT)
    return run_pipeline(pipeline, {"store": store}).run_id


def test_a_reviewer_reads_all_of_an_output_before_it_is_approved(store: str) -> None:
    """He could not in the one line that asks him; and that line names the command."""
    run_id = asking(store)
    shown = said(show_command, run_id, store=store).stdout
    assert f"tagent runs show {run_id} --step STEP --store {store}" in shown
    assert f"tagent runs approve {run_id} STEP --output @FILE --pipeline PIPELINE.py --store {store}" in shown
    read = said(show_command, run_id, "--step", "letter", store=store)
    assert (read.stdout, read.stderr) == (f"{LETTER}\n", "It is not approved yet.\n")
    nothing = said(show_command, run_id, "--step", "pay", store=store)
    assert (nothing.stdout, nothing.stderr) == ("", "The step 'pay' has given nothing yet.\n")


def test_an_answer_is_shown_before_the_run_has_taken_it_up(store: str) -> None:
    """Else everybody is asked again, and nobody knows that the run only has to be resumed."""
    run_id = asking(store)
    approve(run_id, "pay", {"store": store}, actor="ana@desk", comment="Fine.")
    shown = said(show_command, run_id, store=store).stdout
    assert "It waits for an approval:\n  letter: " in shown
    assert f"runs approve {run_id} pay" not in shown
    assert "- 'pay' waits" not in shown
    assert "pay: approved by ana@desk: Fine. (at 20" in shown
    assert (
        f"Go on with it: tagent runs resume {run_id} PIPELINE.py --store {store}\nOr by: tagent worker PIPELINE.py"
        in shown
    )
    told = json.loads(said(show_command, run_id, "--json", store=store).stdout)
    assert (list(told["approvals"]), told["answered"]["pay"]["actor"]) == (["letter"], "ana@desk")
    (row,) = said(list_command, store=store).stdout.splitlines()[1:]
    assert "letter since 20" in row
    assert "; pay approved by ana@desk: Fine. (at 20" in row
    assert row.endswith("; resume the run")


def test_whoever_answers_late_is_told_who_goes_on(store: str) -> None:
    """The run still waits, although it has its answer."""
    run_id = asking(store)
    said(approve_command, run_id, "pay", store=store)
    with pytest.raises(ApprovalAnsweredError) as caught:
        said(approve_command, run_id, "pay", store=store)
    command = f"tagent runs resume {run_id} PIPELINE.py --store {store}"
    assert caught.value.hint.startswith(f"Nobody drives the run. Go on with it: {command}\nOr by: tagent worker")
    assert caught.value.goes_on is not None


def test_a_list_says_until_when_somebody_may_answer(store: str) -> None:
    """In a time that is as short as a time can be."""
    run_id = run_pipeline(
        Pipeline("p").step("pay", run=returning(1), approval=Approval(timeout=60)), {"store": store}
    ).run_id
    (row,) = said(list_command, store=store).stdout.splitlines()[1:]
    assert row.endswith("Z, then rejected: May it start?")
    assert "pay since 20" in row
    assert "+00:00" not in row
    (asked,) = said(approvals_command, store=store).stdout.splitlines()[1:]
    assert asked.startswith(f"{run_id}  pay   May it start?  20")
    assert "+00:00" not in asked


def test_a_run_that_goes_on_is_shown_as_it_is_now_with_what_it_asks(store: str) -> None:
    """Its newest event may be long ago, and its question is asked although the rest goes on."""
    is_over = Event()
    pipeline = Pipeline("p").step("slow", run=lambda: is_over.wait(60), execution_mode=CONCURRENT)
    pipeline.step("pay", run=returning(1), approval=True, execution_mode=CONCURRENT)
    with ThreadPoolExecutor() as pool:
        running = pool.submit(run_pipeline, pipeline, {"store": store})
        try:
            while not (asked := json.loads(said(approvals_command, "--json", store=store).stdout)):
                assert not running.done()
            (row,) = said(list_command, store=store).stdout.splitlines()[1:]
            assert "pay since" in row
            shown = [seconds_of(said(show_command, str(asked[0]["run_id"]), store=store).stdout) for _ in range(2)]
            while shown[-1] == shown[0]:
                shown.append(seconds_of(said(show_command, str(asked[0]["run_id"]), store=store).stdout))
        finally:
            is_over.set()
    assert shown[-1] > shown[0]


def seconds_of(shown: str) -> float:
    """Return how long the step `slow` has run, as it is shown."""
    (row,) = [line for line in shown.splitlines() if line.startswith("● slow")]
    return float(row.split()[2].rstrip("s"))


@pytest.mark.parametrize("url", ["file:///{}/runs", "sqlite:///{}/runs.db"])
def test_a_run_is_named_by_the_beginning_of_its_id(tmp_path: Path, url: str) -> None:
    """Four letters are typed faster than sixteen."""
    store = url.format(tmp_path)
    run_id = run_pipeline(Pipeline("p").step("a", run=returning(1)), {"store": store}).run_id
    other = run_pipeline(Pipeline("p").step("a", run=returning(1)), {"store": store}).run_id
    assert said(show_command, run_id[:8], "--step", "a", store=store).stdout == "1\n"
    assert run_id in said(diff_command, run_id[:8], other[:8], "--json", store=store).stdout
    with pytest.raises(NoPipelineError, match=f"of run {run_id} has no file"):
        said(resume_command, run_id[:8], store=store)
    with pytest.raises(UnknownRunError) as caught:
        said(show_command, run_id[:3], store=store)
    assert caught.value.hint == f"Of an id, 4 characters or more do. It was looked for in {store}."


def test_a_beginning_of_several_ids_names_none_of_them(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Least of all for a command that ends a run."""
    for run_id in ("3f2a" + "0" * 12, "3f2a" + "1" * 12):
        monkeypatch.setattr("tagent.runtime.secrets.token_hex", lambda _, made=run_id: made)
        run_pipeline(Pipeline("p").step("a", run=returning(1), approval=True), {"store": store})
    with pytest.raises(click.BadParameter) as caught:
        said(cancel_command, "3f2a", store=store)
    assert caught.value.message.startswith("2 runs have an id that begins with '3f2a': write more of it.\n")
    assert "3f2a000000000000  waiting" in caught.value.message
    assert "3f2a111111111111  waiting" in caught.value.message
    assert "1 run cancelled" in said(cancel_command, "3f2a1", store=store).stdout


def test_an_unknown_run_names_the_store_without_its_password(store: str) -> None:
    """Most often it is another store than somebody thinks."""
    with pytest.raises(UnknownRunError) as caught:
        said(show_command, "f" * 16, store=store)
    assert caught.value.hint == f"It was looked for in {store}."
    refused = said(cancel_command, "f" * 16, "--json", store=store).stdout
    assert json.loads(refused)["refused"][0]["hint"] == f"It was looked for in {store}."


def test_a_resume_with_the_code_of_today_shows_its_new_steps(
    tmp_path: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says how to answer what they ask."""
    file = tmp_path / "grown.py"
    file.write_text(OLD)
    run_id = begun(file, store, capsys)
    file.write_text(OLD + NEW)
    approve(run_id, "two", {"store": store})
    assert go_on(run_id, definition="current", store=store) == 3
    told = capsys.readouterr().err
    assert "failed" not in told
    assert "? new" in told
    assert f"tagent runs approve {run_id} new" in told
    assert "Goes on" not in told  # nothing was cut off
    file.unlink()
    with pytest.raises(Exception, match="is not there any more. Put it back"):
        go_on(run_id, definition="current", store=store)


def begun(file: Path, store: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return a run of a file, as the command line begins one."""
    from tagent.cli.run import run

    CliRunner().invoke(run, [str(file), "--store", store], standalone_mode=False, catch_exceptions=False)
    capsys.readouterr()
    (line,) = json.loads(said(list_command, "--json", store=store).stdout)
    return str(line["run_id"])


@pytest.mark.parametrize(
    ("line", "kept"), [("completed", "compl…"), ("done", "done"), ("报告报告", "报告…"), ("报告a", "报告a")]
)
def test_a_line_is_cut_where_the_terminal_ends(line: str, kept: str) -> None:
    """A letter that takes two columns is not cut through."""
    assert (cut(line, 6), columns_of(kept) <= 6) == (kept, True)


def test_a_table_is_cut_on_a_terminal_only(
    store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who pipes it wants all of it; on a screen columns that wrap cannot be read."""
    asking(store)
    command: Callable[..., None] = approvals_command.callback  # type: ignore[assignment]  # a command has one
    command(run_id=None, store=store, as_json=False)
    assert max(map(len, capsys.readouterr().out.splitlines())) > 80
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "80")
    command(run_id=None, store=store, as_json=False)
    assert {len(line) for line in capsys.readouterr().out.splitlines()} == {80}
