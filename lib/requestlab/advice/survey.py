"""A look at a project while it is asked: what each page costs and waits for, how often it changes threads under ASGI,
what holds up the event loop, and what grows."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from requestlab.advice.discover import Page, Visitor, discover
from requestlab.load.loads import closed
from requestlab.load.mix import Mix
from requestlab.measurement.lag import finding
from requestlab.measurement.measure import measure
from requestlab.measurement.run import Run
from requestlab.serving.configuration import ASGI, SYNC
from requestlab.serving.project import Project, found_in
from requestlab.serving.server import Server, serve

SHORT_S, LONG_S = 1.0, 3.0
BUSY_USERS = 10

MIN_BLOCK_MS = 10.0
"""A block of the event loop that is shorter is no finding."""

MIN_GIL_MS = 15.0
"""Nor is a thread that holds the GIL for less: code in Python hands it on after 5 ms, if another thread wants it
(`sys.getswitchinterval`)."""

GIL = "GIL held elsewhere"

MIN_GROWTH_KB, MIN_GROWTH_MB = 0.5, 0.5
"""Memory that grows by less for each request, or by less in all, is no finding."""

MIN_LOOKS, STEADY = 3, 0.15
"""Nor is it one where it was seen less often, or where less than this share of the growth lies in either half."""

SYNC_STREAM = re.compile("must consume synchronous iterators in order to serve them asynchronously")


@dataclass(frozen=True)
class PageFacts:
    """A page with one user under gunicorn's sync worker: `service_ms` and `cpu_ms` of each request; and under ASGI, its
    `crossings` a request, and by the layer or view that they lead to."""

    page: Page
    service_ms: float
    cpu_ms: float
    crossings: float
    leads_to: tuple[tuple[str, float], ...]

    @property
    def waits(self) -> float:
        """The share of its time in which it waits and does not compute."""
        return min(1.0, max(0.0, 1 - self.cpu_ms / self.service_ms)) if self.service_ms else 0.0


@dataclass(frozen=True)
class Held:
    """What held up an event loop: why, where, for how long at most, and what share of the time all in all."""

    cause: str
    function: str
    where: str
    view: str
    longest_ms: float
    share: float


@dataclass(frozen=True, eq=False)
class Survey:
    """What was seen: the `pages`, who `held` up the loop, memory in MB of a worker under `sync` and `asgi`, by how many
    KB it grew with each request (`growth_kb`), database connections open at most, whether a sync iterator was streamed
    under ASGI (`sync_stream`), the hosts that it wanted to connect to, and the runs themselves."""

    found: dict[str, Any]
    pages: tuple[PageFacts, ...]
    held: tuple[Held, ...]
    sync_mb: float
    asgi_mb: float
    growth_kb: float
    databases: int
    sync_stream: bool
    refused: tuple[str, ...]
    runs: dict[str, Run]

    @property
    def waits(self) -> float:
        """The share of its time in which a worker that serves all pages, by their weights, only waits."""
        spent = [one.page.ask.weight * one.service_ms for one in self.pages]
        return float(np.average([one.waits for one in self.pages], weights=spent)) if any(spent) else 0.0

    @property
    def slowest_ms(self) -> float:
        return max(one.service_ms for one in self.pages)

    @property
    def mix(self) -> Mix:
        return Mix(tuple(one.page.ask for one in self.pages))


def survey(
    mine: Project, asked: Mix | None, tick: Callable[[str], None], discover_s: float = 30.0, short_s: float = SHORT_S
) -> Survey:
    """Serve the project under gunicorn's sync worker, and then under uvicorn with the probe, and look at its pages.

    `asked` is what visitors ask; without, pages are looked for. Raises ProjectError where none answers.
    """
    with serve(SYNC, application=replace(mine, counts_queries=True)) as server, Visitor(server) as visitor:
        tick("looking for pages")
        pages = _pages(visitor, mine, asked, tick, discover_s)
        alone = []
        for page in pages:
            tick(f"{page.path} under WSGI, one user")
            alone.append(measure(server, Mix((page.ask,)), closed(1), seconds=short_s, timeout=60))
        leak_kb = 0.0
        for page, run in zip(pages, alone, strict=True):
            if grown := _growth(run):  # caches fill, too; what goes on is a leak
                tick(f"{page.path} once more, which grows")
                again = measure(server, Mix((page.ask,)), closed(1), seconds=LONG_S * short_s, timeout=60)
                leak_kb = max(leak_kb, min(grown, _growth(again)))
        tick("ten users under WSGI")
        mix = Mix(tuple(page.ask for page in pages))
        busy_sync = measure(server, mix, closed(BUSY_USERS), seconds=LONG_S * short_s, timeout=60)
        refused = _refused(server)
    with serve(ASGI, application=mine, probe=True) as server:
        traced = []
        for page in pages:
            tick(f"{page.path} under ASGI, one user")
            traced.append(measure(server, Mix((page.ask,)), closed(1), seconds=short_s, timeout=60))
        tick("ten users under ASGI")
        busy = measure(server, mix, closed(BUSY_USERS), seconds=LONG_S * short_s, timeout=60)
        log = server.log
    facts = [_facts(*three) for three in zip(pages, alone, traced, strict=True)]
    return Survey(
        found=found_in(mine),
        pages=tuple(facts),
        held=tuple(_held(traced, busy)),
        sync_mb=_memory(busy_sync),
        asgi_mb=_memory(busy),
        growth_kb=leak_kb,
        databases=int(busy.processes["databases"].max()) if len(busy.processes) else 0,
        sync_stream=bool(SYNC_STREAM.search(log)),
        refused=refused,
        runs={
            "sync": busy_sync,
            "asgi": busy,
            **{f"page {number}": run for number, run in enumerate(traced, 1)},
            **{f"page {number} under WSGI": run for number, run in enumerate(alone, 1)},
        },
    )


def _pages(
    visitor: Visitor, mine: Project, asked: Mix | None, tick: Callable[[str], None], discover_s: float
) -> tuple[Page, ...]:
    if asked is None:
        return discover(visitor, found_in(mine), lambda path: tick(f"trying {path}"), discover_s)
    return tuple(visitor.page(visitor.followed(ask))[0] for ask in asked.asks)


def _facts(page: Page, alone: Run, traced: Run) -> PageFacts:
    requests = max(1, int((traced.spans["kind"] == "request").sum()))  # those of the warm-up were traced, too
    names = Counter(traced.crossings["name"]) if len(traced.crossings) else Counter[str]()
    leads_to = tuple((str(name), count / requests) for name, count in names.most_common(12))
    service = float(np.median(alone.service_ms)) if len(alone.service_ms) else 0.0
    return PageFacts(page, service, alone.cpu_per_request, sum(names.values()) / requests, leads_to)


def _held(traced: Sequence[Run], busy: Run) -> list[Held]:
    """Return what held up the loops, the longest first; each function once.

    Who holds the GIL is looked for where one user asks: where several do, each keeps it from all others, and whoever is
    met last is not to blame.
    """
    found: dict[tuple[str, str], Held] = {}
    for run in [*traced, busy]:
        if not len(run.ticks):
            continue
        for culprit in finding(run, "asgi").culprits:
            block, longest = culprit.seen, culprit.longest.ms
            gil = culprit.cause == GIL
            key = (culprit.cause, block.function)
            share = min(1.0, sum(one.ms for one in culprit.blocks) / 1e3 / run.seconds)
            counts = longest >= (MIN_GIL_MS if gil else MIN_BLOCK_MS) and not (gil and run is busy)
            if counts and (key not in found or found[key].longest_ms < longest):
                found[key] = Held(culprit.cause, block.function, block.where, block.view, longest, share)
    return sorted(found.values(), key=lambda one: -one.longest_ms)


def _memory(run: Run) -> float:
    """Return the resident memory of a worker at the end, in MB: the mean over workers."""
    last = run.processes.groupby("pid")["resident"].last()
    return float(last.mean()) if len(last) else 0.0


def _growth(run: Run) -> float:
    """Return by how many KB memory grew with each request, over the last three quarters of a run; 0 where that may be
    chance: where it was little in all, or did not go on to the end."""
    seen = run.processes.groupby("time")["resident"].sum()
    part = seen.iloc[len(seen) // 4 :]
    if len(part) < MIN_LOOKS:
        return 0.0
    first, middle, last = (float(part.iloc[at]) for at in (0, len(part) // 2, -1))
    kb = (last - first) * 1024 / max(1, int((run.requests["done"] >= part.index[0]).sum()))
    steady = min(middle - first, last - middle) >= STEADY * (last - first)
    return kb if steady and last - first >= MIN_GROWTH_MB and kb >= MIN_GROWTH_KB else 0.0


def _refused(server: Server) -> tuple[str, ...]:
    return tuple(dict.fromkeys(re.findall(r"requestlab: no connection to (\S+?),", server.log)))
