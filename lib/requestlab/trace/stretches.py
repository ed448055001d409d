"""The stretches in which an event loop was late, and all that is known about each: its ticks, its slices, looks at its stack.

Where a loop was stuck, several ticks ran late at one moment: that moment is the end. It began somewhere between the last tick
that was on time and the first that was not, which run 2 ms apart.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from requestlab.trace.trace import COLUMNS, Trace
from requestlab.worker.heartbeat import EVERY_NS
from requestlab.worker.schema import STACK

LATE_MS = 2.0
"""A loop counts as stuck where a tick ran so much later than ticks do while the loop is idle: one whole tick."""

Numbers = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float64]]
Texts = np.ndarray[Any, np.dtype[np.object_]]


@dataclass(frozen=True, eq=False)
class Spans:
    """Slices or views as arrays, in the order of beginning; times in ns, `end` infinite where one has none."""

    id: Numbers
    parent: Numbers
    thread: Numbers
    begin: Numbers
    end: Floats
    name: Texts

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, wanted: Any) -> Spans:
        return Spans(*(getattr(self, one.name)[wanted] for one in fields(self)))

    def within(self, begin: int, end: int) -> Floats:
        """Return for how long each was under way between these."""
        return np.asarray(np.clip(np.minimum(self.end, end) - np.maximum(self.begin, begin), 0, None))


@dataclass(frozen=True)
class StackSample:
    """What a thread was seen in: its stack, what it waited for (`worker.schema.STATES`), and when. By then it had used so much
    CPU time, and waited so long for a core (ns)."""

    thread: int
    stack: str
    state: int
    seen: int
    cpu: int
    waited: int


@dataclass(frozen=True)
class Beat:
    """The ticks that ran at one moment, in ns: when the first and the last were due, when they ran, when the one before them
    had; CPU time of the loop's thread and of the others since then, and how long that thread had waited for a core.

    Where nothing is known of the time before, `before` is when the first was due."""

    first: int
    last: int
    ran: int
    before: int
    own: int
    others: int
    delayed: int

    @property
    def late(self) -> int:
        return max(self.ran - self.first, 0)


@dataclass(frozen=True)
class Block:
    """One block in the making: its beat, its beginning, and the evidence on who is to blame."""

    beat: Beat
    begin: int
    looks: Sequence[StackSample]
    slices: Spans = field(repr=False)
    busy_threads: Sequence[StackSample] = ()

    @property
    def ns(self) -> int:
        return max(self.beat.ran - self.begin, 1)

    @property
    def own(self) -> int:
        """For how much of it the loop's thread computed, in ns."""
        return min(self.beat.own, self.ns)

    @property
    def rest(self) -> int:
        """For how much of it that thread neither computed nor waited for a core."""
        return max(self.ns - self.own - self.beat.delayed, 0)

    def overlap(self, spans: Spans) -> Floats:
        """Return for how much of it, in ns, each of these spans was under way."""
        return spans.within(self.begin, self.beat.ran)

    def longest(self, spans: Spans) -> float:
        """Return the largest of these, 0 where there is none."""
        return float(self.overlap(spans).max(initial=0.0))


def loops(inside: Trace) -> Iterator[tuple[int, int, pd.DataFrame]]:
    """Yield process, thread and ticks of each event loop, these in the order in which they were due."""
    ticks = inside.ticks.sort_values("due", kind="stable")
    for pid, thread in ticks[["pid", "thread"]].drop_duplicates().to_numpy().tolist():
        yield pid, thread, ticks[(ticks["pid"] == pid) & (ticks["thread"] == thread)]


def spans_of(inside: Trace, pid: int, kind: int) -> Spans:
    """Return the spans of that kind in one worker."""
    cell = {name: number for number, name in enumerate(COLUMNS)}
    rows = inside.rows[(inside.rows[:, cell["kind"]] == kind) & (inside.rows[:, cell["pid"]] == pid)]
    rows = rows[np.argsort(rows[:, cell["begin"]], kind="stable")]
    end = np.where(rows[:, cell["end"]] > 0, rows[:, cell["end"]].astype(np.float64), np.inf)
    names = np.array([*inside.names, ""], dtype=object)[rows[:, cell["name"]]]
    number, parent, thread, begin = (rows[:, cell[name]] for name in ("id", "parent", "thread", "begin"))
    return Spans(number, parent, thread, begin, end, names)


def looks_at(inside: Trace) -> dict[tuple[int, int], dict[int, list[StackSample]]]:
    """Return the looks of each process and loop, by when the tick was due that was late.

    Beside each look at another thread stands which loop that held up (`ran_on`).
    """
    cell = {name: number for number, name in enumerate(COLUMNS)}
    found: dict[tuple[int, int], dict[int, list[StackSample]]] = {}
    for row in inside.rows[inside.rows[:, cell["kind"]] == STACK].tolist():
        thread, state, seen, cpu, waited = (row[cell[name]] for name in ("thread", "value", "end", "running", "done"))
        look = StackSample(thread, inside.names[row[cell["name"]]], state, seen, cpu, waited)
        loop = (row[cell["pid"]], row[cell["ran_on"]] or thread)
        found.setdefault(loop, {}).setdefault(row[cell["begin"]], []).append(look)
    return found


def beats_of(ticks: pd.DataFrame) -> Iterator[Beat]:
    """Yield the ticks of one loop, those that ran at one moment together."""
    ran_at, first_of = np.unique(ticks["ran"].to_numpy(), return_index=True)
    last_of = np.append(first_of[1:], len(ticks)) - 1
    due, cpu, process, delayed = (ticks[name].to_numpy() for name in ("due", "cpu", "process_cpu", "delayed"))
    for number, (ran, first, last) in enumerate(zip(ran_at.tolist(), first_of.tolist(), last_of.tolist(), strict=True)):
        previous = first_of[number - 1]
        if number == 0 or due[first] - due[first - 1] > EVERY_NS:  # the first, or the first after a rest
            yield Beat(int(due[first]), int(due[last]), ran, int(due[first]), 0, 0, 0)
            continue
        own = int(cpu[first] - cpu[previous])
        others = int(process[first] - process[previous]) - own
        waited = int(delayed[first] - delayed[previous])
        yield Beat(int(due[first]), int(due[last]), ran, int(ran_at[number - 1]), own, max(others, 0), waited)


def floor_of(beats: Sequence[Beat]) -> float:
    """Return how late ticks usually are that missed no other, in ns."""
    quiet = [beat.late for beat in beats if beat.first == beat.last]
    return float(np.median(quiet)) if quiet else 0.0


def is_late(beat: Beat, floor: float) -> bool:
    """Return whether a loop with that floor, in ns, was stuck before these ticks."""
    return beat.late > floor + LATE_MS * 1e6


def stuck_in(ticks: pd.DataFrame, slices: Spans, looks: dict[int, list[StackSample]]) -> Iterator[Block]:
    """Yield the stretches in which one loop was stuck, in order; `slices` are those that ran on it."""
    beats = list(beats_of(ticks))
    floor = floor_of(beats)
    thread = int(ticks["thread"].iloc[0])
    for beat in beats:
        if is_late(beat, floor):
            # The loop ran a tick just before: no slice can have been under way then.
            over = slices[slice(*np.searchsorted(slices.begin, (beat.before, beat.ran)))]
            seen = looks.get(beat.first, ())
            own = [look for look in seen if look.thread == thread and look.seen <= beat.ran]
            own.sort(key=lambda look: look.seen)
            busy_threads = [look for look in seen if look.thread != thread]
            yield Block(beat, begin_of(beat, floor, over), own, over, busy_threads)


def begin_of(beat: Beat, floor: float, slices: Spans | None) -> int:
    """Return when the loop was last free, as well as can be known: not before the tick before, not after this one was due.

    Where a slice fills that time, its beginning; where the thread computed, as long before the end as that took; else the
    middle.
    """
    latest = max(min(beat.first + int(floor), beat.ran), beat.before)
    if slices is not None:
        filling = slices[(slices.begin <= latest) & (slices.end - slices.begin > 0.8 * (beat.ran - latest))]
        if len(filling):
            return int(filling.begin.min())
    busy = beat.own + beat.delayed
    if busy > beat.ran - latest:
        return min(max(beat.ran - busy, beat.before), latest)
    return (beat.before + latest) // 2
