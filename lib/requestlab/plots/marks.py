"""Marks that figures are composed of, and the moves that keep their labels apart.

Rows and lanes lie in axes whose y is in inches downward (`downward`): `bars` fills stretches of a lane, `estimate` is a
row with a point and an interval. Curves are named at their ends: by blocks of text (`named_panel`) or by single lines
(`name_levels`), tied to what they name. `Labels` places what stands inside a panel. A dashed line is a reader's
`prediction`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator, StrMethodFormatter
from numpy.typing import ArrayLike

from requestlab.comparison.intervals import Interval
from requestlab.plots import sheet, style
from requestlab.plots.sheet import AXIS_IN, POINTS_PER_INCH, Line, Sheet, size_in, width_in
from requestlab.plots.style import SeriesStyle
from requestlab.trace.activity import Booleans, Floats

Ends = Sequence[tuple[float, float]]

RIGHT_IN, NAMES_IN = 3.4, 3.05
"""The room to the right of a panel of curves, and how wide the names there are."""

_MIDDLE_IN = 0.16  # from the top of a block of text to the middle of its first line
_LANES_APART_IN = 0.155
_AWAY_PT, _LINE = 4.0, 1.25
_AWAYS_PT = range(4, 46, 2)
_LOW, _OTHER_SIDE, _ON_A_LINE, _ON_A_LABEL = 3, 12, 20, 1000
"""What speaks against a place for a label, in points that it would rather be further away."""

_PAPER = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "boxstyle": "square,pad=0.05"}
"""What lies behind words that may stand on lines."""


# Axes


def downward(axes: Axes, high_in: float) -> None:
    """Let y be in inches, from the top downward and without ticks: for rows and lanes."""
    axes.set_ylim(high_in, 0)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def number(axis: Axis, most: int = 8) -> None:
    """Number an axis whose scale and limits are set, in round steps: at most so many where it is linear."""
    low, high = sorted(axis.get_view_interval())
    if axis.get_scale() == "log" and high > 4 * low:
        subs = (((1, 1.5, 2, 3, 5, 7), 12), ((1, 2, 3, 5, 7), 50), ((1, 2, 5), 500), ((1,), np.inf))
        axis.set_major_locator(LogLocator(subs=next(some for some, span in subs if high < span * low), numticks=12))
    else:
        axis.set_major_locator(MaxNLocator(most, steps=[1, 2, 5, 10]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))


def x_in(axes: Axes, x: float) -> float:
    """Return how far a place on the axis is from the left edge of the axes, in inches."""
    there = axes.get_xaxis_transform().transform((x, 0.0))
    return float(axes.transAxes.inverted().transform(there)[0]) * size_in(axes)[0]


def y_in(axes: Axes, y: float) -> float:
    """Return how far a place on the axis is from the bottom of the axes, in inches."""
    there = axes.get_yaxis_transform().transform((0.0, y))
    return float(axes.transAxes.inverted().transform(there)[1]) * size_in(axes)[1]


def name_ticks(axes: Axes, at: Sequence[float], texts: Sequence[str]) -> None:
    """Name these places, ascending, below the axes; leave out what would touch a name to the right of it."""
    chosen: list[tuple[float, str]] = []
    left_in = np.inf
    for place, text in reversed(list(zip(at, texts, strict=True))):
        middle_in, half_in = x_in(axes, place), width_in(text) / 2
        if middle_in + half_in + 0.08 < left_in:
            chosen.insert(0, (place, text))
            left_in = middle_in - half_in
    axes.set_xticks([place for place, _ in chosen], [text for _, text in chosen])
    axes.xaxis.set_minor_locator(NullLocator())


# Rows and lanes


def rows(page: Sheet, heights_in: Sequence[float], left_in: float, right_in: float, **room: Any) -> tuple[Axes, Ends]:
    """Return a new panel of rows with these heights, and where each begins and ends, in inches from the top.

    `room` is what `Sheet.panel` takes besides.
    """
    ends = np.cumsum([0.0, *heights_in]).tolist()
    axes = page.panel(ends[-1], left_in, right_in, **room)
    downward(axes, ends[-1])
    return axes, list(pairwise(ends))


def bars(
    axes: Axes, begin: ArrayLike, end: ArrayLike, top: ArrayLike, bottom: ArrayLike, **how: Any
) -> PathPatch | None:
    """Fill stretches from `begin` to `end`, each from `top` to `bottom`: one shape, however many they are.

    `how` is what matplotlib's patches take. None, if there is nothing to fill.
    """
    left, right, upper, lower = np.broadcast_arrays(*np.atleast_1d(begin, end, top, bottom))
    if not left.size:
        return None
    corners = np.stack([left, upper, right, upper, right, lower, left, lower], axis=1).reshape(-1, 4, 2)
    filled = PathPatch(Path.make_compound_path_from_polys(corners), **{"linewidth": 0} | how)
    axes.add_artist(filled)  # add_patch would work out limits, bar by bar
    return filled


def estimate(
    axes: Axes,
    y: float,
    found: Interval,
    each: Floats,
    look: SeriesStyle,
    *,
    half_in: float = 0.13,
    hollow: Sequence[bool] = (),
    doubtful: bool = False,
) -> None:
    """Draw a row: faintly the figure of each round, the first on top, and over them the value with its interval.

    `hollow` says which rounds are drawn hollow. Where the value is `doubtful`, it is hollow and its interval pale.
    """
    rows = (y + np.linspace(-half_in, half_in, max(2, len(each))))[: len(each)]
    empty = np.array(hollow or np.zeros(len(each)), dtype=bool)
    dots: dict[str, Any] = {"color": look.colour, "alpha": 0.35, "ms": 3.2, "zorder": 2}
    axes.plot(each[~empty], rows[~empty], "o", markeredgewidth=0, **dots)
    if empty.any():
        axes.plot(each[empty], rows[empty], "o", markerfacecolor="none", markeredgewidth=0.7, **dots)
    if found.known:
        low, high = axes.get_xlim()
        axes.plot(
            [found.low, found.high], [y, y], color=look.colour, linewidth=3.2, alpha=0.45 if doubtful else 1, zorder=3
        )
        for bound, sign in ((found.low, "<"), (found.high, ">")):  # an arrow, where it goes on beyond the axis
            beyond = not low <= bound <= high
            cap: dict[str, Any] = {"color": look.colour, "ms": 6, "markeredgewidth": 2, "zorder": 3, "clip_on": False}
            axes.plot([np.clip(bound, low, high)], [y], sign if beyond else "|", **cap)
    if len(each):
        inside = {"markerfacecolor": "white"} if doubtful or not found.known else {}
        axes.plot([found.value], [y], **look.markers | {"ms": 6.5, "zorder": 4} | inside)


def clock(axes: Axes, *, named: bool = True) -> None:
    """Number an axis of time in ms since the first request was planned, and say so where it is `named`."""
    wide_in = size_in(axes)[0]
    number(axes.xaxis, int(np.clip(2.2 * wide_in, 3, 10)))
    if named:
        label = "ms since the first request was planned"
        fits = width_in(label, style.TEXT_PT) < wide_in + 0.6
        axes.set_xlabel(label if fits else label.removesuffix(" was planned"), labelpad=2)


def name_lanes(axes: Axes, names: Iterable[tuple[float, str]], *, bold: bool = False) -> None:
    """Write names to the left of lanes whose y is in inches, from the top downward; leave out what would touch one
    above."""
    how: dict[str, Any] = Line("", bold=bold).font | {"ha": "right", "va": "center", "linespacing": 1.25}
    lowest = -np.inf
    for y, text in names:
        if text and y - lowest >= _LANES_APART_IN:
            lowest = y
            where = ("axes fraction", "data")
            axes.annotate(text, (0, y), (-5, 0), where, "offset points", annotation_clip=False, **how)


# A reader's prediction


PREDICTED: dict[str, Any] = {"linestyle": style.DASHED, "linewidth": 1.3}
"""How a line of a reader's prediction is drawn."""


def prediction(
    axes: Axes,
    value: float,
    words: str = "",
    *,
    span: tuple[float, float] | None = None,
    cross: float | None = None,
    color: str = style.INK,
    above_in: float = 0.0,
) -> None:
    """Draw a prediction of a value of x as a dashed line, with `words` above it, `above_in` inches up, within the
    panel.

    The line goes from end to end, or over a `span` of y (the first end is the upper one); `cross` marks a place on it.
    """
    if span is None:
        axes.axvline(value, color=color, zorder=1.5, **PREDICTED)
    else:
        axes.plot([value] * 2, span, color=color, zorder=5, clip_on=False, **PREDICTED)
    if cross is not None:
        axes.plot([value], [cross], "x", color=color, ms=7, markeredgewidth=1.8, zorder=5)
    if words:
        wide_in = width_in(words)
        left_in = float(np.clip(x_in(axes, value) - wide_in / 2, 0, max(0, size_in(axes)[0] - wide_in)))
        at, coords = ((0, 1), "axes fraction") if span is None else ((0, span[0]), ("axes fraction", "data"))
        offset = (left_in * POINTS_PER_INCH, above_in * POINTS_PER_INCH + 3)
        how: dict[str, Any] = Line(words, color=color).font | {"va": "bottom", "bbox": _PAPER, "annotation_clip": False}
        axes.annotate(words, at, offset, coords, "offset points", **how)


# Names beside a panel


def spread(wanted: Sequence[float] | Floats, apart: float, lowest: float, highest: float) -> list[float]:
    """Return places for labels that want to be at `wanted`, ascending: at least `apart` from each other, and as near as
    can be.

    They are within the bounds if all fit between them. Neighbours that would touch are moved together, to either side
    of the middle of what they want.
    """
    if not len(wanted):
        return []
    from scipy.optimize import isotonic_regression  # only here: it takes half a second to load

    steps = apart * np.arange(len(wanted))
    level = isotonic_regression(np.asarray(wanted) - steps).x
    return [float(place) for place in np.clip(level, lowest, max(lowest, highest - steps[-1])) + steps]


def tie(axes: Axes, at: tuple[float, float], height: float, colour: str) -> None:
    """Draw a thin line from a point of the data to the words beside the axes, whose height is a share of theirs."""
    thin = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "alpha": 0.6, "shrinkA": 0, "shrinkB": 0}
    beside = 1 + (sheet.BESIDE_IN - 0.03) / size_in(axes)[0]
    axes.annotate("", at, (beside, height), "data", "axes fraction", arrowprops=thin, annotation_clip=False)


@dataclass(frozen=True, eq=False)
class Curve:
    """A block of text that names a curve beside its panel, tied to it at a point of the data.

    `at` returns the point for the height at which the text is, a share of that of the panel; None: there is no curve.
    """

    block: Sequence[Line]
    colour: str
    at: Callable[[float], tuple[float, float] | None]


def named_panel(
    page: Sheet, least_in: float, curves: Sequence[Curve], left_in: float, below_in: float = AXIS_IN
) -> Axes:
    """Return a new panel with the blocks of its curves, evenly spread, to its right: so high that there is room for
    them."""
    blocks_in = sum(sheet.height_in(curve.block) for curve in curves)
    high_in = max(least_in, blocks_in)
    axes = page.panel(high_in, left_in, RIGHT_IN, below_in=below_in)
    gap_in = (high_in - blocks_in) / (len(curves) + 1)
    top_in = high_in - gap_in
    for curve in curves:
        sheet.write_beside(axes, curve.block, top_in / high_in)
        height = (top_in - _MIDDLE_IN - 0.03) / high_in
        if (point := curve.at(height)) is not None:
            tie(axes, point, height, curve.colour)
        top_in -= sheet.height_in(curve.block) + gap_in
    return axes


@dataclass(frozen=True)
class Level:
    """A name that stands beside a panel, as close to `y` as the others allow; tied to a point, if `x` is known."""

    y: float
    text: str
    color: str = style.INK
    x: float | None = None


def name_levels(axes: Axes, levels: Iterable[Level], most_in: float, apart_in: float = 0.165) -> None:
    """Write names of at most so many inches beside the axes."""
    ranked = sorted(levels, key=lambda level: level.y)
    panel_in = size_in(axes)[1]
    places = spread([y_in(axes, level.y) for level in ranked], apart_in, 0.0, panel_in)
    for level, place in zip(ranked, places, strict=True):
        if level.x is not None:
            tie(axes, (level.x, level.y), place / panel_in, level.color)
        line = Line(sheet.fitting(level.text, most_in), color=level.color)
        sheet.write_beside(axes, [line], (place + _MIDDLE_IN) / panel_in)


# Labels inside a panel


class Labels:
    """Labels beside what they name, never on one another, and off the lines where there is room.

    For one panel, whose place in the figure and whose limits are settled.

    >>> labels = Labels(axes)
    >>> labels.avoid(time_ms, threads)
    >>> labels.put("peak 61", (15, 61))
    """

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._lines = np.empty((0, 4))
        self._taken = np.empty((0, 4))

    def avoid(self, x: Floats, y: Floats) -> None:
        """Keep labels off a line with steps at `x`, which has the value `y` from there to the next."""
        points = self._points(np.column_stack([x, y]))
        across = np.column_stack([points[:-1], points[1:, 0], points[:-1, 1]])
        upright = np.column_stack([points[1:, 0], points[:-1, 1], points[1:]])
        upright[:, 1::2].sort(axis=1)
        self._lines = np.concatenate([self._lines, across, upright])

    def avoid_level(self, y: float) -> None:
        """Keep labels off a level line from end to end."""
        self.avoid(np.array(self._axes.get_xlim()), np.full(2, y))

    def predict(self, y: float, color: str = style.INK) -> None:
        """Draw a prediction of a value of y as a dashed line from end to end, and keep labels off it."""
        self._axes.axhline(y, color=color, zorder=3, **PREDICTED)
        self.avoid_level(y)

    def put(
        self,
        text: str,
        at: tuple[float, float],
        *,
        to_the_left: bool = False,
        color: str = style.INK,
        bold: bool = False,
        optional: bool = False,
    ) -> bool:
        """Write `text` close above the point, or else below it, or on its other side, or as close as there is room.

        Where no place is free of other labels, one that is `optional` is not written; return whether it was.
        """
        texts = text.split("\n")
        wide_in = max(width_in(one, bold=bold) for one in texts)
        size = np.array([wide_in * POINTS_PER_INCH, _LINE * style.NOTE_PT * len(texts)])
        corner = self._best(self._points(np.array([at]))[0], size, to_the_left)
        box = np.concatenate([corner, corner + size])
        if optional and _meet(box, self._taken).any():
            return False
        self._taken = np.vstack([self._taken, box])
        how: Mapping[str, Any] = Line(text, color=color, bold=bold).font | {"linespacing": 1.1, "bbox": _PAPER}
        self._axes.annotate(text, (0, 0), tuple(corner), "axes fraction", "offset points", va="bottom", **how)
        return True

    def _best(self, point: Floats, size: Floats, to_the_left: bool) -> Floats:
        """Return the lower left corner where a label is least in the way, within the panel if the text fits at all."""
        room = np.maximum(np.array(size_in(self._axes)) * POINTS_PER_INCH - size, 0)
        sides = np.clip([point[0] + _AWAY_PT, point[0] - size[0] - _AWAY_PT], 0, room[0])
        sides = sides[::-1] if to_the_left else sides
        found = np.array([sides[0], np.clip(point[1], 0, room[1])])
        least = np.inf
        for away, (other, side), low in product(_AWAYS_PT, enumerate(sides), (0, 1)):
            corner = np.array([side, point[1] - away - size[1] if low else point[1] + away])
            box = np.concatenate([corner, corner + size])
            lines, labels = _meet(box, self._lines).sum(), _meet(box, self._taken).sum()
            cost = away + _LOW * low + _OTHER_SIDE * other + _ON_A_LINE * lines + _ON_A_LABEL * labels
            if 1 <= corner[1] <= room[1] and cost < least:
                found, least = corner, cost
        return found

    def _points(self, at: Floats) -> Floats:
        shares = self._axes.transAxes.inverted().transform(self._axes.transData.transform(at))
        return np.asarray(shares * size_in(self._axes) * POINTS_PER_INCH)


def _meet(box: Floats, others: Floats) -> Booleans:
    """Return which of the others, rows of x0, y0, x1, y1, touch the box."""
    return np.asarray(np.all((others[:, :2] <= box[2:]) & (others[:, 2:] >= box[:2]), axis=1))
