"""Timers of the Linux kernel and small files of /proc, asked without giving the GIL away.

Most functions of `os` release the GIL around the system call. On the event loop, beside a thread that computes, each
such call would cost it the GIL for 5 ms: the heartbeat would cause the lag that it measures. The timeouts of epoll and
of event loops are rounded to whole milliseconds, which is too coarse for a heartbeat or for a thousand requests per
second.
"""

from __future__ import annotations

import ctypes
import os
import time

_kernel = ctypes.PyDLL(None, use_errno=True)  # keeps the GIL, which CDLL releases
_ABSOLUTE = 1
_SECOND_NS = 1_000_000_000


class Alarm:
    """A timer that becomes readable at a time of CLOCK_MONOTONIC: see timerfd_create(2). Python has that since 3.13
    only.

    `blocking` is for a thread that sleeps in `wait()`.
    """

    def __init__(self, *, blocking: bool = False) -> None:
        flags = os.O_CLOEXEC | (0 if blocking else os.O_NONBLOCK)
        self._fd: int = _kernel.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._setting = (ctypes.c_long * 4)()
        self._count = ctypes.c_uint64()
        self._count_at = ctypes.byref(self._count)

    def fileno(self) -> int:
        return self._fd

    def set(self, at_ns: int, every_ns: int = 0) -> None:
        """Go off at that time, at once if it has passed, and then every so many ns; forget what was."""
        self._setting[:] = [*divmod(every_ns, _SECOND_NS), *divmod(max(at_ns, 1), _SECOND_NS)]
        _kernel.timerfd_settime(self._fd, _ABSOLUTE, self._setting, None)

    def heard(self) -> int:
        """Return how often it has gone off since it was last asked, and stop being readable. Not for a blocking one."""
        return self._count.value if _kernel.read(self._fd, self._count_at, 8) == 8 else 0

    def wait(self) -> None:
        """Sleep until it has gone off since it was last set."""
        os.read(self._fd, 8)

    def close(self) -> None:
        os.close(self._fd)


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
    """A timer that sends a signal to the thread that made it: see timer_create(2). A forked child does not inherit
    it."""

    _TO_THREAD = 4  # SIGEV_THREAD_ID

    def __init__(self, signal_number: int, thread: int) -> None:
        self._timer = ctypes.c_void_p()
        event = _Event(signal=signal_number, notify=self._TO_THREAD, thread=thread)
        if _kernel.timer_create(time.CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)) != 0:
            raise OSError(ctypes.get_errno(), "timer_create failed")
        self._setting = (ctypes.c_long * 4)()

    def set(self, at_ns: int) -> None:
        """Go off once, at that time of CLOCK_MONOTONIC; forget what was."""
        self._setting[2], self._setting[3] = divmod(at_ns, _SECOND_NS)
        _kernel.timer_settime(self._timer, _ABSOLUTE, self._setting, None)

    def close(self) -> None:
        _kernel.timer_delete(self._timer)


class Peek:
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


class Waiting(Peek):
    """Tells how long a thread has been ready to run without a core to run on; 0 where the kernel is silent.

    That is the second number of /proc/…/schedstat, which is right when the thread runs or sleeps; see sched-stats of
    the Linux kernel.
    """

    def __init__(self, thread: int) -> None:
        super().__init__(f"/proc/self/task/{thread}/schedstat")

    def so_far_ns(self) -> int:
        words = self.words()
        return int(words[1]) if len(words) > 1 else 0
