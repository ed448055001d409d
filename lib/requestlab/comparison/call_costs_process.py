"""The process of call_costs(): it calls a function that does nothing in every way, and times that.

A process of its own, on the cores of the servers: the loop, threads and modules of a notebook would add to every cost.
One line of JSON on its standard input is the plan (`loop`, `rounds`, `seconds`, `busy_threads`, `seed`, `cores`); the
end of that input ends the process. It answers one line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import random
import statistics
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from itertools import repeat
from time import perf_counter_ns
from typing import Any

from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async

from requestlab.system import clocks
from requestlab.worker import kernel

GROUP_NS = 20_000
"""What takes less than this is timed several calls at once: reading the clock twice takes about a tenth of a
microsecond."""

WARM_UP_S = 0.01
CALLS_IN_A_ROW = 100


class Stopwatch:
    """Times one group of calls after the other until a slot of time is over, but at least one; `taken` are their ns."""

    def __init__(self, slot_s: float, group: int = 1) -> None:
        self._slot_ns = round(slot_s * 1e9)
        self._group = group
        self.taken: list[int] = []

    @property
    def median_ns(self) -> float:
        """The median over the groups, for one call."""
        return statistics.median(self.taken) / self._group

    @property
    def mean_ns(self) -> float:
        """The mean over the calls, which shows rare long waits."""
        return statistics.fmean(self.taken) / self._group

    def time(self, call: Callable[[], object]) -> None:
        for group in self._groups():
            for _ in group:
                call()

    async def time_async(self, call: Callable[[], Awaitable[object]]) -> None:
        for group in self._groups():
            for _ in group:
                await call()

    def _groups(self) -> Iterator[Iterator[None]]:
        """Yield something to loop over for each group of calls, and note how long each of those loops takes."""
        now = perf_counter_ns()
        end = now + self._slot_ns
        while now < end or not self.taken:
            begin = perf_counter_ns()
            yield repeat(None, self._group)
            now = perf_counter_ns()
            self.taken.append(now - begin)


Batch = Callable[[asyncio.Runner, Stopwatch], None]


@dataclass(frozen=True)
class Way:
    """One way to call a function; `batch` does so again and again under a stopwatch, where such calls are made."""

    name: str
    what: str
    batch: Batch


def nothing() -> None:
    """What is called."""


async def nothing_async() -> None:
    """What is awaited."""


def in_plain_code(call: Callable[[], object]) -> Batch:
    """Call it on the main thread, where no event loop runs."""
    return lambda runner, watch: watch.time(call)


def on_the_loop(call: Callable[[], Awaitable[object]]) -> Batch:
    """Await it on the event loop."""
    return lambda runner, watch: _run(runner, watch.time_async(call))


def in_a_context(call: Callable[[], Awaitable[object]]) -> Batch:
    """Await it on the event loop, within one ThreadSensitiveContext whose thread is there already."""

    async def within(watch: Stopwatch) -> None:
        async with ThreadSensitiveContext():
            await call()
            await watch.time_async(call)

    return lambda runner, watch: _run(runner, within(watch))


def in_a_sync_view(call: Callable[[], object]) -> Batch:
    """Call it in a thread that sync_to_async uses, as a sync view under ASGI does: a loop is there to go back to."""

    async def within(watch: Stopwatch) -> None:
        async with ThreadSensitiveContext():
            await sync_to_async(watch.time)(call)

    return lambda runner, watch: _run(runner, within(watch))


def _run(runner: asyncio.Runner, batch: Coroutine[Any, Any, None]) -> None:
    runner.run(batch, context=copy_context())  # by itself, a Runner keeps one context for all that it runs


_to_thread = sync_to_async(nothing)
_to_pool = sync_to_async(nothing, thread_sensitive=False)


def _start_a_thread() -> None:
    thread = threading.Thread(target=nothing)
    thread.start()
    thread.join()


def _run_in_executor() -> Awaitable[None]:
    return asyncio.get_running_loop().run_in_executor(None, nothing)


async def _in_a_fresh_context() -> None:
    async with ThreadSensitiveContext():
        await _to_thread()


async def _back_to_thread() -> None:
    await _to_thread()


WAYS = (
    Way("call", "nothing(), a plain call", in_plain_code(nothing)),
    Way("await", "await nothing(), a coroutine", on_the_loop(nothing_async)),
    Way("loop turn", "await asyncio.sleep(0): the loop goes round once", on_the_loop(lambda: asyncio.sleep(0))),
    Way("thread", "a thread is started and joined", in_plain_code(_start_a_thread)),
    Way("run_in_executor", "loop.run_in_executor(None, nothing), the pool's threads there", on_the_loop(_run_in_executor)),
    Way("to_thread", "asyncio.to_thread(nothing), the pool's threads there", on_the_loop(lambda: asyncio.to_thread(nothing))),
    Way("sync_to_async pool", "sync_to_async(nothing, thread_sensitive=False), the pool's threads there", on_the_loop(_to_pool)),
    Way("sync_to_async shared", "sync_to_async(nothing) outside any context: the one thread of the process", on_the_loop(_to_thread)),
    Way("sync_to_async warm", "sync_to_async(nothing) in a ThreadSensitiveContext, its thread there", in_a_context(_to_thread)),
    Way(
        "sync_to_async cold",
        "a ThreadSensitiveContext entered, sync_to_async(nothing) called once, the context left: once per ASGI request",
        on_the_loop(_in_a_fresh_context),
    ),
    Way(
        "async_to_sync warm",
        "async_to_sync(nothing) in a thread of sync_to_async: back to the running loop",
        in_a_sync_view(async_to_sync(nothing_async)),
    ),
    Way(
        "async_to_sync nested",
        "the same, and from the loop back to that thread by sync_to_async(nothing): there and back twice",
        in_a_sync_view(async_to_sync(_back_to_thread)),
    ),
    Way(
        "async_to_sync cold",
        "async_to_sync(nothing) in plain sync code: a new loop in a new thread, each time",
        in_plain_code(async_to_sync(nothing_async)),
    ),
)  # fmt: skip


def main() -> None:
    """Read the plan, carry it out, write the answer."""
    kernel.die_with_parent()
    plan = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_owner, daemon=True).start()
    kernel.run_on(plan["cores"])
    with asyncio.Runner(loop_factory=_factory(plan["loop"])) as runner:
        found = {"threads": count_threads(runner), "loop_class": runner.run(_class_of_loop())}
        found["what"] = {way.name: way.what for way in WAYS}
        groups = {way.name: _group_of(way, runner) for way in WAYS}
        with computing(plan["busy_threads"]):
            found |= measure(plan, runner, groups)
    print(json.dumps(found), flush=True)


def _end_with_owner() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing more is sent: what arrives is the end
    os._exit(1)


def _factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.SelectorEventLoop


async def _class_of_loop() -> str:
    loop = type(asyncio.get_running_loop())
    return f"{loop.__module__.partition('.')[0]}.{loop.__qualname__}"


def count_threads(runner: asyncio.Runner) -> dict[str, dict[str, int]]:
    """Return in how many different threads calls ran that were made one after the other, from a cold start."""

    async def threads_of(thread_sensitive: bool) -> dict[str, int]:
        threads: list[threading.Thread] = []  # as objects: the system gives numbers of ended threads out again
        note = sync_to_async(lambda: threads.append(threading.current_thread()), thread_sensitive=thread_sensitive)
        async with ThreadSensitiveContext():
            for _ in range(CALLS_IN_A_ROW):
                await note()
        return {"calls": len(threads), "distinct": len(set(threads))}

    return {
        f"thread_sensitive={sensitive}": runner.run(threads_of(sensitive), context=copy_context())
        for sensitive in (False, True)
    }


@contextmanager
def computing(count: int) -> Iterator[None]:
    """Let so many threads compute in Python during the block: each of them wants the GIL all the time."""
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            for number in range(1_000):
                number * number

    threads = [threading.Thread(target=compute, daemon=True) for _ in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def measure(plan: dict[str, Any], runner: asyncio.Runner, groups: dict[str, int]) -> dict[str, Any]:
    """Measure every way once a round, in random order; slots are as long as `seconds` allow.

    `groups` says how many calls of each way are timed at once. There are fewer rounds than wanted where single calls
    take so long that more would not fit; the first is always whole.
    """
    chance = random.Random(plan["seed"])
    deadline = time.monotonic() + plan["seconds"]
    found: dict[str, list[dict[str, float]]] = {"medians_ns": [], "means_ns": [], "outside": []}
    last_s = 0.0
    for left in range(plan["rounds"], 0, -1):
        began, before = time.monotonic(), used_by_others(plan["cores"])
        if last_s and deadline - began < last_s / 2:
            break
        watches = {way.name: Stopwatch((deadline - began) / left / len(WAYS), groups[way.name]) for way in WAYS}
        for way in chance.sample(WAYS, len(WAYS)):
            way.batch(runner, watches[way.name])
        last_s = time.monotonic() - began
        found["medians_ns"].append({name: watch.median_ns for name, watch in watches.items()})
        found["means_ns"].append({name: watch.mean_ns for name, watch in watches.items()})
        found["outside"].append(shares(before, used_by_others(plan["cores"])))
    return found


def _group_of(way: Way, runner: asyncio.Runner) -> int:
    """Warm up threads and caches, and return how many calls are to be timed at once."""
    watch = Stopwatch(WARM_UP_S)
    way.batch(runner, watch)
    return math.ceil(GROUP_NS / watch.median_ns)


def used_by_others(cores: list[int]) -> dict[str, int]:
    """Return what the system has counted until now, in ns: the cores' `time`; what others took of it, namely other
    machines (`steal`) and other processes (`foreign`); and how long a CPU limit has halted this process
    (`throttled`)."""
    use = clocks.use_of_cores(cores).values()
    busy, steal = (sum(core[what] for core in use) for what in ("busy", "steal"))
    foreign, throttled = busy - time.process_time_ns(), clocks.throttled_ns() or 0
    return {"time": perf_counter_ns() * len(cores), "steal": steal, "foreign": foreign, "throttled": throttled}


def shares(before: dict[str, int], after: dict[str, int]) -> dict[str, float]:
    """Return the shares of the cores' time that went to others meanwhile."""
    spent = {name: max(0, after[name] - before[name]) for name in before}
    elapsed = spent.pop("time")
    return {name: ns / elapsed for name, ns in spent.items()}


if __name__ == "__main__":
    main()
