"""What the timeline says of an event loop that was late: by how much, what it was at, and how many requests waited for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from requestlab.measurement.run import Run
from requestlab.measurement.timeline_tracks import LATE_MS, Track
from requestlab.measurement.timeline_views import named
from requestlab.trace.activity import PAUSED, VIEW_ON_LOOP, Bars
from requestlab.trace.lanes import Floats, zero_ns

STUCK_MS = 10.0
"""The lateness of a loop from which on it is the finding."""

_MOSTLY = 0.5

Key = tuple[int, int]
Wait = tuple[Key, float, float]


@dataclass(frozen=True)
class Block:
    """`late_ms` of the latest stretch, `at` what the loop was at then, in words (empty: not known), and how many of the chosen
    requests `waited` for a loop that was late by `STUCK_MS` or more; `unsure`: others may have, too."""

    late_ms: float
    at: str
    waited: int
    unsure: bool


def stuck_of(
    run: Run,
    tracks: Sequence[Track],
    at: Mapping[Key, Bars],
    sent: Mapping[Key, float],
    spans: pd.DataFrame,
    views: Mapping[int, str],
) -> Block | None:
    """Return what there is to say of the loops' lateness, None if none was late by `STUCK_MS`.

    `at` is what the chosen requests were at, and `sent` when they were sent, by key; `spans` are theirs, `views` the names of
    views by the places of their pieces.
    """
    late = [(track, row) for track in tracks for row in np.flatnonzero(track.late_ms >= STUCK_MS).tolist()]
    if not late:
        return None
    worst, row = max(late, key=lambda one: float(one[0].late_ms[one[1]]))
    waits, pauses = _waits(at, sent, spans), _pauses(at)
    waited: set[Key] = set()
    unsure: set[Key] = set()
    for track, place in late:
        begin, end = track.late[place].tolist()
        waited |= _within(waits, track.key[0], begin, end)
        waited |= _within([one for one in pauses if begin < one[2] <= end], track.key[0], begin, end)
        unsure |= _within([one for one in pauses if one[2] > end], track.key[0], begin, end)
    said = _at(run, worst, worst.late[row], views)
    return Block(float(worst.late_ms[row]), said, len(waited), bool(unsure - waited))


def _waits(at: Mapping[Key, Bars], sent: Mapping[Key, float], spans: pd.DataFrame) -> list[Wait]:
    """Return from when to when each request waited for its loop: to be begun, and to go on after a thread was done with it."""
    begun = [(key, sent[key], float(bars.begin[0])) for key, bars in at.items() if key in sent and len(bars)]
    back = spans[(spans["kind"] == "to_thread") & ~spans["cut"]]
    keys = zip(back["pid"].tolist(), back["request"].tolist(), strict=True)
    return [*begun, *zip(keys, back["done"].tolist(), back["end"].tolist(), strict=True)]


def _pauses(at: Mapping[Key, Bars]) -> list[Wait]:
    """Return from when to when requests awaited something, or their turn.

    A loop whose heartbeat is overdue runs what was ready before: what goes on within a late stretch had awaited its turn. What
    goes on after it may have been ready, or not.
    """
    paused = ((key, bars.of(PAUSED)) for key, bars in at.items())
    return [(key, *pair) for key, bars in paused for pair in zip(bars.begin.tolist(), bars.end.tolist(), strict=True)]


def _within(waits: Sequence[Wait], pid: int, begin: float, end: float) -> set[Key]:
    """Return whose waits, in that worker, share more than `LATE_MS` with a late stretch."""
    return {key for key, since, until in waits if key[0] == pid and min(until, end) - max(since, begin) > LATE_MS}


def _at(run: Run, track: Track, late: Floats, views: Mapping[int, str]) -> str:
    """Say what a loop was at in a late stretch: the view that it ran for most of it, or that of a thread that had the GIL."""
    blocks = run.blocks
    mine = blocks[(blocks["pid"] == track.key[0]) & (blocks["thread"] == track.key[1])]
    begin, end = ((mine[name] - zero_ns(run)) / 1e6 for name in ("begin", "end"))
    shared = end.clip(upper=late[1]) - begin.clip(lower=late[0])
    if not len(mine) or shared.max() <= 0:
        return ""
    block = mine.iloc[int(shared.to_numpy().argmax())]
    if block["cause"] == "not scheduled":
        return ""
    if block["cause"] == "GIL held elsewhere":
        return f"without the GIL while the {named(block['view'])} ran on a thread" if block["view"] else ""
    view = block["view"] or _mostly(track, late, views)
    return f"busy with the {named(view)}" if view else ""


def _mostly(track: Track, late: Floats, views: Mapping[int, str]) -> str:
    """Return the view that ran on the loop for most of a late stretch, in however many requests; empty if none did."""
    took: dict[str, float] = {}
    bars = track.bars.of(VIEW_ON_LOOP).clipped(*late.tolist())
    for owner, ms in zip(bars.owner.tolist(), bars.ms.tolist(), strict=True):
        took[views.get(owner, "")] = took.get(views.get(owner, ""), 0.0) + ms
    return next((view for view, ms in took.items() if ms > _MOSTLY * np.ptp(late)), "")
