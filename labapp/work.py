"""Work of a known size: CPU time, or none at all."""

import time

ADDITIONS_PER_LOOK = 1_000


def burn_cpu(ms: float) -> None:
    """Compute until this thread has used `ms` of CPU time; time spent waiting for a core or for the GIL is not counted.

    Ends at most one look at the clock late, some ten microseconds.
    """
    end_ns = time.thread_time_ns() + ms * 1_000_000
    while time.thread_time_ns() < end_ns:
        # Without work between looks, most of the CPU time would go to the kernel's clock and not to Python.
        sum(range(ADDITIONS_PER_LOOK))


def do_nothing() -> None:
    """Nothing: whatever a call of this costs is the cost of the call."""


async def do_nothing_async() -> None:
    """The same as a coroutine."""
