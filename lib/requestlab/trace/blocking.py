"""When an event loop was blocked, for how long, and whose fault it was; and how late it was overall.

A loop's heartbeat is due every 2 ms. Where the loop was blocked, several ticks ran late at one moment: that moment is
the end. The block began somewhere between the last tick that was on time and the first that was not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from requestlab.trace import activity
from requestlab.trace.activity import Floats, Key
from requestlab.trace.culprit import ALONE, MOSTLY, NOWHERE, Place, who_took_most, who_was_seen_most
from requestlab.trace.trace import Trace
from requestlab.worker.heartbeat import EVERY_NS
from requestlab.worker.schema import IN_CALL, IN_LOOP, OWN, UNKNOWN

COLUMNS = ("pid", "thread", "begin", "end", "ms", "late_ms", "cause", "where", "function", "view", "looks")
CAUSES = ("blocking code", "blocking call", "GIL held elsewhere", "not scheduled", "unknown")

LATE_MS = 2.0
"""A loop counts as blocked where a tick ran so much later than ticks do while the loop is idle: one whole tick."""

PART = 0.25
"""Share of a block that code, a call or the GIL must account for to be its cause, though the system may have made it
longer. It must also be long enough to make the loop late by itself."""

STILL = 0.2
"""Share of a block that other threads must have computed for the GIL to be what the loop waited for. They wait for a
core, too; below that, the whole process stood still."""

WATCHING_NS = 1_000_000
"""CPU time of the other threads that means nothing: the watchdog's own looks take some 0.2 ms each."""

ALIKE = 3
"""So many looks at one and the same line say that it waits for a lock of its own: with the GIL it would have moved
on."""

AWAKE = 2
"""A thread that looked so often at itself, while it computed next to nothing, was not waiting for a core."""

_FILLED = 0.8  # the share of a block that a step must last to say when it began


@dataclass(frozen=True)
class Beat:
    """The ticks that ran at one moment, in ns: when the first and the last were due, when they ran, when the ones
    before them had; CPU time of the loop's thread and of the others since then, and how long that thread had waited for
    a core (None: the system does not say).

    Where nothing is known of the time before, `before` is when the first was due."""

    first: int
    last: int
    ran: int
    before: int
    own: int = 0
    others: int = 0
    delayed: int | None = 0

    @property
    def late(self) -> int:
        """How late the first of them ran."""
        return max(self.ran - self.first, 0)


@dataclass(frozen=True, eq=False)
class Block:
    """One block: its beat, its beginning, and the evidence on its cause.

    `steps` are those of coroutines that were under way on the loop, rows of `activity.read`; `looks` are rows of
    `Trace.looks`, in the order of time: those at the loop's thread, and in `busy_threads` those at the thread that
    computed most meanwhile.
    """

    beat: Beat
    begin: int
    looks: Sequence[Any]
    busy_threads: Sequence[Any]
    steps: pd.DataFrame = field(repr=False)

    @property
    def ns(self) -> int:
        """How long it lasted."""
        return max(self.beat.ran - self.begin, 1)

    @property
    def own(self) -> int:
        """For how much of it the loop's thread computed, in ns."""
        return min(self.beat.own, self.ns)

    @property
    def rest(self) -> int:
        """For how much of it that thread neither computed nor waited for a core, in ns."""
        return max(self.ns - self.own - (self.beat.delayed or 0), 0)

    def overlap(self, spans: pd.DataFrame) -> Floats:
        """Return for how much of it, in ns, each of these spans was under way."""
        begin, end = (spans[name].to_numpy(np.float64) for name in ("begin", "until"))
        return np.asarray(np.clip(np.minimum(end, self.beat.ran) - np.maximum(begin, self.begin), 0, None))

    def filled_by(self, spans: pd.DataFrame) -> bool:
        """Return whether one of these spans was under way for most of it."""
        return bool(self.overlap(spans).max(initial=0) >= MOSTLY * self.ns)


def blocks(trace: Trace) -> pd.DataFrame:
    """Return one row for each stretch in which an event loop was blocked, in the order of beginning.

    `pid`, `thread` (the loop's), `begin`, `end` (ns), `ms` (its length), `late_ms` (how late its first tick ran),
    `cause`, `where` (`file:line`), `function`, `view`, `looks` (how often the stack was seen). Shorter stretches than
    about 2 ms do not show (`LATE_MS`); the length is right to about 1 ms. The causes:

    blocking code       the loop's thread itself computed for most of the time
    blocking call       it slept in a call made by a callback: `time.sleep`, a socket, a file, a lock
    GIL held elsewhere  it did neither, while other threads of the process computed: they had the GIL, or its only
                        core, and `where`, `function` and `view` are theirs
    not scheduled       it was ready, and the system gave it no core; or the whole process stood still (stopped, frozen)
    unknown             it was the first tick of the record: nothing is known of the time before; or the system does not
                        say who waited for a core, and nothing else tells

    The system makes blocks of the first three kinds longer where other programs want its cores, and is not blamed for
    them.

    `function` is the innermost one of the application, or else of an installed package, that is known to have taken
    most of the CPU time (of code) or of the time asleep (of a call); `where` is the line in it that was seen most
    often. Where none is known for certain, as in most blocks of less than 4 ms, `where` is empty, and `function` is the
    view, if a traced request tells.
    """
    spans, rows = activity.read(trace), []
    groups: Any = trace.looks.sort_values("seen", kind="stable").groupby(["pid", "loop", "due"])
    looks = {key: list(seen.itertuples()) for key, seen in groups}
    for pid, thread, ticks in _by_loop(trace):
        own = spans[spans["pid"] == pid]
        steps = own[(own["kind"] == "step") & (own["thread"] == thread)]
        views = own[(own["kind"] == "view") & (own["thread"] != thread)]
        beats = list(_beats(ticks))
        floor = _floor(beats)
        for beat in beats:
            if beat.late > floor + LATE_MS * 1e6:
                block = _block(beat, floor, steps, looks.get((pid, thread, beat.first), ()), thread)
                rows.append({"pid": pid, "thread": thread} | _row(block, views))
    table = pd.DataFrame(rows, columns=list(COLUMNS)).astype({"ms": float, "late_ms": float})
    return table.sort_values("begin", kind="stable").reset_index(drop=True)


def idle_floors(trace: Trace) -> dict[Key, float]:
    """Return how late, in ms, the ticks of each loop ran that were not part of a block, by (pid, thread), the median:
    what timer, kernel and idle loop add up to."""
    return {(pid, thread): _floor(list(_beats(ticks))) / 1e6 for pid, thread, ticks in _by_loop(trace)}


# When


def _by_loop(trace: Trace) -> Iterator[tuple[int, int, pd.DataFrame]]:
    """Yield process, thread and ticks of each heartbeat, these in the order in which they were due."""
    groups: Any = trace.ticks.sort_values("due", kind="stable").groupby(["pid", "thread"], sort=False)
    yield from ((int(pid), int(thread), ticks) for (pid, thread), ticks in groups)


def _beats(ticks: pd.DataFrame) -> Iterator[Beat]:
    """Yield the ticks of one loop, those that ran at one moment together."""
    ran_at, first_of = np.unique(ticks["ran"].to_numpy(), return_index=True)
    last_of = np.append(first_of[1:], len(ticks)) - 1
    due, cpu, process, delayed = (ticks[name].to_numpy() for name in ("due", "cpu", "process_cpu", "delayed"))
    for number, (ran, first, last) in enumerate(zip(ran_at.tolist(), first_of.tolist(), last_of.tolist(), strict=True)):
        begin, end = int(due[first]), int(due[last])
        if number == 0 or due[first] - due[first - 1] > EVERY_NS:  # the first, or the first after a rest
            yield Beat(begin, end, ran, before=begin)
            continue
        previous = first_of[number - 1]
        own = int(cpu[first] - cpu[previous])
        others = max(0, int(process[first] - process[previous]) - own)
        waited = int(delayed[first] - delayed[previous]) if delayed[first] >= 0 else None
        yield Beat(begin, end, ran, int(ran_at[number - 1]), own, others, waited)


def _floor(beats: Sequence[Beat]) -> float:
    """Return how late ticks usually are that missed no other, in ns."""
    quiet = [beat.late for beat in beats if beat.first == beat.last]
    return float(np.median(quiet)) if quiet else 0.0


def _block(beat: Beat, floor: float, steps: pd.DataFrame, seen: Sequence[Any], thread: int) -> Block:
    # The loop ran a tick just before: no step can have been under way then.
    first, last = np.searchsorted(steps["begin"], (beat.before, beat.ran))
    over = steps.iloc[first:last]
    own = [look for look in seen if look.thread == thread and look.seen <= beat.ran]
    return Block(beat, _begin(beat, floor, over), own, [look for look in seen if look.thread != thread], over)


def _begin(beat: Beat, floor: float, steps: pd.DataFrame) -> int:
    """Return when the loop was last free, as well as can be known: not before the tick before, not after this one was
    due.

    Where a step fills that time, its beginning; where the thread computed, as long before the end as that took; else
    the middle.
    """
    latest = max(min(beat.first + int(floor), beat.ran), beat.before)
    lasted = steps["until"] - steps["begin"]
    filling = steps.loc[(steps["begin"] <= latest) & (lasted > _FILLED * (beat.ran - latest)), "begin"]
    if len(filling):
        return int(filling.min())
    busy = beat.own + (beat.delayed or 0)
    if busy > beat.ran - latest:
        return min(max(beat.ran - busy, beat.before), latest)
    return (beat.before + latest) // 2


# Why


def _row(block: Block, views: pd.DataFrame) -> dict[str, Any]:
    """Return what there is to say of a block; `views` are those that ran on other threads of the process."""
    beat, cause = block.beat, cause_of(block)
    if cause == "GIL held elsewhere":
        (where, function), view = _place_beside(block), _view_beside(block, views)
    else:
        (where, function), view = _place_on(block, cause), _view_on(block)
    row = {"begin": block.begin, "end": beat.ran, "ms": block.ns / 1e6, "late_ms": beat.late / 1e6, "cause": cause}
    function = function or view.rpartition(".")[2]
    return row | {"where": where, "function": function, "view": view, "looks": len(block.looks)}


def cause_of(block: Block) -> str:
    """Return one of `CAUSES`, by who used the time and what was seen."""
    beat, watched = block.beat, [look for look in block.looks if look.state != OWN]
    inside = [look for look in watched if look.stack != IN_LOOP]
    if beat.before >= beat.first:
        return "unknown"
    own, rest = block.own, block.rest
    if own >= rest and _matters(own, block):
        return "blocking code"
    if _matters(rest, block):
        if any(look.state == IN_CALL for look in inside):
            return "blocking call"
        if beat.others >= max(WATCHING_NS, STILL * block.ns):
            if beat.others >= MOSTLY * block.ns and any(_waits_for_a_thread(look.stack) for look in inside):
                return "GIL held elsewhere"
            same_line = len(inside) >= ALIKE and len({look.stack for look in watched}) == 1
            return "blocking call" if same_line else "GIL held elsewhere"
        if inside or (own < rest and block.filled_by(block.steps)):
            return "blocking call" if beat.delayed is not None or len(block.looks) >= AWAKE else "unknown"
    elif beat.others >= MOSTLY * block.ns:  # on one core, who waits for the GIL keeps waking to wait for the core
        return "GIL held elsewhere"
    if _matters(own, block):
        return "blocking code"
    return "unknown" if beat.delayed is None else "not scheduled"


def _matters(part: int, block: Block) -> bool:
    return part >= max(LATE_MS * 1e6, PART * block.ns)


def _waits_for_a_thread(stack: str) -> bool:
    """Return whether a stack is within the start or the end of a thread, for which that other thread needs the GIL."""
    return any(
        where.startswith("lib/python") and "/threading.py:" in where and name.rpartition(".")[2] in ("start", "join")
        for where, _, name in (line.rpartition(" ") for line in stack.split("\n"))
    )


# Where


def _place_on(block: Block, cause: str) -> Place:
    """Return line and function that held up the loop, judged by what the cause is about."""
    if cause == "blocking code":
        return who_took_most([(look.cpu, look.stack) for look in block.looks], block.own, ALONE)
    if cause == "blocking call":
        # How long a thread has waited for a core, the kernel says only when the wait is over.
        asleep = [look for look in block.looks if look.state != UNKNOWN]
        in_one_call = all(look.state == IN_CALL for look in asleep) and len({look.stack for look in asleep}) == 1
        taken = [(look.seen - look.cpu - look.waited, look.stack) for look in asleep]
        return who_took_most(taken, block.rest, 1.0 if in_one_call else ALONE)
    return NOWHERE


def _place_beside(block: Block) -> Place:
    """Return line and function of threads that computed meanwhile: not where one had gone on to wait in a call."""
    return who_was_seen_most([look.stack for look in block.busy_threads if look.state != IN_CALL])


def _view_on(block: Block) -> str:
    """Return the view that ran on the loop for the longest part of the block; empty where none did for most of it."""
    steps = block.steps[block.steps["in_view"]]
    return str(steps["view"].iloc[int(block.overlap(steps).argmax())]) if block.filled_by(steps) else ""


def _view_beside(block: Block, views: pd.DataFrame) -> str:
    """Return the view that other threads ran meanwhile: the thread that was seen to compute, or else most of them."""
    seen = Counter(look.thread for look in block.busy_threads).most_common(1)
    computing = views[views["thread"] == seen[0][0]] if seen else views[:0]
    return _most_under_way(block, computing) or _most_under_way(block, views)


def _most_under_way(block: Block, views: pd.DataFrame) -> str:
    """Return the name of the views that were under way for the longest, taken together; empty where for little of the
    block."""
    shares = pd.Series(block.overlap(views)).groupby(views["view"].to_numpy(), sort=False).sum()
    return str(shares.idxmax()) if len(shares) and shares.max() >= MOSTLY * block.ns else ""
