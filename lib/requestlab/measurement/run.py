"""The record of one slice: every request, raw, with what was known about the server and the machine."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from requestlab.errors import RunFormatError
from requestlab.load.connection import ERRORS, NO_FAILURE
from requestlab.load.plan import COLUMNS
from requestlab.measurement import validity
from requestlab.measurement.facts import RunFacts
from requestlab.system.files import whole_file
from requestlab.system.values import from_plain, to_plain
from requestlab.trace.blocking import blocks
from requestlab.trace.trace import COLUMNS as INSIDE_COLUMNS
from requestlab.trace.trace import NOTHING, Trace

FORMAT = 5
"""Version of the file; a reader refuses any other."""

THREAD_COLUMNS = ("time", "pid", "threads")


@dataclass(frozen=True, eq=False)
class Run:
    """One slice of load on one server.

    `samples` is the raw table, int64, shape (requests, len(generator.COLUMNS)), warm-up included; `thread_samples` has one
    row a worker and sampling, int64, shape (samples, 3): time in ns, pid, threads alive. `about` holds the
    facts: what was asked, who served it, what else went on. `trace` is what the probe wrote down in the workers, `beside` the runs of
    the loads that were put on the same server at the same time, by path.
    """

    samples: np.ndarray[Any, np.dtype[np.int64]]
    thread_samples: np.ndarray[Any, np.dtype[np.int64]]
    about: RunFacts
    trace: Trace = NOTHING
    beside: Mapping[str, Run] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """How figures call it: the configuration's label, or the address."""
        return str(self.about.label)

    @cached_property
    def requests(self) -> pd.DataFrame:
        """One row a request that ended, well or not, after the measured stretch had begun, in the order of planning.

        `planned`, `sent`, `first_byte` (of the answer), `first_body` (of its body), `done` in ns of CLOCK_MONOTONIC (0: it did
        not come to that), `status`, `error` (empty:
        none), `size` of the body in bytes and its CRC-32 (`body`), `user` (in an open loop: the connection), `opened` (it had
        to be opened), and, where the probe was on,
        `pid`, `thread` (native id), `on_loop` (that thread ran an event loop) and `number` (of the request in that worker, by
        which it is found in `spans`); else these are <NA>.
        """
        return self._table(self._done >= self.about.start)

    @cached_property
    def warmup(self) -> pd.DataFrame:
        """The requests that had ended before the measured stretch began; in no summary."""
        return self._table(self._done < self.about.start)

    @cached_property
    def threads(self) -> pd.DataFrame:
        """Threads alive over time, sampled from outside: `time` (ns), `pid`, `threads`; empty where the probe was off."""
        return pd.DataFrame(self.thread_samples, columns=list(THREAD_COLUMNS))

    @property
    def spans(self) -> pd.DataFrame:
        """What ran inside the workers, and when: see `Trace.spans`."""
        return self.trace.spans

    @property
    def crossings(self) -> pd.DataFrame:
        """Each change between event loop and thread, and its cost: see `Trace.crossings`."""
        return self.trace.crossings

    @property
    def ticks(self) -> pd.DataFrame:
        """The heartbeats of the workers' event loops: see `Trace.ticks`."""
        return self.trace.ticks

    @cached_property
    def blocks(self) -> pd.DataFrame:
        """The stretches in which an event loop was late, how long, why, and who was at it: see `requestlab.trace.blocking`."""
        return blocks(self.trace)

    @property
    def response_ms(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Response time of each answered request, from planned to done, in ms."""
        return self._times_ms("planned")

    @property
    def service_ms(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Service time of each answered request, from sent to done, in ms: without the time in which it was late."""
        return self._times_ms("sent")

    @cached_property
    def late_ms(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """How late each request was sent, from planned to sent, in ms; one that never was is as late as it is old."""
        sent = self.requests["sent"].where(self.requests["sent"] > 0, self.requests["done"])
        return ((sent - self.requests["planned"]) / 1e6).to_numpy(dtype=np.float64)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """`throughput` (answers per second), `p50`, `p95`, `p99`, `max` (response time in ms), `service_p50`, `service_p95`,
        `service_p99` (service time in ms), `late` (requests sent more than `validity.LATE_MS` after they were planned),
        `late_p99` (99 % were sent within so many ms), `errors` (requests that failed or were answered with a status of 400 or
        above; a client that misbehaves and leaves has not failed), `cpu_per_request` (the workers', in ms; not known where other loads were beside), `validity` and `reasons`.

        Times are those of requests planned in the measured stretch. Of an answer that was under way at one of its ends,
        throughput and CPU count the part of its time that lies inside: whole answers would come or be missing in step with
        the users, who all began together. A figure without evidence is NaN.
        """
        word, reasons = validity.judge(self)
        return {
            "throughput": self.answers / self.seconds,
            **_quantiles(self.response_ms, {"p50": 50, "p95": 95, "p99": 99, "max": 100}),
            **_quantiles(self.service_ms, {"service_p50": 50, "service_p95": 95, "service_p99": 99}),
            "late": int((self.late_ms > validity.LATE_MS).sum()),
            **_quantiles(self.late_ms, {"late_p99": 99}),
            "errors": int(self.failed.sum()),
            "cpu_per_request": math.nan if self.beside else self._cpu_ms(self.about.server_cpu_ns),
            "validity": word,
            "reasons": reasons,
        }

    @property
    def failed(self) -> pd.Series[bool]:
        """Which rows of `requests` failed, or were answered with a status of 400 or above."""
        return ~self.requests["error"].isin(NO_FAILURE) | (self.requests["status"] >= 400)

    @property
    def seconds(self) -> float:
        """Length of the measured stretch."""
        return float(self.about.end - self.about.start) / 1e9

    @cached_property
    def answers(self) -> float:
        """How many answers the measured stretch was worth: each by the share of its time that lies inside."""
        planned, done, status, error = (
            self.samples[:, COLUMNS.index(name)] for name in ("planned", "done", "status", "error")
        )
        good = (error == 0) & (status < 400)
        inside = self._inside(planned, done)[good] / np.maximum(done - planned, 1)[good]
        return float(np.clip(inside, 0, 1).sum())

    @cached_property
    def mean_under_way(self) -> float:
        """How many requests were under way, sent and not yet done, on average over the measured stretch."""
        sent, done = (self.samples[:, COLUMNS.index(name)] for name in ("sent", "done"))
        return float(self._inside(sent, done)[sent > 0].sum() / (self.about.end - self.about.start))

    @property
    def generator_share(self) -> float:
        """The generator's share of one core in the measured stretch, 0 to 1."""
        return float(self.about.generator_cpu_ns) / 1e9 / self.seconds

    @property
    def generator_wait(self) -> float:
        """The share of the measured stretch in which the generator could have run, but had no core, 0 to 1."""
        return float(self.about.generator_wait_ns) / 1e9 / self.seconds

    @property
    def upstream_share(self) -> float:
        """The share of one core that the upstream behind the server used in the measured stretch, 0 to 1; NaN without one."""
        return self._share_of_time("upstream_cpu_ns")

    @property
    def upstream_wait(self) -> float:
        """The share of the measured stretch in which the upstream could have run, but had no core; NaN without one."""
        return self._share_of_time("upstream_wait_ns")

    @property
    def generator_was_busy(self) -> bool:
        """Whether the generator ran, or waited for a core, for so much of the time that it may be what was measured."""
        return self.generator_share + self.generator_wait > validity.BUSY_GENERATOR

    @property
    def generator_cpu_per_request(self) -> float:
        """CPU time that the generator spent on each answer, in ms."""
        return self._cpu_ms(self.about.generator_cpu_ns)

    @property
    def connections(self) -> int:
        """Connections opened, warm-up included."""
        return int(self.samples[:, COLUMNS.index("opened")].sum())

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run to one file, whole or not at all, and return its path; the usual suffix is `.run`."""
        target = Path(path)
        with whole_file(target) as file:
            np.savez_compressed(file, **self._arrays())
        return target

    def save_chrome_trace(self, path: str | os.PathLike[str]) -> Path:
        """Write what the timeline shows as Chrome trace JSON, which Perfetto opens, and return its path."""
        from requestlab.trace.chrome import write_trace

        return write_trace(self, path)

    def _arrays(self, prefix: str = "") -> dict[str, Any]:
        """Return the arrays of this run and of those beside it; theirs under names with a number in front."""
        trace = {"names": self.trace.names, "lost": self.trace.lost}
        about = {"format": FORMAT, "about": to_plain(self.about), "trace": trace, "beside": list(self.beside)}
        arrays = {
            f"{prefix}samples": self.samples,
            f"{prefix}thread_samples": self.thread_samples,
            f"{prefix}trace": self.trace.rows,
            f"{prefix}about": np.frombuffer(json.dumps(about).encode(), dtype=np.uint8),
        }
        for number, run in enumerate(self.beside.values()):
            arrays |= run._arrays(f"{prefix}{number}_")
        return arrays

    def __repr__(self) -> str:
        s = self.summary
        return (
            f"<Run {self.label} {self.about.path} {self.about.load}: {s['throughput']:,.0f} /s, "
            f"p50 {s['p50']:.3g} ms, {s['errors']} errors, {s['validity']}>"
        )

    @property
    def _done(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return self.samples[:, COLUMNS.index("done")]

    def _inside(self, begin: Any, end: Any) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Return how much of each stretch of time lies in the measured one, in ns."""
        inside = np.minimum(end, self.about.end) - np.maximum(begin, self.about.start)
        return np.asarray(np.clip(inside, 0, None))

    @cached_property
    def _timed(self) -> pd.DataFrame:
        """The requests whose times count: those planned in the stretch. Of all that end in it, the long ones would be too many.

        Where each request takes longer than that, none may be: then all that ended after its beginning.
        """
        planned = self.requests[self.requests["planned"] >= self.about.start]
        return planned if len(planned) else self.requests

    def _times_ms(self, since: str) -> np.ndarray[Any, np.dtype[np.float64]]:
        good = self._timed[answered(self._timed)]
        return ((good["done"] - good[since]) / 1e6).to_numpy(dtype=np.float64)

    def _share_of_time(self, name: str) -> float:
        ns: int | None = getattr(self.about, name)
        return math.nan if ns is None else float(ns) / 1e9 / self.seconds

    def _cpu_ms(self, cpu_ns: int | None) -> float:
        return cpu_ns / 1e6 / self.answers if cpu_ns is not None and self.answers else math.nan

    def _table(self, wanted: np.ndarray[Any, np.dtype[np.bool_]]) -> pd.DataFrame:
        table = pd.DataFrame(self.samples[wanted], columns=list(COLUMNS)).sort_values("planned", kind="stable")
        known = table["on_loop"] >= 0
        table["error"] = pd.Categorical.from_codes(table["error"].to_numpy(), categories=pd.Index(ERRORS))
        table["opened"] = table["opened"].astype(bool)
        for column in ("pid", "thread", "number"):
            table[column] = table[column].astype("Int64").where(known)
        table["on_loop"] = (table["on_loop"] == 1).astype("boolean").where(known)
        order = ["planned", "sent", "first_byte", "first_body", "done", "status", "error"]
        return table[[*order, "pid", "thread", "on_loop", "number", "user", "size", "body", "opened"]].reset_index(
            drop=True
        )


def _quantiles(values: np.ndarray[Any, np.dtype[np.float64]], wanted: dict[str, int]) -> dict[str, float]:
    found = np.percentile(values, list(wanted.values())) if len(values) else [math.nan] * len(wanted)
    return dict(zip(wanted, map(float, found), strict=True))


def answered(requests: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows were answered with a status below 400."""
    return (requests["error"] == "") & (requests["status"] < 400)


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a run that `Run.save` has written; raises RunFormatError for anything else."""
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = dict(file)
        version = json.loads(arrays["about"].tobytes()).get("format")
    except FileNotFoundError:
        raise RunFormatError(f"there is no file {os.fspath(path)!r}") from None
    except Exception:  # a damaged file can fail in any layer: zip, deflate, numpy's header, JSON
        raise RunFormatError(f"{os.fspath(path)!r} is not a saved run; expected a file written by Run.save") from None
    if version != FORMAT:
        raise RunFormatError(
            f"{os.fspath(path)!r} has format {version}; this version of the lab reads format {FORMAT}: measure it again"
        )
    try:
        return _from_arrays(arrays)
    except (KeyError, ValueError, IndexError, TypeError, AttributeError):
        raise RunFormatError(f"{os.fspath(path)!r} has tables of another shape than a run's") from None


def _from_arrays(arrays: Mapping[str, Any], prefix: str = "") -> Run:
    said = json.loads(arrays[f"{prefix}about"].tobytes())
    tables = [arrays[f"{prefix}{name}"] for name in ("samples", "thread_samples", "trace")]
    for table, columns in zip(tables, (COLUMNS, THREAD_COLUMNS, INSIDE_COLUMNS), strict=True):
        if table.shape[1:] != (len(columns),):
            raise ValueError(table.shape)
    samples, thread_samples, rows = tables
    within = Trace(rows, tuple(said["trace"]["names"]), said["trace"]["lost"])
    beside = {path: _from_arrays(arrays, f"{prefix}{number}_") for number, path in enumerate(said["beside"])}
    return Run(samples, thread_samples, from_plain(RunFacts, said["about"]), within, beside)
