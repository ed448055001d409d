"""Labels that stand beside what they name and never on one another."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

from requestlab.plots import look
from requestlab.plots.lettering import POINTS_PER_INCH, width_in

_ABOVE_PT, _LINE = 4.0, 1.25


class Labels:
    """The labels of one panel whose place in the figure and whose limits are settled.

    >>> labels = Labels(axes)
    >>> labels.put("peak 61", (15, 61))
    """

    def __init__(self, axes: Axes) -> None:
        self._axes = axes
        self._taken: list[Bbox] = []

    def put(
        self,
        text: str,
        at: tuple[float, float],
        *,
        to_the_left: bool = False,
        color: str = look.INK,
        bold: bool = False,
    ) -> None:
        """Write `text` close above the point, or else below it, or else as close as there is room."""
        x, y = self._points(at)
        lines = text.split("\n")
        width = max(width_in(line, look.NOTE_PT, bold) for line in lines) * POINTS_PER_INCH
        height = _LINE * look.NOTE_PT * len(lines)
        left = x - width - _ABOVE_PT if to_the_left else x + _ABOVE_PT
        left = max(0.0, min(left, self._size()[0] - width))
        box = self._free(Bbox.from_bounds(left, y, width, height))
        self._taken.append(box)
        corner = (box.x0, box.y0)
        self._axes.annotate(
            text,
            (0, 0),
            corner,
            "axes fraction",
            "offset points",
            color=color,
            weight="bold" if bold else "normal",
            fontsize=look.NOTE_PT,
            va="bottom",
            linespacing=1.1,
            bbox={"facecolor": "white", "alpha": 0.75, "linewidth": 0, "boxstyle": "square,pad=0.05"},
        )

    def _free(self, box: Bbox) -> Bbox:
        """Return the nearest place for a box that now lies on its point."""
        steps = [_ABOVE_PT, -box.height - _ABOVE_PT]
        steps += [sign * step + (0 if sign > 0 else -box.height) for step in range(6, 200, 3) for sign in (1, -1)]
        places = [box.translated(0, step) for step in steps]
        return next((place for place in places if self._is_free(place)), places[0])

    def _is_free(self, box: Bbox) -> bool:
        inside = box.y0 >= 1 and box.y1 <= self._size()[1]
        return inside and not any(box.overlaps(other) for other in self._taken)

    def _points(self, at: tuple[float, float]) -> tuple[float, float]:
        """Return a point of the data in points from the lower left corner of the panel."""
        pixels = self._axes.transData.transform(at) - self._axes.bbox.min
        scale = POINTS_PER_INCH / self._axes.get_figure(root=True).dpi
        return float(pixels[0] * scale), float(pixels[1] * scale)

    def _size(self) -> tuple[float, float]:
        scale = POINTS_PER_INCH / self._axes.get_figure(root=True).dpi
        return self._axes.bbox.width * scale, self._axes.bbox.height * scale
