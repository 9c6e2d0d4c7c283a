"""Who holds a run: this process, another one, or one that is gone."""

import os
import subprocess
import sys

from tagent.adapters.processes import MachineProcesses

NAME = "from tagent.adapters.processes import MachineProcesses; print(MachineProcesses().this_process(), flush=True)"


def test_this_process_is_there() -> None:
    """It holds what it holds."""
    processes = MachineProcesses()
    assert processes.this_process() == processes.this_process()
    assert not processes.is_gone(processes.this_process())


def test_a_process_is_gone_when_it_has_ended() -> None:
    """So nobody waits for its lease; not while it lives, though."""
    child = subprocess.Popen([sys.executable, "-c", f"{NAME}; input()"], stdin=-1, stdout=-1, text=True)
    assert child.stdout is not None
    name = child.stdout.readline().strip()
    assert not MachineProcesses().is_gone(name)
    child.communicate("\n")
    assert MachineProcesses().is_gone(name)


def test_a_number_that_is_used_again_is_another_process() -> None:
    """Numbers come round; the time of the start does not."""
    host, number, started = MachineProcesses().this_process().split(" ")
    assert MachineProcesses().is_gone(f"{host} {number} {int(started) - 1}")


def test_nothing_of_an_earlier_boot_is_left_and_of_other_machines_nobody_knows() -> None:
    """Taking over from a live holder would be worse than waiting for its lease."""
    host, number, started = MachineProcesses().this_process().split(" ")
    machine, boot, namespace = host.split("/", 2)
    assert MachineProcesses().is_gone(f"{machine}/another-boot/{namespace} {number} {started}")
    assert not MachineProcesses().is_gone(f"elsewhere/{boot}/{namespace} {number} {started}")
    assert not MachineProcesses().is_gone(f"{machine}/{boot}/pid:[1] {number} 1")
    assert not MachineProcesses().is_gone("somebody")


def test_a_user_s_name_can_be_written_anywhere() -> None:
    """It goes into the journal of each run that he starts, answers or stops; the environment may hold any bytes."""
    script = "from tagent.adapters.processes import MachineProcesses; print(ascii(MachineProcesses().user()))"
    environment = {**os.environb, b"LOGNAME": b"d\xe9j\xe0"}
    told = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.startswith("'d?j?@")
