"""What the system can tell about time: who used how much of which core, and who waited for one."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

from requestlab.worker.kernel import PORTABLE

_TICK_NS = 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def waited_for_a_core_ns(pid: int | str = "self") -> int | None:
    """Return how long the main thread of a process has been ready to run without a core to run on: see sched-stats of
    the Linux kernel; None if the process is gone, or the system does not say."""
    if PORTABLE:
        return None
    try:
        with open(f"/proc/{pid}/schedstat") as statistics:
            return int(statistics.read().split()[1])
    except OSError:
        return None


def cpu_time_ns(pid: int) -> int | None:
    """Return the CPU time of a process, its ended threads included; None if it is gone.

    Every Linux process has a clock that others may read, finer than the ticks of /proc: see clock_getcpuclockid(3).
    """
    if PORTABLE:
        return _cpu_time_ns(pid)
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def _cpu_time_ns(pid: int) -> int | None:
    import psutil  # only here: the load process has no use for it elsewhere

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return None
    return int((times.user + times.system) * 1e9)


def use_of_cores(cores: Sequence[int]) -> dict[str, dict[str, int]]:
    """Return for each of these cores how long it has been `busy` (programs of any kind), `idle`, and taken away by
    other machines on the same host (`steal`), in ns since the system started, in steps of 10 ms; see proc_stat(5)."""
    if PORTABLE:
        return _use_of_cores(cores)
    wanted = {f"cpu{core}" for core in cores}
    found = {}
    with open("/proc/stat") as statistics:
        for line in statistics:
            name, *ticks = line.split()
            if name in wanted:
                user, nice, system, unused, waiting, _, _, stolen = map(int, ticks[:8])
                spent = {"busy": user + nice + system, "idle": unused + waiting, "steal": stolen}
                found[name] = {what: count * _TICK_NS for what, count in spent.items()}
    return found


def _use_of_cores(cores: Sequence[int]) -> dict[str, dict[str, int]]:
    import psutil

    spent = {}
    for number, times in enumerate(psutil.cpu_times(percpu=True)):
        if number in cores:
            busy = times.user + times.system + getattr(times, "nice", 0.0)
            spent[f"cpu{number}"] = {"busy": int(busy * 1e9), "idle": int(times.idle * 1e9), "steal": 0}
    return spent


def pressure_ns() -> int | None:
    """Return how long something on this machine has been waiting for a core, in ns; None where the kernel does not
    say."""
    if PORTABLE:
        return None
    try:
        with open("/proc/pressure/cpu") as pressure:
            return int(pressure.readline().rpartition("=")[2]) * 1_000
    except (OSError, ValueError):
        return None


def throttled_ns() -> int | None:
    """Return how long a CPU limit has halted the processes of this control group (version 2), in ns; None without
    one."""
    if PORTABLE:
        return None
    try:
        with open("/proc/self/cgroup") as groups:
            own = next(line[3:].strip() for line in groups if line.startswith("0::"))
        with open(f"/sys/fs/cgroup{own}/cpu.stat") as statistics:
            return next(int(line.split()[1]) * 1_000 for line in statistics if line.startswith("throttled_usec"))
    except (OSError, StopIteration):
        return None
