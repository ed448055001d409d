"""Figure: how many threads are alive, and which thread ran which request."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from requestlab.errors import ConfigurationError
from requestlab.measurement import threads as told
from requestlab.measurement.run import Run
from requestlab.measurement.threads import MARGIN, Alive, Lane, Window, alive, windows
from requestlab.measurement.timeline import whole
from requestlab.plots import inputs, marks, sheet, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.sheet import AXIS_IN, INNER_IN, MARGIN_IN, TICKS_IN, Line, Picture, Sheet, lines
from requestlab.system import checks, wording
from requestlab.trace import activity
from requestlab.trace.activity import Bars, Key

MAX_COLUMNS = 4

_COUNTS = ("ran", "alive")
_EARLIER_MS = 5.0  # so much before an answer comes, its request may have ended
_AFTERWARDS_MS = 30.0  # how much is shown of what becomes of the threads after the last answer
_ALIVE_IN, _BESIDE_IN, _APART_IN = 1.35, 0.78, 0.17
_MIN_IN, _MAX_IN, _ROW_IN = 0.9, 3.2, 0.07
_HEAD_IN, _NOTE_IN, _GAP_ROWS = 0.22, 0.22, 0.3
_MAX_HEADINGS = 8
_ROOM_FOR_LABELS = 1.4

RUNS, IN_LINE, AWAITS, UNTRACED = (
    "its code runs, or blocks its thread",
    "waits in line",
    "awaits something",
    "not traced",
)
_STATES = {
    RUNS: (activity.ON_LOOP, activity.VIEW_ON_LOOP, activity.ON_THREAD, activity.VIEW_ON_THREAD),
    IN_LINE: (activity.QUEUED, activity.WAITS),
    AWAITS: (activity.PAUSED,),
    UNTRACED: (activity.UNTRACED,),
}


def _face(kind: str, colour: str) -> dict[str, Any]:
    if kind == IN_LINE:
        return {"facecolor": "white", "edgecolor": colour, "hatch": "//////", "linewidth": 0.3}
    return {"facecolor": style.mixed(colour, "white", {RUNS: 0.0, AWAITS: 0.62, UNTRACED: 0.4}[kind])}


@dataclass(frozen=True, eq=False)
class Column:
    """One run in the figure, what each of its requests was `at`, and `of` which threads the reader predicted the
    number."""

    contender: Contender
    window: Window
    alive: Sequence[Alive]
    at: Mapping[Key, Bars]
    of: str

    def predicted(self, of: str) -> float | None:
        """Return the reader's prediction, if it is of these threads."""
        return self.contender.predicted if of == self.of else None

    @property
    def loops(self) -> int:
        """How many event loops a single worker has that ran no request themselves."""
        ran = sum(lane.on_loop for lane in self.window.known)
        return len(self.contender.run.event_loops) - ran if len(self.contender.run.workers) == 1 else 0

    @property
    def headed(self) -> bool:
        """Whether each worker's lanes have a heading of their own; with more workers there is no room for that."""
        return 1 < len(self.window.workers) <= _MAX_HEADINGS


@remembered
@style.applied()
def threads(*runs: Runs, predicted: Predicted = None, of: str = "ran") -> Picture:
    """Draw the threads of one to four runs, side by side: alive over time above, and below, who ran which request.

    >>> with lab.serve(lab.SYNC, probe=True) as server:
    ...     run = lab.measure(server, "/sync/wait/?ms=200", lab.closed(60, each=1))
    >>> lab.plots.threads(run, predicted=1)

    Takes runs, or one mapping of labels to runs, each measured with the probe on, else ConfigurationError. `predicted`
    is the number that the reader expects, for all runs or by label; it is drawn beside what was measured: `of` the
    threads that `"ran"` requests, or `of` those `"alive"` at the peak, which the title then states. A bar runs from
    sent to answered as the client saw it: hatched while the request waited in line, solid while its code ran.
    """
    checks.one_of("of", of, _COUNTS)
    what = "a number of threads"
    contenders = inputs.gather(runs, "threads", MAX_COLUMNS, predicted=predicted, what=what)
    for contender in contenders:
        _require_probe(contender)
    shown = zip(contenders, windows([one.run for one in contenders]), strict=True)
    columns = [Column(one, window, alive(one.run, window.span_ms), _at(one.run, window), of) for one, window in shown]
    counts = [told.who_ran(one.window) if of == "ran" else told.peak_of(one.alive) for one in columns]
    things = [re.sub(r"[\d,]+ (\D+?)s?\b", r"\1", count) for count in counts]
    said = [count.split()[0] if things[:i].count(things[i]) else count for i, count in enumerate(counts)]
    found = [f"{count} {one.under}{one.failures}" for count, one in zip(said, contenders, strict=True)]
    page = Sheet(f"{told.occasion([one.run for one in contenders])}: {wording.joined(found)}")
    _draw(page, columns)
    if entries := _key(columns):
        page.key(entries)
    page.explain(_explanation(columns))
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(contenders))


def _require_probe(contender: Contender) -> None:
    configuration = contender.run.about.configuration
    asked = bool(configuration and configuration.probe)
    if not asked and contender.run.requests["thread"].isna().all():
        raise ConfigurationError(
            f"the run {contender.label!r} does not know its threads; measure it with the probe on: serve(..., probe=True)"
        )


def _at(run: Run, window: Window) -> dict[Key, Bars]:
    """Return what each request that is drawn was at, as far as it was traced."""
    wanted: set[Key | None] = {(lane.pid, number) for lane in window.shown for number in lane.number.tolist()}
    spans = activity.in_ms(run.trace, run.zero_ns, run.event_loops)
    return activity.of_requests(spans[activity.among(spans, "request", wanted)])


def _key(columns: Sequence[Column]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    faces: dict[str, list[Mapping[str, Any]]]
    drawn = [(kind, _colour(lane)) for one in columns for lane in one.window.shown for kind, *_ in _bars(lane, one.at)]
    faces = {kind: [_face(*pair) for pair in dict.fromkeys(drawn) if pair[0] == kind] for kind in _STATES}
    return [(kind, some) for kind, some in faces.items() if some]


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
    joins = any(_joining(one, worker) for one in columns for worker in one.alive)
    said = [
        "A bar is one request, from sent to answered, in the lane of the thread that ran it.",
        "Where a request ends, asgiref starts a thread for a moment that joins the thread of the request." * joins,
        "✕: it failed." * failed,
        "Mind that the time axes differ." * unlike,
    ]
    return " ".join(filter(None, said))


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
        yield ranked[0], f"peak {ranked[0].peak:,}{_who_else(column, ranked[0])}"
    elif len(peaks) > 2:
        yield ranked[0], f"{len(ranked)} workers: peaks from {ranked[-1].peak:,} to {ranked[0].peak:,}"
    else:
        for peak, alike in peaks.items():
            one = next(one for one in ranked if one.peak == peak)
            who, each = (f"{alike} workers", " each") if alike > 1 else (f"worker {one.worker}", "")
            yield one, f"{who}: peak {peak:,}{each}"


def _who_else(column: Column, one: Alive) -> str:
    """Say who they were at a worker's peak, where not all of them ran requests."""
    ran = sum(lane.worker == one.worker for lane in column.window.known)
    if column.contender.run.about.beside:  # whose threads are not known
        return ": 1 is the event loop" if column.loops == 1 < one.peak else ""
    if not 0 < ran < one.peak:
        return ""
    if ran < one.peak / 2 and not column.loops:
        return f", only {ran} of them\nran requests"
    more = one.peak - ran - column.loops
    rest = ["1 is the event loop"] * (column.loops == 1)
    rest += [f"{more} joined others" if _joining(column, one) else f"{more} more"] * (more > 0)
    return f": {ran:,} ran requests,\n{', '.join(rest)}"


def _joining(column: Column, one: Alive) -> bool:
    """Return whether there were more threads than the event loop and those that ran requests, and only after requests
    had ended: asgiref's, each of which joins another."""
    mine = [lane for lane in column.window.known if lane.worker == one.worker]
    known = len(mine) + column.loops
    first = min((float(lane.end_ms.min()) for lane in mine), default=0.0)
    many = one.time_ms[: one.busy][one.threads[: one.busy] > known]
    return column.loops > 0 and len(mine) > 1 and many.size > 0 and bool(many[0] >= first - _EARLIER_MS)


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
        _draw_lane(axes, lane, column.at, top, bottom, window.until_ms)
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


def _colour(lane: Lane) -> str:
    return style.EVENT_LOOP if lane.on_loop else style.THREAD if lane.known else style.NOBODY


def _bars(lane: Lane, at: Mapping[Key, Bars]) -> Iterator[tuple[str, Bars]]:
    """Yield what the requests of a lane were at, by kind; the owner of a bar is the place of its request in the
    lane."""
    each = [
        whole(at.get((lane.pid, number)), start, end)
        for number, start, end in zip(lane.number.tolist(), lane.start_ms.tolist(), lane.end_ms.tolist(), strict=True)
    ]
    for kind, states in _STATES.items():
        some = [bars.of(*states) for bars in each]
        owner = np.repeat(np.arange(len(each)), [len(bars) for bars in some])
        if owner.size:
            begin, end, state = (
                np.concatenate([getattr(bars, name) for bars in some]) for name in ("begin", "end", "state")
            )
            yield kind, Bars(begin, end, state, owner)


def _draw_lane(axes: Axes, lane: Lane, at: Mapping[Key, Bars], top: float, bottom: float, until_ms: float) -> None:
    """Draw the bars a hair shorter than the time, so that neighbours stay apart."""
    colour = _colour(lane)
    axes.axhspan(top, bottom, color=colour, alpha=0.13, linewidth=0)
    row_in, hair = (bottom - top) / lane.rows, 0.0025 * until_ms
    upper, lower = top + (lane.row + 0.08) * row_in, top + (lane.row + 0.92) * row_in
    for kind, bars in _bars(lane, at):
        last = bars.end >= lane.end_ms[bars.owner]
        end = np.maximum(bars.end - hair * last, bars.begin + hair / 2)
        marks.bars(axes, bars.begin, end, upper[bars.owner], lower[bars.owner], **_face(kind, colour))
    middle = (upper + lower)[lane.failed] / 2
    axes.plot(lane.end_ms[lane.failed], middle, "x", color=style.LATE, markersize=5, markeredgewidth=1.2, clip_on=False)
