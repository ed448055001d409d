"""What all tests share: a mark on every process that a test starts, and a check that none is left."""

from __future__ import annotations

import errno
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from hypothesis import settings

from tests import postgres

MARK = "REQUESTLAB_TESTS"

settings.register_profile("lab", deadline=None, derandomize=bool(os.environ.get("CI")))
"""How long an example takes says more about the machine than about the code; and what CI tries is the same each time."""

settings.load_profile("lab")


def marked_processes() -> list[psutil.Process]:
    """Return the processes that carry this test session's mark, other than this one."""
    wanted = f"{MARK}={os.environ[MARK]}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                found.append(psutil.Process(int(entry.name)))
        except (OSError, psutil.NoSuchProcess):
            continue
    return [process for process in found if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def left_after(seconds: float, *, besides: Container[int] = ()) -> list[psutil.Process]:
    """Return the marked processes still there after `seconds`, at once when none is; but for the pids in `besides`."""
    deadline = time.monotonic() + seconds
    while (left := [p for p in marked_processes() if p.pid not in besides]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return left


def nobody_listens_on(port: int, *, within_s: float = 2.0) -> bool:
    """Return whether the port is given back in time: a process closes its sockets in its very last milliseconds."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED:
                return True
        time.sleep(0.005)
    return False


def seconds_to_interrupt(code: str, *, after_s: float, environment: Mapping[str, str] | None = None) -> float:
    """Run a script that prints a line when it begins and time.monotonic() when interrupted; return how long that took."""
    script = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert script.stdout is not None
    script.stdout.readline()
    time.sleep(after_s)
    before = time.monotonic()
    script.send_signal(signal.SIGINT)
    after = float(script.stdout.readline())
    script.wait(10)
    script.stdout.close()
    return after - before


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive() -> None:
    """A shell starts what it puts into the background deaf to SIGINT, and every process that a test starts would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _mark_on_every_process_of_the_tests() -> None:
    os.environ[MARK] = secrets.token_hex(8)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty database, in a cluster that all tests share and that ends with them."""
    folder = postgres.programs()
    if folder is None:
        why = "there is no PostgreSQL on this machine (on Debian and Ubuntu: apt install postgresql)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with postgres.cluster(folder) as url:
        yield url


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail any test that leaves a process behind, and end that process."""
    before = {process.pid for process in marked_processes()}
    yield
    left = left_after(2.0, besides=before)
    described = [f"{process.pid}: {' '.join(process.cmdline())}" for process in left if is_alive(process)]
    for process in left:
        process.kill()
    assert not described, f"left running: {described}"
