"""A thread that looks, while the event loop's heartbeat is overdue, at what the loop's thread is doing.

It sleeps in the kernel, on an alarm that each beat puts off, and costs nothing while the loop is well. It sees only what it
gets the GIL for: while the loop itself computes in Python, that is 5 ms (the switch interval) after it woke. So it does not
give the GIL away before it has seen everything.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import TYPE_CHECKING

from requestlab.worker.recorder import Recorder
from requestlab.worker.schema import STACK
from requestlab.worker.timerfd import Peek

if TYPE_CHECKING:
    from requestlab.worker.heartbeat import Heartbeat

PATIENCE_NS = 2_000_000
"""How late a beat may be before the watchdog looks."""

AGAIN_NS = 5_000_000
LONGEST_NS = 500_000_000
"""It looks again after so long, or after an eighth of the time the beat is overdue, up to the longest."""

NAME = "requestlab-dog"
"""Its thread's name, for the kernel: at most 15 letters."""

COMPUTED_NS = 1_000_000
"""CPU time since the last look from which on another thread is taken for the one who held the GIL."""

IN_LOOP = "(event loop)"
"""The stack of a loop that is in none of its callbacks."""

UNKNOWN, IN_LOCK, IN_CALL = range(3)
"""What the kernel says of a thread: nothing or that it runs; it waits for a lock, such as the GIL; another system call."""

_FUTEX = {"x86_64": "202", "aarch64": "98", "riscv64": "98", "loongarch64": "98", "ppc64le": "221", "s390x": "238"}.get(
    os.uname().machine
)
_MAX_FRAMES = 60


class Watchdog(threading.Thread):
    """Looks after one heartbeat until its loop is closed; a daemon, in nobody's way when the process ends."""

    def __init__(self, heartbeat: Heartbeat, recorder: Recorder) -> None:
        super().__init__(name="requestlab-watchdog", daemon=True)
        self._heartbeat, self._recorder = heartbeat, recorder
        self._system_call = Peek(f"/proc/self/task/{heartbeat.thread}/syscall")
        self._spent: dict[int, int] = {}
        self._looked_at = 0

    def run(self) -> None:
        _name_thread(NAME)
        self._busiest(sys._current_frames())  # from here on CPU time is counted
        while self._watch():
            self._heartbeat.alarm.wait()
            self._look_back()
        self._system_call.close()
        self._heartbeat.close()

    def _watch(self) -> bool:
        """Look until the beat is no longer overdue; return False once the loop is closed."""
        heartbeat = self._heartbeat
        while (overdue := time.perf_counter_ns() - heartbeat.due) >= PATIENCE_NS:
            loop = heartbeat.loop()
            if loop is None or loop.is_closed():
                return False
            if loop.is_running():
                self._look(heartbeat.due)
            else:
                heartbeat.rested = True
            del loop
            time.sleep(min(max(AGAIN_NS, overdue // 8), LONGEST_NS) / 1e9)
        return True

    def _look_back(self) -> None:
        """Look at who computed, where the loop was late and got the GIL sooner than the watchdog, who woke for that."""
        due = self._heartbeat.missed
        if due > self._looked_at:
            self._looked_at = due
            self._write_other(due, self._busiest(sys._current_frames()))

    def _look(self, due: int) -> None:
        heartbeat = self._heartbeat
        self._looked_at = due
        frames = sys._current_frames()
        frame = frames.get(heartbeat.ident)
        if frame is None or not heartbeat.depth:
            return
        stack, state = described(frame, heartbeat.depth) or IN_LOOP, state_of(self._system_call)
        other = self._busiest(frames) if state != IN_CALL else None
        seen, name = (
            time.perf_counter_ns(),
            self._recorder.name(stack),
        )  # a new name is written to a file, without the GIL
        self._recorder.row(STACK, name=name, thread=heartbeat.thread, begin=due, end=seen, value=state)
        self._write_other(due, other)

    def _write_other(self, due: int, other: tuple[int, str] | None) -> None:
        if other is not None:
            thread, stack = other
            seen, name = time.perf_counter_ns(), self._recorder.name(stack)
            self._recorder.row(STACK, name=name, thread=thread, begin=due, end=seen, ran_on=self._heartbeat.thread)

    def _busiest(self, frames: dict[int, FrameType]) -> tuple[int, str] | None:
        """Return the other thread that has used most CPU time since the last look, and its stack; None if none used much."""
        spent = {}
        for thread in threading.enumerate():
            if thread.native_id and thread.ident in frames and thread.ident not in (self._heartbeat.ident, self.ident):
                spent[thread.native_id] = _cpu_ns(thread.native_id), frames[thread.ident]
        rose = {native: cpu - self._spent.get(native, 0) for native, (cpu, _) in spent.items()}
        self._spent = {native: cpu for native, (cpu, _) in spent.items()}
        most = max(rose, key=lambda native: rose[native], default=0)
        return (most, described(spent[most][1])) if most and rose[most] >= COMPUTED_NS else None


def described(frame: FrameType, depth: int = 0) -> str:
    """Return a stack as `file:line function` lines, innermost last, without its `depth` outermost frames."""
    frames = list(_outwards(frame))
    kept = frames[: max(len(frames) - depth, 0)][:_MAX_FRAMES]
    return "\n".join(f"{short_path(code.co_filename)}:{line} {code.co_qualname}" for code, line in reversed(kept))


def _outwards(frame: FrameType | None) -> Iterator[tuple[CodeType, int]]:
    while frame is not None:
        yield frame.f_code, frame.f_lineno or 0
        frame = frame.f_back


@functools.lru_cache(maxsize=4096)
def short_path(path: str) -> str:
    """Return a file's path from the longest entry of `sys.path` that leads there; of what is installed, `site-packages/…`, and
    of Python's own library, `lib/python3.…`, with that in front."""
    for mark in ("/site-packages/", "/dist-packages/"):
        _, found, inside = path.rpartition(mark)
        if found:
            return f"site-packages/{inside}"
    library = os.path.dirname(os.__file__)
    if path.startswith(f"{library}/"):
        return f"lib/{os.path.basename(library)}/{path[len(library) + 1 :]}"
    entries = [os.path.abspath(entry).rstrip("/") for entry in sys.path]
    longest = max((entry for entry in entries if path.startswith(f"{entry}/")), key=len, default="")
    return path[len(longest) + 1 :] if longest else path


def state_of(system_call: Peek) -> int:
    """Return what the kernel says that a thread waits for, given its file; see proc_pid_syscall(5)."""
    words = system_call.words()
    if not words or not words[0].isdigit():
        return UNKNOWN
    return IN_LOCK if words[0].decode() == _FUTEX else IN_CALL


def _cpu_ns(thread: int) -> int:
    """Return the CPU time of a thread, 0 if it is gone; see clock_getcpuclockid(3)."""
    try:
        return time.clock_gettime_ns((~thread << 3) | 6)
    except OSError:
        return 0


def _name_thread(name: str) -> None:
    """Name the calling thread for the kernel, so that tools outside the process can tell it from the application's."""
    try:
        with open("/proc/thread-self/comm", "w") as file:
            file.write(name)
    except OSError:
        pass
