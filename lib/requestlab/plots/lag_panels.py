"""The panels of the lag figure: one loop's lateness over time on the left, and sorted on the right, on one axis of ms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon
from matplotlib.text import Annotation
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator, StrMethodFormatter

from requestlab.measurement.lag import MAXIMUM_LIMIT_MS, MEDIAN_LIMIT_MS, Block, Loop, culprits
from requestlab.plots import style
from requestlab.plots.labels import Labels
from requestlab.plots.lag_words import label_of, shown_ms, weighty
from requestlab.plots.lettering import POINTS_PER_INCH, width_in
from requestlab.plots.style import SeriesStyle
from requestlab.system import wording
from requestlab.trace.activity import Floats, Integers

LOWEST_MS = 0.02
"""Ticks that were less late are drawn here: no timer is more exact, and the axis is logarithmic."""

MARGIN = 0.02
MAX_LABELS = 3
_BOTTOM_MS = 0.8 * LOWEST_MS
_ROOM_ABOVE_IN, _TEXT_IN = 0.42, 0.15
_MAX_DOTS, _MAX_AVOIDED = 1500, 40
_LIMIT: dict[str, Any] = {"color": "#9A3324", "linewidth": 1.0, "linestyle": (0, (6, 2)), "zorder": 1.5}
_HOW: dict[str, dict[str, Any]] = {
    "blocking code": {"facecolor": style.EVENT_LOOP, "alpha": 0.75},
    "blocking call": {"facecolor": "#FBE6BD", "edgecolor": style.EVENT_LOOP, "hatch": "/////"},
    "GIL held elsewhere": {"facecolor": style.THREAD, "alpha": 0.6},
    "not scheduled": {"facecolor": "#E4E4E4", "edgecolor": style.NOBODY, "hatch": "....."},
    "unknown": {"facecolor": style.NOBODY, "alpha": 0.5},
}


def peak_ms(loops: Sequence[Loop], guesses: Sequence[float | None]) -> float:
    """Return the most that is drawn on the axis of lateness that all loops share."""
    seen = [loop.max_ms for loop in loops] + [block.ms for loop in loops for block in loop.blocks]
    return max([MAXIMUM_LIMIT_MS, *seen, *(guess for guess in guesses if guess is not None)])


def set_axes(over_time: Axes, sorted_: Axes, span_ms: float, peak: float, panel_in: float) -> None:
    """Set limits and ticks of a loop's two panels, `panel_in` inches high, with room for a label above the peak."""
    above = _ROOM_ABOVE_IN / panel_in
    highest = float(np.exp((np.log(peak) - above * np.log(_BOTTOM_MS)) / (1 - above)))
    ticks = [10.0**power for power in range(-1, int(np.log10(peak * 1.01)) + 1)]
    for axes in (over_time, sorted_):
        axes.set_yscale("log")
        axes.set_ylim(_BOTTOM_MS, highest)
        axes.yaxis.set_major_locator(FixedLocator(ticks))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    over_time.set_xlim(-MARGIN * span_ms, (1 + MARGIN) * span_ms)
    over_time.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    over_time.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    sorted_.set_xlim(0, 104)
    sorted_.set_xticks([50, 99], ["50 %", "99 %"])
    sorted_.tick_params(labelleft=False)


def draw_time(axes: Axes, loop: Loop, face: SeriesStyle, predicted: float | None, most_labels: int) -> None:
    """Draw each tick, the blocks with their culprits, the limits and the reader's prediction."""
    labels = Labels(axes)
    _draw_levels(axes, loop, labels)
    for block in loop.blocks:
        _draw_block(axes, block)
    for block in sorted(loop.blocks, key=lambda block: -block.ms)[:_MAX_AVOIDED]:
        _avoid(labels, block)
    time, late = _thinned(loop)
    axes.plot(
        time, late, linestyle="none", marker=".", markersize=2.6, markeredgewidth=0, color=face.colour, rasterized=True
    )
    never = loop.pending
    axes.plot(
        loop.time_ms[never][:1], _drawn(loop.late_ms[never][:1]), marker="^", color=face.ink, linestyle="none", zorder=4
    )
    labels.avoid(time, late)
    if predicted is not None:
        _draw_prediction(axes, predicted, labels)
    _name_culprits(axes, labels, loop, most_labels)


def _name_culprits(axes: Axes, labels: Labels, loop: Loop, most: int) -> None:
    """Write beside the longest block of each culprit that matters who it was, as far as there is room."""
    for rank, culprit in enumerate(weighty(culprits([loop]))[:most]):
        at = (max(culprit.longest.begin_ms, 0.0), max(culprit.longest.ms, LOWEST_MS))
        labels.put(label_of(culprit), at, to_the_left=at[0] > 0.6 * axes.get_xlim()[1], bold=rank == 0)
        if _on_another(axes):
            axes.texts[-1].remove()
        else:
            axes.plot(*at, marker="v", markersize=5, color=style.INK, zorder=4, clip_on=False)


def _on_another(axes: Axes) -> bool:
    """Return whether the label written last is on another."""
    *others, last = [_corners_pt(text) for text in axes.texts if isinstance(text, Annotation)]
    return any(bool((last[:2] < other[2:]).all() and (other[:2] < last[2:]).all()) for other in others)


def _corners_pt(text: Annotation) -> Floats:
    """Return where a label is, in points from the panel's lower left corner: x0, y0, x1, y1."""
    lines = text.get_text().split("\n")
    wide = max(width_in(line, style.NOTE_PT, bold=True) for line in lines) * POINTS_PER_INCH
    x, y = text.xyann
    return np.array([x, y, x + wide, y + _TEXT_IN * POINTS_PER_INCH * len(lines)])


def _draw_block(axes: Axes, block: Block) -> None:
    """Shade the stretch, darker below what a callback due in it would have had to wait: the time until its end."""
    how = _HOW.get(block.cause, _HOW["unknown"])
    begin, end = block.begin_ms, max(block.end_ms, block.begin_ms + LOWEST_MS)
    waits = np.geomspace(end - begin, LOWEST_MS, 24)
    corners = [(begin, _BOTTOM_MS), *zip(end - waits, waits, strict=True), (end, _BOTTOM_MS)]
    axes.add_patch(Polygon(corners, closed=True, linewidth=0, zorder=1, **how))
    axes.axvspan(
        begin, end, color=style.EVENT_LOOP if "blocking" in block.cause else style.NOBODY, alpha=0.1, linewidth=0
    )


def _avoid(labels: Labels, block: Block) -> None:
    """Keep labels off what is shaded darker, as off lines at several heights of it."""
    for ms in np.geomspace(LOWEST_MS, max(block.ms, LOWEST_MS), 12):
        labels.avoid(np.array([block.begin_ms, block.end_ms - ms]), np.full(2, ms))


def _draw_levels(axes: Axes, loop: Loop, labels: Labels) -> None:
    """Draw the limits and the idle floor."""
    across = np.array(axes.get_xlim())
    for limit in (MEDIAN_LIMIT_MS, MAXIMUM_LIMIT_MS):
        axes.axhline(limit, **_LIMIT)
        labels.avoid(across, np.full(2, limit))
    if np.isfinite(loop.floor_ms):
        axes.axhline(max(loop.floor_ms, LOWEST_MS), color=style.NOBODY, linewidth=0.8, zorder=0.5)


def _draw_prediction(axes: Axes, predicted: float, labels: Labels) -> None:
    height = max(predicted, LOWEST_MS)
    axes.axhline(height, color=style.INK, linestyle=(0, (1, 2)), linewidth=1.3, zorder=3)
    labels.avoid(np.array(axes.get_xlim()), np.full(2, height))


def draw_sorted(axes: Axes, loop: Loop, face: SeriesStyle, predicted: float | None) -> None:
    """Draw for which share of the time a callback would have waited no longer, with p50, p99 and the maximum marked."""
    late = np.sort(loop.late_ms)
    share = np.arange(1, late.size + 1) / late.size
    labels = Labels(axes)
    _draw_levels(axes, loop, labels)
    if predicted is not None:
        _draw_prediction(axes, predicted, labels)
    for percent in (50, 99):
        axes.axvline(percent, color="#DDDDDD", linewidth=0.8, zorder=0)
    axes.step([0, *(100 * share)], _drawn(np.concatenate([late[:1], late])), where="pre", color=face.colour)
    labels.avoid(100 * share, _drawn(late))
    marked = {"p50": (50.0, loop.percentile(50)), "p99": (99.0, loop.percentile(99)), "max": (100.0, loop.max_ms)}
    strokes = face.strokes | {"linestyle": "none", "zorder": 4}
    axes.plot(*zip(*((x, max(y, LOWEST_MS)) for x, y in marked.values()), strict=True), **strokes, clip_on=False)
    for text, (x, y) in _together(marked):
        labels.put(text, (x, max(y, LOWEST_MS)), to_the_left=True, color=face.ink, bold=True)


def _together(marked: dict[str, tuple[float, float]]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield what is written beside the marks, p99 and maximum as one where they would be on one another."""
    p50, p99, most = (y for _, y in marked.values())
    yield f"p50 {shown_ms(p50)}", marked["p50"]
    if most < 2 * max(p99, LOWEST_MS):
        yield f"p99 {shown_ms(p99)} · max {shown_ms(most)}", marked["max"]
    else:
        yield f"p99 {shown_ms(p99)}", marked["p99"]
        yield f"max {shown_ms(most)}", marked["max"]


def name_levels(axes: Axes, loop: Loop, predicted: float | None, panel_in: float) -> None:
    """Write to the right of the axes, `panel_in` inches high, which line is which."""
    texts = [
        (MAXIMUM_LIMIT_MS, f"limit of the maximum: {MAXIMUM_LIMIT_MS:g} ms", _LIMIT["color"]),
        (MEDIAN_LIMIT_MS, f"limit of the median: {MEDIAN_LIMIT_MS:g} ms", _LIMIT["color"]),
        (max(loop.floor_ms, LOWEST_MS), f"idle floor: {shown_ms(loop.floor_ms)}", style.GREY),
    ]
    if predicted is not None:
        texts.append((max(predicted, LOWEST_MS), f"your prediction: {wording.number(predicted)} ms", style.INK))
    texts.sort()
    low, high = np.log(axes.get_ylim())
    wanted_in = [panel_in * float((np.log(ms) - low) / (high - low)) for ms, _, _ in texts]
    for height_in, (_, text, colour) in zip(_apart(wanted_in), texts, strict=True):
        axes.annotate(
            text, (1, height_in / panel_in), (6, 0), "axes fraction", "offset points", va="center", color=colour,
            fontsize=style.NOTE_PT, annotation_clip=False,
        )  # fmt: skip


def _apart(rising_in: Sequence[float]) -> Floats:
    """Return the heights, moved as little as needs be for lines of text at them not to touch."""
    steps = _TEXT_IN * np.arange(len(rising_in))
    above = np.maximum.accumulate(np.array(rising_in) - steps) + steps
    below = np.minimum.accumulate((np.array(rising_in) - steps)[::-1])[::-1] + steps
    return np.asarray((above + below) / 2)


def _drawn(late_ms: Floats) -> Floats:
    return np.maximum(late_ms, LOWEST_MS)


def _thinned(loop: Loop) -> tuple[Floats, Floats]:
    """Return the ticks to draw: of too many, the earliest and the latest of each stretch, so that no peak is lost."""
    late = _drawn(loop.late_ms)
    if late.size <= 2 * _MAX_DOTS:
        return loop.time_ms, late
    kept: Integers = np.unique(
        [
            pick
            for part in np.array_split(np.arange(late.size), _MAX_DOTS)
            for pick in (part[late[part].argmin()], part[late[part].argmax()])
        ]
    )
    return loop.time_ms[kept], late[kept]
