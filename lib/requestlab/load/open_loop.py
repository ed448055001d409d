"""The open loop: requests are sent when they are due, whether or not those before are answered.

A server that halts does not halt the schedule: what is due meanwhile is sent in time and waits, as visitors would. A
request that could not be sent in time has a later `sent` than `planned`, and its response time counts from `planned`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from itertools import accumulate, takewhile

from requestlab.load.connection import TIMEOUT, Connection
from requestlab.load.loop import LoadLoop
from requestlab.load.plan import Plan
from requestlab.worker.kernel import Alarm


def schedule(plan: Plan) -> list[int]:
    """Return when requests are due, in ns after the start: every 1/rate seconds, or after exponential times
    (Poisson)."""
    assert plan.rate is not None
    whole_ns = int((plan.warmup_s + plan.seconds) * 1e9)
    apart_ns = 1e9 / plan.rate
    if plan.arrivals == "constant":
        return [
            int(number * apart_ns) for number in range(int(whole_ns / apart_ns) + 1) if number * apart_ns < whole_ns
        ]
    chance = random.Random(plan.seed)
    gaps = (chance.expovariate(1 / apart_ns) for _ in iter(int, 1))
    return [int(due) for due in takewhile(lambda due: due < whole_ns, accumulate(gaps))]


class OpenLoop(LoadLoop):
    """Sends by a schedule, over connections that are free, new ones where none is, and at most `plan.connections` of
    them.

    Where all are in use, a request is held back until one is free: it is counted, and its time runs.
    """

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(plan, loop)
        self._due = schedule(plan)
        self._position = 0
        self._alarm = Alarm(loop, self._rings)
        self._numbers: dict[Connection, int] = {}
        self._free: list[Connection] = []
        self._under_way: dict[Connection, int] = {}
        self._held: deque[int] = deque()

    def begin(self) -> None:
        self._send_what_is_due()

    def _rings(self) -> None:
        self._alarm.heard()
        self._send_what_is_due()

    def _send_what_is_due(self) -> None:
        while self._position < len(self._due):
            planned = self.start + self._due[self._position]
            if planned > time.perf_counter_ns():
                self._alarm.set(planned)
                return
            self._position += 1
            self._send(planned)
        self._finish_if_over()

    def _send(self, planned: int) -> None:
        if self._free:
            connection = self._free.pop()
        elif len(self._numbers) < self.plan.connections:
            connection = self.connection()
            self._numbers[connection] = len(self._numbers)
        else:
            self._held.append(planned)
            self.held_back += 1
            return
        self._exchange(connection, planned)

    def _exchange(self, connection: Connection, planned: int) -> None:
        self._under_way[connection] = planned
        self.started += 1
        self.send(connection)

    def ended(self, connection: Connection) -> None:
        self.record(connection, self._numbers[connection], self._under_way.pop(connection))
        if connection.error and self._held:
            self.loop.call_soon(self._go_on, connection)  # a server that is gone refuses at once, each time in here
        else:
            self._go_on(connection)

    def _go_on(self, connection: Connection) -> None:
        if self._held:
            self._exchange(connection, self._held.popleft())
        else:
            self._free.append(connection)
            self._finish_if_over()

    def fail_overdue(self, before_ns: int) -> None:
        while self._held and self._held[0] < before_ns:
            self._record_unsent(self._held.popleft())
        for connection, planned in list(self._under_way.items()):
            if planned < before_ns and connection.busy:
                connection.fail_with_timeout()
        self._finish_if_over()

    def _record_unsent(self, planned: int) -> None:
        """A request that never had a connection is a row too: without `sent`, and without a user."""
        self.rows.extend((-1, planned, 0, 0, time.perf_counter_ns(), 0, TIMEOUT, 0, 0, 0, 0, 0, -1, 0, 0, 0))

    def _finish_if_over(self) -> None:
        if self._position == len(self._due) and not self._under_way and not self._held:
            now = time.perf_counter_ns()
            if now >= self.deadline:
                self.finish()
            else:  # the last one is answered before the time is over, which has to be seen to its end
                self.loop.call_later((self.deadline - now) / 1e9 + 0.001, self._finish_if_over)

    def end(self) -> None:
        self._alarm.close()
        for connection in self._numbers:
            connection.close()
