"""The axis of ratios: logarithmic around 1, shared by all panels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from requestlab.comparison.comparison import ALIKE
from requestlab.plots import style
from requestlab.plots.lettering import width_in
from requestlab.plots.ratio_rows import Row

_LEAST = math.log(1.12)
_MIN_SHARE = 0.24  # of the axis, to either side of 1, so that the words at its ends have their place
_FURTHER = 0.5  # how much further than the rounds themselves an interval is followed before it is cut off
_DIGITS = ((1, 1.5, 2, 3, 5, 7), (1, 2, 5), (1, 3))
_STEPS = (
    tuple(round(0.05 * i, 2) for i in range(10, 41)),
    tuple(round(0.1 * i, 1) for i in range(2, 21)),
    (0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5),
    *(tuple(10.0**power * digit for power in range(-9, 10) for digit in digits) for digits in _DIGITS),
    *(tuple(10.0**power for power in range(-9 * step, 10 * step, step)) for step in (1, 2, 3)),
)


@dataclass(frozen=True)
class Limits:
    """Where the axis ends."""

    low: float
    high: float

    def cuts(self, low: float, high: float) -> tuple[bool, bool]:
        """Return whether an interval goes on beyond the axis, to the left and to the right."""
        return low < self.low, high > self.high


def limits(rows: Sequence[Row]) -> Limits:
    """Return limits that hold every round and prediction, and the intervals unless they are far wider than the rounds."""
    points = np.log(np.concatenate([[1.0], *(row.each for row in rows), [row.predicted or 1.0 for row in rows]]))
    low, high = min(-_LEAST, float(points.min())), max(_LEAST, float(points.max()))
    bounds = [(math.log(row.ratio.low), math.log(row.ratio.high)) for row in rows if row.ratio.interval.known]
    beyond = _FURTHER * (high - low)
    left = max(min([low, *(bound[0] for bound in bounds)]), low - beyond)
    right = min(max([high, *(bound[1] for bound in bounds)]), high + beyond)
    margin = 0.05 * (right - left)
    left, right = left - margin, right + margin
    least = _MIN_SHARE / (1 - _MIN_SHARE)
    return Limits(math.exp(min(left, -least * right)), math.exp(max(right, -least * left)))


def set_axis(axes: Axes, ends: Limits, panel_in: float, labelled: bool, baseline: str) -> None:
    """Set scale, limits and ticks, draw the line at 1 and the band in which two equal processes may lie."""
    axes.set_xscale("log")
    axes.set_xlim(ends.low, ends.high)
    at = ticks(ends, panel_in)
    axes.xaxis.set_major_locator(FixedLocator(at))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:,.10g}" for tick in at]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelbottom=labelled, length=3 if labelled else 0)
    axes.grid(axis="x", linewidth=0.6, color="#E4E4E4")
    axes.axvspan(1 / (1 + ALIKE), 1 + ALIKE, color="#000000", alpha=0.12, linewidth=0, zorder=0.6)
    axes.axvline(1, color=style.INK, linewidth=0.9, zorder=1)
    if labelled:
        same = f"the same as {baseline}"
        same = same if width_in(same, style.NOTE_PT) < 2 * _MIN_SHARE * panel_in else "the same"
        axes.annotate(same, (1, 0), (0, -17), ("data", "axes fraction"), "offset points", ha="center", va="top")


def ticks(ends: Limits, panel_in: float) -> list[float]:
    """Return the densest ticks whose numbers stand apart; 1 is always one of them."""
    per_in = panel_in / math.log(ends.high / ends.low)
    for steps in _STEPS:
        inside = [step for step in steps if ends.low <= step <= ends.high]
        if len(inside) > 2 and _apart(inside, per_in):
            return inside
    return [1.0]


def _apart(at: Sequence[float], per_in: float) -> bool:
    widths = [width_in(f"{tick:,.10g}", style.NOTE_PT) for tick in at]
    gaps = [per_in * math.log(after / before) for before, after in pairwise(at)]
    return all(gap > sum(pair) / 2 + 0.14 for gap, pair in zip(gaps, pairwise(widths), strict=True))
