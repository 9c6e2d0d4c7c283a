"""Promises 5 and 9: exactly one process drives a run, the living never wait for the dead, and nobody spins for ever."""

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import services
from commands import TAGENT, environment
from crash.case import Case, case_environment, has_happened
from crash.nursery import KILLED, Victim, at_point
from crash.scene import Scene, completed_steps, look_at
from crash.stores import SQLITE, BusyError, DurableStore, on_every_store, until
from crash.victim import PIPELINE_FILE
from tagent.config import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor
from tagent.pipeline.events import RunFinished, RunResumed
from tagent.pipeline.resuming import MAX_IDLE_RESUMES, resume_run
from tagent.ports import LanguageModel
from tagent.ports.model_errors import ModelNotChosenError
from tagent.testing import ScriptedModel

SAMPLE_RACES = 10
FULL_RACES, FULL_RACES_ELSEWHERE = 200, 50


def race(case: Case) -> None:
    """Let two processes resume a killed run at the same moment; the winner waits until the loser has given up."""
    assert case.killed(at_point("store.commit.after", 5))
    orders = replace(case.orders, hold="gathered", starts_when="go")
    racers = [case.nursery.start(orders) for _ in range(2)]
    until(lambda: all(ready(racer).exists() for racer in racers), "both are ready")
    (case.folder / "go").touch()
    until(lambda: any(words(racer).exists() for racer in racers), "one gives up")
    loser, winner = sorted(racers, key=lambda racer: not words(racer).exists())
    assert case.nursery.wait(loser) == 1
    assert loser.last_words["error"] == "store.run_held"
    (case.folder / "open").touch()
    assert case.nursery.wait(winner) == 0, winner.words
    case.judge(winner.last_words)
    assert sum(isinstance(event, RunResumed) for event in case.scenes[-1].events) == 1
    case.figures.resumes += 1
    case.figures.races += 1


def ready(victim: Victim) -> Path:
    return victim.folder / f"{victim.pid}.ready"


def words(victim: Victim) -> Path:
    return victim.folder / f"{victim.pid}.json"


def test_of_two_processes_that_resume_one_run_exactly_one_drives_it(new_case: Callable[[], Case]) -> None:
    """An impatient second `tagent runs resume` must not pay for everything once more."""
    for _ in range(SAMPLE_RACES):
        race(new_case())


@pytest.mark.crash
@on_every_store
def test_of_two_processes_that_race_again_and_again_exactly_one_drives_the_run(
    new_case: Callable[[], Case], store: DurableStore
) -> None:
    """What goes wrong once in a hundred times goes wrong."""
    for _ in range(FULL_RACES if store is SQLITE else FULL_RACES_ELSEWHERE):
        race(new_case())


@on_every_store
@pytest.mark.parametrize("is_woken_with_an_outcome", [True, False])
def test_a_holder_that_was_overtaken_in_its_sleep_writes_nothing_more(
    case: Case,
    is_woken_with_an_outcome: bool,  # noqa: FBT001
) -> None:
    """A laptop that wakes up must not write into a run that another process has finished meanwhile."""
    sleeper = case.nursery.start(replace(case.orders, hold="gathered", lease_seconds=1))
    until(has_happened(case.folder, "gathered"), "the step runs")
    until(lambda: "research" in completed_steps(case.place), "nothing else runs")
    put_to_sleep(case, sleeper)
    case.found()
    second = overtake(case)
    case.judge(second.last_words)
    if is_woken_with_an_outcome:
        (case.folder / "open").touch()
    sleeper.send(signal.SIGCONT)
    assert case.nursery.wait(sleeper) == 1
    assert sleeper.last_words["error"] == "store.conflict"
    assert look_at(case.place) == case.scenes[-1], "it wrote nothing, and no other step of it ran"
    assert is_woken_with_an_outcome or (case.folder / "was-stopped").exists()


def put_to_sleep(case: Case, victim: Victim) -> None:
    """Stop the victim between two writes: in one it would keep everybody else from writing."""
    for _ in range(1_000):
        victim.send(signal.SIGSTOP)
        try:
            with case.place.store.locked(case.folder, case.place.url):
                return
        except BusyError:
            victim.send(signal.SIGCONT)
            time.sleep(0.005)
    raise AssertionError("it was never found idle")


def overtake(case: Case) -> Victim:
    """Resume the run as soon as the lease of its sleeping holder has ended."""
    for refused in range(600):
        code, victim = case.nursery.run(case.orders)
        if code == 0:
            assert refused, "nobody may take a run whose holder lives before its lease has ended"
            return victim
        assert victim.last_words["error"] == "store.run_held"
        time.sleep(0.05)
    raise AssertionError("the lease never ended")


def start_command(case: Case, *arguments: str, hold: str = "", **settings: str) -> subprocess.Popen[str]:
    """Start the command line on the case."""
    return subprocess.Popen(
        [*TAGENT, *arguments],
        cwd=case.folder,
        env=environment(case_environment(case.folder, hold=hold, **settings)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def end_of(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr of a process."""
    output, talk = process.communicate(timeout=90)
    return process.returncode, output, talk


def outcome_of_json(text: str) -> dict[str, Any]:
    """Return what `--json` printed, in the words of `victim.outcome_of`."""
    result = json.loads(text)
    names = ("status", "final_output", "total_cost", "cost_per_step", "token_usage")
    return {name: result[name] for name in names} | {
        "outputs": result["step_outputs"],
        "steps": {name: [meta["status"], meta["attempts"]] for name, meta in result["step_metadata"].items()},
        "facts": result["learned_facts"],
        "memories": result["saved_memories"],
    }


def stopped_in(case: Case, step: str, how: signal.Signals, **settings: str) -> tuple[Scene, str]:
    """Start the pipeline on the command line, stop it inside a step; return what is found and what was said."""
    store = case.place.url
    process = start_command(case, "run", f"{PIPELINE_FILE}:pipeline", "--store", store, hold=step, **settings)
    until(has_happened(case.folder, step), f"{step} runs")
    process.send_signal(how)
    code, _, talk = end_of(process)
    assert code == (KILLED if how is signal.SIGKILL else 130), talk
    return case.found(), talk


@on_every_store
def test_a_killed_run_goes_on_without_waiting_for_its_lease(case: Case) -> None:
    """Whoever comes back after a crash wants to go on now, not in a minute."""
    scene, _ = stopped_in(case, "gathered", signal.SIGKILL, TAGENT_LEASE_SECONDS="60")
    resume = start_command(case, "runs", "resume", scene.run_id, "--store", case.place.url, "--json")
    code, output, talk = end_of(resume)
    assert code == 0, talk
    case.judge(outcome_of_json(output))


@pytest.mark.parametrize(("how", "step"), [(signal.SIGINT, "gathered"), (signal.SIGTERM, "checked")])
def test_a_run_that_is_asked_to_stop_prints_the_command_that_finishes_it(
    case: Case, how: signal.Signals, step: str
) -> None:
    """Neither an async step nor a blocking one keeps the process, and the line can be pasted as it is."""
    _, talk = stopped_in(case, step, how)
    line = next(line for line in talk.splitlines() if "tagent runs resume" in line)
    program, *arguments = shlex.split(line.partition(": ")[2])
    assert program == "tagent"
    code, output, talk = end_of(start_command(case, *arguments, "--json"))
    assert code == 0, talk
    case.judge(outcome_of_json(output))


def test_a_run_that_kills_its_process_every_time_is_given_up_as_a_crash_loop(case: Case) -> None:
    """A supervisor that resumes whatever died would otherwise burn money and time until somebody looks."""
    idle = 0
    for _ in range(MAX_IDLE_RESUMES * 4):
        code, victim = case.nursery.run(replace(case.orders, point="effect.before:checked"))
        case.found()
        if code != KILLED:
            break
        case.figures.kills += 1
        idle += 1
    assert (code, victim.last_words["error"]) == (1, "run.crash_loop")
    assert "'checked'" in victim.last_words["message"]
    assert idle > MAX_IDLE_RESUMES
    last = case.scenes[-1].events[-1]
    assert isinstance(last, RunFinished)
    assert case.scenes[-1].run
    assert (last.status, last.code, case.scenes[-1].run.status) == ("failed", "run.crash_loop", "failed")
    case.finish()  # it was mended: once more is allowed


class NoModels:
    """What a process has whose keys were forgotten."""

    async def model_for(self, config: TAgentConfig) -> LanguageModel:
        raise ModelNotChosenError(key_variables={})


async def test_a_resume_that_cannot_get_under_way_leaves_the_run_to_others() -> None:
    """Whoever forgot a key, sets it and tries again must not be told that the run is held: by themselves."""
    opened = services(model=ScriptedModel([{"not_achieved_because": "Not today."}]))
    pipeline = Pipeline("p").step("a", "Find it", max_retries=0)
    failed = await PipelineExecutor(pipeline, services=opened).execute()
    for _ in range(2):
        with pytest.raises(ModelNotChosenError):
            await resume_run(failed.run_id, replace(opened, models=NoModels()), TAgentConfig(), pipeline=pipeline)
    assert (await opened.store.run(failed.run_id)).owner == ""
