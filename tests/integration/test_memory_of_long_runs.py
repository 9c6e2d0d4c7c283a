"""A long run whose steps give megabytes, in a process of its own: how much memory it takes, live and resumed."""

import json
import subprocess
import sys
import tempfile

import pytest

from commands import environment

MEGABYTE = 1_000_000
LIMIT_MEGABYTES = 200

PROGRAM = f"""
import asyncio, json, os, re, sys
from pathlib import Path
from tagent import TAgentConfig
from tagent.pipeline import Pipeline, PipelineExecutor
from tagent.pipeline.resuming import resume_run
from tagent.runtime import open_services

config = TAgentConfig(store=sys.argv[1])
STEPS = int(sys.argv[3])

def peak():
    # Not what getrusage tells: that counts what the process that forked this one had taken.
    return int(re.search(r"VmHWM:[^0-9]*([0-9]+)", Path("/proc/self/status").read_text())[1]) // 1024

def step(number):
    async def work(**before):
        if number == STEPS * 9 // 10 and sys.argv[2] == "run":
            print(peak(), flush=True)
            os._exit(9)
        (last,) = before.values() if before else [f"{{-1:06}}"]
        assert int(last[:6]) == number - 1
        return f"{{number:06}}" + "x" * ({MEGABYTE} - 6)
    return work

pipeline = Pipeline("long")
for number in range(STEPS):
    pipeline.step(f"s{{number}}", run=step(number), depends_on=[f"s{{number - 1}}"] if number else [])

async def main():
    async with open_services(config) as services:
        if sys.argv[2] == "run":
            return await PipelineExecutor(pipeline, services=services).execute()
        (run,) = await services.store.runs()
        return await resume_run(run.run_id, services, config, pipeline=pipeline)

result = asyncio.run(main())
after_run = peak()
outputs = result.step_outputs
is_right = all(int(text[:6]) == number and len(text) == {MEGABYTE} for number, text in enumerate(outputs.values()))
print(json.dumps([after_run, peak(), result.success, len(outputs), is_right, int(outputs["s7"][:6])]))
"""


def child(url: str, what: str, steps: int, *, folder: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, url, what, str(steps)],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.mark.parametrize(("url", "steps"), [("sqlite:///runs.db", 1_000), ("file:///runs", 300)])
def test_a_run_that_gives_a_gigabyte_takes_little_memory(url: str, steps: int) -> None:
    """Neither while it runs, nor when it is taken up again, nor when all of its outputs are read."""
    with tempfile.TemporaryDirectory() as folder:  # not `tmp_path`, which stays for a while
        died = child(url, "run", steps, folder=folder)
        assert died.returncode == 9, died.stderr
        assert int(died.stdout) < LIMIT_MEGABYTES
        resumed = child(url, "resume", steps, folder=folder)
    assert resumed.returncode == 0, resumed.stderr
    after_run, after_reading, *rest = json.loads(resumed.stdout)
    assert rest == [True, steps, True, 7]
    assert after_run < LIMIT_MEGABYTES
    assert after_reading < LIMIT_MEGABYTES
