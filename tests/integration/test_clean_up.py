"""Finding runs again, and cleaning up: `tagent runs list|delete`, `tagent db prune`, `tagent doctor`."""

import asyncio
import io
import json
import os
import pty
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Mapping
from contextlib import chdir, closing, redirect_stderr, redirect_stdout
from dataclasses import field, replace
from pathlib import Path
from typing import Any

import pytest

from commands import TAGENT, environment, tagent
from postgres import server
from redis_server import RedisServer, redis_server
from tagent.adapters.clock import SystemClock
from tagent.adapters.processes import MachineProcesses
from tagent.adapters.storage.urls import open_store
from tagent.cli.errors import run_and_exit
from tagent.cli.main import cli
from tagent.ports import NewRun, Record, RunQuery, RunSummary
from tagent.search import searchable
from tagent.values import value

DAY = 86_400.0
STORE = "sqlite:///.tagent/runs.db"
PASSWORD = "hunter2"  # noqa: S105 - of a server that lives for one test


@value
class Past:
    """A run of the past.

    Attributes:
        days: How long ago it was begun; it took a second.
    """

    run_id: str
    days: float
    status: str = "completed"
    pipeline: str = "tea"
    text: str = ""
    owner: str = ""
    parent: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)


PASTS = (
    Past("aaaa", 40, pipeline="coffee", text="Arabica from Äthiopien"),
    Past("bbbb", 35, "failed", text="Green TEA from Uji"),
    Past("cccc", 20, "partial", labels={"team": "blue", "env": "test"}),
    Past("dddd", 10, labels={"team": "blue"}, text="Black tea", parent="cccc"),
    Past("eeee", 5, "failed", labels={"team": "red"}),
    Past("ffff", 50, "running"),  # nobody holds it: interrupted
    Past("9999", 60, "running", owner=MachineProcesses().this_process()),
    Past("8888", 0.01),
)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a database of the runs, to be copied."""
    place = tmp_path_factory.mktemp("filled")
    fill(f"sqlite:///{place}/runs.db", PASTS)
    return place


@pytest.fixture
def folder(tmp_path: Path, filled: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in ("TAGENT_STORE", "TAGENT_CONFIG"):
        monkeypatch.delenv(variable, raising=False)
    shutil.copytree(filled, tmp_path / ".tagent")
    return tmp_path


def fill(url: str, pasts: Iterable[Past]) -> None:
    """Put the runs into a store."""
    now = SystemClock().now()

    async def work() -> None:
        store = open_store(url)
        for past in pasts:
            at = now - past.days * DAY
            is_finished = past.status != "running"
            summary = RunSummary(past.status, at + 1, 0.25, is_finished=is_finished, text=searchable([past.text]))
            new = NewRun(past.run_id, past.pipeline, b"{}", past.pipeline, past.owner or "somebody", 3600.0, at)
            begun = replace(new, records=(Record(1, "Begun", at, b"{}"),), summary=summary, labels=past.labels)
            await store.create_run(replace(begun, parent=past.parent))
            if not past.owner:
                await store.release(past.run_id, epoch=1)
        await store.close()

    asyncio.run(work())


def called(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which need not import everything anew."""
    output, talk = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(output), redirect_stderr(talk), pytest.raises(SystemExit) as left:
        run_and_exit(cli, list(arguments))
    code = left.value.code
    assert isinstance(code, int)
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), talk.getvalue())


def ids(folder: Path, *options: str) -> list[str]:
    """Return which runs `runs list` finds."""
    listed = called("runs", "list", "--json", *options, cwd=folder)
    assert listed.returncode == 0, listed.stderr
    return [run["run_id"] for run in json.loads(listed.stdout)]


def left(folder: Path) -> set[str]:
    """Return which runs are in the store."""

    async def look() -> set[str]:
        store = open_store(f"sqlite:///{folder}/.tagent/runs.db")
        found = {run.run_id for run in await store.runs(RunQuery())}
        await store.close()
        return found

    return asyncio.run(look())


ALL = {past.run_id for past in PASTS}


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ("", "8888 eeee dddd cccc bbbb aaaa ffff 9999"),
        ("--limit 2", "8888 eeee"),
        ("--status failed --status partial", "eeee cccc bbbb"),
        ("--status interrupted", "ffff"),
        ("--status running", "9999"),
        ("--status running --status interrupted", "ffff 9999"),
        ("--status interrupted --status failed --limit 2", "eeee bbbb"),
        ("--status waiting", ""),
        ("--pipeline coffee", "aaaa"),
        ("--pipeline coffee --pipeline tea --limit 1", "8888"),
        ("--since 6d", "8888 eeee"),
        ("--since 36d --until 15d", "cccc bbbb"),
        ("--until 2001-01-01", ""),
        ("--label team=blue", "dddd cccc"),
        ("--label team=blue --label env=test", "cccc"),
        ("--search tea", "dddd bbbb"),
        ("--search äTHIOPIEN", "aaaa"),
        ("--status failed --search tea --since 36d --pipeline tea", "bbbb"),
    ],
)
def test_runs_are_found_by(folder: Path, options: str, found: str) -> None:
    """What somebody may remember of one."""
    assert ids(folder, *options.split()) == found.split()


def test_each_word_of_a_search_must_occur_in_any_order(folder: Path) -> None:
    """Nobody remembers a sentence letter by letter."""
    assert ids(folder, "--search", " uji  green") == ["bbbb"]


def test_a_list_shows_labels_and_where_a_fork_comes_from(folder: Path) -> None:
    """For people and for programs."""
    (run,) = json.loads(called("runs", "list", "--search", "black", "--json", cwd=folder).stdout)
    assert (run["parent"], run["labels"], run["cost_usd"]) == ("cccc", {"team": "blue"}, 0.25)
    assert run["finished_at"] > run["created_at"]
    (other,) = json.loads(called("runs", "list", "--search", "uji", "--json", cwd=folder).stdout)
    assert (other["parent"], other["labels"]) == (None, {})
    shown = called("runs", "list", "--limit", "3", cwd=folder)
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert lines[0] == ["run", "status", "pipeline", "started", "cost", "forked", "from", "labels"]
    assert lines[3][:3] + lines[3][4:] == ["dddd", "completed", "tea", "$0.2500", "cccc", "team=blue"]
    assert "--limit shows more" in shown.stderr


@pytest.mark.parametrize(
    ("options", "said"), [(["--search", "milk"], "No run fits."), (["--store", "memory://"], "No runs yet.")]
)
def test_an_empty_list_says_so_to_people(folder: Path, options: list[str], said: str) -> None:
    """And gives programs an empty one."""
    for_people = called("runs", "list", *options, cwd=folder)
    assert (for_people.returncode, for_people.stdout, for_people.stderr) == (0, "", f"{said}\n")
    for_programs = called("runs", "list", *options, "--json", cwd=folder)
    assert (for_programs.returncode, json.loads(for_programs.stdout), for_programs.stderr) == (0, [], "")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("runs list --since yesterday", "or how long ago: 30m, 2h, 7d"),
        ("runs list --until 7", "neither a time nor an age"),
        ("runs list --label blue", "like team=blue"),
        ("runs list --label team=blue --label team=red", "cannot be both"),
        ("runs list --status done", "'interrupted'"),
        ("runs list --limit 0", "--limit"),
        ("runs delete", "Missing argument 'ID...'"),
        ("runs delete aaaa", "Repeat it with --yes"),
        ("db prune", "Say what may go"),
        ("db prune --yes --dry-run", "Say what may go"),
        ("db prune --keep 1", "Repeat it with --yes"),
        ("db prune --older-than month --yes", "30m, 2h, 7d"),
        ("db prune --keep -1 --yes", "--keep"),
        ("db prune --status running --yes", "'completed'"),
    ],
)
def test_a_wrong_command_changes_nothing_and_says_how_it_is_written(folder: Path, command: str, said: str) -> None:
    """Most of all one that deletes: without a terminal nobody can be asked."""
    ran = called(*command.split(), cwd=folder)
    assert (ran.returncode, said in ran.stderr, "Traceback" in ran.stderr) == (2, True, False), ran.stderr
    assert left(folder) == ALL


def test_deleted_runs_are_gone_and_the_others_are_not(folder: Path) -> None:
    """However often one is named."""
    ran = called("runs", "delete", "aaaa", "bbbb", "aaaa", "--yes", cwd=folder)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "2 runs deleted\n", "")
    assert left(folder) == ALL - {"aaaa", "bbbb"}


def test_what_cannot_be_deleted_is_told_and_the_rest_is_deleted(folder: Path) -> None:
    """A script sees the exit code, a person the reason."""
    ran = called("runs", "delete", "aaab", "ffff", "bbbb", "9999", "--yes", cwd=folder)
    assert (ran.returncode, ran.stdout) == (1, "1 run deleted\n")
    assert "error[store.unknown_run]: No run has the id 'aaab'. Did you mean 'aaaa'?" in ran.stderr
    assert "error[store.run_unfinished]: Run ffff has not come to its end" in ran.stderr
    assert "error[store.run_unfinished]: Run 9999" in ran.stderr
    assert left(folder) == ALL - {"bbbb"}
    ran = called("runs", "delete", "cccc", "ffff", "--yes", "--json", cwd=folder)
    told = json.loads(ran.stdout)
    assert (ran.returncode, told["deleted"]) == (1, ["cccc"])
    assert [(it["run_id"], it["code"]) for it in told["refused"]] == [("ffff", "store.run_unfinished")]


def answered(folder: Path, answer: str, *arguments: str) -> tuple[int, str, str]:
    """Run a command at a terminal, type `answer`, and return its exit code, its output and its talk."""
    ours, its = pty.openpty()
    try:
        process = subprocess.Popen(
            [*TAGENT, *arguments],
            cwd=folder,
            env=environment(),
            stdin=its,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        os.close(its)
        os.write(ours, f"{answer}\n".encode())
        output, talk = process.communicate(timeout=60)
    finally:
        os.close(ours)
    return process.returncode, output, talk


@pytest.mark.parametrize("command", ["runs delete aaaa bbbb", "db prune --older-than 30d"])
def test_at_a_terminal_one_is_asked_before_anything_is_deleted(folder: Path, command: str) -> None:
    """The default is no."""
    for answer in ("n", ""):
        code, output, talk = answered(folder, answer, *command.split())
        assert (code, output) == (1, "")
        assert "Delete 2 runs? [y/N]" in talk
        assert "Nothing was deleted." in talk
        assert left(folder) == ALL
    code, output, _ = answered(folder, "y", *command.split())
    assert (code, output) == (0, "2 runs deleted\n")
    assert left(folder) == ALL - {"aaaa", "bbbb"}


@pytest.mark.parametrize(
    ("options", "gone"),
    [
        ("--older-than 30d", "bbbb aaaa"),
        ("--keep 2", "dddd cccc bbbb"),
        ("--keep 1 --older-than 15d", "cccc bbbb"),
        ("--keep 1 --status failed", "bbbb"),
        ("--status partial --status failed", "cccc eeee bbbb"),
        ("--pipeline coffee", "aaaa"),
        ("--keep 0", "8888 eeee dddd cccc bbbb aaaa"),
        ("--older-than 90d", ""),
    ],
)
def test_prune_deletes_what_its_dry_run_lists(folder: Path, options: str, gone: str) -> None:
    """And never a run that is not finished, though two of these are the oldest of all."""
    prune = ["db", "prune", *options.split(), "--yes", "--json"]
    planned = json.loads(called(*prune, "--dry-run", cwd=folder).stdout)
    assert left(folder) == ALL
    assert planned["dry_run"] is True
    assert {run["run_id"] for run in planned["runs"]} == set(gone.split())
    done = json.loads(called(*prune, cwd=folder).stdout)
    assert done == planned | {"dry_run": False}
    assert done["count"] == len(gone.split())
    assert left(folder) == ALL - set(gone.split())


def test_a_dry_run_is_a_table_for_people(folder: Path) -> None:
    """Without a question, since nothing happens."""
    ran = called("db", "prune", "--older-than", "30d", "--dry-run", cwd=folder)
    lines = ran.stdout.splitlines()
    assert (ran.returncode, [line.split()[0] for line in lines]) == (0, ["run", "bbbb", "aaaa", "2"])
    assert lines[-1] == "2 runs would be deleted"
    nothing = called("db", "prune", "--older-than", "90d", cwd=folder)
    assert (nothing.returncode, nothing.stdout) == (0, "0 runs deleted\n")


def finding(ran: subprocess.CompletedProcess[str], name: str) -> Any:
    """Return what `doctor --json` found of `name`."""
    return next(found for found in json.loads(ran.stdout)["findings"] if found["name"] == name)


def test_doctor_finds_nothing_wrong_and_leaves_no_trace(folder: Path) -> None:
    """A line a check."""
    key = {"OPENAI_API_KEY": "sk-THE-KEY"}
    ran = tagent("doctor", cwd=folder, env=key)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    names = [line.split()[1] for line in ran.stdout.splitlines()]
    assert names[:5] == ["python", "tagent", "extras", "model", "store"]
    assert all(line.startswith("✓") for line in ran.stdout.splitlines()[:5])
    assert "sk-THE-KEY" not in ran.stdout + ran.stderr
    assert left(folder) == ALL


def test_doctor_fails_with_a_remedy(folder: Path) -> None:
    """Each failure names one, and the exit code tells a script."""
    with closing(sqlite3.connect(folder / ".tagent" / "runs.db")) as database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON run BEGIN SELECT RAISE(FAIL, 'no room'); END")
    ran = tagent("doctor", cwd=folder, env={"TAGENT_MODEL": "no-such"})
    assert ran.returncode == 1
    failed = [number for number, line in enumerate(ran.stdout.splitlines()) if line.startswith("✗")]
    assert [ran.stdout.splitlines()[number].split()[1] for number in failed] == ["model", "store"]
    assert all("remedy:" in ran.stdout.splitlines()[number + 1] for number in failed)
    told = tagent("doctor", "--json", cwd=folder, env={"TAGENT_MODEL": "no-such"})
    assert (told.returncode, json.loads(told.stdout)["ok"]) == (1, False)


def test_doctor_tells_which_setting_is_wrong(tmp_path: Path) -> None:
    """What depends on the settings is not looked at: it would be something else."""
    ran = tagent("doctor", "--json", cwd=tmp_path, env={"TAGENT_TEMPERATURE": "9"})
    assert ran.returncode == 1
    assert "temperature" in finding(ran, "settings")["what"]
    assert "store" not in [found["name"] for found in json.loads(ran.stdout)["findings"]]


def test_doctor_warns_of_what_is_unsafe_and_is_content(folder: Path) -> None:
    """A warning is no failure."""
    (folder / ".tagent" / "runs.db").chmod(0o644)
    ran = tagent("doctor", "--json", cwd=folder, env={"OPENAI_API_KEY": "sk"})
    assert (ran.returncode, finding(ran, "privacy")["outcome"]) == (0, "warning")
    assert finding(ran, "privacy")["remedy"] == "chmod 600 .tagent/runs.db"


def test_doctor_does_not_bring_an_old_database_up_to_date(folder: Path) -> None:
    """Another tagent may still work on it; the remedy says what does it."""
    path = folder / ".tagent" / "runs.db"
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")
    ran = tagent("doctor", "--json", cwd=folder)
    assert ran.returncode == 1
    assert "tagent db upgrade" in finding(ran, "store")["remedy"]
    assert "tagent db upgrade brings it to" in called("db", "current", cwd=folder).stdout


def test_a_database_of_a_newer_tagent_is_told_from_an_old_one(folder: Path) -> None:
    """`db upgrade` would not help."""
    with closing(sqlite3.connect(folder / ".tagent" / "runs.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    assert "of a newer tagent" in called("db", "current", cwd=folder).stdout
    told = json.loads(called("db", "current", "--json", cwd=folder).stdout)
    assert (told["schema"], told["store"]) == ("9999", STORE)
    assert finding(tagent("doctor", "--json", cwd=folder), "store")["outcome"] == "failed"


def test_stores_on_servers_are_looked_at_the_same_way(tmp_path: Path) -> None:
    """Without their passwords."""
    url = server().place(tmp_path)
    assert "tagent db upgrade brings it to" in called("db", "current", "--store", url, cwd=tmp_path).stdout
    assert called("db", "upgrade", "--store", url, cwd=tmp_path).returncode == 0
    current = called("db", "current", "--store", url, cwd=tmp_path)
    assert "up to date" in current.stdout
    ran = tagent("doctor", "--json", "--store", url, cwd=tmp_path)
    assert finding(ran, "store")["outcome"] == "ok"
    assert "hunter2" not in current.stdout + ran.stdout + ran.stderr
    assert ids(tmp_path, "--store", url) == []


def test_a_redis_server_that_keeps_nothing_is_a_warning(tmp_path: Path) -> None:
    """It forgets every run when it restarts."""
    ran = tagent("doctor", "--json", "--store", redis_server().url("doctor"), cwd=tmp_path)
    assert [finding(ran, name)["outcome"] for name in ("store", "durability")] == ["ok", "ok"]
    forgetful = RedisServer("--appendonly", "no", password=PASSWORD)
    try:
        url = forgetful.url("doctor", password=PASSWORD)
        ran = tagent("doctor", "--json", "--store", url, cwd=tmp_path)
        assert [finding(ran, name)["outcome"] for name in ("store", "durability")] == ["ok", "warning"]
        assert "appendonly" in finding(ran, "durability")["remedy"]
        assert PASSWORD not in ran.stdout + ran.stderr
        assert "keeps no database" in (told := called("db", "current", "--store", url, cwd=tmp_path).stdout)
        assert PASSWORD not in told
        assert ids(tmp_path, "--store", url) == []
    finally:
        forgetful.remove()


def test_a_store_in_files_is_looked_at_too(tmp_path: Path) -> None:
    """It needs no packages and no server."""
    url = "file:///runs"
    assert finding(tagent("doctor", "--json", "--store", url, cwd=tmp_path), "store")["outcome"] == "ok"
    assert not (tmp_path / "runs").exists()
    fill(f"file:///{tmp_path}/runs", PASTS[:2])
    ran = tagent("doctor", "--json", "--store", url, cwd=tmp_path)
    assert [finding(ran, name)["outcome"] for name in ("store", "privacy", "disk")] == ["ok", "ok", "ok"]
    assert ids(tmp_path, "--store", url) == ["bbbb", "aaaa"]
    assert called("runs", "delete", "aaaa", "--yes", "--store", url, cwd=tmp_path).returncode == 0
    assert ids(tmp_path, "--store", url) == ["bbbb"]
