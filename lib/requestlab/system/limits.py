"""What else decides how fast things are on this machine: memory, limits, pressure, and variables that slow Python
down."""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass
from pathlib import Path

import psutil

from requestlab.worker.kernel import PORTABLE

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUP = Path("/proc/self/cgroup")

SLOWING = {
    "PYTHONASYNCIODEBUG": "every event loop runs in debug mode",
    "PYTHONDEVMODE": "every Python process runs in development mode",
    "PYTHONMALLOC": "memory may be allocated with debugging",
    "PYTHONTRACEMALLOC": "every allocation is traced",
    "COVERAGE_PROCESS_START": "every line that runs is recorded",
}
"""What a variable does to every Python process that it is set for."""


@dataclass(frozen=True)
class Limits:
    """What else decides how fast things are here. Sizes in bytes; None where the system does not say, or sets no limit.

    `cpu_limit` is in cores, `load_average` that of the last minute, `cpu_pressure` the percentage of the last ten
    seconds in which something waited for a core, `slowing` the names of variables that slow every Python process down.
    """

    memory: int
    memory_available: int
    memory_limit: int | None
    cpu_limit: float | None
    open_files: int | None
    load_average: float
    cpu_pressure: float | None
    governor: str | None
    slowing: tuple[str, ...]


def limits() -> Limits:
    """Read what the system says about memory, limits, and what else it is doing."""
    memory = psutil.virtual_memory()
    open_files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return Limits(
        memory=memory.total,
        memory_available=memory.available,
        memory_limit=_memory_limit(memory.total),
        cpu_limit=cpu_limit(),
        open_files=None if open_files == resource.RLIM_INFINITY else open_files,
        load_average=os.getloadavg()[0],
        cpu_pressure=_pressure(),
        governor=_read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        slowing=tuple(name for name in SLOWING if os.environ.get(name)),
    )


def _memory_limit(total: int) -> int | None:
    texts = [*_of_control_group("memory.max"), _read(CONTROL_GROUPS / "memory/memory.limit_in_bytes")]
    limits = [int(text) for text in texts if text and text.isdecimal()]
    return min((limit for limit in limits if limit < total), default=None)


def cpu_limit() -> float | None:
    """Return how many cores the system lets this process use at once, where it sets a limit."""
    old = [_read(CONTROL_GROUPS / "cpu" / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
    pairs = [*(text.split() for text in _of_control_group("cpu.max")), [text or "" for text in old]]
    return min((int(quota) / int(period) for quota, period in pairs if quota.isdecimal()), default=None)


def _of_control_group(name: str) -> list[str]:
    """Return what this process's control group (version 2) and those above it say."""
    own = next((line[3:] for line in (_read(OWN_GROUP) or "").splitlines() if line.startswith("0::")), "/")
    group = CONTROL_GROUPS / own.lstrip("/")
    said = [_read(folder / name) for folder in (group, *group.parents) if folder.is_relative_to(CONTROL_GROUPS)]
    return [text for text in said if text]


def _pressure() -> float | None:
    words = (_read("/proc/pressure/cpu") or "").split()
    return next((float(word[6:]) for word in words if word.startswith("avg10=")), None)


def _read(path: str | Path) -> str | None:
    if PORTABLE:
        return None
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None
