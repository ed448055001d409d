"""The one reading of the spans: which threads run event loops, what each span is called and when it ended, and what
each request and each thread was at, moment by moment.

The timeline, the crossings figure, the Chrome export and the analysis of blocked loops build on it.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from requestlab.trace.trace import CROSSINGS, Trace

Floats = np.ndarray[Any, np.dtype[np.float64]]
Integers = np.ndarray[Any, np.dtype[np.int64]]
Booleans = np.ndarray[Any, np.dtype[np.bool_]]

Key = tuple[int, int]
"""A process and one of its threads, or one of its requests by its number there, from 1."""

QUEUED, WAITS, PAUSED, ON_LOOP, VIEW_ON_LOOP, ON_THREAD, VIEW_ON_THREAD, UNTRACED = range(8)
"""States. Of a request: on its way or in a queue; waiting for a thread or for the loop to go on; awaiting something
else while nothing of it runs; Django's own code or the view running on the event loop, or on a thread; nobody knows. A
thread waits too, or is waited for."""


# What the spans are


def event_loops(trace: Trace, said: Iterable[Sequence[int]] = ()) -> frozenset[Key]:
    """Return the (pid, thread) of every thread that is known to have run an event loop.

    That is where a heartbeat ticked, where a step of a coroutine ran, where `sync_to_async` was called, where what was
    given to `async_to_sync` ran, and what requests `said` in their answers, (pid, thread) each.
    """
    spans = trace.spans
    began = spans[spans["kind"].isin(("step", "to_thread"))]
    ran = spans[(spans["kind"] == "to_loop") & (spans["ran_on"] > 0)]
    pairs = [trace.ticks[["pid", "thread"]], began[["pid", "thread"]], ran[["pid", "ran_on"]]]
    told = [pair for table in pairs for pair in table.drop_duplicates().to_numpy().tolist()]
    return frozenset((int(pid), int(thread)) for pid, thread in [*told, *said])


def title(kind: str, name: str) -> str:
    """Return how a span is called: `view shop.views.page`, `GET /`, `SessionMiddleware`; a crossing by what it leads
    to."""
    return f"view {name}".rstrip() if kind == "view" and not name.startswith("view ") else name or kind


def read(trace: Trace, loops: Set[Key] = frozenset()) -> pd.DataFrame:
    """Return `Trace.spans` with what else is known of each span, in ns.

    `title` is what it is called, a step as the coroutine of which it is one; `view` the full name of the view, where it
    is one or a step of one (`in_view`). `until` is its end; one that has none (it is `cut`) ends when its worker was
    last heard of. `there_until` is when a crossing's stay on the other side ended: where nobody knows, the stay counts
    as long as the call does; 0 where it did not begin. `on_loop` says that it began on one of the `loops`, `stepwise`
    that it has steps of its own.
    """
    spans = trace.spans.copy()
    spans["cut"] = spans["end"] == 0
    spans["until"] = spans["end"].where(~spans["cut"], spans["pid"].map(last_heard(trace)))
    stays = spans["kind"].isin(CROSSINGS) & (spans["running"] > 0)
    spans["there_until"] = spans["done"].where(~stays | (spans["done"] > 0), spans["until"])
    step = (spans["kind"] == "step").to_numpy()
    places = {key: place for place, key in enumerate(keys(spans, "id"))}
    around = np.array([places.get(key, -1) for key in keys(spans, "parent")], dtype=np.int64)
    of = np.where(step & (around >= 0), around, np.arange(len(spans)))
    kind, name = spans["kind"].astype(str).to_numpy()[of], spans["name"].to_numpy()[of]
    spans["title"] = pd.Series(list(map(title, kind, name)), index=spans.index, dtype=object)
    spans["view"] = pd.Series(np.where(kind == "view", name, ""), index=spans.index, dtype=object)
    spans["in_view"] = step & (kind == "view")
    spans["on_loop"] = among(spans, "thread", loops)
    spans["stepwise"] = np.isin(np.arange(len(spans)), around[step])
    return spans


def last_heard(trace: Trace) -> dict[int, int]:
    """Return the last moment at which each worker wrote anything, by pid, in ns."""
    stamps = [trace.spans[["pid", name]] for name in ("begin", "running", "done", "end")]
    stamps += [trace.ticks[["pid", "due"]], trace.ticks[["pid", "ran"]], trace.looks[["pid", "seen"]]]
    table = pd.concat([stamp.set_axis(["pid", "at"], axis=1) for stamp in stamps])
    return {int(str(pid)): int(at) for pid, at in table.groupby("pid")["at"].max().items()}


def keys(table: pd.DataFrame, column: str) -> list[Key]:
    """Return (pid, value of that column) of each row."""
    return list(zip(map(int, table["pid"].tolist()), map(int, table[column].tolist()), strict=True))


def among(table: pd.DataFrame, column: str, wanted: Set[Key | None]) -> Booleans:
    """Return of which rows (pid, value of that column) is wanted."""
    return np.array([key in wanted for key in keys(table, column)], dtype=bool)


def in_ms(trace: Trace, zero_ns: int, loops: Set[Key] = frozenset()) -> pd.DataFrame:
    """Return the spans as `read` does, but with `begin`, `running`, `done` and `end` in ms since `zero_ns`, NaN where
    it did not come to that; `done` and `end` are those that `read` calls `there_until` and `until`."""
    spans, stamps = read(trace, loops), ["begin", "running", "done", "end"]
    ns = spans[["begin", "running", "there_until", "until"]].astype("float64").set_axis(stamps, axis=1)
    spans[stamps] = ((ns - zero_ns) / 1e6).where(ns > 0)
    return spans.drop(columns=["there_until", "until"])


# What was going on


@dataclass(frozen=True, eq=False)
class Bars:
    """Stretches of time that do not overlap, in order: ms from `begin` to `end`, the `state`, and whose it was
    (`owner`, the place of a span in the table; -1: none)."""

    begin: Floats
    end: Floats
    state: Integers
    owner: Integers

    def __len__(self) -> int:
        return len(self.begin)

    @property
    def ms(self) -> Floats:
        """How long each stretch is."""
        return self.end - self.begin

    def of(self, *states: int) -> Bars:
        """Return those in one of the states."""
        return self.only(np.isin(self.state, states))

    def only(self, kept: Booleans) -> Bars:
        """Return some of them."""
        return Bars(self.begin[kept], self.end[kept], self.state[kept], self.owner[kept])

    def clipped(self, begin: float, end: float) -> Bars:
        """Return what of them lies between two moments."""
        kept = (self.end > begin) & (self.begin < end)
        some = self.only(kept)
        return Bars(np.maximum(some.begin, begin), np.minimum(some.end, end), some.state, some.owner)


NONE = Bars(np.empty(0), np.empty(0), np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int64))


def painted(begin: Floats, end: Floats, state: Integers, owner: Integers) -> Bars:
    """Paint stretches over one another, in the order given, and return what is to be seen; those of no length are
    not."""
    long = end > begin
    begin, end, state, owner = begin[long], end[long], state[long], owner[long]
    edges = np.unique(np.concatenate([begin, end]))
    if len(edges) < 2:
        return NONE
    top = np.full(len(edges) - 1, -1)
    spots = zip(np.searchsorted(edges, begin).tolist(), np.searchsorted(edges, end).tolist(), strict=True)
    for i, (first, last) in enumerate(spots):
        top[first:last] = i
    changes = np.flatnonzero(np.diff(top)) + 1
    firsts, lasts = np.concatenate([[0], changes]), np.concatenate([changes, [len(top)]])
    seen = top[firsts] >= 0
    firsts, lasts = firsts[seen], lasts[seen]
    return Bars(edges[firsts], edges[lasts], state[top[firsts]], owner[top[firsts]])


def of_requests(spans: pd.DataFrame) -> dict[Key, Bars]:
    """Return what each request was at, by (pid, number): its spans, rows of `in_ms`, painted from the outermost to the
    innermost."""
    kind, loop = spans["kind"], spans["on_loop"]
    request, view = kind == "request", kind == "view"
    alone = request & _untold(spans)
    layers = [
        _layer(spans[request & ~loop], ON_THREAD),
        _layer(spans[alone], ON_LOOP),
        _layer(spans[request & loop & ~alone], PAUSED),
        _layer(spans[kind.isin(CROSSINGS)], WAITS),
        _layer(_stays(spans[kind == "to_thread"]), ON_THREAD),
        _layer(_stays(spans[kind == "to_loop"]), ON_LOOP),
        _layer(spans[view & ~loop], VIEW_ON_THREAD),
        _layer(spans[view & loop], PAUSED),
        _layer(spans[(kind == "step") & ~spans["in_view"]], ON_LOOP, over=2),
        _layer(spans[spans["in_view"]], VIEW_ON_LOOP, over=2),
    ]
    return _painted_by("request", layers)


def of_threads(spans: pd.DataFrame) -> dict[Key, Bars]:
    """Return what each thread was at, by (pid, thread); `spans` are rows of `in_ms` with their places as index.

    A thread is shown as waited for, or waiting, where nothing runs on it. A loop runs what the steps tell; what no step
    tells of (the inside of an `async_to_sync`, an application that is not Django's) it runs as far as nothing else is
    known of the request.
    """
    kind, loop = spans["kind"], spans["on_loop"]
    to_thread = spans[kind == "to_thread"]
    layers = [
        _layer(to_thread.assign(thread=to_thread["ran_on"]), WAITS, over=0),
        _layer(spans[(kind == "request") & ~loop], ON_THREAD),
        _layer(spans[kind == "to_loop"], WAITS),
        _layer(_stays(to_thread), ON_THREAD),
        _layer(spans[(kind == "view") & ~loop], VIEW_ON_THREAD),
        _layer(spans[(kind == "step") & ~spans["in_view"]], ON_LOOP),
        _layer(spans[spans["in_view"]], VIEW_ON_LOOP),
        *_told_by_the_rest(spans),
    ]
    return _painted_by("thread", layers)


def _untold(spans: pd.DataFrame) -> pd.Series[bool]:
    """Which spans ran on a loop without having steps of their own."""
    return (((spans["kind"] == "request") & spans["on_loop"]) | (spans["kind"] == "to_loop")) & ~spans["stepwise"]


def _told_by_the_rest(spans: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield when such spans ran: while the request that they are of was on a loop, and nothing else is known to have
    run."""
    untold = _untold(spans)
    theirs = spans[among(spans, "request", set(keys(spans[untold], "request")))]
    for bars in of_requests(theirs).values():
        loop = bars.of(ON_LOOP)
        loop = loop.only(untold.to_numpy()[loop.owner])
        rows = spans.iloc[loop.owner].assign(begin=loop.begin, end=loop.end)
        thread = rows["thread"].where(rows["kind"] == "request", rows["ran_on"])
        yield _layer(rows.assign(thread=thread), ON_LOOP)


def _stays(crossings: pd.DataFrame) -> pd.DataFrame:
    """Return crossings with the times and the thread of what ran on the other side."""
    there = {"thread": crossings["ran_on"], "begin": crossings["running"], "end": crossings["done"]}
    return crossings.assign(**there)


def _layer(rows: pd.DataFrame, state: int, over: int = 1) -> pd.DataFrame:
    return rows[["pid", "request", "thread", "begin", "end"]].assign(state=state, over=over, owner=rows.index)


def _painted_by(key: str, layers: Sequence[pd.DataFrame]) -> dict[Key, Bars]:
    """Paint the layers, for each process and key apart: what began later lies over what began earlier, as in a stack of
    calls; of what began together, the later layer does."""
    table = pd.concat(layers, ignore_index=True).dropna(subset=["begin", "end"])
    table = table[(table["pid"] > 0) & (table[key] > 0)].sort_values(["over", "begin"], kind="stable")
    groups: Any = table.groupby(["pid", key], sort=False)
    return {
        (int(pid), int(number)): painted(*(rows[name].to_numpy() for name in ("begin", "end", "state", "owner")))
        for (pid, number), rows in groups
    }


def over(*layers: Bars) -> Bars:
    """Return bars painted over one another, the last on top."""
    parts = [(bars.begin, bars.end, bars.state, bars.owner) for bars in layers]
    return painted(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


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


def evenly(total: int, wanted: int) -> Integers:
    """Return `wanted` of the numbers from 0 to `total` - 1, evenly spaced; all of them if there are no more."""
    return np.linspace(0, total - 1, min(total, wanted)).round().astype(np.int64)
