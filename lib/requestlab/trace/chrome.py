"""A run as Chrome trace JSON: what the timeline shows, for Perfetto (ui.perfetto.dev) and chrome://tracing.

The format is described in *Trace Event Format* of the Chromium project. Two of its rules shape this module. Complete events
(`X`) of one thread must lie within each other or apart: so they are kept for what a thread really ran without a pause. All else
(requests, spans of coroutines, crossings) are async events (`b`, `e`), which must nest as well, among those with the same id:
what runs at the same time within one request has ids of its own. The arrows between threads (`s`, `t`, `f`) belong to the
slice that began last on their thread.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from requestlab.load.plan import COLUMNS
from requestlab.system.files import whole_file

if TYPE_CHECKING:
    from requestlab.measurement.run import Run

Event = dict[str, Any]

MARK_NS = 1_000
"""How long a mark is drawn where a coroutine is known to have run at that moment, but not for how long."""

UNFINISHED = "unfinished"
"""What says in an event's arguments that its end is not known, and is drawn where its worker was last heard of."""

_NESTED = ("middleware", "view", "request")
_SPAN_COLUMNS = (
    "id",
    "request",
    "parent",
    "kind",
    "name",
    "origin",
    "thread",
    "ran_on",
    "begin",
    "running",
    "done",
    "end",
    "bytes",
)


def write_trace(run: Run, path: str | os.PathLike[str]) -> Path:
    """Write the run as Chrome trace JSON, whole or not at all, and return its path; the usual suffix is `.json`.

    Times are in µs since the first request was planned, the warm-up's included. Processes are the clients (those of each load
    beside it too) and the workers; of these only what the probe wrote down, so that without it there are clients only.
    """
    target = Path(path)
    facts = run.about
    about = {"label": facts.label, "path": facts.path, "load": facts.load} | {"rows lost": str(run.trace.lost)}
    tightly = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
    with whole_file(target) as file:
        file.write(f'{{"displayTimeUnit": "ms", "otherData": {json.dumps(about)}, "traceEvents": [\n'.encode())
        file.write(",\n".join(map(tightly.encode, trace_events(run))).encode())
        file.write(b"\n]}\n")
    return target


def trace_events(run: Run) -> list[Event]:
    """Return the events of a trace, in the order of time."""
    loads = [run, *run.beside.values()]
    planned = [int(one.samples[:, COLUMNS.index("planned")].min()) for one in loads if len(one.samples)]
    origin = min(planned, default=run.about.start)
    workers = [_Worker(run, pid, origin) for pid in sorted(set(run.trace.rows[:, 0].tolist()))]
    free = (number for number in range(1, 2**31) if number not in {worker.pid for worker in workers})
    found = [event for number, one in enumerate(loads) for event in _clients(one, next(free), number)]
    for worker in workers:
        found += worker.events()
    for name, at in (("the measured stretch begins", "start"), ("the measured stretch ends", "end")):
        found.append({"ph": "i", "s": "g", "name": name, "pid": 0, "tid": 0, "ts": max(origin, getattr(run.about, at))})
    for event in found:
        if event["ph"] != "M":
            event["ts"] = _us(event["ts"] - origin)
    return sorted(found, key=lambda event: event.get("ts", -1.0))


def _us(ns: int) -> float:
    """Return it in µs, and half a nanosecond more: readers that cut off what is below one come to the very same number, so
    that what ends together still does."""
    return (ns + 0.5) / 1_000


@dataclass(eq=False)
class _Piece:
    """A stretch of time with a name. `id` is that of the span which it is of, `mark` that its length says nothing."""

    begin: int
    end: int
    name: str
    id: int
    args: Event = field(default_factory=dict)
    mark: bool = False
    inside: list[_Piece] = field(default_factory=list)
    placed: bool = False


# The clients.


def _clients(run: Run, pid: int, place: int) -> Iterator[Event]:
    name = f"clients, {run.about.load}" if place == 0 else f"clients beside, {run.about.load}"
    yield from _titles(pid, name, place)
    columns = ["planned", "sent", "first_byte", "done", "status", "error", "user", "pid", "number"]
    table = pd.concat([run.warmup[columns].assign(warmup=True), run.requests[columns].assign(warmup=False)])
    for number, row in enumerate(table.astype(object).where(table.notna(), None).to_dict("records")):
        args = {name: row[name] for name in (*columns[4:], "warmup") if row[name] not in (None, "")}
        whole = _Piece(row["planned"], row["done"], str(run.about.path), 0, args)
        times = [row["planned"], row["sent"] or row["done"], row["first_byte"] or row["done"], row["done"]]
        for phase, begin, end in zip(("late", "waits", "answer"), times[:-1], times[1:], strict=True):
            if begin < end:
                whole.inside.append(_Piece(begin, end, phase, 0))
        yield from _async_events(whole, {"cat": "client", "id": f"{pid}:{number}", "pid": pid, "tid": 0})


# The workers.


class _Worker:
    """What one worker did: pieces on its threads, pieces of its requests, and the hops between threads."""

    def __init__(self, run: Run, pid: int, origin: int) -> None:
        self.pid = pid
        inside = run.trace
        self._spans = [
            span
            for span in _records(inside.spans, pid, ("begin", "running", "done", "end"), _SPAN_COLUMNS)
            if span["begin"] >= origin
        ]
        self._ticks = [
            tick for tick in _records(inside.ticks, pid, ("due", "ran"), ("thread",)) if tick["due"] >= origin
        ]
        self._stacks = [
            look for look in _records(inside.stacks, pid, ("seen",), ("thread", "stack")) if look["seen"] >= origin
        ]
        self._last = _last_known([*self._spans, *self._ticks, *self._stacks])
        self._known = {span["id"]: span for span in self._spans}
        self._loops = self._find_loops(
            run.about.configuration is not None and run.about.configuration.interface == "asgi"
        )
        self._on_threads: dict[int, list[_Piece]] = defaultdict(list)
        self._of_requests: dict[int, list[_Piece]] = defaultdict(list)
        self._hops: list[list[tuple[int, int, _Piece]]] = []
        for span in self._spans:
            if span["kind"] == "step":
                self._add_slice(span)
            elif span["kind"] in _NESTED:
                self._nest_or_not(span)
            else:
                self._add_crossing(span)

    def events(self) -> Iterator[Event]:
        """Yield all of the worker's events, those at the same time in the order in which they must stand."""
        lanes = sorted({*self._on_threads, *(tick["thread"] for tick in self._ticks)}, key=self._lane)
        threads = {thread: self._thread_name(thread, number) for number, thread in enumerate(lanes)}
        yield from _titles(self.pid, f"worker {self.pid}", 100, threads)
        for thread, pieces in self._on_threads.items():
            apart = _nest(pieces)
            for piece in pieces:
                if piece.placed:
                    args = {"name": piece.name, "cat": "mark" if piece.mark else "runs", "args": piece.args}
                    yield self._event("X", thread, piece.begin, dur=_us(piece.end - piece.begin), **args)
            for piece in apart:
                self._of_requests[piece.args.get("request", 0)].append(piece)
        for number, hop in enumerate(self._hops):
            if all(piece.placed for _, _, piece in hop):
                yield from self._arrows(hop, f"{self.pid:#x}{number:08x}")
        for request, pieces in self._of_requests.items():
            for track, roots in enumerate(_tracks(pieces, self._known)):
                where = f"{self.pid}:{request}" + (f"/{track}" if track else "")
                for root in roots:
                    yield from _async_events(root, {"cat": "request", "id": where, "pid": self.pid, "tid": self.pid})
        yield from self._beats()

    def _find_loops(self, asgi: bool) -> set[int]:
        """Return the threads on which coroutines of several requests take turns."""
        requests = {span["id"]: span["thread"] for span in self._spans if span["kind"] == "request"}
        sliced = {span["thread"] for span in self._spans if span["kind"] == "step" and span["parent"] in requests}
        return sliced | {tick["thread"] for tick in self._ticks} | (set(requests.values()) if asgi else set())

    def _add_slice(self, span: Event) -> None:
        of = self._known.get(span["parent"])
        self._on_threads[span["thread"]].append(self._piece(span, _title(of) if of else "step", of=span["parent"]))

    def _nest_or_not(self, span: Event) -> None:
        """A span on the thread of an event loop was without a pause only if it lies within one slice."""
        piece = self._piece(span, _title(span), bytes=span["bytes"] if span["kind"] == "request" else None)
        if span["thread"] not in self._loops or self._within_a_slice(span):
            self._on_threads[span["thread"]].append(piece)
        else:
            self._of_requests[span["request"]].append(piece)

    def _within_a_slice(self, span: Event) -> bool:
        slices = self._slices[span["thread"]]
        at = bisect_right(slices, span["begin"], key=lambda one: one[0]) - 1
        return at >= 0 and 0 < span["end"] <= slices[at][1]

    @cached_property
    def _slices(self) -> dict[int, list[tuple[int, int]]]:
        """The outermost slices of each thread: begin and end, in the order of time."""
        found: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for span in self._spans:
            own = found[span["thread"]]
            if span["kind"] == "step" and not (own and span["begin"] < own[-1][1]):
                own.append((span["begin"], span["end"] or self._last))
        return found

    def _add_crossing(self, span: Event) -> None:
        """The stay on the other side is a piece of that thread, where nothing else takes turns on it; to and fro are arrows."""
        there, here, waits = span["ran_on"], span["thread"], span["kind"] == "to_loop"
        call = self._piece(span, _title(span)) if waits else self._mark(span, "begin", "calls")
        self._on_threads[here].append(call)
        whole = self._piece(span, _title(span), origin=span["origin"])
        self._of_requests[span["request"]] += [whole, *self._phases(span)]
        if not span["running"]:
            return
        shared = waits and there in self._loops
        stay = self._mark(span, "running", "begins") if shared else self._piece(span, span["name"], "running", "done")
        self._on_threads[there].append(stay)
        hop = [(here, call.begin, call), (there, stay.begin, stay)]
        if 0 < span["done"] <= span["end"]:  # else the caller has given up, or is not back
            back = self._mark(span, "end", "goes on after")
            self._on_threads[here].append(back)
            hop.append((here, back.begin, back))
        self._hops.append(hop)

    def _phases(self, span: Event) -> Iterator[_Piece]:
        for phase, begin, end in (
            ("there", "begin", "running"),
            ("inside", "running", "done"),
            ("back", "done", "end"),
        ):
            if span[begin] and span[begin] < (span[end] or self._last):
                yield self._piece(span, phase, begin, end)
            if not span[end]:
                return

    def _piece(self, span: Event, name: str, begin: str = "begin", end: str = "end", **args: Any) -> _Piece:
        known = {"request": span["request"], **{key: value for key, value in args.items() if value not in (None, "")}}
        if not span[end]:
            known[UNFINISHED] = True
            name = f"{name} ({UNFINISHED})"
        return _Piece(span[begin], max(span[begin], span[end] or self._last), name, span["id"], known)

    def _mark(self, span: Event, at: str, what: str) -> _Piece:
        args = {"request": span["request"]}
        return _Piece(span[at], span[at] + MARK_NS, f"{what} {span['name']}", span["id"], args, mark=True)

    def _arrows(self, hop: Sequence[tuple[int, int, _Piece]], identity: str) -> Iterator[Event]:
        for position, (thread, at, piece) in enumerate(hop):
            last = position == len(hop) - 1
            phase = "s" if position == 0 else "f" if last else "t"
            more = {"bp": "e"} if last else {}
            args = {"request": piece.args["request"]}
            yield self._event(phase, thread, at, name="hop", cat="hop", id=identity, args=args, **more)

    def _beats(self) -> Iterator[Event]:
        several = len({tick["thread"] for tick in self._ticks}) > 1
        for tick in self._ticks:
            name = f"event loop {tick['thread']} late" if several else "event loop late"
            at = tick["ran"] or self._last
            late = {"ms": max(0, at - tick["due"]) / 1e6}
            yield self._event("C", tick["thread"], at, name=name, args=late)
        for look in self._stacks:
            *_, innermost = look["stack"].splitlines() or [""]
            args = {"stack": look["stack"]}
            yield self._event("i", look["thread"], look["seen"], s="t", name=f"overdue: {innermost}", args=args)

    def _event(self, phase: str, thread: int, at: int, **more: Any) -> Event:
        return {"ph": phase, "pid": self.pid, "tid": thread, "ts": at, **more}

    def _lane(self, thread: int) -> tuple[bool, int]:
        return thread not in self._loops, min((piece.begin for piece in self._on_threads.get(thread, ())), default=0)

    def _thread_name(self, thread: int, number: int) -> str:
        return "event loop" if thread in self._loops else "main thread" if thread == self.pid else f"thread {number}"


def _nest(pieces: list[_Piece]) -> list[_Piece]:
    """Put the pieces of a thread into the order of time, what holds another before it, and return those that cannot be there:
    what begins within another and ends after it. A mark is cut short instead, and so is what never ended."""
    pieces.sort(key=lambda piece: (piece.begin, -piece.end, piece.mark, piece.id))
    apart: list[_Piece] = []
    stack: list[_Piece] = []
    for position, piece in enumerate(pieces):
        while stack and stack[-1].end <= piece.begin:
            stack.pop()
        if piece.mark and position + 1 < len(pieces):
            piece.end = min(piece.end, pieces[position + 1].begin)
        if stack and piece.end > stack[-1].end and (piece.mark or UNFINISHED in piece.args):
            piece.end = stack[-1].end
        piece.placed = not stack or piece.end <= stack[-1].end
        if piece.placed:
            stack.append(piece)
        else:
            apart.append(piece)
    return apart


def _tracks(pieces: list[_Piece], known: dict[int, Event]) -> list[list[_Piece]]:
    """Lay out the pieces of a request: on each track, what is within another began within it. Return the outermost of each."""
    tracks: list[_Track] = []
    for piece in sorted(pieces, key=lambda piece: (piece.begin, -piece.end, piece.id)):
        track = next((one for one in tracks if one.has_room(piece, known)), None)
        if track is None:
            tracks.append(track := _Track())
        (track.stack[-1].inside if track.stack else track.roots).append(piece)
        track.stack.append(piece)
    return [track.roots for track in tracks]


@dataclass(eq=False)
class _Track:
    """Pieces that lie within each other or apart; `stack` is what the last one lies within, and it itself."""

    roots: list[_Piece] = field(default_factory=list)
    stack: list[_Piece] = field(default_factory=list)

    def has_room(self, piece: _Piece, known: dict[int, Event]) -> bool:
        """Return whether it is free by the time the piece begins, or busy with what that began within."""
        while self.stack and self.stack[-1].end <= piece.begin:
            self.stack.pop()
        if not self.stack:
            return True
        return piece.end <= self.stack[-1].end and _began_within(piece, self.stack[-1], known)


def _began_within(piece: _Piece, outer: _Piece, known: dict[int, Event]) -> bool:
    span = piece.id
    while span > outer.id:  # a span has a larger id than what it began within
        span = known[span]["parent"] if span in known else 0
    return span == outer.id


def _async_events(piece: _Piece, common: Event) -> Iterator[Event]:
    yield {"ph": "b", "name": piece.name, "ts": piece.begin, **common, "args": piece.args}
    for inner in piece.inside:
        yield from _async_events(inner, common)
    yield {"ph": "e", "name": piece.name, "ts": piece.end, **common}


def _title(span: Event) -> str:
    """Return how a span is called: with its kind, where its name does not say what it is."""
    ways = {"view": "view ", "to_thread": "sync_to_async: ", "to_loop": "async_to_sync: "}
    return f"{ways.get(span['kind'], '')}{span['name']}"


def _titles(pid: int, name: str, index: int, threads: dict[int, str] | None = None) -> Iterator[Event]:
    yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": index}}
    for place, (thread, title) in enumerate((threads or {}).items()):
        yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": thread, "args": {"name": title}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": thread, "args": {"sort_index": place}}


def _records(table: Any, pid: int, times: Sequence[str], others: Iterable[str]) -> list[Event]:
    wanted = list(dict.fromkeys([*others, *times]))
    found: list[Event] = table.loc[table["pid"] == pid, wanted].to_dict("records")
    return found


def _last_known(rows: Iterable[Event]) -> int:
    times = ("begin", "running", "done", "end", "due", "ran", "seen")
    return max((row[name] for row in rows for name in times if name in row), default=0)
