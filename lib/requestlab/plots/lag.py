"""Figure: how late the event loop ran what was due, what held it up, and whether that is a problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Polygon

from requestlab.measurement import lag as told
from requestlab.measurement.lag import MAXIMUM_LIMIT_MS, MEDIAN_LIMIT_MS, Culprit, HeldUp, LagFinding, Loop, lateness
from requestlab.plots import inputs, marks, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.marks import Labels, Level, clock, name_levels
from requestlab.plots.sheet import (
    AXIS_IN,
    INNER_IN,
    MARGIN_IN,
    TICKS_IN,
    Line,
    Picture,
    Sheet,
    height_in,
    lines,
    write_above,
    write_beside,
)
from requestlab.system import wording
from requestlab.trace.activity import Floats
from requestlab.worker.heartbeat import EVERY_NS

MAX_RUNS = 8
MAX_ROWS = 6
"""Event loops of a single run that are drawn; of more, the latest, and the others are counted."""

LOWEST_MS = 0.02
"""Ticks that were less late are drawn here: no timer is more exact, and the axis is logarithmic."""

_LEFT_IN, _TIME_IN, _APART_IN, _SORTED_IN, _AXIS_IN = 0.7, 5.25, 0.17, 1.88, 0.62
_PANELS_IN = (2.7, 1.9, 1.6, 1.45, 1.35, 1.3)  # by the number of rows
_ROOM_ABOVE_IN, _MARGIN = 0.42, 0.02
_BARS_LEFT_IN, _BARS_RIGHT_IN, _BAR_IN, _BETWEEN_IN, _LIMIT_IN = 0.3, 4.9, 0.34, 0.1, 0.2
_BOTTOM_MS = 0.8 * LOWEST_MS
_MAX_DOTS, _MAX_AVOIDED = 3000, 40
_LIMIT: dict[str, Any] = {"color": "#9A3324", "linewidth": 1.0, "linestyle": (0, (6, 2)), "zorder": 1.5}
_FACES: dict[str, dict[str, Any]] = {
    "blocking code": {"facecolor": style.EVENT_LOOP, "alpha": 0.75},
    "blocking call": {"facecolor": "#FBE6BD", "edgecolor": style.EVENT_LOOP, "hatch": "/////"},
    "GIL held elsewhere": {"facecolor": style.THREAD, "alpha": 0.6},
    "not scheduled": {"facecolor": style.PALE, "edgecolor": style.NOBODY, "hatch": "....."},
    "unknown": {"facecolor": style.NOBODY, "alpha": 0.5},
}


@dataclass(frozen=True)
class Row:
    """One event loop in the figure: `heading` stands above it, `last` says that it is its run's lowest."""

    contender: Contender
    loop: Loop
    heading: Sequence[Line]
    span_ms: float
    last: bool


@remembered
@style.applied()
def lag(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw how late the event loops of a run were: over time with what held them up, and sorted; of several runs, a bar
    each, with what held up its loop the longest.

    >>> with lab.serve(lab.ASYNC, probe=True) as server:
    ...     run = lab.measure(server, "/async/block/?ms=300", lab.open(rate=2), seconds=3)
    >>> lab.plots.lag(run, predicted=300)

    Takes runs, or one mapping of labels to runs, each under ASGI and with the probe on, else ConfigurationError.
    `predicted` is the largest lateness in ms that the reader expects, for all runs or by label. The sorted lateness is
    weighted by time: each tick of the heartbeat, those missed in a block included, stands for the time until the next
    one was due. A loop has a problem by the limits of Clinic.js Doctor: a median of 10 ms, or a maximum of 100 ms.
    """
    contenders = inputs.gather(runs, "lag", MAX_RUNS, predicted=predicted, what="a lateness in ms")
    findings = [told.finding(one.run, one.label) for one in contenders]
    page = Sheet(told.of_lag(findings))
    page.write([told.advice(findings)])
    if len(contenders) > 1:
        _draw_bars(page, contenders, findings)
        page.explain(f"{_BAR} {_LIMITS}")
    else:
        shown = _rows(contenders[0], findings[0], told.span_ms(contenders[0].run))
        _draw(page, shown)
        page.explain(_explanation(findings[0]), _missing(contenders[0], findings[0], shown))
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


_BAR = (
    "A bar is how late the event loop was at most: a callback due at the worst moment would have waited that long. "
    "Beside it: what held up the loop the longest. Solid orange: its own thread computed; hatched: it waited in a call; grey: it "
    "had no core or no GIL, or nothing was seen to hold it up."
)
_LIMITS = (
    f"Too late (the limits of Clinic.js Doctor): a median of {MEDIAN_LIMIT_MS:g} ms, so that again and again nobody is served; "
    f"or a maximum of {MAXIMUM_LIMIT_MS:g} ms, since even one such stop is felt by every request of the worker."
)


def _explanation(found: LagFinding) -> str:
    shaded = (
        "Shaded, the loop was held up: solid orange, its own thread computed; hatched orange, it waited in a call; grey, it "
        "had no core or no GIL, or the cause is not known. "
    )
    return (
        f"A dot is one tick of a heartbeat, a callback due on the loop every {EVERY_NS / 1e6:g} ms; any other callback due at "
        "that moment would have run as late. Right: the same, sorted: for what share of the time a callback would "
        f"have waited no longer. {shaded if found.culprits else ''}{_LIMITS}"
    )


def _missing(contender: Contender, found: LagFinding, rows: Sequence[Row]) -> str:
    hidden, lost = len(found.loops) - len(rows), contender.run.trace.lost
    said = [
        f"Of {found.label}, {hidden} more event loops that were less late are not drawn." * bool(hidden),
        f"Of {found.label}, {lost:,} rows of the probe were lost: its ring was full." * bool(lost),
    ]
    return " ".join(filter(None, said))


# Several runs: a bar each


def _draw_bars(page: Sheet, contenders: Sequence[Contender], findings: Sequence[LagFinding]) -> None:
    page.space(_LIMIT_IN)
    blocks = list(map(_block, contenders, findings))
    heights = [max(_BAR_IN, height_in(block)) + _BETWEEN_IN for block in blocks]
    axes, places = marks.rows(page, heights, _BARS_LEFT_IN, _BARS_RIGHT_IN, below_in=AXIS_IN)
    guessed = [one.predicted or 0.0 for one in contenders]
    axes.set_xlim(0, 1.05 * max(MAXIMUM_LIMIT_MS, *guessed, *(one.worst.max_ms for one in findings)))
    marks.number(axes.xaxis)
    axes.set_xlabel("how late the event loop was at most, in ms", labelpad=3)
    axes.axvline(MAXIMUM_LIMIT_MS, **_LIMIT)
    limit: dict[str, Any] = {
        "xytext": (0, 3),
        "textcoords": "offset points",
        "ha": "center",
        "va": "bottom",
        "fontsize": style.NOTE_PT,
    }
    axes.annotate(f"limit: {MAXIMUM_LIMIT_MS:g} ms", (MAXIMUM_LIMIT_MS, 0), color=_LIMIT["color"], **limit)
    for contender, found, block, (top, bottom) in zip(contenders, findings, blocks, places, strict=True):
        middle, longest = top + height_in(block) / 2, _longest(found)
        face = _FACES.get(longest.cause if longest else "", _FACES["unknown"])
        marks.bars(axes, 0.0, found.worst.max_ms, middle - _BAR_IN / 2, middle + _BAR_IN / 2, **face)
        if contender.predicted is not None:
            marks.prediction(axes, contender.predicted, span=(top + 0.04, bottom - 0.04))
        write_beside(axes, block, 1 - top / places[-1][1])


def _longest(found: LagFinding) -> Culprit | None:
    return max(found.culprits, key=lambda one: one.longest.ms, default=None)


def _block(contender: Contender, found: LagFinding) -> list[Line]:
    """Return what stands beside a bar: how late the loop was, and what held it up the longest."""
    longest = _longest(found)
    by = told.blamed(longest) if longest else "nothing held it up"
    guess = [] if contender.predicted is None else [f"your prediction: {wording.number(contender.predicted)} ms"]
    which = f" in {found.worst.name} of {len(found.loops)}" if len(found.loops) > 1 else ""
    heading = f"{contender.heading}: {lateness(found.worst.max_ms)}{which}"
    return contender.block(
        _BARS_RIGHT_IN - 0.35, [f"{by[0].upper()}{by[1:]}", *guess], [contender.run.about.asked], heading
    )


# A single run: rows and panels


def _rows(contender: Contender, found: LagFinding, span: float) -> list[Row]:
    """Return the latest loops of a run, in the order of the workers."""
    latest = sorted(found.loops, key=lambda loop: -loop.max_ms)[:MAX_ROWS]
    shown = [loop for loop in found.loops if loop in latest]
    rows = []
    for loop in shown:
        said = f"{loop.name}: {told.verdict(loop)}" if len(found.loops) > 1 else told.verdict(loop)
        above = contender.block(INNER_IN, notes=[contender.run.about.asked]) if loop is shown[0] else []
        heading = [*above, *lines(said[0].upper() + said[1:], INNER_IN, bold=True)]
        rows.append(Row(contender, loop, heading, span, loop is shown[-1]))
    return rows


def _draw(page: Sheet, rows: Sequence[Row]) -> None:
    panel_in = _PANELS_IN[min(len(rows), len(_PANELS_IN)) - 1]
    columns = [(_LEFT_IN, _TIME_IN), (_LEFT_IN + _TIME_IN + _APART_IN, _SORTED_IN)]
    blocks = [block.ms for row in rows for block in row.loop.blocks]
    peak_ms = max(MAXIMUM_LIMIT_MS, *blocks, *(max(row.loop.max_ms, row.contender.predicted or 0.0) for row in rows))
    for row in rows:
        below_in = _AXIS_IN if row is rows[-1] else TICKS_IN if row.last else 0.0
        over_time, in_order = page.panels(panel_in, columns, above_in=height_in(row.heading), below_in=below_in)
        write_above(over_time, row.heading, _LEFT_IN - MARGIN_IN)
        over_time.set_xlim(-_MARGIN * row.span_ms, (1 + _MARGIN) * row.span_ms)
        in_order.set_xlim(0, 104)
        for axes in (over_time, in_order):
            _set_lateness(axes, peak_ms, panel_in)
            axes.tick_params(labelbottom=row.last)
        clock(over_time, named=row is rows[-1])
        over_time.set_ylabel("how late, in ms (log.)" if panel_in > 1.6 else "ms late (log.)", labelpad=2)
        in_order.set_xticks([50, 99], ["50%", "99%"])
        in_order.tick_params(labelleft=False)
        if row is rows[-1]:
            in_order.set_xlabel("for so much of the time, a callback\nwould have waited no longer", labelpad=2)
        _draw_time(over_time, row, 3 if len(rows) < 3 else 2)
        _draw_sorted(in_order, row)
        _name_levels(in_order, row)


def _set_lateness(axes: Axes, peak_ms: float, panel_in: float) -> None:
    """Set the axis of lateness, logarithmic, with room for a label above the peak."""
    above = _ROOM_ABOVE_IN / panel_in
    axes.set_yscale("log")
    axes.set_ylim(_BOTTOM_MS, float(np.exp((np.log(peak_ms) - above * np.log(_BOTTOM_MS)) / (1 - above))))
    ticks = [10.0**power for power in range(-1, int(np.log10(peak_ms * 1.01)) + 1)]
    axes.set_yticks(ticks, [f"{tick:,g}" for tick in ticks])
    axes.minorticks_off()


def _draw_time(axes: Axes, row: Row, most_labels: int) -> None:
    loop, labels = row.loop, Labels(axes)
    _draw_levels(axes, row, labels)
    for block in loop.blocks:
        _draw_block(axes, block)
    for block in sorted(loop.blocks, key=lambda block: -block.ms)[:_MAX_AVOIDED]:
        for ms in np.geomspace(LOWEST_MS, max(block.ms, LOWEST_MS), 12):
            labels.avoid(np.array([block.begin_ms, block.end_ms - ms]), np.full(2, ms))
    time, late = _thinned(loop.time_ms, loop.late_ms)
    dots: dict[str, Any] = {"marker": ".", "markersize": 2.6, "markeredgewidth": 0, "rasterized": True}
    axes.plot(time, late, color=row.contender.look.colour, linestyle="none", **dots)
    labels.avoid(time, late)
    never = np.flatnonzero(loop.pending)[:1]
    axes.plot(loop.time_ms[never], _drawn(loop.late_ms[never]), "^", color=row.contender.look.ink, zorder=4)
    for rank, culprit in enumerate(LagFinding("", [loop]).weighty[:most_labels]):
        at = (max(culprit.longest.begin_ms, 0.0), max(culprit.longest.ms, LOWEST_MS))
        left = at[0] > 0.6 * axes.get_xlim()[1]
        if labels.put(_label(culprit), at, to_the_left=left, bold=rank == 0, optional=rank > 0):
            axes.plot(*at, marker="v", markersize=5, color=style.INK, zorder=4, clip_on=False)


def _label(culprit: Culprit) -> str:
    often = f"{wording.often(len(culprit.blocks))}, up to " if len(culprit.blocks) > 1 else ""
    place, length = told.place_of(culprit), f"{often}{lateness(culprit.longest.ms)}"
    return f"{place}\n{culprit.cause}: {length}" if place else f"{culprit.cause}:\n{length}"


def _draw_block(axes: Axes, block: HeldUp) -> None:
    """Shade the stretch, darker below what a callback due in it would have had to wait: the time until its end."""
    begin, end = block.begin_ms, max(block.end_ms, block.begin_ms + LOWEST_MS)
    waits = np.geomspace(end - begin, LOWEST_MS, 24)
    corners = [(begin, _BOTTOM_MS), *zip(end - waits, waits, strict=True), (end, _BOTTOM_MS)]
    axes.add_patch(Polygon(corners, closed=True, linewidth=0, zorder=1, **_FACES.get(block.cause, _FACES["unknown"])))
    pale = style.EVENT_LOOP if block.cause.startswith("blocking") else style.NOBODY
    axes.axvspan(begin, end, color=pale, alpha=0.1, linewidth=0)


def _draw_levels(axes: Axes, row: Row, labels: Labels) -> None:
    for limit in (MEDIAN_LIMIT_MS, MAXIMUM_LIMIT_MS):
        axes.axhline(limit, **_LIMIT)
        labels.avoid_level(limit)
    if np.isfinite(row.loop.floor_ms):
        axes.axhline(max(row.loop.floor_ms, LOWEST_MS), color=style.NOBODY, linewidth=0.8, zorder=0.5)
    if row.contender.predicted is not None:
        labels.predict(max(row.contender.predicted, LOWEST_MS))


def _draw_sorted(axes: Axes, row: Row) -> None:
    """Draw for which share of the time a callback would have waited no longer, with p50, p99 and the maximum marked."""
    look, labels = row.contender.look, Labels(axes)
    late = _drawn(np.sort(row.loop.late_ms))
    share = 100 * np.arange(1, late.size + 1) / late.size
    _draw_levels(axes, row, labels)
    for percent in (50, 99):
        axes.axvline(percent, color=style.PALE, linewidth=0.8, zorder=0)
    axes.step([0, *share], [late[0], *late], where="pre", color=look.colour)
    labels.avoid(share, late)
    marked = {"p50": (50, row.loop.percentile(50)), "p99": (99, row.loop.percentile(99)), "max": (100, row.loop.max_ms)}
    for name, (x, ms) in marked.items():
        at = (float(x), max(ms, LOWEST_MS))
        axes.plot(*at, **look.markers, zorder=4, clip_on=False)
        labels.put(f"{name} {lateness(ms)}", at, to_the_left=True, color=look.ink, bold=True)


def _name_levels(axes: Axes, row: Row) -> None:
    levels = [
        Level(MAXIMUM_LIMIT_MS, f"limit of the maximum: {MAXIMUM_LIMIT_MS:g} ms", _LIMIT["color"]),
        Level(MEDIAN_LIMIT_MS, f"limit of the median: {MEDIAN_LIMIT_MS:g} ms", _LIMIT["color"]),
        Level(max(row.loop.floor_ms, LOWEST_MS), f"idle floor: {lateness(row.loop.floor_ms)}", style.GREY),
    ]
    if row.contender.predicted is not None:
        levels.append(
            Level(
                max(row.contender.predicted, LOWEST_MS),
                f"your prediction: {wording.number(row.contender.predicted)} ms",
            )
        )
    name_levels(axes, levels, INNER_IN, 0.15)


def _drawn(late_ms: Floats) -> Floats:
    return np.maximum(late_ms, LOWEST_MS)


def _thinned(time_ms: Floats, late_ms: Floats) -> tuple[Floats, Floats]:
    """Return the ticks to draw: of too many, the latest of each stretch, so that no peak is lost."""
    kept = np.arange(late_ms.size)
    if late_ms.size > _MAX_DOTS:
        kept = np.array([part[late_ms[part].argmax()] for part in np.array_split(kept, _MAX_DOTS)])
    return time_ms[kept], _drawn(late_ms[kept])
