"""The rows of the figure of prices: a way to call, its price with rounds and interval, the bands of the documentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from requestlab.comparison.intervals import Interval
from requestlab.plots import style
from requestlab.plots.tallies import us
from requestlab.system import wording
from requestlab.trace.activity import Floats

CLAIMS = (("tens of µs,\nin a request", 10.0, 100.0, "#E3ECF5"), ("a few\nhundred µs,\ncold", 100.0, 900.0, "#F5E9D6"))
"""What Django's documentation, from 6.1 on, says of a crossing: the words, from and to how many µs, and a shade."""

ONE_MS_US = 1000.0
"""What it said up to 6.0."""

NAME_PT = 9.5
_LINE_IN, _GAP_IN, _GUESS_IN = 0.16, 0.13, 0.17
_ROOM = 1.6
_FAR = 1.5
_GUESS: Any = (0, (4, 3))


@dataclass(frozen=True, eq=False)
class Price:
    """One way to call: `what` it is, in lines; its price and the mean over all calls, each round's median, all in µs; which
    rounds were `disturbed`; how many `times` the first way it costs; what the reader predicted."""

    name: str
    what: list[str]
    price: Interval
    mean: float
    rounds: Floats
    disturbed: np.ndarray[Any, np.dtype[np.bool_]]
    times: float | None
    predicted: float | None

    @property
    def height_in(self) -> float:
        """How much room the row needs."""
        return _LINE_IN * (1.1 + len(self.what)) + _GAP_IN + _GUESS_IN * (self.predicted is not None)

    @property
    def far(self) -> bool:
        """Whether the mean says something else than the median."""
        return not 1 / _FAR < self.mean / self.price.value < _FAR


def about(times: float) -> str:
    """A ratio as it is said: `1.8`, `36`, `1,200`."""
    return f"{times:.1f}" if times < 9.95 else f"{float(f'{times:.2g}'):,.0f}"


def set_axes(axes: Axes, rows: Sequence[Price], guess: float | None, height_in: float) -> None:
    """Set both axes: logarithmic in µs, from the cheapest to beyond 1 ms, and inches downward."""
    every = np.concatenate(
        [
            [row.price.value, row.price.low, row.price.high, row.mean, row.predicted or np.nan, *row.rounds]
            for row in rows
        ]
    )
    every = np.append(every, [CLAIMS[0][1] / 2, guess or np.nan])
    every = every[np.isfinite(every) & (every > 0)]
    axes.set_xscale("log")
    axes.set_xlim(float(every.min()) / _ROOM, max(float(every.max()) * _ROOM, 8 * ONE_MS_US))
    axes.set_ylim(height_in, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(LogLocator(numticks=12))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_xlabel("µs for one call of a function that does nothing (logarithmic)", labelpad=3)


def draw_claims(axes: Axes) -> None:
    """Shade what the documentation says, with its words above."""
    for text, low, high, shade in CLAIMS:
        axes.axvspan(low, high, color=shade, linewidth=0, zorder=0)
        _write_above(axes, text, float(np.sqrt(low * high)), "center")
    axes.axvline(ONE_MS_US, color=style.GREY, linestyle=(0, (1, 1.5)), linewidth=1.3, zorder=1)
    _write_above(axes, "1 ms,\nuntil 6.0", ONE_MS_US * 1.06, "left")
    _write_above(axes, "what Django's documentation\nsays of a crossing:", CLAIMS[0][1] / 1.25, "right")


def draw(axes: Axes, row: Price, top: float, left: float, unit: str) -> None:
    """Draw one row from `top` on; its name begins so far `left` of the axes, as a share of their width."""
    whole = row.height_in - _GUESS_IN * (row.predicted is not None)
    middle = top + whole / 2
    spread = middle + np.linspace(-0.25, 0.25, len(row.rounds)) * whole
    faint: dict[str, Any] = {
        "color": style.THREAD,
        "alpha": 0.45,
        "markersize": 3.2,
        "linestyle": "none",
        "marker": "o",
    }
    axes.plot(row.rounds[~row.disturbed], spread[~row.disturbed], markeredgewidth=0, zorder=2, **faint)
    axes.plot(
        row.rounds[row.disturbed], spread[row.disturbed], markerfacecolor="none", markeredgewidth=0.7, zorder=2, **faint
    )
    if row.price.known:
        axes.plot([row.price.low, row.price.high], [middle] * 2, color=style.INK, linewidth=2.4, zorder=3)
    if row.far:
        axes.plot(row.mean, middle, "D", markerfacecolor="white", markeredgecolor=style.INK, markersize=5.5, zorder=4)
    axes.plot(row.price.value, middle, "o", color=style.INK, markersize=6.5, zorder=5)
    _write_name(axes, row, top + (whole - _LINE_IN * (1.1 + len(row.what))) / 2, left)
    _write_price(axes, row, middle, unit)
    if row.predicted is not None:
        draw_guess(axes, row.predicted, top + 0.04, top + row.height_in - 0.03)


def draw_guess(axes: Axes, guess: float, top: float, bottom: float) -> None:
    """Draw what the reader predicted over some rows, and say so at the bottom of them."""
    axes.plot([guess] * 2, [top, bottom], color=style.INK, linestyle=_GUESS, linewidth=1.4, zorder=4.5)
    to_the_left = guess > float(np.sqrt(np.prod(axes.get_xlim())))
    axes.annotate(
        f"your prediction: {wording.number(guess)} µs", (guess, bottom), (-4 if to_the_left else 4, 0), "data", "offset points", va="bottom",
        ha="right" if to_the_left else "left", fontsize=style.NOTE_PT, annotation_clip=False,
    )  # fmt: skip


def _write_name(axes: Axes, row: Price, top: float, left: float) -> None:
    across = axes.get_yaxis_transform()
    axes.text(-left, top, row.name, fontsize=NAME_PT, weight="bold", va="top", transform=across)
    for number, line in enumerate(row.what):
        at = top + _LINE_IN * (1.1 + number)
        axes.text(-left, at, line, fontsize=style.NOTE_PT, color=style.GREY, va="top", transform=across)


def _write_price(axes: Axes, row: Price, middle: float, unit: str) -> None:
    scale = 1e3 if row.price.value >= 1e3 else 1.0
    bounds = [wording.ms(bound / scale) for bound in (row.price.low, row.price.high)]
    between = f" ({bounds[0]} to {bounds[1]})" if row.price.known else ""
    notes = [f"{about(row.times)} × {unit}"] if row.times is not None else []
    notes += [f"mean {us(row.mean)}"] if row.far else []
    texts = [(us(row.price.value) + between, "bold", style.INK), (", ".join(notes), "normal", style.GREY)]
    for number, (text, weight, colour) in enumerate(texts):
        axes.annotate(
            text, (1, middle), (8, 5.5 - 11.5 * number if notes else 0), ("axes fraction", "data"), "offset points", va="center",
            fontsize=style.NOTE_PT, weight=weight, color=colour, annotation_clip=False,
        )  # fmt: skip


def _write_above(axes: Axes, text: str, x: float, ha: str) -> None:
    axes.annotate(
        text, (x, 1), (0, 5), ("data", "axes fraction"), "offset points", ha=ha, va="bottom", fontsize=style.CAPTION_PT,
        color=style.GREY, linespacing=1.2, annotation_clip=False,
    )  # fmt: skip
