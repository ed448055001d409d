"""How often requests cross, by origin: a bar of one cell for each crossing, beside it what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from requestlab.measurement.record import answered
from requestlab.plots import style
from requestlab.plots.inputs import Contender
from requestlab.plots.lettering import width_in
from requestlab.system import wording
from requestlab.trace.requests import Traced, traced

COLOURS = {
    "signal": "#B79FCB",
    "middleware": "#7B4B94",
    "view": "#1F3A5F",
    "close": "#9DB4C0",
    "other": "#C9C2B8",
}
"""Where a crossing comes from; no configuration's colour, and none of those that say who ran something."""

PANEL_IN, BESIDE_IN = 6.6, 3.0
_HEAD_IN, _GUESS_IN, _BAR_IN, _NAMES_IN, _GAP_IN = 0.24, 0.2, 0.27, 0.25, 0.2
_MIN_CELLS, _MAX_CELLS = 8.0, 120
_POINTS = style.NOTE_PT + 0.5


@dataclass(frozen=True, eq=False)
class Tally(Traced):
    """The traced requests of one run in a figure, and how many crossings the reader predicted for each."""

    contender: Contender
    predicted: float | None


def tally(contender: Contender, predicted: float | None) -> Tally:
    """Return what is known of a run; ConfigurationError where the probe was off, or followed no request to its end."""
    run = contender.run
    found = traced(run.trace, run.requests[answered(run.requests)], contender.label)
    return Tally(found.requests, found.crossings, contender, predicted)


def height_in(tallies: Sequence[Tally], headed: bool) -> float:
    """Return how much room the bars need, in inches."""
    return sum(_block_in(one, headed) for one in tallies) + _GAP_IN * (len(tallies) - 1)


def draw(axes: Axes, tallies: Sequence[Tally], headed: bool) -> None:
    """Draw one bar for each run, `headed` by its label, into axes that are `PANEL_IN` wide and as high as `height_in` says."""
    axes.set_ylim(height_in(tallies, headed), 0)
    axes.set_xlim(
        0, max([_MIN_CELLS, *(one.range[1] for one in tallies), *(one.predicted or 0 for one in tallies)]) * 1.01
    )
    axes.set_axis_off()
    top = 0.0
    for one in tallies:
        if headed:
            _write_heading(axes, one, top + _HEAD_IN - 0.08)
        bar = top + headed * _HEAD_IN + (one.predicted is not None) * _GUESS_IN
        _draw_bar(axes, one, bar)
        _write_beside(axes, one, bar)
        _draw_guess(axes, one, bar)
        _write_names(axes, one, bar + _BAR_IN + _NAMES_IN / 2)
        top += _block_in(one, headed) + _GAP_IN


def _block_in(one: Tally, headed: bool) -> float:
    return headed * _HEAD_IN + (one.predicted is not None) * _GUESS_IN + _BAR_IN + (one.number > 0) * _NAMES_IN


def _write_heading(axes: Axes, one: Tally, bottom: float) -> None:
    face = one.contender.look
    axes.text(
        0, bottom, one.contender.heading, color=face.ink, fontsize=style.HEADING_PT, weight="bold", va="baseline"
    )  # fmt: skip
    asked = f"{one.contender.run.about.path}, {one.contender.run.about.load}"
    at_in = width_in(one.contender.heading, style.HEADING_PT, bold=True) + 0.15
    axes.text(
        at_in / PANEL_IN, bottom, asked, color=style.GREY, fontsize=style.NOTE_PT, va="baseline",
        transform=axes.get_yaxis_transform(),
    )  # fmt: skip


def _draw_bar(axes: Axes, one: Tally, top: float) -> None:
    axes.plot([0, 0], [top, top + _BAR_IN], color=style.NOBODY, linewidth=0.8, clip_on=False)
    at = 0
    cell = 1 if one.number <= _MAX_CELLS else one.number
    for origin, number in one.usual.items():
        for first in range(0, number, cell):
            axes.add_patch(
                Rectangle(
                    (at + first, top), min(cell, number - first), _BAR_IN, facecolor=COLOURS[origin], edgecolor="white",
                    linewidth=1.2,
                )
            )  # fmt: skip
        at += number
    low, high = one.range
    if low < high:
        middle = top + _BAR_IN / 2
        axes.plot([low, high], [middle, middle], color=style.INK, linewidth=1.1, marker="|", markersize=9, zorder=4)


def _write_beside(axes: Axes, one: Tally, top: float) -> None:
    at = (PANEL_IN + 0.15) / PANEL_IN
    found = [(f"{crossed(one)} per request", True, 0.08), (_cost(one), False, 0.24)]
    for text, bold, down in found if one.range[1] else [("no crossing", True, 0.08)]:
        axes.text(
            at, top + down, text, fontsize=_POINTS, weight="bold" if bold else "normal", va="center",
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip


def crossed(one: Tally) -> str:
    """`16 crossings`; where requests differ, `14 to 16 crossings`."""
    low, high = one.range
    return wording.counted(one.number, "crossing") if low == high else f"{low:,} to {high:,} crossings"


def _cost(one: Tally) -> str:
    if not np.isfinite(one.cost_us):
        return "cost unknown"
    return f"{us(one.cost_us)} each, in the median"


def us(value: float) -> str:
    """A time in µs, or in ms from 1,000 of them on: `0.12 µs`, `5.3 µs`, `71 µs`, `1.1 ms`."""
    return (
        f"{wording.ms(value)}\N{NO-BREAK SPACE}µs" if value < 1e3 else f"{wording.ms(value / 1e3)}\N{NO-BREAK SPACE}ms"
    )


def _draw_guess(axes: Axes, one: Tally, top: float) -> None:
    if one.predicted is None:
        return
    text = f"your prediction: {wording.number(one.predicted)}"
    axes.plot(
        [one.predicted] * 2, [top - 0.07, top + _BAR_IN + 0.05], color=style.INK, linestyle=(0, (2.5, 1.5)), linewidth=1.5,
        zorder=5, clip_on=False,
    )  # fmt: skip
    room_in = PANEL_IN * (1 - one.predicted / axes.get_xlim()[1])
    left = room_in > width_in(text, style.NOTE_PT)
    axes.annotate(
        text, (one.predicted, top - 0.06), (-2 if left else 2, 1), "data", "offset points", fontsize=style.NOTE_PT,
        ha="left" if left else "right", va="bottom", annotation_clip=False,
    )  # fmt: skip


def _write_names(axes: Axes, one: Tally, middle: float) -> None:
    """Write the origins below the bar, each behind a square of its colour."""
    at_in = 0.0
    for origin, number in one.usual.items():
        text = f"{number:,} {origin}"
        axes.plot(
            (at_in + 0.06) / PANEL_IN, middle, "s", color=COLOURS[origin], markersize=7, clip_on=False,
            transform=axes.get_yaxis_transform(),
        )  # fmt: skip
        axes.text(
            (at_in + 0.16) / PANEL_IN, middle, text, fontsize=_POINTS, va="center", transform=axes.get_yaxis_transform()
        )
        at_in += 0.16 + width_in(text, _POINTS) + 0.25
    if one.range[0] < one.range[1]:
        axes.text(
            at_in / PANEL_IN, middle, f"most often {one.number:,} (the line: fewest to most)", fontsize=style.NOTE_PT,
            color=style.GREY, va="center", transform=axes.get_yaxis_transform(),
        )  # fmt: skip
