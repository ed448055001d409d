"""The closed loop: each user sends its next request in the turn in which its last one ended, or after a pause."""

from __future__ import annotations

import asyncio
import sys
import time

from requestlab.load.connection import Connection
from requestlab.load.loop import LoadLoop
from requestlab.load.plan import Plan

PAUSE_AFTER_ERROR_S = 0.1
"""What a user waits after a failure, so that a server that is gone does not fill the memory with rows."""

USERS_AT_ONCE = 1_000
JOINING_S = 0.02
"""So many users come in one turn, and the next so many seconds later: an accept queue holds some two thousand, and a
connection that finds it full tries again only after a second."""


class ClosedLoop(LoadLoop):
    """Drives `plan.users` connections."""

    def __init__(self, plan: Plan, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(plan, loop)
        assert plan.users is not None
        self._connections = [self.connection() for _ in range(plan.users)]
        self._number = {connection: user for user, connection in enumerate(self._connections)}
        self._planned = dict.fromkeys(self._connections, 0)
        self._left = dict.fromkeys(self._connections, plan.each if plan.each is not None else sys.maxsize)
        self._active = plan.users

    def begin(self) -> None:
        self._join(0)

    def _join(self, first: int) -> None:
        for connection in self._connections[first : first + USERS_AT_ONCE]:
            self._next(connection, connection.done)
        if first + USERS_AT_ONCE < len(self._connections):
            self.loop.call_later(JOINING_S, self._join, first + USERS_AT_ONCE)

    def _next(self, connection: Connection, planned: int | None = None) -> None:
        now = time.perf_counter_ns()
        if now >= self.deadline or not self._left[connection]:
            self._retire()
            return
        self._left[connection] -= 1
        self._planned[connection] = planned or now
        self.started += 1
        self.send(connection)

    def ended(self, connection: Connection) -> None:
        self.record(connection, self._number[connection], self._planned[connection])
        if connection.error:
            self.loop.call_later(PAUSE_AFTER_ERROR_S, self._next, connection)
        elif self.plan.pause_ms:
            due = connection.done + int(self.plan.pause_ms * 1e6)
            self.loop.call_later(self.plan.pause_ms / 1e3, self._next, connection, due)
        else:
            self._next(connection, connection.done)

    def fail_overdue(self, before_ns: int) -> None:
        for connection in self._connections:
            if connection.busy and self._planned[connection] < before_ns:
                connection.fail_with_timeout()

    def end(self) -> None:
        for connection in self._connections:
            connection.close()

    def _retire(self) -> None:
        self._active -= 1
        if not self._active:
            self.finish()
