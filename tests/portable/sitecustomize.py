"""Takes from the lab, in each process that is started with this folder in PYTHONPATH, what only Linux has.

Its code may not open anything below /proc and /sys, nor call a function of C that only Linux has; the functions of
Python's that macOS lacks are gone. Other packages may: psutil reads /proc on Linux, and asks the system on macOS.
"""

import os
import socket
import sys
import time

LAB = f"{os.sep}{os.path.join('lib', 'requestlab', '')}"
STANDARD_LIBRARY = os.path.dirname(os.__file__)
ONLY_LINUX = ("prctl", "timerfd_create", "timerfd_settime", "timer_create", "timer_settime", "sched_setaffinity")
ABSENT = {os: ("pidfd_open", "sched_getaffinity", "sched_setaffinity", "waitid"), socket: ("SOCK_NONBLOCK",)}


def _is_asked_by_the_lab() -> bool:
    """Return whether the first frame outside Python's own library is the lab's."""
    frame = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if "site-packages" in file or not file.startswith((STANDARD_LIBRARY, "<frozen")):
            return LAB in file
        frame = frame.f_back
    return False


def _refuse(event: str, arguments: tuple) -> None:
    if event in ("open", "os.listdir", "os.scandir"):
        path = arguments[0]
        path = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
        if path.startswith(("/proc/", "/sys/")) and _is_asked_by_the_lab():
            raise PermissionError(13, "the lab may not ask this on the portable way", path)
    elif event == "import" and arguments[0] == "requestlab.worker.linux":
        raise ImportError("the lab may not load this on the portable way")
    elif event == "ctypes.dlsym" and arguments[1] in ONLY_LINUX:
        raise OSError(f"the lab may not call {arguments[1]} on the portable way")


def _clock(clock: int) -> int:
    if clock < 0:
        raise OSError("there are no clocks of other processes on the portable way")
    return _CLOCK(clock)


if os.environ.get("REQUESTLAB_PORTABLE"):
    for module, names in ABSENT.items():
        for name in names:
            if hasattr(module, name):
                delattr(module, name)
    _CLOCK, time.clock_gettime_ns = time.clock_gettime_ns, _clock
    sys.addaudithook(_refuse)
