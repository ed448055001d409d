"""Running load processes: plans go in; their marks, their samples and the server's threads come out."""

from __future__ import annotations

import fcntl
import glob
import json
import os
import selectors
import subprocess
import sys
import tempfile
import termios
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from requestlab.errors import GeneratorError
from requestlab.load.plan import COLUMNS, THREAD_COLUMNS, Plan
from requestlab.worker import watchdog

SAMPLING_S = 0.01
"""How often the threads of each worker are counted, where the probe is on."""

AFTERMATH_S = 0.1
"""How much longer they are counted after the last answer: threads may end with their request."""

READY_CHECK_S = 0.001
"""How often a load process is looked at until it has its plan: by so much its load may begin later than it could."""

BYTES = np.dtype(np.int64).itemsize

_PATIENCE_S = 5.0


@dataclass(frozen=True, eq=False)
class Outcome:
    """What the load process said of itself, its samples (plan.COLUMNS), and the thread counts (plan.THREAD_COLUMNS)."""

    head: dict[str, Any]
    samples: np.ndarray[Any, np.dtype[np.int64]]
    thread_samples: np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Job:
    """A plan, whom it is for (its path, in words of errors), and how many seconds after the first ones it begins."""

    plan: Plan
    name: str = ""
    after_s: float = 0.0


class LoadProcessPool:
    """Load processes that are used again: starting one takes a tenth of a second, as long as a short slice. A context manager.

    Resources: as many processes as were at work at once, all gone when the block is left; one that failed is gone at once.
    """

    def __init__(self) -> None:
        self._idle: list[_LoadProcess] = []

    def __enter__(self) -> LoadProcessPool:
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            self._idle.pop().end()

    @contextmanager
    def sent(self, job: Job) -> Iterator[_LoadProcess]:
        """Send a process on an job; whoever does not come back from it with all there is to tell is not sent again."""
        process = self._idle.pop() if self._idle else _LoadProcess()
        if not process.alive:
            process.end()
            process = _LoadProcess()
        try:
            process.take(job)
            yield process
        except BaseException:
            process.end()
            raise
        if process.has_told:
            self._idle.append(process)
        else:
            process.end()


def run_job(plan: Plan, watched: tuple[int, ...], tick: Callable[[], None]) -> Outcome:
    """Run a load process to its end; `watched` are the pids whose threads are counted, `tick` is called meanwhile.

    Raises GeneratorError where it fails or does not end. Resources: one process, gone when this returns or raises.
    """
    with LoadProcessPool() as pool:
        (outcome,) = run_jobs([Job(plan)], watched, tick, pool)
    return outcome


def run_jobs(
    jobs: Sequence[Job], watched: tuple[int, ...], tick: Callable[[], None], pool: LoadProcessPool
) -> tuple[Outcome, ...]:
    """Run a load process for each job, all at once, to the end of the last; the outcomes have the thread counts in common.

    No load begins before every process has started. Raises GeneratorError as soon as one fails, or where one does not end.
    Resources: one process an job, which are the pool's when this returns, and gone when it raises.
    """
    deadline = time.monotonic() + max(one.after_s + _longest_s(one.plan) for one in jobs) + _PATIENCE_S
    threads: list[tuple[int, int, int]] = []
    probes = {pid: _threads_of_the_probe(pid) for pid in watched}
    with ExitStack() as stack, selectors.DefaultSelector() as selector:
        started = [stack.enter_context(pool.sent(one)) for one in jobs]
        while not all(one.ready for one in started):
            time.sleep(READY_CHECK_S)
            tick()
            _check_time(deadline)
        first = time.monotonic()
        waiting = sorted(started, key=lambda one: one.after_s)
        for one in started:
            selector.register(one.stdout, selectors.EVENT_READ, one)
        threads += _count_threads(watched)
        while selector.get_map():
            while waiting and time.monotonic() >= first + waiting[0].after_s:
                waiting.pop(0).begin()
            patience = SAMPLING_S if watched else 0.1
            if waiting:
                patience = min(patience, max(0.0, first + waiting[0].after_s - time.monotonic()))
            for key, _ in selector.select(patience):
                if not key.data.read():
                    selector.unregister(key.fileobj)
                    key.data.check()
            threads += _count_threads(watched)
            tick()
            _check_time(deadline)
        end = time.monotonic() + AFTERMATH_S
        while watched and time.monotonic() < end:
            time.sleep(SAMPLING_S)
            threads += _count_threads(watched)
        probes = {pid: found or _threads_of_the_probe(pid) for pid, found in probes.items()}
        rows = [(at, pid, count - probes.get(pid, 0)) for at, pid, count in threads]
        counted = np.array(rows, dtype=np.int64).reshape(-1, len(THREAD_COLUMNS))
        return tuple(one.outcome(counted) for one in started)


class _LoadProcess:
    """A load process, from its start to its end; each job is a plan in and an outcome out.

    A plan is one line, and the end of that line the starting signal.
    """

    def __init__(self) -> None:
        self._words = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 - closed by end()
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-m",
                "requestlab.load.generator",
            ],  # -P: the folder of the notebook may hold any names
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            start_new_session=True,  # an interrupt in the notebook reaches only the notebook
        )

    def take(self, job: Job) -> None:
        """Tell it the plan, all but the end of the line."""
        self.after_s = job.after_s
        self._name = f" on {job.name}" if job.name else ""
        self._output = bytearray()
        self._expected: int | None = None
        self._tell(job.plan.to_json().removesuffix(b"\n"))

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._words.close()

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def ready(self) -> bool:
        """Whether the process has read its plan, all but the end of the line; or has died, and its words say why."""
        assert self._process.stdin is not None
        unread = array("i", [0])
        fcntl.ioctl(self._process.stdin, termios.FIONREAD, unread)
        return not unread[0] or not self.alive

    @property
    def has_told(self) -> bool:
        """Whether the outcome is there, and nothing but the outcome."""
        return len(self._output) == self._expected

    def begin(self) -> None:
        """Give the starting signal."""
        self._tell(b"\n")

    def read(self) -> bool:
        """Take what the process has written; return whether more is to come."""
        data = os.read(self.stdout.fileno(), 1 << 20)
        self._output += data
        if self._expected is None and b"\n" in data:
            self._expected = self._length()
        return bool(data) and not self.has_told

    def check(self) -> None:
        """Raise GeneratorError if the process, which has written its last, has failed."""
        if self.has_told:
            return
        status = self._process.wait()
        self._words.seek(0)
        words = self._words.read().strip()
        raise GeneratorError(f"the load process{self._name} failed with status {status}: {words}")

    def outcome(self, threads: np.ndarray[Any, np.dtype[np.int64]]) -> Outcome:
        head, _, rows = bytes(self._output).partition(b"\n")
        table = np.frombuffer(rows, dtype=np.int64).reshape(-1, len(COLUMNS))
        return Outcome(json.loads(head), table, threads)

    def _length(self) -> int:
        head, newline, _ = bytes(self._output).partition(b"\n")
        return len(head + newline) + int(json.loads(head)["rows"]) * len(COLUMNS) * BYTES

    def _tell(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died already, and its words say why
            self._process.stdin.write(data)
            self._process.stdin.flush()


def _longest_s(plan: Plan) -> float:
    return plan.warmup_s + plan.seconds + plan.timeout_s


def _check_time(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise GeneratorError("the load process did not finish in time; is the machine overloaded?")


def _count_threads(pids: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    for pid in pids:
        try:
            count = len(os.listdir(f"/proc/{pid}/task"))
        except OSError:
            continue
        yield time.perf_counter_ns(), pid, count


def _threads_of_the_probe(pid: int) -> int:
    """Return how many threads of a worker are the probe's own, which nobody wants to have counted."""
    names = []
    for path in glob.glob(f"/proc/{pid}/task/*/comm"):
        with suppress(OSError):
            names.append(Path(path).read_text().strip())
    return names.count(watchdog.NAME)
