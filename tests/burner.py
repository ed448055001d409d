"""A machine that is made noisy on purpose."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

_BURN = """
import time
while True:
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass
    time.sleep(0.01)
"""


@contextmanager
def half_a_core_burnt() -> Iterator[None]:
    """Have another process burn half a core."""
    process = subprocess.Popen([sys.executable, "-c", _BURN])
    try:
        yield
    finally:
        process.kill()
        process.wait()
