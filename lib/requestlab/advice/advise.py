"""Should this project switch to ASGI? A survey, comparisons within a budget, and what follows, in sentences.

Each sentence is tied to a figure with its interval, and to a cell that measures it again. What was not seen is said,
and "cannot tell" is advice.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from requestlab.advice.survey import BUSY_USERS, GIL, Held, Survey, survey
from requestlab.comparison import wording
from requestlab.comparison.compare import compare
from requestlab.comparison.comparison import CANNOT_TELL, FASTER, SLOWER, Comparison
from requestlab.load.loads import Load, closed, open as open_loop
from requestlab.load.mix import Mix
from requestlab.serving.configuration import MIXED, SYNC, Configuration
from requestlab.serving.project import Project
from requestlab.serving.server import serve
from requestlab.system import checks, html
from requestlab.system.machine import split_cores
from requestlab.system.progress import Progress
from requestlab.system.values import to_plain
from requestlab.system.wording import counted, listed, times

MIN_MINUTES, MAX_MINUTES = 0.5, 60.0
SURVEY_SHARE = 0.4
"""At most so much of the budget is spent on looking; the rest on comparing."""

MUCH = 0.1
"""A share of the time that is worth a sentence."""

MIN_THREADS, MAX_THREADS = 4, 32
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

    def _repr_html_(self) -> str:
        return str(html.render("advice/said.html.j2", report=self))


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
        with ExitStack() as stack:
            say("starting what is compared")
            against = {name: stack.enter_context(serve(one)) for name, one in contenders(mine, seen).items()}
            for number, (name, load) in enumerate(loads.items()):
                say(f"comparing: {name}")
                share = SHARES[name] / sum(SHARES[later] for later in list(loads)[number:])
                results[name] = compare(
                    against,
                    seen.mix,
                    load,
                    ask=Ranking(),
                    budget=max(MIN_BUDGET_S, share * (left() - STOPPING_S)),
                    seconds=min(1.0, max(MIN_SLICE_S, budget / 120)),
                    timeout=60,
                )
    advice = tuple(conclude(mine, seen, results))
    return Report(mine, seen, results, advice, time.monotonic() - began)


def check_minutes(minutes: object) -> None:
    """Raise ConfigurationError for a budget that cannot work."""
    checks.number("advise(minutes)", minutes, MIN_MINUTES, MAX_MINUTES, kind="minutes")


MIN_BUDGET_S, MIN_SLICE_S = 4.0, 0.25
STOPPING_S = 2.0
"""What is left for the end: servers are stopped, and the figures drawn."""


@dataclass(frozen=True)
class Ranking:
    """Of each two contenders, which answers more? A question for `compare`."""

    words: str = "each against each"

    def answered(self, result: Comparison) -> bool:
        """Return whether more rounds would say nothing new."""
        return all(result.ratio(*pair).settled for pair in combinations(result.labels, 2))


def contenders(mine: Project, seen: Survey) -> dict[str, Configuration]:
    """Return how the project is served to be compared: equal workers, one a core; and where a worker of one interface
    takes so much less memory that another one fits in, that too."""
    workers = max(1, len(split_cores().server))
    sync = SYNC.replace(application=mine, workers=workers)
    fit = math.floor(workers * seen.asgi_mb / seen.sync_mb) if seen.sync_mb else workers
    return {
        "sync": sync,
        "threads": sync.replace(server="gunicorn-gthread", threads=threads_that_pay(seen.waits)),
        "asgi": MIXED.replace(application=mine, workers=workers),
        **({EQUAL_MEMORY: sync.replace(workers=fit)} if fit > workers else {}),
    }


EQUAL_MEMORY = "sync, equal memory"


def threads_that_pay(waits: float) -> int:
    """Return how many threads a worker should have where requests wait for that share of their time.

    1 / (1 - waits) threads keep a core busy if they never meet (the knee of the asymptotic bounds of a closed system:
    Lazowska and others, Quantitative System Performance, 1984, chapter 5); twice as many, since they do meet.
    """
    knee = 1 / max(1 - waits, 2 / MAX_THREADS)
    return max(MIN_THREADS, min(MAX_THREADS, math.ceil(round(2 * knee, 6))))


def _loads(rate: float | None) -> dict[str, Load]:
    loads: dict[str, Load] = {ALONE: closed(1), BUSY: closed(BUSY_USERS)}
    if rate is not None:
        loads[AT_RATE] = open_loop(rate, arrivals="poisson")
    return loads


ALONE, BUSY, AT_RATE = "one user", f"{BUSY_USERS} users", "your rate"

SHARES = {ALONE: 1, BUSY: 3, AT_RATE: 2}
"""How the time for comparisons is shared out: what one user sees is decided soonest."""


# What follows


def conclude(mine: Project, seen: Survey, results: Mapping[str, Comparison]) -> Iterator[Advice]:
    """Yield the answer, what to set right, and what else is to be known."""
    busy = results[BUSY]
    yield _answer(mine, seen, busy)
    yield from findings(mine, seen)
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
            f"{threads_that_pay(seen.waits)} threads a worker (gunicorn's gthread) answer {times(threads.value)} times as much; {waits}, and "
            f"{'ASGI answers less' if both.verdict == SLOWER else 'ASGI was not seen to answer more'} than that"
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
    sentence = f"a worker takes {seen.sync_mb:.0f} MB under WSGI and {seen.asgi_mb:.0f} MB under ASGI"
    if EQUAL_MEMORY in busy.labels:
        more = f"{sentence}: in equal memory, more WSGI workers fit in"
        return Advice(NOTE, more, wording.sentence(busy.ratio(EQUAL_MEMORY, "asgi")), about="equal memory")
    more = f"{sentence}: at this number of workers, equal memory means equal workers"
    return Advice(NOTE, more, "resident memory at the end of a run", about="equal memory")
