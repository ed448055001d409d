"""An ASGI application that blocks its event loop on request and tells for how long it truly did, and a server that runs
it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

SWITCH_INTERVAL_MS = "REQUESTLAB_TESTS_SWITCH_INTERVAL_MS"
DIRECTORY = "REQUESTLAB_TESTS_DIRECTORY"


class Truth(NamedTuple):
    """When a block began and ended, in ns of CLOCK_MONOTONIC, and for how long the longest of the functions around it
    ran: where the system stole the core from it, that is longer than it should be."""

    begin: int
    end: int
    innocent_ns: int


def sleep_here(ms: float) -> None:
    time.sleep(ms / 1000)


def burn_here(ms: float) -> None:
    end = time.thread_time() + ms / 1000
    while time.thread_time() < end:
        sum(range(100))


def hog_the_gil(ms: float) -> None:
    threading.Thread(target=compute_until, args=(time.perf_counter() + ms / 1000,), daemon=True).start()


def compute_until(end: float) -> None:
    while time.perf_counter() < end:
        sum(range(100))


def sleep_beside_a_hog(ms: float) -> None:
    hog_the_gil(2 * ms)
    sleep_here(ms)


def wait_for_a_lock(ms: float) -> None:
    lock = threading.Lock()
    lock.acquire()
    threading.Timer(ms / 1000, lock.release).start()
    lock.acquire()


def innocent_before() -> int:
    return burn_for_a_moment()


def innocent_after() -> int:
    return burn_for_a_moment()


def burn_for_a_moment() -> int:
    """Compute so briefly that nobody should be blamed for it; return for how many ns it truly lasted."""
    begin, end = time.perf_counter_ns(), time.thread_time() + 0.0003
    while time.thread_time() < end:
        sum(range(100))
    return time.perf_counter_ns() - begin


def call_c_that_computes(ms: float) -> None:
    """Nothing of Python's runs meanwhile, so nobody can look."""
    zeros, end = [0] * 500_000, time.thread_time() + ms / 1000
    while time.thread_time() < end:
        zeros.count(1)


def start_threads_beside_a_hog(ms: float) -> None:
    """Each start and each end of a thread waits until that has had the GIL."""
    hog_the_gil(ms)
    end = time.perf_counter() + ms / 1000
    while time.perf_counter() < end:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()


BLOCKS = (
    sleep_here,
    burn_here,
    hog_the_gil,
    sleep_beside_a_hog,
    wait_for_a_lock,
    call_c_that_computes,
    start_threads_beside_a_hog,
)
WAYS = {f"/{way.__name__}": way for way in BLOCKS}


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer `/way?ms=…` with a `Truth`, measured around it."""
    ms = float(parse_qs(scope["query_string"].decode()).get("ms", ["0"])[0])
    way = WAYS.get(scope["path"])
    begin, innocent = time.perf_counter_ns(), 0
    if way is not None:
        innocent = innocent_before()
        way(ms)
        innocent = max(innocent, innocent_after())
    body = json.dumps(Truth(begin, time.perf_counter_ns(), innocent)).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


def probed() -> Any:
    """Return the application as the lab serves it; uvicorn calls this in the server's process."""
    from requestlab.worker.probe import Probe

    sys.setswitchinterval(float(os.environ[SWITCH_INTERVAL_MS]) / 1000)
    return Probe(os.environ[DIRECTORY], 1.0).wrap(application, "asgi")


class BlockingServer:
    """`pid`, and the directory of its probe."""

    def __init__(self, pid: int, url: str, directory: Path) -> None:
        self.pid, self.directory, self._url = pid, directory, url

    def ask(self, path: str) -> Truth:
        """Have the loop blocked, and return when it truly was."""
        with urllib.request.urlopen(f"{self._url}{path}", timeout=10) as answer:
            return Truth(*json.load(answer))


@contextmanager
def blocking_server(loop: str, directory: Path, switch_interval_ms: float = 5) -> Iterator[BlockingServer]:
    """Run the application under uvicorn, in a process of its own."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        options = f"--loop {loop} --interface asgi3 --fd {listener.fileno()} --lifespan off --log-level warning"
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "--factory", "tests.blocking_app:probed", *options.split()],
            pass_fds=[listener.fileno()],
            env=os.environ | {DIRECTORY: str(directory), SWITCH_INTERVAL_MS: str(switch_interval_ms)},
            cwd=Path(__file__).parent.parent,
        )
        server = BlockingServer(process.pid, f"http://127.0.0.1:{listener.getsockname()[1]}", directory)
        try:
            server.ask("/")
            time.sleep(0.1)
            yield server
        finally:
            process.terminate()
            process.wait(10)
