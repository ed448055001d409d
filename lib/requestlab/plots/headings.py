"""Lines of text above a panel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from requestlab.plots import look
from requestlab.plots.lettering import POINTS_PER_INCH, wrapped

_LINE, _FIRST_PT = 1.4, 5.0


@dataclass(frozen=True)
class Line:
    """One line of text."""

    text: str
    points: float = look.NOTE_PT
    color: str = look.INK
    bold: bool = False


def lines(
    text: str, most_in: float, points: float = look.NOTE_PT, color: str = look.INK, bold: bool = False
) -> list[Line]:
    """Break a text into lines that are at most `most_in` inches wide."""
    return [Line(part, points, color, bold) for part in wrapped(text, most_in, points, bold)]


def height_in(heading: Sequence[Line]) -> float:
    """Return how much room the lines need above the panel, in inches."""
    return (_FIRST_PT + sum(_LINE * line.points for line in heading)) / POINTS_PER_INCH


def write_above(axes: Axes, heading: Sequence[Line]) -> None:
    """Write the lines above the axes, flush left, the last one lowest."""
    height = _FIRST_PT
    for line in reversed(heading):
        axes.annotate(
            line.text,
            (0, 1),
            (0, height),
            "axes fraction",
            "offset points",
            fontsize=line.points,
            color=line.color,
            weight="bold" if line.bold else "normal",
            annotation_clip=False,
        )
        height += _LINE * line.points
