"""A child process of the lab's own that is told lines, and answers on its standard output."""

from __future__ import annotations

import fcntl
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import termios
import time
from array import array
from collections.abc import Callable
from contextlib import suppress
from typing import IO

import psutil

from requestlab.errors import LabError
from requestlab.system.interrupts import held_back
from requestlab.worker import kernel

TICK_S = 0.1
MAX_READ = 1 << 20


class Child:
    """A process that runs `python -m MODULE`, from its start to its end. A context manager.

    `name` is what errors call it, such as `the load process`, and `error` is their class. What it writes to its
    standard error is kept for the message of an error.

    Resources: one process, two pipes and a temporary file, gone after `end()` or the `with` block. The process must end
    by itself where this one is killed: see `kernel.die_with_parent`.
    """

    def __init__(self, module: str, name: str, error: type[LabError] = LabError) -> None:
        self.name = name
        self._error = error
        self._words = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", module],  # -P: the folder of the notebook may hold any names
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,  # an interrupt in the notebook reaches only the notebook
        )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def stdout(self) -> IO[bytes]:
        """Where its answers come; selectors take it."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def alive(self) -> bool:
        """Whether it still runs. Not by `Popen.poll`: an interrupt may catch that with its lock taken, and who waits
        for the process then waits for ever."""
        if self._process.returncode is not None:
            return False
        if kernel.PORTABLE:  # macOS has no waitid
            return psutil.Process(self._process.pid).status() != psutil.STATUS_ZOMBIE
        return os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    @property
    def has_read(self) -> bool:
        """Whether it has read all that it was told."""
        unread = array("i", [0])
        fcntl.ioctl(self.stdin, termios.FIONREAD, unread)
        return not unread[0]

    def tell(self, data: bytes) -> None:
        """Write to its standard input. Nothing is raised where it has died already: `failure` has its words."""
        with suppress(BrokenPipeError):
            self.stdin.write(data)
            self.stdin.flush()

    def read(self) -> bytes:
        """Return what it has written and nobody has read yet; wait for some; empty at the end."""
        return os.read(self.stdout.fileno(), MAX_READ)

    def ask(self, line: bytes, deadline: float, tick: Callable[[], None]) -> bytes:
        """Tell it one line and return all that it answers until it ends by itself.

        `deadline` is a time of `time.monotonic`, `tick` is called meanwhile. Raises its `error` where it ends with
        another status than 0 or without an answer, or does not end in time.
        """
        self.tell(line)
        output = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(TICK_S):
                    data = self.read()
                    if not data:
                        break
                    output += data
                tick()
                self.check_time(deadline)
        if self._process.wait() != 0 or not output:
            raise self.failure()
        return bytes(output)

    def check_time(self, deadline: float) -> None:
        """Raise its `error` if that time of `time.monotonic` has passed."""
        if time.monotonic() > deadline:
            raise self._error(f"{self.name} did not finish in time; is the machine overloaded?")

    def failure(self) -> LabError:
        """Return the error that says how it ended, with its last words; for a process that has closed its output."""
        status = self._process.wait()
        self._words.seek(0)
        return self._error(f"{self.name} failed with status {status}: {self._words.read().strip()}")

    def end(self) -> None:
        """Kill it if it still runs, and close its pipes."""
        with held_back():
            if self._process.returncode is None:
                os.kill(self._process.pid, signal.SIGKILL)  # Popen.kill would poll
            self._process.wait()
            for pipe in (self.stdin, self.stdout):
                with suppress(BrokenPipeError):
                    pipe.close()
            self._words.close()
