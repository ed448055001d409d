"""Where the kernel does not end a server with its supervisor, a second process does: the guardian.

The supervisor forks it before it starts the server, and alone holds the writing end of a pipe to it. The guardian
sleeps until that pipe ends. If the supervisor has not said that all is over, it was killed: then the guardian kills
every process that has the supervisor's mark in its environment, and removes the run's directory.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from requestlab.worker import lifeline

if TYPE_CHECKING:
    import psutil

OVER = b"over"
AGAIN_S = 0.05
_IGNORED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Guardian:
    """A guardian of the processes of this supervisor, and of their directory. Made before any thread is started."""

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._begin()

    def _begin(self) -> None:
        end, self._told = os.pipe()
        supervisor = os.getpid()
        self.pid = os.fork()
        if not self.pid:
            try:
                _guard(end, supervisor, self._directory)
            finally:
                os._exit(0)
        os.close(end)

    def look(self) -> None:
        """Begin anew where it was killed itself."""
        if os.waitpid(self.pid, os.WNOHANG)[0]:
            os.close(self._told)
            self._begin()

    def dismiss(self) -> None:
        """Tell it that all is over."""
        try:
            os.write(self._told, OVER)
        except OSError:
            return  # it was killed
        os.close(self._told)
        os.waitpid(self.pid, 0)


def _guard(end: int, supervisor: int, directory: str) -> None:
    os.dup2(end, 0)
    os.closerange(1, os.sysconf("SC_OPEN_MAX"))  # a port, or a report, must not outlive those whose it is
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    if os.read(0, len(OVER)) == OVER:
        return
    import shutil  # only here: the server should not wait for this import

    kill_marked(supervisor)
    shutil.rmtree(directory, ignore_errors=True)


def kill_marked(supervisor: int) -> None:
    """SIGKILL to all processes with the mark of that supervisor, until none is left."""
    import psutil

    while left := list(marked(supervisor)):
        for process in left:
            try:
                process.kill()
            except psutil.Error:
                continue
        time.sleep(AGAIN_S)


def marked(supervisor: int) -> Iterator[psutil.Process]:
    """Yield the processes of this user that live, and have the mark of that supervisor in their environment."""
    import psutil

    for process in psutil.process_iter():
        try:
            theirs = process.environ().get(lifeline.SUPERVISOR_VARIABLE) == str(supervisor)
            if theirs and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                yield process
        except (psutil.Error, OSError):
            continue
