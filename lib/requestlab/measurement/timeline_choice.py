"""Which requests the timeline shows, and which stretch of time."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run, answered
from requestlab.trace.lanes import Booleans, zero_ns

MAX_REQUESTS = 300

A_FEW = 60
"""Of a run of more than so many requests, so many are drawn, from the first on, unless asked for others."""

_MARGIN, _MIN_MS = 0.012, 0.05

Chosen = int | slice | None

Span = float | Sequence[float] | None


def table_of(run: Run) -> pd.DataFrame:
    """Return the requests in ms, in the order of planning, with the key by which their spans are found."""
    requests, zero = run.requests, zero_ns(run)
    known = requests["number"].fillna(0).gt(0).to_numpy(dtype=bool)
    keys = zip(requests["pid"].fillna(0), requests["number"].fillna(0), known, strict=True)
    sent = requests["sent"].where(requests["sent"] > 0)
    return pd.DataFrame(
        {
            "planned": (requests["planned"] - zero) / 1e6,
            "sent": (sent - zero) / 1e6,
            "done": (requests["done"].where(requests["done"] > 0) - zero) / 1e6,
            "failed": ~answered(requests),
            "key": pd.Series([(int(p), int(n)) if k else None for p, n, k in keys], dtype=object),
        }
    )


def window_of(span_ms: Span) -> tuple[float, float] | None:
    if span_ms is None:
        return None
    pair: Any = span_ms if isinstance(span_ms, Sequence) and not isinstance(span_ms, str) else (None, span_ms)
    good = len(pair) == 2 and all(_is_time(value) for value in pair if value is not None) and pair[1] is not None
    begin, end = (math.nan if pair[0] is None else float(pair[0]), float(pair[1])) if good else (0.0, 0.0)
    if not good or end <= 0 or end <= begin:
        expected = "a length in ms above 0, or (from, to) in ms since the first request was planned"
        raise ConfigurationError(f"span_ms={span_ms!r}: expected {expected}")
    return begin, end


def _is_time(value: object) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf


def choose(table: pd.DataFrame, requests: Chosen, window: tuple[float, float] | None) -> pd.DataFrame:
    if requests is None:
        if window is not None:
            begin = 0.0 if math.isnan(window[0]) else window[0]
            late_enough = table["done"].isna() | (table["done"] > begin)
            return table[late_enough & (table["planned"] < window[1])]
        return table if len(table) <= MAX_REQUESTS else table[:A_FEW]
    if isinstance(requests, bool) or not isinstance(requests, int | slice):
        expected = "how many, or a slice of the rows of run.requests, as slice(100, 103)"
        raise ConfigurationError(f"requests={requests!r}: expected {expected}")
    if isinstance(requests, int) and requests < 1:
        raise ConfigurationError(f"requests={requests!r}: expected at least 1")
    try:
        found = table[:requests] if isinstance(requests, int) else table[requests]
    except (TypeError, ValueError):
        raise ConfigurationError(f"requests={requests!r}: expected a slice of whole numbers") from None
    if not len(found):
        raise ConfigurationError(
            f"requests={requests!r}: the run has {len(table):,} requests, and none of them is in it"
        )
    return found


def stretch(
    chosen: pd.DataFrame, spans: pd.DataFrame, window: tuple[float, float] | None, from_start: bool
) -> tuple[float, float]:
    if window is not None and not math.isnan(window[0]):
        return window
    begin = 0.0 if from_start or not len(chosen) else float(chosen["planned"].min())
    if window is not None:
        return begin, begin + window[1]
    ends = [chosen["done"].max(), chosen["planned"].max(), begin + _MIN_MS]
    served = spans[(spans["kind"] == "request") & ~spans["cut"]]
    ends.append(served.loc[belonging(served, chosen), "end"].max())
    end = float(np.nanmax(ends))
    margin = _MARGIN * (end - begin)
    return begin - margin, end + margin


def belonging(spans: pd.DataFrame, chosen: pd.DataFrame) -> Booleans:
    """Which spans belong to one of the chosen requests."""
    keys = [key for key in chosen["key"] if key is not None]
    return pd.MultiIndex.from_frame(spans[["pid", "request"]]).isin(keys) if keys else np.zeros(len(spans), dtype=bool)
