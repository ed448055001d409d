"""Services: each keeps its terms, its line, and its count of failures; and the statistics of them all."""

from __future__ import annotations

import os
import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from requestlab.serving.upstream.terms import Terms
from requestlab.serving.upstream.timers import Timers

LATE_NS = 1_000_000
"""An answer that comes so much later than promised is counted as late."""

LONGEST = 10
"""How many times its mean an exponential delay may take."""

OK, UNAVAILABLE, REFUSED = 200, 503, 429


@dataclass
class Statistics:
    """What the upstream knows of itself, since it was started.

    `requests` it took on, how many it has `failed` (as asked) and `refused`; of those it promised a delay for (`timed`): the
    sum of what was promised, by how much more they took, and how many were more than 1 ms late. `most_at_once` since it was
    last told to look anew.
    """

    requests: int = 0
    failed: int = 0
    refused: int = 0
    timed: int = 0
    promised_ns: int = 0
    late_ns: int = 0
    late: int = 0
    at_once: int = 0
    most_at_once: int = 0

    def come(self) -> None:
        self.requests += 1
        self.at_once += 1
        if self.at_once > self.most_at_once:
            self.most_at_once = self.at_once

    def reset_peak(self) -> None:
        self.most_at_once = self.at_once

    def kept(self, promised_ns: int, late_ns: int) -> None:
        self.timed += 1
        self.promised_ns += promised_ns
        self.late_ns += late_ns
        self.late += late_ns > LATE_NS

    def told(self) -> dict[str, Any]:
        return {"pid": os.getpid(), **asdict(self)}


class Service:
    """Answers on its terms. `done(status)` is called for each request: after its delay, or at once where it is refused."""

    def __init__(self, terms: Terms, timers: Timers, statistics: Statistics) -> None:
        self._terms = terms
        self._timers = timers
        self._statistics = statistics
        self._chance = random.Random(terms.seed)
        self._under_way = 0
        self._line: deque[Callable[[int], None]] = deque()
        self._count = 0

    @property
    def idle(self) -> bool:
        return not self._under_way

    def take(self, done: Callable[[int], None]) -> None:
        """Begin with a request, or let it stand in line, or refuse it."""
        self._statistics.come()
        if not self._terms.limit or self._under_way < self._terms.limit:
            self._begin(done)
        elif self._terms.refuse:
            self._statistics.refused += 1
            self._leave(done, REFUSED)
        else:
            self._line.append(done)

    def _begin(self, done: Callable[[int], None]) -> None:
        self._under_way += 1
        status = self._status()
        delay = self._delay_ns()
        if not delay:
            self._end(done, status)
            return
        due = time.perf_counter_ns() + delay

        def ring() -> None:
            self._end(done, status)
            self._statistics.kept(delay, time.perf_counter_ns() - due)

        self._timers.at(due, ring)

    def _end(self, done: Callable[[int], None], status: int) -> None:
        self._under_way -= 1
        self._leave(done, status)
        if self._line and self._under_way < self._terms.limit:
            self._begin(self._line.popleft())

    def _leave(self, done: Callable[[int], None], status: int) -> None:
        self._statistics.at_once -= 1
        done(status)

    def _status(self) -> int:
        """Fail whenever the share of failures among all has fallen below what was asked for: exactly that share fails."""
        share = self._terms.fail
        self._count += 1
        if not share or int(self._count * share + 1e-9) == int((self._count - 1) * share + 1e-9):
            return OK
        self._statistics.failed += 1
        return UNAVAILABLE

    def _delay_ns(self) -> int:
        ms = self._terms.ms
        if self._terms.spread == "exponential" and ms:
            ms *= min(self._chance.expovariate(1.0), LONGEST)
        return int(ms * 1_000_000)
