"""Running load processes: plans go in; their reports, their samples and the server's processes come out."""

from __future__ import annotations

import json
import selectors
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np

from requestlab.errors import GeneratorError
from requestlab.load.plan import COLUMNS, OUTCOME, PART_COLUMNS, ROWS, LoadReport, Plan
from requestlab.load.watch import Table, Watch, Watched
from requestlab.system.child import TICK_S, Child
from requestlab.system.interrupts import held_back
from requestlab.system.values import from_plain

READY_CHECK_S = 0.001
"""How often a load process is looked at until it has its plan: by so much its load may begin later than it could."""

NUMBER_BYTES = np.dtype(np.int64).itemsize

_PATIENCE_S = 5.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a load process reported, its samples (plan.COLUMNS), the parts of bodies (plan.PART_COLUMNS), and what was
    seen of the server's processes (plan.PROCESS_COLUMNS)."""

    report: LoadReport
    samples: Table
    parts: Table
    process_samples: Table


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
        with held_back():
            while self._idle:
                self._idle.pop().end()

    def start_one(self) -> None:
        """Have a process ready before the first job."""
        self._idle.append(_LoadProcess())

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

    def run(
        self,
        jobs: Sequence[Job],
        watched: Watched,
        tick: Callable[[], None],
        *,
        begin_ns: int = 0,
        rows: Callable[[bytes], None] = lambda data: None,
    ) -> tuple[Outcome, ...]:
        """Run a load process for each job, all at once, to the end of the last; the outcomes have in common what was
        seen of the server's processes, which are `watched`.

        `tick` is called meanwhile. No load begins before every process has started, nor before `begin_ns` of
        CLOCK_MONOTONIC; `rows` is given those that are sent before the end (`Plan.spill_s`). Raises GeneratorError as
        soon as one fails, or does not end. Resources: one process a job, of the pool.
        """
        first = max(time.monotonic(), begin_ns / 1e9)
        deadline = first + max(one.after_s + one.plan.longest_s for one in jobs) + _PATIENCE_S
        watch = Watch(watched)
        with ExitStack() as stack:
            processes = [stack.enter_context(self.sent(one)) for one in jobs]
            _wait_for_plans(processes, deadline, tick)
            _carry_out(processes, watch, max(time.monotonic(), begin_ns / 1e9), deadline, tick, rows)
            watch.look_on()
            table = watch.table()
            return tuple(one.outcome(table) for one in processes)


def _wait_for_plans(processes: Sequence[_LoadProcess], deadline: float, tick: Callable[[], None]) -> None:
    while not all(one.ready for one in processes):
        time.sleep(READY_CHECK_S)
        tick()
        processes[0].check_time(deadline)


def _carry_out(
    processes: Sequence[_LoadProcess],
    watch: Watch,
    first: float,
    deadline: float,
    tick: Callable[[], None],
    rows: Callable[[bytes], None],
) -> None:
    """Give each its starting signal when it is due, and read until all have told their outcome."""
    waiting = sorted(processes, key=lambda one: one.after_s)
    with selectors.DefaultSelector() as selector:
        for one in processes:
            selector.register(one.stdout, selectors.EVENT_READ, one)
        watch.look()
        while selector.get_map():
            while waiting and time.monotonic() >= first + waiting[0].after_s:
                waiting.pop(0).begin()
            patience = min(TICK_S, watch.patience_s)
            if waiting:
                patience = min(patience, max(0.0, first + waiting[0].after_s - time.monotonic()))
            for key, _ in selector.select(patience):
                if not key.data.read_on(rows):
                    selector.unregister(key.fileobj)
                    key.data.check()
            watch.look()
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
        self._output, self._begun = bytearray(), False
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

    def read_on(self, rows: Callable[[bytes], None]) -> bool:
        """Take what the process has written, give `rows` those that come before the end; return whether more is to
        come."""
        data = self.read()
        self._output += data
        if not self._begun:
            self._begin_outcome(rows)
        if self._begun and self._report is None and b"\n" in self._output:
            line = bytes(self._output).partition(b"\n")[0]
            self._report = from_plain(LoadReport, json.loads(line))
            self._tables = (self._report.rows, COLUMNS), (self._report.parts, PART_COLUMNS)
            numbers = sum(rows * len(columns) for rows, columns in self._tables)
            self._expected = len(line) + 1 + numbers * NUMBER_BYTES
        return bool(data) and not self.has_told

    def _begin_outcome(self, rows: Callable[[bytes], None]) -> None:
        """Take from what was written all that comes before the outcome."""
        while marks := [at for at in map(self._output.find, (ROWS, OUTCOME)) if at >= 0]:
            del self._output[: min(marks)]
            if self._output.startswith(OUTCOME):
                del self._output[: len(OUTCOME)]
                self._begun = True
                return
            head = len(ROWS) + NUMBER_BYTES
            end = head + int.from_bytes(self._output[len(ROWS) : head], "little")
            if len(self._output) < head or len(self._output) < end:
                return
            rows(bytes(self._output[head:end]))
            del self._output[:end]

    @property
    def has_told(self) -> bool:
        """Whether the outcome is there, and nothing but the outcome."""
        return len(self._output) == self._expected

    def check(self) -> None:
        """Raise GeneratorError if the process, which has written its last, has failed."""
        if not self.has_told:
            raise self.failure()

    def outcome(self, process_samples: Table) -> Outcome:
        assert self._report is not None
        tables, end = [], len(self._output)
        for rows, columns in reversed(self._tables):
            begin = end - rows * len(columns) * NUMBER_BYTES
            tables.append(np.frombuffer(bytes(self._output[begin:end]), dtype=np.int64).reshape(-1, len(columns)))
            end = begin
        parts, samples = tables
        return Outcome(self._report, samples, parts, process_samples)
