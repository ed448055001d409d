"""Which thread ran which request: one lane a thread, and within it as many rows as requests overlapped."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from requestlab.measurement.run import Run, answered

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Booleans = np.ndarray[Any, np.dtype[np.bool_]]


@dataclass(frozen=True, eq=False)
class Lane:
    """The requests of one thread.

    `worker` counts the server's processes from 1, and is 0 for the requests that nobody is known to have run. `name` is
    `event loop`, `thread 3` (in order of first use in that worker) or `no answer`. `start_ms` and `end_ms` (from sent to
    done, counted from the first request planned), `row` (from 0) and `failed` have one entry a request.
    """

    worker: int
    name: str
    on_loop: bool
    start_ms: Floats
    end_ms: Floats
    row: Integers
    failed: Booleans

    @property
    def known(self) -> bool:
        """Whether some thread answered."""
        return self.worker > 0

    @property
    def rows(self) -> int:
        """How many rows it takes: the most requests it had in hand at once, as the client saw it."""
        return int(self.row.max()) + 1


def zero_ns(run: Run) -> int:
    """When the first request of the measured stretch was planned."""
    return int(run.requests["planned"].min()) if len(run.requests) else int(run.about.start)


def workers(run: Run) -> list[int]:
    """Process ids of the workers, in the order in which figures number them."""
    answering = run.requests["pid"].dropna().unique()
    return list(dict.fromkeys([*run.about.pids, *run.threads["pid"].tolist(), *map(int, answering)]))


def lanes(run: Run) -> list[Lane]:
    """Return one lane for each (pid, thread), worker by worker, each worker's threads in order of first use.

    Requests without an answer, whose thread is not known, come last in a lane of their own.
    """
    requests = run.requests
    begun = requests["sent"].where(requests["sent"] > 0, requests["planned"])
    table = pd.DataFrame(
        {
            "start": (begun - zero_ns(run)) / 1e6,
            "end": (requests["done"] - zero_ns(run)) / 1e6,
            "failed": ~answered(requests),
            "pid": requests["pid"].fillna(0).astype("int64"),
            "thread": requests["thread"].fillna(0).astype("int64"),
            "on_loop": requests["on_loop"].fillna(False).astype(bool),
        }
    ).sort_values("start", kind="stable")
    return list(_numbered(table, workers(run)))


def _numbered(table: pd.DataFrame, pids: Sequence[int]) -> Iterator[Lane]:
    for worker, pid in [*enumerate(pids, start=1), (0, 0)]:
        parts = [rows for _, rows in table[table["pid"] == pid].groupby("thread", sort=False)]
        on_loop = [bool(rows["on_loop"].any()) for rows in parts]
        for name, looping, rows in zip(_names(on_loop, known=worker > 0), on_loop, parts, strict=True):
            start, end = rows["start"].to_numpy(np.float64), rows["end"].to_numpy(np.float64)
            yield Lane(worker, name, looping, start, end, stacked(start, end), rows["failed"].to_numpy(bool))


def _names(on_loop: Sequence[bool], known: bool) -> Iterator[str]:
    """Number event loops and ordinary threads apart; a worker's only event loop needs no number."""
    only = sum(on_loop) == 1
    loops, threads = count(1), count(1)
    for looping in on_loop:
        if looping:
            yield "event loop" if only else f"event loop {next(loops)}"
        else:
            yield f"thread {next(threads)}" if known else "no answer"


def stacked(start: Floats, end: Floats) -> Integers:
    """Return a row for each bar, the lowest that is free, so that no two bars overlap; `start` must be sorted."""
    busy: list[tuple[float, int]] = []
    free: list[int] = []
    rows = np.zeros(len(start), dtype=np.int64)
    for i, (begin, finish) in enumerate(zip(start.tolist(), end.tolist(), strict=True)):
        while busy and busy[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(busy)[1])
        rows[i] = heapq.heappop(free) if free else len(busy)
        heapq.heappush(busy, (finish, int(rows[i])))
    return rows


def clipped(lane: Lane, until_ms: float) -> Lane | None:
    """Return what of a lane was sent before `until_ms`, or None."""
    kept = lane.start_ms < until_ms
    return _part(lane, kept, lane.row[kept]) if kept.any() else None


def thinned(lane: Lane, rows: int) -> Lane:
    """Return a lane with that many of its rows, evenly spaced."""
    chosen = evenly(lane.rows, rows)
    kept = np.isin(lane.row, chosen)
    return _part(lane, kept, np.searchsorted(chosen, lane.row[kept]))


def evenly(total: int, wanted: int) -> Integers:
    """Return `wanted` of the numbers from 0 to `total` - 1, evenly spaced; all of them if there are no more."""
    return np.linspace(0, total - 1, min(total, wanted)).round().astype(np.int64)


def _part(lane: Lane, kept: Booleans, row: Integers) -> Lane:
    return replace(lane, start_ms=lane.start_ms[kept], end_ms=lane.end_ms[kept], row=row, failed=lane.failed[kept])
