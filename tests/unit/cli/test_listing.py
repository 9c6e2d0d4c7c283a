"""What lists show, and how."""

from builders import chain
from tagent.cli.labels import labels_of
from tagent.cli.runs.options import FINISHED, INTERRUPTED, STATUSES, run_table
from tagent.cli.tables import columns_of, table_lines
from tagent.pipeline import ExecutionGraph, PipelineState, RunStatus


def test_lists_know_every_status_by_heart() -> None:
    """They do not import the pipeline, which takes long."""
    assert set(STATUSES) == {*RunStatus, INTERRUPTED}
    graph = ExecutionGraph.build(chain("a"))
    assert set(FINISHED) == {status for status in RunStatus if PipelineState(graph, status=status).is_finished}


def test_columns_stand_below_each_other_in_any_script() -> None:
    """A Chinese letter is two columns wide, and an accent may be a letter without any."""
    lines = list(table_lines(["run", "pipeline", "cost"], [["a", "报告", "1"], ["b", "e\u0301te", "2"]]))
    assert [columns_of(line[: line.rindex(last)]) for line, last in zip(lines, ["cost", "1", "2"], strict=True)] == [
        15
    ] * 3


def test_nothing_in_a_table_steers_the_terminal() -> None:
    """The name of a pipeline comes from a file that somebody else may have written."""
    assert list(table_lines(["run"], [["\x1b[2Jgone\nfor good"]])) == ["run", "\\x1b[2Jgone for good"]


def test_forks_and_labels_have_a_column_only_where_there_are_any() -> None:
    """Most people have neither."""
    run = {"run_id": "r", "status": "completed", "pipeline": "p", "created_at": "now", "cost_usd": 0.5}
    plain = run_table([run | {"parent": None, "labels": {}}])
    assert plain == ["run  status     pipeline  started  cost", "r    completed  p         now      $0.5000"]
    forked = run_table([run | {"parent": "q", "labels": {"team": "blue", "age": "3"}}])
    assert forked[0].endswith("cost     forked from  labels")
    assert forked[1].endswith("$0.5000  q            age=3 team=blue")


def test_the_cost_of_a_run_that_has_not_ended_is_open() -> None:
    """Lists know what it had cost when it began; a killed one would look as if it had cost nothing."""
    run = {"run_id": "r", "pipeline": "p", "created_at": "now", "cost_usd": 0.03, "parent": None, "labels": {}}
    shown = {status: run_table([run | {"status": status}])[1].rsplit("  ", 1)[1] for status in STATUSES}
    assert {status for status, cost in shown.items() if cost == "≥ $0.0300"} == {"running", INTERRUPTED}
    assert {status for status, cost in shown.items() if cost == "$0.0300"} == {"waiting", *FINISHED}


def test_a_label_may_be_repeated() -> None:
    """Scripts put options together."""
    assert labels_of([("a", "1"), ("b", "2"), ("a", "1")]) == {"a": "1", "b": "2"}
