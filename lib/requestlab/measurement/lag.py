"""What the lag figure has to show: how late each event loop was, over time and over all, and what held it up."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from requestlab.errors import ConfigurationError
from requestlab.measurement.record import Record
from requestlab.serving.servers import SERVERS
from requestlab.system import wording
from requestlab.trace.activity import Booleans, Floats
from requestlab.trace.blocking import idle_floors
from requestlab.worker.heartbeat import EVERY_NS

MEDIAN_LIMIT_MS, MAXIMUM_LIMIT_MS = 10.0, 100.0
"""Limits of Clinic.js Doctor (analysis/analyse-delay.js): a loop has a problem if its median or its maximum reaches
one."""

MUCH = 0.1
"""A loop that was held up for more than this share of the time gets advice even where no limit is reached."""

NEGLIGIBLE = 0.01
"""A culprit that caused less than this share of the waiting that the first one caused does not matter."""

NOT_SCHEDULED = "not scheduled"
_PERIOD_MS = EVERY_NS / 1e6
_SILENCE = 5  # ticks missed at the end of a load: fewer need not mean anything


@dataclass(frozen=True)
class HeldUp:
    """A stretch in which the loop was held up, `begin_ms` and `end_ms` counted from the first request planned."""

    begin_ms: float
    end_ms: float
    ms: float
    cause: str
    where: str
    function: str
    view: str


@dataclass(frozen=True)
class Culprit:
    """Blocks of one cause in one function of one file, in the order of time; at least one.

    With them are blocks in the same view whose line nobody saw. The operating system does not care which function it
    interrupts: all blocks that are its fault are one culprit's.
    """

    blocks: tuple[HeldUp, ...]

    @cached_property
    def longest(self) -> HeldUp:
        return max(self.blocks, key=lambda block: block.ms)

    @cached_property
    def seen(self) -> HeldUp:
        """The longest of which the line is known, or else the longest."""
        return max((block for block in self.blocks if block.where), key=lambda block: block.ms, default=self.longest)

    @property
    def cause(self) -> str:
        return self.longest.cause

    @property
    def placed(self) -> bool:
        """Whether it can be said where: not of the system's victims, unless most were in one function."""
        alike = sum(block.function == self.seen.function for block in self.blocks)
        return self.cause != NOT_SCHEDULED or alike * 2 > len(self.blocks)

    @property
    def cost(self) -> float:
        """How much waiting they cause: a callback falls into a block with a chance of ms, and then waits ms / 2 on
        average."""
        return sum(block.ms**2 for block in self.blocks)


@dataclass(frozen=True, eq=False)
class Loop:
    """One event loop, as its heartbeat saw it while the load ran.

    One entry a tick, in the order in which they were due, at even intervals: `time_ms` from the first request planned,
    `late_ms`, and `pending`: it had not run when the load was over, and was at least so late. `floor_ms` is the median
    lateness while the loop was idle. `name` tells the worker: `worker 2`.
    """

    name: str
    time_ms: Floats
    late_ms: Floats
    pending: Booleans
    floor_ms: float
    blocks: tuple[HeldUp, ...]

    def percentile(self, q: float) -> float:
        """Return how long, in ms, a callback would have waited at most in `q` percent of the time."""
        return float(np.percentile(self.late_ms, q, method="inverted_cdf"))

    @property
    def max_ms(self) -> float:
        return float(self.late_ms.max())

    @property
    def too_late(self) -> tuple[bool, bool]:
        """Whether the median, and whether the maximum, reaches its limit."""
        return self.percentile(50) >= MEDIAN_LIMIT_MS, self.max_ms >= MAXIMUM_LIMIT_MS

    @property
    def held_up(self) -> float:
        """The share of the time in which it was held up, 0 to 1."""
        begin, end = float(self.time_ms[0]), float(self.time_ms[-1]) + _PERIOD_MS
        inside = sum(max(0.0, min(block.end_ms, end) - max(block.begin_ms, begin)) for block in self.blocks)
        return min(1.0, inside / (end - begin))


@dataclass(frozen=True, eq=False)
class LagFinding:
    """What was found of the event loops of one run, called `label`."""

    label: str
    loops: Sequence[Loop]

    @property
    def worst(self) -> Loop:
        """The loop that was latest."""
        return max(self.loops, key=lambda loop: loop.max_ms)

    @property
    def troubled(self) -> bool:
        """Whether a loop reaches a limit."""
        return any(any(loop.too_late) for loop in self.loops)

    @property
    def much(self) -> bool:
        """Whether a loop was held up for more than a tenth of the time."""
        return any(loop.held_up > MUCH for loop in self.loops)

    @cached_property
    def culprits(self) -> list[Culprit]:
        """What held the loops up, that which caused the most waiting first."""
        groups: dict[tuple[str, ...], list[HeldUp]] = {}
        # Those whose line is known come first: the others join them.
        for block in sorted((block for loop in self.loops for block in loop.blocks), key=lambda block: not block.where):
            groups.setdefault(_key(block, groups), []).append(block)
        in_time = [sorted(group, key=lambda block: block.begin_ms) for group in groups.values()]
        return sorted((Culprit(tuple(group)) for group in in_time), key=lambda culprit: -culprit.cost)

    def share(self, cause: str) -> float:
        """The share of the time, 0 to 1, in which the loop that this cause held up most was held up by it."""
        return max(
            replace(loop, blocks=tuple(block for block in loop.blocks if block.cause == cause)).held_up
            for loop in self.loops
        )

    @property
    def weighty(self) -> list[Culprit]:
        """The culprits that caused more than a negligible part of the waiting that the first one caused."""
        return [one for one in self.culprits if one.cost > NEGLIGIBLE * self.culprits[0].cost]


def finding(run: Record, label: str) -> LagFinding:
    """Return what was found of the event loops of a run's workers while the load ran.

    Raises ConfigurationError, with the label of the run, where it has none, or no heartbeat.
    """
    configuration = run.about.configuration
    row = SERVERS.get(configuration.server) if configuration else None
    if configuration is not None and row is not None and row.interface == "wsgi":
        raise ConfigurationError(
            f"the run {label!r} has no event loop that could be late: {configuration.server} speaks WSGI; measure one under "
            "ASGI: serve(ASYNC, probe=True)"
        )
    found = list(_loops(run))
    if not found:
        raise ConfigurationError(
            f"the run {label!r} knows nothing of its event loop: no heartbeat ran on it; serve it with the probe on: "
            "serve(..., probe=True)"
        )
    return LagFinding(label, found)


def span_ms(run: Record) -> float:
    """Return how long the load took, from the first request planned to the last answer or the end of the stretch."""
    last = run.requests["done"].to_numpy().max(initial=run.about.end)
    return float(last - run.zero_ns) / 1e6


def _key(block: HeldUp, groups: Mapping[tuple[str, ...], Sequence[HeldUp]]) -> tuple[str, ...]:
    if block.cause == NOT_SCHEDULED:
        return (block.cause,)
    if not block.where and block.function:
        for key, others in groups.items():
            if any(_may_be_one(block, other) for other in others):
                return key
    return block.cause, block.where.rpartition(":")[0], block.function


def _may_be_one(block: HeldUp, other: HeldUp) -> bool:
    same = block.view == other.view if block.view and other.view else block.function == other.function
    return block.cause == other.cause and same


def _loops(run: Record) -> Iterator[Loop]:
    zero, until_ms, blocks = run.zero_ns, span_ms(run), run.blocks
    floors = idle_floors(run.trace)
    ticks = run.ticks[run.ticks["ran"] > 0]
    for worker, pid in enumerate(run.workers, start=1):
        by_thread: Any = list(ticks[ticks["pid"] == pid].groupby("thread", sort=False))
        for number, (thread, rows) in enumerate(by_thread, start=1):
            name = f"worker {worker}" if len(by_thread) == 1 else f"worker {worker}, event loop {number}"
            due_ms, ran_ms = (((rows[column] - zero) / 1e6).to_numpy(np.float64) for column in ("due", "ran"))
            silent_ms = _silent_ms(run, due_ms)
            mine = blocks[(blocks["pid"] == pid) & (blocks["thread"] == thread)]
            held_up = [_block(row, zero) for row in mine.to_dict("records")]
            if silent_ms.size:
                begin = float(silent_ms[0])
                held_up.append(HeldUp(begin, until_ms, until_ms - begin, "unknown", "", "", ""))
            pending = np.arange(due_ms.size + silent_ms.size) >= due_ms.size
            due_ms = np.concatenate([due_ms, silent_ms])
            late_ms = np.concatenate([ran_ms, np.full(silent_ms.size, until_ms)]) - due_ms
            shown = (due_ms >= 0) & (due_ms <= until_ms)
            seen = tuple(block for block in held_up if block.end_ms > 0 and block.begin_ms < until_ms)
            if shown.any():
                yield Loop(name, due_ms[shown], late_ms[shown], pending[shown], floors[pid, thread], seen)


def _silent_ms(run: Record, due_ms: Floats) -> Floats:
    """Return the ticks that were due after the last one that ran, if they are so many that the loop must have been
    blocked."""
    if run.about.server_ended or run.about.worker_ended:
        return np.empty(0)
    missed = np.arange(due_ms.max() + _PERIOD_MS, (run.about.end - run.zero_ns) / 1e6, _PERIOD_MS)
    return missed if missed.size > _SILENCE else np.empty(0)


def _block(row: Mapping[Hashable, Any], zero: int) -> HeldUp:
    begin, end = (float(row[name] - zero) / 1e6 for name in ("begin", "end"))
    where = str(row["where"]).removeprefix("site-packages/")
    return HeldUp(begin, end, row["ms"], row["cause"], where, row["function"], row["view"])


# In words


CAUSES = {
    "blocking code": (
        "code that computed",
        "compute in another process; a thread (sync_to_async) frees the loop too, but shares the GIL with it.",
    ),
    "blocking call": (
        "a blocking call",
        "await the call's async twin (asyncio.sleep for time.sleep, an async client), or hand it to a thread with sync_to_async.",
    ),
    "GIL held elsewhere": (
        "another thread that held the GIL",
        "leave the loop's code alone and move the computation of the other thread to another process: each time the loop wants "
        "to run, that thread keeps the GIL for up to a switch interval, 5 ms unless set.",
    ),
    "not scheduled": (
        "the operating system, which gave it no core",
        "before blaming code, measure on a quieter machine or with fewer workers: this one had no core to spare.",
    ),
}
"""By whom a loop was held up, and what to do about it."""

UNKNOWN = "something unknown", "measure again, for longer: too little is known of what held it up."


def of_lag(findings: Sequence[LagFinding]) -> str:
    """Say what held up the loops of a run, for how long or for which share of the time; of several runs, under which a
    loop was too late."""
    if len(findings) > 1:
        late = [one.label for one in findings if one.troubled]
        if len(late) in (0, len(findings)):
            return f"The event loop was {'too late in all' if late else 'never too late in'} {len(findings)} runs"
        others = [one.label for one in findings if not one.troubled]
        return f"The event loop was too late with {wording.listed(late)}, not with {wording.listed(others)}"
    (one,) = findings
    if not one.culprits:
        return "The event loop was never held up" if len(one.loops) == 1 else "No event loop was ever held up"
    first = one.culprits[0]
    ms = max(block.ms for block in first.blocks)
    steady = one.much and ms < MAXIMUM_LIMIT_MS
    share = wording.percent(one.share(first.cause))
    how_long = f"for {share} of the time" if steady else f"for {'up to ' * (len(first.blocks) > 1)}{lateness(ms)}"
    harmless = "" if one.troubled or one.much else ": no problem"
    return f"{_what_happened(first, _which_loops(one, first))} {how_long}{harmless}"


def _what_happened(culprit: Culprit, loops: str) -> str:
    function = culprit.seen.function if culprit.placed else ""
    inside = f" in {function}" if function else ""
    if culprit.cause == NOT_SCHEDULED:
        return f"{loops} waited for a core"
    if culprit.cause == "GIL held elsewhere":
        return f"{loops} waited for the GIL{f', held by {function},' if function else ''}"
    by = {"blocking code": "code that computed", "blocking call": "a blocking call"}.get(culprit.cause, UNKNOWN[0])
    return f"{by[0].upper()}{by[1:]}{inside} held {loops[0].lower()}{loops[1:]}"


def _which_loops(one: LagFinding, culprit: Culprit) -> str:
    if len(one.loops) == 1:
        return "The event loop"
    stuck = sum(any(block in culprit.blocks for block in loop.blocks) for loop in one.loops)
    return f"All {stuck} event loops" if stuck == len(one.loops) else f"{stuck} of {len(one.loops)} event loops"


def blamed(culprit: Culprit) -> str:
    """Say what a culprit was: `a blocking call in block (labapp/async_views.py:41)`."""
    place, (by, _) = place_of(culprit), CAUSES.get(culprit.cause, UNKNOWN)
    return f"{by}{f' in {place}' if place else ''}"


def place_of(culprit: Culprit) -> str:
    """Return function, file and line, and the view, unless the function is the view; empty where none can be told."""
    block, view = culprit.seen, culprit.seen.view.rpartition(".")[2]
    if not culprit.placed:
        return ""
    where = f"{block.function} ({block.where})" if block.function and block.where else block.function or block.where
    return f"{where} in view {view}".strip() if view and view != block.function else where


def verdict(loop: Loop) -> str:
    """Return whether a loop has a problem by the limits, and why: `a problem: maximum 301 ms (limit 100 ms)`."""
    over = "over " if loop.pending.any() else ""
    figures = [
        f"median {lateness(loop.percentile(50))} (limit {MEDIAN_LIMIT_MS:g} ms)",
        f"maximum {over}{lateness(loop.max_ms)} (limit {MAXIMUM_LIMIT_MS:g} ms)",
    ]
    reached = [text for text, too_late in zip(figures, loop.too_late, strict=True) if too_late]
    share = f"held up for {wording.percent(loop.held_up)} of the time"
    if reached:
        return f"a problem: {' and '.join(reached)}{f'; {share}' if loop.blocks else ''}"
    if loop.held_up > MUCH:
        return f"below the limits: {', '.join(figures)}; but {share}"
    return f"no problem: {', '.join(figures)}"


def advice(findings: Sequence[LagFinding]) -> str:
    """Return one sentence of advice for the run whose loop was latest, or that there is nothing to do."""
    troubled = [one for one in findings if one.troubled]
    concerned = troubled or [one for one in findings if one.much]
    if not concerned:
        return "Nothing to do: no limit is reached."
    worst = max(concerned, key=lambda one: one.worst.max_ms)
    under = f" under {worst.label}" if len(findings) > 1 else ""
    share = wording.percent(max(loop.held_up for loop in worst.loops))
    but = "" if troubled else f"No limit is reached, but for {share} of the time something held up the loop. "
    cause = worst.culprits[0].cause if worst.culprits else ""
    return f"{but}What to do{under}: {CAUSES.get(cause, UNKNOWN)[1]}"


def lateness(ms: float) -> str:
    """A lateness with its unit; timers that fire early, and what is too short to mean anything, are on time."""
    return f"{wording.ms(ms)} ms" if ms >= 0.005 else "0 ms"
