"""The child process of `embedded`: serves FILE on a socket in FOLDER until its standard input ends."""

import os
import shutil
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tagent.adapters.models.embedded import SOCKET_NAME

if TYPE_CHECKING:
    import xllamacpp

CONTEXT_TOKENS = 8_192
PARALLEL = 4
"""Answers at the same time; they share the context, so each has a quarter of it."""


def main(file: str, folder: str) -> None:
    """Serve until standard input ends, then leave at once: the engine's own ways out can crash or hang."""
    import xllamacpp

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _server = xllamacpp.Server(parameters(file, folder))  # answers as long as it lives, and is never deleted
    with suppress(BrokenPipeError):  # who asked for the model is gone already
        sys.stdout.write("ready\n")
        sys.stdout.flush()
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(0)


def parameters(file: str, folder: str) -> "xllamacpp.CommonParams":
    """Return how the engine is to serve FILE: on a socket in FOLDER and nowhere else, kind to a busy machine."""
    import xllamacpp

    chosen = xllamacpp.CommonParams()
    chosen.model.path = file
    chosen.hostnames = [str(Path(folder) / SOCKET_NAME)]
    chosen.port = 0
    chosen.n_ctx = CONTEXT_TOKENS
    chosen.n_parallel = PARALLEL
    for processors in (chosen.cpuparams, chosen.cpuparams_batch):
        # Measured: with the defaults a busy machine falls to one token a second.
        processors.n_threads = max(1, (os.cpu_count() or 2) // 2)
        processors.poll = 0
    chosen.verbosity = -1
    chosen.ui = False
    chosen.endpoint_slots = False
    return chosen


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
