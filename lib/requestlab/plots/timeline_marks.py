"""The marks of the timeline: a colour or a hatch for each state, and the writing into and beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from requestlab.plots import style
from requestlab.plots.lettering import width_in
from requestlab.trace.activity import (
    ON_LOOP,
    ON_THREAD,
    PAUSED,
    QUEUED,
    UNTRACED,
    VIEW_ON_LOOP,
    VIEW_ON_THREAD,
    WAITS,
    Bars,
    Floats,
)

LATE = "#B5002B"

_HATCH = "//////"


def mixed(colour: str, other: str, share: float) -> str:
    """Return a colour with a share of another."""
    red, green, blue = ((1 - share) * a + share * b for a, b in zip(to_rgb(colour), to_rgb(other), strict=True))
    return to_hex((red, green, blue))


FACES = {
    QUEUED: "white",
    WAITS: "white",
    PAUSED: "#F0F0EE",
    ON_LOOP: mixed(style.EVENT_LOOP, "white", 0.3),
    VIEW_ON_LOOP: mixed(style.EVENT_LOOP, "#5A2A00", 0.45),
    ON_THREAD: mixed(style.THREAD, "white", 0.35),
    VIEW_ON_THREAD: mixed(style.THREAD, "#0A1420", 0.6),
    UNTRACED: mixed(style.NOBODY, "white", 0.4),
}

NAMES = {
    QUEUED: "queued",
    WAITS: "waits",
    PAUSED: "paused",
    ON_LOOP: "on the loop",
    VIEW_ON_LOOP: "view on the loop",
    ON_THREAD: "on a thread",
    VIEW_ON_THREAD: "view on a thread",
    UNTRACED: "not traced",
}
"""What the shapes of each state are called in an SVG."""

Boxes = dict[tuple[int, bool], list[Floats]]

_FAINT = 0.3

_RAN, _VIEWS = (ON_LOOP, ON_THREAD), (VIEW_ON_LOOP, VIEW_ON_THREAD)

_MIN_VIEW_IN, _MIN_IN = 0.02, 0.006

_HATCHED = {QUEUED: "#A5A5A5", WAITS: style.THREAD}


def fill(axes: Axes, boxes: Boxes, edge: float) -> None:
    """Fill the boxes of each state, those of requests that were not asked for but faintly.

    One path a state: thousands of hatched ones would take seconds to draw.
    """
    for (state, own), corners in sorted(boxes.items()):
        hatched = _HATCHED.get(state)
        filled = PathPatch(
            Path.make_compound_path_from_polys(np.stack(corners)),
            facecolor=FACES[state],
            edgecolor=hatched or "none",
            hatch=_HATCH if hatched else None,
            linewidth=edge if hatched else 0.0,
            alpha=None if own else _FAINT,
            zorder=2,
        )
        filled.set_gid(f"{NAMES[state]}{'' if own else ' of others'}")
        axes.add_artist(filled)  # add_patch would work out limits, box by box


def corners_of(bars: Bars, top: float, bottom: float, per_ms: float = math.inf) -> Floats:
    """Return the corners of the bars, shape (bars, 4, 2); where an inch is many ms, what ran is made wide enough to be seen."""
    least = np.select([np.isin(bars.state, _VIEWS), np.isin(bars.state, _RAN)], [_MIN_VIEW_IN, _MIN_IN], 0.0) / per_ms
    wider = np.maximum(least - bars.ms, 0.0) / 2
    left, right = bars.begin - wider, bars.end + wider
    upper, lower = np.full(len(bars), top), np.full(len(bars), bottom)
    corners = ((left, upper), (right, upper), (right, lower), (left, lower))
    return np.stack([np.column_stack(corner) for corner in corners], axis=1)


def swatch(axes: Axes, x: float, y: float, width: float, height: float, states: Sequence[int]) -> None:
    """Draw a sample of some states side by side, in the coordinates of `axes`."""
    part = width / len(states)
    boxes: Boxes = {}
    for i, state in enumerate(states):
        one = Bars(np.array([x + i * part]), np.array([x + (i + 1) * part]), np.array([state]), np.array([-1]))
        boxes[state, True] = list(corners_of(one, y, y + height))
    fill(axes, boxes, edge=0.4)


def write_in(
    axes: Axes, bars: Bars, top: float, height: float, per_ms: float, labels: dict[int, tuple[str, str]]
) -> None:
    """Write what a state is into the longest bar of each, where it fits."""
    for state, (text, colour) in labels.items():
        some = bars.of(state)
        if not len(some):
            continue
        longest = int(np.argmax(some.ms))
        if some.ms[longest] * per_ms < width_in(text, style.NOTE_PT) + 0.12:
            continue
        box = {"facecolor": "white", "edgecolor": "none", "pad": 1.2} if state in _HATCHED else None
        x = (some.begin[longest] + some.end[longest]) / 2
        write(axes, text, x, top + height / 2, color=colour, bbox=box)


def write(axes: Axes, text: str, x: float, y: float, **how: Any) -> None:
    axes.text(x, y, text, fontsize=style.NOTE_PT, ha="center", va="center_baseline", zorder=7, clip_on=True, **how)


def beside(axes: Axes, text: str, y: float, **how: Any) -> None:
    axes.annotate(
        text,
        (0, y),
        (-6, 0),
        ("axes fraction", "data"),
        "offset points",
        ha="right",
        va="center",
        fontsize=style.NOTE_PT,
        linespacing=1.25,
        annotation_clip=False,
        **how,
    )
