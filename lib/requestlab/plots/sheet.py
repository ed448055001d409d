"""The sheet on which a figure is drawn: title, panels, explanation and small print, and the finished picture.

>>> sheet = Sheet("async answers 1.4 times as many requests per second as sync")
>>> axes = sheet.panel(3.6, left_in=1.0, right_in=3.2, below_in=AXIS_IN)
>>> axes.plot([1, 2], [3, 4])
>>> sheet.explain("Each point is one run.")
>>> picture = sheet.picture(small_print(contenders))

A sheet grows downward: each call puts something below what is there. All lengths are inches, and texts are measured
before they are drawn: matplotlib's layout engines would shrink axes to make room for the text beside them.
"""

from __future__ import annotations

import base64
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.textpath import TextPath
from PIL import Image

from requestlab.errors import ConfigurationError
from requestlab.plots import style
from requestlab.system import html
from requestlab.system.files import whole_file

WIDTH_IN, MARGIN_IN = 10.0, 0.12
INNER_IN = WIDTH_IN - 2 * MARGIN_IN
TICKS_IN, AXIS_IN = 0.26, 0.5
"""The room below a panel for the numbers of its axis, and for these with what they are."""

POINTS_PER_INCH = 72.0
SUFFIXES = (".png", ".svg", ".pdf")

BESIDE_IN = 0.16
"""How far from a panel the words to its right begin."""

_LINE = 1.3  # of the size of the text
_GAP_IN = 0.08  # between a panel and the words above it
_HINTING = 1.02  # how much wider text may get when its letters are fitted to the pixels of an image
_CSS_PIXELS_PER_INCH = 96
_SMALL_PRINT_LINES = 2


# Text and its measures


@lru_cache(maxsize=4096)
def width_in(text: str, points: float = style.NOTE_PT, bold: bool = False) -> float:
    """Return the width of one line in inches."""
    if not text.strip():
        return 0.0
    font = FontProperties(family=style.FAMILY, weight="bold" if bold else "normal")
    path = TextPath((0, 0), text.replace("$", "S"), size=points, prop=font)
    return _HINTING * float(np.ptp(path.vertices[:, 0])) / POINTS_PER_INCH


def wrapped(text: str, most_in: float, points: float = style.NOTE_PT, bold: bool = False) -> list[str]:
    """Break a text at spaces so that no line is wider than `most_in` inches; a longer word is cut.

    A number is kept with its unit, and so is whatever a no-break space holds together.
    """
    found = [""]
    for word in re.split(r"(?:(?<!\d)[ \n]+|[ \n]+(?!(?:ms|µs|s|%)(?:\W|$)))", text.strip()):
        longer = f"{found[-1]} {word}".strip()
        if width_in(longer, points, bold) <= most_in:
            found[-1] = longer
            continue
        found.append("")
        for letter in word:
            if found[-1] and width_in(found[-1] + letter, points, bold) > most_in:
                found.append("")
            found[-1] += letter
    return [line for line in found if line]


def fitting(text: str, most_in: float, points: float = style.NOTE_PT, bold: bool = False) -> str:
    """Cut off the end of a text that is wider than `most_in` inches."""
    while width_in(text, points, bold) > most_in and len(text) > 2:
        text = f"{text.rstrip('…')[:-1]}…"
    return text


@dataclass(frozen=True)
class Line:
    """One line of a heading or of a label, so many inches high and wide."""

    text: str
    points: float = style.NOTE_PT
    color: str = style.INK
    bold: bool = False

    @property
    def font(self) -> dict[str, Any]:
        """Arguments for matplotlib's texts."""
        return {"fontsize": self.points, "color": self.color, "weight": "bold" if self.bold else "normal"}

    @property
    def high_in(self) -> float:
        return 1.4 * self.points / POINTS_PER_INCH

    @property
    def wide_in(self) -> float:
        return width_in(self.text, self.points, self.bold)


def lines(
    text: str | Iterable[str], most_in: float, points: float = style.NOTE_PT, color: str = style.INK, bold: bool = False
) -> list[Line]:
    """Break a text, or several, into lines that are at most `most_in` inches wide."""
    texts = [text] if isinstance(text, str) else text
    return [Line(part, points, color, bold) for one in texts for part in wrapped(one, most_in, points, bold)]


def height_in(block: Sequence[Line]) -> float:
    """Return how much room the lines need, in inches; nothing for none."""
    return _GAP_IN + sum(line.high_in for line in block) if block else 0.0


def write_above(axes: Axes, block: Sequence[Line], left_in: float = 0.0) -> None:
    """Write the lines above the axes, beginning `left_in` inches left of them."""
    _write(axes, block, (0, 1), "axes fraction", -left_in, height_in(block))


def write_beside(axes: Axes, block: Sequence[Line], top: float) -> None:
    """Write the lines to the right of the axes, from `top`, a share of their height, downward."""
    _write(axes, block, (1, top), "axes fraction", BESIDE_IN, -_GAP_IN)


def write_at(axes: Axes, block: Sequence[Line], y: float, x_in: float) -> None:
    """Write the lines, their middle at `y` of the data, from `x_in` inches right of the axes' left edge."""
    _write(axes, block, (0, y), ("axes fraction", "data"), x_in, sum(line.high_in for line in block) / 2)


def _write(axes: Axes, block: Sequence[Line], at: tuple[float, float], coords: Any, x_in: float, up_in: float) -> None:
    for line in block:
        up_in -= line.high_in
        place = (x_in * POINTS_PER_INCH, up_in * POINTS_PER_INCH + 0.3 * line.points)
        axes.annotate(line.text, at, place, coords, "offset points", va="baseline", annotation_clip=False, **line.font)


def size_in(axes: Axes) -> tuple[float, float]:
    """Return how wide and how high axes are, in inches."""
    figure = axes.get_figure(root=True)
    assert figure is not None
    return float(axes.bbox.width / figure.dpi), float(axes.bbox.height / figure.dpi)


# The key

Entries = Sequence[tuple[str, Sequence[Mapping[str, Any]]]]
"""What a key explains: texts, each with its patches, side by side (what `matplotlib.patches.Rectangle` takes); a text
without any is bold."""


def write_key(axes: Axes, entries: Entries, y: float, left_in: float = 0.0, swatch_in: float = 0.22) -> None:
    """Write a key of one row into or below axes whose y is in inches, from `left_in` inches right of their left
    edge."""
    wide, across = size_in(axes)[0], axes.get_yaxis_transform()
    x = left_in
    for text, faces in entries:
        for i, face in enumerate(faces):
            corner = ((x + i * swatch_in) / wide, y - 0.07)
            axes.add_artist(Rectangle(corner, swatch_in / wide, 0.14, transform=across, clip_on=False, **face))
        write_at(axes, [Line(text, style.TEXT_PT, bold=not faces)], y, x + swatch_in * len(faces) + 0.08 * bool(faces))
        x += _entry_in(text, len(faces), swatch_in)


def _entry_in(text: str, faces: int, swatch_in: float = 0.22) -> float:
    return swatch_in * faces + 0.08 * bool(faces) + width_in(text, style.TEXT_PT, bold=not faces) + 0.22


# The sheet


class Sheet:
    """A figure that is put together from top to bottom, below its title: see the module."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.figure = Figure(figsize=(WIDTH_IN, 1.0))
        self._axes: list[tuple[Axes, float, float, float, float]] = []
        self._texts: list[tuple[Text, float]] = []
        self._end_in = 0.08
        self.write([title], style.TITLE_PT, bold=True)
        self.space(0.06)

    def space(self, high_in: float) -> None:
        """Leave room."""
        self._end_in += high_in
        self._settle()

    def write(
        self, texts: Sequence[str], points: float = style.TEXT_PT, color: str = style.INK, bold: bool = False
    ) -> None:
        """Write paragraphs over the whole width."""
        found = [line for text in texts for line in wrapped(text, INNER_IN, points, bold)]
        font = Line("", points, color, bold).font
        text = self.figure.text(MARGIN_IN / WIDTH_IN, 0, "\n".join(found), va="top", linespacing=_LINE, **font)
        self._texts.append((text, self._end_in))
        self.space(_LINE * points / POINTS_PER_INCH * len(found) + 0.05)

    def panel(
        self,
        high_in: float,
        left_in: float = MARGIN_IN,
        right_in: float = MARGIN_IN,
        *,
        above: Sequence[Line] = (),
        below_in: float = 0.0,
    ) -> Axes:
        """Return new axes, so far from the sheet's edges, with a heading at the left margin and room below."""
        column = (left_in, WIDTH_IN - left_in - right_in)
        (axes,) = self.panels(high_in, [column], above_in=height_in(above), below_in=below_in)
        write_above(axes, above, left_in - MARGIN_IN)
        return axes

    def panels(
        self, high_in: float, columns: Sequence[tuple[float, float]], *, above_in: float = 0.0, below_in: float = 0.0
    ) -> list[Axes]:
        """Return axes side by side: each column is how far it begins from the sheet's left edge, and how wide it is."""
        top_in = self._end_in + above_in
        made = [self.figure.add_axes((0, 0, 1, 1)) for _ in columns]
        for axes, (left_in, wide_in) in zip(made, columns, strict=True):
            self._axes.append((axes, left_in, top_in, wide_in, high_in))
        self.space(above_in + high_in + below_in)
        return made

    def key(self, entries: Entries) -> None:
        """Explain what patches mean, in as many rows as are needed."""
        ends = np.cumsum([_entry_in(text, len(faces)) for text, faces in entries])
        fits = max(1, int((ends <= INNER_IN + 0.22).sum()))
        axes = self.panel(0.24)
        axes.set_axis_off()
        axes.set_ylim(0.24, 0)
        write_key(axes, entries[:fits], 0.12)
        if entries[fits:]:
            self.key(entries[fits:])

    def explain(self, *texts: str) -> None:
        """Say how the figure is to be read, and what speaks against it: a paragraph for each text that is not empty."""
        self.space(0.08)
        if any(texts):
            self.write([text for text in texts if text])

    def picture(self, small_print: Sequence[str], details: Details = ()) -> Picture:
        """Write one or two texts of small print in two lines at most, and return the picture with these details.

        A text that is cut for want of room is whole in the details.
        """
        self.space(0.08)
        found = [wrapped(text, INNER_IN - 0.1, style.CAPTION_PT) for text in small_print]
        most = _SMALL_PRINT_LINES // len(small_print)
        shown = [" ".join(some[:most]) + "…" * (len(some) > most) for some in found]
        self.write(shown, style.CAPTION_PT, style.GREY)
        cut = [("small print", text) for text, some in zip(small_print, found, strict=True) if len(some) > most]
        return Picture(self.figure, f"{self.title}.", (*details, *cut))

    def _settle(self) -> None:
        self.figure.set_size_inches(WIDTH_IN, self._end_in)
        for text, top_in in self._texts:
            text.set_y(1 - top_in / self._end_in)
        for axes, left_in, top_in, wide_in, high_in in self._axes:
            bottom = 1 - (top_in + high_in) / self._end_in
            axes.set_position((left_in / WIDTH_IN, bottom, wide_in / WIDTH_IN, high_in / self._end_in))


# The picture

Details = Sequence[tuple[str, str]]
"""What is known of how a figure was measured: names and values."""


@dataclass(frozen=True, eq=False, repr=False)
class Picture:
    """A matplotlib figure and its alternative text.

    >>> picture = lab.plots.threads(run)
    >>> picture.save("threads.svg")

    `figure` is the matplotlib Figure, free to be changed before it is shown or saved; `alt` is one sentence with the
    finding; `details` are names and values that the small print has no room for. A notebook shows it as HTML, with the
    details folded below, since JupyterLab gives the alternative text of a bare figure to nobody; where HTML is not
    shown, as a PNG.
    """

    figure: Figure
    alt: str
    details: Details = ()

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as PNG, SVG or PDF, as the suffix says, and return the path; ConfigurationError for any other."""
        target = Path(path)
        if target.suffix.lower() not in SUFFIXES:
            raise ConfigurationError(f"{target.name!r}: expected a name that ends in {', '.join(SUFFIXES)}")
        if not target.parent.is_dir():
            raise ConfigurationError(f"there is no folder {os.fspath(target.parent)!r}; make it first")
        drawn = self._drawn(target.suffix.lower().removeprefix("."))
        with whole_file(target) as file:
            file.write(drawn)
        return target

    @style.applied()
    def _drawn(self, kind: str) -> bytes:
        buffer = io.BytesIO()
        if kind != "png":
            self.figure.savefig(buffer, format=kind, metadata={"Title": self.alt})
            return buffer.getvalue()
        self.figure.savefig(buffer, format=kind, pil_kwargs={"compress_level": 1})  # in haste: it is written once more
        return _smaller(buffer)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, object]:
        png = self._drawn("png")
        return {"text/html": self._html(png), "image/png": png, "text/plain": repr(self)}

    def html(self) -> Markup:
        """Return it as HTML, with the image inside."""
        return Markup(self._html(self._drawn("png")))

    def _html(self, png: bytes) -> str:
        width = round(self.figure.get_figwidth() * _CSS_PIXELS_PER_INCH)
        css = f"width: {width}px; max-width: 100%; height: auto; background: white"
        source = base64.b64encode(png).decode("ascii")
        image = Markup('<img alt="{}" style="{}" src="data:image/png;base64,{}">').format(self.alt, css, source)
        return str(image + (html.folded("How it was measured", self.details) if self.details else ""))

    def __repr__(self) -> str:
        return f"<Picture: {self.alt}>"


def _smaller(png: io.BytesIO) -> bytes:
    """Return a picture of no more colours than a byte can number: it looks the same, and is a third as large."""
    written = io.BytesIO()
    with Image.open(png) as picture:
        few = picture.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(written, "PNG", compress_level=7, dpi=picture.info.get("dpi"))
    return written.getvalue()
