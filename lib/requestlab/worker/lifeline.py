"""A server's processes end with their supervisor.

A process that outlives the notebook keeps its port and its core. On Linux, two calls of prctl(2) prevent that: a
process can ask to be killed when its parent ends, and an ancestor can ask to inherit orphans, so that it can end them
too. Elsewhere a guardian does it: see `requestlab.serving.guardian`.
"""

from __future__ import annotations

import os
import signal

from requestlab.worker import kernel

SUPERVISOR_VARIABLE = "REQUESTLAB_SUPERVISOR"
"""In the environment of every process of a server: the pid of its supervisor. It also marks them as the lab's."""

FAILED_LOAD = signal.SIGUSR1
"""Tells the supervisor that a worker could not load the application; uvicorn would start another one for ever."""


def tie_worker_to_supervisor() -> None:
    """Die when the master dies; leave at once where master and supervisor have died already."""
    if kernel.PORTABLE:  # the guardian ends it
        return
    kernel.die_with_parent()
    supervisor = _supervisor()
    if supervisor and supervisor not in (os.getppid(), _parent_of(os.getppid())):
        os._exit(1)


def report_failed_load() -> None:
    """Tell the supervisor, if there is one, that this worker will never be ready."""
    if supervisor := _supervisor():
        os.kill(supervisor, FAILED_LOAD)


def _supervisor() -> int:
    return int(os.environ.get(SUPERVISOR_VARIABLE, "0"))


def _parent_of(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as stat:
            return int(stat.read().rpartition(b")")[2].split()[1])
    except OSError:
        return 0
