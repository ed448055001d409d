"""What only Linux can do or tell; `portable` has the same names for every other Unix.

Most functions of `os` release the GIL around the system call. On the event loop, beside a thread that computes, each
such call would cost it the GIL for 5 ms: the heartbeat would cause the lag that it measures. So timers and small files
of /proc are asked without giving the GIL away. The timeouts of epoll and of event loops are rounded to whole
milliseconds, which is too coarse for a heartbeat or for a thousand requests per second.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import time
import weakref
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from requestlab.worker.schema import IN_CALL, IN_LOCK, UNKNOWN

if TYPE_CHECKING:
    import asyncio

_kernel = ctypes.PyDLL(None, use_errno=True)  # keeps the GIL, which CDLL releases
_ABSOLUTE = 1
_SECOND_NS = 1_000_000_000
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_SYSTEM_CALL = "/proc/self/task/{}/syscall"
_FUTEX = {"x86_64": "202", "aarch64": "98", "riscv64": "98", "loongarch64": "98", "ppc64le": "221", "s390x": "238"}.get(
    os.uname().machine
)

SIGNAL = signal.SIGURG
"""What a `SignalTimer` sends. Hardly a program uses it, and where there is no handler any more, as when Python ends,
the kernel ignores it."""


# How processes end


def die_with_parent() -> None:
    """Ask the kernel to SIGKILL this process when the thread that started it ends; lost on fork, kept on exec."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent ends."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if _kernel.prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl failed")


# Cores and files


def usable_cores(pid: int = 0) -> set[int]:
    """Return the numbers of the cores that a process may run on; of this one, if none is named. Raises OSError where it
    has ended, or is another user's."""
    return os.sched_getaffinity(pid)


def run_on(cores: Collection[int]) -> None:
    """Let this process run on these cores only."""
    os.sched_setaffinity(0, cores)


def open_as_many_files_as_may_be() -> None:
    """Let this process have as many files open as the system allows: each connection is one."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


# Timers


class _Timer:
    """A timer that becomes readable at a time of CLOCK_MONOTONIC: see timerfd_create(2). Python has that since 3.13
    only."""

    def __init__(self, flags: int = 0) -> None:
        self._fd: int = _kernel.timerfd_create(time.CLOCK_MONOTONIC, os.O_CLOEXEC | flags)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._setting = (ctypes.c_long * 4)()

    def fileno(self) -> int:
        return self._fd

    def set(self, at_ns: int, every_ns: int = 0) -> None:
        """Go off at that time, at once if it has passed, and then every so many ns; forget what was."""
        self._setting[:] = [*divmod(every_ns, _SECOND_NS), *divmod(max(at_ns, 1), _SECOND_NS)]
        _kernel.timerfd_settime(self._fd, _ABSOLUTE, self._setting, None)

    def close(self) -> None:
        os.close(self._fd)


class Alarm(_Timer):
    """A timer that calls `ring` on an event loop when it goes off; `ring` must ask how often it was `heard`. `exact` or
    not: on Linux it always is."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None], *, exact: bool = True) -> None:
        super().__init__(os.O_NONBLOCK)
        self._count = ctypes.c_uint64()
        self._count_at = ctypes.byref(self._count)
        self._loop = weakref.ref(loop)
        loop.add_reader(self._fd, ring)

    def heard(self) -> int:
        """Return how often it has gone off since it was last asked."""
        return self._count.value if _kernel.read(self._fd, self._count_at, 8) == 8 else 0

    def close(self) -> None:
        loop = self._loop()
        if loop is not None and not loop.is_closed():
            loop.remove_reader(self._fd)
        super().close()


class Bell(_Timer):
    """A timer for a thread that sleeps until it goes off; other threads may set it meanwhile."""

    def wait(self) -> None:
        """Sleep until it has gone off since it was last set."""
        os.read(self._fd, 8)


class _Event(ctypes.Structure):
    """`struct sigevent` of Linux; see sigevent(7)."""

    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("thread", ctypes.c_int),
        ("padding", ctypes.c_byte * 44),
    ]


class SignalTimer:
    """A timer that sends `SIGNAL` to a thread, given by its native id: see timer_create(2). A forked child does not
    inherit it."""

    _TO_THREAD = 4  # SIGEV_THREAD_ID

    def __init__(self, thread: int) -> None:
        self._timer = ctypes.c_void_p()
        event = _Event(signal=SIGNAL, notify=self._TO_THREAD, thread=thread)
        if _kernel.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)) != 0:
            raise OSError(ctypes.get_errno(), "timer_create failed")
        self._setting = (ctypes.c_long * 4)()

    def set(self, at_ns: int) -> None:
        """Go off once, at that time of CLOCK_MONOTONIC; forget what was."""
        self._setting[2], self._setting[3] = divmod(at_ns, _SECOND_NS)
        _kernel.timer_settime(self._timer, _ABSOLUTE, self._setting, None)

    def close(self) -> None:
        _kernel.timer_delete(self._timer)


# What threads do


class _Peek:
    """A small file of /proc that can be read again and again."""

    def __init__(self, path: str) -> None:
        self._fd: int = _kernel.open(path.encode(), os.O_RDONLY | os.O_CLOEXEC)
        self._buffer = ctypes.create_string_buffer(256)

    def words(self) -> list[bytes]:
        """Return what stands in it now; nothing where it cannot be read."""
        size = _kernel.pread(self._fd, self._buffer, 255, ctypes.c_long(0))
        return self._buffer.raw[:size].split() if size > 0 else []

    def close(self) -> None:
        if self._fd >= 0:
            _kernel.close(self._fd)
            self._fd = -1


class Waiting(_Peek):
    """Tells how long a thread has been ready to run without a core to run on; 0 where the kernel is silent.

    That is the second number of /proc/…/schedstat, which is right when the thread runs or sleeps; see sched-stats of
    the Linux kernel.
    """

    def __init__(self, thread: int) -> None:
        super().__init__(f"/proc/self/task/{thread}/schedstat")

    def so_far_ns(self) -> int:
        words = self.words()
        return int(words[1]) if len(words) > 1 else 0


class State(_Peek):
    """Tells what a thread waits for; see proc_pid_syscall(5)."""

    def __init__(self, thread: int) -> None:
        super().__init__(_SYSTEM_CALL.format(thread))

    def now(self) -> int:
        """Return one of `schema.STATES`."""
        words = self.words()
        if not words or not words[0].isdigit():
            return UNKNOWN
        return IN_LOCK if words[0].decode() == _FUTEX else IN_CALL


def thread_cpu_ns(thread: int) -> int:
    """Return the CPU time of any thread of this process, 0 if it is gone; see clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime_ns((~thread << 3) | 6)
    except OSError:
        return 0


def name_thread(name: str) -> None:
    """Name the calling thread for the kernel, so that tools outside the process can tell it from the application's."""
    try:
        with open("/proc/thread-self/comm", "w") as file:
            file.write(name)
    except OSError:
        pass
