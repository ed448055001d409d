"""What `linux` offers, with what every Unix has; what cannot be known or done there is said in `kernel.UNSEEN`."""

from __future__ import annotations

import os
import resource
import signal
import threading
import weakref
from collections.abc import Callable, Collection
from time import perf_counter_ns, sleep
from typing import TYPE_CHECKING

from requestlab.worker.schema import UNKNOWN

if TYPE_CHECKING:
    import asyncio

SIGNAL = signal.SIGALRM
"""What a `SignalTimer` sends."""

LOOK_S = 0.1
"""How often a process looks whether its parent is still there."""

_EARLY_S = 0.0015
"""So long before an exact alarm is due the loop begins to turn without a pause: its own timers may be late by a
millisecond."""

_SURELY_ALLOWED = 10_240
"""Open files, on macOS, where the limit is said to be infinite."""


# How processes end


def die_with_parent() -> None:
    """End this process soon after its parent has ended. It must be able to run Python meanwhile."""
    threading.Thread(target=_end_after, args=[os.getppid()], name="requestlab-parent", daemon=True).start()


def _end_after(parent: int) -> None:
    while os.getppid() == parent:
        sleep(LOOK_S)
    os._exit(1)


def adopt_orphans() -> None:
    """Do nothing: there, orphans go to the first process of the system. The mark in their environment tells them."""


# Cores and files


def usable_cores(pid: int = 0) -> set[int]:
    """Return the numbers of all cores."""
    return set(range(os.cpu_count() or 1))


def run_on(cores: Collection[int]) -> None:
    """Do nothing: the system chooses."""


def open_as_many_files_as_may_be() -> None:
    """Let this process have as many files open as the system allows: each connection is one. It may say that there is
    no limit, and allow only some."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    for number in (most, _SURELY_ALLOWED):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (number, most))
            return
        except (OSError, ValueError):
            continue


# Timers


class Alarm:
    """Calls `ring` on an event loop when it goes off; `ring` must ask how often it was `heard`. An `exact` one takes
    the core for the last 1.5 ms; any other is late by as much as the loop's own timers are, a millisecond."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None], *, exact: bool = True) -> None:
        self._loop, self._ring, self._early_s = weakref.ref(loop), ring, _EARLY_S if exact else 0.0
        self._at = self._every = 0
        self._next: asyncio.Handle | None = None

    def set(self, at_ns: int, every_ns: int = 0) -> None:
        """Go off at that time, at once if it has passed, and then every so many ns; forget what was."""
        self._at, self._every = max(at_ns, 1), every_ns
        self._begin_to_wait()

    def heard(self) -> int:
        """Return how often it has gone off since it was last asked."""
        over_ns = perf_counter_ns() - self._at
        if not self._at or over_ns < 0:
            return 0
        times = 1 + over_ns // self._every if self._every else 1
        self._at = self._at + times * self._every if self._every else 0
        if self._every:
            self._begin_to_wait()
        return times

    def close(self) -> None:
        self._at = 0
        if self._next is not None:
            self._next.cancel()

    def _begin_to_wait(self) -> None:
        if self._next is not None:
            self._next.cancel()
        loop, wait_s = self._loop(), (self._at - perf_counter_ns()) / 1e9 - self._early_s
        if loop is not None:
            self._next = loop.call_later(wait_s, self._look) if wait_s > 0 else loop.call_soon(self._look)

    def _look(self) -> None:
        if not self._at:
            return
        if perf_counter_ns() >= self._at:
            self._ring()
        else:
            self._begin_to_wait()


class Bell:
    """A timer for a thread that sleeps until it goes off; other threads may set it meanwhile."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at: int | None = None

    def set(self, at_ns: int) -> None:
        """Go off at that time, at once if it has passed; forget what was."""
        with self._changed:
            self._at = at_ns
            self._changed.notify_all()

    def wait(self) -> None:
        """Sleep until it has gone off since it was last set."""
        with self._changed:
            while self._at is None or self._at > perf_counter_ns():
                self._changed.wait(None if self._at is None else (self._at - perf_counter_ns()) / 1e9)
            self._at = None

    def close(self) -> None:
        """Nothing is to be given back."""


class SignalTimer:
    """A timer that sends `SIGNAL` to this process, whose main thread hears it: see setitimer(2). There is one only."""

    def __init__(self, thread: int) -> None:
        self._used = False

    def set(self, at_ns: int) -> None:
        """Go off once, at that time; forget what was."""
        self._used = True
        signal.setitimer(signal.ITIMER_REAL, max(at_ns - perf_counter_ns(), 1_000) / 1e9)

    def close(self) -> None:
        if self._used:
            signal.setitimer(signal.ITIMER_REAL, 0)


# What threads do


class Waiting:
    """Would tell how long a thread has waited for a core; here nobody knows."""

    def __init__(self, thread: int) -> None:
        pass

    def so_far_ns(self) -> int:
        return -1

    def close(self) -> None:
        pass


class State:
    """Would tell what a thread waits for; here nobody knows."""

    def __init__(self, thread: int) -> None:
        pass

    def now(self) -> int:
        return UNKNOWN

    def close(self) -> None:
        pass


def thread_cpu_ns(thread: int) -> int:
    """Return 0: the CPU time of another thread is not told."""
    return 0


def name_thread(name: str) -> None:
    """Do nothing."""
