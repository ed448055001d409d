"""Interrupts that come at a bad moment."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(KeyboardInterrupt):
    """An interrupt while the lab was at work; the message says what became of that."""

    def _render_traceback_(self) -> list[str]:
        """Show the message alone in a notebook, as errors of the lab do."""
        return [f"Interrupted: {self}"]


@contextmanager
def interrupt_says(what: str) -> Iterator[None]:
    """Let an interrupt of the block say what was interrupted."""
    try:
        yield
    except Interrupted:
        raise
    except KeyboardInterrupt:
        raise Interrupted(what) from None


@contextmanager
def held_back() -> Iterator[list[object]]:
    """Keep an interrupt until the block is over: for imports, for Python and modules written in C lose one that comes
    while a module is imported; and where something is begun or ended that nobody else would end. The block is given a
    list, which is no longer empty once one has come.

    Does nothing in another thread than the first, nor where nobody listens for interrupts.
    """
    came: list[Any] = []
    usual = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(usual):
        yield came
        return
    signal.signal(signal.SIGINT, lambda *what: came.append(what))
    try:
        yield came
    finally:
        signal.signal(signal.SIGINT, usual)
    if came:
        usual(*came[0])
