"""Who listens at an address of this machine: its processes, their cores, and the Python that they run."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from requestlab.errors import ConfigurationError
from requestlab.serving.interpreters import interpreter
from requestlab.system import machine
from requestlab.system.descriptors import listening_on, open_files
from requestlab.system.machine import Machine
from requestlab.worker import kernel


@dataclass(frozen=True)
class Listeners:
    """The worker processes at an address, the cores they may run on, and this machine with their versions.

    Nothing, and versions that are not known, where nobody can be seen there: behind a container, or another user's.
    """

    pids: tuple[int, ...]
    cores: tuple[int, ...]
    machine: Machine


def listeners(port: int) -> Listeners:
    """Return who listens on a port of this machine."""
    pids = [pid for pid in _holders(listening_on(port)) if pid != os.getpid()]
    masters = {parent for pid in pids if (parent := _parent(pid)) in pids}
    workers = tuple(pid for pid in pids if pid not in masters)
    cores: set[int] = set()
    for pid in workers:
        with suppress(OSError):
            cores |= kernel.usable_cores(pid)
    return Listeners(workers, tuple(sorted(cores)), _machine(workers))


def _holders(listens: Callable[[str], bool]) -> list[int]:
    """Return the processes that have such a socket open, as far as this user may see."""
    found = []
    for pid in psutil.pids():
        with suppress(OSError):
            if any(map(listens, open_files(pid))):
                found.append(pid)
    return found


def _parent(pid: int) -> int | None:
    try:
        return psutil.Process(pid).ppid()
    except psutil.Error:
        return None


def _machine(pids: tuple[int, ...]) -> Machine:
    for pid in pids:
        with suppress(psutil.Error, ConfigurationError, IndexError):
            python = psutil.Process(pid).cmdline()[0]
            if os.path.isabs(python) and Path(python).name.startswith("python"):
                return interpreter(python).machine
    return machine.unknown()
