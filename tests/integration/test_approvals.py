"""Approvals of runs in other processes, on every durable store: who waits may die, and one answer is heard."""

import asyncio
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from commands import environment, start, tagent
from postgres import PostgresServer, server
from redis_server import RedisServer, redis_server
from tagent import approvals, approve
from tagent.pipeline.answering.documents import SCOPE
from tagent.pipeline.events import ApprovalAnswered, RunEvent
from tagent.pipeline.journal.loading import load_events
from tagent.ports.documents import DocumentQuery
from tagent.runtime import open_services_on

STORES: dict[str, Callable[[Path], str]] = {
    "sqlite": lambda folder: f"sqlite:///{folder / 'runs.db'}",
    "files": lambda folder: f"file:///{folder / 'runs'}",
    "postgresql": lambda folder: server().place(folder),
    "redis": lambda folder: redis_server().url(folder.name),
}

MOST_LOOKS = 600
"""Half a minute: longer than anything here takes."""

PIPELINE = """
import asyncio, pathlib
from tagent.pipeline import Approval, Pipeline

def note(line: str) -> None:
    with open("notes", "a") as log:
        log.write(line + chr(10))

async def order() -> dict[str, int]:
    note("order")
    return {"amount": 40}

async def other() -> str:
    note("other")
    while not pathlib.Path("open").exists():
        await asyncio.sleep(0.01)
    return "other"

async def refund(order: dict[str, int]) -> str:
    note("refund")
    return f"{order['amount']} paid"

async def letter(refund: str) -> str:
    note("letter")
    return f"Dear Ana, {refund}."

async def send(letter: str) -> str:
    note("send")
    return f"sent: {letter}"

ask = Approval(question="Pay {order.amount} EUR?")
pipeline = Pipeline("claim", default_mode="concurrent").step("order", run=order)
pipeline.step("refund", run=refund, approval=ask)
pipeline.step("letter", run=letter, approval=Approval("output", question="Send it?"))
pipeline.step("send", run=send)

busy = Pipeline("busy", default_mode="concurrent").step("order", run=order)
busy.step("other", run=other, depends_on=["order"])
busy.step("refund", run=refund, approval=ask)

timed = Pipeline("timed").step("order", run=order)
timed.step("refund", run=refund, approval=Approval(timeout=0.5, default="approve"))
"""


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return STORES[request.param](tmp_path)


@dataclass
class Desk:
    """A folder with the pipelines, and what people type there; processes end with the test."""

    folder: Path
    store: str
    _started: list[subprocess.Popen[str]]

    def types(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `tagent` to its end."""
        return tagent(*arguments, "--store", self.store, cwd=self.folder)

    def starts(self, *arguments: str) -> subprocess.Popen[str]:
        """Start a command of `tagent`."""
        self._started.append(start(*arguments, "--store", self.store, cwd=self.folder))
        return self._started[-1]

    def start_script(self, script: str, *arguments: str) -> subprocess.Popen[str]:
        """Start a Python script on the store."""
        command = [sys.executable, "-c", script, self.store, *arguments]
        pipe = subprocess.PIPE
        self._started.append(
            subprocess.Popen(command, cwd=self.folder, env=environment(), stdout=pipe, stderr=pipe, text=True)
        )
        return self._started[-1]

    def run_script(self, script: str, *arguments: str) -> str:
        """Run a Python script to its end and return what it prints."""
        process = self.start_script(script, *arguments)
        told, talk = process.communicate(timeout=120)
        assert process.returncode == 0, talk
        return told

    def waiting(self, pipeline: str = "pipeline") -> str:
        """Run until it waits, and return the run."""
        ran = self.types("run", f"claim.py:{pipeline}", "--json")
        assert ran.returncode == 3, ran.stderr
        return str(json.loads(ran.stdout)["run_id"])

    def notes(self) -> list[str]:
        """Return what the steps have noted."""
        file = self.folder / "notes"
        return file.read_text().splitlines() if file.exists() else []

    def asked(self, count: int = 1) -> list[tuple[str, str]]:
        """Return run and step of what is asked, once it is so much."""
        for _ in range(MOST_LOOKS):
            found = approvals(config={"store": self.store})
            if len(found) == count:
                return [(it.run_id, it.step) for it in found]
            threading.Event().wait(0.05)
        raise AssertionError([(it.run_id, it.step) for it in found])

    def await_note(self, note: str, *, times: int = 1, of: subprocess.Popen[str]) -> None:
        """Return once the process has noted this so often."""
        for _ in range(MOST_LOOKS):
            if self.notes().count(note) >= times:
                return
            assert of.poll() is None, of.communicate()
            threading.Event().wait(0.05)
        raise AssertionError(self.notes())

    def events(self, run_id: str) -> tuple[RunEvent, ...]:
        """Return the run's journal."""

        async def look() -> tuple[RunEvent, ...]:
            async with open_services_on(self.store) as services:
                return await load_events(services.store, run_id)

        return asyncio.run(look())

    def documents(self) -> int:
        """Return how many approvals the store holds."""

        async def look() -> int:
            async with open_services_on(self.store) as services:
                return len(await services.store.documents(DocumentQuery(SCOPE)))

        return asyncio.run(look())


@contextmanager
def desk_on(folder: Path, store: str) -> Iterator[Desk]:
    """Give a desk whose processes end with the block."""
    (folder / "claim.py").write_text(PIPELINE)
    desk = Desk(folder, store, [])
    try:
        yield desk
    finally:
        for process in desk._started:
            process.kill()
            process.communicate()


@pytest.fixture
def desk(tmp_path: Path, store: str) -> Iterator[Desk]:
    with desk_on(tmp_path, store) as desk:
        yield desk


def test_a_run_waits_without_a_process_and_is_answered_step_by_step(desk: Desk) -> None:
    """It says what it waits for and what to type; nothing that is done is done again, and no document is left over."""
    ran = desk.types("run", "claim.py")
    assert ran.returncode == 3, ran.stderr
    assert "refund: Pay 40 EUR?" in ran.stderr
    (typed,) = [line.split() for line in ran.stderr.splitlines() if line.strip().startswith("tagent runs approve")]
    run_id, step = typed[3:5]
    assert desk.asked() == [(run_id, "refund")]
    approved = desk.types("runs", "approve", run_id, step, "--comment", "He is right.")
    assert approved.returncode == 0, approved.stderr
    assert f"tagent runs resume {run_id}" in approved.stdout
    again = desk.types("runs", "resume", run_id)
    assert again.returncode == 3, again.stderr
    assert "letter: Send it?" in again.stderr
    edited = desk.types("runs", "approve", run_id, "letter", "--output", '"Dear Bob."', "--resume")
    assert (edited.returncode, edited.stdout) == (0, "sent: Dear Bob.\n"), edited.stderr
    assert desk.notes() == ["order", "refund", "letter", "send"]
    assert desk.documents() == 0
    first, second = [event for event in desk.events(run_id) if isinstance(event, ApprovalAnswered)]
    assert (first.step, first.comment, first.is_edited) == ("refund", "He is right.", False)
    assert (second.step, second.output, second.is_edited) == ("letter", "Dear Bob.", True)


def test_an_edit_that_does_not_fit_is_refused_and_the_question_stays(desk: Desk) -> None:
    """Whoever reads the output relies on its type."""
    run_id = desk.waiting()
    early = desk.types("runs", "approve", run_id, "refund", "--output", '"x"')
    assert early.returncode == 2
    assert "approval.output" in early.stderr
    desk.types("runs", "approve", run_id, "refund", "--resume")
    wrong = desk.types("runs", "approve", run_id, "letter", "--output", "[1]")
    assert wrong.returncode == 2
    assert "--output: The output of the step 'letter' does not fit" in wrong.stderr
    assert desk.asked() == [(run_id, "letter")]
    (desk.folder / "letter.json").write_text('"Dear Eva."')
    right = desk.types("runs", "approve", run_id, "letter", "--output", "@letter.json", "--resume")
    assert right.stdout == "sent: Dear Eva.\n", right.stderr


def test_a_rejected_step_fails_and_says_why(desk: Desk) -> None:
    """The comment is the reason for whoever reads the result."""
    run_id = desk.waiting()
    rejected = desk.types("runs", "reject", run_id, "refund", "--comment", "No receipt.", "--resume", "--json")
    assert rejected.returncode == 1, rejected.stderr
    told = json.loads(rejected.stdout)["step_metadata"]["refund"]
    assert told["code"] == "approval.rejected"
    assert "No receipt." in told["reason"]
    assert desk.notes() == ["order"]


def test_a_driver_that_does_other_work_hears_of_the_answer(desk: Desk) -> None:
    """Nobody need resume anything."""
    driver = desk.starts("run", "claim.py:busy", "--json")
    ((run_id, step),) = desk.asked()
    approved = desk.types("runs", "approve", run_id, step)
    assert "process that drives the run goes on" in approved.stdout, approved.stderr
    desk.await_note("refund", of=driver)
    (desk.folder / "open").touch()
    told, talk = driver.communicate(timeout=60)
    assert driver.returncode == 0, talk
    assert json.loads(told)["step_outputs"]["refund"] == "40 paid"
    assert desk.notes().count("order") == 1


@pytest.mark.parametrize("answered", ["before", "after"])
def test_a_driver_killed_while_a_step_waits_loses_nothing(desk: Desk, answered: str) -> None:
    """The question survives it, and so does an answer that it has not seen."""
    driver = desk.starts("run", "claim.py:busy")
    ((run_id, step),) = desk.asked()
    if answered == "before":
        driver.send_signal(signal.SIGSTOP)
        assert desk.types("runs", "approve", run_id, step).returncode == 0
    driver.kill()
    driver.wait()
    if answered == "after":
        assert desk.asked() == [(run_id, step)]
        approved = desk.types("runs", "approve", run_id, step)
        assert "Nobody drives the run" in approved.stdout, approved.stderr
    (desk.folder / "open").touch()
    again = desk.types("runs", "resume", run_id, "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["step_outputs"]["refund"] == "40 paid"
    assert (desk.notes().count("order"), desk.notes().count("refund")) == (1, 1)


def test_the_default_counts_when_the_time_is_over(desk: Desk) -> None:
    """Whoever resumes the run next sees to it."""
    ran = desk.types("run", "claim.py:timed", "--json")
    run_id = json.loads(ran.stdout)["run_id"]
    assert ran.returncode == 3, ran.stderr
    asyncio.run(asyncio.sleep(0.6))
    again = desk.types("runs", "resume", run_id)
    assert (again.returncode, again.stdout) == (0, "40 paid\n"), again.stderr
    (answered,) = [event for event in desk.events(run_id) if isinstance(event, ApprovalAnswered)]
    assert (answered.by_default, answered.is_approved) == (True, True)


def test_a_worker_goes_on_when_somebody_has_answered_or_the_time_is_over(desk: Desk) -> None:
    """It holds nothing of a run that waits, and whoever answers is told that it lives."""
    run_id, timed = desk.waiting(), desk.waiting("timed")
    worker = desk.starts("worker", "claim.py", "--json")
    assert worker.stderr is not None

    def says(event: str, run_id: str) -> dict[str, object]:
        assert worker.stderr is not None
        for line in worker.stderr:
            said: dict[str, object] = json.loads(line)
            if (said["event"], said.get("run_id")) == (event, run_id):
                return said
        raise AssertionError("It has ended.")

    assert says("run_ended", timed)["status"] == "completed"
    approved = desk.types("runs", "approve", run_id, "refund", "--json")
    assert json.loads(approved.stdout)["goes_on"] == "worker", approved.stdout
    assert says("run_waits", run_id)["code"] == "approval.waiting"
    desk.types("runs", "approve", run_id, "letter")
    assert says("run_ended", run_id)["status"] == "completed"
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(timeout=60) == 0
    run_id = desk.waiting()
    approved = desk.types("runs", "approve", run_id, "refund", "--json")
    assert json.loads(approved.stdout)["goes_on"] == "nobody"


ROUNDS = 20

RIVAL = """
import sys
from pathlib import Path
from tagent import approve, reject
from tagent.pipeline import ApprovalAnsweredError

store, name, *runs = sys.argv[1:]
for number, run_id in enumerate(runs):
    Path(f"{name}-{number}").touch()
    while not all(Path(f"{who}-{number}").exists() for who in ("ana", "bob")):
        pass
    say = approve if name == "ana" else reject
    try:
        say(run_id, "refund", {"store": store}, actor=name)
        print(f"{run_id} heard {name}", flush=True)
    except ApprovalAnsweredError as error:
        print(f"{run_id} {'approved' if error.is_approved else 'rejected'} {error.actor}", flush=True)
"""


MANY = """
import sys
from claim import pipeline
from tagent import resume, run_pipeline

store, *runs = sys.argv[1:]
if runs[0].isdecimal() and len(runs) == 1:
    for _ in range(int(runs[0])):
        print(run_pipeline(pipeline, store=store).run_id)
for run_id in runs if len(runs) > 1 else ():
    print(run_id, resume(run_id, pipeline, store=store).step_metadata["refund"]["status"])
"""


def test_of_two_processes_that_answer_at_once_one_is_heard(desk: Desk) -> None:
    """The other one is told who was faster, and the run goes the way of the first."""
    runs = desk.run_script(MANY, str(ROUNDS)).split()
    assert len(runs) == ROUNDS
    rivals = [desk.start_script(RIVAL, name, *runs) for name in ("ana", "bob")]
    said = [rival.communicate(timeout=120) for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0, 0], said
    winners: dict[str, str] = {}
    for line in "".join(told for told, _ in said).splitlines():
        run_id, what, who = line.split()
        assert winners.setdefault(run_id, who) == who
        assert what in ("heard", "approved" if who == "ana" else "rejected")
    heard = [line.split()[0] for told, _ in said for line in told.splitlines() if " heard " in line]
    assert sorted(heard) == sorted(runs)
    ended = dict(line.split() for line in desk.run_script(MANY, *runs).splitlines())
    assert ended == {it: "completed" if who == "ana" else "failed" for it, who in winners.items()}


@pytest.fixture(params=["postgresql", "redis"])
def own_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """Give a store on a server of its own, and how that is started anew."""
    if request.param == "redis":
        redis = RedisServer()
        yield redis.url(tmp_path.name), redis.restart
        redis.remove()
        return
    postgres = PostgresServer()

    def restart() -> None:
        postgres.stop()
        postgres.start()

    yield postgres.place(tmp_path), restart
    postgres.remove()


def test_a_question_survives_a_restart_of_the_server(
    tmp_path: Path, own_server: tuple[str, Callable[[], None]]
) -> None:
    """While nobody drives the run, and while somebody does."""
    store, restart = own_server
    with desk_on(tmp_path, store) as desk:
        run_id = desk.waiting()
        driver = desk.starts("run", "claim.py:busy", "--json")
        busy = next(it for it, _ in desk.asked(2) if it != run_id)
        restart()
        assert desk.types("runs", "approve", run_id, "refund").returncode == 0
        again = desk.types("runs", "resume", run_id)
        assert again.returncode == 3, again.stderr
        approve(busy, "refund", {"store": store})
        desk.await_note("refund", times=2, of=driver)
        (tmp_path / "open").touch()
        told, talk = driver.communicate(timeout=60)
        assert driver.returncode == 0, talk
        assert json.loads(told)["step_outputs"]["refund"] == "40 paid"
