"""What the timeline shows of a run: its requests as the clients saw them, and a lane for each event loop and thread."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from requestlab.measurement.run import Run
from requestlab.measurement.timeline_choice import Chosen, Span, belonging, choose, stretch, table_of, window_of
from requestlab.measurement.timeline_stuck import Block, stuck_of
from requestlab.measurement.timeline_tracks import Track, tracks_of
from requestlab.measurement.timeline_views import run_beside, views_of
from requestlab.trace import activity
from requestlab.trace.activity import NONE, PAUSED, QUEUED, UNTRACED, Bars
from requestlab.trace.lanes import Booleans, Integers, evenly, stacked, zero_ns

MAX_ROWS = 150
"""Rows of clients; of more, so many are drawn, evenly spaced, and the others counted."""


@dataclass(frozen=True, eq=False)
class Client:
    """One request as the client saw it, in ms, in the row `row`; `bars` is what it was at inside the server."""

    row: int
    planned: float
    sent: float
    done: float
    failed: bool
    key: tuple[int, int] | None
    bars: Bars


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn: clients and tracks between two moments, in ms since the first request was planned.

    `spans` are those of the chosen requests, `guests` the places of those of the loads beside, `views` the names of views by
    the places of their pieces, `loop_keys` the (pid, thread) of event loops, `stuck` tells of their lateness. `total` counts the requests of the
    run, `chosen` those asked for, of which `first` is the first row, `untraced` those of them that the probe left out;
    `hidden_requests` and `hidden_threads` are left out for want of room. `unseen`: work of the application may be missing from
    the lanes, since some requests were not traced, or rows were lost.
    """

    begin: float
    end: float
    clients: Sequence[Client]
    tracks: Sequence[Track]
    spans: pd.DataFrame
    guests: Integers
    views: Mapping[int, str]
    loop_keys: frozenset[tuple[int, int]]
    stuck: Block | None
    rows: int
    total: int
    chosen: int
    first: int
    untraced: int
    hidden_requests: int
    hidden_threads: int
    unseen: bool

    @property
    def loops(self) -> list[Track]:
        """The event loops."""
        return [track for track in self.tracks if track.on_loop]

    @property
    def threads(self) -> list[Track]:
        """The other threads."""
        return [track for track in self.tracks if not track.on_loop]

    @property
    def partial(self) -> bool:
        """Whether requests of the run are not among the chosen."""
        return self.chosen < self.total

    @property
    def solid(self) -> Integers:
        """The places of the spans that are not pale: those of the chosen requests and of the loads beside."""
        return np.concatenate([self.spans.index.to_numpy(np.int64), self.guests])

    @property
    def hops(self) -> pd.DataFrame:
        """The crossings of the chosen requests."""
        return self.spans[self.spans["kind"].isin(("to_thread", "to_loop"))]


def scene(run: Run, requests: Chosen = None, span_ms: Span = None) -> Scene:
    """Choose what to draw; ConfigurationError for a choice that cannot be."""
    table = table_of(run)
    window = window_of(span_ms)
    chosen = choose(table, requests, window)
    zero, inside = zero_ns(run), run.trace
    spans, looping = activity.in_ms(inside, zero), activity.loops(inside)
    unseen = inside.lost > 0 or not _traced(spans, table).all()
    begin, end = stretch(chosen, spans, window, from_start=len(chosen) == len(table))
    at = activity.of_requests(spans[belonging(spans, chosen)], looping)
    spans = spans[(spans["end"] >= begin) & (spans["begin"] <= end)].reset_index(drop=True)
    mine = belonging(spans, chosen)
    clients, rows, hidden = _clients(chosen, at, begin, end)
    guests = run_beside(run, spans)
    own = {*np.flatnonzero(mine).tolist(), *guests.tolist()} if len(chosen) < len(table) else None
    tracks, hidden_threads = tracks_of(run, spans, looping, begin, end, own, set(guests.tolist()))
    views = views_of(spans)
    sent = {key: when for key, when in zip(chosen["key"], chosen["sent"], strict=True) if key is not None}
    return Scene(
        begin,
        end,
        clients,
        tracks,
        spans[mine],
        guests,
        views,
        frozenset(looping),
        stuck_of(run, tracks, at, sent, spans[mine], views),
        rows,
        len(table),
        len(chosen),
        int(chosen.index[0]) if len(chosen) else 0,
        sum(key not in at for key in chosen["key"]),
        hidden,
        hidden_threads,
        bool(unseen),
    )


def _traced(spans: pd.DataFrame, table: pd.DataFrame) -> Booleans:
    """Which requests of the table have spans."""
    known = set(zip(spans["pid"].tolist(), spans["request"].tolist(), strict=True))
    return np.array([key in known for key in table["key"]], dtype=bool)


def _clients(
    chosen: pd.DataFrame, at: dict[tuple[int, int], Bars], begin: float, end: float
) -> tuple[list[Client], int, int]:
    done = chosen["done"].fillna(end).clip(lower=chosen["planned"])
    row = stacked(chosen["planned"].to_numpy(np.float64), done.to_numpy(np.float64))
    total = int(row.max(initial=-1)) + 1
    rows = evenly(total, MAX_ROWS) if total else np.zeros(0, dtype=np.int64)
    clients = []
    asked: Any = chosen.itertuples()
    for place, one, stop in zip(row.tolist(), asked, done.tolist(), strict=True):
        if place not in rows:
            continue
        sent = stop if math.isnan(one.sent) else one.sent
        bars = _at(at.get(one.key), sent, stop).clipped(begin, end)
        where = int(np.searchsorted(rows, place))
        clients.append(Client(where, one.planned, sent, stop, bool(one.failed), one.key, bars))
    return clients, len(rows), len(chosen) - len(clients)


def _at(bars: Bars | None, sent: float, done: float) -> Bars:
    """Return what a request was at from sent to done: on its way or queued but for what lies within."""
    if bars is None:
        return activity.painted(*_one(sent, done, UNTRACED))
    if not len(bars):
        return NONE
    inner = (bars.begin, bars.end, bars.state, bars.owner)
    base = [_one(sent, done, QUEUED), _one(float(bars.begin[0]), float(bars.end[-1]), PAUSED), inner]
    begin, end, state, owner = (np.concatenate(parts) for parts in zip(*base, strict=True))
    return activity.painted(begin, end, state, owner).clipped(sent, done)


def _one(begin: float, end: float, state: int) -> tuple[Any, Any, Any, Any]:
    return np.array([begin]), np.array([end]), np.array([state]), np.array([-1])
