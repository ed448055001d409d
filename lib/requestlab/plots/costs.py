"""The column beside a waterfall: what each crossing cost, there and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from requestlab.plots import style
from requestlab.plots.lettering import POINTS_PER_INCH, width_in
from requestlab.system import wording
from requestlab.trace.requests import Step

_WAYS, _COST, _OPEN = "there + back", "= cost, µs", "not ended"
_APART_IN, _EDGE_IN, _UP_PT = 0.1, 0.06, 8.0


def column_in(rows: Sequence[Step]) -> float:
    """Return how wide the column is, in inches; next to nothing without a crossing."""
    return (
        2 * _APART_IN + _ways_in(rows) + _cost_in(rows) + _EDGE_IN if any(row.crossing for row in rows) else _APART_IN
    )


def draw(axes: Axes, rows: Sequence[Step], middles: Sequence[float]) -> None:
    """Write the costs of the crossings among the rows, whose middles are at these heights, and above them what they are."""
    right_in = column_in(rows) - _EDGE_IN
    left_in = right_in - _cost_in(rows) - _APART_IN
    for row, middle in zip(rows, middles, strict=True):
        if row.crossing:
            _write(axes, _ways(row), left_in, middle)
            _write(axes, _cost(row), right_in, middle, bold=True)
    if any(row.crossing for row in rows):
        _write(axes, _WAYS, left_in, None)
        _write(axes, _COST, right_in, None, bold=True)


def _ways(row: Step) -> str:
    return f"{wording.ms(row.there_us)} + {wording.ms(row.back_us)}" if np.isfinite(row.cost_us) else ""


def _cost(row: Step) -> str:
    return f"= {wording.ms(row.cost_us)}" if np.isfinite(row.cost_us) else _OPEN


def _ways_in(rows: Sequence[Step]) -> float:
    return max(width_in(text, style.NOTE_PT) for text in [_WAYS, *(_ways(row) for row in rows if row.crossing)])


def _cost_in(rows: Sequence[Step]) -> float:
    return max(
        width_in(text, style.NOTE_PT, bold=True) for text in [_COST, *(_cost(row) for row in rows if row.crossing)]
    )


def _write(axes: Axes, text: str, right_in: float, middle: float | None, bold: bool = False) -> None:
    """Write with its right end so far beyond the axes; without a height, above them."""
    above = middle is None
    axes.annotate(
        text, (1, 1 if middle is None else middle), (POINTS_PER_INCH * right_in, _UP_PT if above else 0),
        "axes fraction" if above else ("axes fraction", "data"), "offset points", ha="right",
        va="baseline" if above else "center", fontsize=style.NOTE_PT, weight="bold" if bold else "normal", annotation_clip=False,
    )  # fmt: skip
