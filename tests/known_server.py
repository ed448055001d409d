"""A server whose truth is known: `python -m tests.known_server BEHAVIOUR [NUMBER …]`.

It is a process of its own, so that the test that looks at it does not disturb it. It says its port on its standard
output, serves each connection in a thread of its own until its standard input ends, and then says in one line of JSON
what it did: `requests`, how many it read, and `held_ms`, how long it held each of them where chance decided on that.
"""

from __future__ import annotations

import functools
import itertools
import json
import os
import random
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from requestlab.system import machine
from requestlab.worker import kernel
from tests.tiny_server import TinyServer, read_request

BODY, OTHER_BODY = b"what was asked for", b"what was not asked"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY)


class Truth:
    """What the server did."""

    def __init__(self) -> None:
        self.numbers = itertools.count(1)
        self.seen: list[int] = []
        self.held_ms: list[float] = []
        self.began = 0.0
        self.chance: random.Random | None = None

    def one_more(self) -> int:
        number = next(self.numbers)
        self.seen.append(number)
        self.began = self.began or time.monotonic()
        return number


def delay(truth: Truth, connection: socket.socket, number: int, ms: float) -> bool:
    """Each answer after so long."""
    time.sleep(ms / 1_000)
    connection.sendall(HEAD + BODY)
    return True


def exponential(truth: Truth, connection: socket.socket, number: int, mean_ms: float, seed: float) -> bool:
    """Each answer after an exponential time with that mean."""
    truth.chance = truth.chance or random.Random(seed)
    began = time.perf_counter()
    time.sleep(truth.chance.expovariate(1 / mean_ms) / 1_000)
    truth.held_ms.append((time.perf_counter() - began) * 1_000)
    connection.sendall(HEAD + BODY)
    return True


def freeze(
    truth: Truth, connection: socket.socket, number: int, after_ms: float, for_ms: float, else_ms: float
) -> bool:
    """Each answer after `else_ms`, but for one time, `after_ms` after the first request, in which none is given."""
    time.sleep(else_ms / 1_000)
    thaws_in = truth.began + (after_ms + for_ms) / 1_000 - time.monotonic()
    if 0 < thaws_in <= for_ms / 1_000:
        time.sleep(thaws_in)
    connection.sendall(HEAD + BODY)
    return True


def two_writes(truth: Truth, connection: socket.socket, number: int, no_delay: float) -> bool:
    """Head and body in two small writes, with TCP_NODELAY or without."""
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(no_delay))
    connection.sendall(HEAD)
    connection.sendall(BODY)
    return True


def wrong_body(truth: Truth, connection: socket.socket, number: int, every: float) -> bool:
    """Every so many-th answer has another body of the same length."""
    connection.sendall(HEAD + (BODY if number % every else OTHER_BODY))
    return True


def half_sent(truth: Truth, connection: socket.socket, number: int, every: float) -> bool:
    """Every so many-th answer ends in the middle."""
    connection.sendall(HEAD + (BODY if number % every else BODY[:9]))
    return bool(number % every)


def reset(truth: Truth, connection: socket.socket, number: int, every: float) -> bool:
    """Every so many-th request is answered with a reset of the connection."""
    if number % every:
        connection.sendall(HEAD + BODY)
        return True
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


BEHAVIOURS: dict[str, Callable[..., bool]] = {
    behaviour.__name__: behaviour
    for behaviour in (delay, exponential, freeze, two_writes, wrong_body, half_sent, reset)
}
"""Each answers the request with that number (from 1) on a connection, and returns whether the connection is to be
kept."""


def main(name: str, *numbers: str) -> None:
    kernel.die_with_parent()
    sys.setswitchinterval(0.0005)
    truth, given = Truth(), [float(number) for number in numbers]

    def behave(connection: socket.socket) -> None:
        while read_request(connection) and BEHAVIOURS[name](truth, connection, truth.one_more(), *given):
            pass

    print(TinyServer(behave).address[1], flush=True)
    sys.stdin.read()
    print(json.dumps({"requests": len(truth.seen), "held_ms": truth.held_ms}), flush=True)
    os._exit(0)


class Known:
    """The running server, for a test: `url`, and after its end `requests` and `held_ms`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        self.address = ("127.0.0.1", int(process.stdout.readline()))
        self.url = f"http://127.0.0.1:{self.address[1]}"
        self.pid = process.pid
        self.requests = 0
        self.held_ms: list[float] = []


@contextmanager
def known_server(behaviour: str, *numbers: float) -> Iterator[Known]:
    """Run it in a process of its own, on the cores on which the lab would have it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.known_server", behaviour, *map(str, numbers)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[1],
    )
    if not kernel.PORTABLE:
        os.sched_setaffinity(process.pid, machine.split_cores().server)
    with process:
        try:
            known = Known(process)
            yield known
            said = json.loads(process.communicate(timeout=10)[0])
            known.requests, known.held_ms = said["requests"], said["held_ms"]
        finally:
            process.kill()


@functools.cache
def _slow() -> bool:
    """Whether this worker is the slow one: the first of this run's directory, which leaves a mark there."""
    try:
        Path(os.environ["REQUESTLAB_DIRECTORY"], "the-slow-one").touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def one_slow_worker(environ: Any, start_response: Any) -> Any:
    """A WSGI application that is ten times slower in one worker than in the others: in the first to get there."""
    time.sleep(0.05 if _slow() else 0.005)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(BODY)))])
    return [BODY]


if __name__ == "__main__":
    main(*sys.argv[1:])
