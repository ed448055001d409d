"""The load process: a plan comes in, raw samples go out. Run as `python -m requestlab.generator`.

It is a process of its own, on a core of its own where there is one, so that nothing the notebook does shows up as latency.
One line of JSON on its standard input is the plan (`requestlab.generator.Plan`); the end of that input ends the process.
On its standard output it writes one line of JSON (how it went) and then the table of samples, row by row, as int64.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import os
import resource
import sys
import time
from array import array
from dataclasses import dataclass
from typing import Any

import uvloop

from requestlab import lifeline
from requestlab.connection import Connection
from requestlab.probe.served import HEADER

COLUMNS = (
    "user",
    "planned",
    "sent",
    "first_byte",
    "done",
    "status",
    "error",
    "size",
    "opened",
    "pid",
    "thread",
    "on_loop",
)
"""One row a request. Times in ns of CLOCK_MONOTONIC, 0 where it did not come to that; `error` as in connection.ERRORS;
`pid`, `thread` and `on_loop` are 0, 0 and -1 where the probe is off or nothing was answered."""

PAUSE_AFTER_ERROR_S = 0.1
"""What a user waits after a failure, so that a server that is gone does not fill the memory with rows."""

_TIMEOUT_CHECK_S = 0.05
_HEADER = HEADER.encode()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What the load process is to do. `address` and `family` are those of a socket, `request` is what is sent, in latin-1.

    Rows planned in the first `warmup_s` seconds count as warm-up. `pids` are the server's workers, whose CPU time is read at
    both ends of the measured stretch; `core` is the generator's own, or None.
    """

    family: int
    address: tuple[Any, ...]
    request: str
    users: int
    each: int | None
    seconds: float
    warmup_s: float
    timeout_s: float
    pids: tuple[int, ...] = ()
    core: int | None = None

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> Plan:
        fields = json.loads(line)
        return cls(**fields | {"address": tuple(fields["address"]), "pids": tuple(fields["pids"])})


class ClosedLoop:
    """Drives `plan.users` connections: each sends its next request in the turn in which the last one ended."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        self.rows = array("q")
        self.marks: list[dict[str, Any]] = []
        self._plan = plan
        self._loop = loop
        self._request = plan.request.encode("latin-1")
        self._connections = [Connection(loop, plan.family, plan.address, self._ended) for _ in range(plan.users)]
        self._number = {connection: user for user, connection in enumerate(self._connections)}
        self._planned = dict.fromkeys(self._connections, 0)
        self._left = dict.fromkeys(self._connections, plan.each if plan.each is not None else sys.maxsize)
        self._active = plan.users
        self._timeout_ns = int(plan.timeout_s * 1e9)
        self._finished = loop.create_future()

    async def run(self) -> None:
        """Send until the time is over or every user has sent its share, then wait for what is under way."""
        start = time.perf_counter_ns()
        self._deadline = start + int((self._plan.warmup_s + self._plan.seconds) * 1e9)
        if self._plan.warmup_s:
            self._loop.call_later(self._plan.warmup_s, self._mark)
        else:
            self._mark()
        if self._plan.each is None:
            self._loop.call_later(self._plan.warmup_s + self._plan.seconds, self._mark)
        self._loop.call_later(_TIMEOUT_CHECK_S, self._check_timeouts)
        for connection in self._connections:
            self._next(connection)
        await self._finished
        if len(self.marks) < 2:
            self._mark()
        for connection in self._connections:
            connection.close()

    def _next(self, connection: Connection) -> None:
        now = time.perf_counter_ns()
        if now >= self._deadline or not self._left[connection]:
            self._retire()
            return
        self._left[connection] -= 1
        self._planned[connection] = now
        connection.exchange(self._request)

    def _ended(self, connection: Connection) -> None:
        self._record(connection)
        if connection.error:
            self._loop.call_later(PAUSE_AFTER_ERROR_S, self._next, connection)
        else:
            self._next(connection)

    def _record(self, c: Connection) -> None:
        pid, thread, on_loop = _served(c.headers)
        self.rows.extend(
            (
                self._number[c],
                self._planned[c],
                c.sent,
                c.first_byte,
                c.done,
                c.status,
                c.error,
                c.size,
                c.opened,
                pid,
                thread,
                on_loop,
            )
        )

    def _retire(self) -> None:
        self._active -= 1
        if not self._active and not self._finished.done():
            self._finished.set_result(None)

    def _check_timeouts(self) -> None:
        overdue = time.perf_counter_ns() - self._timeout_ns
        for connection in self._connections:
            if connection.busy and self._planned[connection] < overdue:
                connection.fail_with_timeout()
        if self._active:
            self._loop.call_later(_TIMEOUT_CHECK_S, self._check_timeouts)

    def _mark(self) -> None:
        self.marks.append(
            {
                "time_ns": time.perf_counter_ns(),
                "generator_cpu_ns": time.process_time_ns(),
                "generator_wait_ns": waited_for_a_core_ns(),
                "server_cpu_ns": [cpu_time_ns(pid) for pid in self._plan.pids],
            }
        )


def _served(headers: list[tuple[bytes, bytes]]) -> tuple[int, int, int]:
    for name, value in reversed(headers):
        if name == _HEADER:
            pid, thread, on_loop = value.split()
            return int(pid), int(thread), int(on_loop)
    return 0, 0, -1


def waited_for_a_core_ns() -> int:
    """Return how long this process has been ready to run without a core to run on: see sched-stats of the Linux kernel."""
    with open("/proc/self/schedstat") as statistics:
        return int(statistics.read().split()[1])


def cpu_time_ns(pid: int) -> int | None:
    """Return the CPU time of a process, its ended threads included; None if it is gone.

    Every Linux process has a clock that others may read, finer than the ticks of /proc: see clock_getcpuclockid(3).
    """
    try:
        return time.clock_gettime_ns((~pid << 3) | 2)
    except OSError:
        return None


def _give_up(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    print(context.get("message"), repr(context.get("exception")), file=sys.stderr, flush=True)
    os._exit(1)


def main() -> None:
    """Read the plan, carry it out, write the samples."""
    lifeline.die_with_parent()
    plan = Plan.from_json(sys.stdin.buffer.readline())
    if plan.core is not None:
        os.sched_setaffinity(0, {plan.core})
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    gc.disable()  # a pause of the collector would show up as latency; the hot path makes no cycles
    loop = uvloop.new_event_loop()
    loop.set_exception_handler(_give_up)  # a defect must not pass for a slow server
    loop.add_reader(sys.stdin.fileno(), os._exit, 1)  # nothing more is sent: what arrives is the end
    load = ClosedLoop(plan, loop)
    loop.run_until_complete(load.run())
    head = {"marks": load.marks, "columns": COLUMNS, "rows": len(load.rows) // len(COLUMNS)}
    sys.stdout.buffer.write(json.dumps(head).encode() + b"\n")
    sys.stdout.buffer.write(load.rows.tobytes())
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
