"""One panel of the figure of ratios: one metric, a row for each case and contender."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.comparison import CANNOT_TELL, METRICS
from requestlab.plots import style
from requestlab.plots.headings import Line, height_in, lines
from requestlab.plots.lettering import POINTS_PER_INCH, width_in
from requestlab.plots.ratio_axis import Limits
from requestlab.plots.ratio_rows import Row
from requestlab.plots.ratio_words import WORDINGS, beside

HEAD_IN = 0.34
FOOT_IN = 0.38
RIGHT_IN = 2.72
HEADING_PT, LABEL_PT = 9.5, 9.0

_MIN_ROW_IN, _BETWEEN_CASES_IN = 0.35, 0.1
_MAX_CASE_IN, _MAX_LABEL_IN, _APART_IN = 1.3, 1.75, 0.14
_ABOVE_PT = 5.0
_FASTER_SIDE = "#EDF5EC"


@dataclass(frozen=True)
class Columns:
    """How wide the names of the cases and the labels before the rows are, in inches."""

    case_in: float
    label_in: float

    @property
    def left_in(self) -> float:
        """How far the axes begin from the left margin."""
        return self.case_in + self.label_in


@dataclass(frozen=True, eq=False)
class Placed:
    """A row with its place in inches from the top of its panel, and its words."""

    row: Row
    top_in: float
    bottom_in: float
    case: list[Line]
    label: list[Line]
    beside: list[Line]

    @property
    def middle_in(self) -> float:
        return (self.top_in + self.bottom_in) / 2


@dataclass(frozen=True, eq=False)
class Panel:
    """The rows of one metric with their places, and how high the panel is."""

    metric: str
    placed: list[Placed]
    height_in: float


def columns(rows: Sequence[Row], metrics: Sequence[str]) -> Columns:
    """Return columns wide enough for all labels, as far as there is room, and for the headings above them."""
    case_in = max(min(width_in(row.case, LABEL_PT, True), _MAX_CASE_IN) for row in rows)
    label_in = max(min(width_in(row.label, LABEL_PT, True), _MAX_LABEL_IN) for row in rows) + _APART_IN
    case_in += _APART_IN if case_in else 0
    headings = [width_in(WORDINGS[metric].heading, HEADING_PT, True) + _APART_IN for metric in metrics]
    return Columns(case_in, max(label_in, max(headings) - case_in))


def panel(metric: str, rows: Sequence[Row], widths: Columns, notes: Sequence[str]) -> Panel:
    """Give each row its place."""
    placed: list[Placed] = []
    bottom = 0.0
    for row in rows:
        begins = not placed or placed[-1].row.case != row.case
        case = lines(row.case, widths.case_in, LABEL_PT, bold=True) if begins and row.case else []
        ink = style.GREY if row.control else row.face.ink
        label = lines(row.label, widths.label_in - _APART_IN, LABEL_PT, ink, bold=not row.control)
        said = beside(row, metric, notes, RIGHT_IN - _APART_IN)
        top = bottom + (_BETWEEN_CASES_IN if begins and placed else 0)
        bottom = top + max(_MIN_ROW_IN, *(height_in(part) for part in (case, label, said)))
        placed.append(Placed(row, top, bottom, case, label, said))
    return Panel(metric, placed, bottom)


def draw(axes: Axes, one: Panel, ends: Limits, widths: Columns) -> None:
    """Draw the rows into axes whose scale, limits and ticks are set already."""
    axes.set_ylim(one.height_in, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _draw_head(axes, one, ends, widths)
    for place, ruled in zip(one.placed, _begins_case(one), strict=True):
        if ruled:
            axes.axhline(place.top_in - _BETWEEN_CASES_IN / 2, color="#BBBBBB", linewidth=0.7, zorder=0.7)
        _draw_row(axes, place, ends)
        _write(axes, place.case, place, -widths.left_in)
        _write(axes, place.label, place, -widths.label_in)
        _write(axes, place.beside, place, _APART_IN, right=True)


def _begins_case(one: Panel) -> Iterator[bool]:
    for number, place in enumerate(one.placed):
        yield number > 0 and one.placed[number - 1].row.case != place.row.case


def _draw_head(axes: Axes, one: Panel, ends: Limits, widths: Columns) -> None:
    wording = WORDINGS[one.metric]
    faster = (1, ends.high) if METRICS[one.metric] > 0 else (ends.low, 1)
    axes.axvspan(*faster, color=_FASTER_SIDE, linewidth=0, zorder=0.5)
    _write_above(axes, wording.heading, -widths.left_in, fontsize=HEADING_PT, weight="bold")
    _write_above(axes, f"◀ {wording.less}", fontsize=LABEL_PT)
    _write_above(axes, f"{wording.more} ▶", at=1, fontsize=LABEL_PT, ha="right")


def _write_above(axes: Axes, text: str, offset_in: float = 0, at: float = 0, **how: Any) -> None:
    offset = (offset_in * POINTS_PER_INCH, _ABOVE_PT)
    axes.annotate(text, (at, 1), offset, "axes fraction", "offset points", annotation_clip=False, **how)


def _draw_row(axes: Axes, place: Placed, ends: Limits) -> None:
    row, middle = place.row, place.middle_in
    half_in = 0.13
    each_in = np.linspace(middle - half_in, middle + half_in, max(2, len(row.each)))[: len(row.each)]
    axes.plot(row.each, each_in, "o", color=row.face.colour, markersize=3.2, alpha=0.35, markeredgewidth=0, zorder=2)
    if row.ratio.interval.known:
        _draw_interval(axes, row, middle, ends)
    if len(row.each):
        doubted = row.ratio.verdict == CANNOT_TELL and bool(row.caveats)
        strokes = row.face.strokes | {"linestyle": "none", "markersize": 6.5, "zorder": 4}
        if doubted or not row.ratio.interval.known:
            strokes |= {"markerfacecolor": "white"}
        axes.plot([row.ratio.value], [middle], **strokes)
    if row.predicted is not None:
        axes.plot(
            [row.predicted] * 2, [place.top_in, place.bottom_in], color=style.INK, linestyle=(0, (4, 3)), linewidth=1.3
        )
        axes.plot([row.predicted], [middle], "x", color=style.INK, markersize=7, markeredgewidth=1.8, zorder=5)


def _draw_interval(axes: Axes, row: Row, middle: float, ends: Limits) -> None:
    low, high = row.ratio.low, row.ratio.high
    cut = ends.cuts(low, high)
    faint = 0.45 if row.caveats else 1.0
    shown = (max(low, ends.low), min(high, ends.high))
    axes.plot(shown, (middle, middle), color=row.face.colour, linewidth=3.2, alpha=faint, zorder=3)
    for at, beyond, arrow in zip(shown, cut, "<>", strict=True):
        mark = arrow if beyond else "|"
        axes.plot(
            [at], [middle], mark, color=row.face.colour, markersize=8, markeredgewidth=2, zorder=3, clip_on=not beyond
        )


def _write(axes: Axes, said: Sequence[Line], place: Placed, left_in: float, right: bool = False) -> None:
    """Write lines beside the axes, centred on their row."""
    most_pt = sum(1.4 * line.points for line in said)
    above = most_pt / 2
    for line in said:
        above -= 1.4 * line.points
        axes.annotate(
            line.text,
            (1 if right else 0, place.middle_in),
            (left_in * POINTS_PER_INCH, above + 0.3 * line.points),
            ("axes fraction", "data"),
            "offset points",
            fontsize=line.points,
            color=line.color,
            weight="bold" if line.bold else "normal",
            va="baseline",
            annotation_clip=False,
        )
