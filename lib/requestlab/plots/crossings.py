"""Figure: one request as a waterfall, with the cost of each crossing, or how often the requests of several runs
cross."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from requestlab.comparison.wording import brief
from requestlab.measurement.record import answered
from requestlab.plots import inputs, marks, sheet, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.sheet import AXIS_IN, INNER_IN, MARGIN_IN, Entries, Line, Picture, Sheet, lines, write_at
from requestlab.system import wording
from requestlab.trace.requests import Step, Traced, steps, traced, waiting_us

MAX_RUNS = 12
MAX_ROWS = 60
"""Beyond these, rows of the waterfall are left out and counted."""

COLOURS = {
    "signal": "#B79FCB",
    "middleware": "#7B4B94",
    "view": "#1F3A5F",
    "close": "#9DB4C0",
    "other": "#C9C2B8",
}
"""Where a crossing comes from; no configuration's colour, and none of those that say who ran something."""

_WHAT = "A crossing is a call of sync_to_async or async_to_sync: from the event loop to a thread and back, or the other way round."
_COST = "Its cost: there, from the call until the function begins on the other side; and back, from its end until the caller goes on."
_BESIDE_IN, _BAR_IN, _NAMES_IN = 3.1, 0.27, 0.3
_MIN_CELLS, _MAX_CELLS = 8.0, 120
_ROW_IN, _INDENT_IN, _CHIP_IN, _MAX_NAME_IN = 0.19, 0.09, 0.15, 3.8
_WAYS_END_IN, _COST_END_IN = 1.15, 1.98  # of the columns to the right of the waterfall
_LONG_US = 10_000.0


@dataclass(frozen=True, eq=False)
class Tally:
    """One run in the figure, and what the probe saw of its requests."""

    contender: Contender
    seen: Traced

    @property
    def crossed(self) -> str:
        """`16 crossings`; where requests differ, `14 to 16 crossings`."""
        low, high = self.seen.range
        return wording.counted(low, "crossing") if low == high else f"{low:,} to {high:,} crossings"


@remembered
@style.applied()
def crossings(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw how control crosses between event loop and threads: one run's typical request as a waterfall, several runs
    as counts.

    >>> with lab.serve(lab.ASGI, probe=True) as server:
    ...     run = lab.measure(server, "/sync/page/", lab.closed(1))
    >>> lab.plots.crossings(run, predicted=1)

    Takes runs, or one mapping of labels to runs, each measured with the probe on, else ConfigurationError. In the
    typical request, each crossing costs nearly what it costs in the median over all that cross as often. `predicted` is
    the number of crossings per request that the reader expects, for all runs or by label.
    """
    what = "a number of crossings per request"
    contenders = inputs.gather(runs, "crossings", MAX_RUNS, predicted=predicted, what=what)
    found = [tally(contender) for contender in contenders]
    page = _one(found[0]) if len(found) == 1 else _several(found)
    page.explain(*_explained(found))
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


def tally(contender: Contender) -> Tally:
    """Return what is known of a run; ConfigurationError where the probe was off, or followed no request to its end."""
    run = contender.run
    return Tally(contender, traced(run.trace, run.requests[answered(run.requests)], contender.label))


def _one(one: Tally) -> Sheet:
    rows = steps(one.contender.run.trace, one.seen.typical(), one.contender.run.event_loops)
    page = Sheet(finding(one, rows))
    cells = "; one cell below is one crossing" if one.seen.range[1] else ""
    _draw_tally(page, one, _limit([one]), f"; {wording.counted(len(one.seen.requests), 'request')} traced{cells}")
    page.space(0.1)
    _draw_waterfall(page, rows, _which(one.seen), summary(rows))
    page.key(_key(rows))
    return page


def _several(found: Sequence[Tally]) -> Sheet:
    page = Sheet(_compared(found))
    for one in found:
        _draw_tally(page, one, _limit(found))
    return page


# What is said


def finding(one: Tally, rows: Sequence[Step]) -> str:
    """Say how often a request crosses, by the median over requests, most often for what, and what share of its time
    that takes of the one that is drawn."""
    label, seen = one.contender.label, one.seen
    if not seen.range[1]:
        where = "the event loop" if rows[0].on_loop else "one thread"
        return brief(f"No crossing: {where} runs the whole request under {label}", f"No crossing under {label}")
    takes = f"{'' if seen.number == 1 else 'together '}{_share(waiting_us(rows) / rows[0].lasted_us)} of its time"
    origin, number = max(seen.usual.items(), key=lambda pair: (pair[1], pair[0] == "view"))
    most = "" if seen.number == 1 else f", {number:,} for {_FOR[origin]}"
    told = f"{one.crossed} in a request under {label}"
    return brief(f"{told}{most}; {takes}", f"{told}; {takes}", told, f"{one.crossed} in a request")


_FOR = {
    "signal": "signals",
    "middleware": "middleware",
    "view": "the view",
    "close": "its close",
    "other": "other calls",
}


def _compared(found: Sequence[Tally]) -> str:
    """Say which run's requests cross least, and which most often."""
    least, *_, most = sorted(found, key=lambda one: (one.seen.number, one.seen.range))
    times = [wording.often(one.seen.number) if one.seen.number else "never" for one in (most, least)]
    if least.seen.number == most.seen.number:
        return f"Each request crosses {times[0]}, under all {len(found)}"
    told = [f"{one.contender.label}: a request crosses {how}" for one, how in zip((most, least), times, strict=True)]
    return brief(
        "; ".join((told[0], told[1].replace("a request crosses ", ""))),
        f"A request crosses {least.seen.number:,} to {most.seen.number:,} times",
    )


def summary(rows: Sequence[Step]) -> str:
    """Say what the drawn request's crossings cost together, and how long its view's own code ran."""
    took = rows[0].lasted_us
    parts = [f"{wording.us(took)} in the application"]
    if crossing := [row for row in rows if row.crossing]:
        number = wording.counted(sum(len(row.times_us) for row in crossing), "crossing")
        cost = float(np.nansum([row.cost_us for row in crossing]))
        parts.append(f"{number} cost {wording.us(cost)}, {_share(waiting_us(rows) / took)} of its time")
    views = [row for row in rows if "view" in (row.kind, row.inside)]
    if any(len(row.solid_us) for row in views):
        own = sum(row.own_us for row in views)
        parts.append(f"the view's own code ran for {wording.us(own)}, {_share(own / took)}")
    return "; ".join(parts)


def _share(share: float) -> str:
    return wording.percent(share) if share >= 0.005 else "under 1%"


def _which(seen: Traced) -> str:
    if len(seen.requests) == 1:
        return "the only request"
    alike = int((seen.counts.sum(axis=1) == seen.number).sum())
    among = f"{alike:,} of them that cross so often" if alike < len(seen.requests) else f"all {alike:,}"
    costs = f"each of its crossings costs nearly what it costs in the median of {among}"
    return f"below, a typical request: {costs if seen.number else f'of median time among {among}'}"


def _explained(found: Sequence[Tally]) -> Iterator[str]:
    if any(one.seen.range[1] for one in found):
        yield f"{_WHAT} {_COST}" if len(found) == 1 else _WHAT
    if len(found) > 1:
        few, *_, most = sorted(len(one.seen.requests) for one in found)
        counted = wording.counted(most, "request") if few == most else f"{few:,} to {most:,} requests"
        yield f"One cell: one crossing of a request. Counted in {counted} under each."
    if any(one.seen.range[0] < one.seen.range[1] for one in found):
        yield "Cells: the most frequent number. Line: from the fewest to the most."
    if lost := sum(one.contender.run.trace.lost for one in found):
        yield f"The probe had no room left for {wording.counted(lost, 'row')}, the oldest ones."


# How often requests cross: a bar of one cell for each crossing


def _limit(found: Sequence[Tally]) -> float:
    return (
        max([_MIN_CELLS, *(one.seen.range[1] for one in found), *(one.contender.predicted or 0 for one in found)])
        * 1.01
    )


def _draw_tally(page: Sheet, one: Tally, limit: float, circumstances: str = "") -> None:
    about, seen, predicted = one.contender.run.about, one.seen, one.contender.predicted
    above = one.contender.block(INNER_IN, notes=[f"{about.path}, {about.load}{circumstances}"])
    above += [Line("")] * (predicted is not None)  # where the words of the prediction go
    room = {"above": above, "below_in": _NAMES_IN if seen.number else 0.1}
    axes, _ = marks.rows(page, [_BAR_IN], MARGIN_IN, MARGIN_IN + _BESIDE_IN, **room)
    axes.set_axis_off()
    axes.set_xlim(0, limit)
    _draw_cells(axes, seen)
    if predicted is not None:
        words = f"your prediction: {wording.number(predicted)}"
        marks.prediction(axes, predicted, words, span=(-0.04, _BAR_IN + 0.05))
    names = [(f"{number:,} {origin}", [{"facecolor": COLOURS[origin]}]) for origin, number in seen.usual.items()]
    sheet.write_key(axes, names, _BAR_IN + 0.15, swatch_in=0.14)
    write_at(axes, _figures(one, bool(circumstances)), _BAR_IN / 2, sheet.size_in(axes)[0] + 0.15)


def _draw_cells(axes: Axes, seen: Traced) -> None:
    axes.plot([0, 0], [0, _BAR_IN], color=style.NOBODY, linewidth=0.8, clip_on=False)
    cell = 1 if seen.number <= _MAX_CELLS else seen.number
    at = 0
    for origin, number in seen.usual.items():
        edges = np.append(np.arange(0, number, cell), number) + at
        marks.bars(axes, edges[:-1], edges[1:], 0, _BAR_IN, facecolor=COLOURS[origin], edgecolor="white", linewidth=1.2)
        at += number
    low, high = seen.range
    if low < high:
        axes.plot([low, high], [_BAR_IN / 2] * 2, color=style.INK, linewidth=1.1, marker="|", markersize=9, zorder=4)


def _figures(one: Tally, costs: bool) -> list[Line]:
    """Return what stands beside the cells: how many, and for a run that stands alone what each costs."""
    seen = one.seen
    if not seen.range[1]:
        return [Line("no crossing", style.TEXT_PT, bold=True)]
    said = [f"most often {seen.number:,}"] if seen.range[0] < seen.range[1] else []
    if costs:
        said.append(f"{wording.us(seen.cost_us)} each, in the median" if np.isfinite(seen.cost_us) else "cost unknown")
    notes = [Line("; ".join(said), style.TEXT_PT)] if said else []
    return [Line(f"{one.crossed} per request", style.TEXT_PT, bold=True), *notes]


# The waterfall: a row for each layer, view and crossing of one request, in the order of beginning


def _draw_waterfall(page: Sheet, all_rows: Sequence[Step], which: str, total: str) -> None:
    rows = all_rows[:MAX_ROWS]
    names_in = min(_MAX_NAME_IN, max(_indent_in(row) + sheet.width_in(row.label) for row in rows)) + 0.1
    crossing = any(row.crossing for row in rows)
    right_in = (_COST_END_IN + 0.06) * crossing
    above = [*lines(which, INNER_IN - right_in, color=style.GREY), *lines(total, INNER_IN - right_in, bold=True)]
    room = {"above": above, "below_in": AXIS_IN}
    heights_in = [_ROW_IN] * len(rows)
    axes, places = marks.rows(page, heights_in, MARGIN_IN + names_in, MARGIN_IN + right_in, **room)
    scale = _set_time(axes, max(float(np.nanmax(row.times_us)) for row in all_rows))
    _shade(axes, [top for top, _ in places[::2]], names_in, right_in)
    for row, (top, bottom) in zip(rows, places, strict=True):
        _draw_row(axes, row, top, scale)
        _write_name(axes, row, (top + bottom) / 2, names_in)
        if row.crossing:
            _write_costs(axes, *_costs(row), (top + bottom) / 2)
    if crossing:
        _write_costs(axes, "there + back", "= cost, µs", -0.16)
    if len(all_rows) > MAX_ROWS:
        page.write([f"and {wording.counted(len(all_rows) - MAX_ROWS, 'more row')}, not drawn"], color=style.GREY)


def _set_time(axes: Axes, last_us: float) -> float:
    """Let x be time, in µs or ms, and return how many µs its unit has."""
    scale, unit = (1e3, "ms") if last_us > _LONG_US else (1.0, "µs")
    axes.set_xlim(-0.004 * last_us / scale, 1.004 * last_us / scale)
    marks.number(axes.xaxis)
    axes.grid(axis="x", color=style.PALE, linewidth=0.6)
    axes.set_xlabel(f"{unit} since the request reached the application", labelpad=2)
    return scale


def _shade(axes: Axes, tops: Sequence[float], left_in: float, right_in: float) -> None:
    left, right = -left_in / sheet.size_in(axes)[0], 1 + right_in / sheet.size_in(axes)[0]
    how = {"facecolor": "#F6F6F6", "zorder": 0, "transform": axes.get_yaxis_transform(), "clip_on": False}
    marks.bars(axes, left, right, tops, np.array(tops) + _ROW_IN, **how)


def _draw_row(axes: Axes, row: Step, top: float, scale: float) -> None:
    here, caller = (style.EVENT_LOOP, style.THREAD) if row.on_loop else (style.THREAD, style.EVENT_LOOP)
    until = np.where(np.isnan(row.times_us), axes.get_xlim()[1] * scale, row.times_us)
    pieces = [(until[:, [0, 3]], _pale(here))]
    if row.crossing:
        pieces = [(until[:, :2], _waiting(here)), (until[:, 1:3], _pale(here)), (until[:, 2:], _waiting(caller))]
    for edges, how in [*pieces, (row.solid_us, _solid(here))]:
        begin, end = edges[edges[:, 1] > edges[:, 0]].T / scale
        marks.bars(axes, begin, end, top + 0.16 * _ROW_IN, top + 0.84 * _ROW_IN, **how)


def _write_name(axes: Axes, row: Step, y: float, names_in: float) -> None:
    at_in = _indent_in(row) - names_in
    if row.crossing:
        chip = (at_in - _CHIP_IN / 2 - 0.01) / sheet.size_in(axes)[0]
        colour = COLOURS.get(row.origin, COLOURS["other"])
        axes.plot(chip, y, "s", color=colour, ms=6, transform=axes.get_yaxis_transform(), clip_on=False)
    name = sheet.fitting(row.label[::-1], -at_in - 0.08)[::-1]  # cut from the left, where modules stand
    write_at(axes, [Line(name, color=style.INK if row.crossing else style.GREY)], y, at_in)


def _indent_in(row: Step) -> float:
    return _INDENT_IN * row.depth + (_CHIP_IN if row.crossing else 0.0)


def _costs(row: Step) -> tuple[str, str]:
    if not np.isfinite(row.cost_us):
        return "", "not ended"
    return f"{wording.ms(row.there_us)} + {wording.ms(row.back_us)}", f"= {wording.ms(row.cost_us)}"


def _write_costs(axes: Axes, ways: str, cost: str, y: float) -> None:
    for text, end_in, bold in ((ways, _WAYS_END_IN, False), (cost, _COST_END_IN, True)):
        write_at(axes, [Line(text, bold=bold)], y, sheet.size_in(axes)[0] + end_in - sheet.width_in(text, bold=bold))


# The patterns of bars


def _key(rows: Sequence[Step]) -> Entries:
    on_thread, on_loop = (any(row.on_loop == loop for row in rows) for loop in (False, True))
    crossing = any(row.crossing for row in rows)
    entries = [
        (on_thread, "runs on a thread", _solid(style.THREAD)),
        (on_loop, "runs on the event loop", _solid(style.EVENT_LOOP)),
        (crossing, "waits for a thread", _waiting(style.THREAD)),
        (crossing, "waits for the event loop", _waiting(style.EVENT_LOOP)),
        (True, "waits for what is inside it", _pale(style.THREAD if on_thread else style.EVENT_LOOP)),
    ]
    return [(text, [how]) for occurs, text, how in entries if occurs]


def _solid(colour: str) -> dict[str, Any]:
    return {"facecolor": colour, "linewidth": 0, "zorder": 3}


def _pale(colour: str) -> dict[str, Any]:
    return {"facecolor": to_rgba(colour, 0.2), "edgecolor": to_rgba(colour, 0.55), "linewidth": 0.5, "zorder": 2}


def _waiting(colour: str) -> dict[str, Any]:
    return {"facecolor": "white", "edgecolor": colour, "hatch": "////////", "linewidth": 0.5, "zorder": 2.5}
