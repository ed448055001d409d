"""Who listens at an address of this machine: its processes, their cores, and the Python that they run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from requestlab.errors import ConfigurationError
from requestlab.serving.interpreters import interpreter
from requestlab.system import machine
from requestlab.system.machine import Machine

_LISTENING = "0A"


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
    pids = [pid for pid in _holders(set(_sockets(port))) if pid != os.getpid()]
    masters = {parent for pid in pids if (parent := _parent(pid)) in pids}
    workers = tuple(pid for pid in pids if pid not in masters)
    cores: set[int] = set()
    for pid in workers:
        with suppress(OSError):
            cores |= os.sched_getaffinity(pid)
    return Listeners(workers, tuple(sorted(cores)), _machine(workers))


def _sockets(port: int) -> Iterator[str]:
    """Yield the inodes of the sockets that listen on a port."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError), open(table) as lines:
            next(lines)
            for line in lines:
                fields = line.split()
                if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                    yield fields[9]


def _holders(inodes: set[str]) -> list[int]:
    """Return the processes that have one of these sockets open, as far as this user may see."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    found = []
    for pid in psutil.pids() if wanted else ():
        with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as files:
            if any(_link(entry) in wanted for entry in files):
                found.append(pid)
    return found


def _link(entry: os.DirEntry[str]) -> str:
    try:
        return os.readlink(entry.path)
    except OSError:
        return ""


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
