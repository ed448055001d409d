"""Progress of whatever takes long: one line of plain text that updates in place."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

SILENT_S = 2.0
"""What is over by then is not worth a line; what will take longer is shown from the start."""

UNWATCHED_VARIABLE = "REQUESTLAB_UNWATCHED"
"""Set to anything, it says that nobody looks: for notebooks that are executed to be read later."""

_EVERY_S = 0.2


class Progress:
    """A line such as `sync /sync/page/, 10 users: 3 s, 7 s left`, in a terminal (standard error) and in a notebook.

    `seconds` is how long it should take, or None where nobody knows. Says nothing in the first moments of what is
    short, nor where nobody looks: with the output piped to a file.
    """

    def __init__(self, what: str, seconds: float | None = None) -> None:
        self._what = what
        self._seconds = seconds
        self._start = self._last = time.monotonic()
        self._out = _where()
        self._width = 0

    def tick(self) -> None:
        """Bring the line up to date; cheap enough to be called often."""
        now = time.monotonic()
        elapsed = now - self._start
        if self._out is None or now - self._last < _EVERY_S or max(self._seconds or 0, elapsed) <= SILENT_S:
            return
        self._last = now
        left = "" if self._seconds is None else f", {max(0, self._seconds - elapsed):.0f} s left"
        self._write(f"{self._what}: {elapsed:.0f} s{left}")

    def step(self, what: str, left_s: float | None) -> None:
        """Say what is being done now, and how long all of it will take from now on."""
        self._what = what
        self._seconds = None if left_s is None else time.monotonic() - self._start + left_s
        self.tick()

    def close(self) -> None:
        """Take the line away."""
        if self._width:
            self._write("")
            self._write("")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, line: str) -> None:
        assert self._out is not None
        self._out.write("\r" + line.ljust(self._width) + ("\r" if not line else ""))
        self._out.flush()
        self._width = len(line)


def _where() -> TextIO | None:
    if os.environ.get(UNWATCHED_VARIABLE):
        return None
    if "ipykernel" in sys.modules and type(sys.stdout).__module__.startswith("ipykernel"):
        return sys.stdout
    return sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
