"""A thread that looks, while the event loop's heartbeat is overdue, at what the loop's thread and the others are doing.

It sleeps in the kernel, on an alarm that each beat puts off, and costs nothing while the loop is well. It sees only
what it gets the GIL for: while the loop sleeps in a call, at once; while the loop itself computes, 5 ms (the switch
interval) after it woke, so what the loop computes is for the `sampler` to see. It does not give the GIL away before it
has seen everything.
"""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType
from typing import NamedTuple

from requestlab.worker.heartbeat import Heartbeat
from requestlab.worker.kernel import PORTABLE, State, Waiting, name_thread, thread_cpu_ns
from requestlab.worker.recorder import Recorder
from requestlab.worker.sampler import PATIENCE_NS, Sample
from requestlab.worker.schema import IN_CALL, STACK
from requestlab.worker.stack import described, stack_of

IN_CALL_AGAIN_NS, AGAIN_NS = 1_000_000, 5_000_000
LONGEST_NS = 500_000_000
"""It looks again after so long, sooner where the loop sleeps in a call and so leaves the GIL to others; or after a
quarter of the time the beat is overdue, up to the longest."""

NAME = "requestlab-dog"
"""Its thread's name, for the kernel: at most 15 letters."""

COMPUTED_NS = 1_000_000
"""CPU time since the last look from which on another thread is taken for the one who held the GIL."""


class BusyThread(NamedTuple):
    """A thread that computed: its native id, and what it was in when it was looked at."""

    thread: int
    sample: Sample


class Watchdog(threading.Thread):
    """Looks after one heartbeat until its loop is closed; a daemon, in nobody's way when the process ends."""

    def __init__(self, heartbeat: Heartbeat, recorder: Recorder) -> None:
        super().__init__(name="requestlab-watchdog", daemon=True)
        self._heartbeat, self._recorder = heartbeat, recorder
        self._state, self._waiting = State(heartbeat.thread), Waiting(heartbeat.thread)
        self._spent: dict[int, int] = {}
        self._looked_at = 0

    def run(self) -> None:
        name_thread(NAME)
        self._busiest(sys._current_frames())  # from here on CPU time is counted
        while self._loop_exists():
            self._heartbeat.alarm.set(self._watch())
            self._write_late_beats()  # a beat that is late from here on wakes the watchdog again
            self._heartbeat.alarm.wait()
        self._write_late_beats()
        for each in (self._state, self._waiting, self._heartbeat):
            each.close()

    def _loop_exists(self) -> bool:
        loop = self._heartbeat.loop()
        return loop is not None and not loop.is_closed()

    def _watch(self) -> int:
        """Look, if a beat is overdue; return when to look again."""
        due, now = self._heartbeat.due, time.perf_counter_ns()
        overdue, unseen_since = now - due, max(due, self._heartbeat.sampler.sampled_at)
        if now < unseen_since + PATIENCE_NS:
            return unseen_since + PATIENCE_NS
        loop, state = self._heartbeat.loop(), self._state.now()
        if loop is not None and loop.is_running():
            self._look(due, state)
        else:
            self._heartbeat.rested = True
        pause = IN_CALL_AGAIN_NS if state == IN_CALL else AGAIN_NS
        return time.perf_counter_ns() + min(max(pause, overdue // 4), LONGEST_NS)

    def _look(self, due: int, state: int) -> None:
        sampler, seen = self._heartbeat.sampler, time.perf_counter_ns()
        self._looked_at = due
        frames = sys._current_frames()
        frame = frames.get(self._heartbeat.ident)
        if frame is None or not sampler.depth or PORTABLE:  # then its thread sees itself, or nobody does
            return
        cpu, waited = thread_cpu_ns(self._heartbeat.thread), self._waiting.so_far_ns()
        sample = Sample(seen, cpu, waited, stack_of(frame, sampler.depth), state)
        sampler.samples.append(sample)
        if state != IN_CALL:
            self._write_busy(due, self._busiest(frames))

    def _write_late_beats(self) -> None:
        """Write what was seen of the loop's thread while beats were overdue. Where the loop got the GIL sooner than the
        watchdog, who woke for that, look at who computed."""
        while self._heartbeat.late:
            due, samples = self._heartbeat.late.popleft()
            for sample in samples:
                self._write(due, self._heartbeat.thread, sample)
            if due > self._looked_at:
                self._looked_at = due
                self._write_busy(due, self._busiest(sys._current_frames()))

    def _write_busy(self, due: int, busy: BusyThread | None) -> None:
        if busy is not None:
            thread, sample = busy
            self._write(due, thread, sample, ran_on=self._heartbeat.thread)

    def _write(self, due: int, thread: int, sample: Sample, ran_on: int = 0) -> None:
        at, cpu, waited, stack, state = sample
        name, stamps = self._recorder.name(described(stack)), {"running": cpu, "done": waited, "end": at}
        self._recorder.row(STACK, name=name, thread=thread, begin=due, ran_on=ran_on, value=state, **stamps)

    def _busiest(self, frames: dict[int, FrameType]) -> BusyThread | None:
        """Return the other thread that has used most CPU time since the last look; None if none used much."""
        spent = {}
        for thread in threading.enumerate():
            if thread.native_id and thread.ident in frames and thread.ident not in (self._heartbeat.ident, self.ident):
                spent[thread.native_id] = thread_cpu_ns(thread.native_id), frames[thread.ident]
        rose = {native: cpu - self._spent.get(native, 0) for native, (cpu, _) in spent.items()}
        self._spent = {native: cpu for native, (cpu, _) in spent.items()}
        most = max(rose, key=lambda native: rose[native], default=0)
        if not most or rose[most] < COMPUTED_NS:
            return None
        asked = State(most)
        state = asked.now()
        asked.close()
        cpu, frame = spent[most]
        return BusyThread(most, Sample(time.perf_counter_ns(), cpu, 0, stack_of(frame), state))
