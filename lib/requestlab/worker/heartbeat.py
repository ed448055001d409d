"""A callback that is due on the event loop every 2 ms: how late it runs is the loop's lag.

The kernel keeps the schedule, not the loop: `call_later` rounds to whole milliseconds, and under uvloop is early as
often as late. The kernel also counts the beats that were due while the loop was stuck, so that none is left out: a
probe that skipped them would count a block of 300 ms as one late beat among hundreds in time.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
import weakref
from collections import deque

from requestlab.worker.kernel import Alarm, Bell, Waiting
from requestlab.worker.recorder import Recorder
from requestlab.worker.sampler import PATIENCE_NS, Sample, Sampler
from requestlab.worker.schema import TICK
from requestlab.worker.stack import depth_of

EVERY_NS = 2_000_000
WRITE_NS = 20_000_000
"""What was seen while beats were late is written by the watchdog, which is woken for that at most once in so long."""

MAX_ROWS = 5_000
"""Rows written for one block, 10 s of missed beats; of a longer one the first beat and the last ones are kept."""


class Heartbeat:
    """The state that one loop's heartbeat and its watchdog share; times in ns of CLOCK_MONOTONIC.

    `due` is when the next beat is due, and `alarm` goes off when that is overdue. `late` has the beats that were so
    late that somebody may be named for it: when each was due, and what the loop's thread was seen in meanwhile.
    `rested` tells whether the loop was seen not to run at all: then nothing was late. A `silent` heartbeat writes
    nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: Recorder) -> None:
        self.loop = weakref.ref(loop)
        self.ident, self.thread = threading.get_ident(), threading.get_native_id()
        self.timer, self.alarm = Alarm(loop, self.beat, exact=False), Bell()
        self.sampler = Sampler(self.loop, self.alarm)
        self.late: deque[tuple[int, list[Sample]]] = deque(maxlen=100)
        self.rested = self.silent = False
        self._write = recorder.row
        self._cpu = self._wrote = 0
        self._waiting = Waiting(self.thread)
        self.due = time.perf_counter_ns() + EVERY_NS
        self.timer.set(self.due, EVERY_NS)
        self.alarm.set(self.due + PATIENCE_NS)

    def beat(self) -> None:
        """Write a row for each beat that was due. Some ten microseconds."""
        times = self.timer.heard()
        ran = time.perf_counter_ns()
        if not times or self.silent:
            return
        first = self.due
        last = first + (times - 1) * EVERY_NS
        if self.rested or not self.sampler.depth:
            self.sampler.depth, self.rested, first = depth_of(sys._getframe(1)), False, last
        cpu, waited = time.thread_time_ns(), self._waiting.so_far_ns()
        self._write_rows(range(first, last + 1, EVERY_NS), ran, cpu, waited)
        self.due = last + EVERY_NS
        late, computed = ran - first, cpu - self._cpu
        if late >= PATIENCE_NS and (self.sampler.saw_one_callback or computed < late // 2):
            self.late.append((first, self.sampler.samples))
        self.sampler.watch(self.due, ran, cpu, waited)
        if self.late and (computed < late // 2 or ran - self._wrote >= WRITE_NS):
            self._wrote = ran
            self.alarm.set(ran)  # wakes the watchdog: at once, where somebody else may have held the GIL
        self._cpu = cpu

    def _write_rows(self, beats: range, ran: int, cpu: int, waited: int) -> None:
        process_cpu = time.process_time_ns()
        for due in _kept(beats):
            self._write(TICK, thread=self.thread, begin=due, running=cpu, done=process_cpu, end=ran, value=waited)

    def close(self) -> None:
        """Give back what the kernel keeps; only once the loop is closed."""
        for each in (self.timer, self.alarm, self.sampler, self._waiting):
            each.close()


def _kept(beats: range) -> list[int]:
    """Return the beats for which rows are written: the first and the last ones, where there are too many."""
    return list(beats) if len(beats) <= MAX_ROWS else [beats[0], *beats[len(beats) - MAX_ROWS + 1 :]]
