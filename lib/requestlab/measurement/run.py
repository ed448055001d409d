"""A run: the record of one slice with its summary and its verdict, and the file that it is kept in."""

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

from requestlab.errors import RunFormatError
from requestlab.load.plan import COLUMNS, PART_COLUMNS, PROCESS_COLUMNS
from requestlab.measurement import chrome, validity
from requestlab.measurement.record import Record, RunFacts
from requestlab.system import checks
from requestlab.system.files import whole_file
from requestlab.system.values import from_plain, to_plain
from requestlab.trace.activity import Floats
from requestlab.trace.trace import COLUMNS as TRACE_COLUMNS, Trace

FORMAT = 7
"""Version of the file; a reader refuses any other."""


@dataclass(frozen=True, eq=False)
class Run(Record):
    """One slice of load on one server: a record, what it comes to, and whether to believe it. Made by `measure`.

    >>> run.summary["throughput"], run.requests.head(), run.about.machine.python
    """

    beside: Mapping[str, Run] = field(default_factory=dict)

    @cached_property
    def summary(self) -> dict[str, Any]:
        """`throughput` (answers per second), `p50`, `p95`, `p99`, `max` (response time in ms), `service_p50`,
        `service_p95`, `service_p99` (service time in ms), `late` (requests sent more than `validity.LATE_MS` after they
        were planned), `late_p99` (99% were sent within so many ms), `errors` (requests that failed or were answered
        with a status of 400 or above; a client that misbehaves and leaves has not failed), `cpu_per_request` (the
        workers', in ms; not known where other loads were beside), `validity` and `reasons`.

        Times are those of requests planned in the measured stretch. Of an answer that was under way at one of its ends,
        throughput and CPU count the part of its time that lies inside: whole answers would come or be missing in step
        with the users, who all began together. A figure without evidence is NaN.
        """
        word, reasons = validity.judge(self)
        return {
            "throughput": self.answers / self.seconds,
            **_quantiles(self.response_ms, {"p50": 50, "p95": 95, "p99": 99, "max": 100}),
            **_quantiles(self.service_ms, {"service_p50": 50, "service_p95": 95, "service_p99": 99}),
            "late": int((self.late_ms > validity.LATE_MS).sum()),
            **_quantiles(self.late_ms, {"late_p99": 99}),
            "errors": int(self.failed.sum()),
            "cpu_per_request": self.cpu_per_request,
            "validity": word,
            "reasons": reasons,
        }

    @property
    def generator_was_busy(self) -> bool:
        """Whether the generator ran, or waited for a core, for so much of the time that it may be what was measured."""
        return validity.generator_was_busy(self)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the run to one file, whole or not at all, and return its path; the usual suffix is `.run`."""
        target = Path(checks.path("save(path)", path))
        with whole_file(target) as file:
            np.savez_compressed(file, **self._arrays())
        return target

    def save_chrome_trace(self, path: str | os.PathLike[str]) -> Path:
        """Write what the timeline shows as Chrome trace JSON, which Perfetto opens, and return its path."""
        return chrome.write_trace(self, path)

    def _arrays(self, prefix: str = "") -> dict[str, Any]:
        """Return the arrays of this run and of those beside it; theirs under names with a number in front."""
        trace = {"names": self.trace.names, "lost": self.trace.lost}
        about = {"format": FORMAT, "about": to_plain(self.about), "trace": trace, "beside": list(self.beside)}
        arrays = {
            f"{prefix}samples": self.samples,
            f"{prefix}process_samples": self.process_samples,
            f"{prefix}part_samples": self.part_samples,
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


def _quantiles(values: Floats, wanted: dict[str, int]) -> dict[str, float]:
    found = np.percentile(values, list(wanted.values())) if len(values) else [math.nan] * len(wanted)
    return dict(zip(wanted, map(float, found), strict=True))


def load_run(path: str | os.PathLike[str]) -> Run:
    """Read a run that `Run.save` has written; raises RunFormatError for anything else.

    >>> run = lab.load_run(run.save("waiting.run"))
    """
    checks.path("load_run(path)", path)
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
    tables = [arrays[f"{prefix}{name}"] for name in ("samples", "process_samples", "part_samples", "trace")]
    for table, columns in zip(tables, (COLUMNS, PROCESS_COLUMNS, PART_COLUMNS, TRACE_COLUMNS), strict=True):
        if table.shape[1:] != (len(columns),):
            raise ValueError(table.shape)
    samples, process_samples, part_samples, rows = tables
    trace = Trace(rows, tuple(said["trace"]["names"]), said["trace"]["lost"])
    beside = {path: _from_arrays(arrays, f"{prefix}{number}_") for number, path in enumerate(said["beside"])}
    return Run(samples, process_samples, from_plain(RunFacts, said["about"]), trace, beside, part_samples)
