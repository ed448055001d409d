"""Should this project switch to ASGI? A survey, comparisons within a budget, and what follows, in sentences.

Each sentence is tied to a figure with its interval, and to a cell that measures it again. What was not seen is said,
and "cannot tell" is advice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from requestlab.advice.survey import BUSY_USERS, Survey, survey
from requestlab.comparison import wording
from requestlab.comparison.compare import compare
from requestlab.comparison.comparison import CANNOT_TELL, FASTER, SLOWER, Comparison
from requestlab.load.loads import Load, closed, open as open_loop
from requestlab.load.mix import Mix
from requestlab.serving.configuration import MIXED, SYNC, Configuration
from requestlab.serving.project import Project
from requestlab.system import checks
from requestlab.system.machine import split_cores
from requestlab.system.progress import Progress
from requestlab.system.values import to_plain
from requestlab.system.wording import counted, listed, times

MIN_MINUTES, MAX_MINUTES = 0.5, 60.0
SURVEY_SHARE = 0.4
"""At most so much of the budget is spent on looking; the rest on comparing."""

MUCH = 0.1
"""Code that holds the GIL for less of the time is no finding."""

THREADS = 8
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


@dataclass(frozen=True, eq=False)
class Report:
    """All of it: the `project`, the `survey`, the comparisons by the load they were made under, and the `advice`, of
    which the first is the answer. `seconds` is how long it took."""

    project: Project
    survey: Survey
    results: Mapping[str, Comparison]
    advice: tuple[Advice, ...]
    seconds: float

    @property
    def answer(self) -> Advice:
        return self.advice[0]

    def to_plain(self) -> dict[str, Any]:
        """Return it as plain values, for JSON: the advice, and the pages with what they cost."""
        pages = [
            {"page": str(one.page.ask), "ms": one.service_ms, "waits": one.waits, "queries": one.page.queries}
            for one in self.survey.pages
        ]
        return {
            "project": to_plain(self.project),
            "advice": to_plain(self.advice),
            "pages": pages,
            "seconds": self.seconds,
        }

    def __repr__(self) -> str:
        return "\n".join(map(str, self.advice))


def advise(
    mine: Project,
    asked: Mix | None = None,
    *,
    minutes: float = 5.0,
    rate: float | None = None,
    tick: Callable[[str, float], None] | None = None,
) -> Report:
    """Return advice on a project, within so many minutes (0.5 to 60).

    >>> print(advise(project("~/mysite"), minutes=2))

    `asked` is what visitors ask (without: pages that answer 200 are looked for), `rate` how many requests a second they
    send. `tick` is told what is done and how many seconds are left. Raises ConfigurationError for values that cannot
    work, and ProjectError where the project gives nothing to measure.
    """
    check_minutes(minutes)
    began, budget = time.monotonic(), minutes * 60

    def left() -> float:
        return max(0.0, budget - (time.monotonic() - began))

    with Progress(f"advising {mine.name}") as progress:

        def say(what: str) -> None:
            progress.step(what, left())
            if tick:
                tick(what, left())

        short = min(1.0, SURVEY_SHARE * budget / 20)
        seen = survey(mine, asked, say, discover_s=SURVEY_SHARE * budget / 3, short_s=short)
        results = {}
        loads = _loads(rate)
        for number, (name, load) in enumerate(loads.items()):
            say(f"comparing: {name}")
            share = left() / (len(loads) - number) - STARTING_S
            results[name] = compare(
                contenders(mine),
                seen.mix,
                load,
                ask=["throughput", "p50"],
                budget=max(4.0, share),
                seconds=0.5,
                timeout=60,
            )
    advice = tuple(conclude(mine, seen, results))
    return Report(mine, seen, results, advice, time.monotonic() - began)


def check_minutes(minutes: object) -> None:
    """Raise ConfigurationError for a budget that cannot work."""
    checks.number("advise(minutes)", minutes, MIN_MINUTES, MAX_MINUTES, kind="minutes")


STARTING_S = 6.0
"""What a comparison takes besides its rounds: three servers are started and stopped."""


def contenders(mine: Project) -> dict[str, Configuration]:
    """Return how the project is served to be compared: equal workers, one a core."""
    workers = max(1, len(split_cores().server))
    sync = SYNC.replace(application=mine, workers=workers)
    return {
        "sync": sync,
        "threads": sync.replace(server="gunicorn-gthread", threads=THREADS),
        "asgi": MIXED.replace(application=mine, workers=workers),
    }


def _loads(rate: float | None) -> dict[str, Load]:
    loads: dict[str, Load] = {"one user": closed(1), f"{BUSY_USERS} users": closed(BUSY_USERS)}
    if rate is not None:
        loads[f"{rate:g} requests a second"] = open_loop(rate, arrivals="poisson")
    return loads


# What follows


def conclude(mine: Project, seen: Survey, results: Mapping[str, Comparison]) -> Iterator[Advice]:
    """Yield the answer, and then what was found besides."""
    busy = results[f"{BUSY_USERS} users"]
    yield _answer(mine, seen, busy)
    yield from _found_on_the_loop(mine, seen)
    yield from _found_in_settings(mine, seen, busy)
    yield from _found_in_processes(seen)
    yield Advice(NOTE, NOT_MEASURED, "not measured")


NOT_MEASURED = (
    "Your network, your proxy, the distance of your database and your visitors' own pace were not measured: slow "
    "clients and streams may decide otherwise"
)


def _answer(mine: Project, seen: Survey, busy: Comparison) -> Advice:
    asgi, threads, both = busy.ratio("asgi", "sync"), busy.ratio("threads", "sync"), busy.ratio("asgi", "threads")
    cell = _cell(mine, seen, BUSY_USERS)
    waits = f"its pages wait for {seen.waits:.0%} of their time"
    light = seen.slowest_ms < LIGHT_MS and seen.waits < WAITS_LITTLE
    if asgi.verdict == FASTER and both.verdict == FASTER and not light:
        layers = [one["name"].rpartition(".")[2] for one in seen.found["middleware"] if not one.get("async", True)]
        if layers:
            sentence = (
                f"ASGI answers more; first move or replace {listed(layers)}, which cannot be called from an event loop"
            )
            return Advice(MOVE, sentence, wording.sentence(both), cell)
        return Advice(
            SWITCH,
            f"ASGI answers {times(asgi.value)} times as much as gunicorn's sync workers, and more than threads; "
            f"{waits}",
            wording.sentence(both),
            cell,
        )
    if threads.verdict == FASTER and both.verdict != FASTER:
        sentence = (
            f"{THREADS} threads a worker (gunicorn's gthread) answer {times(threads.value)} times as much; {waits}, and "
            "ASGI was not seen to answer more than that"
        )
        return Advice(RAISE, sentence, f"{wording.sentence(threads)}; {wording.sentence(both)}", cell)
    if asgi.verdict == SLOWER:
        return Advice(
            STAY,
            f"under ASGI it answers fewer requests from the same cores: {times(asgi.value)} times as many; {waits}",
            wording.sentence(asgi),
            cell,
        )
    if asgi.settled and asgi.verdict == CANNOT_TELL:
        return Advice(STAY, f"it makes no difference: both answer as many; {waits}", wording.sentence(asgi), cell)
    return Advice(UNKNOWN, f"the machine could not tell them apart in that time; {waits}", wording.sentence(asgi), cell)


def _cell(mine: Project, seen: Survey, users: int) -> str:
    asks = ", ".join(repr(str(one.page.path)) for one in seen.pages)
    return (
        f"mine = lab.project({mine.directory!r}, python={mine.python!r})\n"
        "result = lab.compare(\n"
        '    {"sync": lab.SYNC.replace(application=mine), "asgi": lab.MIXED.replace(application=mine)},\n'
        f"    lab.mix({asks}), lab.closed(users={users}), ask=['throughput', 'p50'],\n"
        ")\nlab.plots.ratios(result)"
    )


def _found_on_the_loop(mine: Project, seen: Survey) -> Iterator[Advice]:
    words = {
        "blocking code": "computes on the event loop",
        "blocking call": "waits on the event loop",
        "GIL held elsewhere": "holds the GIL, and with it the event loop",
    }
    for held in seen.held:
        much = held.cause != "GIL held elsewhere" or (held.share > MUCH and _is_theirs(mine, held.where))
        if held.cause in words and held.where and much:
            what = f"{held.function} ({held.where}) {words[held.cause]} for up to {held.longest_ms:.0f} ms"
            more = f", in {held.view}" if held.view and held.cause != "GIL held elsewhere" else ""
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


def _is_theirs(mine: Project, where: str) -> bool:
    """Return whether a place in code, `shop/views.py:17`, is in the project's own folder: each view that computes on a
    thread holds the GIL, and what holds it in a library is no fault of its."""
    return Path(mine.directory, where.rpartition(":")[0]).is_file()


def _found_in_settings(mine: Project, seen: Survey, busy: Comparison) -> Iterator[Advice]:
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
    if seen.refused:
        yield Advice(
            NOTE,
            f"it wanted to connect to {listed(list(seen.refused))}, which is another machine; the lab refused that "
            "(--network allows it)",
            "from its log",
            about="network",
        )
    ratio = seen.asgi_mb / seen.sync_mb if seen.sync_mb else 1.0
    yield Advice(
        NOTE,
        f"a worker takes {seen.sync_mb:.0f} MB under WSGI and {seen.asgi_mb:.0f} MB under ASGI: in equal memory, "
        f"{_equal_memory(ratio)}",
        "resident memory at the end of a run",
        about="equal memory",
    )


def _equal_memory(ratio: float) -> str:
    """Say how many WSGI workers fit into the memory of four under ASGI."""
    fit = round(4 * ratio, 1)
    return f"{fit:g} WSGI workers stand against 4 under ASGI"
