"""Figure: how many threads are alive, and which thread ran which request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from requestlab.errors import ConfigurationError
from requestlab.plots import alive, style, swimlanes
from requestlab.plots.headings import Line, height_in, lines, write_above
from requestlab.plots.inputs import Contender, Predicted, Runs, gather, predictions, small_print
from requestlab.measurement.threads import Lane
from requestlab.plots.lettering import width_in, wrapped
from requestlab.plots.sheet import Picture
from requestlab.plots.swimlanes import Window
from requestlab.system import wording

MAX_COLUMNS = 4
ALIKE = 4.0
"""How much longer one run may be than another for the two to be drawn on one time axis."""

_AFTERWARDS_MS = 30.0  # how much is shown of what becomes of the threads after the last answer
_COUNTS = ("ran", "alive")
_ALIVE_IN = 1.35
_BESIDE_IN, _APART_IN = 0.78, 0.17


def threads(*runs: Runs, predicted: Predicted = None, of: str = "ran") -> Picture:
    """Draw the threads of one to four runs, side by side: alive over time above, and below, who ran which request.

    >>> with lab.serve(lab.SYNC, probe=True) as server:
    ...     run = lab.measure(server, "/sync/wait/?ms=200", lab.closed(60, each=1))
    >>> lab.plots.threads(run, predicted=1)

    Takes runs, or one mapping of labels to runs, each measured with the probe on, else ConfigurationError. `predicted` is the
    number that the reader expects, for all runs or by label; it is drawn beside what was measured: `of` the threads that
    `"ran"` requests, or `of` those `"alive"` at the peak, which the title then states. A bar runs from sent to answered as
    the client saw it, so it holds whatever time the request waited for its thread.
    """
    if of not in _COUNTS:
        raise ConfigurationError(f"of={of!r}: expected one of: {', '.join(_COUNTS)}")
    contenders = gather(runs, "threads", MAX_COLUMNS)
    for contender in contenders:
        _require_probe(contender)
    expected = predictions(predicted, contenders, "a number of threads")
    drawn = swimlanes.views([contender.run for contender in contenders], ALIKE)
    guesses = {count: expected if count == of else [None] * len(contenders) for count in _COUNTS}
    title = finding(contenders, drawn) if of == "ran" else finding_alive(contenders, drawn)
    with style.style():
        return Picture(_drawn(contenders, drawn, guesses, title), f"{title}.")


def finding(contenders: Sequence[Contender], drawn: Sequence[Window]) -> str:
    """Say how many threads or event loops ran the requests of each run."""
    found = [f"{who(view.lanes)} under {c.label}{c.failures}" for c, view in zip(contenders, drawn, strict=True)]
    return f"{_occasion(contenders)}: {wording.joined(found)}"


def finding_alive(contenders: Sequence[Contender], drawn: Sequence[Window]) -> str:
    """Say how many threads were alive at the peak of each run."""
    found = []
    for contender, view in zip(contenders, drawn, strict=True):
        peaks = [one.peak for one in alive.alive(contender.run, view.span_ms)]
        workers = f" in {len(peaks)} workers" if len(peaks) > 1 else ""
        found.append(f"{wording.counted(sum(peaks), 'thread')} alive{workers} under {contender.label}")
    return f"{_occasion(contenders)}: {wording.joined(found)}"


def who(lanes: Sequence[Lane]) -> str:
    """Count what ran the requests: `60 threads`, `1 event loop`, `1 event loop and 3 threads`, `no thread`."""
    loops = sum(lane.known and lane.on_loop for lane in lanes)
    ordinary = sum(lane.known and not lane.on_loop for lane in lanes)
    parts = [wording.counted(n, noun) for n, noun in ((loops, "event loop"), (ordinary, "thread")) if n]
    return " and ".join(parts) or "no thread"


def _occasion(contenders: Sequence[Contender]) -> str:
    abouts = [contender.run.about for contender in contenders]
    if len({(about.users, about.each, about.rate) for about in abouts}) > 1:
        return "Who ran the requests"
    users, each = abouts[0].users, abouts[0].each
    if users is None:
        return abouts[0].load
    return wording.counted(users, "request" if each == 1 else "user") + (" at once" if users > 1 else "")


def _require_probe(contender: Contender) -> None:
    configuration = contender.run.about.configuration
    asked = bool(configuration and configuration.probe)
    if not asked and contender.run.requests["thread"].isna().all():
        raise ConfigurationError(
            f"the run {contender.label!r} does not know its threads; measure it with the probe on: serve(..., probe=True)"
        )


def _drawn(
    contenders: Sequence[Contender],
    drawn: Sequence[Window],
    guesses: Mapping[str, Sequence[float | None]],
    title: str,
) -> Figure:
    explained = wrapped(_explanation(drawn), style.WIDTH_IN - 2 * style.MARGIN_IN, 9)
    below_in = 0.56 + 0.15 * len(explained)
    column_in = (style.WIDTH_IN - 2 * style.MARGIN_IN) / len(contenders)
    panel_in = column_in - _BESIDE_IN - _APART_IN
    headings = [_heading(contender, column_in - _APART_IN) for contender in contenders]
    lanes_in = swimlanes.height_in(drawn)
    summaries = [
        _summary(view, number, column_in - _APART_IN) for view, number in zip(drawn, guesses["ran"], strict=True)
    ]
    between_in = max(map(height_in, summaries)) + (0.32 if any(one.partial for one in drawn) else 0.14)
    above_in = below_in + lanes_in + between_in
    frame = style.Frame(above_in + _ALIVE_IN + max(map(height_in, headings)) + 0.1, title, small_print(contenders))
    top = alive.ceiling(contenders, drawn, guesses["alive"])
    for i, (contender, view) in enumerate(zip(contenders, drawn, strict=True)):
        left_in = style.MARGIN_IN + i * column_in + _BESIDE_IN
        above = frame.axes(left_in, above_in, panel_in, _ALIVE_IN)
        below = frame.axes(left_in, below_in, panel_in, lanes_in)
        _set_axes(above, below, view, top, panel_in)
        alive.draw(above, contender, view, guesses["alive"][i])
        swimlanes.draw(below, view, lanes_in)
        write_above(above, headings[i], _BESIDE_IN)
        write_above(below, summaries[i], _BESIDE_IN)
    frame.write("\n".join(explained), below_in - 0.47, va="top")
    return frame.figure


def _heading(contender: Contender, most_in: float) -> list[Line]:
    return [
        *lines(contender.heading, most_in, style.HEADING_PT, contender.look.ink, bold=True),
        *(line for text in contender.circumstances for line in lines(text, most_in, color=style.GREY)),
        *lines("threads alive", most_in, bold=True),
    ]


def _summary(view: Window, expected: float | None, most_in: float) -> list[Line]:
    number = sum(len(lane.row) for lane in view.lanes if lane.known)
    ran = (
        f"{wording.counted(number, 'request')} in {wording.ms(view.lasted_ms)}\N{NO-BREAK SPACE}ms"
        if number
        else "a request"
    )
    found = lines(f"{who(view.lanes)} ran {ran}", most_in, bold=True)
    if expected is not None:
        found.append(Line(f"your prediction: {wording.number(expected)}"))
    if view.partial:
        found.append(Line(f"drawn: the first {wording.ms(view.until_ms)} ms (shaded above)", color=style.GREY))
    return found


def _set_axes(above: Axes, below: Axes, view: Window, top: float, panel_in: float) -> None:
    margin = alive.MARGIN * view.span_ms
    above.set_xlim(-margin, view.span_ms + max(margin, min(_AFTERWARDS_MS, view.span_ms / 4)))
    above.set_ylim(0, top)
    above.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    below.set_xlim((0, view.until_ms) if view.partial else above.get_xlim())
    for axes in (above, below):
        axes.xaxis.set_major_locator(
            MaxNLocator(int(np.clip(2.2 * panel_in, 3, 10)), steps=[1, 2, 5, 10], min_n_ticks=2)
        )
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    above.tick_params(labelbottom=view.partial)
    label = "ms since the first request was planned"
    below.set_xlabel(label if width_in(label, 9) < panel_in + 0.6 else label.removesuffix(" was planned"), labelpad=2)


def _explanation(drawn: Sequence[Window]) -> str:
    unlike = len({(view.span_ms, view.until_ms) for view in drawn}) > 1
    failed = any(lane.failed.any() for view in drawn for lane in view.shown)
    return (
        "A bar is one request, from sent to answered as the client saw it: the time it waited for its turn is part of it."
        f"{' Hatched: it failed.' if failed else ''}{' Mind that the time axes differ.' if unlike else ''}"
    )
