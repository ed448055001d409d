"""How wide a text will be, so that lines are broken and labels placed before anything is drawn."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

FAMILY = "DejaVu Sans"
"""The style file's font; matplotlib brings it along, so figures look alike on every machine."""

POINTS_PER_INCH = 72.0

_HINTING = 1.02
"""How much wider text may get when its letters are fitted to the pixels of an image."""


@lru_cache(maxsize=1024)
def width_in(text: str, points: float, bold: bool = False) -> float:
    """Return the width of one line in inches."""
    if not text.strip():
        return 0.0
    font = FontProperties(family=FAMILY, weight="bold" if bold else "normal")
    path = TextPath((0, 0), text.replace("$", "S"), size=points, prop=font)
    return _HINTING * float(np.ptp(path.vertices[:, 0])) / POINTS_PER_INCH


def wrapped(text: str, most_in: float, points: float, bold: bool = False) -> list[str]:
    """Break a text at spaces so that no line is wider than `most_in` inches; a longer word is cut.

    A no-break space keeps a number and its unit together.
    """
    lines = [""]
    for word in re.split("[ \n]+", text.strip()):
        longer = f"{lines[-1]} {word}".strip()
        if width_in(longer, points, bold) <= most_in:
            lines[-1] = longer
            continue
        *full, rest = _pieces(word, most_in, points, bold)
        lines += [*full, rest]
    return [line for line in lines if line]


def _pieces(word: str, most_in: float, points: float, bold: bool) -> list[str]:
    pieces = [""]
    for letter in word:
        if pieces[-1] and width_in(pieces[-1] + letter, points, bold) > most_in:
            pieces.append("")
        pieces[-1] += letter
    return pieces
