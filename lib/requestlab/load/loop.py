"""What every kind of load has in common: its rows, the marks at both ends of the measured stretch, its end."""

from __future__ import annotations

import asyncio
import itertools
import time
from array import array
from contextlib import suppress
from dataclasses import dataclass, field

from requestlab.load.connection import WRONG_BODY, Connection
from requestlab.load.delay import Delays, DistantConnection
from requestlab.load.plan import COLUMNS, Mark, Plan
from requestlab.system.clocks import cpu_time_ns, pressure_ns, throttled_ns, use_of_cores, waited_for_a_core_ns
from requestlab.system.descriptors import queues
from requestlab.worker import stacks
from requestlab.worker.wrappers import HEADER

TIMEOUT_CHECK_S = 0.05
NOBODY = 0, 0, -1, 0
"""Who served an answer where nothing says so; as in `plan.COLUMNS`."""

_HEADER = HEADER.encode()


@dataclass
class Exchange:
    """What is kept of one request that did not go over a `Connection`: the same names, with the same meaning."""

    sent: int = 0
    first_byte: int = 0
    first_body: int = 0
    done: int = 0
    status: int = 0
    error: int = 0
    size: int = 0
    checksum: int = 0
    opened: bool = False
    body: bytes = b""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    parts: list[tuple[int, int]] | None = None
    asked: int = 0


class LoadLoop:
    """Carries out a plan on the loop. A subclass says in `begin` how requests are sent; it records each that ends,
    counts in `started` each that it sends, and sets `finished` when nothing is under way and nothing is to come."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self.rows = array("q")
        self.parts = array("q")
        self.marks: list[Mark] = []
        self.started = 0
        self.held_back = 0
        self.plan = plan
        self.loop = loop
        self.request, *more = requests = [one.encode("latin-1") for one in plan.requests]
        self._requests = [(number, one, one.startswith(b"HEAD ")) for number, one in enumerate(requests)]
        self._order = itertools.cycle(plan.order) if more else itertools.repeat(0)
        self.timeout_ns = int(plan.timeout_s * 1e9)
        self.finished: asyncio.Future[None] = loop.create_future()
        self._expect = plan.expect.encode("latin-1")
        self.quiet: list[str] = []
        self._last_change = (0, 0)
        self._delays = Delays(loop, plan.delay_ms) if plan.delay_ms else None

    async def run(self) -> None:
        """Send until the time is over, then wait for what is under way; marks are set at both ends of the stretch."""
        plan, start = self.plan, time.perf_counter_ns()
        self.start = start
        self.deadline = start + int((plan.warmup_s + plan.seconds) * 1e9)
        if plan.warmup_s:
            self.loop.call_later(plan.warmup_s, self._mark)
        else:
            self._mark()
        if plan.each is None:
            self.loop.call_later(plan.warmup_s + plan.seconds, self._mark)
        self.loop.call_later(TIMEOUT_CHECK_S, self._check_timeouts)
        try:
            self.begin()
            await self.finished
        finally:
            self.end()
            if self._delays:
                self._delays.close()
        if len(self.marks) < 2:
            self._mark()

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        """Give back what `begin` has taken."""

    def fail_overdue(self, before_ns: int) -> None:
        """Give up the requests that were planned before that time."""
        raise NotImplementedError

    def send(self, connection: Connection) -> None:
        """Send the next request of the mix."""
        connection.asked, request, bodiless = self._requests[next(self._order)]
        connection.exchange(request, bodiless=bodiless)

    def connection(self) -> Connection:
        """Return a new connection, whose ends of exchanges come to `ended`."""
        plan = self.plan
        kind = DistantConnection if self._delays else Connection
        made = kind(self.loop, plan.family, plan.address, self.ended, bool(self._expect), plan.keep_alive)
        if isinstance(made, DistantConnection) and self._delays:
            made.delays = self._delays
        if plan.parts:
            made.parts = []
        return made

    def ended(self, connection: Connection) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        if not self.finished.done():
            self.finished.set_result(None)

    def record(self, c: Connection | Exchange, user: int, planned: int) -> None:
        """Keep one request that ended, well or not."""
        error = c.error
        if self._expect and not error and c.status < 400 and self._expect not in c.body:
            error = WRONG_BODY
        pid, thread, on_loop, number = served(c.headers) if self.plan.probed else NOBODY
        if c.parts:
            row = len(self.rows) // len(COLUMNS)
            self.parts.extend(value for at, size in c.parts for value in (row, at, size))
        self.rows.extend(
            (
                user,
                planned,
                c.sent,
                c.first_byte,
                c.done,
                c.status,
                error,
                c.size,
                c.checksum,
                c.opened,
                pid,
                thread,
                on_loop,
                number,
                c.first_body,
                c.asked,
            )
        )

    def _check_timeouts(self) -> None:
        self.fail_overdue(time.perf_counter_ns() - self.timeout_ns)
        self._listen_for_answers()
        if not self.finished.done():
            self.loop.call_later(TIMEOUT_CHECK_S, self._check_timeouts)

    def _listen_for_answers(self) -> None:
        """Where nothing is answered for long while requests are under way, look once at what everybody is doing."""
        rows, now = len(self.rows) // len(COLUMNS), time.perf_counter_ns()
        if rows != self._last_change[0] or self.started <= rows:
            self._last_change = rows, now
        quiet_s = (now - max(self._last_change[1], self.start)) / 1e9
        if self.plan.directory and not self.quiet and quiet_s > self.plan.quiet_s:
            waiting = f"{self.started - rows:,} of {self.started:,} requests were under way"
            self.quiet = [f"after {quiet_s:.1f} s without an answer, {waiting}", *queues(self.plan.address[1])]
            for pid in self.plan.pids:
                stacks.ask(self.plan.directory, pid)

    def _mark(self) -> None:
        if len(self.marks) == 2:  # the last answer was faster than the timer
            return
        self.marks.append(mark(self.plan))


def mark(plan: Plan) -> Mark:
    """Read what belongs to one end of the measured stretch, now; the generator is this process."""
    upstream = plan.upstream
    return Mark(
        time_ns=time.perf_counter_ns(),
        generator_cpu_ns=time.process_time_ns(),
        generator_wait_ns=waited_for_a_core_ns() or 0,
        server_cpu_ns=tuple(cpu_time_ns(pid) for pid in plan.pids),
        cores_ns=use_of_cores(plan.cores),
        pressure_ns=pressure_ns(),
        throttled_ns=throttled_ns(),
        upstream_cpu_ns=cpu_time_ns(upstream) if upstream else None,
        upstream_wait_ns=waited_for_a_core_ns(upstream) if upstream else None,
    )


def served(headers: list[tuple[bytes, bytes]]) -> tuple[int, int, int, int]:
    """Return who served an answer, from the probe's header: pid, native thread id, whether it ran an event loop, and
    the number of the request in that worker."""
    for name, value in reversed(headers):
        if name.lower() == _HEADER:  # daphne writes names with capital letters
            with suppress(ValueError):  # an application may send what it likes
                pid, thread, on_loop, number = map(int, value.split())
                return pid, thread, on_loop, number
            break
    return NOBODY
