"""Figure: what every request, event loop and thread was at, on one clock."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run
from requestlab.measurement.timeline import Chosen, Scene, Span, scene
from requestlab.plots import style, timeline_draw, timeline_names, timeline_plan
from requestlab.plots.headings import Line, height_in, lines, write_above
from requestlab.plots.inputs import Contender, gather, small_print
from requestlab.plots.lettering import width_in, wrapped
from requestlab.plots.sheet import Picture
from requestlab.plots.timeline_marks import swatch
from requestlab.plots.timeline_words import explanation, finding, left_out
from requestlab.trace.activity import ON_LOOP, ON_THREAD, PAUSED, QUEUED, VIEW_ON_LOOP, VIEW_ON_THREAD, WAITS

_LEFT_IN, _RIGHT_IN = 1.18, 0.2
_KEY_IN, _KEY_PT = 0.26, 8.5


def timeline(run: Run, *, requests: Chosen = None, span_ms: Span = None) -> Picture:
    """Draw one run as swim-lanes on one clock: its clients, each worker's event loop, each thread.

    >>> with lab.serve(lab.MIXED, probe=True) as server:
    ...     run = lab.measure(server, "/sync/page/", lab.closed(1, each=1))
    >>> lab.plots.timeline(run)

    Solid is where code ran, dark where that was the view's; hatched is where something waited. `requests` are how many to
    draw, from the first on, or a slice of the rows of `run.requests`; by default all, or the first 60 of more than 300.
    `span_ms` is how many ms to draw, or (from, to) in ms since the first request was planned. The pieces of a single request
    are named. ConfigurationError for a run that was measured without the probe, or for requests that it has not.
    """
    contender = gather((run,), "timeline", 1)[0]
    _require_probe(contender)
    drawn = scene(run, requests, span_ms)
    title = finding(contender, drawn)
    with style.style():
        return Picture(_drawn(contender, drawn, title), f"{title}.")


def _require_probe(contender: Contender) -> None:
    inside = contender.run.trace
    if not len(inside.spans) and not len(inside.ticks):
        raise ConfigurationError(
            f"nobody looked inside while the run {contender.label!r} was measured; switch the probe on: serve(..., probe=True)"
        )


def _drawn(contender: Contender, drawn: Scene, title: str) -> Figure:
    found = timeline_names.names(drawn)
    plan = timeline_plan.plan(drawn, found)
    most_in = style.WIDTH_IN - 2 * style.MARGIN_IN
    heading = _heading(contender, drawn, most_in)
    said = wrapped(explanation(drawn, bool(found)), most_in, 8.5)
    key = _key(drawn)
    rows = _flowed(key, most_in)
    below_in = 0.5 + _KEY_IN * len(rows) + 0.15 * len(said)
    frame = style.Frame(below_in + plan.height + height_in(heading), title, small_print([contender]))
    panel_in = style.WIDTH_IN - _LEFT_IN - _RIGHT_IN
    axes = frame.axes(_LEFT_IN, below_in, panel_in, plan.height)
    axes.set_xlim(drawn.begin, drawn.end)
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set_xlabel("ms since the first request was planned", labelpad=2)
    axes.grid(axis="x", linewidth=0.5, color="#E4E4E4")
    timeline_draw.draw(axes, drawn, plan, found, panel_in, _LEFT_IN - style.MARGIN_IN)
    write_above(axes, heading, _LEFT_IN - style.MARGIN_IN)
    strip_in = _KEY_IN * len(rows)
    strip = frame.axes(style.MARGIN_IN, 0.15 * len(said) + 0.04, most_in, strip_in)
    _draw_key(strip, rows, most_in, strip_in)
    frame.write("\n".join(said), 0.15 * len(said), va="top", fontsize=8.5, linespacing=1.25)
    return frame.figure


def _heading(contender: Contender, drawn: Scene, most_in: float) -> list[Line]:
    return [
        *lines(contender.heading, most_in, style.HEADING_PT, contender.look.ink, bold=True),
        *lines(" · ".join(contender.circumstances), most_in, color=style.GREY),
        *(line for text in left_out(drawn) for line in lines(text, most_in, color=style.GREY)),
    ]


Entry = tuple[str, tuple[int, ...]]


def _key(drawn: Scene) -> list[Entry]:
    """Return what the marks that occur mean."""
    seen = {state for track in drawn.tracks for state in np.unique(track.bars.state).tolist()}
    seen |= {state for client in drawn.clients for state in np.unique(client.bars.state).tolist()}
    entries = [
        ("view", (VIEW_ON_LOOP, VIEW_ON_THREAD)),
        ("Django and middleware", (ON_LOOP, ON_THREAD)),
        ("waits for a thread or the loop", (WAITS,)),
        ("on its way, or queued", (QUEUED,)),
        ("awaits something, or its turn", (PAUSED,)),
    ]
    kept = [(text, tuple(state for state in states if state in seen)) for text, states in entries]
    return [(text, states) for text, states in kept if states]


def _flowed(entries: Sequence[Entry], most_in: float) -> list[list[tuple[float, Entry]]]:
    rows: list[list[tuple[float, Entry]]] = [[]]
    x = 0.0
    for text, states in entries:
        wide = 0.22 * len(states) + 0.08 + width_in(text, _KEY_PT) + 0.2
        if x + wide > most_in and rows[-1]:
            rows.append([])
            x = 0.0
        rows[-1].append((x, (text, states)))
        x += wide
    return rows


def _draw_key(strip: Axes, rows: Sequence[Sequence[tuple[float, Entry]]], width: float, height: float) -> None:
    strip.set_axis_off()
    strip.set_xlim(0, width)
    strip.set_ylim(height, 0)
    for i, row in enumerate(rows):
        y = i * _KEY_IN + 0.06
        for x, (text, states) in row:
            swatch(strip, x, y, 0.22 * len(states), 0.14, states)
            strip.text(x + 0.22 * len(states) + 0.06, y + 0.07, text, fontsize=_KEY_PT, va="center_baseline")
