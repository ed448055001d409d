"""Running the load process: a plan goes in; its marks, its samples and the server's threads come out."""

from __future__ import annotations

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from requestlab.errors import GeneratorError
from requestlab.plan import COLUMNS, Plan
from requestlab.runs import THREAD_COLUMNS

SAMPLING_S = 0.01
"""How often the threads of each worker are counted, where the probe is on."""

AFTERMATH_S = 0.1
"""How much longer they are counted after the last answer: threads may end with their request."""

_PATIENCE_S = 5.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the load process said of itself, its samples (plan.COLUMNS), and the thread counts (runs.THREAD_COLUMNS)."""

    head: dict[str, Any]
    samples: np.ndarray[Any, np.dtype[np.int64]]
    thread_samples: np.ndarray[Any, np.dtype[np.int64]]


def carry_out(plan: Plan, watched: tuple[int, ...], tick: Callable[[], None]) -> Outcome:
    """Run the load process to its end; `watched` are the pids whose threads are counted, `tick` is called meanwhile.

    Raises GeneratorError where it fails or does not end. Resources: one process, gone when this returns or raises.
    """
    deadline = time.monotonic() + plan.warmup_s + plan.seconds + plan.timeout_s + _PATIENCE_S
    output = bytearray()
    threads: list[tuple[int, int, int]] = []
    with _generator(plan) as (process, words):
        assert process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if selector.select(SAMPLING_S if watched else 0.1):
                    data = os.read(process.stdout.fileno(), 1 << 20)
                    if not data:
                        break
                    output += data
                threads += _count_threads(watched)
                tick()
                if time.monotonic() > deadline:
                    raise GeneratorError("the load process did not finish in time; is the machine overloaded?")
        status = process.wait()
        end = time.monotonic() + AFTERMATH_S
        while watched and time.monotonic() < end:
            time.sleep(SAMPLING_S)
            threads += _count_threads(watched)
        head, _, rows = bytes(output).partition(b"\n")
        if status != 0 or not head:
            words.seek(0)
            raise GeneratorError(f"the load process failed with status {status}: {words.read().strip()}")
    table = np.frombuffer(rows, dtype=np.int64).reshape(-1, len(COLUMNS))
    return Outcome(json.loads(head), table, np.array(threads, dtype=np.int64).reshape(-1, len(THREAD_COLUMNS)))


@contextmanager
def _generator(plan: Plan) -> Iterator[tuple[subprocess.Popen[bytes], Any]]:
    """Start the load process; it is gone when the block is left, however that happens."""
    with tempfile.TemporaryFile("w+", errors="replace") as words:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "requestlab.generator"],  # -P: the folder of the notebook may hold any names
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            start_new_session=True,  # an interrupt in the notebook reaches only the notebook
        )
        try:
            assert process.stdin is not None
            with suppress(BrokenPipeError):  # it has died already, and its words say why
                process.stdin.write(plan.to_json())
                process.stdin.flush()
            yield process, words
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(BrokenPipeError):
                        pipe.close()


def _count_threads(pids: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    for pid in pids:
        try:
            count = len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue
        yield time.perf_counter_ns(), pid, count
