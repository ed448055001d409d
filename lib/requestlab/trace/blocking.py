"""When an event loop was stuck, for how long, and whose fault it was; and how late it was overall."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from requestlab.trace.blame import cause_of, computing, culprit, view_beside, view_on
from requestlab.trace.stretches import (
    Block,
    Spans,
    beats_of,
    begin_of,
    floor_of,
    is_late,
    looks_at,
    loops,
    spans_of,
    stuck_in,
)
from requestlab.trace.trace import Trace
from requestlab.worker.heartbeat import EVERY_NS
from requestlab.worker.schema import STEP, VIEW

COLUMNS = ("pid", "thread", "begin", "end", "ms", "late_ms", "cause", "where", "function", "view", "looks")


def blocks(inside: Trace) -> pd.DataFrame:
    """Return one row for each stretch in which an event loop was stuck, in the order of beginning.

    `pid`, `thread` (the loop's), `begin`, `end` (ns), `ms` (its length), `late_ms` (how late its first tick ran), `cause`,
    `where` (`file:line`), `function`, `view`, `looks` (how often the watchdog saw the stack). Shorter stretches than about
    2 ms do not show (`stretches.LATE_MS`); the length is right to about 1 ms. The causes:

    blocking code       the loop's thread itself computed for most of the time
    blocking call       it slept in a call made by a callback: `time.sleep`, a socket, a file, a lock
    GIL held elsewhere  it did neither, while other threads of the process computed: they had the GIL, or its only core, and
                        `where`, `function` and `view` are theirs
    not scheduled       it was ready, and the system gave it no core; or the whole process stood still (stopped, frozen)
    unknown             it was the first tick of the record: nothing is known of the time before

    The system makes blocks of the first three kinds longer where other programs want its cores, and is not blamed for them.

    `function` is the innermost one of the application, and where there is none, of an installed package, that is known to have
    been at it for most of the block; `where` is the line in it that was seen most often. Where none is known for certain, as in
    blocks of less than about 4 ms, `where` is empty, and `function` is that of the view, which the spans of traced requests tell.
    Empty where there is none.
    """
    looks = looks_at(inside)
    rows = []
    for pid, thread, ticks in loops(inside):
        slices, views = spans_of(inside, pid, STEP), spans_of(inside, pid, VIEW)
        found = stuck_in(ticks, slices[slices.thread == thread], looks.get((pid, thread), {}))
        rows += [_row(pid, thread, stuck, views) for stuck in found]
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"ms": float, "late_ms": float})
    return table.sort_values("begin", kind="stable").reset_index(drop=True)


def lag_summary(inside: Trace) -> pd.DataFrame:
    """Return one row for each event loop: `pid`, `thread`, `ticks`, and how late they ran.

    `floor_ms` is the median of the ticks that were not part of a block: what timer, kernel and idle loop add up to. `median_ms`,
    `max_ms` and `mean_ms` are over all ticks that were due, those missed during a block included. They were due at even
    intervals, so these are weighted by time: what a callback due at a random moment would have had to wait. `late_share` is the
    share of the time in which the loop was stuck (`blocks`), 0 to 1.
    """
    rows = []
    for pid, thread, ticks in loops(inside):
        beats = list(beats_of(ticks))
        floor = floor_of(beats)
        late = np.concatenate([beat.ran - np.arange(beat.first, beat.last + 1, EVERY_NS) for beat in beats]).clip(0)
        stuck = sum(beat.ran - begin_of(beat, floor, None) for beat in beats if is_late(beat, floor))
        rows.append(
            {
                "pid": pid,
                "thread": thread,
                "ticks": len(late),
                "floor_ms": floor / 1e6,
                "median_ms": float(np.median(late)) / 1e6,
                "mean_ms": float(late.mean()) / 1e6,
                "max_ms": float(late.max()) / 1e6,
                "late_share": stuck / max(beats[-1].ran - beats[0].first, 1),
            }
        )
    columns = ["pid", "thread", "ticks", "floor_ms", "median_ms", "mean_ms", "max_ms", "late_share"]
    return pd.DataFrame(rows, columns=columns)


def _row(pid: int, thread: int, stuck: Block, views: Spans) -> dict[str, Any]:
    cause = cause_of(stuck)
    if cause == "GIL held elsewhere":
        place, view = computing(stuck.busy_threads), view_beside(stuck, views[views.thread != thread])
    else:
        place, view = culprit(stuck, cause), view_on(stuck, views)
    return {
        "pid": pid,
        "thread": thread,
        "begin": stuck.begin,
        "end": stuck.beat.ran,
        "ms": stuck.ns / 1e6,
        "late_ms": stuck.beat.late / 1e6,
        "cause": cause,
        "where": place[0],
        "function": place[1] or view.rpartition(".")[2],
        "view": view,
        "looks": len(stuck.looks),
    }
