"""The timeline's lanes: one for each event loop and thread of each worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from requestlab.measurement.run import Run
from requestlab.trace import activity
from requestlab.trace.activity import NONE, Bars
from requestlab.trace.lanes import Floats, evenly, workers, zero_ns

MAX_THREADS = 60

LATE_MS = 2.0
"""A tick of the event loop's heartbeat that ran later than this is shown as late; timers alone are late by up to 1 ms."""


@dataclass(frozen=True, eq=False)
class Track:
    """The lane of one event loop or thread: `worker` counts from 1, `late` has one row (from, to) a stretch in which the loop
    was late, `late_ms` how late its latest tick ran, `ended` is when the record breaks off within something that never ended."""

    worker: int
    key: tuple[int, int]
    name: str
    on_loop: bool
    bars: Bars
    late: Floats
    late_ms: Floats
    ended: float | None


def tracks_of(
    run: Run,
    spans: pd.DataFrame,
    looping: set[tuple[int, int]],
    begin: float,
    end: float,
    own: set[int] | None,
    first: set[int],
) -> tuple[list[Track], int]:
    """Return the lanes, and how many are left out; with `own`, no thread that had nothing to do with these spans has one.

    Of too many threads, those that had to do with the spans `first` are left out last.
    """
    at = {key: bars.clipped(begin, end) for key, bars in activity.of_threads(spans, looping).items()}
    at = {key: bars for key, bars in at.items() if len(bars) and (own is None or key in looping or own & {*bars.owner})}
    beating = {(int(p), int(t)) for p, t in run.trace.ticks[["pid", "thread"]].drop_duplicates().to_numpy()}
    pids = list(dict.fromkeys([*workers(run), *(pid for pid, _ in [*at, *sorted(beating)])]))
    ended = _broken_off(spans)
    tracks, threads = [], 0
    for worker, pid in enumerate(pids, start=1):
        mine = [key for key in {**dict.fromkeys(sorted(beating)), **dict.fromkeys(at)} if key[0] == pid]
        its_loops = [key for key in mine if key in looping]
        others = sorted((key for key in mine if key not in looping), key=lambda key: float(at[key].begin[0]))
        for number, key in enumerate(its_loops, start=1):
            name = "event loop" if len(its_loops) == 1 else f"event loop {number}"
            found = _late(run, key, zero_ns(run))
            late = found[(found[:, 1] > begin) & (found[:, 0] < end)]
            tracks.append(Track(worker, key, name, True, at.get(key, NONE), late[:, :2], late[:, 2], ended.get(key)))
        for number, key in enumerate(others, start=1):
            tracks.append(
                Track(worker, key, f"thread {number}", False, at[key], np.zeros((0, 2)), np.zeros(0), ended.get(key))
            )
        threads += len(others)
    ordinary = [track for track in tracks if not track.on_loop]
    kept = set(map(id, _evenly(ordinary, first)))
    shown = [track for track in tracks if track.on_loop or id(track) in kept]
    return shown, len(tracks) - len(shown)


def _evenly(threads: Sequence[Track], first: set[int]) -> list[Track]:
    """Return as many threads as there is room for; up to half of them may be those that had to do with the spans `first`."""
    if len(threads) <= MAX_THREADS:
        return list(threads)
    wanted = [track for track in threads if first & {*track.bars.owner}]
    wanted = [wanted[i] for i in evenly(len(wanted), MAX_THREADS // 2)] if wanted else []
    others = [track for track in threads if track not in wanted]
    return [*wanted, *(others[i] for i in evenly(len(others), MAX_THREADS - len(wanted)))]


def _broken_off(spans: pd.DataFrame) -> dict[tuple[int, int], float]:
    """Return when each thread's record breaks off within something that never ended."""
    cut = spans[spans["cut"]]
    where = cut["thread"].where((cut["kind"] != "to_thread") | (cut["ran_on"] == 0), cut["ran_on"])
    return {(int(p), int(t)): float(e) for p, t, e in zip(cut["pid"], where, cut["end"], strict=True)}


def _late(run: Run, key: tuple[int, int], zero: int) -> Floats:
    """Return the stretches in which ticks of a loop were overdue, shape (n, 3): from when the first was due until the last ran,
    and how late the latest of them was."""
    ticks = run.trace.ticks
    mine = ticks[(ticks["pid"] == key[0]) & (ticks["thread"] == key[1])]
    last = max(int(mine["ran"].max()), int(mine["due"].max())) if len(mine) else 0
    due = ((mine["due"] - zero) / 1e6).to_numpy(np.float64)
    ran = ((mine["ran"].where(mine["ran"] > 0, last) - zero) / 1e6).to_numpy(np.float64)
    found: list[list[float]] = []
    for first, then in sorted(zip(due[ran - due > LATE_MS], ran[ran - due > LATE_MS], strict=True)):
        if found and first <= found[-1][1]:
            found[-1][1:] = [max(found[-1][1], then), max(found[-1][2], then - first)]
        else:
            found.append([first, then, then - first])
    return np.array(found, dtype=np.float64).reshape(-1, 3)
