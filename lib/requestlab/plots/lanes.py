"""Which thread ran which request: one lane a thread, and within it as many rows as requests overlapped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
import pandas as pd

from requestlab.measurement.record import answered
from requestlab.measurement.run import Run
from requestlab.trace.activity import Booleans, Floats, Integers, evenly, stacked


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


def lanes(run: Run) -> list[Lane]:
    """Return one lane for each (pid, thread), worker by worker, each worker's threads in order of first use.

    Requests without an answer, whose thread is not known, come last in a lane of their own.
    """
    requests = run.requests
    begun = requests["sent"].where(requests["sent"] > 0, requests["planned"])
    table = pd.DataFrame(
        {
            "start": (begun - run.zero_ns) / 1e6,
            "end": (requests["done"] - run.zero_ns) / 1e6,
            "failed": ~answered(requests),
            "pid": requests["pid"].fillna(0).astype("int64"),
            "thread": requests["thread"].fillna(0).astype("int64"),
            "on_loop": requests["on_loop"].fillna(False).astype(bool),
        }
    ).sort_values("start", kind="stable")
    return list(_numbered(table, run.workers))


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


def clipped(lane: Lane, until_ms: float) -> Lane | None:
    """Return what of a lane was sent before `until_ms`, or None."""
    kept = lane.start_ms < until_ms
    return _part(lane, kept, lane.row[kept]) if kept.any() else None


def thinned(lane: Lane, rows: int) -> Lane:
    """Return a lane with that many of its rows, evenly spaced."""
    chosen = evenly(lane.rows, rows)
    kept = np.isin(lane.row, chosen)
    return _part(lane, kept, np.searchsorted(chosen, lane.row[kept]))


def _part(lane: Lane, kept: Booleans, row: Integers) -> Lane:
    return replace(lane, start_ms=lane.start_ms[kept], end_ms=lane.end_ms[kept], row=row, failed=lane.failed[kept])
