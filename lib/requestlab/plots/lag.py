"""Figure: how late the event loop ran what was due, what held it up, and whether that is a problem."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from requestlab.measurement.lag import Loop, loops, span_ms
from requestlab.plots import lag_panels, lag_words, style
from requestlab.plots.headings import Line, height_in, lines, write_above
from requestlab.plots.inputs import Contender, Predicted, Runs, gather, predictions, small_print
from requestlab.plots.lag_words import LagFinding
from requestlab.plots.lettering import wrapped
from requestlab.plots.sheet import Picture

MAX_RUNS = 3
MAX_ROWS = 6
"""Event loops that are drawn; of more, the latest of each run, and the others are counted."""

ALIKE = 4.0
"""How much longer one run may be than another for the two to be drawn on one time axis."""

_LEFT_IN, _TIME_IN, _APART_IN, _SORTED_IN = 0.7, 5.25, 0.17, 1.92
_TICKS_IN, _LABEL_IN, _LINE_IN, _ADVICE_PT = 0.24, 0.36, 0.165, 9.5
_PANELS_IN = (2.7, 1.9, 1.6, 1.45, 1.35, 1.3)  # by the number of rows


@dataclass(frozen=True)
class Row:
    """One event loop in the figure: `heading` stands above it, `last` says that it is its run's lowest."""

    contender: Contender
    loop: Loop
    heading: Sequence[Line]
    predicted: float | None
    span_ms: float
    last: bool


def lag(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw how late the event loops of one to three runs were: over time with what held them up, and sorted.

    >>> with lab.serve(lab.ASYNC, probe=True) as server:
    ...     run = lab.measure(server, "/async/block/?ms=300", lab.open(rate=2), seconds=3)
    >>> lab.plots.lag(run, predicted=300)

    Takes runs, or one mapping of labels to runs, each under ASGI and with the probe on, else ConfigurationError. `predicted`
    is the largest lateness in ms that the reader expects, for all runs or by label. The sorted lateness is weighted by
    time: each tick of the heartbeat, those missed in a block included, stands for the time until the next one was due. A
    loop has a problem by the limits of Clinic.js Doctor: a median of 10 ms, or a maximum of 100 ms.
    """
    contenders = gather(runs, "lag", MAX_RUNS)
    expected = predictions(predicted, contenders, "a lateness in ms")
    spans = _spans(contenders)
    told = [LagFinding(c.label, loops(c.run, c.label)) for c in contenders]
    title = lag_words.title(told)
    with style.style():
        return Picture(_drawn(contenders, told, expected, spans, title), f"{title}.")


def _spans(contenders: Sequence[Contender]) -> list[float]:
    """Return how much time each run's axis holds: the same for all unless they are too unlike."""
    spans = [span_ms(contender.run) for contender in contenders]
    return spans if max(spans) > ALIKE * min(spans) else [max(spans)] * len(spans)


def _drawn(
    contenders: Sequence[Contender],
    told: Sequence[LagFinding],
    expected: Sequence[float | None],
    spans: Sequence[float],
    title: str,
) -> Figure:
    rows = [row for parts in zip(contenders, told, expected, spans, strict=True) for row in _rows(*parts, len(told))]
    panel_in = _PANELS_IN[min(len(rows), len(_PANELS_IN)) - 1]
    most_in = style.WIDTH_IN - 2 * style.MARGIN_IN
    advice = wrapped(lag_words.advice(told), most_in, _ADVICE_PT)
    explained = wrapped(lag_words.explanation(told), most_in, 9)
    below_in = 0.1 + _LINE_IN * len(explained) + _LABEL_IN
    rows_in = [height_in(row.heading) + panel_in + (_TICKS_IN if row.last else 0.0) for row in rows]
    top_in = below_in + sum(rows_in)
    frame = style.Frame(top_in + 0.08 + _LINE_IN * len(advice), lag_words.tied(title), _caption(contenders, told))
    frame.write(
        "\n".join(advice), top_in + 0.06 + _LINE_IN * len(advice), fontsize=_ADVICE_PT, va="top", linespacing=1.25
    )
    peak = lag_panels.peak_ms([row.loop for row in rows], expected)
    for row, row_in in zip(rows, rows_in, strict=True):
        top_in -= row_in
        _draw_row(frame, row, top_in + (_TICKS_IN if row.last else 0.0), panel_in, peak, len(rows), row is rows[-1])
    frame.write("\n".join(explained), below_in - _LABEL_IN - 0.05, va="top", linespacing=1.25)
    return frame.figure


def _rows(contender: Contender, told: LagFinding, expected: float | None, span: float, runs: int) -> list[Row]:
    most = MAX_ROWS // runs
    latest = sorted(told.loops, key=lambda loop: -loop.max_ms)[:most]
    shown = [loop for loop in told.loops if loop in latest]
    headings = [_heading(contender, told, loop, first=loop is shown[0]) for loop in shown]
    return [
        Row(contender, loop, heading, expected, span, loop is shown[-1])
        for loop, heading in zip(shown, headings, strict=True)
    ]


def _heading(contender: Contender, told: LagFinding, loop: Loop, first: bool) -> list[Line]:
    most_in = style.WIDTH_IN - 2 * style.MARGIN_IN
    found = lag_words.verdict(loop)
    if len(told.loops) > 1:
        found = f"{loop.name}: {found}"
    above = []
    if first:
        above = [
            *lines(contender.heading, most_in, style.HEADING_PT, contender.look.ink, bold=True),
            *lines(" · ".join(contender.asked), most_in, color=style.GREY),
        ]
    return [*above, *lines(found[0].upper() + found[1:], most_in, bold=True)]


def _draw_row(
    frame: style.Frame, row: Row, bottom_in: float, panel_in: float, peak: float, number: int, lowest: bool
) -> None:
    over_time = frame.axes(_LEFT_IN, bottom_in, _TIME_IN, panel_in)
    sorted_ = frame.axes(_LEFT_IN + _TIME_IN + _APART_IN, bottom_in, _SORTED_IN, panel_in)
    lag_panels.set_axes(over_time, sorted_, row.span_ms, peak, panel_in)
    lag_panels.draw_time(
        over_time, row.loop, row.contender.look, row.predicted, lag_panels.MAX_LABELS if number < 3 else 2
    )
    lag_panels.draw_sorted(sorted_, row.loop, row.contender.look, row.predicted)
    lag_panels.name_levels(sorted_, row.loop, row.predicted, panel_in)
    write_above(over_time, row.heading, _LEFT_IN - style.MARGIN_IN)
    for axes in (over_time, sorted_):
        axes.tick_params(labelbottom=row.last)
    over_time.set_ylabel("how late, in ms (log.)" if panel_in > 1.6 else "ms late (log.)", labelpad=2)
    if lowest:
        over_time.set_xlabel("ms since the first request was planned", labelpad=2)
        sorted_.set_xlabel("for so much of the time, a callback\nwould have waited no longer", labelpad=2)


def _caption(contenders: Sequence[Contender], told: Sequence[LagFinding]) -> list[str]:
    """Return the small print, before it what is missing."""
    notes = []
    for contender, one in zip(contenders, told, strict=True):
        hidden = len(one.loops) - MAX_ROWS // len(told)
        if hidden > 0:
            notes.append(f"Of {one.label}, {hidden} more event loops that were less late are not drawn.")
        if contender.run.trace.lost:
            notes.append(
                f"Of {one.label}, {contender.run.trace.lost:,} rows of the probe were lost: its ring was full."
            )
    return [*notes, *small_print(contenders)]
