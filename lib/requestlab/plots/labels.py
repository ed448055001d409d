"""Labels that stand beside what they name, never on one another, and off the lines where there is room."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from requestlab.plots import style
from requestlab.plots.lettering import POINTS_PER_INCH, width_in

Points = np.ndarray[Any, np.dtype[np.float64]]

_AWAY_PT, _LINE = 4.0, 1.25
_AWAYS_PT = range(4, 46, 2)
_LOW, _OTHER_SIDE, _ON_A_LINE, _ON_A_LABEL = 3, 12, 8, 1000
"""What speaks against a place for a label, in points that it would rather be further away."""


class Labels:
    """The labels of one panel whose place in the figure and whose limits are settled.

    >>> labels = Labels(axes)
    >>> labels.avoid(time_ms, threads)
    >>> labels.put("peak 61", (15, 61))
    """

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._lines = np.empty((0, 4))
        self._taken = np.empty((0, 4))

    def avoid(self, x: Points, y: Points) -> None:
        """Keep labels off a line with steps at `x`, which has the value `y` from there to the next."""
        points = self._points(np.column_stack([x, y]))
        across = np.column_stack([points[:-1], points[1:, 0], points[:-1, 1]])
        upright = np.column_stack([points[1:, 0], points[:-1, 1], points[1:]])
        upright[:, 1::2].sort(axis=1)
        self._lines = np.concatenate([self._lines, across, upright])

    def put(
        self,
        text: str,
        at: tuple[float, float],
        *,
        to_the_left: bool = False,
        color: str = style.INK,
        bold: bool = False,
    ) -> None:
        """Write `text` close above the point, or else below it, or on its other side, or as close as there is room."""
        lines = text.split("\n")
        size = np.array([max(width_in(line, style.NOTE_PT, bold) for line in lines) * POINTS_PER_INCH, 0])
        size[1] = _LINE * style.NOTE_PT * len(lines)
        corner = self._best(self._points(np.array([at]))[0], size, to_the_left)
        self._taken = np.vstack([self._taken, np.concatenate([corner, corner + size])])
        self._axes.annotate(
            text,
            (0, 0),
            (float(corner[0]), float(corner[1])),
            "axes fraction",
            "offset points",
            color=color,
            weight="bold" if bold else "normal",
            fontsize=style.NOTE_PT,
            va="bottom",
            linespacing=1.1,
            bbox={"facecolor": "white", "alpha": 0.7, "linewidth": 0, "boxstyle": "square,pad=0.05"},
        )

    def _best(self, point: Points, size: Points, to_the_left: bool) -> Points:
        """Return the lower left corner where a label is least in the way, within the panel if the text fits at all."""
        most = np.maximum(self._size() - size, 0)
        sides = [float(np.clip(side, 0, most[0])) for side in (point[0] + _AWAY_PT, point[0] - size[0] - _AWAY_PT)]
        preferred, other = reversed(sides) if to_the_left else sides
        choices = []
        for away in _AWAYS_PT:
            for bottom, low in ((point[1] + away, 0), (point[1] - away - size[1], _LOW)):
                if 1 <= bottom <= most[1]:
                    choices += [(away + low, [preferred, bottom]), (away + low + _OTHER_SIDE, [other, bottom])]
        choices = choices or [(0, [preferred, float(np.clip(point[1], 0, most[1]))])]
        return np.array(min(choices, key=lambda choice: choice[0] + self._crowding(np.array(choice[1]), size))[1])

    def _crowding(self, corner: Points, size: Points) -> float:
        """Return how much a place is in the way: of other labels above all, then of pieces of lines."""
        box = np.concatenate([corner, corner + size])
        return float(_ON_A_LABEL * _meet(box, self._taken).sum() + _ON_A_LINE * _meet(box, self._lines).sum())

    def _points(self, at: Points) -> Points:
        """Return points of the data, shape (points, 2), in points from the lower left corner of the panel."""
        pixels = self._axes.transData.transform(at) - self._axes.bbox.min
        return np.asarray(pixels * self._scale)

    def _size(self) -> Points:
        return np.asarray(self._axes.bbox.size) * self._scale

    @property
    def _scale(self) -> float:
        figure = self._axes.get_figure(root=True)
        assert figure is not None
        return POINTS_PER_INCH / figure.dpi


def _meet(box: Points, others: Points) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return which of the others, rows of x0, y0, x1, y1, touch the box."""
    return np.asarray(np.all((others[:, :2] <= box[2:]) & (others[:, 2:] >= box[:2]), axis=1))
