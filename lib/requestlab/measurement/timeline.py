"""What the timeline shows of a run: its requests as the clients saw them, and a lane for each event loop and thread."""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from requestlab.errors import ConfigurationError
from requestlab.measurement.record import answered
from requestlab.measurement.run import Run
from requestlab.trace import activity
from requestlab.trace.activity import (
    NONE,
    PAUSED,
    QUEUED,
    UNTRACED,
    VIEW_ON_LOOP,
    Bars,
    Booleans,
    Floats,
    Integers,
    Key,
    evenly,
    stacked,
)
from requestlab.trace.requests import Step, steps

MAX_REQUESTS = 300

A_FEW = 60
"""Of a run of more than so many requests, so many are drawn, from the first on, unless asked for others."""

_MARGIN, _MIN_MS = 0.012, 0.05

Chosen = int | slice | None

Span = float | Sequence[float] | None


def table_of(run: Run) -> pd.DataFrame:
    """Return the requests in ms, in the order of planning, with the key by which their spans are found."""
    requests, zero = run.requests, run.zero_ns
    known = requests["number"].fillna(0).gt(0).to_numpy(dtype=bool)
    keys = zip(requests["pid"].fillna(0), requests["number"].fillna(0), known, strict=True)
    sent = requests["sent"].where(requests["sent"] > 0)
    return pd.DataFrame(
        {
            "planned": (requests["planned"] - zero) / 1e6,
            "sent": (sent - zero) / 1e6,
            "done": (requests["done"].where(requests["done"] > 0) - zero) / 1e6,
            "failed": ~answered(requests),
            "key": pd.Series([(int(p), int(n)) if k else None for p, n, k in keys], dtype=object),
        }
    )


def window_of(span_ms: Span) -> tuple[float, float] | None:
    if span_ms is None:
        return None
    pair: Any = span_ms if isinstance(span_ms, Sequence) and not isinstance(span_ms, str) else (None, span_ms)
    good = len(pair) == 2 and all(_is_time(value) for value in pair if value is not None) and pair[1] is not None
    begin, end = (math.nan if pair[0] is None else float(pair[0]), float(pair[1])) if good else (0.0, 0.0)
    if not good or end <= 0 or end <= begin:
        expected = "a length in ms above 0, or (from, to) in ms since the first request was planned"
        raise ConfigurationError(f"span_ms={span_ms!r}: expected {expected}")
    return begin, end


def _is_time(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf


def choose(table: pd.DataFrame, requests: Chosen, window: tuple[float, float] | None) -> pd.DataFrame:
    if requests is None:
        if window is not None:
            begin = 0.0 if math.isnan(window[0]) else window[0]
            late_enough = table["done"].isna() | (table["done"] > begin)
            return table[late_enough & (table["planned"] < window[1])]
        return table if len(table) <= MAX_REQUESTS else table[:A_FEW]
    if isinstance(requests, bool) or not isinstance(requests, int | slice):
        expected = "how many, or a slice of the rows of run.requests, as slice(100, 103)"
        raise ConfigurationError(f"requests={requests!r}: expected {expected}")
    if isinstance(requests, int) and requests < 1:
        raise ConfigurationError(f"requests={requests!r}: expected at least 1")
    try:
        found = table[:requests] if isinstance(requests, int) else table[requests]
    except (TypeError, ValueError):
        raise ConfigurationError(f"requests={requests!r}: expected a slice of whole numbers") from None
    if not len(found):
        raise ConfigurationError(
            f"requests={requests!r}: the run has {len(table):,} requests, and none of them is in it"
        )
    return found


def stretch(
    chosen: pd.DataFrame, spans: pd.DataFrame, window: tuple[float, float] | None, from_start: bool
) -> tuple[float, float]:
    if window is not None and not math.isnan(window[0]):
        return window
    begin = 0.0 if from_start or not len(chosen) else float(chosen["planned"].min())
    if window is not None:
        return begin, begin + window[1]
    ends = [chosen["done"].max(), chosen["planned"].max(), begin + _MIN_MS]
    served = spans[(spans["kind"] == "request") & ~spans["cut"]]
    ends.append(served.loc[belonging(served, chosen), "end"].max())
    end = float(np.nanmax(ends))
    margin = _MARGIN * (end - begin)
    return begin - margin, end + margin


def belonging(spans: pd.DataFrame, chosen: pd.DataFrame) -> Booleans:
    """Which spans belong to one of the chosen requests."""
    keys = [key for key in chosen["key"] if key is not None]
    return pd.MultiIndex.from_frame(spans[["pid", "request"]]).isin(keys) if keys else np.zeros(len(spans), dtype=bool)


_LONGEST = 48


def views_of(spans: pd.DataFrame) -> dict[int, str]:
    """Return the full name of the view by the place of each span of a view, or slice of one, in the table."""
    views, pieces = spans[spans["kind"] == "view"], spans[spans["in_view"]]
    by_id = dict(zip(_pairs(views, "id"), views["label"].tolist(), strict=True))
    found = dict(zip(views.index.tolist(), views["label"].tolist(), strict=True))
    found |= {
        place: by_id.get(key, "") for place, key in zip(pieces.index.tolist(), _pairs(pieces, "parent"), strict=True)
    }
    return found


def named(name: str) -> str:
    """Return a name without its module, at most 48 letters: `view page` for `view shop.views.page`."""
    kind, _, rest = name.rpartition(" ")
    if kind == "view":
        name = f"view {rest.rpartition('.')[2]}".rstrip()
    elif not kind and name.count(".") > 1:
        name = ".".join(name.split(".")[-2:])
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def run_beside(run: Run, spans: pd.DataFrame) -> Integers:
    """Return the places of the spans that were run for requests of the loads beside the run's own."""
    tables = [table for other in run.beside.values() for table in (other.warmup, other.requests)]
    keys = {key for table in tables for key in _pairs(table.dropna(subset=["pid", "number"]), "number")}
    kept = [key in keys for key in _pairs(spans, "request")] if keys else []
    return spans.index.to_numpy(np.int64)[np.flatnonzero(kept)]


def _pairs(table: pd.DataFrame, column: str) -> list[Key]:
    return list(zip(map(int, table["pid"].tolist()), map(int, table[column].tolist()), strict=True))


MAX_THREADS = 60

LATE_MS = 2.0
"""A tick of the event loop's heartbeat that ran later than this is shown as late; timers alone are late by up to 1 ms."""


@dataclass(frozen=True, eq=False)
class Track:
    """The lane of one event loop or thread: `worker` counts from 1, `late` has one row (from, to) a stretch in which the loop
    was late, `late_ms` how late its latest tick ran, `ended` is when the record breaks off within something that never ended."""

    worker: int
    key: Key
    name: str
    on_loop: bool
    bars: Bars
    late: Floats
    late_ms: Floats
    ended: float | None

    def blank(self, begin: float, end: float, *, late: bool) -> tuple[float, float]:
        """Return the longest stretch in which nothing ran, and in which the loop was late or was not; none is (begin, begin)."""
        edges = np.unique(np.concatenate([[begin, end], self.bars.begin, self.bars.end, self.late.ravel()]))
        edges = edges[(edges >= begin) & (edges <= end)]
        middle = (edges[1:] + edges[:-1]) / 2
        ran = np.searchsorted(self.bars.begin, middle) > np.searchsorted(self.bars.end, middle)
        overdue = np.searchsorted(self.late[:, 0], middle) > np.searchsorted(self.late[:, 1], middle)
        long = np.where(~ran & (overdue == late), np.diff(edges), 0.0)
        place = int(np.argmax(long))
        return (float(edges[place]), float(edges[place + 1])) if long[place] > 0 else (begin, begin)


def tracks_of(
    run: Run,
    spans: pd.DataFrame,
    looping: Set[Key],
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
    pids = list(dict.fromkeys([*run.workers, *(pid for pid, _ in [*at, *sorted(beating)])]))
    ended = _broken_off(spans)
    tracks, threads = [], 0
    for worker, pid in enumerate(pids, start=1):
        mine = [key for key in {**dict.fromkeys(sorted(beating)), **dict.fromkeys(at)} if key[0] == pid]
        its_loops = [key for key in mine if key in looping]
        others = sorted((key for key in mine if key not in looping), key=lambda key: float(at[key].begin[0]))
        for number, key in enumerate(its_loops, start=1):
            name = "event loop" if len(its_loops) == 1 else f"event loop {number}"
            found = _late(run, key, run.zero_ns)
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


def _broken_off(spans: pd.DataFrame) -> dict[Key, float]:
    """Return when each thread's record breaks off within something that never ended."""
    cut = spans[spans["cut"]]
    where = cut["thread"].where((cut["kind"] != "to_thread") | (cut["ran_on"] == 0), cut["ran_on"])
    return {(int(p), int(t)): float(e) for p, t, e in zip(cut["pid"], where, cut["end"], strict=True)}


def _late(run: Run, key: Key, zero: int) -> Floats:
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


STUCK_MS = 10.0
"""The lateness of a loop from which on it is the finding."""

_MOSTLY = 0.5

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
    said = _busy_with(run, worst, worst.late[row], views)
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


def _busy_with(run: Run, track: Track, late: Floats, views: Mapping[int, str]) -> str:
    """Say what a loop was at in a late stretch: the view that it ran for most of it, or that of a thread that had the GIL."""
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
        return f"without the GIL while the {named(f'view {view}')} ran on a thread" if view else ""
    view = view or _mostly(track, late, views)
    return f"busy with the {named(f'view {view}')}" if view else ""


def _mostly(track: Track, late: Floats, views: Mapping[int, str]) -> str:
    """Return the view that ran on the loop for most of a late stretch, in however many requests; empty if none did."""
    took: dict[str, float] = {}
    bars = track.bars.of(VIEW_ON_LOOP).clipped(*late.tolist())
    for owner, ms in zip(bars.owner.tolist(), bars.ms.tolist(), strict=True):
        took[views.get(owner, "")] = took.get(views.get(owner, ""), 0.0) + ms
    return next((view for view, ms in took.items() if ms > _MOSTLY * np.ptp(late)), "")


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
    key: Key | None
    bars: Bars


MAX_PIECES = 40
"""With more pieces than this, none is named: that is for the figure `crossings`."""

_MAX_RESUMED = 3


@dataclass(frozen=True)
class Piece:
    """A piece of a request: its name, a moment in it (ms), what it cost to get there and back (us; NaN: nothing, or not known),
    whether it ran on an event loop, and whether it was the view."""

    name: str
    at: float
    cost_us: float
    on_loop: bool
    view: bool


def pieces_of(run: Run, key: Key | None, begin: float, end: float) -> list[Piece]:
    """Return the pieces of one request between two moments, in order: its crossings and its view, and where it never crossed
    to a thread, its middleware too. None, if there are more than `MAX_PIECES`."""
    if key is None:
        return []
    spans = run.spans
    mine = spans[(spans["kind"] == "request") & (spans["pid"] == key[0]) & (spans["request"] == key[1])]
    if mine.empty:
        return []
    zero = float(mine["begin"].iloc[0] - run.zero_ns) / 1e6
    rows = steps(run.trace, key, run.event_loops)
    hopped = any(row.kind == "to_thread" for row in rows)
    found = [piece for row in rows for piece in _pieces(row, zero) if piece.view or row.crossing or not hopped]
    shown = sorted((one for one in found if begin <= one.at <= end), key=lambda one: (one.at, one.name))
    return shown if len(shown) <= MAX_PIECES else []


def _pieces(row: Step, zero: float) -> Iterator[Piece]:
    """Yield what is named of one row: where its own code ran first, and where a view went on after it had awaited something."""
    view = "view" in (row.kind, row.origin)
    if not (view or row.crossing or row.kind == "middleware"):
        return
    name = named(f"view {row.name.removeprefix('view ')}" if view else row.name)
    times = f" ×{len(row.times_us)}" if len(row.times_us) > 1 else ""
    middles = [zero + us / 1e3 for us in row.solid_us.mean(axis=1).tolist()] or [zero + float(row.times_us[0, 0]) / 1e3]
    yield Piece(f"{name}{times}", middles[0], row.cost_us if row.crossing else math.nan, row.on_loop, view)
    if view and row.on_loop and not times and len(middles) <= _MAX_RESUMED:
        yield from (Piece(f"{name} goes on", at, math.nan, True, True) for at in middles[1:])


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn: clients and tracks between two moments, in ms since the first request was planned.

    `spans` are those of the chosen requests, `guests` the places of those of the loads beside, `views` the names of views by
    the places of their pieces, `loop_keys` the (pid, thread) of event loops, `stuck` tells of their lateness. `total` counts the requests of the
    run, `chosen` those asked for, of which `first` is the first row, `untraced` those of them that the probe left out;
    `hidden_requests` and `hidden_threads` are left out for want of room. `unseen`: work of the application may be missing from
    the lanes, since some requests were not traced, or rows were lost. `pieces` are those of a single request.
    """

    begin: float
    end: float
    clients: Sequence[Client]
    tracks: Sequence[Track]
    spans: pd.DataFrame
    guests: Integers
    views: Mapping[int, str]
    loop_keys: frozenset[Key]
    stuck: Block | None
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
        return np.concatenate([self.spans.index.to_numpy(np.int64), self.guests])

    @property
    def hops(self) -> pd.DataFrame:
        """The crossings of the chosen requests."""
        return self.spans[self.spans["kind"].isin(("to_thread", "to_loop"))]

    @property
    def used(self) -> tuple[int, int]:
        """How many event loops and how many other threads the chosen requests came to."""
        came = {*_pairs(self.spans, "thread"), *_pairs(self.spans, "ran_on")}
        used = {key for key in came if key[1]}
        return len(used & self.loop_keys), len(used - self.loop_keys)

    @property
    def traced(self) -> list[Client]:
        """The clients whose requests were traced."""
        return [client for client in self.clients if len(client.bars) and UNTRACED not in client.bars.state]

    def waited(self, *states: int) -> float:
        """How many ms the typical traced request was in one of the states, the median."""
        waits = [client.bars.of(*states).ms.sum() for client in self.traced]
        return float(np.median(waits)) if waits else 0.0

    @property
    def took(self) -> float:
        """How many ms the typical traced request took, from planned to answered, the median."""
        times = [client.done - client.planned for client in self.traced]
        return float(np.median(times)) if times else 0.0


def scene(run: Run, requests: Chosen = None, span_ms: Span = None) -> Scene:
    """Choose what to draw; ConfigurationError for a choice that cannot be."""
    table = table_of(run)
    window = window_of(span_ms)
    chosen = choose(table, requests, window)
    zero, inside = run.zero_ns, run.trace
    spans, looping = activity.in_ms(inside, zero), run.event_loops
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
        looping,
        stuck_of(run, tracks, at, sent, spans[mine], views),
        rows,
        len(table),
        len(chosen),
        int(chosen.index[0]) if len(chosen) else 0,
        sum(key not in at for key in chosen["key"]),
        hidden,
        hidden_threads,
        bool(unseen),
        pieces_of(run, chosen["key"].iloc[0], begin, end) if len(chosen) == 1 else [],
    )


def _traced(spans: pd.DataFrame, table: pd.DataFrame) -> Booleans:
    """Which requests of the table have spans."""
    known = set(zip(spans["pid"].tolist(), spans["request"].tolist(), strict=True))
    return np.array([key in known for key in table["key"]], dtype=bool)


def _clients(chosen: pd.DataFrame, at: dict[Key, Bars], begin: float, end: float) -> tuple[list[Client], int, int]:
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
