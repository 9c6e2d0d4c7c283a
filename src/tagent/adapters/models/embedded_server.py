"""The child process of `embedded`: serves FILE on a socket in FOLDER until its standard input ends."""

import os
import shutil
import signal
import sys
from pathlib import Path

from tagent.adapters.models.embedded import SOCKET_NAME

CONTEXT_TOKENS = 8_192
PARALLEL = 4
"""Answers at the same time; they share the context, so each has a quarter of it."""


def main(file: str, folder: str) -> None:
    """Serve until standard input ends, then leave at once: the engine's own way out can crash."""
    import xllamacpp

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parameters = xllamacpp.CommonParams()
    parameters.model.path = file
    parameters.hostnames = [str(Path(folder) / SOCKET_NAME)]
    parameters.port = 0
    parameters.n_ctx = CONTEXT_TOKENS
    parameters.n_parallel = PARALLEL
    for processors in (parameters.cpuparams, parameters.cpuparams_batch):
        # Measured: with the defaults a busy machine falls to one token a second.
        processors.n_threads = max(1, (os.cpu_count() or 2) // 2)
        processors.poll = 0
    parameters.verbosity = -1
    parameters.ui = False
    parameters.endpoint_slots = False
    server = xllamacpp.Server(parameters)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.buffer.read()
    shutil.rmtree(folder, ignore_errors=True)
    del server  # kept until here: it answers only as long as it lives
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
