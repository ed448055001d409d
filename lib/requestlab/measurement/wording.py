"""What was found of runs, in words: who ran the requests, what became of each, and how late the event loop was.

Each sentence is without its full stop. A run is called `under`: its label, with the number of failed requests behind it.
"""

from __future__ import annotations

from collections.abc import Sequence

from requestlab.measurement.lag import MAXIMUM_LIMIT_MS, MEDIAN_LIMIT_MS, MUCH, Block, Culprit, LagFinding, Loop
from requestlab.measurement.record import Record
from requestlab.measurement.threads import Alive, Window
from requestlab.measurement.timeline import Scene
from requestlab.system import wording
from requestlab.trace.activity import QUEUED, VIEW_ON_LOOP, VIEW_ON_THREAD, WAITS

MUCH_OF_A_REQUEST = 0.2
"""The share of a response time from which on it is part of the finding."""

# Threads


def who_ran(window: Window) -> str:
    """What ran the requests of a run: `60 threads`, `1 event loop and 3 threads`, `no thread`."""
    loops = sum(lane.on_loop for lane in window.known)
    return wording.things((loops, "event loop"), (len(window.known) - loops, "thread")) or "no thread"


def peak_of(alive: Sequence[Alive]) -> str:
    """How many threads were alive at the peak: `61 threads alive`, `9 threads alive in 2 workers`."""
    workers = f" in {len(alive)} workers" if len(alive) > 1 else ""
    return f"{wording.counted(sum(one.peak for one in alive), 'thread')} alive{workers}"


def occasion(runs: Sequence[Record]) -> str:
    """What was asked of all runs: `60 requests at once`, `200 requests/s`; `Who ran the requests`, where that is not the same."""
    asked = {(run.about.users, run.about.each, run.about.rate) for run in runs}
    users, each, _ = next(iter(asked))
    if len(asked) > 1:
        return "Who ran the requests"
    if users is None:
        return runs[0].about.load
    return wording.counted(users, "request" if each == 1 else "user") + (" at once" if users > 1 else "")


# Timeline


def of_timeline(drawn: Scene, under: str) -> str:
    """Say what the requests did, or, where an event loop was late, how many waited for it."""
    traced, stuck = drawn.chosen - drawn.untraced, drawn.stuck
    if not drawn.chosen:
        return f"No request under {under} in this stretch of time"
    if not traced:
        return f"No trace of {wording.counted(drawn.chosen, 'request')} under {under}"
    did = f"{_which(drawn, traced)} under {under} {did_what(drawn, traced)}"
    if stuck is None:
        return f"{did}{_detail(drawn, traced)}"
    loop, it = (
        ("The event loop", "it")
        if len(drawn.loops) == 1
        else (f"One of {len(drawn.loops):,} event loops", "a late loop")
    )
    late = f"{loop} was late by up to {wording.ms(stuck.late_ms)} ms{', ' * bool(stuck.at)}{stuck.at}"
    if traced == 1 or not stuck.waited:
        return f"{late}; {did[0].lower()}{did[1:]}{_detail(drawn, traced) if traced == 1 else ''}"
    these = f"{'these ' * drawn.partial}{traced:,} {'traced ' * bool(drawn.untraced)}requests"
    part = f"{'at least ' * stuck.unsure}{stuck.waited:,} of "
    if stuck.waited == traced > 2:
        part = "all of " if drawn.partial else "all "
    return f"{late}: {part}{these} under {under} waited for {it}"


def _which(drawn: Scene, traced: int) -> str:
    """Return of which requests it is told: `3 requests`, `The first 3 of 20 requests`, `One of 20 requests`."""
    all_of = wording.counted(drawn.total, "request")
    if traced == drawn.total:
        return "One request" if traced == 1 else all_of
    first = drawn.first == 0 and not drawn.untraced
    if traced == 1:
        return f"{'The first' if first else 'One'} of {all_of}"
    return f"{'The first ' * first}{traced:,} of {all_of}"


def did_what(drawn: Scene, number: int) -> str:
    """Say how often so many requests hopped, and between what, or where they stayed."""
    loops, threads = drawn.used
    on = wording.things((loops, "event loop"), (threads, "thread")) or "no thread"
    on = on.replace("1 event loop", "the event loop") if loops == 1 else on
    if len(drawn.hops):
        return f"hopped {wording.often(len(drawn.hops))} between {on}"
    return f"{'stayed' if number == 1 else 'took turns' if loops + threads == 1 else 'ran'} on {on}"


def _detail(drawn: Scene, traced: int) -> str:
    """Say how long a single request's view ran, or for what the typical one of several waited, if that is much of its time."""
    took, viewed = drawn.took, drawn.waited(VIEW_ON_LOOP, VIEW_ON_THREAD)
    if traced == 1:
        return (
            f"; its view ran for {wording.ms(viewed)} of {wording.ms(took)} ms"
            if viewed
            else f"; it took {wording.ms(took)} ms"
        )
    queued = 0.0 if drawn.loops else drawn.waited(QUEUED)
    for ms, what in ((queued, "its turn"), (drawn.waited(WAITS), "threads and the loop")):
        if ms >= MUCH_OF_A_REQUEST * took > 0:
            return f"; the typical one spent {wording.ms(ms)} of its {wording.ms(took)} ms waiting for {what}"
    return ""


# Lag

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
    """Say how often, for how long and by whom the loops of a run were held up; of several runs, how long at most."""
    if len(findings) > 1:
        return f"How long the event loop was held up at most: {wording.joined(list(map(_at_most, findings)))}"
    (one,) = findings
    if not one.culprits:
        which = "The event loop was never" if len(one.loops) == 1 else f"None of {len(one.loops)} event loops was"
        return f"{which} held up: no callback would have waited longer than {lateness(one.worst.max_ms)}"
    first, *others = one.weighty
    more = [block for culprit in others for block in culprit.blocks]
    otherwise = f"; {_times(more)} otherwise" if more else ""
    harmless = "" if one.troubled or one.much else ": no problem"
    did = "blocked" if first.cause.startswith("blocking") else "held up"
    return f"{_loops(one, first)} {did} {_times(first.blocks)} by {blamed(first)}{otherwise}{harmless}"


def _at_most(one: LagFinding) -> str:
    if not one.culprits:
        return f"never under {one.label}"
    culprit = max(one.culprits, key=lambda culprit: culprit.longest.ms)
    return f"{lateness(culprit.longest.ms)} under {one.label} by {blamed(culprit)}"


def _loops(one: LagFinding, culprit: Culprit) -> str:
    if len(one.loops) == 1:
        return "The event loop was"
    stuck = sum(any(block in culprit.blocks for block in loop.blocks) for loop in one.loops)
    which = f"All {stuck}" if stuck == len(one.loops) else f"{stuck} of {len(one.loops)}"
    return f"{which} event loops {'was' if stuck == 1 else 'were'}"


def _times(blocks: Sequence[Block]) -> str:
    longest = lateness(max(block.ms for block in blocks))
    return f"{wording.often(len(blocks))} for {'up to ' if len(blocks) > 1 else ''}{longest}"


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
