"""What each request to the upstream is answered with, when, and by which service.

A request may ask, in its query, each once:

    ms       how long the answer takes: 0 to 10,000, fractions allowed; 50 for the API, 0 for the store unless said otherwise
    spread   constant, or exponential: a mean of `ms`, at most ten times as long
    seed     makes the same exponential delays again
    fail     the share of answers that are a 503: 0.1 is every tenth, exactly
    limit    how many are worked on at once; the others wait in line. 0: any number
    refuse   1: those beyond the limit are refused with a 429 instead
    name     tells one service from another with the same options; each has its own count of failures and its own line
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
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qsl

from requestlab.serving.upstream.store import Full, Store
from requestlab.worker.ready import READY_PATH, answer
from requestlab.worker.timerfd import Alarm

MAX_MS = 10_000
MAX_AT_ONCE = 10_000
MAX_SEED = 2**32
MAX_SERVICES = 1_000
SPREADS = ("constant", "exponential")
NAMES = ("ms", "spread", "seed", "fail", "limit", "refuse", "name")
SHOWN = 40

LATE_NS = 1_000_000
"""An answer that comes so much later than promised is counted as late."""

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
    spread: str = "constant"
    seed: int = 0
    fail: float = 0.0
    limit: int = 0
    refuse: bool = False


def options_of(query: str, default_ms: float) -> Options:
    """Return what a query asks for. Raises BadRequest for what is out of bounds, not known, or said twice."""
    pairs = parse_qsl(query, keep_blank_values=True)
    given = dict(pairs)
    unknown = [name for name in given if name not in NAMES]
    if unknown or len(given) != len(pairs):
        what = f"{_shown(unknown[0])} is not known" if unknown else "a parameter stands there twice"
        raise BadRequest(f"{what}; expected, once each: {', '.join(NAMES)}.")
    spread = given.get("spread", "constant")
    if spread not in SPREADS:
        raise BadRequest(f"spread must be one of {', '.join(SPREADS)}; this request gave {_shown(spread)}.")
    return Options(
        ms=_number(given, "ms", default_ms, MAX_MS),
        spread=spread,
        seed=_whole(given, "seed", MAX_SEED),
        fail=_number(given, "fail", 0.0, 1),
        limit=_whole(given, "limit", MAX_AT_ONCE),
        refuse=bool(_whole(given, "refuse", 1)),
    )


def _number(given: dict[str, str], name: str, default: float, most: float) -> float:
    try:
        value = float(given.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 <= value <= most:
        raise BadRequest(f"{name} must be a number from 0 to {most:g}; this request gave {_shown(given[name])}.")
    return value


def _whole(given: dict[str, str], name: str, most: int) -> int:
    text = given.get(name, "0")
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(most)) else -1
    if not 0 <= value <= most:
        raise BadRequest(f"{name} must be a whole number from 0 to {most}; this request gave {_shown(text)}.")
    return value


def _shown(text: str) -> str:
    """Return a client's text safe to print."""
    return ascii(text[:SHOWN]) + ("..." if len(text) > SHOWN else "")


class Timers:
    """Many timers on one alarm of the kernel.

    They are late by microseconds and never early; those of event loops are rounded to whole milliseconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._alarm = Alarm()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0
        loop.add_reader(self._alarm.fileno(), self._ring)

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


@dataclass
class Statistics:
    """What the upstream knows of itself, since it was started.

    `requests` it took on, how many it has `failed` (as asked) and `refused`. Of those with a delay (`timed`): the sum of the
    delays that were promised, by how much more they took, and how many were more than 1 ms late. `most_at_once` counts since
    the last `reset_peak`.
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

    def begun(self) -> None:
        self.requests += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)

    def delayed(self, promised_ns: int, late_ns: int) -> None:
        self.timed += 1
        self.promised_ns += promised_ns
        self.late_ns += late_ns
        self.late += late_ns > LATE_NS

    def snapshot(self) -> dict[str, Any]:
        return {"pid": os.getpid(), **asdict(self)}

    def reset_peak(self) -> None:
        self.most_at_once = self.at_once


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
            self._statistics.delayed(delay, time.perf_counter_ns() - due)

        self._timers.at(due, ring)

    def _end(self, done: Callable[[int], None], status: int) -> None:
        self._under_way -= 1
        self._leave(done, status)
        if self._line and self._under_way < self._options.limit:
            self._begin(self._line.popleft())

    def _leave(self, done: Callable[[int], None], status: int) -> None:
        self._statistics.at_once -= 1
        done(status)

    def _status(self) -> int:
        """Fail whenever the share of failures among all has fallen below what was asked for: exactly that share fails."""
        share = self._options.fail
        self._count += 1
        if not share or int(self._count * share + 1e-9) == int((self._count - 1) * share + 1e-9):
            return OK
        self._statistics.failed += 1
        return UNAVAILABLE

    def _delay_ns(self) -> int:
        ms = self._options.ms
        if self._options.spread == "exponential" and ms:
            ms *= min(self._chance.expovariate(1.0), LONGEST)
        return int(ms * 1_000_000)


class Api:
    """All that the upstream offers."""

    def __init__(self, timers: Timers) -> None:
        self.statistics = Statistics()
        self._timers = timers
        self._store = Store()
        self._services: dict[tuple[str, str], Service] = {}

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
        self._service("/objects/", query).take(lambda status: self._keep(status, method, bucket, name, body, reply))

    def _keep(self, status: int, method: str, bucket: str, name: str, body: bytes, reply: Reply) -> None:
        """Do what is asked of the store once the delay is over; what fails changes nothing."""
        if status != OK:
            reply(status, FAILED[status])
        elif method == "PUT":
            self._put(bucket, name, body, reply)
        elif name:
            kept = self._store.get(bucket, name)
            reply(*((OK, kept) if kept is not None else (404, b"there is no such object\n")))
        else:
            done = self._store.delete if method == "DELETE" else self._store.summary
            reply(OK, _json(done(bucket)))

    def _put(self, bucket: str, name: str, body: bytes, reply: Reply) -> None:
        try:
            checksum = self._store.put(bucket, name, body)
        except Full as problem:
            reply(507, f"{problem}\n".encode())
        else:
            reply(OK, f"{checksum:08x}\n".encode())

    def _tell_statistics(self, method: str, reply: Reply) -> None:
        snapshot = _json(self.statistics.snapshot())
        if method == "POST":
            self.statistics.reset_peak()
        reply(OK, snapshot)

    def _service(self, path: str, query: str) -> Service:
        """Return the service with that query: it is read once, and failures are counted as long as it is known."""
        service = self._services.get((path, query))
        if service is None:
            options = options_of(query, DEFAULT_MS[path])
            if len(self._services) >= MAX_SERVICES:
                self._services = {key: one for key, one in self._services.items() if not one.idle}
            service = self._services[path, query] = Service(options, self._timers, self.statistics)
        return service


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
