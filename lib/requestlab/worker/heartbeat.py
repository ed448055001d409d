"""A callback that is due on the event loop every 2 ms: how late it runs is the loop's lag.

The kernel keeps the schedule, not the loop: `call_later` rounds to whole milliseconds, and under uvloop is early as often as
late. The kernel also counts the beats that were due while the loop was stuck, so that none is left out: a probe that skipped
them would count a block of 300 ms as one late beat among hundreds in time.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
import weakref

from requestlab.worker.recorder import Recorder
from requestlab.worker.schema import TICK
from requestlab.worker.timerfd import Timer, Waiting
from requestlab.worker.watchdog import PATIENCE_NS, Watchdog

EVERY_NS = 2_000_000
MAX_ROWS = 5_000
"""Rows written for one block, 10 s of missed beats; of a longer one the first beat and the last ones are kept."""

_beating: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Heartbeat] = weakref.WeakKeyDictionary()


def start(recorder: Recorder) -> None:
    """Have the running event loop beat, and a watchdog look after it; nothing happens where it does already.

    Resources: one thread, two timers and a file descriptor, given back when the loop is closed. The loop may be stopped,
    run again and closed at any time. A forked child does not write.
    """
    loop = asyncio.get_running_loop()
    if loop in _beating:
        return
    if not _beating:
        os.register_at_fork(after_in_child=_forget)
    _beating[loop] = heartbeat = Heartbeat(loop, recorder)
    loop.add_reader(heartbeat.timer.fd, heartbeat.beat)
    Watchdog(heartbeat, recorder).start()


def _forget() -> None:
    for heartbeat in list(_beating.values()):
        heartbeat.silent = True


class Heartbeat:
    """The state that one loop's heartbeat and its watchdog share; times in ns of CLOCK_MONOTONIC.

    `due` is when the next beat is due, `alarm` goes off when that is overdue, `missed` is when the last one was due for which it
    did, `depth` the number of Python frames below any
    callback of the loop, `rested` whether the loop was seen not to run at all: then nothing was late.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, recorder: Recorder) -> None:
        self.loop = weakref.ref(loop)
        self.ident, self.thread = threading.get_ident(), threading.get_native_id()
        self.timer, self.alarm = Timer(), Timer(blocking=True)
        self.missed, self.depth, self.rested, self.silent = 0, 0, False, False
        self._write = recorder.row
        self._waiting = Waiting()
        self.due = time.perf_counter_ns() + EVERY_NS
        self.timer.set(self.due, EVERY_NS)
        self.alarm.set(self.due + PATIENCE_NS)

    def beat(self) -> None:
        """Write a row for each beat that was due. Some five microseconds."""
        times = self.timer.times()
        ran = time.perf_counter_ns()
        if not times or self.silent:
            return
        last = self.due + (times - 1) * EVERY_NS
        if self.rested or not self.depth:
            self.depth, self.rested, self.due = _depth(), False, last
        cpu, process_cpu, waited = time.thread_time_ns(), time.process_time_ns(), self._waiting.so_far_ns()
        first = start = self.due
        if last - first >= MAX_ROWS * EVERY_NS:
            self._row(first, cpu, process_cpu, ran, waited)
            start = last - (MAX_ROWS - 2) * EVERY_NS
        for due in range(start, last + 1, EVERY_NS):
            self._row(due, cpu, process_cpu, ran, waited)
        if ran - first >= PATIENCE_NS:
            self.missed = first
        self.due = last + EVERY_NS
        self.alarm.set(self.due + PATIENCE_NS)

    def _row(self, due: int, cpu: int, process_cpu: int, ran: int, waited: int) -> None:
        self._write(TICK, thread=self.thread, begin=due, running=cpu, done=process_cpu, end=ran, ran_on=0, value=waited)

    def close(self) -> None:
        """Give back what the kernel keeps; only once the loop is closed."""
        self.timer.close()
        self.alarm.close()
        self._waiting.close()


def _depth() -> int:
    """Return how many frames lie below the caller, a callback of the loop: the loop's own and what called it."""
    frame, depth = sys._getframe(1).f_back, 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    return depth
