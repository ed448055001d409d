"""Which thread ran which request: one lane a thread, and within it as many rows as requests overlapped."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from requestlab.runs import Run, answered

Floats = np.ndarray[Any, np.dtype[np.float64]]


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
    row: np.ndarray[Any, np.dtype[np.int64]]
    failed: np.ndarray[Any, np.dtype[np.bool_]]

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
    return int(run.requests["planned"].min()) if len(run.requests) else int(run.about["start"])


def workers(run: Run) -> list[int]:
    """Process ids of the workers, in the order in which figures number them."""
    answering = run.requests["pid"].dropna().unique()
    return list(dict.fromkeys([*run.about["pids"], *run.threads["pid"].tolist(), *map(int, answering)]))


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
    for i, looping in enumerate(on_loop):
        nth = on_loop[: i + 1].count(looping)
        if looping:
            yield "event loop" if on_loop.count(True) == 1 else f"event loop {nth}"
        else:
            yield f"thread {nth}" if known else "no answer"


def stacked(start: Floats, end: Floats) -> np.ndarray[Any, np.dtype[np.int64]]:
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
    if not kept.any():
        return None
    arrays = (lane.start_ms[kept], lane.end_ms[kept], lane.row[kept], lane.failed[kept])
    return Lane(lane.worker, lane.name, lane.on_loop, *arrays)
