"""How figures look: the style file, one colour and one marker per configuration, the title and the caption."""

from __future__ import annotations

import textwrap
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure

WIDTH_IN = 10.0
TITLE_PT, CAPTION_PT, NOTE_PT = 13.0, 8.0, 8.5
GREY = "#595959"
THREAD, EVENT_LOOP = "#5B6B7B", "#E69F00"
"""What ran: an ordinary thread, a thread with an event loop. The same in every figure, and no configuration's colour."""

_TITLE_LETTERS, _CAPTION_LETTERS = 84, 150


@dataclass(frozen=True)
class Look:
    """One contender's colour, matplotlib marker and line; a base configuration's marker is filled, its line is solid."""

    colour: str
    marker: str
    line: Any = "-"
    filled: bool = True

    @property
    def ink(self) -> str:
        """The colour, darkened until text in it is read easily on white."""
        return to_hex([channel * 0.78 for channel in to_rgb(self.colour)])

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


def looks(contenders: Sequence[tuple[str, str]]) -> list[Look]:
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
        found.append(Look(*slot, line, filled))
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


def framed(height_in: float, title: str, caption: Sequence[str]) -> Figure:
    """Return an empty figure with the finding above and the small print below; `height_in` is for what is between."""
    above = textwrap.wrap(title, _TITLE_LETTERS)
    below = [line for sentence in caption for line in textwrap.wrap(sentence, _CAPTION_LETTERS)]
    head, foot = 0.15 + 0.25 * len(above), 0.12 + 0.16 * len(below)
    total = head + height_in + foot
    figure = Figure(figsize=(WIDTH_IN, total), layout="constrained")
    engine = figure.get_layout_engine()
    assert engine is not None
    engine.set(rect=(0.005, foot / total, 0.99, height_in / total), w_pad=0.06, h_pad=0.05)  # type: ignore[call-arg]
    margin = 0.012
    figure.text(margin, 1 - 0.1 / total, "\n".join(above), fontsize=TITLE_PT, weight="bold", va="top", linespacing=1.25)
    figure.text(margin, 0.07 / total, "\n".join(below), fontsize=CAPTION_PT, color=GREY, va="bottom", linespacing=1.3)
    return figure
