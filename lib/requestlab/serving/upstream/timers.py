"""Timers that are late by microseconds and never early: event loops round theirs to whole milliseconds."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable

from requestlab.worker.timerfd import Alarm


class Timers:
    """Many timers on one alarm of the kernel."""

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
