"""What the timeline shows of a run: its requests as the clients saw them, and a lane for each event loop and thread, on
one clock. All times are in ms since the first request was planned."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import pandas as pd

from requestlab.measurement.lag import MAXIMUM_LIMIT_MS
from requestlab.measurement.record import Record, answered
from requestlab.system import checks, wording
from requestlab.trace import activity
from requestlab.trace.activity import (
    NONE,
    PAUSED,
    QUEUED,
    UNTRACED,
    VIEW_ON_LOOP,
    VIEW_ON_THREAD,
    WAITS,
    Bars,
    Floats,
    Integers,
    Key,
    among,
    evenly,
    keys,
    stacked,
)
from requestlab.trace.requests import Step, steps
from requestlab.trace.trace import CROSSINGS

MAX_REQUESTS, A_FEW = 300, 60
"""Of a run of more requests than the first, so many as the second says are shown, from the first on, unless asked for
others."""

MAX_ROWS = 150
"""Rows of clients; of more, so many are shown, evenly spaced, and the others counted."""

MAX_THREADS = 60
"""Threads that have a lane; of more, so many."""

MAX_PIECES = 40
"""With more pieces than this, none is named: that is for the figure `crossings`."""

LATE_MS = 2.0
"""A tick of the event loop's heartbeat that ran later than this is shown as late; timers alone are late by up to 1
ms."""

STUCK_MS = 10.0
"""The lateness of a loop from which on it is looked into, and written beside its lane."""

FINDING_MS = MAXIMUM_LIMIT_MS
"""The lateness of a loop from which on it is the finding."""

Chosen = int | slice | None
"""Which requests: the first so many, rows of `run.requests`, or a few."""

Span = Sequence[float] | None
"""Which time: from one moment to another, in ms since the first request was planned, or until the last of them ends."""

_MARGIN, _MIN_MS = 0.012, 0.05  # beside the requests, as a share of their time; and the least time shown
_MOSTLY = 0.5
_LONGEST, _MAX_RESUMED = 48, 3
_QUERY = re.compile(r"(?:^|\.)(?:(?:Raw)?QuerySet|\w*Manager)\.\w+$|\.(?:save|delete|refresh_from_db)$")

MUCH_OF_A_REQUEST = 0.2
"""The share of a response time from which on it is part of the finding."""


@dataclass(frozen=True, eq=False)
class Client:
    """One request as the client saw it, in the row `row`; `bars` is what it was at inside the server."""

    row: int
    planned: float
    sent: float
    done: float
    failed: bool
    key: Key | None
    bars: Bars


@dataclass(frozen=True, eq=False)
class Track:
    """The lane of one event loop or thread: `worker` counts from 1, `late` has one row (from, to) a stretch in which
    the loop was late, `late_ms` how late its latest tick ran, `ended` is when the record breaks off within something
    that never ended."""

    worker: int
    key: Key
    name: str
    on_loop: bool
    bars: Bars
    late: Floats
    late_ms: Floats
    ended: float | None

    def blank(self, begin: float, end: float, *, late: bool) -> tuple[float, float]:
        """Return the longest stretch in which nothing ran, and in which the loop was late or was not; none is (begin,
        begin)."""
        edges, long = self._blanks(begin, end, late)
        place = int(np.argmax(long))
        return (float(edges[place]), float(edges[place + 1])) if long[place] > 0 else (begin, begin)

    def idle(self, begin: float, end: float) -> float:
        """Return for which share of a stretch nothing ran and the loop was not late."""
        return float(self._blanks(begin, end, late=False)[1].sum()) / (end - begin) if end > begin else 0.0

    def _blanks(self, begin: float, end: float, late: bool) -> tuple[Floats, Floats]:
        """Return the moments between which something changed, and how long such a blank is between each two of
        them."""
        edges = np.unique(np.concatenate([[begin, end], self.bars.begin, self.bars.end, self.late.ravel()]))
        edges = edges[(edges >= begin) & (edges <= end)]
        middle = (edges[1:] + edges[:-1]) / 2
        ran = np.searchsorted(self.bars.begin, middle) > np.searchsorted(self.bars.end, middle)
        overdue = np.searchsorted(self.late[:, 0], middle) > np.searchsorted(self.late[:, 1], middle)
        return edges, np.where(~ran & (overdue == late), np.diff(edges), 0.0)


@dataclass(frozen=True)
class LateLoop:
    """`late_ms` of the latest stretch, `at` what the loop was at then, in words (empty: not known), and how many of the
    chosen requests `waited` for a loop that was late by `STUCK_MS` or more; `unsure`: others may have, too."""

    late_ms: float
    at: str
    waited: int
    unsure: bool


@dataclass(frozen=True)
class Piece:
    """A piece of a request: its name, a moment in it, what it cost to get there and back (µs; NaN: nothing, or not
    known), whether it ran on an event loop, whether it was the view, and whether a query that was awaited."""

    name: str
    at: float
    cost_us: float
    on_loop: bool
    view: bool
    query: bool = False


@dataclass(frozen=True, eq=False)
class Scene:
    """What is shown: clients and tracks between two moments.

    `spans` are `mine`, if of the chosen requests, or `guest`, if of the loads beside; `loop_keys` are the (pid, thread)
    of event loops, `stuck` tells of their lateness. `total` counts the requests of the run, `chosen` those asked for,
    of which `first` is the first row, `untraced` those of them that the probe left out; `hidden_requests` and
    `hidden_threads` are left out for want of room. `unseen`: work of the application may be missing from the lanes,
    since some requests were not traced, or rows were lost. `pieces` are those of a single request.
    """

    begin: float
    end: float
    clients: Sequence[Client]
    tracks: Sequence[Track]
    spans: pd.DataFrame
    loop_keys: frozenset[Key]
    stuck: LateLoop | None
    rows: int
    total: int
    chosen: int
    first: int
    untraced: int
    hidden_requests: int
    hidden_threads: int
    unseen: bool
    pieces: Sequence[Piece]

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
        return np.flatnonzero(self.spans["mine"] | self.spans["guest"])

    @property
    def hops(self) -> pd.DataFrame:
        """The crossings of the chosen requests."""
        return self.spans[self.spans["mine"] & self.spans["kind"].isin(CROSSINGS)]

    @property
    def used(self) -> tuple[int, int]:
        """How many event loops and how many other threads the chosen requests came to."""
        mine = self.spans[self.spans["mine"]]
        used = {key for key in [*keys(mine, "thread"), *keys(mine, "ran_on")] if key[1]}
        return len(used & self.loop_keys), len(used - self.loop_keys)

    def waited(self, *states: int) -> float:
        """How many ms the typical traced request was in one of the states, the median."""
        return self._median(lambda client: float(client.bars.of(*states).ms.sum()))

    @property
    def took(self) -> float:
        """How many ms the typical traced request took, from planned to answered, the median."""
        return self._median(lambda client: client.done - client.planned)

    def _median(self, of: Callable[[Client], float]) -> float:
        traced = [client for client in self.clients if len(client.bars) and UNTRACED not in client.bars.state]
        return float(np.median([of(client) for client in traced])) if traced else 0.0


def scene(run: Record, requests: Chosen = None, span_ms: Span = None) -> Scene:
    """Choose what to show; ConfigurationError for a choice that cannot be."""
    table, window = _requests_in_ms(run), _window(span_ms)
    chosen = _choose(table, requests, window)
    spans = activity.in_ms(run.trace, run.zero_ns, run.event_loops)
    spans["mine"], spans["guest"] = (among(spans, "request", wanted) for wanted in (set(chosen["key"]), _guests(run)))
    traced = set(keys(spans, "request"))
    begin, end = _stretch(chosen, spans, window, from_start=len(chosen) == len(table))
    at = activity.of_requests(spans[spans["mine"]])
    spans = spans[(spans["end"] >= begin) & (spans["begin"] <= end)].reset_index(drop=True)
    guests = set(np.flatnonzero(spans["guest"]).tolist())
    clients, rows = _clients(chosen, at, begin, end)
    own = None if len(chosen) == len(table) else guests | set(np.flatnonzero(spans["mine"]).tolist())
    tracks = _tracks(run, spans, (begin, end), own)
    shown = _room_for(tracks, guests)
    return Scene(
        begin,
        end,
        clients,
        shown,
        spans,
        run.event_loops,
        _stuck(run, shown, _waits(chosen, at, spans[spans["mine"]]), spans["view"]),
        rows,
        len(table),
        len(chosen),
        int(chosen.index[0]) if len(chosen) else 0,
        sum(key not in at for key in chosen["key"]),
        len(chosen) - len(clients),
        len(tracks) - len(shown),
        run.trace.lost > 0 or any(key not in traced for key in table["key"]),
        _pieces(run, chosen["key"].iloc[0], begin, end) if len(chosen) == 1 else [],
    )


# Which requests, and which time


def _requests_in_ms(run: Record) -> pd.DataFrame:
    """Return the requests in the order of planning, with the key by which their spans are found; None: they have
    none."""
    requests = run.requests
    stamps = requests[["planned", "sent", "done"]]
    table = ((stamps - run.zero_ns) / 1e6).where(stamps > 0)
    table["failed"] = ~answered(requests)
    numbered = keys(requests[["pid", "number"]].fillna(0), "number")
    table["key"] = pd.Series([key if key[1] > 0 else None for key in numbered], dtype=object)
    return table


def _window(span_ms: Span) -> tuple[float, float] | None:
    """Return from when to when is asked for."""
    if span_ms is None:
        return None
    pair: Any = span_ms if isinstance(span_ms, Sequence) and not isinstance(span_ms, str) else ()
    if len(pair) != 2 or not all(map(_is_time, pair)) or pair[0] >= pair[1]:
        raise checks.wrong("span_ms", span_ms, "(from, to) in ms since the first request was planned")
    return float(pair[0]), float(pair[1])


def _is_time(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf


def _choose(table: pd.DataFrame, requests: Chosen, window: tuple[float, float] | None) -> pd.DataFrame:
    if requests is None and window is not None:
        return table[(table["done"].isna() | (table["done"] > window[0])) & (table["planned"] < window[1])]
    if requests is None:
        return table if len(table) <= MAX_REQUESTS else table[:A_FEW]
    if isinstance(requests, bool) or not isinstance(requests, int | slice):
        raise checks.wrong("requests", requests, "how many, or a slice of the rows of run.requests, as slice(100, 103)")
    rows = requests if isinstance(requests, slice) else slice(checks.whole("requests", requests, 1))
    try:
        found = table[rows]
    except (TypeError, ValueError):
        raise checks.wrong("requests", requests, "a slice of whole numbers") from None
    if found.empty:
        raise checks.wrong("requests", requests, f"a slice that holds some of the run's {len(table):,} requests")
    return found


def _stretch(
    chosen: pd.DataFrame, spans: pd.DataFrame, window: tuple[float, float] | None, from_start: bool
) -> tuple[float, float]:
    """Return from when to when: as asked for, or as long as the chosen requests last, with a margin."""
    if window is not None:
        return window
    begin = 0.0 if from_start or not len(chosen) else float(chosen["planned"].min())
    last = spans.loc[spans["mine"] & (spans["kind"] == "request") & ~spans["cut"], "end"].max()
    end = float(np.nanmax([chosen["done"].max(), chosen["planned"].max(), begin + _MIN_MS, last]))
    margin = _MARGIN * (end - begin)
    return begin - margin, end + margin


def _guests(run: Record) -> set[Key | None]:
    """Return the requests of the loads beside the run's own."""
    tables = [table for other in run.beside.values() for table in (other.warmup, other.requests)]
    return {key for table in tables for key in keys(table.dropna(subset=["pid", "number"]), "number")}


# Clients


def _clients(chosen: pd.DataFrame, at: Mapping[Key, Bars], begin: float, end: float) -> tuple[list[Client], int]:
    """Return the clients that there is room for, and in how many rows."""
    stop = chosen["done"].fillna(end).clip(lower=chosen["planned"])
    row = stacked(chosen["planned"].to_numpy(np.float64), stop.to_numpy(np.float64))
    rows = evenly(int(row.max(initial=-1)) + 1, MAX_ROWS)
    kept = np.isin(row, rows)
    shown = chosen.assign(stop=stop, row=np.searchsorted(rows, row), sent=chosen["sent"].fillna(stop))[kept]
    clients: Any = shown.itertuples()
    return [_client(one, at.get(one.key), begin, end) for one in clients], len(rows)


def _client(one: Any, bars: Bars | None, begin: float, end: float) -> Client:
    bars = whole(bars, one.sent, one.stop).clipped(begin, end)
    return Client(one.row, one.planned, one.sent, one.stop, bool(one.failed), one.key, bars)


def whole(bars: Bars | None, sent: float, done: float) -> Bars:
    """Return what a request was at from sent to done: on its way or queued but for what lies within."""
    if bars is None:
        return _bar(sent, done, UNTRACED).clipped(sent, done)
    if not len(bars):
        return NONE
    within = _bar(float(bars.begin[0]), float(bars.end[-1]), PAUSED)
    return activity.over(_bar(sent, done, QUEUED), within, bars).clipped(sent, done)


def _bar(begin: float, end: float, state: int) -> Bars:
    return Bars(np.array([begin]), np.array([end]), np.array([state]), np.array([-1]))


# Lanes


def _tracks(run: Record, spans: pd.DataFrame, shown: tuple[float, float], own: Set[int] | None) -> list[Track]:
    """Return the lanes, worker by worker, loops first; with `own`, no thread that had nothing to do with these spans
    has one."""
    loops, beating, ended = run.event_loops, sorted(set(keys(run.ticks, "thread"))), _broken_off(spans)
    at = {key: bars.clipped(*shown) for key, bars in activity.of_threads(spans).items()}
    at = {key: bars for key, bars in at.items() if len(bars) and (own is None or key in loops or own & {*bars.owner})}
    found = dict.fromkeys([*beating, *at])
    pids = dict.fromkeys([*run.workers, *(pid for pid, _ in [*at, *beating])])
    tracks = []
    for worker, pid in enumerate(pids, start=1):
        its_loops = [key for key in found if key[0] == pid and key in loops]
        threads = [key for key in found if key[0] == pid and key not in loops]
        threads.sort(key=lambda key: float(at[key].begin[0]))
        names = [f"event loop {number}" for number in range(1, len(its_loops) + 1)]
        names = names if len(names) > 1 else ["event loop"] * len(names)
        names += [f"thread {number}" for number in range(1, len(threads) + 1)]
        for name, key in zip(names, [*its_loops, *threads], strict=True):
            late = _late(run, key, *shown)
            bars = at.get(key, NONE)
            tracks.append(Track(worker, key, name, key in loops, bars, late[:, :2], late[:, 2], ended.get(key)))
    return tracks


def _room_for(tracks: Sequence[Track], first: Set[int]) -> list[Track]:
    """Return all loops, and as many threads as there is room for, evenly; up to half of them may be those that had to
    do with the spans `first`."""
    threads = [track for track in tracks if not track.on_loop]
    if len(threads) <= MAX_THREADS:
        return list(tracks)
    wanted = [track for track in threads if first & {*track.bars.owner}]
    wanted = [wanted[i] for i in evenly(len(wanted), MAX_THREADS // 2)]
    others = [track for track in threads if track not in wanted]
    kept = [*wanted, *(others[i] for i in evenly(len(others), MAX_THREADS - len(wanted)))]
    return [track for track in tracks if track.on_loop or track in kept]


def _broken_off(spans: pd.DataFrame) -> dict[Key, float]:
    """Return when each thread's record breaks off within something that never ended."""
    cut = spans[spans["cut"]]
    cut = cut.assign(where=cut["thread"].where((cut["kind"] != "to_thread") | (cut["ran_on"] == 0), cut["ran_on"]))
    return dict(zip(keys(cut, "where"), cut["end"].tolist(), strict=True))


def _late(run: Record, key: Key, begin: float, end: float) -> Floats:
    """Return the stretches in which ticks of a loop were overdue, shape (n, 3): from when the first was due until the
    last ran, and how late the latest of them was."""
    mine = run.ticks[(run.ticks["pid"] == key[0]) & (run.ticks["thread"] == key[1])]
    last = mine[["ran", "due"]].to_numpy().max(initial=0)
    due, ran = mine["due"], mine["ran"].where(mine["ran"] > 0, last)
    ticks = np.column_stack([(due - run.zero_ns) / 1e6, (ran - run.zero_ns) / 1e6])
    found: list[list[float]] = []
    for first, then in sorted(ticks[ticks[:, 1] - ticks[:, 0] > LATE_MS].tolist()):
        if found and first <= found[-1][1]:
            found[-1][1:] = [max(found[-1][1], then), max(found[-1][2], then - first)]
        else:
            found.append([first, then, then - first])
    late = np.array(found, dtype=np.float64).reshape(-1, 3)
    return late[(late[:, 1] > begin) & (late[:, 0] < end)]


# Loops that were late


def _stuck(run: Record, tracks: Sequence[Track], waits: pd.DataFrame, views: pd.Series[str]) -> LateLoop | None:
    """Return what there is to say of the loops' lateness, None if none was late by `STUCK_MS`.

    A loop whose heartbeat is overdue runs what was ready before: what goes on within a late stretch had awaited its
    turn. What goes on after it may have been ready, or not.
    """
    late = [(track, row) for track in tracks for row in np.flatnonzero(track.late_ms >= STUCK_MS).tolist()]
    if not late:
        return None
    waited: set[Key] = set()
    unsure: set[Key] = set()
    for track, row in late:
        begin, end = track.late[row].tolist()
        shared = waits["until"].clip(upper=end) - waits["since"].clip(lower=begin)
        there = waits[(shared > LATE_MS) & (waits["pid"] == track.key[0])]
        sure = ~there["paused"] | (there["until"] <= end)
        waited |= set(there.loc[sure, "key"])
        unsure |= set(there.loc[~sure, "key"])
    worst, row = max(late, key=lambda one: float(one[0].late_ms[one[1]]))
    busy = _busy_with(run, worst, worst.late[row], views)
    return LateLoop(float(worst.late_ms[row]), busy, len(waited), bool(unsure - waited))


def _waits(chosen: pd.DataFrame, at: Mapping[Key, Bars], spans: pd.DataFrame) -> pd.DataFrame:
    """Return when the chosen requests waited: `key`, `pid`, `since`, `until`, and whether they were `paused`, awaiting
    something or their turn; else they waited for their loop, to be begun, or to go on after a thread was done with
    it."""
    sent = dict(zip(chosen["key"], chosen["sent"], strict=True))
    rows = [(key, sent[key], float(bars.begin[0]), False) for key, bars in at.items() if key in sent and len(bars)]
    back = spans[(spans["kind"] == "to_thread") & ~spans["cut"]]
    rows += zip(keys(back, "request"), back["done"], back["end"], [False] * len(back), strict=True)
    for key, bars in at.items():
        paused = bars.of(PAUSED)
        rows += [(key, since, until, True) for since, until in zip(paused.begin, paused.end, strict=True)]
    table = pd.DataFrame(rows, columns=["key", "since", "until", "paused"])
    return table.astype({"since": float, "until": float, "paused": bool}).assign(pid=[key[0] for key in table["key"]])


def _busy_with(run: Record, track: Track, late: Floats, views: pd.Series[str]) -> str:
    """Say what a loop was at in a late stretch: the view that it ran for most of it, or that of a thread that had the
    GIL."""
    blocks = run.blocks
    mine = blocks[(blocks["pid"] == track.key[0]) & (blocks["thread"] == track.key[1])]
    begin, end = ((mine[name] - run.zero_ns) / 1e6 for name in ("begin", "end"))
    shared = end.clip(upper=late[1]) - begin.clip(lower=late[0])
    if not len(mine) or shared.max() <= 0:
        return ""
    block = mine.iloc[int(shared.to_numpy().argmax())]
    if block["cause"] == "not scheduled":
        return ""
    view = block["view"]
    if block["cause"] == "GIL held elsewhere":
        return f"without the GIL, held by the {named(f'view {view}')}" if view else ""
    view = view or _mostly(track, late, views)
    return f"busy with the {named(f'view {view}')}" if view else ""


def _mostly(track: Track, late: Floats, views: pd.Series[str]) -> str:
    """Return the view that ran on the loop for most of a late stretch, in however many requests; empty if none did."""
    bars = track.bars.of(VIEW_ON_LOOP).clipped(*late.tolist())
    took = pd.Series(bars.ms).groupby(views.to_numpy()[bars.owner], sort=False).sum()
    return str(took.idxmax()) if len(took) and took.max() > _MOSTLY * np.ptp(late) else ""


# Names


def named(name: str) -> str:
    """Return a name without its module, at most 48 letters: `view page` for `view shop.views.page`."""
    kind, _, rest = name.rpartition(" ")
    if kind == "view":
        name = f"view {rest.rpartition('.')[2]}".rstrip()
    elif not kind and name.count(".") > 1:
        name = ".".join(name.split(".")[-2:])
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def _pieces(run: Record, key: Key, begin: float, end: float) -> list[Piece]:
    """Return the pieces of one request between two moments, in order: its crossings and its view, and where it never
    crossed to a thread, its middleware too. None, if there are more than `MAX_PIECES`."""
    spans = run.spans
    whole = spans[(spans["kind"] == "request") & among(spans, "request", {key})]
    if whole.empty:
        return []
    zero = float(whole["begin"].iloc[0] - run.zero_ns) / 1e6
    rows = steps(run.trace, key, run.event_loops)
    hopped = any(row.kind == "to_thread" for row in rows)
    found = [piece for row in rows for piece in _pieces_of(row, zero) if piece.view or row.crossing or not hopped]
    shown = sorted((one for one in found if begin <= one.at <= end), key=lambda one: (one.at, one.name))
    queries = count(1)
    shown = [replace(one, name=f"query {next(queries)}: {one.name}") if one.query else one for one in shown]
    return shown if len(shown) <= MAX_PIECES else []


def _pieces_of(row: Step, zero: float) -> Iterator[Piece]:
    """Yield what is named of one row: where its own code ran first, and where a view went on after it had awaited
    something."""
    view = "view" in (row.kind, row.origin)
    if not (view or row.crossing or row.kind == "middleware"):
        return
    name = named(activity.title("view", row.name) if view else row.name)
    times = f" ×{len(row.times_us)}" if len(row.times_us) > 1 else ""
    middles = [zero + us / 1e3 for us in row.solid_us.mean(axis=1).tolist()] or [zero + float(row.times_us[0, 0]) / 1e3]
    cost, query = row.cost_us if row.crossing else math.nan, row.crossing and bool(_QUERY.search(row.name))
    yield Piece(f"{name}{times}", middles[0], cost, row.on_loop, view, query)
    if view and row.on_loop and not times and len(middles) <= _MAX_RESUMED:
        yield from (Piece(f"{name} goes on", at, math.nan, True, True) for at in middles[1:])


# In words


def of_timeline(drawn: Scene, under: str) -> str:
    """Say what the requests did, or, where an event loop was very late, how many waited for it."""
    traced, stuck = drawn.chosen - drawn.untraced, drawn.stuck
    if not drawn.chosen:
        return f"No request under {under} in this stretch of time"
    if not traced:
        return f"No trace of {wording.counted(drawn.chosen, 'request')} under {under}"
    if stuck and stuck.late_ms >= FINDING_MS and stuck.waited:
        loop = "the event loop" if len(drawn.loops) == 1 else f"one of {len(drawn.loops):,} event loops"
        late = stuck.at or f"late by up to {wording.ms(stuck.late_ms)} ms"
        return f"{_who_waited(drawn, traced, stuck)} under {under} waited for {loop}, {late}"
    queries = _of_queries(drawn, under) if traced == 1 else ""
    views = _of_views(drawn, traced, under) if traced > 1 else ""
    return queries or views or f"{_which(drawn, traced)} under {under} {did_what(drawn, traced)}"


def _who_waited(drawn: Scene, traced: int, stuck: LateLoop) -> str:
    if traced == 1:
        return "One request"
    requests, these = f"{'traced ' * bool(drawn.untraced)}requests", "these " * drawn.partial
    if stuck.waited == traced:
        return f"{'These' if drawn.partial else 'All'} {traced:,} {requests}"
    part = f"{'at least ' * stuck.unsure}{stuck.waited:,} of {these}{traced:,} {requests}"
    return part[0].upper() + part[1:]


def _of_queries(drawn: Scene, under: str) -> str:
    """Say where and how the queries ran that a single request awaited; empty for fewer than two."""
    hops = drawn.hops
    queries = hops[(hops["kind"] == "to_thread") & hops["title"].str.contains(_QUERY) & ~hops["cut"]]
    if len(queries) < 2:
        return ""
    begin, end = (queries.sort_values("running")[name].to_numpy(np.float64) for name in ("running", "done"))
    how = "one after the other" if (begin[1:] >= np.maximum.accumulate(end)[:-1]).all() else "at the same time"
    threads = queries["ran_on"].nunique()
    where = "one thread" if threads == 1 else f"{threads} threads"
    return f"{len(queries):,} awaited queries under {under} ran {how} on {where}"


def _of_views(drawn: Scene, traced: int, under: str) -> str:
    """Say that views took turns on an event loop, and whether it was idle meanwhile; empty where that is not so."""
    views = drawn.spans[drawn.spans["mine"] & (drawn.spans["kind"] == "view")]
    if len(views) != traced or len(drawn.loops) != 1 or not views["on_loop"].all():
        return ""
    idle = 0.0 if drawn.unseen else drawn.loops[0].idle(drawn.begin, drawn.end)
    rest = ", idle nearly all the time" if idle >= 0.9 else ", idle most of the time" if idle > _MOSTLY else ""
    return f"{_which(drawn, traced, 'view')} under {under} took turns on the event loop{rest}"


def _which(drawn: Scene, traced: int, noun: str = "request") -> str:
    """Return of which requests it is told: `3 requests`, `The first 3 of 20 requests`, `One request`."""
    all_of = wording.counted(drawn.total, noun)
    if traced == drawn.total:
        return f"One {noun}" if traced == 1 else all_of
    first = drawn.first == 0 and not drawn.untraced
    if traced == 1:
        return f"The first of {all_of}" if first else f"One {noun}"
    return f"{'The first ' * first}{traced:,} of {all_of}"


def did_what(drawn: Scene, number: int) -> str:
    """Say how often so many requests crossed, and between what, or where they stayed."""
    loops, threads = drawn.used
    if len(drawn.hops):
        used = ((loops, "event loop"), (threads, "thread"))
        ends = [noun if number == 1 else wording.counted(number, noun) for number, noun in used if number]
        return f"crossed {wording.often(len(drawn.hops))} between {wording.listed(ends)}"
    on = wording.things((loops, "event loop"), (threads, "thread")) or "no thread"
    on = on.replace("1 event loop", "the event loop").replace("1 thread", "one thread") if loops + threads == 1 else on
    return f"{'stayed' if number == 1 else 'took turns' if loops + threads == 1 else 'ran'} on {on}"


def detail(drawn: Scene) -> str:
    """Say how long a single request's view ran, or for what the typical one of several waited, if that is much of its
    time."""
    took, viewed, traced = drawn.took, drawn.waited(VIEW_ON_LOOP, VIEW_ON_THREAD), drawn.chosen - drawn.untraced
    if traced <= 1:
        return f"the view ran for {wording.ms(viewed)} of {wording.ms(took)} ms" if viewed else ""
    queued = 0.0 if drawn.loops else drawn.waited(QUEUED)
    for ms, what in ((queued, "its turn"), (drawn.waited(WAITS), "threads and the loop")):
        if ms >= MUCH_OF_A_REQUEST * took > 0:
            return f"the typical request spent {wording.ms(ms)} of its {wording.ms(took)} ms waiting for {what}"
    return ""
