"""Folders for a time: each says in its name whose it is, so that what a killed process left is found and ended."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

from requestlab.worker import kernel
from requestlab.worker.environment import DIRECTORY

SUPERVISOR = "requestlab.serving.supervisor"
_PREFIX = "requestlab"


def temporary_folder() -> str:
    """Return a new folder that only its owner may look into, named after this process. What is left of others that were
    killed goes first.

    Raises OSError where there is no room.
    """
    return tempfile.mkdtemp(prefix=prefix())


def prefix() -> str:
    """Return how the name of such a folder begins, and remove what is left of others."""
    sweep()
    return f"{_PREFIX}-{_space()}-{_name_of(os.getpid())}-"


def sweep() -> None:
    """End what is left where a process was killed together with those that should have ended it: its servers, their
    supervisors, and the folder."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}-{_space()}-*-*-*"):
        with suppress(OSError, ValueError):
            pid = int(folder.name.split("-")[2])
            if folder.stat().st_uid != os.getuid() or f"-{_name_of(pid)}-" in folder.name:
                continue
            end_all_of(str(folder))
            shutil.rmtree(folder, ignore_errors=True)


def _space() -> int:
    """Return which numbers of processes are meant: those of a container are others than those of its host."""
    return 0 if kernel.PORTABLE else os.stat("/proc/self/ns/pid").st_ino


def _name_of(pid: int) -> str:
    """Return the process's number and when it began: numbers come again."""
    try:
        if kernel.PORTABLE:
            return f"{pid}-{psutil.Process(pid).create_time():.0f}"
        began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, psutil.Error):
        began = "gone"
    return f"{pid}-{began}"


def end_all_of(folder: str) -> None:
    """SIGKILL to each process of a server of that folder, and to its supervisor."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.uids().real == os.getuid() and _works_for(process, folder):
                process.send_signal(signal.SIGKILL)


def _works_for(process: psutil.Process, folder: str) -> bool:
    """Whether it is a server's process, or the supervisor of one, of that folder."""
    if process.environ().get(DIRECTORY) == folder:
        return True
    command = process.cmdline()
    return SUPERVISOR in command and folder in command[-1]
