"""Figure: how many threads are alive, and which thread ran which request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from requestlab.errors import ConfigurationError
from requestlab.measurement import threads as told
from requestlab.measurement.threads import MARGIN, Alive, Lane, Window, alive, windows
from requestlab.plots import inputs, marks, sheet, style
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.sheet import AXIS_IN, INNER_IN, MARGIN_IN, TICKS_IN, Line, Picture, Sheet, lines
from requestlab.system import checks, wording

MAX_COLUMNS = 4

_COUNTS = ("ran", "alive")
_AFTERWARDS_MS = 30.0  # how much is shown of what becomes of the threads after the last answer
_ALIVE_IN, _BESIDE_IN, _APART_IN = 1.35, 0.78, 0.17
_MIN_IN, _MAX_IN, _ROW_IN = 0.9, 3.2, 0.07
_HEAD_IN, _NOTE_IN, _GAP_ROWS = 0.22, 0.22, 0.3
_MAX_HEADINGS = 8
_ROOM_FOR_LABELS = 1.4


@dataclass(frozen=True, eq=False)
class Column:
    """One run in the figure, and `of` which threads the reader predicted the number."""

    contender: Contender
    window: Window
    alive: Sequence[Alive]
    of: str

    def predicted(self, of: str) -> float | None:
        """Return the reader's prediction, if it is of these threads."""
        return self.contender.predicted if of == self.of else None

    @property
    def headed(self) -> bool:
        """Whether each worker's lanes have a heading of their own; with more workers there is no room for that."""
        return 1 < len(self.window.workers) <= _MAX_HEADINGS


@style.applied()
def threads(*runs: Runs, predicted: Predicted = None, of: str = "ran") -> Picture:
    """Draw the threads of one to four runs, side by side: alive over time above, and below, who ran which request.

    >>> with lab.serve(lab.SYNC, probe=True) as server:
    ...     run = lab.measure(server, "/sync/wait/?ms=200", lab.closed(60, each=1))
    >>> lab.plots.threads(run, predicted=1)

    Takes runs, or one mapping of labels to runs, each measured with the probe on, else ConfigurationError. `predicted`
    is the number that the reader expects, for all runs or by label; it is drawn beside what was measured: `of` the
    threads that `"ran"` requests, or `of` those `"alive"` at the peak, which the title then states. A bar runs from
    sent to answered as the client saw it, so it holds whatever time the request waited for its thread.
    """
    checks.one_of("of", of, _COUNTS)
    what = "a number of threads"
    contenders = inputs.gather(runs, "threads", MAX_COLUMNS, predicted=predicted, what=what)
    for contender in contenders:
        _require_probe(contender)
    shown = zip(contenders, windows([one.run for one in contenders]), strict=True)
    columns = [Column(one, window, alive(one.run, window.span_ms), of) for one, window in shown]
    counts = [told.who_ran(one.window) if of == "ran" else told.peak_of(one.alive) for one in columns]
    found = [f"{count} under {one.label}{one.failures}" for count, one in zip(counts, contenders, strict=True)]
    page = Sheet(f"{told.occasion([one.run for one in contenders])}: {wording.joined(found)}")
    _draw(page, columns)
    page.explain(_explanation(columns))
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


def _require_probe(contender: Contender) -> None:
    configuration = contender.run.about.configuration
    asked = bool(configuration and configuration.probe)
    if not asked and contender.run.requests["thread"].isna().all():
        raise ConfigurationError(
            f"the run {contender.label!r} does not know its threads; measure it with the probe on: serve(..., probe=True)"
        )


def _draw(page: Sheet, columns: Sequence[Column]) -> None:
    column_in = INNER_IN / len(columns)
    most_in = column_in - _APART_IN
    panels = [(MARGIN_IN + i * column_in + _BESIDE_IN, most_in - _BESIDE_IN) for i in range(len(columns))]
    alive_line = Line("threads alive", bold=True)
    headings = [[*one.contender.block(most_in, notes=one.contender.circumstances), alive_line] for one in columns]
    summaries = [_summary(one, most_in) for one in columns]
    partial = any(one.window.partial for one in columns)
    room = {"above_in": max(map(sheet.height_in, headings)), "below_in": TICKS_IN if partial else 0.1}
    above = page.panels(_ALIVE_IN, panels, **room)
    room = {"above_in": max(map(sheet.height_in, summaries)), "below_in": AXIS_IN}
    below = page.panels(_lanes_in(columns), panels, **room)
    peaks = [one.peak for column in columns for one in column.alive]
    highest = max([2.0, *peaks, *(column.predicted("alive") or 0.0 for column in columns)])
    for upper, lower, column, heading, summary in zip(above, below, columns, headings, summaries, strict=True):
        sheet.write_above(upper, heading, _BESIDE_IN)
        sheet.write_above(lower, summary, _BESIDE_IN)
        _set_time(upper, lower, column.window)
        upper.set_ylim(0, highest * _ROOM_FOR_LABELS)
        upper.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        _draw_alive(upper, column)
        _draw_lanes(lower, column)


def _summary(column: Column, most_in: float) -> list[Line]:
    window, guess = column.window, column.predicted("ran")
    number = sum(len(lane.row) for lane in window.known)
    last = max((float(lane.end_ms.max()) for lane in window.known), default=0.0)
    ran = f"{wording.counted(number, 'request')} in {wording.ms(last)} ms" if number else "a request"
    drawn = f"drawn: the first {wording.ms(window.until_ms)} ms (shaded above)"
    return [
        *lines(f"{told.who_ran(window)} ran {ran}", most_in, bold=True),
        *([] if guess is None else [Line(f"your prediction: {wording.number(guess)}")]),
        *([Line(drawn, color=style.GREY)] if window.partial else []),
    ]


def _set_time(upper: Axes, lower: Axes, window: Window) -> None:
    margin = MARGIN * window.span_ms
    upper.set_xlim(-margin, window.span_ms + max(margin, min(_AFTERWARDS_MS, window.span_ms / 4)))
    lower.set_xlim((0, window.until_ms) if window.partial else upper.get_xlim())
    marks.clock(upper, named=False)
    marks.clock(lower)
    upper.tick_params(labelbottom=window.partial)


def _explanation(columns: Sequence[Column]) -> str:
    unlike = len({(one.window.span_ms, one.window.until_ms) for one in columns}) > 1
    failed = any(lane.failed.any() for one in columns for lane in one.window.shown)
    return (
        "A bar is one request, from sent to answered as the client saw it: the time it waited for its turn is part of it."
        f"{' Hatched: it failed.' if failed else ''}{' Mind that the time axes differ.' if unlike else ''}"
    )


# Threads alive


def _draw_alive(axes: Axes, column: Column) -> None:
    look, labels, guess = column.contender.look, marks.Labels(axes), column.predicted("alive")
    if column.window.partial:
        axes.axvspan(0, column.window.until_ms, color="#000000", alpha=0.09, linewidth=0)
    if guess is not None:
        labels.predict(guess)
    for one in column.alive:
        labels.avoid(one.time_ms, one.threads)
        axes.step(one.time_ms, one.threads, where="post", color=look.colour, linestyle=look.line)
    for one, text in _peaks(column):
        axes.plot([one.peak_ms], [one.peak], **look.markers, clip_on=False)
        to_the_left = one.peak_ms > 0.6 * axes.get_xlim()[1]
        labels.put(text, (one.peak_ms, one.peak), to_the_left=to_the_left, color=look.ink, bold=True)
    if not column.alive:
        axes.text(0.5, 0.5, "threads were not counted", transform=axes.transAxes, ha="center", va="center")
    if guess is not None:
        labels.put(f"your prediction: {wording.number(guess)}", (axes.get_xlim()[1], guess), to_the_left=True)


def _peaks(column: Column) -> Iterator[tuple[Alive, str]]:
    """Yield the workers whose peaks are named, the highest first: two at most, for more would not be told apart."""
    ranked = sorted(column.alive, key=lambda one: -one.peak)
    peaks = Counter(one.peak for one in ranked)
    if len(ranked) == 1:
        ran = sum(lane.worker == ranked[0].worker for lane in column.window.known)
        idle = f", only {ran} of them\nran requests" if 0 < ran < ranked[0].peak / 2 else ""
        yield ranked[0], f"peak {ranked[0].peak:,}{idle}"
    elif len(peaks) > 2:
        yield ranked[0], f"{len(ranked)} workers: peaks from {ranked[-1].peak:,} to {ranked[0].peak:,}"
    else:
        for peak, alike in peaks.items():
            one = next(one for one in ranked if one.peak == peak)
            who, each = (f"{alike} workers", " each") if alike > 1 else (f"worker {one.worker}", "")
            yield one, f"{who}: peak {peak:,}{each}"


# Who ran what


def _lanes_in(columns: Sequence[Column]) -> float:
    """Return how high the panels of lanes are: as the run needs that needs most."""
    rows = max(sum(lane.rows + 1 for lane in one.window.shown) for one in columns)
    headed = max(len(one.window.workers) * one.headed for one in columns)
    return float(np.clip(0.3 + _ROW_IN * rows, _MIN_IN, _MAX_IN)) + _HEAD_IN * headed


def _draw_lanes(axes: Axes, column: Column) -> None:
    window, high_in = column.window, sheet.size_in(axes)[1]
    marks.downward(axes, high_in)
    if not window.known:
        axes.text(0.5, 0.5, "no request was answered", transform=axes.transAxes, ha="center", va="center")
        return
    note = _left_out(window)
    axes.annotate(note, (0, 0), (0, 4), "axes fraction", "offset points", fontsize=style.NOTE_PT, color=style.GREY)
    several = len(window.workers) > 1 and not column.headed
    names, headings = [], []
    for lane, top, bottom, first in _places(column, high_in - (_NOTE_IN if note else 0.03)):
        _draw_lane(axes, lane, top, bottom, window.until_ms)
        worker = f"worker {lane.worker}" if first and lane.known else ""
        names.append(((top + bottom) / 2, worker if several else lane.name))
        headings.append((top - _HEAD_IN / 2, worker if column.headed else ""))
    marks.name_lanes(axes, names)
    marks.name_lanes(axes, headings, bold=True)


def _left_out(window: Window) -> str:
    noun = "event loop" if all(lane.on_loop for lane in window.known) else "thread"
    hidden = len(window.lanes) - len(window.shown)
    counted = wording.things((hidden, f"more {noun}"), (window.unseen, "more request"))
    return f"and {counted}, not drawn" if counted else ""


def _places(column: Column, high_in: float) -> Iterator[tuple[Lane, float, float, bool]]:
    """Yield each lane with its top and bottom in inches, and whether it is the first of its worker."""
    shown = column.window.shown
    first = [i == 0 or lane.worker != shown[i - 1].worker for i, lane in enumerate(shown)]
    head_in = _HEAD_IN if column.headed else 0.0
    rows = sum(lane.rows for lane in shown)
    gap = max(_GAP_ROWS, 0.01 * rows)
    row_in = (high_in - head_in * sum(first)) / (rows + gap * (len(shown) - 1))
    top = 0.0
    for lane, begins in zip(shown, first, strict=True):
        top += head_in * begins
        bottom = top + lane.rows * row_in
        yield lane, top, bottom, begins
        top = bottom + gap * row_in


def _draw_lane(axes: Axes, lane: Lane, top: float, bottom: float, until_ms: float) -> None:
    """Draw the bars a hair shorter than the time, so that neighbours stay apart; those that failed are hatched."""
    colour = style.EVENT_LOOP if lane.on_loop else style.THREAD if lane.known else style.NOBODY
    axes.axhspan(top, bottom, color=colour, alpha=0.13, linewidth=0)
    row_in, hair = (bottom - top) / lane.rows, 0.0025 * until_ms
    end = np.maximum(lane.end_ms - hair, lane.start_ms + hair)
    upper, lower = top + (lane.row + 0.08) * row_in, top + (lane.row + 0.92) * row_in
    hatched = {"facecolor": "white", "edgecolor": colour, "hatch": "/////", "linewidth": 0.5}
    for some, how in ((~lane.failed, {"facecolor": colour}), (lane.failed, hatched)):
        marks.bars(axes, lane.start_ms[some], end[some], upper[some], lower[some], **how)
