"""The event loop's own thread notes where it is, while a beat is overdue, without waiting for anybody.

A watching thread needs the GIL to look, and gets it when a short computation is over: it would name what ran after
that. A signal comes to the loop's thread itself. Python runs the handler between two instructions of whatever the
thread computes, so what the handler sees is what runs at that moment. (faulthandler's handler, in C, could look between
instructions too. But that walks frames that are being made, and crashed Python 3.11 to 3.13 within seconds.)

A call of a function in C is not interrupted. The handler runs as soon as it has returned, and often can tell that the
caller was in it for all the time since the signal came.

Where the thread sleeps in a system call, the kernel restarts it (SA_RESTART), or Python does (PEP 475). The few that
neither restarts, such as poll(2) in a library, return EINTR, as they do for every other signal.
"""

from __future__ import annotations

import asyncio
import inspect
import signal
import sys
import threading
import weakref
from time import perf_counter_ns, thread_time_ns
from types import FrameType
from typing import NamedTuple

from requestlab.worker.kernel import SIGNAL, Bell, SignalTimer, Waiting
from requestlab.worker.schema import OWN
from requestlab.worker.stack import Stack, calls_of, frames_of

FIRST_NS = 500_000
"""How late a beat may be before the first sample."""

AGAIN_NS, SELDOM_NS = 1_000_000, 8_000_000
"""The next one follows after so long, or after an eighth of the time the beat is overdue: so long blocks are not made
longer. Where one sample after the other sees another callback, the loop is busy and not blocked: then the pause grows,
from sample to sample and from beat to beat, until beats are in time again."""

PATIENCE_NS = 2_000_000
"""How late a beat or a sample may be before the watchdog looks. While the loop's thread samples itself, it has the GIL,
and the watchdog would only wait for that."""

ASLEEP = 0.25
"""A thread that computed for a smaller share of the time since the last sample was mostly asleep. That is for the
watchdog to see. A signal would wake the thread, and make it wait for the GIL before it can sleep on: so the next one
follows after as much time as the beat is overdue."""

_RESUMABLE = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_ITERABLE_COROUTINE


class Sample(NamedTuple):
    """What a thread was in, and when; `state` is one of `schema.STATES`. By then it had used `cpu` ns of CPU time, and
    had been ready to run without a core for `waited` ns."""

    at: int
    cpu: int
    waited: int
    stack: Stack
    state: int


class Sampler:
    """Samples the thread that makes it while its event loop is late; only the main thread, since no other gets signals.

    `samples` are those taken since `watch()` was last called, `saw_one_callback` tells whether two of them saw the same
    one, not just many short ones, and `depth` is the number of Python frames below any callback of the loop. Each
    sample puts off the watchdog's `alarm`. Nothing is sampled where the project uses the signal itself. Resources: a
    timer of the kernel, until `close()`.
    """

    def __init__(self, loop: weakref.ref[asyncio.AbstractEventLoop], alarm: Bell) -> None:
        self.samples: list[Sample] = []
        self.saw_one_callback = False
        self.depth = self._callback = 0
        self._pause = FIRST_NS
        self._loop, self._alarm, self._due, self._next = loop, alarm, 0, 0
        self._last = Sample(0, 0, 0, (), OWN)
        self._waiting = Waiting(threading.get_native_id())
        self._timer: SignalTimer | None = None
        if threading.current_thread() is threading.main_thread() and _is_free():
            signal.signal(SIGNAL, self._sample)
            signal.siginterrupt(SIGNAL, False)
            self._timer = SignalTimer(threading.get_native_id())

    @property
    def sampled_at(self) -> int:
        """When the last sample was taken."""
        return self._last.at

    def watch(self, due: int, ran: int, cpu: int, waited: int) -> None:
        """Forget all samples; take new ones from shortly after `due` on, until this is called again. The other numbers
        are those of the beat that has just run."""
        if not self.samples:
            self._pause = max(self._pause // 2, FIRST_NS)
        self._due, self.samples, self.saw_one_callback, self._callback = due, [], False, 0
        self._last = Sample(ran, cpu, waited, (), OWN)
        self._sample_at(due + self._pause, due + self._pause + PATIENCE_NS)

    def close(self) -> None:
        self._waiting.close()
        if self._timer is not None:
            self._timer.close()

    def _sample_at(self, at: int, look_at: int) -> None:
        """Sample at that time; if nothing has happened by the other one, the watchdog looks."""
        self._next = at
        self._alarm.set(look_at)
        if self._timer is not None:
            self._timer.set(at)

    def _sample(self, _: int, frame: FrameType | None) -> None:
        now, asked, loop = perf_counter_ns(), self._next, asyncio._get_running_loop()
        if now < asked or frame is None or loop is None or loop is not self._loop():
            return
        frames = frames_of(frame, self.depth)
        sample = Sample(now, thread_time_ns(), self._waiting.so_far_ns(), calls_of(frames), OWN)
        before, self._callback = self._callback, id(frames[-1]) if frames else 0
        is_same = bool(frames) and before == self._callback
        self.saw_one_callback |= is_same
        self._pause = AGAIN_NS if is_same else min(2 * self._pause, SELDOM_NS)
        if _began_before_the_signal(frame):
            self.samples.append(_at_the_signal(asked, self._last, sample))
            self.saw_one_callback |= now - asked >= FIRST_NS
        self.samples.append(sample)
        was_asleep, overdue, self._last = _was_asleep(self._last, sample), now - self._due, sample
        if was_asleep:
            self._sample_at(now + max(SELDOM_NS, overdue), now + PATIENCE_NS)
        else:
            pause = max(self._pause, overdue // 8)
            self._sample_at(now + pause, now + pause + PATIENCE_NS)


def _was_asleep(before: Sample, after: Sample) -> bool:
    """Return whether the thread was asleep for most of the time between two samples, or waited for the GIL."""
    return after.cpu - before.cpu < ASLEEP * (after.at - before.at - (after.waited - before.waited))


def _at_the_signal(asked: int, before: Sample, after: Sample) -> Sample:
    """Return what a sample at the time of the signal would have been. Of the CPU time used since the sample `before` it
    counts as much as there can have been: the function that `after` saw is not to be held to account for that."""
    cpu = min(before.cpu + asked - before.at, after.cpu)
    return after._replace(at=asked, cpu=cpu, waited=before.waited)


def _is_free() -> bool:
    """Return whether nobody uses the signal, or only a sampler of another loop of this thread does."""
    handler = signal.getsignal(SIGNAL)
    return handler == signal.SIG_DFL or isinstance(getattr(handler, "__self__", None), Sampler)


def _began_before_the_signal(frame: FrameType) -> bool:
    """Return whether the function of `frame` had been called when the signal came, so has not ended since.

    Python looks for signals at the beginning of each function. One that is past its beginning, when the handler runs,
    began before the signal. Coroutines and generators are not told when they go on, nor are some functions of Python
    3.10.
    """
    code = frame.f_code
    if sys.version_info < (3, 11) or code.co_flags & _RESUMABLE:
        return False
    return frame.f_lineno != code.co_firstlineno  # that is the line of the instruction that looks for signals
