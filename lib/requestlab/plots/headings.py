"""Lines of text above a panel or beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes

from requestlab.plots import style
from requestlab.plots.lettering import POINTS_PER_INCH, wrapped

_LINE, _FIRST_PT = 1.4, 8.0


@dataclass(frozen=True)
class Line:
    """One line of text."""

    text: str
    points: float = style.NOTE_PT
    color: str = style.INK
    bold: bool = False


def lines(
    text: str, most_in: float, points: float = style.NOTE_PT, color: str = style.INK, bold: bool = False
) -> list[Line]:
    """Break a text into lines that are at most `most_in` inches wide."""
    return [Line(part, points, color, bold) for part in wrapped(text, most_in, points, bold)]


def height_in(heading: Sequence[Line]) -> float:
    """Return how much room the lines need, in inches."""
    return (_FIRST_PT + sum(_LINE * line.points for line in heading)) / POINTS_PER_INCH


def write_above(axes: Axes, heading: Sequence[Line], left_in: float = 0.0) -> None:
    """Write the lines above the axes, the last one lowest, beginning `left_in` inches left of them."""
    height = _FIRST_PT
    for line in reversed(heading):
        _write(axes, line, (0, 1), (-left_in * POINTS_PER_INCH, height), "baseline")
        height += _LINE * line.points


def write_beside(axes: Axes, heading: Sequence[Line], top: float) -> None:
    """Write the lines to the right of the axes, from `top`, a share of their height, downward."""
    below = _FIRST_PT
    for line in heading:
        _write(axes, line, (1.03, top), (0, -below), "top")
        below += _LINE * line.points


def _write(axes: Axes, line: Line, at: tuple[float, float], offset: tuple[float, float], va: str) -> None:
    axes.annotate(
        line.text,
        at,
        offset,
        "axes fraction",
        "offset points",
        fontsize=line.points,
        color=line.color,
        weight="bold" if line.bold else "normal",
        va=va,
        annotation_clip=False,
    )
