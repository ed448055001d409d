"""What the lab wants to know of each worker: is it ready, and how many requests has it had."""

from __future__ import annotations

import json
import mmap
import os
import struct
import threading
import time
from pathlib import Path

from requestlab.worker import environment

READY_PATH = "/.requestlab/ready/"
HOLD_S = 0.02

_COUNT_FILE = "request-count-"
_COUNT = struct.Struct("Q")


def answer(query: str) -> bytes:
    """Return the run's nonce and this worker's pid as JSON: it has loaded its application, and is of this run.

    With the query `hold` the worker is kept busy for `HOLD_S` first, its event loop included: a new connection then
    goes to one of its siblings, which is how the lab reaches every worker behind one listener.
    """
    if query == "hold":
        time.sleep(HOLD_S)
    return json.dumps({"nonce": os.environ.get(environment.NONCE), "pid": os.getpid()}).encode()


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
