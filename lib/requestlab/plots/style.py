"""How figures look: the style file, one colour and one marker per configuration, the title and the caption."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

from requestlab.plots.lettering import wrapped

WIDTH_IN, MARGIN_IN = 10.0, 0.12
TITLE_PT, HEADING_PT, NOTE_PT, CAPTION_PT = 12.0, 11.0, 8.5, 8.0
INK, GREY = "#222222", "#595959"
THREAD, EVENT_LOOP, NOBODY = "#5B6B7B", "#E69F00", "#8A8A8A"
"""Who ran it: an ordinary thread, a thread with an event loop, nobody known. The same in every figure, and no configuration's colour."""


@dataclass(frozen=True)
class SeriesStyle:
    """One contender's colour, matplotlib marker and line; a base configuration's marker is filled, its line is solid."""

    colour: str
    marker: str
    line: Any = "-"
    filled: bool = True

    @property
    def ink(self) -> str:
        """The colour, darkened until text in it is read easily on white."""
        red, green, blue = to_rgb(self.colour)
        return to_hex((red * 0.78, green * 0.78, blue * 0.78))

    @property
    def glyph(self) -> str:
        """The marker as a character."""
        return _GLYPHS[self.marker][0 if self.filled else 1]

    @property
    def strokes(self) -> dict[str, Any]:
        """Arguments for matplotlib's `plot`: colour, line, marker."""
        face = self.colour if self.filled else "white"
        return {"color": self.colour, "linestyle": self.line, "marker": self.marker, "markerfacecolor": face}


_GLYPHS = {"o": "●○", "s": "■□", "^": "▲△", "D": "◆◇", "v": "▼▽", "<": "◀◁", ">": "▶▷"}
_NAMED = {"sync": ("#0072B2", "o"), "mixed": ("#D55E00", "s"), "async": ("#009E73", "^")}
_OTHERS = (
    ("#CC79A7", "D"),
    ("#56B4E9", "v"),
    ("#000000", "<"),
    ("#CC79A7", ">"),
    ("#56B4E9", "D"),
    ("#000000", "v"),
)
_DASHED, _DOTTED, _MIXED = (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5))
_VARIANTS = (
    ("-", True),
    (_DASHED, False),
    (_DOTTED, False),
    (_MIXED, False),
    ("-", False),
    (_DASHED, True),
    (_DOTTED, True),
    (_MIXED, True),
)


def looks(contenders: Sequence[tuple[str, str]]) -> list[SeriesStyle]:
    """Return a look for each (configuration name, label), no two alike up to eight variants of one configuration.

    The name decides on colour and marker, in every figure alike; of names that are not the lab's own, two that fall on the
    same colour are set apart. Where the label says more than the name, line and fill show that it is a variant.
    """
    slots = _slots([name for name, _ in contenders])
    used: Counter[tuple[str, str]] = Counter()
    found = []
    for name, label in contenders:
        slot = slots[name]
        used[slot] = max(used[slot], 0 if label == name else 1)
        line, filled = _VARIANTS[used[slot] % len(_VARIANTS)]
        found.append(SeriesStyle(*slot, line, filled))
        used[slot] += 1
    return found


def _slots(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    slots = {name: _NAMED[name] for name in names if name in _NAMED}
    for name in names:
        if name not in slots:
            first = zlib.crc32(name.encode())
            wanted = [_OTHERS[(first + step) % len(_OTHERS)] for step in range(len(_OTHERS))]
            slots[name] = next((slot for slot in wanted if slot not in slots.values()), wanted[0])
    return slots


@contextmanager
def style() -> Iterator[None]:
    """Draw as the style file in this package says, whatever the notebook has set; as before afterwards."""
    with matplotlib.style.context(["default", f"{__package__}.requestlab"]):
        yield


class Frame:
    """A figure with the finding above and the small print below; `axes` are placed in inches in what is between.

    Explicit places instead of matplotlib's layout engines, which shrink axes to make room for text that stands beside them.
    """

    def __init__(self, height_in: float, title: str, caption: Sequence[str]) -> None:
        above = wrapped(title, WIDTH_IN - 2 * MARGIN_IN, TITLE_PT, bold=True)
        below = [line for text in caption for line in wrapped(text, WIDTH_IN - 2 * MARGIN_IN, CAPTION_PT)]
        head, self._foot = 0.15 + 0.21 * len(above), 0.16 + 0.155 * len(below)
        self._total = head + height_in + self._foot
        self.figure = Figure(figsize=(WIDTH_IN, self._total))
        self.write(
            "\n".join(above), height_in + head - 0.1, fontsize=TITLE_PT, weight="bold", va="top", linespacing=1.25
        )
        self.write("\n".join(below), 0.08 - self._foot, fontsize=CAPTION_PT, color=GREY, va="bottom", linespacing=1.3)

    def write(self, text: str, bottom_in: float, **how: Any) -> None:
        """Write at the left margin; `bottom_in` counts from the top of the small print."""
        self.figure.text(MARGIN_IN / WIDTH_IN, (self._foot + bottom_in) / self._total, text, **how)

    def axes(self, left_in: float, bottom_in: float, width_in: float, height_in: float) -> Axes:
        """Return new axes; `bottom_in` counts from the top of the small print."""
        bottom = (self._foot + bottom_in) / self._total
        return self.figure.add_axes((left_in / WIDTH_IN, bottom, width_in / WIDTH_IN, height_in / self._total))
