"""How figures look: the style file, sizes of text and paper, and one colour and one marker for each configuration."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib.style
from matplotlib.colors import to_hex, to_rgb

FAMILY = "DejaVu Sans"
"""The style file's font; matplotlib brings it along, so figures look alike on every machine."""

TITLE_PT, HEADING_PT, TEXT_PT, NOTE_PT, CAPTION_PT = 12.0, 11.0, 9.0, 8.5, 8.0

INK, GREY, PALE = "#222222", "#595959", "#E4E4E4"
"""The colours of text, of text that matters less, and of the lines of a grid."""

THREAD, EVENT_LOOP, NOBODY = "#5B6B7B", "#E69F00", "#8A8A8A"
"""Who ran it: an ordinary thread, a thread with an event loop, nobody known. No configuration has these colours."""

LATE = "#B5002B"
"""What failed, and what came too late."""

DASHED: Any = (0, (4, 3))
"""The line of a reader's prediction, and of nothing else."""

DOTTED: Any = (0, (1, 1.4))


def mixed(colour: str, other: str, share: float) -> str:
    """Return a colour with a share of another."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(to_rgb(colour), to_rgb(other), strict=True))
    return to_hex((red, green, blue))


@dataclass(frozen=True)
class SeriesStyle:
    """One contender's colour, matplotlib marker and line; a base configuration's marker is filled, its line is
    solid. A variant is darker, or broken, or both, and its marker is hollow."""

    colour: str
    marker: str
    line: Any = "-"
    filled: bool = True

    @property
    def ink(self) -> str:
        """The colour, darkened until text in it is read easily on white."""
        return mixed(self.colour, "black", 0.22)

    @property
    def glyph(self) -> str:
        """The marker as a character."""
        return _GLYPHS[self.marker][0 if self.filled else 1]

    @property
    def strokes(self) -> dict[str, Any]:
        """Arguments for matplotlib's `plot`: colour, line, marker."""
        face = self.colour if self.filled else "white"
        return {"color": self.colour, "linestyle": self.line, "marker": self.marker, "markerfacecolor": face}

    @property
    def bar(self) -> dict[str, Any]:
        """Arguments for `marks.bars`: full for a base configuration, hatched for a variant."""
        fill = {"facecolor": self.colour} if self.filled else {"facecolor": "white", "hatch": "////"}
        return {**fill, "edgecolor": self.colour, "linewidth": 0.8}

    @property
    def markers(self) -> dict[str, Any]:
        """The same without the line."""
        return self.strokes | {"linestyle": "none"}


_GLYPHS = {"o": "●○", "s": "■□", "^": "▲△", "D": "◆◇", "v": "▼▽", "<": "◀◁", ">": "▶▷"}
_NAMED = {
    "sync": ("#0072B2", "o"),
    "threads": ("#CC79A7", "D"),
    "asgi": ("#D55E00", "s"),
    "async": ("#009E73", "^"),
}
"""The four names of the lab, each with a colour and a marker that nothing else has."""

_OTHERS = (("#56B4E9", "v"), ("#000000", "<"), ("#56B4E9", ">"), ("#000000", "v"), ("#56B4E9", "<"), ("#000000", ">"))
_LINES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))
_VARIANTS = [(line, dark) for line in _LINES for dark in (False, True)]
_DARKER = 0.52


def looks(contenders: Sequence[tuple[str, str]]) -> list[SeriesStyle]:
    """Return a look for each (configuration name, label), no two alike up to eight variants of one configuration.

    The name decides on colour and marker, in every figure alike, or the label, where that is one of the lab's four
    names; of names that are not the lab's own, two that fall on the same colour are set apart. Where the label says
    more than the name, and the plain one is there too, shade, line and fill show that it is a variant.
    """
    contenders = [(label if label in _NAMED else name, label) for name, label in contenders]
    slots = _slots([name for name, _ in contenders])
    plain = {slots[name] for name, label in contenders if label == name}
    used: Counter[tuple[str, str]] = Counter()
    found = []
    for name, label in contenders:
        slot = slots[name]
        used[slot] = max(used[slot], 1 if label != name and slot in plain else 0)
        line, dark = _VARIANTS[used[slot] % len(_VARIANTS)]
        colour, marker = slot
        shade = mixed(colour, "white" if colour == "#000000" else "black", _DARKER) if dark else colour
        found.append(SeriesStyle(shade, marker, line, filled=used[slot] == 0))
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
def applied() -> Iterator[None]:
    """Draw as the style file in this package says, whatever the notebook has set; as before afterwards.

    >>> @style.applied()
    ... def ecdf(*runs): ...
    """
    with matplotlib.style.context(["default", f"{__package__}.requestlab"]):
        yield
