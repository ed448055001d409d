"""The processes that tests start: they carry a mark in their environment, by which they are found."""

from __future__ import annotations

import os
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from requestlab.worker.kernel import PORTABLE

MARK = "REQUESTLAB_TESTS"
"""The variable that marks every process of this test session."""

SHARED = "-shared"
"""Ends the mark of a process that belongs to no single test: it may be left when a test ends, and ends with the
session."""


def marked_processes(*, shared: bool = False) -> list[psutil.Process]:
    """Return the processes with this session's mark, other than this one; the shared ones only where they are asked
    for."""
    mark = os.environ[MARK].removesuffix(SHARED)
    wanted = {mark, mark + SHARED} if shared else {mark}
    return [process for process in (_by_psutil if PORTABLE else _by_proc)(wanted) if is_alive(process)]


def _by_psutil(wanted: set[str]) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) in wanted:
                found.append(process)
    return found


def _by_proc(marks: set[str]) -> list[psutil.Process]:
    """As `_by_psutil`, ten times as fast: it is asked after each test."""
    wanted, found = {f"{MARK}={mark}".encode() for mark in marks}, []
    for name in os.listdir("/proc"):
        if not name.isdigit() or int(name) == os.getpid():
            continue
        try:
            with open(f"/proc/{name}/environ", "rb") as variables:
                if not wanted.isdisjoint(variables.read().split(b"\0")):
                    found.append(psutil.Process(int(name)))
        except (OSError, psutil.NoSuchProcess):
            continue
    return found


@contextmanager
def started_for_all() -> Iterator[None]:
    """Mark what is started in this block as shared."""
    own = os.environ[MARK]
    os.environ[MARK] = own.removesuffix(SHARED) + SHARED
    try:
        yield
    finally:
        os.environ[MARK] = own


def own_children() -> set[int]:
    """Return the pids of the processes that this one has started. Of one that was started a moment ago, Linux does not
    tell the environment yet, and so not its mark."""
    if PORTABLE:
        return {process.pid for process in psutil.Process().children()}
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # it has just ended
            found |= set(map(int, (thread / "children").read_text().split()))
    return found


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def left_after(seconds: float, *, besides: Container[int] = (), shared: bool = False) -> list[psutil.Process]:
    """Return the marked processes still there after `seconds`, at once when none is; but for the pids in `besides`."""
    deadline = time.monotonic() + seconds
    while (
        left := [p for p in marked_processes(shared=shared) if p.pid not in besides]
    ) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def end(left: list[psutil.Process]) -> list[str]:
    """Kill the processes; return which of them were still alive, in words."""
    described = [f"{process.pid}: {' '.join(process.cmdline())}" for process in left if is_alive(process)]
    for process in left:
        process.kill()
    return described
