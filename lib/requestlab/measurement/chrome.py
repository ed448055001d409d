"""A run as Chrome trace JSON: what the timeline shows, for Perfetto (ui.perfetto.dev) and chrome://tracing.

The format is described in *Trace Event Format* of the Chromium project. Two of its rules shape this module. Complete
events (`X`) of one thread must lie within each other or apart: so they are kept for what a thread really ran without a
pause. All else (requests, spans of coroutines, crossings) are async events (`b`, `e`), which must nest as well, among
those with the same id: what runs at the same time within one request has ids of its own. The arrows between threads
(`s`, `t`, `f`) belong to the slice that began last on their thread.
"""

from __future__ import annotations

import json
import os
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from requestlab.measurement.record import Record
from requestlab.system.files import whole_file
from requestlab.trace import activity

Event = dict[str, Any]

MARK_NS = 1_000
"""How long a mark is drawn where a coroutine is known to have run at that moment, but not for how long."""

UNFINISHED = "unfinished"
"""What says in an event's arguments that its end is not known."""

_WAYS = {"to_thread": "sync_to_async", "to_loop": "async_to_sync"}
_FOREVER = 2**63


def write_trace(run: Record, path: str | os.PathLike[str]) -> Path:
    """Write a run as Chrome trace JSON, whole or not at all, and return its path.

    Times are in µs since the first request was planned, the warm-up's included. Processes are the clients (those of
    each load apart) and the workers; of these only what the probe wrote down, so that without it there are clients
    only.
    """
    target, facts = Path(path), run.about
    tightly = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
    about = {"label": facts.label, "path": facts.path, "load": facts.load, "rows lost": str(run.trace.lost)}
    with whole_file(target) as file:
        file.write(f'{{"displayTimeUnit": "ms", "otherData": {json.dumps(about)}, "traceEvents": [\n'.encode())
        file.write(",\n".join(map(tightly.encode, trace_events(run))).encode())
        file.write(b"\n]}\n")
    return target


def trace_events(run: Record) -> list[Event]:
    """Return the events of a run's trace, in the order of time."""
    loads = [run, *run.beside.values()]
    begin = min([int(load.column("planned").min()) for load in loads if len(load.samples)] or [run.about.start])
    found = list(_worker_events(run, begin))
    taken = {event["pid"] for event in found}
    free = (number for number in range(1, _FOREVER) if number not in taken)
    for load, number in zip(loads, free, strict=False):
        found += _client_events(load, number, beside=load is not run)
    for name, at in (("begins", run.about.start), ("ends", run.about.end)):
        what = {"ph": "i", "s": "g", "name": f"the measured stretch {name}", "pid": 0, "tid": 0}
        found.append(what | {"ts": max(begin, at)})
    for event in found:
        if event["ph"] != "M":
            event["ts"] = _us(event["ts"] - begin)
    return sorted(found, key=lambda event: event.get("ts", -1.0))


def _worker_events(run: Record, begin: int) -> Iterator[Event]:
    """Yield what happened in the workers from that moment on."""
    trace, last = run.trace, activity.last_heard(run.trace)
    looks = trace.looks[trace.looks["thread"] == trace.looks["loop"]]
    tables = {"begin": activity.read(trace, run.event_loops), "due": trace.ticks, "seen": looks}
    later = [table[table[stamp] >= begin] for stamp, table in tables.items()]
    for pid in sorted({int(pid) for table in later for pid in table["pid"].unique()}):
        spans, ticks, seen = (_rows(table, pid) for table in later)
        loops = {thread for process, thread in run.event_loops if process == pid}
        yield from _Worker(pid, loops, last[pid], spans).events(ticks, seen)


def _rows(table: pd.DataFrame, pid: int) -> list[Event]:
    rows: Any = table[table["pid"] == pid].to_dict("records")
    return list(rows)


def _us(ns: int) -> float:
    """Return it in µs, and half a nanosecond more: readers that cut off what is below one come to the very same number,
    so that what ends together still does."""
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


# The clients


def _client_events(load: Record, pid: int, beside: bool) -> Iterator[Event]:
    yield from _titles(pid, f"clients{' beside' * beside}, {load.about.load}", pid)
    told = ["status", "error", "user", "pid", "number", "warmup"]
    requests = pd.concat([load.warmup.assign(warmup=True), load.requests.assign(warmup=False)])
    table = requests[["planned", "sent", "first_byte", "done", *told]].astype(object)
    for number, row in enumerate(table.where(table.notna(), None).to_dict("records")):
        args = {name: row[name] for name in told if row[name] not in (None, "")}
        whole = _Piece(row["planned"], row["done"], load.about.path, 0, args)
        times = [row["planned"], row["sent"] or row["done"], row["first_byte"] or row["done"], row["done"]]
        for phase, begin, end in zip(("late", "waits", "answer"), times[:-1], times[1:], strict=True):
            if begin < end:
                whole.inside.append(_Piece(begin, end, phase, 0))
        yield from _async_events(whole, {"cat": "client", "id": f"{pid}:{number}", "pid": pid, "tid": 0})


# The workers


class _Worker:
    """What one worker did: pieces on its threads, pieces of its requests, and the hops between threads.

    `spans` are rows of `activity.read`, `loops` the threads that run an event loop, `last` is when it was last heard
    of.
    """

    def __init__(self, pid: int, loops: Set[int], last: int, spans: Sequence[Event]) -> None:
        self._pid, self._loops, self._last = pid, loops, last
        self._parents = {span["id"]: span["parent"] for span in spans}
        self._steps = _outermost_steps(spans)
        self._on_threads: dict[int, list[_Piece]] = defaultdict(list)
        self._of_requests: dict[int, list[_Piece]] = defaultdict(list)
        self._hops: list[list[tuple[int, _Piece]]] = []
        for span in spans:
            if span["kind"] in _WAYS:
                self._add_crossing(span)
            else:
                self._add_span(span)

    def events(self, ticks: Sequence[Event], looks: Sequence[Event]) -> Iterator[Event]:
        """Yield all of the worker's events, those at the same time in the order in which they must stand."""
        lanes = sorted({*self._on_threads, *(tick["thread"] for tick in ticks)}, key=self._lane)
        threads = {thread: self._thread_name(thread, number) for number, thread in enumerate(lanes)}
        yield from _titles(self._pid, f"worker {self._pid}", 100, threads)
        placed: set[_Piece] = set()
        for thread, pieces in self._on_threads.items():
            fitting, others = _nest(pieces)
            placed |= set(fitting)
            for piece in fitting:
                args = {"name": piece.name, "cat": "mark" if piece.mark else "runs", "args": piece.args}
                yield self._event("X", thread, piece.begin, dur=_us(piece.end - piece.begin), **args)
            for piece in others:
                self._of_requests[piece.args["request"]].append(piece)
        for number, hop in enumerate(self._hops):
            if all(piece in placed for _, piece in hop):
                yield from self._arrows(hop, f"{self._pid:#x}{number:08x}")
        for request, pieces in self._of_requests.items():
            for track, roots in enumerate(_tracks(pieces, self._parents)):
                where = f"{self._pid}:{request}" + (f"/{track}" if track else "")
                for root in roots:
                    yield from _async_events(root, {"cat": "request", "id": where, "pid": self._pid, "tid": self._pid})
        yield from self._beats(ticks)
        for look in looks:
            name = f"overdue: {look['stack'].rpartition(chr(10))[2]}"
            yield self._event("i", look["thread"], look["seen"], s="t", name=name, args={"stack": look["stack"]})

    def _add_span(self, span: Event) -> None:
        """A step ran on its thread without a pause; so did a span, unless on an event loop it does not lie within one
        step."""
        paused = span["kind"] != "step" and span["on_loop"] and not self._within_a_step(span)
        told = {"step": {"of": span["parent"]}, "request": {"bytes": span["bytes"]}}.get(span["kind"], {})
        piece = _piece(span, span["title"], **told)
        (self._of_requests[span["request"]] if paused else self._on_threads[span["thread"]]).append(piece)

    def _within_a_step(self, span: Event) -> bool:
        steps = self._steps[span["thread"]]
        at = bisect_right(steps, span["begin"], key=lambda one: one[0]) - 1
        return at >= 0 and not span["cut"] and bool(span["end"] <= steps[at][1])

    def _add_crossing(self, span: Event) -> None:
        """Call and stay on the other side are pieces of their threads; on an event loop marks, since others take turns
        there. To and fro are arrows."""
        here, there, to_loop = span["thread"], span["ran_on"], span["kind"] == "to_loop"
        whole = f"{_WAYS[span['kind']]}: {span['title']}"
        call = _piece(span, whole) if to_loop else _mark(span, "begin", "calls")
        self._on_threads[here].append(call)
        self._of_requests[span["request"]] += [_piece(span, whole, origin=span["origin"]), *_phases(span)]
        if not span["running"]:
            return
        stay = _mark(span, "running", "begins") if to_loop else _piece(span, span["title"], "running", "done")
        self._on_threads[there].append(stay)
        hop = [(here, call), (there, stay)]
        if 0 < span["done"] <= span["end"]:  # else the caller has given up, or is not back
            hop.append((here, _mark(span, "end", "goes on after")))
            self._on_threads[here].append(hop[-1][1])
        self._hops.append(hop)

    def _arrows(self, hop: Sequence[tuple[int, _Piece]], identity: str) -> Iterator[Event]:
        phases = ("s", "t", "f") if len(hop) == 3 else ("s", "f")
        for phase, (thread, piece) in zip(phases, hop, strict=True):
            more = {"bp": "e"} if phase == "f" else {}
            args = {"request": piece.args["request"]}
            yield self._event(phase, thread, piece.begin, name="hop", cat="hop", id=identity, args=args, **more)

    def _beats(self, ticks: Sequence[Event]) -> Iterator[Event]:
        several = len({tick["thread"] for tick in ticks}) > 1
        for tick in ticks:
            name = f"event loop {tick['thread']} late" if several else "event loop late"
            at = tick["ran"] or self._last
            yield self._event("C", tick["thread"], at, name=name, args={"ms": max(0, at - tick["due"]) / 1e6})

    def _event(self, phase: str, thread: int, at: int, **more: Any) -> Event:
        return {"ph": phase, "pid": self._pid, "tid": thread, "ts": at, **more}

    def _lane(self, thread: int) -> tuple[bool, int]:
        return thread not in self._loops, min((piece.begin for piece in self._on_threads.get(thread, ())), default=0)

    def _thread_name(self, thread: int, number: int) -> str:
        return "event loop" if thread in self._loops else "main thread" if thread == self._pid else f"thread {number}"


def _outermost_steps(spans: Sequence[Event]) -> dict[int, list[tuple[int, int]]]:
    """Return begin and end of the outermost steps of each thread, in the order of time."""
    found: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for span in spans:
        own = found[span["thread"]]
        if span["kind"] == "step" and not (own and span["begin"] < own[-1][1]):
            own.append((span["begin"], span["until"]))
    return found


def _piece(span: Event, name: str, begin: str = "begin", end: str = "end", **args: Any) -> _Piece:
    """Return a span, or a part of it, from one of its stamps to another."""
    known = {"request": span["request"], **{key: value for key, value in args.items() if value not in (None, "")}}
    if not span[end]:
        known[UNFINISHED] = True
        name = f"{name} ({UNFINISHED})"
    return _Piece(span[begin], max(span[begin], span[end] or span["until"]), name, span["id"], known)


def _mark(span: Event, at: str, what: str) -> _Piece:
    args = {"request": span["request"]}
    return _Piece(span[at], span[at] + MARK_NS, f"{what} {span['title']}", span["id"], args, mark=True)


def _phases(span: Event) -> Iterator[_Piece]:
    """Yield a crossing's way there, its stay and its way back, as far as it came."""
    for phase, begin, end in (("there", "begin", "running"), ("inside", "running", "done"), ("back", "done", "end")):
        if span[begin] and span[begin] < (span[end] or span["until"]):
            yield _piece(span, phase, begin, end)
        if not span[end]:
            return


def _nest(pieces: list[_Piece]) -> tuple[list[_Piece], list[_Piece]]:
    """Return the pieces of a thread in the order of time, what holds another before it; and those that cannot be there:
    what begins within another and ends after it. A mark is cut short instead, and so is what never ended."""
    pieces.sort(key=lambda piece: (piece.begin, -piece.end, piece.mark, piece.id))
    fitting: list[_Piece] = []
    others: list[_Piece] = []
    stack: list[_Piece] = []
    for position, piece in enumerate(pieces):
        while stack and stack[-1].end <= piece.begin:
            stack.pop()
        if piece.mark and position + 1 < len(pieces):
            piece.end = min(piece.end, pieces[position + 1].begin)
        if stack and (piece.mark or UNFINISHED in piece.args):
            piece.end = min(piece.end, stack[-1].end)
        if stack and piece.end > stack[-1].end:
            others.append(piece)
        else:
            stack.append(piece)
            fitting.append(piece)
    return fitting, others


def _tracks(pieces: list[_Piece], parents: Mapping[int, int]) -> list[list[_Piece]]:
    """Lay out the pieces of a request: on each track, what is within another began within it. Return the outermost of
    each."""
    stacks: list[list[_Piece]] = []  # of each track, the piece that came last, and all that it lies within
    for piece in sorted(pieces, key=lambda piece: (piece.begin, -piece.end, piece.id)):
        stack = next((one for one in stacks if _has_room(one, piece, parents)), None)
        if stack is None:
            stacks.append(stack := [_Piece(0, _FOREVER, "the track", 0)])
        stack[-1].inside.append(piece)
        stack.append(piece)
    return [stack[0].inside for stack in stacks]


def _has_room(stack: list[_Piece], piece: _Piece, parents: Mapping[int, int]) -> bool:
    """Return whether a track is free by the time the piece begins, or busy with what that began within."""
    while stack[-1].end <= piece.begin:
        stack.pop()
    span = piece.id
    while span > stack[-1].id:  # a span has a larger id than what it began within
        span = parents.get(span, 0)
    return piece.end <= stack[-1].end and (span == stack[-1].id or len(stack) == 1)


def _async_events(piece: _Piece, common: Event) -> Iterator[Event]:
    yield {"ph": "b", "name": piece.name, "ts": piece.begin, **common, "args": piece.args}
    for inner in piece.inside:
        yield from _async_events(inner, common)
    yield {"ph": "e", "name": piece.name, "ts": piece.end, **common}


def _titles(pid: int, name: str, index: int, threads: Mapping[int, str] | None = None) -> Iterator[Event]:
    yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
    yield {"ph": "M", "name": "process_sort_index", "pid": pid, "tid": 0, "args": {"sort_index": index}}
    for place, (thread, title) in enumerate((threads or {}).items()):
        yield {"ph": "M", "name": "thread_name", "pid": pid, "tid": thread, "args": {"name": title}}
        yield {"ph": "M", "name": "thread_sort_index", "pid": pid, "tid": thread, "args": {"sort_index": place}}
