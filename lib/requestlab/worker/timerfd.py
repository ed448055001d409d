"""A timer of the kernel's, which costs a microsecond to set and to ask, and does not give the GIL away for that.

Most functions of `os` release the GIL around the system call. On the event loop, beside a thread that computes, each such
call would cost it the GIL for 5 ms: the heartbeat would cause the lag that it measures.
"""

from __future__ import annotations

import ctypes
import os
import time

_kernel = ctypes.PyDLL(None, use_errno=True)  # keeps the GIL, which CDLL releases
_ABSOLUTE = 1
_SECOND_NS = 1_000_000_000


class Timer:
    """Counts how often it has gone off; see timerfd_create(2). Readable, for event loops, when it has.

    `blocking` is for a thread that sleeps in `wait()`.
    """

    def __init__(self, *, blocking: bool = False) -> None:
        flags = os.O_CLOEXEC | (0 if blocking else os.O_NONBLOCK)
        self.fd: int = _kernel.timerfd_create(time.CLOCK_MONOTONIC, flags)
        if self.fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create failed")
        self._setting = (ctypes.c_long * 4)()
        self._count = ctypes.c_uint64()
        self._count_at = ctypes.byref(self._count)

    def set(self, at_ns: int, every_ns: int = 0) -> None:
        """Go off at that time of CLOCK_MONOTONIC, in the past: at once, and then every so many ns; forget what was."""
        self._setting[:] = [*divmod(every_ns, _SECOND_NS), *divmod(max(at_ns, 1), _SECOND_NS)]
        _kernel.timerfd_settime(self.fd, _ABSOLUTE, self._setting, None)

    def times(self) -> int:
        """Return how often it has gone off since it was last asked; 0 where it has not. Not for a blocking one."""
        return self._count.value if _kernel.read(self.fd, self._count_at, 8) == 8 else 0

    def wait(self) -> None:
        """Sleep until it has gone off since it was last set."""
        os.read(self.fd, 8)

    def close(self) -> None:
        os.close(self.fd)


class Peek:
    """A small file of /proc that is read again and again, without giving the GIL away."""

    def __init__(self, path: str) -> None:
        try:
            self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._fd = -1
        self._buffer = ctypes.create_string_buffer(256)

    def words(self) -> list[bytes]:
        """Return what stands in it now; nothing where it cannot be read."""
        size = _kernel.pread(self._fd, self._buffer, 255, ctypes.c_long(0))
        return self._buffer.raw[:size].split() if size > 0 else []

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class Waiting(Peek):
    """Tells how long the thread that made it has been ready to run without a core to run on; 0 where the kernel is silent.

    That is the second number of /proc/…/schedstat; see sched-stats of the Linux kernel.
    """

    def __init__(self) -> None:
        super().__init__("/proc/thread-self/schedstat")

    def so_far_ns(self) -> int:
        words = self.words()
        return int(words[1]) if len(words) > 1 else 0
