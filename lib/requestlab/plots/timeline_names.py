"""Names below the timeline's lanes: what each piece of a single request was, at a slant, so that many stand side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from requestlab.measurement.timeline import Scene
from requestlab.plots import style
from requestlab.plots.lettering import width_in
from requestlab.system import wording
from requestlab.trace.activity import Floats, Span, each

MAX_NAMES = 40
"""With more pieces than this, none is named: that is for the figure `crossings`."""

_POINTS, _SLANT, _PITCH_IN, _LEADER_IN = 8.0, 42.0, 0.2, 0.3
_LONGEST, _MAX_PIECES = 48, 3


@dataclass(frozen=True)
class Name:
    """A piece's name, the moment it points at (ms), whether that is on a loop, and whether it is the view."""

    text: str
    at: float
    on_loop: bool
    view: bool

    @property
    def length_in(self) -> float:
        """How long the text is."""
        return width_in(self.text, _POINTS, self.view)


def names(scene: Scene) -> list[Name]:
    """Return the names of the pieces of a single request, in order; none if there are several requests or too many pieces."""
    if scene.chosen != 1:
        return []
    found = [*_crossings(scene.hops), *_views(scene.spans)]
    if not any(scene.spans["kind"] == "to_thread"):
        found += _layers(scene.spans)
    found = sorted(
        (name for name in found if scene.begin <= name.at <= scene.end), key=lambda name: (name.at, name.text)
    )
    return found if len(found) <= MAX_NAMES else []


def cost_us(hops: pd.DataFrame) -> pd.Series[float]:
    """Return what each crossing cost, there and back, in µs; NaN where it was not completed, or not waited for."""
    cost = (hops["running"] - hops["begin"] + hops["end"] - hops["done"]) * 1e3
    return cost.where(~hops["cut"] & (hops["end"] >= hops["done"]))


def _crossings(hops: pd.DataFrame) -> list[Name]:
    found = []
    for row, cost in zip(each(hops), cost_us(hops), strict=True):
        view = row.origin == "view"
        paid = "" if math.isnan(cost) else f"  +{_paid(cost)}"
        on_loop = row.kind == "to_loop"
        at = _spot(row, hops)
        found.append(Name(f"{short(row.label)}{paid}", at, on_loop, view))
    return found


def _spot(row: Span, hops: pd.DataFrame) -> float:
    """Return where a crossing is named: amid what ran on the other side, or where that began, if it went on from there."""
    if math.isnan(row.running):
        return row.begin
    onward = (hops["parent"] == row.id) | (
        (hops["thread"] == row.ran_on) & hops["begin"].between(row.running, row.done)
    )
    return row.running if row.kind == "to_loop" or onward.any() else (row.running + row.done) / 2


def _paid(us: float) -> str:
    return f"{us:,.0f}\N{NO-BREAK SPACE}µs" if us < 999.5 else f"{wording.ms(us / 1e3)}\N{NO-BREAK SPACE}ms"


def _views(spans: pd.DataFrame) -> list[Name]:
    """Name views that no crossing has led to, and each stretch of an async one."""
    views = spans[(spans["kind"] == "view")]
    led_to = set(spans.loc[spans["origin"] == "view", "id"])
    found = []
    for row in each(views):
        pieces = spans[(spans["kind"] == "step") & (spans["parent"] == row.id)]
        text = short(f"view {row.label}")
        if row.parent not in led_to and not len(pieces):
            found.append(Name(text, (row.begin + row.end) / 2, False, True))
        for number, piece in enumerate(each(pieces)):
            if (number > 0 and len(pieces) <= _MAX_PIECES) or (not number and row.parent not in led_to):
                said = f"{text} goes on" if number else text
                found.append(Name(said, (piece.begin + piece.end) / 2, True, True))
    return found


def _layers(spans: pd.DataFrame) -> list[Name]:
    """Name layers of middleware where they begin, up to what is inside them."""
    layers = spans[spans["kind"] == "middleware"]
    inner = spans.groupby("parent")["begin"].min()
    found = []
    for row in each(layers):
        stop = float(inner.get(row.id, row.end))
        found.append(Name(short(row.label), (row.begin + stop) / 2, False, False))
    return found


def short(name: str) -> str:
    """Return a name without its module: `view labapp.sync_views.page` is the view `page`; the longest are cut."""
    kind, _, rest = name.rpartition(" ")
    if kind == "view":
        name = f"view {rest.rpartition('.')[2]}"
    elif not kind and name.count(".") > 1:
        name = ".".join(name.split(".")[-2:])
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 1]}…"


def height_in(found: Sequence[Name]) -> float:
    """Return how much room the names need below the lanes."""
    if not found:
        return 0.0
    longest = max(name.length_in for name in found)
    return _LEADER_IN + longest * math.sin(math.radians(_SLANT)) + 0.15


def spread(wanted: Floats, pitch: float, lowest: float, highest: float) -> Floats:
    """Return places for labels that want to be at `wanted` (sorted): at least `pitch` apart, as near as can be, within bounds
    where they all fit."""
    if not len(wanted):
        return wanted
    steps = pitch * np.arange(len(wanted))
    pools: list[list[float]] = []
    for value in (wanted - steps).tolist():
        pools.append([value, 1])
        while len(pools) > 1 and pools[-2][0] >= pools[-1][0]:
            last = pools.pop()
            weight = pools[-1][1] + last[1]
            pools[-1] = [(pools[-1][0] * pools[-1][1] + last[0] * last[1]) / weight, weight]
    level = np.repeat([value for value, _ in pools], [int(weight) for _, weight in pools])
    return np.asarray(np.clip(level, lowest, max(lowest, highest - steps[-1])) + steps)


def draw(
    axes: Axes, found: Sequence[Name], top_in: float, lanes_in: tuple[float, float], panel_in: float, left_in: float
) -> None:
    """Write the names from `top_in` downward, with a line from each to the bottom of its lane.

    `lanes_in` are the bottoms of the lowest loop and the lowest thread; y is in inches. There are `left_in` inches of paper
    to the left of the panel.
    """
    begin, end = axes.get_xlim()
    inches = panel_in / (end - begin)
    wanted = np.array([(name.at - begin) * inches for name in found])
    lean = math.cos(math.radians(_SLANT))
    lowest = max(name.length_in * lean - left_in - i * _PITCH_IN for i, name in enumerate(found))
    for name, place in zip(found, spread(wanted, _PITCH_IN, max(0.1, lowest), panel_in).tolist(), strict=True):
        x, y = begin + place / inches, top_in + _LEADER_IN
        start = lanes_in[0] if name.on_loop else lanes_in[1]
        axes.plot([name.at, name.at, x, x], [start, top_in, y - 0.08, y], color=style.GREY, linewidth=0.5, zorder=1)
        axes.annotate(
            name.text,
            (x, y),
            (1.5, -1),
            textcoords="offset points",
            fontsize=_POINTS,
            color=style.INK,
            weight="bold" if name.view else "normal",
            rotation=_SLANT,
            rotation_mode="anchor",
            ha="right",
            va="center",
            annotation_clip=False,
        )
