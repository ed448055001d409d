"""Which view a stretch of the timeline's lanes belongs to, and which stretches were run for the loads beside."""

from __future__ import annotations

import numpy as np
import pandas as pd

from requestlab.measurement.run import Run
from requestlab.trace.lanes import Integers

_LONGEST = 42


def views_of(spans: pd.DataFrame) -> dict[int, str]:
    """Return the full name of the view by the place of each span of a view, or slice of one, in the table."""
    views, pieces = spans[spans["kind"] == "view"], spans[spans["in_view"]]
    by_id = dict(zip(_pairs(views, "id"), views["label"].tolist(), strict=True))
    found = dict(zip(views.index.tolist(), views["label"].tolist(), strict=True))
    found |= {
        place: by_id.get(key, "") for place, key in zip(pieces.index.tolist(), _pairs(pieces, "parent"), strict=True)
    }
    return found


def named(view: str) -> str:
    """Return how figures call a view: `view page` for `shop.views.page`."""
    name = view.rpartition(".")[2]
    short = name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"
    return f"view {short}".rstrip()


def run_beside(run: Run, spans: pd.DataFrame) -> Integers:
    """Return the places of the spans that were run for requests of the loads beside the run's own."""
    tables = [table for other in run.beside.values() for table in (other.warmup, other.requests)]
    keys = {key for table in tables for key in _pairs(table.dropna(subset=["pid", "number"]), "number")}
    kept = [key in keys for key in _pairs(spans, "request")] if keys else []
    return spans.index.to_numpy(np.int64)[np.flatnonzero(kept)]


def _pairs(table: pd.DataFrame, column: str) -> list[tuple[int, int]]:
    return list(zip(map(int, table["pid"].tolist()), map(int, table[column].tolist()), strict=True))
