"""What only the server knows, seen from outside over time: threads, memory, open files, sockets and database
connections of each of its processes.

Threads are counted every hundredth of a second where the probe is on. The rest takes longer to read, and changes more
slowly: it is read at both ends of a slice and a few times a second between.
"""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from requestlab.load.plan import PROCESS_COLUMNS
from requestlab.system.descriptors import connected_to, open_files
from requestlab.worker import ready, watchdog
from requestlab.worker.kernel import PORTABLE
from requestlab.worker.recorder import TICKS

Table = np.ndarray[Any, np.dtype[np.int64]]

SAMPLING_S = 0.01
"""How often the threads of each worker are counted, where the probe is on."""

LOOKING_S = 0.25
"""How often all else is read."""

AFTERMATH_S = 0.1
"""How much longer threads are counted after the last answer: they may end with their request."""

NOT_READ = -1
_PAGE_KB = os.sysconf("SC_PAGESIZE") // 1024


@dataclass(frozen=True)
class Watched:
    """The worker processes of a server: `pids` as they are now, the `directory` in which each that is started later
    counts its requests (empty: not known), the port of their database (0: none that is asked over TCP), and whether to
    count threads as often as can be."""

    pids: tuple[int, ...] = ()
    directory: str = ""
    database_port: int = 0
    often: bool = False

    @property
    def now(self) -> tuple[int, ...]:
        """The workers that are there now: those of the beginning, and those that were started since."""
        return (
            tuple(dict.fromkeys([*self.pids, *ready.request_counts(self.directory)])) if self.directory else self.pids
        )


class Watch:
    """Looks at a server's processes when it is told to, and keeps what it saw."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self._rows: list[tuple[int, ...]] = []
        self._probes = {pid: self._threads_of_the_probe(pid) for pid in watched.pids} if watched.often else {}
        self._next_look = 0.0

    @property
    def patience_s(self) -> float:
        """How long to wait before the next look."""
        return SAMPLING_S if self.watched.often else LOOKING_S

    def look(self) -> None:
        """Count threads, and read all else where it is time for that."""
        if time.monotonic() >= self._next_look:
            self.look_closely()
        elif self.watched.often:
            for pid in self.watched.pids:
                with suppress(OSError, psutil.Error):
                    threads = _threads(pid)
                    self._rows.append((time.perf_counter_ns(), pid, threads, *[NOT_READ] * 5))

    def look_closely(self) -> None:
        """Read everything of every process."""
        self._next_look = time.monotonic() + LOOKING_S
        port = self.watched.database_port
        to_database = connected_to(port) if port else lambda _: False
        for pid in self.watched.now:
            with suppress(OSError, KeyError, psutil.Error):  # it has ended, or is about to
                self._rows.append((time.perf_counter_ns(), pid, *_read(pid, to_database)))

    def look_on(self) -> None:
        """Go on for a moment after the last answer."""
        end = time.monotonic() + AFTERMATH_S
        while self.watched.often and time.monotonic() < end:
            time.sleep(SAMPLING_S)
            self.look()
        self.look_closely()

    def table(self) -> Table:
        """Return one row a process and moment: plan.PROCESS_COLUMNS, without the probe's own threads."""
        pids = {row[1] for row in self._rows} if self.watched.often else set()
        probes = {pid: self._probes.get(pid) or self._threads_of_the_probe(pid) for pid in pids}  # some start late
        rows = [(at, pid, threads - probes.get(pid, 0), *rest) for at, pid, threads, *rest in self._rows]
        return np.array(rows, dtype=np.int64).reshape(-1, len(PROCESS_COLUMNS))

    def _threads_of_the_probe(self, pid: int) -> int:
        """Return how many threads of a worker are the probe's own, which nobody wants to have counted."""
        if PORTABLE:  # names of threads are not told
            return int(Path(self.watched.directory, f"{TICKS}-{pid}").exists())
        names = []
        for path in glob.glob(f"/proc/{pid}/task/*/comm"):
            with suppress(OSError):
                names.append(Path(path).read_text().strip())
        return names.count(watchdog.NAME)


def _threads(pid: int) -> int:
    return psutil.Process(pid).num_threads() if PORTABLE else len(os.listdir(f"/proc/{pid}/task"))


def _memory(pid: int) -> tuple[int, int]:
    """Return the resident memory of a process and its peak, in KB; where nobody keeps the peak, what it is now."""
    if PORTABLE:
        return (psutil.Process(pid).memory_info().rss // 1024,) * 2
    status = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return int(status["VmRSS"].split()[0]), int(status["VmHWM"].split()[0])


def _read(pid: int, to_database: Callable[[str], bool]) -> tuple[int, ...]:
    """Return threads, resident and peak memory in KB, open files, sockets and database connections of a process."""
    resident, peak = _memory(pid)
    links = list(open_files(pid))
    sockets = [link for link in links if link.startswith("socket:")]
    databases = sum(link.endswith(".sqlite3") for link in links) + sum(map(to_database, sockets))
    return _threads(pid), resident, peak, len(links), len(sockets), databases
