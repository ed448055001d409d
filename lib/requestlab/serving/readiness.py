"""Knowing that a server is ready: an answer with this run's secret, from every worker.

A bound listener accepts connections before the application exists, so a connection proves nothing. But the question
waits in the accept queue and is answered the moment a worker can: there is nothing to poll.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, Any

from requestlab.worker.ready import QUESTION_HEADER, READY_PATH, halves

_PATIENCE_S = 0.01


class NotReady(Exception):
    """The server ended, or the time was over, before every worker had answered."""


def wait_until_ready(
    address: tuple[str, int],
    secret: str,
    workers: int,
    ending: IO[bytes],
    deadline: float,
    tick: Callable[[], None] = lambda: None,
    base: str = "",
) -> tuple[int, ...]:
    """Return the pids of all workers, in ascending order; raises NotReady.

    `base` stands before the path of the question. `ending` becomes readable when the server is gone; `deadline` is a
    time of `time.monotonic`; `tick` is called meanwhile.
    """
    pids: set[int] = set()
    question, nonce = _question(secret, base, "?hold" if workers > 1 else ""), halves(secret)[1]
    with selectors.DefaultSelector() as selector:
        selector.register(ending, selectors.EVENT_READ)
        asked: set[socket.socket] = set()
        try:
            while len(pids) < workers:
                if len(asked) < (1 if workers == 1 else 2 * workers):
                    with suppress(ConnectionRefusedError):  # some servers open their port themselves
                        asked.add(_ask(selector, address, question))
                for key, _ in selector.select(_PATIENCE_S):
                    if key.fileobj is ending:
                        raise NotReady("ended before it was ready")
                    _listen_to(key, selector, asked, pids, nonce)
                tick()
                if time.monotonic() > deadline:
                    raise NotReady(f"was not ready in time ({len(pids)} of {workers} workers had answered)")
        finally:
            for connection in asked:
                connection.close()
    return tuple(sorted(pids))


def who_answers(address: tuple[str, int], secret: str, base: str = "", patience_s: float = 1.0) -> bool | None:
    """Return whether the answer at that address is this run's; None where there is none in time."""
    received, nonce = b"", halves(secret)[1]
    try:
        with socket.create_connection(address, timeout=patience_s) as connection:
            connection.sendall(_question(secret, base))
            while _worker(received, nonce) is None and (more := connection.recv(65536)):
                received += more
    except OSError:
        return None
    return _worker(received, nonce) is not None if received else None


def _question(secret: str, base: str, query: str = "") -> bytes:
    asking = f"{QUESTION_HEADER}: {halves(secret)[0]}"
    return (
        f"GET {base}{READY_PATH}{query} HTTP/1.1\r\nHost: 127.0.0.1\r\n{asking}\r\nConnection: close\r\n\r\n".encode()
    )


def _ask(selector: selectors.BaseSelector, address: tuple[str, int], question: bytes) -> socket.socket:
    connection = socket.create_connection(address, timeout=5)
    connection.sendall(question)
    selector.register(connection, selectors.EVENT_READ, bytearray())
    return connection


def _listen_to(
    key: selectors.SelectorKey, selector: selectors.BaseSelector, asked: set[Any], pids: set[int], nonce: str
) -> None:
    connection: Any = key.fileobj
    try:
        received = connection.recv(65536)
    except OSError:
        received = b""
    key.data.extend(received)
    pid = _worker(bytes(key.data), nonce)
    if pid is not None:
        pids.add(pid)
    if pid is not None or not received:  # answered, or dropped by a worker that has died: ask again
        selector.unregister(connection)
        asked.discard(connection)
        connection.close()


def _worker(answer: bytes, nonce: str) -> int | None:
    head, _, body = answer.partition(b"\r\n\r\n")
    try:
        said = json.loads(body)
    except ValueError:
        return None
    if not head.startswith(b"HTTP/1.1 200") or said.get("nonce") != nonce:
        return None
    return int(said["pid"])
