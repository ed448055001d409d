"""Running load processes: plans go in; their reports, their samples and the server's threads come out."""

from __future__ import annotations

import glob
import json
import os
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from requestlab.errors import GeneratorError
from requestlab.load.plan import COLUMNS, THREAD_COLUMNS, LoadReport, Plan
from requestlab.system.child import TICK_S, Child
from requestlab.system.values import from_plain
from requestlab.worker import watchdog

SAMPLING_S = 0.01
"""How often the threads of each worker are counted, where the probe is on."""

AFTERMATH_S = 0.1
"""How much longer they are counted after the last answer: threads may end with their request."""

READY_CHECK_S = 0.001
"""How often a load process is looked at until it has its plan: by so much its load may begin later than it could."""

ROW_BYTES = np.dtype(np.int64).itemsize * len(COLUMNS)

_PATIENCE_S = 5.0

Table = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a load process reported, its samples (plan.COLUMNS), and the thread counts (plan.THREAD_COLUMNS)."""

    report: LoadReport
    samples: Table
    thread_samples: Table


@dataclass(frozen=True)
class Job:
    """A plan, whom it is for (its path, in words of errors), and how many seconds after the first ones it begins."""

    plan: Plan
    name: str = ""
    after_s: float = 0.0


class LoadProcessPool:
    """Load processes that are used again: starting one takes as long as a short slice. A context manager.

    Resources: as many processes as were at work at once, all gone when the block is left; one that failed is gone at
    once.
    """

    def __init__(self) -> None:
        self._idle: list[_LoadProcess] = []

    def __enter__(self) -> LoadProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().end()

    @contextmanager
    def sent(self, job: Job) -> Iterator[_LoadProcess]:
        """Give a process a job; one that failed, or did not tell all of its outcome, is not used again."""
        process = self._idle.pop() if self._idle else _LoadProcess()
        if not process.alive:
            process.end()
            process = _LoadProcess()
        try:
            process.take(job)
            yield process
        except BaseException:
            process.end()
            raise
        if process.has_told:
            self._idle.append(process)
        else:
            process.end()


def run_jobs(
    jobs: Sequence[Job], watched: tuple[int, ...], tick: Callable[[], None], pool: LoadProcessPool
) -> tuple[Outcome, ...]:
    """Run a load process for each job, all at once, to the end of the last; the outcomes have the thread counts in
    common.

    `watched` are the pids whose threads are counted, `tick` is called meanwhile. No load begins before every process
    has started. Raises GeneratorError as soon as one fails, or does not end. Resources: one process a job, of the pool.
    """
    deadline = time.monotonic() + max(one.after_s + one.plan.longest_s for one in jobs) + _PATIENCE_S
    threads = _ThreadCounts(watched)
    with ExitStack() as stack:
        processes = [stack.enter_context(pool.sent(one)) for one in jobs]
        _wait_for_plans(processes, deadline, tick)
        _carry_out(processes, threads, deadline, tick)
        threads.count_for(AFTERMATH_S)
        table = threads.table()
        return tuple(one.outcome(table) for one in processes)


def _wait_for_plans(processes: Sequence[_LoadProcess], deadline: float, tick: Callable[[], None]) -> None:
    while not all(one.ready for one in processes):
        time.sleep(READY_CHECK_S)
        tick()
        processes[0].check_time(deadline)


def _carry_out(
    processes: Sequence[_LoadProcess], threads: _ThreadCounts, deadline: float, tick: Callable[[], None]
) -> None:
    """Give each its starting signal when it is due, and read until all have told their outcome."""
    first = time.monotonic()
    waiting = sorted(processes, key=lambda one: one.after_s)
    with selectors.DefaultSelector() as selector:
        for one in processes:
            selector.register(one.stdout, selectors.EVENT_READ, one)
        threads.count()
        while selector.get_map():
            while waiting and time.monotonic() >= first + waiting[0].after_s:
                waiting.pop(0).begin()
            patience = SAMPLING_S if threads.pids else TICK_S
            if waiting:
                patience = min(patience, max(0.0, first + waiting[0].after_s - time.monotonic()))
            for key, _ in selector.select(patience):
                if not key.data.read_on():
                    selector.unregister(key.fileobj)
                    key.data.check()
            threads.count()
            tick()
            processes[0].check_time(deadline)


class _LoadProcess(Child):
    """A load process; each job is a plan in and an outcome out. A plan is one line, and its end the starting signal."""

    def __init__(self) -> None:
        super().__init__("requestlab.load.generator", "the load process", GeneratorError)

    def take(self, job: Job) -> None:
        """Tell it the plan, all but the end of the line."""
        self.after_s = job.after_s
        self.name = f"the load process on {job.name}" if job.name else "the load process"
        self._output = bytearray()
        self._report: LoadReport | None = None
        self._expected = -1
        self.tell(job.plan.to_json())

    @property
    def ready(self) -> bool:
        """Whether the process has read its plan, all but the end of the line; or has died, which `check` will say."""
        return self.has_read or not self.alive

    def begin(self) -> None:
        """Give the starting signal."""
        self.tell(b"\n")

    def read_on(self) -> bool:
        """Take what the process has written; return whether more is to come."""
        data = self.read()
        self._output += data
        if self._report is None and b"\n" in data:
            line = bytes(self._output).partition(b"\n")[0]
            self._report = from_plain(LoadReport, json.loads(line))
            self._expected = len(line) + 1 + self._report.rows * ROW_BYTES
        return bool(data) and not self.has_told

    @property
    def has_told(self) -> bool:
        """Whether the outcome is there, and nothing but the outcome."""
        return len(self._output) == self._expected

    def check(self) -> None:
        """Raise GeneratorError if the process, which has written its last, has failed."""
        if not self.has_told:
            raise self.failure()

    def outcome(self, threads: Table) -> Outcome:
        assert self._report is not None
        rows = bytes(self._output[self._expected - self._report.rows * ROW_BYTES :])
        return Outcome(self._report, np.frombuffer(rows, dtype=np.int64).reshape(-1, len(COLUMNS)), threads)


class _ThreadCounts:
    """How many threads each of these processes has had, apart from the probe's own."""

    def __init__(self, pids: tuple[int, ...]) -> None:
        self.pids = pids
        self._rows: list[tuple[int, int, int]] = []
        self._probes = {pid: _threads_of_the_probe(pid) for pid in pids}

    def count(self) -> None:
        for pid in self.pids:
            with suppress(OSError):
                count = len(os.listdir(f"/proc/{pid}/task"))
                self._rows.append((time.perf_counter_ns(), pid, count))

    def count_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while self.pids and time.monotonic() < end:
            time.sleep(SAMPLING_S)
            self.count()

    def table(self) -> Table:
        """Return one row a process and moment: plan.THREAD_COLUMNS."""
        probes = {pid: found or _threads_of_the_probe(pid) for pid, found in self._probes.items()}  # some start late
        rows = [(at, pid, count - probes[pid]) for at, pid, count in self._rows]
        return np.array(rows, dtype=np.int64).reshape(-1, len(THREAD_COLUMNS))


def _threads_of_the_probe(pid: int) -> int:
    """Return how many threads of a worker are the probe's own, which nobody wants to have counted."""
    names = []
    for path in glob.glob(f"/proc/{pid}/task/*/comm"):
        with suppress(OSError):
            names.append(Path(path).read_text().strip())
    return names.count(watchdog.NAME)
