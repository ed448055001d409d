"""The lower panel of the threads figure: a lane for each thread, a bar for each request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection

from requestlab.measurement.run import Run
from requestlab.plots import style
from requestlab.measurement.threads import Lane, lanes
from requestlab.system import wording
from requestlab.trace.activity import Floats, evenly

MAX_ROWS = 80
MAX_BARS = 300
"""Beyond these, threads and requests are left out and counted, and only the beginning of a long run is drawn."""

_MIN_IN, _MAX_IN, _ROW_IN = 0.9, 3.2, 0.07
_HEAD_IN, _NOTE_IN, _LABEL_APART_IN = 0.22, 0.22, 0.16
_MAX_HEADINGS = 8
_GAP_ROWS = 0.3


@dataclass(frozen=True, eq=False)
class Window:
    """What is drawn of a run: `shown` of its `lanes`, up to `until_ms`, of a run that spans `span_ms`.

    `unseen` counts the requests until then that are left out of the lanes shown.
    """

    lanes: Sequence[Lane]
    shown: Sequence[Lane]
    until_ms: float
    span_ms: float
    unseen: int = 0

    @property
    def lasted_ms(self) -> float:
        """When the last request that some thread ran had ended, 0 if there was none."""
        return max((float(lane.end_ms.max()) for lane in self.lanes if lane.known), default=0.0)

    @property
    def hidden(self) -> int:
        """Lanes that are not drawn."""
        return len(self.lanes) - len(self.shown)

    @property
    def partial(self) -> bool:
        """Whether only the beginning of the run is drawn."""
        return self.until_ms < self.span_ms

    @property
    def rows(self) -> int:
        """Rows of all lanes shown."""
        return sum(lane.rows for lane in self.shown)


def view(run: Run) -> Window:
    """Choose what to draw of a run on its own."""
    found = lanes(run)
    span = max((float(lane.end_ms.max()) for lane in found), default=(run.about.end - run.zero_ns) / 1e6)
    span = max(span, 0.001)
    return _cut(Window(found, (), _window_ms(found, span), span))


def views(runs: Sequence[Run], alike: float) -> list[Window]:
    """Choose what to draw of runs side by side: on one time axis, if none is `alike` times longer than another."""
    found = [view(run) for run in runs]
    spans = [one.span_ms for one in found]
    if max(spans) > alike * min(spans):
        return found
    span = max(spans)
    until = min(one.until_ms for one in found) if any(one.partial for one in found) else span
    return [_cut(replace(one, until_ms=until, span_ms=span)) for one in found]


def _window_ms(found: Sequence[Lane], span: float) -> float:
    """Return where drawing must stop for the bars to be told apart; the whole span where stopping would not help."""
    starts = np.sort(np.concatenate([lane.start_ms for lane in found] or [np.empty(0)]))
    if len(starts) <= MAX_BARS:
        return span
    typical = float(np.median(np.concatenate([lane.end_ms - lane.start_ms for lane in found])))
    until = _rounded(max(float(starts[MAX_BARS]), 3 * typical))
    return until if until < span / 2 else span


def _rounded(value: float) -> float:
    """Return the next lower number among 1, 1.5, 2, 3, 5, 7 times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(step * power for step in (1, 1.5, 2, 3, 5, 7) if step * power <= value * (1 + 1e-9)))


def _cut(whole: Window) -> Window:
    """Leave out what comes later and, of too many lanes and rows, all but some that are evenly spaced."""
    begun = [part for lane in whole.lanes if (part := clipped(lane, whole.until_ms)) is not None]
    known = [lane for lane in begun if lane.known]
    some = [*(known[i] for i in evenly(len(known), MAX_ROWS)), *(lane for lane in begun if not lane.known)]
    share = MAX_ROWS / max(MAX_ROWS, sum(lane.rows for lane in some))
    shown = [thinned(lane, max(1, int(lane.rows * share))) for lane in some]
    unseen = sum(len(lane.row) for lane in some) - sum(len(lane.row) for lane in shown)
    return replace(whole, shown=shown, unseen=unseen)


def height_in(drawn: Sequence[Window]) -> float:
    """Return how high the panels should be, in inches, for the run that needs most."""
    rows = max(one.rows + len(one.shown) for one in drawn)
    headed = max((len(_workers(one)) for one in drawn if _headed(one)), default=0)
    return float(np.clip(0.3 + _ROW_IN * rows, _MIN_IN, _MAX_IN)) + _HEAD_IN * headed


def draw(axes: Axes, drawn: Window, panel_in: float) -> None:
    """Draw the lanes of one run into axes that are `panel_in` inches high."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_ylim(panel_in, 0)
    if not any(lane.known for lane in drawn.shown):
        axes.text(0.5, 0.5, "no request was answered", transform=axes.transAxes, ha="center", va="center")
        return
    note = _note(drawn)
    axes.annotate(note, (0, 0), (0, 4), "axes fraction", "offset points", fontsize=style.NOTE_PT, color=style.GREY)
    labelled = -np.inf
    for lane, top, bottom, heading in _places(drawn, panel_in - (_NOTE_IN if note else 0.03)):
        _draw_lane(axes, lane, top, bottom, drawn.until_ms)
        if heading and _headed(drawn):
            _write(axes, heading, top - 0.05, ha="left", va="baseline", xytext=(0, 0))
        name = lane.name if _headed(drawn) or len(_workers(drawn)) < 2 else heading
        if name and (top + bottom) / 2 - labelled >= _LABEL_APART_IN:
            labelled = (top + bottom) / 2
            _write(axes, name, labelled, ha="right", va="center", xytext=(-4, 0))


def _write(axes: Axes, text: str, y_in: float, **how: Any) -> None:
    axes.annotate(
        text, (0, y_in), xycoords=("axes fraction", "data"), textcoords="offset points", fontsize=style.NOTE_PT, **how
    )


def _workers(drawn: Window) -> list[int]:
    return sorted({lane.worker for lane in drawn.lanes if lane.known})


def _headed(drawn: Window) -> bool:
    """Whether each worker's lanes have a heading of their own; with more workers there is no room for that."""
    return 1 < len(_workers(drawn)) <= _MAX_HEADINGS


def _note(drawn: Window) -> str:
    noun = "event loop" if all(lane.on_loop for lane in drawn.lanes if lane.known) else "thread"
    left_out = [(drawn.hidden, f"more {noun}"), (drawn.unseen, "more request")]
    parts = [wording.counted(number, what) for number, what in left_out if number]
    return f"and {' and '.join(parts)}, not drawn" if parts else ""


def _places(drawn: Window, panel_in: float) -> Iterator[tuple[Lane, float, float, str]]:
    """Yield each lane with its top and bottom in inches, and the heading that goes above the first of a worker."""
    first = [
        lane.worker != before for lane, before in zip(drawn.shown, [-1, *(x.worker for x in drawn.shown)], strict=False)
    ]
    head_in = _HEAD_IN if _headed(drawn) else 0.0
    gap = max(_GAP_ROWS, 0.01 * drawn.rows)
    row_in = (panel_in - head_in * sum(first)) / (drawn.rows + gap * (len(drawn.shown) - 1))
    top = 0.0
    for lane, begins in zip(drawn.shown, first, strict=True):
        top += head_in * begins
        bottom = top + lane.rows * row_in
        yield lane, top, bottom, f"worker {lane.worker}" if begins and lane.known else ""
        top = bottom + gap * row_in


def _draw_lane(axes: Axes, lane: Lane, top: float, bottom: float, until_ms: float) -> None:
    colour = style.EVENT_LOOP if lane.on_loop else style.THREAD if lane.known else style.NOBODY
    axes.axhspan(top, bottom, color=colour, alpha=0.13, linewidth=0)
    corners = _corners(lane, top, (bottom - top) / lane.rows, until_ms)
    answered, failed = corners[~lane.failed], corners[lane.failed]
    axes.add_collection(PolyCollection(list(answered), facecolors=colour, linewidths=0))
    axes.add_collection(
        PolyCollection(list(failed), facecolors="white", edgecolors=colour, hatch="/////", linewidths=0.5)
    )


def _corners(lane: Lane, top: float, row_in: float, until_ms: float) -> Floats:
    """Return the corners of the bars, shape (bars, 4, 2): a hair shorter than the time, so that neighbours stay apart."""
    hair = 0.0025 * until_ms
    left, right = lane.start_ms, np.maximum(lane.end_ms - hair, lane.start_ms + hair)
    upper, lower = top + (lane.row + 0.08) * row_in, top + (lane.row + 0.92) * row_in
    corners = ((left, upper), (right, upper), (right, lower), (left, lower))
    return np.stack([np.column_stack(corner) for corner in corners], axis=1)
