"""Figure: how many threads are alive, and which thread ran which request."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from requestlab.errors import ConfigurationError
from requestlab.plots import alive, look, swimlanes, words
from requestlab.plots.contenders import Contender, Predicted, Runs, gather, predictions, small_print
from requestlab.plots.headings import Line, height_in, lines, write_above
from requestlab.plots.lanes import Lane
from requestlab.plots.picture import Picture
from requestlab.plots.swimlanes import View

MOST_COLUMNS = 4
ALIKE = 4.0
"""How much longer one run may be than another for the two to be drawn on one time axis."""

_ALIVE_IN = 1.35
_BELOW_IN, _BESIDE_IN, _APART_IN = 0.85, 0.8, 0.15


def threads(*runs: Runs, predicted: Predicted = None) -> Picture:
    """Draw the threads of one to four runs, side by side: alive over time above, and below, who ran which request.

    >>> with lab.serve(lab.SYNC, probe=True) as server:
    ...     run = lab.measure(server, "/sync/wait/?ms=200", lab.closed(60, each=1))
    >>> lab.plots.threads(run, predicted=1)

    Takes runs, or one mapping of labels to runs, each measured with the probe on, else ConfigurationError. `predicted` is the
    number of threads that the reader expects, for all runs or by label; it is drawn beside what was measured. A bar runs
    from sent to answered as the client saw it, so it holds whatever time the request waited for its thread.
    """
    contenders = gather(runs, "threads", MOST_COLUMNS)
    for contender in contenders:
        _require_probe(contender)
    expected = predictions(predicted, contenders, "a number of threads")
    drawn = swimlanes.views([contender.run for contender in contenders], ALIKE)
    title = finding(contenders, drawn)
    with look.style():
        return Picture(_drawn(contenders, drawn, expected, title), f"{title}.")


def finding(contenders: Sequence[Contender], drawn: Sequence[View]) -> str:
    """Say how many threads or event loops ran the requests of each run."""
    found = [f"{who(view.lanes)} under {c.label}{_failures(c)}" for c, view in zip(contenders, drawn, strict=True)]
    return f"{_occasion(contenders)}: {words.joined(found)}"


def who(lanes: Sequence[Lane]) -> str:
    """Count what ran the requests: `60 threads`, `1 event loop`, `1 event loop and 3 threads`, `no thread`."""
    loops = sum(lane.known and lane.on_loop for lane in lanes)
    ordinary = sum(lane.known and not lane.on_loop for lane in lanes)
    parts = [words.counted(n, noun) for n, noun in ((loops, "event loop"), (ordinary, "thread")) if n]
    return " and ".join(parts) or "no thread"


def _occasion(contenders: Sequence[Contender]) -> str:
    loads = {(contender.run.about["users"], contender.run.about["each"]) for contender in contenders}
    if len(loads) > 1:
        return "Who ran the requests"
    users, each = next(iter(loads))
    return words.counted(users, "request" if each == 1 else "user") + (" at once" if users > 1 else "")


def _failures(contender: Contender) -> str:
    total = len(contender.run.requests)
    return f" ({contender.failed:,} of {words.counted(total, 'request')} failed)" if contender.failed else ""


def _require_probe(contender: Contender) -> None:
    configuration = contender.run.about["configuration"]
    asked = bool(configuration and configuration["probe"])
    if not asked and contender.run.requests["thread"].isna().all():
        raise ConfigurationError(
            f"the run {contender.label!r} does not know its threads; measure it with the probe on: serve(..., probe=True)"
        )


def _drawn(
    contenders: Sequence[Contender], drawn: Sequence[View], expected: Sequence[float | None], title: str
) -> Figure:
    column_in = (look.WIDTH_IN - 2 * look.MARGIN_IN) / len(contenders)
    panel_in = column_in - _BESIDE_IN - _APART_IN
    headings = [_heading(contender, column_in - _APART_IN) for contender in contenders]
    lanes_in = swimlanes.height_in(drawn)
    between_in = 0.36 + 0.16 * (2 if any(one.partial for one in drawn) else 0)
    above_in = _BELOW_IN + lanes_in + between_in
    frame = look.Frame(above_in + _ALIVE_IN + max(map(height_in, headings)) + 0.1, title, small_print(contenders))
    top = alive.ceiling(contenders, drawn, expected)
    for i, (contender, view) in enumerate(zip(contenders, drawn, strict=True)):
        left_in = look.MARGIN_IN + i * column_in + _BESIDE_IN
        above = frame.axes(left_in, above_in, panel_in, _ALIVE_IN)
        below = frame.axes(left_in, _BELOW_IN, panel_in, lanes_in)
        _set_axes(above, below, view, top, panel_in)
        alive.draw(above, contender, view, expected[i])
        swimlanes.draw(below, view, lanes_in)
        write_above(above, headings[i])
        write_above(below, _summary(view))
    frame.write(_explanation(drawn), _BELOW_IN - 0.47, va="top")
    return frame.figure


def _heading(contender: Contender, width_in: float) -> list[Line]:
    requests = words.counted(len(contender.run.requests), "request")
    return [
        *lines(contender.heading, width_in, look.HEADING_PT, contender.look.ink, bold=True),
        *lines(f"{contender.run.about['path']}: {requests}", width_in, color=look.GREY),
        *lines(f"capacity: {_capacity(contender)}", width_in, color=look.GREY),
        *lines("threads alive", width_in, bold=True),
    ]


def _capacity(contender: Contender) -> str:
    if contender.run.about["configuration"] is None:
        return "unknown"
    capacity = contender.run.about["capacity"]
    return "no limit of its own" if capacity is None else f"{words.counted(capacity, 'request')} at once"


def _summary(view: View) -> list[Line]:
    found = Line(f"ran the requests: {who(view.lanes)}", bold=True)
    return [found, Line(f"drawn: the first {words.ms(view.until_ms)} ms (shaded above)", color=look.GREY)][
        : 1 + view.partial
    ]


def _set_axes(above: Axes, below: Axes, view: View, top: float, panel_in: float) -> None:
    margin = alive.MARGIN * view.span_ms
    above.set_xlim(-margin, view.span_ms + margin)
    above.set_ylim(0, top)
    above.yaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
    below.set_xlim((0, view.until_ms) if view.partial else above.get_xlim())
    for axes in (above, below):
        axes.xaxis.set_major_locator(MaxNLocator(nbins=max(3, int(2.2 * panel_in)), min_n_ticks=2))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    above.tick_params(labelbottom=view.partial)
    below.set_xlabel("ms since the first request", labelpad=2)


def _explanation(drawn: Sequence[View]) -> str:
    unlike = len({(view.span_ms, view.until_ms) for view in drawn}) > 1
    return (
        f"Time counts from the first request planned{'. Mind that the time axes differ' if unlike else ''}. "
        "A bar is one request, from sent to answered,\n"
        "as the client saw it: waiting for a thread is part of it."
    )
