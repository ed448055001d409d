"""Where the probe writes: a ring of rows in a file of the run's directory, mapped into memory.

What is written is in the file at once, whatever becomes of the worker: the lab reads it while the worker works, and
after it was killed. A row takes no lock and costs a third of a microsecond.
"""

from __future__ import annotations

import itertools
import json
import mmap
import os
import struct
import threading
from pathlib import Path
from time import perf_counter_ns

from requestlab.worker.schema import ROW_COLUMNS, STEP

WIDTH = len(ROW_COLUMNS)
RAN_ON = ROW_COLUMNS.index("ran_on")
ROW = struct.Struct(f"{WIDTH}q")
SPANS, TICKS = "spans", "ticks"
CAPACITY = {SPANS: 1 << 18, TICKS: 1 << 17}
"""Rows of 96 bytes that are kept in each worker; older ones are overwritten. The file takes room only as it fills."""

_MAX_NAMES = 20_000
_TOO_MANY = "other\t(too many names)"


class Recorder:
    """Writes rows of one sort, `spans` or `ticks`, into `directory`; made once in each worker, used by all its threads.

    `last` is the id of a row written lately, `in_step_of` the number of the request of which a step runs on the event
    loop at this moment, 0 for none.
    """

    def __init__(self, directory: str, sort: str, capacity: int | None = None) -> None:
        self.in_step_of = self.last = 0
        self._capacity = capacity or CAPACITY[sort]
        self._ids = itertools.count(1)
        self._names: dict[str, int] = {}
        self._lock = threading.Lock()
        stem = Path(directory, f"{sort}-{os.getpid()}")
        with open(stem, "w+b") as file:
            file.truncate(self._capacity * ROW.size)
            self._bytes = mmap.mmap(file.fileno(), self._capacity * ROW.size)
        self._values = memoryview(self._bytes).cast("q")
        self._names_file = os.open(f"{stem}.names", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        self.name("")  # the number 0, of rows without a name

    def name(self, text: str) -> int:
        """Return the number of a text: the line of the file of names on which it stands."""
        known = self._names.get(text)
        return self._new_name(text) if known is None else known

    def _new_name(self, text: str) -> int:
        if len(self._names) >= _MAX_NAMES and text != _TOO_MANY:
            return self.name(_TOO_MANY)
        with self._lock:
            if text not in self._names:
                # A line of its own, before a row points to it.
                os.write(self._names_file, f"{json.dumps(text)}\n".encode())
                self._names[text] = len(self._names)
            return self._names[text]

    def row(
        self,
        kind: int,
        name: int = 0,
        request: int = 0,
        parent: int = 0,
        thread: int = 0,
        begin: int = 0,
        running: int = 0,
        done: int = 0,
        end: int = 0,
        ran_on: int = 0,
        value: int = 0,
    ) -> int:
        """Write a row and return its id; see `schema.ROW_COLUMNS`."""
        self.last = number = next(self._ids)
        at = number % self._capacity * ROW.size
        ROW.pack_into(
            self._bytes, at, number, kind, name, request, parent, thread, begin, running, done, end, ran_on, value
        )
        return number

    def step(self, request: int, parent: int, thread: int, begin: int) -> None:
        """Write a step that ends now; there are so many of them that each is written once only."""
        number, end = next(self._ids), perf_counter_ns()
        at = number % self._capacity * ROW.size
        ROW.pack_into(self._bytes, at, number, STEP, 0, request, parent, thread, begin, 0, 0, end, 0, 0)

    def put(self, row: int, column: int, value: int, ran_on: int = 0) -> None:
        """Write one value of a row, and the thread that its function ran on; nothing where the ring has moved on."""
        at = row % self._capacity * WIDTH
        values = self._values
        if values[at] == row:
            values[at + column] = value
            if ran_on:
                values[at + RAN_ON] = ran_on
