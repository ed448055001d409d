"""Figure: how many threads are alive, and which thread ran which request."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from requestlab.errors import ConfigurationError
from requestlab.plots import alive, look, swimlanes, words
from requestlab.plots.contenders import Contender, Predicted, Runs, gather, predictions, small_print
from requestlab.plots.lanes import Lane
from requestlab.plots.picture import Picture
from requestlab.plots.swimlanes import View

MOST_COLUMNS = 4
ALIKE = 4.0
"""How much longer one run may be than another for the two to be drawn on one time axis."""

_ALIVE_IN = 1.35


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
    views = [swimlanes.view(contender.run) for contender in contenders]
    expected = predictions(predicted, contenders, "a number of threads")
    title = finding(contenders, views)
    with look.style():
        return Picture(_drawn(contenders, views, expected, title), f"{title}.")


def finding(contenders: Sequence[Contender], views: Sequence[View]) -> str:
    """Say how many threads or event loops ran the requests of each run."""
    found = [f"{who(view.lanes)} under {c.label}{_failures(c)}" for c, view in zip(contenders, views, strict=True)]
    return f"{_occasion(contenders)}: {words.joined(found)}"


def who(lanes: Sequence[Lane]) -> str:
    """Count what ran the requests: `60 threads`, `1 event loop`, `1 event loop and 3 threads`, `nobody`."""
    loops = sum(lane.known and lane.on_loop for lane in lanes)
    ordinary = sum(lane.known and not lane.on_loop for lane in lanes)
    parts = [words.counted(n, noun) for n, noun in ((loops, "event loop"), (ordinary, "thread")) if n]
    return " and ".join(parts) or "no thread answered"


def _occasion(contenders: Sequence[Contender]) -> str:
    loads = {(contender.run.about["users"], contender.run.about["each"]) for contender in contenders}
    if len(loads) > 1:
        return "Who ran the requests"
    users, each = next(iter(loads))
    noun = "request" if each == 1 else "user"
    return words.counted(users, noun) + (" at once" if users > 1 else "")


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
    contenders: Sequence[Contender], views: Sequence[View], expected: Sequence[float | None], title: str
) -> Figure:
    lanes_in = swimlanes.height_in(views)
    heading_in = 0.95 + 0.15 * max(_heading(c, len(contenders)).count("\n") for c in contenders)
    figure = look.framed(heading_in + _ALIVE_IN + lanes_in + 0.9, title, small_print(contenders))
    above, below = figure.subplots(2, len(contenders), squeeze=False, height_ratios=[_ALIVE_IN, lanes_in])
    top = alive.ceiling(contenders, expected)
    for axes, contender, view, number in zip(above, contenders, views, expected, strict=True):
        alive.draw(axes, contender, view, number, top)
        _head(axes, contender, len(contenders))
        axes.label_outer(remove_inner_ticks=False) if axes is not above[0] else axes.set_ylabel("threads alive")
    for axes, view in zip(below, views, strict=True):
        swimlanes.draw(axes, view, lanes_in, who(view.lanes))
    figure.supxlabel(_time_label(_align(above, below, views)), fontsize=9)
    return figure
