"""What is compared for advice: how the project is served, under which loads, and what is asked of each."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import combinations

from requestlab.advice.survey import BUSY_USERS, Survey
from requestlab.comparison.comparison import Comparison
from requestlab.load.loads import Load, closed, open as open_loop
from requestlab.serving.configuration import ASGI, SYNC, THREADS, Configuration
from requestlab.serving.project import Project
from requestlab.system.machine import split_cores

MIN_THREADS, MAX_THREADS = 4, 32


@dataclass(frozen=True)
class Ranking:
    """Of each two contenders, which is the faster by one metric? A question for `compare`."""

    metric: str = "throughput"

    @property
    def words(self) -> str:
        return f"{self.metric}, each against each"

    def answered(self, result: Comparison) -> bool:
        """Return whether more rounds would say nothing new."""
        return all(result.ratio(*pair, self.metric).settled for pair in combinations(result.labels, 2))


def contenders(mine: Project, seen: Survey) -> dict[str, Configuration]:
    """Return how the project is served to be compared: equal workers, one a core; and where a worker of one interface
    takes so much less memory that another one fits in, that too."""
    workers = max(1, len(split_cores().server))
    sync = SYNC.replace(application=mine, workers=workers)
    fit = math.floor(workers * seen.asgi_mb / seen.sync_mb) if seen.sync_mb else workers
    return {
        "sync": sync,
        "threads": THREADS.replace(application=mine, workers=workers, threads=threads_that_pay(seen.waits)),
        "asgi": ASGI.replace(application=mine, workers=workers),
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


ALONE, BUSY, AT_RATE = "one user", f"{BUSY_USERS} users", "your rate"

SHARES = {ALONE: 1, BUSY: 3, AT_RATE: 2}
"""How the time for comparisons is shared out: what one user sees is decided soonest."""


def loads(rate: float | None) -> dict[str, Load]:
    """Return the loads by name: one user, several, and arrivals at random at a rate where there is one."""
    found: dict[str, Load] = {ALONE: closed(1), BUSY: closed(BUSY_USERS)}
    if rate is not None:
        found[AT_RATE] = open_loop(rate, arrivals="poisson")
    return found


def asked(name: str) -> tuple[Ranking, ...]:
    """Return what is asked under that load. At a given rate all answer as many: what differs is how soon."""
    return (Ranking(PERCENTILE), Ranking("p50")) if name == AT_RATE else (Ranking(),)


PERCENTILE = "p95"
