"""`make fuzz`: a million cases in child processes. Each must end with an answer or with an error of tagent.

A case that takes more than a second of processor time, raises anything else or ends its process fails the whole.
"""

import argparse
import ast
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BATCH = 20_000
SECONDS_FOR_A_BATCH = 600
"""Wall-clock seconds: a batch takes some ten."""


class BatchFailedError(Exception):
    """A batch did not end well; the message names the case."""


def run_batch(kind: str, seed: int, count: int) -> Counter[str]:
    """Return how many cases of a batch ended in which way.

    Raises:
        BatchFailedError: If one of them hung, broke its process or raised what is no error of tagent.
    """
    ended = _child(kind, seed, count)
    if ended.returncode == 0:
        counts: dict[str, int] = ast.literal_eval(ended.stdout.split("cases: ", 1)[1])
        return Counter(counts)
    told = _child(kind, seed, count, "--tell").stdout.splitlines()
    case = told[-1] if told else "none was begun"
    raise BatchFailedError(
        f"{kind}, seed {seed}, exit status {ended.returncode} ({_meaning(ended.returncode)}), at case {case}\n"
        f"{ended.stderr[-2000:]}"
    )


def _child(kind: str, seed: int, count: int, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fuzz.batch", kind, str(seed), str(count), *options]
    here = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": here}
    return subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=SECONDS_FOR_A_BATCH, check=False
    )


def _meaning(status: int) -> str:
    return "more than a second" if status == -signal.SIGPROF else "an exception" if status == 1 else "the process died"


def run_batches(kind: str, count: int, *, processes: int, first_seed: int = 0) -> Counter[str]:
    """Return how many of `count` cases ended in which way; `processes` batches run at once.

    Raises:
        BatchFailedError: If one of them fails.
    """
    sizes = [min(BATCH, count - start) for start in range(0, count, BATCH)]
    with ThreadPoolExecutor(processes) as pool:
        batches: Iterable[Counter[str]] = pool.map(
            run_batch, [kind] * len(sizes), range(first_seed, first_seed + len(sizes)), sizes
        )
        return sum(batches, Counter())


def main() -> None:
    """Run as many cases as asked for, and tell what came of them."""
    parser = argparse.ArgumentParser(prog="make fuzz")
    parser.add_argument("--conditions", type=int, default=900_000)
    parser.add_argument("--definitions", type=int, default=100_000)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    given = parser.parse_args()
    for kind, count in {"conditions": given.conditions, "definitions": given.definitions}.items():
        started = time.monotonic()
        outcomes = run_batches(kind, count, processes=given.processes)
        seconds = time.monotonic() - started
        total = outcomes.total()
        sys.stdout.write(f"{total:,} {kind} in {seconds:.0f} s, {total / seconds:,.0f} a second\n")
        for outcome, times in outcomes.most_common():
            sys.stdout.write(f"  {times:>9,} {outcome}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
