"""Processes of this machine: named so that a number used again is not mistaken for the process before it."""

import getpass
import os
import socket
from functools import lru_cache
from pathlib import Path


class MachineProcesses:
    """The processes that this one can see.

    A name is `host pid start`: the host with its boot and its namespace of process numbers, so that
    neither a restart of the machine nor another container is mistaken for this one.
    """

    def this_process(self) -> str:
        """Return this process's name."""
        return _name_of(os.getpid())

    def user(self) -> str:
        """Return the user that this process runs as, and the machine."""
        return _user()

    def is_gone(self, name: str) -> bool:
        """Return True if `name` is of this host and no such process runs here any more."""
        match name.split(" "):
            case [host, pid, started] if pid.isdecimal():
                same_machine = host.split("/")[0] == _host().split("/")[0]
                if not same_machine:
                    return False
                if host != _host():
                    return host.split("/")[1] != _host().split("/")[1]  # another boot: nothing of it is left
                return _started(int(pid)) != started
            case _:
                return False


@lru_cache(maxsize=1)
def _user() -> str:
    try:
        name = getpass.getuser()
    except (OSError, KeyError):  # a container may run as a number without a name
        name = str(os.getuid())
    # A name from the environment may hold any bytes, and is written to journals.
    return f"{name}@{socket.gethostname()}".encode("utf-8", "replace").decode()


@lru_cache(maxsize=1)
def _name_of(pid: int) -> str:
    # Read once: it is asked for with every run. A forked child has another number, so another name.
    return f"{_host()} {pid} {_started(pid)}"


def _host() -> str:
    boot = _read(Path("/proc/sys/kernel/random/boot_id"))
    try:
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{boot}/{namespace}".replace(" ", "_")


def _started(pid: int) -> str:
    """Return when a process started, in the kernel's ticks; empty when it does not run.

    Where there is no /proc, a process that exists has started at "running".
    """
    if Path("/proc/self/stat").exists():
        fields = _read(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
        is_dead = not fields or fields[0] in {"Z", "X"}
        return "" if is_dead else fields[19]  # field 22 of the whole line, see proc_pid_stat(5)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "running"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
