"""What the lab wants to know of each worker: is it ready, and how many requests has it had."""

from __future__ import annotations

import hashlib
import hmac
import json
import mmap
import os
import re
import struct
import threading
import time
from pathlib import Path

from requestlab.worker import environment

READY_PATH = "/.requestlab/ready/"
QUESTION_HEADER = "requestlab-question"
"""What the lab asks with: one half of the run's secret. The answer has the other half, so that both know who they are,
and nobody else on this machine can have workers held up."""

TOKEN_HEADER = "requestlab-token"
"""On a machine that others share, what each request must bring: the run's token. Without it, a neighbour could put load
on a server, and nobody would know whose."""

HOLD_S = 0.02

_COUNT_FILE = "request-count-"
_COUNT = struct.Struct("Q")


def halves(secret: str) -> tuple[str, str]:
    """Return what the question has of a run's secret, and what the answer has of it."""
    middle = len(secret) // 2
    return secret[:middle], secret[middle:]


def token(secret: str) -> str:
    """Return what those who may ask a server bring, made from the run's secret, which it does not tell."""
    return hashlib.sha256(f"token of {secret}".encode()).hexdigest()[:32]


IN_ADDRESS = re.compile("/~[0-9a-f]{32}")
"""How the token stands at the end of an address: whoever knows that may ask."""


def in_address(secret: str) -> str:
    """Return what an address ends with that only those know who may ask."""
    return f"/~{token(secret)}"


def without_token(address: str) -> str:
    """Return an address as it may be kept and shown."""
    return IN_ADDRESS.sub("", address, count=1)


def is_token(said: str) -> bool:
    """Return whether that is this run's token."""
    return hmac.compare_digest(said.encode(errors="replace"), token(os.environ.get(environment.SECRET, "")).encode())


def is_of_the_lab(said: str) -> bool:
    """Return whether a question with that header comes from the lab: all others are requests like any."""
    question, _ = halves(os.environ.get(environment.SECRET, ""))
    return bool(question) and hmac.compare_digest(said.encode(errors="replace"), question.encode())


def answer(query: str) -> bytes:
    """Return the answer's half of the run's secret and this worker's pid as JSON: it has loaded its application, and is
    of this run.

    With the query `hold` the worker is kept busy for `HOLD_S` first, its event loop included: a new connection then
    goes to one of its siblings, which is how the lab reaches every worker behind one listener.
    """
    if query == "hold":
        time.sleep(HOLD_S)
    _, own = halves(os.environ.get(environment.SECRET, ""))
    return json.dumps({"nonce": own, "pid": os.getpid()}).encode()


class RequestCount:
    """Counts the requests that reach the application in this worker, whatever the client says; made once in each
    worker.

    The count stands in a file of the run's `directory`, mapped into memory: the lab reads it while the worker works,
    and after it was killed. It costs a request some hundred nanoseconds.
    """

    def __init__(self, directory: str) -> None:
        with open(Path(directory, f"{_COUNT_FILE}{os.getpid()}"), "w+b") as file:
            file.truncate(_COUNT.size)
            self._count = memoryview(mmap.mmap(file.fileno(), _COUNT.size)).cast("Q")
        self._lock = threading.Lock()

    def one_more(self) -> None:
        """Count one request; workers with several threads count in all of them."""
        with self._lock:
            self._count[0] += 1


def request_counts(directory: str | os.PathLike[str]) -> dict[int, int]:
    """Return what each worker has counted so far, by pid; empty where nobody counts."""
    counts = {}
    for path in Path(directory).glob(f"{_COUNT_FILE}*"):
        try:
            (counts[int(path.name.removeprefix(_COUNT_FILE))],) = _COUNT.unpack(path.read_bytes())
        except (OSError, struct.error):  # just being made, or gone with the server
            continue
    return counts
