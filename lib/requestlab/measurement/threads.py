"""Which threads a run's workers had alive, and which of them ran which request; in tables and in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count

import numpy as np
import pandas as pd

from requestlab.measurement.record import Record, answered
from requestlab.system import wording
from requestlab.trace.activity import Booleans, Floats, Integers, evenly, stacked

MARGIN = 0.03
"""How much is shown before the first request and after the last answer, as a share of the time between."""

MAX_ROWS, MAX_BARS = 80, 300
"""Beyond these, threads and requests are left out and counted, and only the beginning of a long run is shown."""

_ALIKE = 4.0


@dataclass(frozen=True, eq=False)
class Lane:
    """The requests of one thread.

    `worker` counts the server's processes from 1, and is 0 for the requests that nobody is known to have run; `pid` is
    its process. `name` is `event loop`, `thread 3` (in order of first use in that worker) or `no answer`. `start_ms`
    and `end_ms` (from sent to done, counted from the first request planned), `row` (from 0), `failed` and `number` (of
    the request in its worker, 0 if not known) have one entry a request.
    """

    worker: int
    pid: int
    name: str
    on_loop: bool
    start_ms: Floats
    end_ms: Floats
    row: Integers
    failed: Booleans
    number: Integers

    @property
    def known(self) -> bool:
        """Whether some thread answered."""
        return self.worker > 0

    @property
    def rows(self) -> int:
        """How many rows it takes: the most requests it had in hand at once, as the client saw it."""
        return int(self.row.max(initial=-1)) + 1

    def only(self, kept: Booleans) -> Lane:
        """Return the lane with some of its requests, in no more rows than they need."""
        row = np.unique(self.row[kept], return_inverse=True)[1]
        times = self.start_ms[kept], self.end_ms[kept]
        about = self.worker, self.pid, self.name, self.on_loop
        return Lane(*about, *times, row, self.failed[kept], self.number[kept])


def lanes(run: Record) -> list[Lane]:
    """Return one lane for each (pid, thread), worker by worker, each worker's threads in order of first use.

    Requests without an answer, whose thread is not known, come last in a lane of their own.
    """
    requests, zero = run.requests, run.zero_ns
    begun = requests["sent"].where(requests["sent"] > 0, requests["planned"])
    table = pd.DataFrame(
        {
            "start": (begun - zero) / 1e6,
            "end": (requests["done"] - zero) / 1e6,
            "failed": ~answered(requests),
            "pid": requests["pid"].fillna(0).astype("int64"),
            "thread": requests["thread"].fillna(0).astype("int64"),
            "number": requests["number"].fillna(0).astype("int64"),
            "on_loop": requests["on_loop"].fillna(False).astype(bool),
        }
    ).sort_values("start", kind="stable")
    pids = [*enumerate(run.workers, start=1), (0, 0)]
    return [lane for worker, pid in pids for lane in _of_worker(worker, table[table["pid"] == pid])]


def _of_worker(worker: int, table: pd.DataFrame) -> Iterator[Lane]:
    """Yield a lane for each thread; event loops and threads are numbered apart, and an only event loop has no
    number."""
    parts = [rows for _, rows in table.groupby("thread", sort=False)]
    looping = [bool(rows["on_loop"].any()) for rows in parts]
    numbers = {True: count(1), False: count(1)}
    for on_loop, rows in zip(looping, parts, strict=True):
        number = next(numbers[on_loop])
        name = f"thread {number}" if worker else "no answer"
        if on_loop:
            name = "event loop" if sum(looping) == 1 else f"event loop {number}"
        start, end = rows["start"].to_numpy(np.float64), rows["end"].to_numpy(np.float64)
        about = worker, int(rows["pid"].iloc[0]), name, on_loop
        failed, request = rows["failed"].to_numpy(bool), rows["number"].to_numpy(np.int64)
        yield Lane(*about, start, end, stacked(start, end), failed, request)


@dataclass(frozen=True, eq=False)
class Alive:
    """Samples of one worker: `time_ms` from the first request planned, and `threads` alive.

    The first `busy` of them, at least one, were taken until just after the last answer.
    """

    worker: int
    time_ms: Floats
    threads: Floats
    busy: int

    @property
    def peak(self) -> int:
        """The most threads seen alive at once."""
        return int(self.threads[: self.busy].max())

    @property
    def peak_ms(self) -> float:
        """When that was seen first."""
        return float(self.time_ms[self.threads[: self.busy].argmax()])


def alive(run: Record, span_ms: float) -> list[Alive]:
    """Return the samples of each worker of a run that took `span_ms`, from just before its first request on."""
    table, found = run.threads, []
    time_ms = ((table["time"] - run.zero_ns) / 1e6).to_numpy(np.float64)
    for worker, pid in enumerate(run.workers, start=1):
        own = np.flatnonzero(table["pid"] == pid)
        before = int(np.searchsorted(time_ms[own], -MARGIN * span_ms))
        own = own[max(0, before - 1) :]
        time = np.maximum(time_ms[own], -MARGIN * span_ms)
        busy = int((time <= (1 + MARGIN) * span_ms).sum())
        if busy:
            found.append(Alive(worker, time, table["threads"].to_numpy(np.float64)[own], busy))
    return found


@dataclass(frozen=True, eq=False)
class Window:
    """What is shown of a run: `shown` of its `lanes`, up to `until_ms`, of a run that spans `span_ms`.

    `unseen` counts the requests until then that are left out of the lanes shown.
    """

    lanes: Sequence[Lane]
    shown: Sequence[Lane]
    until_ms: float
    span_ms: float
    unseen: int

    @property
    def known(self) -> list[Lane]:
        """The lanes of threads, without that of the requests that were not answered."""
        return [lane for lane in self.lanes if lane.known]

    @property
    def partial(self) -> bool:
        """Whether only the beginning of the run is shown."""
        return self.until_ms < self.span_ms

    @property
    def workers(self) -> list[int]:
        """The workers that answered."""
        return sorted({lane.worker for lane in self.known})


def windows(runs: Sequence[Record]) -> list[Window]:
    """Choose what is shown of runs side by side: the same stretch of time, unless they are too unlike."""
    found = [lanes(run) for run in runs]
    spans = [_span_ms(run, its) for run, its in zip(runs, found, strict=True)]
    untils = list(map(_until_ms, found, spans))
    common = one_span(spans)
    if len(set(common)) == 1:
        cut = any(until < span for until, span in zip(untils, spans, strict=True))
        untils = [min(untils)] * len(runs) if cut else common
    return list(map(_window, found, untils, common))


def one_span(spans: Sequence[float]) -> list[float]:
    """Return how much time each axis holds: the longest of the spans for all, unless one is four times longer than
    another."""
    return list(spans) if max(spans) > _ALIKE * min(spans) else [max(spans)] * len(spans)


def _span_ms(run: Record, found: Sequence[Lane]) -> float:
    ends = [float(lane.end_ms.max()) for lane in found]
    return max(max(ends, default=(run.about.end - run.zero_ns) / 1e6), 0.001)


def _until_ms(found: Sequence[Lane], span: float) -> float:
    """Return where drawing must stop for the bars to be told apart; the whole span where stopping would not help."""
    starts = np.sort(np.concatenate([lane.start_ms for lane in found] or [np.empty(0)]))
    if len(starts) <= MAX_BARS:
        return span
    typical = float(np.median(np.concatenate([lane.end_ms - lane.start_ms for lane in found])))
    until = max(float(starts[MAX_BARS]), 3 * typical)
    digit = 10.0 ** np.floor(np.log10(until))
    until = float(np.floor(until / digit * (1 + 1e-9)) * digit)
    return until if until < span / 2 else span


def _window(found: Sequence[Lane], until_ms: float, span_ms: float) -> Window:
    """Leave out what comes later and, of too many lanes and rows, all but some that are evenly spaced."""
    begun = [lane.only(lane.start_ms < until_ms) for lane in found if (lane.start_ms < until_ms).any()]
    known = [lane for lane in begun if lane.known]
    some = [*(known[i] for i in evenly(len(known), MAX_ROWS)), *(lane for lane in begun if not lane.known)]
    share = MAX_ROWS / max(MAX_ROWS, sum(lane.rows for lane in some))
    rows = [evenly(lane.rows, max(1, int(lane.rows * share))) for lane in some]
    shown = [lane.only(np.isin(lane.row, kept)) for lane, kept in zip(some, rows, strict=True)]
    unseen = sum(len(lane.row) for lane in some) - sum(len(lane.row) for lane in shown)
    return Window(found, shown, until_ms, span_ms, unseen)


# In words


def who_ran(window: Window) -> str:
    """What ran the requests of a run: `60 threads`, `1 event loop and 3 threads`, `no thread`."""
    loops = sum(lane.on_loop for lane in window.known)
    return wording.things((loops, "event loop"), (len(window.known) - loops, "thread")) or "no thread"


def peak_of(alive: Sequence[Alive]) -> str:
    """How many threads were alive at the peak: `61 threads alive`, `9 threads alive in 2 workers`."""
    workers = f" in {len(alive)} workers" if len(alive) > 1 else ""
    return f"{wording.counted(sum(one.peak for one in alive), 'thread')} alive{workers}"


def occasion(runs: Sequence[Record]) -> str:
    """What was asked of all runs: `60 requests at once`, `200 requests/s`; `Who ran the requests`, where that is not
    the same."""
    asked = {(run.about.users, run.about.each, run.about.rate) for run in runs}
    users, each, _ = next(iter(asked))
    if len(asked) > 1:
        return "Who ran the requests"
    if users is None:
        return runs[0].about.load
    return wording.counted(users, "request" if each == 1 else "user") + (" at once" if users > 1 else "")
