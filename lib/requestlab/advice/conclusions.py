"""What follows from a survey and comparisons, in sentences: the answer, what to set right, what else is to be known.

Each sentence is tied to a figure with its interval, and to a cell that measures it again. What was not seen is said,
and "cannot tell" is advice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from requestlab.advice.field import AT_RATE, BUSY, EQUAL_MEMORY, PERCENTILE, threads_that_pay
from requestlab.advice.survey import BUSY_USERS, GIL, Held, Survey
from requestlab.comparison import wording
from requestlab.comparison.comparison import CANNOT_TELL, FASTER, SLOWER, Comparison, Ratio
from requestlab.serving.project import Project
from requestlab.system.wording import counted, figure, listed, times

MUCH = 0.1
"""A share of the time that is worth a sentence."""

LIGHT_MS = 30.0
WAITS_LITTLE = 0.2
STAY, SWITCH, MOVE, RAISE, SET, NOTE, UNKNOWN = (
    *("stay", "switch", "switch, and first move a middleware", "raise threads", "set"),
    *("note", "cannot tell"),
)


@dataclass(frozen=True)
class Advice:
    """One piece of advice: what `kind`, a `sentence`, the `evidence` with its interval, and the `cell` that repeats
    it."""

    kind: str
    sentence: str
    evidence: str
    cell: str = ""
    about: str = ""

    def __str__(self) -> str:
        return f"{self.kind}: {self.sentence} ({self.evidence})"


def conclude(mine: Project, seen: Survey, results: Mapping[str, Comparison]) -> Iterator[Advice]:
    """Yield the answer, what to set right, and what else is to be known."""
    busy = results[BUSY]
    yield _answer(mine, seen, busy)
    yield from findings(mine, seen)
    if AT_RATE in results:
        yield _of_rate(mine, seen, results[AT_RATE])
    yield from _notes(seen, busy)


def findings(mine: Project, seen: Survey) -> Iterator[Advice]:
    """Yield what was found in the survey that should be set right before a switch, or in any case."""
    yield from _found_on_the_loop(mine, seen)
    yield from _found_in_settings(seen)
    yield from _found_in_processes(seen)


NOT_MEASURED = (
    "Your network, your proxy, the distance of your database and your visitors' own pace were not measured: slow "
    "clients and streams may decide otherwise"
)


def _answer(mine: Project, seen: Survey, busy: Comparison) -> Advice:
    asgi, threads, both = busy.ratio("asgi", "sync"), busy.ratio("threads", "sync"), busy.ratio("asgi", "threads")
    cell = _cell(mine, seen, f"closed(users={BUSY_USERS})", ["throughput", "p50"])
    waits = f"its pages wait for {seen.waits:.0%} of their time"
    light = seen.slowest_ms < LIGHT_MS and seen.waits < WAITS_LITTLE
    if asgi.verdict == FASTER and both.verdict == FASTER and not light:
        layers = [one["name"].rpartition(".")[2] for one in seen.found["middleware"] if not one.get("async", True)]
        if layers:
            sentence = (
                f"ASGI answers more; first move or replace {listed(layers)}, which cannot be called from an event loop"
            )
            return Advice(MOVE, sentence, _evidence(both), cell)
        return Advice(
            SWITCH,
            f"ASGI answers {times(asgi.value)} times as much as gunicorn's sync workers, and more than threads; "
            f"{waits}",
            _evidence(both),
            cell,
        )
    if threads.verdict == FASTER and both.verdict != FASTER:
        sentence = (
            f"{threads_that_pay(seen.waits)} threads a worker (gunicorn's gthread) answer {times(threads.value)} times as much; {waits}, and "
            f"{'ASGI answers less' if both.verdict == SLOWER else 'ASGI was not seen to answer more'} than that"
        )
        return Advice(RAISE, sentence, f"{_evidence(threads)}; {_evidence(both)}", cell)
    if asgi.verdict == SLOWER:
        return Advice(
            STAY,
            f"under ASGI it answers fewer requests from the same cores: {times(asgi.value)} times as many; {waits}",
            _evidence(asgi),
            cell,
        )
    if asgi.settled and asgi.verdict == CANNOT_TELL:
        return Advice(STAY, f"it makes no difference: both answer as many; {waits}", _evidence(asgi), cell)
    return Advice(UNKNOWN, f"the machine could not tell them apart in that time; {waits}", _evidence(asgi), cell)


def _of_rate(mine: Project, seen: Survey, result: Comparison) -> Advice:
    """Return what visitors see at a given rate, at which all answer as many: a tail where there were answers enough."""
    rate = result.slices[0].run.about.rate
    others = [label for label in result.labels if label != "sync"]
    tail = all(result.ratio(label, "sync", PERCENTILE).interval.known for label in others)
    metric, share = (PERCENTILE, "95 of 100 requests") if tail else ("p50", "half of the requests")
    middle = result.figures(metric).median()
    took = [f"{figure(middle[label])} ms under {label}" for label in result.labels if middle[label] > 0]
    sentence = f"at {rate:g} requests a second that come at random, {share} are answered within {listed(took)}"
    if behind := [label for label in result.labels if result.fell_behind(label)]:
        sentence += f"; {listed(behind)} did not keep up, so the longer it lasts, the longer they wait"
    evidence = "; ".join(_evidence(result.ratio(label, "sync", metric)) for label in others)
    cell = _cell(mine, seen, f"open({rate:g}, arrivals='poisson')", [metric])
    return Advice(NOTE, sentence, evidence, cell, about="rate")


def _evidence(ratio: Ratio) -> str:
    """Return a ratio in words, with the first of its caveats, since nothing stands below."""
    said = wording.sentence(ratio)
    return said.replace("for the caveats below", ratio.caveats[0]) if ratio.caveats else said


def _cell(mine: Project, seen: Survey, load: str, ask: Sequence[str]) -> str:
    asks = ", ".join(repr(str(one.page.path)) for one in seen.pages)
    return (
        f"mine = lab.project({mine.directory!r}, python={mine.python!r})\n"
        "result = lab.compare(\n"
        '    {"sync": lab.SYNC.replace(application=mine), "asgi": lab.ASGI.replace(application=mine)},\n'
        f"    lab.mix({asks}), lab.{load}, ask={ask!r},\n"
        ")\nlab.plots.ratios(result)"
    )


def _found_on_the_loop(mine: Project, seen: Survey) -> Iterator[Advice]:
    words = {
        "blocking code": "computes on the event loop",
        "blocking call": "waits on the event loop",
        GIL: "holds the GIL, and with it the event loop",
    }
    for held in seen.held:
        if held.cause in words and held.where and _counts(mine, held):
            what = f"{held.function} ({held.where}) {words[held.cause]} for up to {held.longest_ms:.0f} ms"
            more = f", in {held.view}" if held.view and held.cause != GIL else ""
            todo = (
                "compute it in another process" if held.cause != "blocking call" else "await it, or move it to a thread"
            )
            yield Advice(
                SET,
                f"{what}{more}: before you switch, {todo}",
                f"held up {held.share:.0%} of the time",
                about=held.cause,
            )
    sync_only = [
        (place, one["name"]) for place, one in enumerate(seen.found["middleware"]) if one.get("async") is False
    ]
    for place, name in sync_only:
        where = "outermost" if place == 0 else f"layer {place + 1} of {len(seen.found['middleware'])}"
        crossings = f"{max(one.crossings for one in seen.pages):.0f} crossings a request under ASGI"
        yield Advice(
            SET,
            f"{name} ({where}) can only be called from a thread: every view inside of it runs there, async ones too",
            crossings,
            about="sync-only middleware",
        )


def _counts(mine: Project, held: Held) -> bool:
    """Return whether what held up the loop is worth a sentence. On a thread, whatever computes holds the GIL for a
    while, libraries too: only their own code is, and only where that is much of the time."""
    theirs, much = _is_theirs(mine, held.where), held.share > MUCH
    return (theirs and much) if held.cause == GIL else bool(theirs or held.view or much)


def _is_theirs(mine: Project, where: str) -> bool:
    """Return whether a place in code, `shop/views.py:17`, is in the project's own folder: each view that computes on a
    thread holds the GIL, and what holds it in a library is no fault of its."""
    return Path(mine.directory, where.rpartition(":")[0]).is_file()


def _found_in_settings(seen: Survey) -> Iterator[Advice]:
    for alias, one in seen.found["databases"].items():
        if one["CONN_MAX_AGE"] != 0 and not one["pool"]:
            age = "for ever" if one["CONN_MAX_AGE"] is None else f"{one['CONN_MAX_AGE']} s"
            sentence = (
                f"CONN_MAX_AGE of the database {alias!r} keeps connections {age}: under ASGI each thread keeps its own; set "
                "it to 0, or use a pool"
            )
            yield Advice(
                SET,
                sentence,
                f"{counted(seen.databases, 'connection')} open at most with {BUSY_USERS} users",
                about="CONN_MAX_AGE",
            )
    if seen.found["debug"]:
        yield Advice(
            SET,
            "its settings have DEBUG on, which the lab turned off to measure: see to it that the real site does",
            "from its settings",
            about="DEBUG",
        )
    for name in seen.found["thread_locals"]:
        yield Advice(
            SET,
            f"{name} is a thread-local: under ASGI each request has a thread of its own, so what it keeps is made anew "
            "each time",
            "from its modules",
            about="thread-local",
        )


def _found_in_processes(seen: Survey) -> Iterator[Advice]:
    if seen.growth_kb:
        yield Advice(
            SET,
            "its memory grows with each request: look for what keeps them",
            f"{seen.growth_kb:.1f} KB a request",
            about="memory",
        )
    if seen.sync_stream:
        yield Advice(
            SET,
            "a view streams a sync iterator or a file: under ASGI Django reads all of it into memory first; give it an "
            "async iterator, or let the proxy send the file",
            "Django's own warning in the log",
            about="sync stream",
        )


def _notes(seen: Survey, busy: Comparison) -> Iterator[Advice]:
    if seen.refused:
        yield Advice(
            NOTE,
            f"it wanted to connect to {listed(list(seen.refused))}, which is another machine; the lab refused that "
            "(--network allows it)",
            "from its log",
            about="network",
        )
    yield _of_memory(seen, busy)
    yield Advice(NOTE, NOT_MEASURED, "not measured")


def _of_memory(seen: Survey, busy: Comparison) -> Advice:
    sentence = f"a worker takes {seen.sync_mb:.0f} MB under sync and {seen.asgi_mb:.0f} MB under ASGI"
    if EQUAL_MEMORY in busy.labels:
        more = f"{sentence}: in equal memory, more sync workers fit in"
        return Advice(NOTE, more, _evidence(busy.ratio(EQUAL_MEMORY, "asgi")), about="equal memory")
    more = f"{sentence}: the difference is too small for another worker"
    return Advice(NOTE, more, "resident memory at the end of a run", about="equal memory")
