"""The waterfall of one request: a row for each layer, view and crossing, in the order of beginning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from requestlab.plots import costs, style
from requestlab.plots.lettering import width_in
from requestlab.plots.tallies import COLOURS
from requestlab.system import wording
from requestlab.trace.activity import Floats
from requestlab.trace.requests import Step

MAX_ROWS = 60
"""Beyond these, rows are left out and counted."""

ROW_IN, FOOT_IN = 0.19, 0.78
_INDENT_IN, _CHIP_IN, _MAX_NAME_IN, _NOTE_IN = 0.09, 0.15, 3.8, 0.2
_LONG_US = 10_000.0
_HATCH = "////////"


def names_in(rows: Sequence[Step]) -> float:
    """Return how wide the names to the left of the waterfall are, in inches."""
    wanted = [_indent_in(row) + width_in(row.label, style.NOTE_PT) for row in rows[:MAX_ROWS]]
    return min(_MAX_NAME_IN, max(wanted)) + 0.1


def height_in(rows: Sequence[Step]) -> float:
    """Return how high the axes must be, in inches."""
    return ROW_IN * min(len(rows), MAX_ROWS) + _NOTE_IN * (len(rows) > MAX_ROWS) + 0.04


def draw(axes: Axes, rows: Sequence[Step], panel_in: float) -> None:
    """Draw the rows into axes that are `panel_in` inches wide and as high as `height_in` says."""
    scale, unit = (1e3, "ms") if _last_us(rows) > _LONG_US else (1.0, "µs")
    axes.set_ylim(height_in(rows), 0)
    axes.set_xlim(-0.004 * _last_us(rows) / scale, 1.004 * _last_us(rows) / scale)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.grid(axis="x", color="#E6E6E6", linewidth=0.6)
    axes.set_xlabel(f"{unit} since the request reached the application", labelpad=2)
    left_in = names_in(rows)
    shown = rows[:MAX_ROWS]
    across = (-left_in / panel_in, 1 + costs.column_in(shown) / panel_in)
    for number, row in enumerate(shown):
        top = 0.02 + number * ROW_IN
        if number % 2 == 0:
            _band(axes, top, across)
        _draw_row(axes, row, top, scale)
        _write_name(axes, row, top + ROW_IN / 2, left_in, panel_in)
    costs.draw(axes, shown, [0.02 + (number + 0.5) * ROW_IN for number in range(len(shown))])
    if len(rows) > MAX_ROWS:
        left_out = wording.counted(len(rows) - MAX_ROWS, "more row")
        axes.text(
            0,
            height_in(rows) - 0.04,
            f"and {left_out}, not drawn",
            fontsize=style.NOTE_PT,
            color=style.GREY,
            va="bottom",
        )


def draw_key(axes: Axes, rows: Sequence[Step]) -> None:
    """Say what the patterns mean, as far as they occur, in axes measured in inches."""
    axes.set_axis_off()
    axes.set_xlim(0, style.WIDTH_IN - 2 * style.MARGIN_IN)
    axes.set_ylim(0, 0.2)
    crossings = [row for row in rows if row.crossing]
    on_thread = any(not row.on_loop for row in rows)
    entries: list[tuple[str, dict[str, Any]]] = []
    if on_thread:
        entries.append(("runs on a thread", _solid(style.THREAD)))
    if any(row.on_loop for row in rows):
        entries.append(("runs on the event loop", _solid(style.EVENT_LOOP)))
    if crossings:
        entries.append(("waits for a thread", _waiting(style.THREAD)))
        entries.append(("waits for the event loop", _waiting(style.EVENT_LOOP)))
    entries.append(("waits for what is inside it", _pale(style.THREAD if on_thread else style.EVENT_LOOP)))
    at = 0.0
    for text, how in entries:
        axes.add_patch(Rectangle((at, 0.04), 0.26, 0.12, **how))
        axes.text(at + 0.32, 0.1, text, fontsize=style.NOTE_PT, va="center")
        at += 0.32 + width_in(text, style.NOTE_PT) + 0.2


def _draw_row(axes: Axes, row: Step, top: float, scale: float) -> None:
    here = style.EVENT_LOOP if row.on_loop else style.THREAD
    caller = style.THREAD if row.on_loop else style.EVENT_LOOP
    until = np.where(np.isnan(row.times_us), axes.get_xlim()[1] * scale, row.times_us) / scale
    where = (top + 0.16 * ROW_IN, 0.68 * ROW_IN)
    if row.crossing:
        _bars(axes, until[:, [0, 1]], where, _waiting(here))
        _bars(axes, until[:, [1, 2]], where, _pale(here))
        _bars(axes, until[:, [2, 3]], where, _waiting(caller))
    else:
        _bars(axes, until[:, [0, 3]], where, _pale(here))
    _bars(axes, row.solid_us / scale, where, _solid(here))


def _bars(axes: Axes, edges: Floats, where: tuple[float, float], how: dict[str, Any]) -> None:
    for begin, end in edges:
        if end > begin:
            axes.add_patch(Rectangle((begin, where[0]), end - begin, where[1], **how))


def _solid(colour: str) -> dict[str, Any]:
    return {"facecolor": colour, "linewidth": 0, "zorder": 3}


def _pale(colour: str) -> dict[str, Any]:
    return {"facecolor": to_rgba(colour, 0.2), "edgecolor": to_rgba(colour, 0.55), "linewidth": 0.5, "zorder": 2}


def _waiting(colour: str) -> dict[str, Any]:
    return {"facecolor": "white", "edgecolor": colour, "hatch": _HATCH, "linewidth": 0.5, "zorder": 2.5}


def _band(axes: Axes, top: float, across: tuple[float, float]) -> None:
    axes.add_patch(
        Rectangle(
            (across[0], top), across[1] - across[0], ROW_IN, facecolor="#F6F6F6", linewidth=0, zorder=0,
            transform=axes.get_yaxis_transform(), clip_on=False,
        )
    )  # fmt: skip


def _write_name(axes: Axes, row: Step, middle: float, left_in: float, panel_in: float) -> None:
    at_in = _indent_in(row) - left_in
    if row.crossing:
        axes.plot(
            (at_in - _CHIP_IN / 2 - 0.01) / panel_in, middle, "s", color=COLOURS.get(row.origin, COLOURS["other"]), markersize=6,
            transform=axes.get_yaxis_transform(), clip_on=False,
        )  # fmt: skip
    axes.text(
        at_in / panel_in, middle, _fitting(row.label, -at_in - 0.08), fontsize=style.NOTE_PT, va="center",
        color=style.INK if row.crossing else style.GREY, weight="normal", transform=axes.get_yaxis_transform(),
    )  # fmt: skip


def _fitting(name: str, most_in: float) -> str:
    """Cut a name that is too wide from the left, where modules stand."""
    cut = name
    while width_in(cut, style.NOTE_PT) > most_in and len(cut) > 2:
        cut = "…" + cut.lstrip("…")[1:]
    return cut


def _indent_in(row: Step) -> float:
    return _INDENT_IN * row.depth + (_CHIP_IN if row.crossing else 0.0)


def _last_us(rows: Sequence[Step]) -> float:
    return max(float(np.nanmax(row.times_us)) for row in rows)
