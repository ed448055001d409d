"""What the probe saw of the requests of a run: which were followed to their end, and how often each of them crossed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from requestlab.errors import ConfigurationError
from requestlab.measurement.run import answered
from requestlab.plots.inputs import Contender
from requestlab.trace.lanes import Floats
from requestlab.trace.trace import COLUMNS, ORIGINS
from requestlab.worker.schema import REQUEST

Counts = np.ndarray[Any, np.dtype[np.int64]]
Request = tuple[int, int]
"""A request by the process that served it and its number there, from 1."""

CROSSINGS = ("to_thread", "to_loop")
_NEVER_US = 1e12  # the cost of a crossing that did not come back


@dataclass(frozen=True, eq=False)
class Traced:
    """The traced requests of one run, and how many crossings the reader predicted for each.

    `requests` has one row a request that ended, with `pid`, `request`, `begin`, `end` (ns); `crossings` theirs, as in
    `Trace.crossings`. Of requests that the clients know about, only those answered with a status below 400 count, unless
    there is none.
    """

    contender: Contender
    predicted: float | None
    requests: pd.DataFrame
    crossings: pd.DataFrame

    @cached_property
    def counts(self) -> Counts:
        """Crossings of each request by origin, shape (requests, origins)."""
        found = np.zeros((len(self.requests), len(ORIGINS)), dtype=np.int64)
        places = {origin: place for place, origin in enumerate(ORIGINS)}
        origins = np.array([places.get(name, len(ORIGINS) - 1) for name in self.crossings["origin"]], dtype=np.int64)
        np.add.at(found, (self._of, origins), 1)
        return found

    @cached_property
    def usual(self) -> dict[str, int]:
        """Crossings by origin as most requests have them, in the order of a request; without the origins that have none."""
        patterns = Counter(map(tuple, self.counts.tolist()))
        most = max(patterns, key=lambda pattern: (patterns[pattern], pattern))
        return {origin: number for origin, number in zip(ORIGINS, most, strict=True) if number}

    @property
    def number(self) -> int:
        """Crossings of a usual request."""
        return sum(self.usual.values())

    @property
    def range(self) -> tuple[int, int]:
        """The fewest and the most crossings that a request has."""
        totals = self.counts.sum(axis=1)
        return int(totals.min()), int(totals.max())

    @property
    def cost_us(self) -> float:
        """The median cost of a crossing, NaN without any."""
        return float(self.crossings["cost_us"].median())

    @property
    def took_us(self) -> Floats:
        """How long each request was in the application."""
        return ((self.requests["end"] - self.requests["begin"]) / 1e3).to_numpy(dtype=np.float64)

    @cached_property
    def share(self) -> float:
        """The share of its time in which a request waits for a crossing, there or back: the median over the requests."""
        ways = [
            self.crossings[[first, last]].to_numpy(np.float64)
            for first, last in (("begin", "running"), ("done", "end"))
        ]
        order = np.argsort(self._of, kind="stable")
        edges = np.stack(ways, axis=1)[order]
        known = (edges > 0).all(axis=2)
        cuts = np.searchsorted(self._of[order], np.arange(1, len(self.requests)))
        waited = [covered(e[k]) for e, k in zip(np.split(edges, cuts), np.split(known, cuts), strict=True)]
        return float(np.median(np.array(waited) / 1e3 / self.took_us))

    def typical(self) -> Request:
        """Return, of the requests that cross as usual, the one whose crossings cost most nearly what each of them costs in the
        median; of several, the one with the median time."""
        pattern = [self.usual.get(origin, 0) for origin in ORIGINS]
        alike = np.flatnonzero((self.counts == pattern).all(axis=1))
        order = np.lexsort((self.crossings["begin"], self._of))
        order = order[np.isin(self._of[order], alike)]
        costs = self.crossings["cost_us"].fillna(_NEVER_US).to_numpy()[order].reshape(len(alike), self.number)
        unusual = np.abs(costs - np.median(costs, axis=0)).sum(axis=1).round(3)
        took = self.took_us[alike]
        middle = np.sort(took)[(len(took) - 1) // 2]
        row = self.requests.iloc[int(alike[np.lexsort((np.abs(took - middle), unusual))[0]])]
        return int(row["pid"]), int(row["request"])

    def chosen(self, request: int | Request) -> Request:
        """Return the request that is meant by its number, or by pid and number; ConfigurationError if there is none."""
        of, numbers = self.requests["pid"], self.requests["request"]
        wanted = (request,) if isinstance(request, int) and not isinstance(request, bool) else request
        if not isinstance(wanted, tuple) or not 1 <= len(wanted) <= 2:
            raise ConfigurationError(
                f"request={request!r}: expected the number of a request in its worker, or (pid, number)"
            )
        found = self.requests[(numbers == wanted[-1]) & ((of == wanted[0]) | (len(wanted) == 1))]
        if len(found) > 1:
            raise ConfigurationError(
                f"request={request!r}: {len(found)} workers had one of that number; say which, as in ({found['pid'].iloc[0]}, {request})"
            )
        if found.empty:
            known = f"{numbers.min()} to {numbers.max()}"
            raise ConfigurationError(
                f"request={request!r} was not traced, or not to its end; the traced ones have numbers from {known}"
            )
        return int(found["pid"].iloc[0]), int(found["request"].iloc[0])

    @cached_property
    def _of(self) -> Counts:
        """Return the place of each crossing's request among the requests."""
        requests = pd.MultiIndex.from_frame(self.requests[["pid", "request"]])
        return np.asarray(requests.get_indexer(pd.MultiIndex.from_frame(self.crossings[["pid", "request"]])))


def covered(stretches: Floats) -> float:
    """Return how long the stretches, rows of begin and end, last together; where they overlap, once."""
    total, until = 0.0, -np.inf
    for begin, end in sorted(stretches.tolist()):
        total += max(0.0, end - max(begin, until))
        until = max(until, end)
    return total


def traced(contender: Contender, predicted: float | None) -> Traced:
    """Return what is known of a run; ConfigurationError where the probe was off, or followed no request to its end."""
    inside = contender.run.trace
    kind, end = (inside.rows[:, COLUMNS.index(name)] for name in ("kind", "end"))
    if not ((kind == REQUEST) & (end > 0)).any():
        raise ConfigurationError(
            f"the run {contender.label!r} does not know what happened inside its requests; "
            "measure it with every request traced: serve(..., probe=True)"
        )
    spans = inside.spans
    requests = _known(contender, spans[(spans["kind"] == "request") & (spans["end"] > 0)])[
        ["pid", "request", "begin", "end"]
    ].reset_index(drop=True)
    ours = pd.MultiIndex.from_frame(requests[["pid", "request"]])
    crossings = inside.crossings
    within = pd.MultiIndex.from_frame(crossings[["pid", "request"]]).isin(ours)
    return Traced(contender, predicted, requests, crossings[within].reset_index(drop=True))


def loops(contender: Contender) -> set[Request]:
    """Return the threads with an event loop, each by pid and native id."""
    spans, requests = contender.run.trace.spans, contender.run.requests
    found: set[Request] = set()
    for kinds, column in ((("step", "to_thread"), "thread"), (("to_loop",), "ran_on")):
        found |= _pairs(spans[spans["kind"].isin(kinds)], column)
    found |= _pairs(contender.run.trace.ticks, "thread")
    return found | _pairs(requests[requests["on_loop"].fillna(False).astype(bool)], "thread")


def _pairs(table: pd.DataFrame, column: str) -> set[Request]:
    alike = table[["pid", column]].dropna().drop_duplicates()
    return {(int(pid), int(thread)) for pid, thread in alike.itertuples(index=False) if thread}


def _known(contender: Contender, ended: pd.DataFrame) -> pd.DataFrame:
    """Leave out the warm-up and failed requests, where the clients' table says which request is which."""
    table = contender.run.requests
    if "number" not in table:
        return ended
    good = table[answered(table)][["pid", "number"]].dropna().astype("int64")
    wanted = pd.MultiIndex.from_frame(good)
    chosen = ended[pd.MultiIndex.from_frame(ended[["pid", "request"]]).isin(wanted)]
    return ended if chosen.empty else chosen
