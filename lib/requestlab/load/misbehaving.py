"""Clients that misbehave, as the load process drives them: see `loads` for what each does.

They have no timeout, and leave when the time is over. What became of each is a row: answered, closed by the server,
left, or an error.
"""

from __future__ import annotations

import asyncio
import math
import socket
import time

from requestlab.load.closed_loop import PAUSE_AFTER_ERROR_S
from requestlab.load.connection import CLOSED, CUT_SHORT, NO_ANSWER, Connection
from requestlab.load.loop import LoadLoop
from requestlab.load.plan import Plan

TICK_S = 0.01
"""How often each client is looked at: a slow one sends that often, one that leaves does so at such a moment."""

PIECE = 65_536
"""A slow reader asks the system for no more at once, however much is due."""


class Misbehaver(Connection):
    """A client. If the server ends it, that is no failure."""

    comes_again = True
    in_a_tick = 1
    """How many bytes become due between two looks."""

    def begin(self, request: bytes, size: int) -> None:
        """Begin one exchange; `size` bytes of body belong to it."""
        self.exchange(request)

    def go_on(self, due: int) -> None:
        """Send or read what is due: so many bytes since the beginning."""

    def _fail(self, error: int) -> None:
        super()._fail(CLOSED if error in (NO_ANSWER, CUT_SHORT) else error)

    def _new_socket(self) -> socket.socket:
        """Without TCP_NODELAY, Nagle's algorithm would hold a second piece back for 40 ms, until the first is
        acknowledged."""
        new = super()._new_socket()
        new.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return new


class Silent(Misbehaver):
    """Connects, and sends nothing."""

    def begin(self, request: bytes, size: int) -> None:
        self.exchange(b"")


class SlowBody(Misbehaver):
    """Sends the body piece by piece."""

    def begin(self, request: bytes, size: int) -> None:
        self._begin(request, b"." * size)

    def _begin(self, at_once: bytes, slowly: bytes) -> None:
        self._slowly, self._gone = slowly, 0
        self.exchange(at_once)

    def _complete(self, keep: bool) -> None:
        super()._complete(keep and self._gone == len(self._slowly))  # else: answered before all was sent

    def go_on(self, due: int) -> None:
        if self._unsent:  # the server does not read
            return
        self._unsent = self._slowly[self._gone : due]
        self._gone += len(self._unsent)
        if self._unsent:
            self._writable()


class SlowHead(SlowBody):
    """Sends all of the request piece by piece."""

    def begin(self, request: bytes, size: int) -> None:
        self._begin(b"", request)


class SlowReader(Misbehaver):
    """Reads no more than is due, into a small buffer; the time before the answer does not count."""

    def begin(self, request: bytes, size: int) -> None:
        self._taken = 0
        self.exchange(request)

    def go_on(self, due: int) -> None:
        if not self.first_byte:
            self._taken = max(0, due - self.in_a_tick)
        while self.busy and self._taken < due:
            got = self._receive(min(PIECE, due - self._taken))
            if not got:
                return
            self._taken += got

    def _new_socket(self) -> socket.socket:
        reading = super()._new_socket()
        reading.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.in_a_tick)  # the system doubles it
        return reading

    def _watch(self, connecting: socket.socket) -> None:
        """Nobody says when there is something to read."""


class Idle(Misbehaver):
    """Stays after the answer until somebody closes."""

    comes_again = False

    def _complete(self, keep: bool) -> None:
        if not keep:
            self._fail(CLOSED)

    def _closed_by_server(self) -> None:
        self._fail(CLOSED)


KINDS: dict[str, type[Misbehaver]] = {
    "silent": Silent,
    "slow head": SlowHead,
    "slow body": SlowBody,
    "slow reader": SlowReader,
    "idle": Idle,
    "disconnecting": Misbehaver,
}


class MisbehavingLoop(LoadLoop):
    """Drives `plan.connections` clients that misbehave, each with one exchange at a time."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(plan, loop)
        kind = KINDS[plan.misbehaving]
        given = (loop, plan.family, plan.address, self.ended, bool(plan.expect))
        self._clients = {kind(*given): number for number in range(plan.connections)}
        self._planned = dict.fromkeys(self._clients, 0)
        self._next_ns = dict.fromkeys(self._clients, 0.0)
        self._stay_ns = plan.after_ms * 1e6
        self._kind = kind
        for client in self._clients:
            client.in_a_tick = max(1, int(plan.per_s * TICK_S))

    def begin(self) -> None:
        """Look at each client again and again until the time is over; then they leave."""
        now = time.perf_counter_ns()
        if now >= self.deadline:
            self._leave()
            return
        for client in self._clients:
            self._look_at(client, now)
        self.loop.call_later(min(TICK_S, (self.deadline - now) / 1e9), self.begin)

    def _look_at(self, client: Misbehaver, now: int) -> None:
        if client.busy:
            client.go_on(int((now - client.sent) / 1e9 * self.plan.per_s))
        if client.busy and self._stay_ns and now >= self._planned[client] + self._stay_ns:
            client.leave()
        if not client.busy and now >= self._next_ns[client]:
            self._planned[client] = now
            self.started += 1
            client.begin(self.request, self.plan.size)
            if client.busy and self.plan.size <= self.plan.per_s * TICK_S:  # all is due before anybody looks again
                client.go_on(self.plan.size)

    def _leave(self) -> None:
        for client in self._clients:
            if client.busy:
                client.leave()
        self.finish()

    def ended(self, connection: Connection) -> None:
        assert isinstance(connection, Misbehaver)
        planned = self._planned[connection]
        self.record(connection, self._clients[connection], planned)
        pause_ns = PAUSE_AFTER_ERROR_S * 1e9 if connection.error and not self._stay_ns else 0
        due = max(connection.done + pause_ns, planned + self._stay_ns)
        self._next_ns[connection] = due if self._kind.comes_again else math.inf

    def fail_overdue(self, before_ns: int) -> None:
        """They have no timeout."""

    def end(self) -> None:
        for client in self._clients:
            client.close()
