"""Clients that are far away: a delay between client and server, as a network has it, on the loopback address.

The delay is of the way in each direction, so a round trip takes twice as long. A new connection costs one round trip,
and the request another: the server sees the connection and the request after three ways, and the client the answer
after the fourth. On a connection that is kept, the request takes one way and the answer another. What the server sends
is read when it comes, and handled one way later, in order; so is its end, and the client's end reaches the server one
way later.

This is a delay for each connection and each piece that is read, not for each packet: TCP's window never fills, and a
large body flows as fast as on the loopback address.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any

from requestlab.load.connection import Connection, kind_of
from requestlab.worker.kernel import Alarm


class Delays:
    """Calls functions at times in ns, exactly: the loop's own timers count in ms. Resources: one file descriptor, given
    back by `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, one_way_ms: float) -> None:
        self.one_way_ns = int(one_way_ms * 1e6)
        self._alarm = Alarm(loop, self._rings)
        self._order = itertools.count()
        self._due: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def later(self, ways: int, call: Callable[..., None], *arguments: Any) -> None:
        """Call it after so many ways; calls that are due at once come in the order in which they were asked for."""
        due = perf_counter_ns() + ways * self.one_way_ns
        heapq.heappush(self._due, (due, next(self._order), call, arguments))
        if self._due[0][0] == due:
            self._alarm.set(due)

    def close(self) -> None:
        self._alarm.close()

    def _rings(self) -> None:
        self._alarm.heard()
        while self._due and self._due[0][0] <= perf_counter_ns():
            _, _, call, arguments = heapq.heappop(self._due)
            call(*arguments)
        if self._due:
            self._alarm.set(self._due[0][0])


class DistantConnection(Connection):
    """A connection over the delay."""

    delays: Delays

    def exchange(self, request: bytes, *, bodiless: bool = False) -> None:
        if self.busy:
            raise RuntimeError("this connection is busy; use one connection for each request in flight")
        self.busy = True
        self._forget()
        self._bodiless = bodiless
        self._exchange_number = getattr(self, "_exchange_number", 0) + 1
        self.sent = perf_counter_ns()
        ways = 3 if self._socket is None else 1
        self.delays.later(ways, self._arrive, request, self._exchange_number)

    def _arrive(self, request: bytes, number: int) -> None:
        """The request comes to the server, and so does the connection if it is new."""
        if not self.busy or number != self._exchange_number:  # it was given up on the way
            return
        self._unsent = request
        try:
            if self._socket is None:
                self._open()
            self._send()
        except OSError as problem:
            self.delays.later(1, self._refused, kind_of(problem), number)

    def _refused(self, error: int, number: int) -> None:
        if self.busy and number == self._exchange_number:
            self._fail(error)

    def _receive(self, most: int = 65_536) -> int:
        assert self._socket is not None
        try:
            data = self._socket.recv(most)
        except BlockingIOError:
            return 0
        except OSError as problem:
            self._loop.remove_reader(self._socket)
            self.delays.later(1, self._handle, self._socket, None, kind_of(problem))
            return 0
        if not data:
            self._loop.remove_reader(self._socket)
        self.delays.later(1, self._handle, self._socket, data, 0)
        return len(data)

    def _handle(self, of: Any, data: bytes | None, error: int) -> None:
        """What the server sent comes to the client, unless it has closed meanwhile."""
        if of is not self._socket:
            return
        if data is None:
            self._fail(error)
        elif not data:
            self._closed_by_server()
        else:
            self._read(data)

    def close(self) -> None:
        if self._socket is None:
            return
        closing = self._socket
        self._loop.remove_reader(closing)
        if self._unsent:
            self._loop.remove_writer(closing)
            self._unsent = b""
        self._socket = self._parser = None
        self.delays.later(1, closing.close)
