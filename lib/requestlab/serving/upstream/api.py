"""What each request to the upstream is answered with, when, and by which service.

A request may ask, in its query, each once:

    ms       how long the answer takes: 0 to 10,000, fractions allowed; if not given, 50 for the API, 0 for the store
    spread   constant, or exponential: a mean of `ms`, at most ten times as long
    fail     the share of answers that are a 503: 0.1 is every tenth, exactly
    limit    how many are worked on at once; the others wait in line. 0: any number
    refuse   1: those beyond the limit are refused with a 429 instead
    seed     a number for the exponential delays, which are the same again for the same number

All requests with the same query share a count of failures and a line.
"""

from __future__ import annotations

import asyncio
import heapq
import json
import math
import os
import random
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from requestlab.serving.upstream.statistics import Statistics
from requestlab.serving.upstream.store import Full, Store
from requestlab.worker.kernel import Alarm
from requestlab.worker.ready import READY_PATH, answer

MOST = {"ms": 10_000, "fail": 1, "limit": 10_000, "refuse": 1, "seed": 2**32}
"""What can be asked for as a number from 0 to this, which may be a fraction for the first two."""

FRACTIONS = ("ms", "fail")
SPREADS = ("constant", "exponential")
MAX_SERVICES = 1_000
SHOWN = 40

LONGEST = 10
"""How many times its mean an exponential delay may take."""

OK, UNAVAILABLE, REFUSED = 200, 503, 429
DEFAULT_MS = {"/api/": 50.0, "/objects/": 0.0}
API_BODY = b'{"answer": 42}\n'
FAILED = {UNAVAILABLE: b"this answer fails, as was asked for\n", REFUSED: b"too many at once\n"}

_NAME = "([A-Za-z0-9][A-Za-z0-9._-]{0,99})"
_OBJECT = re.compile(f"/objects/(?:{_NAME}/{_NAME}?)?")

Reply = Callable[[int, bytes], None]
"""Called once for each request, with status and body."""


class BadRequest(Exception):
    """A request that cannot be served as it is; the message is the answer, with a 400."""


@dataclass(frozen=True)
class Options:
    """What a request asks of a service; see the top of this module."""

    ms: float
    spread: str
    fail: float
    limit: int
    refuse: bool
    seed: int


def options_of(query: str, default_ms: float) -> Options:
    """Return what a query asks for. Raises BadRequest for what is out of bounds, not known, or said twice."""
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    unknown = [name for name in given if name not in (*MOST, "spread")]
    if unknown or len(given) != len(pairs):
        what = f"{_shown(unknown[0])} is not known" if unknown else "a parameter stands there twice"
        raise BadRequest(f"{what}; expected, once each: {', '.join((*MOST, 'spread'))}.")
    spread = given.get("spread", "constant")
    if spread not in SPREADS:
        raise BadRequest(f"spread must be one of {', '.join(SPREADS)}; this request gave {_shown(spread)}.")
    return Options(
        ms=_number(given, "ms", default_ms),
        spread=spread,
        fail=_number(given, "fail"),
        limit=int(_number(given, "limit")),
        refuse=bool(_number(given, "refuse")),
        seed=int(_number(given, "seed")),
    )


def _number(given: Mapping[str, str], name: str, default: float = 0) -> float:
    text, most, kind = given.get(name, str(default)), MOST[name], "number" if name in FRACTIONS else "whole number"
    try:
        value = float(text) if name in FRACTIONS else int(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise BadRequest(f"{name} must be a {kind} from 0 to {most}; this request gave {_shown(text)}.")
    return value


def _shown(text: str) -> str:
    """Return a client's text safe to print."""
    return ascii(text[:SHOWN]) + ("..." if len(text) > SHOWN else "")


class Timers:
    """Many timers on one alarm of the kernel.

    They are late by microseconds and never early; those of event loops are rounded to whole milliseconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = Alarm(loop, self._ring)
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, due_ns: int, callback: Callable[[], None]) -> None:
        """Call back at that time of `time.perf_counter_ns`."""
        self._number += 1  # of two that are due at once, the first that was set comes first
        heapq.heappush(self._due, (due_ns, self._number, callback))
        if self._due[0][1] == self._number:
            self._alarm.set(due_ns)

    def _ring(self) -> None:
        self._alarm.heard()
        while self._due and self._due[0][0] <= time.perf_counter_ns():
            heapq.heappop(self._due)[2]()
        if self._due:
            self._alarm.set(self._due[0][0])


class Service:
    """All requests with the same options: their delays, their line, and their count of failures.

    `done(status)` is called for each request: after its delay, or at once where it is refused.
    """

    def __init__(self, options: Options, timers: Timers, statistics: Statistics) -> None:
        self._options = options
        self._timers = timers
        self._statistics = statistics
        self._chance = random.Random(options.seed)
        self._under_way = 0
        self._line: deque[Callable[[int], None]] = deque()
        self._count = 0

    @property
    def idle(self) -> bool:
        return not self._under_way

    def take(self, done: Callable[[int], None]) -> None:
        """Begin with a request, or let it wait in line, or refuse it."""
        self._statistics.begun()
        if not self._options.limit or self._under_way < self._options.limit:
            self._begin(done)
        elif self._options.refuse:
            self._statistics["refused"] += 1
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
            self._statistics.delayed(delay, time.perf_counter_ns() - due)

        self._timers.at(due, ring)

    def _end(self, done: Callable[[int], None], status: int) -> None:
        self._under_way -= 1
        self._leave(done, status)
        if self._line and self._under_way < self._options.limit:
            self._begin(self._line.popleft())

    def _leave(self, done: Callable[[int], None], status: int) -> None:
        self._statistics["at_once"] -= 1
        done(status)

    def _status(self) -> int:
        """Fail whenever the share of failures among all has fallen below what was asked for: exactly that share
        fails."""
        before, self._count = self._count, self._count + 1
        if int(self._count * self._options.fail + 1e-9) == int(before * self._options.fail + 1e-9):
            return OK
        self._statistics["failed"] += 1
        return UNAVAILABLE

    def _delay_ns(self) -> int:
        factor = 1.0
        if self._options.spread == "exponential":
            factor = min(self._chance.expovariate(1.0), LONGEST)
        return int(self._options.ms * factor * 1_000_000)


class Api:
    """All that the upstream offers."""

    def __init__(self, timers: Timers) -> None:
        self._statistics = Statistics()
        self._timers = timers
        self._store = Store()
        self._services: dict[tuple[str, str], Service] = {}

    def refuse(self, reply: Reply) -> None:
        """Answer somebody who does not know the address: the token of its run is a part of that."""
        self._statistics["strangers"] += 1
        reply(404, b"expected the address of this upstream, which ends with /~ and a token\n")

    def ask(self, method: str, path: str, query: str, body: bytes, reply: Reply) -> None:
        """Answer a request, now or later."""
        try:
            if path == "/api/":
                self._api(method, query, reply)
            elif path.startswith("/objects/"):
                self._objects(method, path, query, body, reply)
            elif path == "/statistics/":
                self._tell_statistics(method, reply)
            elif path == READY_PATH:
                reply(OK, answer(""))
            else:
                reply(404, b"there are /api/, /objects/ and /statistics/ here\n")
        except BadRequest as problem:
            reply(400, f"{problem}\n".encode())

    def _api(self, method: str, query: str, reply: Reply) -> None:
        if method != "GET":
            reply(405, b"the API takes GET\n")
            return
        self._service("/api/", query).take(lambda status: reply(status, FAILED.get(status, API_BODY)))

    def _objects(self, method: str, path: str, query: str, body: bytes, reply: Reply) -> None:
        found = _OBJECT.fullmatch(path)
        if found is None:
            raise BadRequest(
                "expected /objects/BUCKET/NAME, each a letter or digit, then up to 99 of these, dots and dashes, "
                f"not {_shown(path)}."
            )
        bucket, name = found[1] or "", found[2] or ""
        if method not in (("GET", "PUT") if name else ("GET", "DELETE")):
            reply(405, b"objects take GET and PUT, buckets GET and DELETE\n")
            return

        def done(status: int) -> None:  # what fails changes nothing
            reply(*((status, FAILED[status]) if status != OK else self._stored(method, bucket, name, body)))

        self._service("/objects/", query).take(done)

    def _stored(self, method: str, bucket: str, name: str, body: bytes) -> tuple[int, bytes]:
        """Do what is asked of the store, and return the status and the body of the answer."""
        if not name:
            return OK, _json(self._store.delete(bucket) if method == "DELETE" else self._store.summary(bucket))
        if method == "GET":
            kept = self._store.get(bucket, name)
            return (OK, kept) if kept is not None else (404, b"there is no such object\n")
        try:
            return OK, f"{self._store.put(bucket, name, body):08x}\n".encode()
        except Full as problem:
            return 507, f"{problem}\n".encode()

    def _tell_statistics(self, method: str, reply: Reply) -> None:
        told = {"pid": os.getpid(), **self._statistics}
        if method == "POST":
            self._statistics.reset_peak()
        reply(OK, _json(told))

    def _service(self, path: str, query: str) -> Service:
        """Return the service with that query: it is read once, and failures are counted as long as it is known."""
        service = self._services.get((path, query))
        if service is None:
            options = options_of(query, DEFAULT_MS[path])
            if len(self._services) >= MAX_SERVICES:
                self._services = {key: one for key, one in self._services.items() if not one.idle}
            service = self._services[path, query] = Service(options, self._timers, self._statistics)
        return service


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
