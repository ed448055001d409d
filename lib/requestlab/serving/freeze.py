"""Freezing a server for a moment, to see which load notices."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from requestlab.serving.server import Server
from requestlab.system import checks

MAX_MS = 5_000.0
MAX_AFTER_S = 60.0


@contextmanager
def freeze(server: Server, *, after: float = 1.0, ms: float = 300.0) -> Iterator[None]:
    """Halt every worker of a server for `ms`, `after` seconds from the beginning of the block, as a pause of the
    garbage collector or of the virtual machine does.

    >>> with freeze(server, after=1, ms=300):
    ...     run = measure(server, "/async/page/", open(rate=200))

    By SIGSTOP and SIGCONT. Raises ConfigurationError for times out of bounds. Resources: a thread; when the block is
    left, however that happens, the workers run.
    """
    checks.number("freeze(after)", after, 0, MAX_AFTER_S)
    checks.number("freeze(ms)", ms, 0, MAX_MS)
    checks.instance("freeze(server)", server, Server, "a server of serve()").check()
    over = threading.Event()
    thread = threading.Thread(target=_halt, args=(server.pids, after, ms / 1000, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _halt(pids: tuple[int, ...], after_s: float, halt_s: float, over: threading.Event) -> None:
    if over.wait(after_s):
        return
    try:
        _signal(pids, signal.SIGSTOP)
        over.wait(halt_s)
    finally:
        _signal(pids, signal.SIGCONT)


def _signal(pids: tuple[int, ...], number: int) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
