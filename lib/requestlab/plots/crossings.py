"""Figure: one request as a waterfall, with the price of each crossing, or how often the requests of several runs cross."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from requestlab.errors import ConfigurationError
from requestlab.plots import costs, style, tallies, waterfall
from requestlab.plots.headings import height_in, lines, write_above
from requestlab.plots.inputs import Predicted, Runs, gather, predictions, small_print
from requestlab.plots.sheet import Picture
from requestlab.plots.tallies import Tally, tally
from requestlab.system import wording
from requestlab.trace.activity import Key
from requestlab.trace.requests import Step, steps, waiting_us
from requestlab.trace.trace import ORIGINS

MAX_RUNS = 12

_STARTPROJECT = "Django's seven default middleware"
_WHAT = (
    "A crossing is a call of sync_to_async or async_to_sync: from the event loop to a thread and back, or the other way round. Its "
    "cost: there, from the call until the function begins on the other side; and back, from its end until the caller goes on."
)


def crossings(*runs: Runs, request: int | Key | None = None, predicted: Predicted = None) -> Picture:
    """Draw how control crosses between event loop and threads: one run's typical request as a waterfall, several runs as counts.

    >>> with lab.serve(lab.MIXED, probe=True) as server:
    ...     run = lab.measure(server, "/sync/page/", lab.closed(1))
    >>> lab.plots.crossings(run, predicted=1)

    Takes runs, or one mapping of labels to runs, each measured with the probe on, else ConfigurationError. In the typical request,
    each crossing costs nearly what it costs in the median over all that cross as often; `request` chooses another, by its number in its worker or by
    (pid, number). `predicted` is the number of crossings per request that the reader expects, for all runs or by label.
    """
    contenders = gather(runs, "crossings", MAX_RUNS)
    expected = predictions(predicted, contenders, "a number of crossings per request")
    found = [tally(contender, guess) for contender, guess in zip(contenders, expected, strict=True)]
    if len(found) > 1:
        if request is not None:
            raise ConfigurationError("request= chooses what is drawn of one run; with several runs, leave it out")
        title = finding_of_several(found)
        with style.style():
            return Picture(_several(found, title), f"{title}.")
    one = found[0]
    chosen = one.typical() if request is None else one.chosen(request)
    rows = steps(one.contender.run.trace, chosen, one.contender.run.event_loops)
    title = finding(one, rows)
    with style.style():
        return Picture(_single(one, chosen, rows, title), f"{title}.")


def finding(one: Tally, rows: Sequence[Step]) -> str:
    """Say how often a request crosses and for whom, and what share of its time that takes, by the median over requests."""
    label = one.contender.label
    if not one.range[1]:
        where = "the event loop" if rows[0].on_loop else "one thread"
        return f"No crossing: {where} runs the whole request under {label}"
    often = "" if one.range[0] == one.range[1] else f", most often {one.number:,}"
    of_all = _by_number(one)
    shares = [f"{number:,}\N{NO-BREAK SPACE}for {_whom(one, origin, rows)}" for origin, number in of_all]
    if len(of_all) == 1:
        shares = [f"{'all ' * (one.number > 1)}for {_whom(one, of_all[0][0], rows)}"]
    takes = f"{'it takes' if one.number == 1 else 'they take'} {_share(one.share)} of its time"
    return f"{tallies.crossed(one)} in a request under {label}{often}: {', '.join(shares)}; {takes}"


def finding_of_several(found: Sequence[Tally]) -> str:
    """Say how often a request crosses under each run."""
    counted = []
    for one in found:
        low, high = one.range
        number = "none" if not high else f"{low:,}" if low == high else f"{low:,} to {high:,}"
        counted.append(f"{number} under {one.contender.label}")
    return f"Crossings between event loop and thread per request: {wording.joined(counted)}"


def summary(one: Tally, rows: Sequence[Step]) -> str:
    """Say what the drawn request's crossings cost together, and how long its view's own code ran."""
    took = rows[0].lasted_us
    crossing = [row for row in rows if row.crossing]
    number = sum(len(row.times_us) for row in crossing)
    parts = [f"{wording.ms(took / 1e3)}\N{NO-BREAK SPACE}ms in the application"]
    if crossing:
        cost = float(np.nansum([row.cost_us for row in crossing]))
        share = f"{_share(waiting_us(rows) / took)} of its time"
        parts.append(
            f"{wording.counted(number, 'crossing')} cost {wording.ms(cost / 1e3)}\N{NO-BREAK SPACE}ms, {share}"
        )
    views = [row for row in rows if "view" in (row.kind, row.inside)]
    if views and any(len(row.solid_us) for row in views):
        own = sum(row.own_us for row in views)
        parts.append(f"the view's own code ran for {wording.ms(own / 1e3)}\N{NO-BREAK SPACE}ms, {_share(own / took)}")
    return "; ".join(parts)


def _single(one: Tally, chosen: Key, rows: Sequence[Step], title: str) -> Figure:
    whole_in = style.WIDTH_IN - 2 * style.MARGIN_IN
    cost_in = costs.column_in(rows[: waterfall.MAX_ROWS])
    names_in = waterfall.names_in(rows)
    panel_in = whole_in - names_in - cost_in
    face = one.contender.look
    above = [
        *lines(one.contender.heading, whole_in, style.HEADING_PT, face.ink, bold=True),
        *lines(_circumstances(one), whole_in, color=style.GREY),
    ]
    below = [
        *lines(_which(one, chosen), whole_in - cost_in - 0.1, color=style.GREY),
        *lines(summary(one, rows), whole_in - cost_in - 0.1, bold=True),
    ]
    rows_in, bars_in = waterfall.height_in(rows), tallies.height_in([one], headed=False)
    bars_from_in = waterfall.FOOT_IN + rows_in + height_in(below) + 0.1
    frame = style.Frame(
        bars_from_in + bars_in + height_in(above) + 0.12, title, [*_caption([one]), *small_print([one.contender])]
    )
    bars = frame.axes(style.MARGIN_IN, bars_from_in, tallies.PANEL_IN, bars_in)
    axes = frame.axes(style.MARGIN_IN + names_in, waterfall.FOOT_IN, panel_in, rows_in)
    tallies.draw(bars, [one], headed=False)
    waterfall.draw(axes, rows, panel_in)
    waterfall.draw_key(frame.axes(style.MARGIN_IN, 0.08, whole_in, 0.2), rows)
    write_above(bars, above)
    write_above(axes, below, names_in)
    return frame.figure


def _several(found: Sequence[Tally], title: str) -> Figure:
    bars_in = tallies.height_in(found, headed=True)
    caption = [*_caption(found), *small_print([one.contender for one in found])]
    frame = style.Frame(bars_in + 0.3, title, caption)
    axes = frame.axes(style.MARGIN_IN, 0.12, tallies.PANEL_IN, bars_in)
    tallies.draw(axes, found, headed=True)
    return frame.figure


def _caption(found: Sequence[Tally]) -> list[str]:
    numbers = [len(one.requests) for one in found]
    texts = [_WHAT] if any(one.range[1] for one in found) else []
    if len(found) > 1:
        few, most = min(numbers), max(numbers)
        counted = wording.counted(few, "request") if few == most else f"{few:,} to {most:,} requests"
        texts.append(f"One cell: one crossing of a request. Counted in {counted} under each.")
    lost = sum(one.contender.run.trace.lost for one in found)
    return (
        [*texts, f"The probe had no room left for {wording.counted(lost, 'row')}, the oldest ones."] if lost else texts
    )


def _circumstances(one: Tally) -> str:
    about = one.contender.run.about
    cells = "; one cell below is one crossing" if one.range[1] else ""
    return f"{about.path}, {about.load}; {wording.counted(len(one.requests), 'request')} traced{cells}"


def _which(one: Tally, chosen: Key) -> str:
    if chosen != one.typical():
        return f"below: request {chosen[1]:,} of worker {chosen[0]}"
    alike = int((one.counts.sum(axis=1) == one.number).sum())
    among = f"{alike:,} of them that cross so often" if alike < len(one.requests) else f"all {len(one.requests):,}"
    typical = (
        f"each of its crossings costs nearly what it costs in the median of {among}"
        if one.number
        else f"of median time among {among}"
    )
    return "the only request" if len(one.requests) == 1 else f"below, a typical request: {typical}"


def _share(share: float) -> str:
    return f"{share:.0%}" if share >= 0.005 else "under 1%"


def _by_number(one: Tally) -> list[tuple[str, int]]:
    return sorted(one.usual.items(), key=lambda pair: (-pair[1], pair[0] != "view", ORIGINS.index(pair[0])))


def _whom(one: Tally, origin: str, rows: Sequence[Step]) -> str:
    if origin == "middleware":
        layers = sum("middleware" in (row.kind, row.inside) for row in rows)
        configuration = one.contender.run.about.configuration
        if configuration is not None and configuration.middleware == "startproject":
            return _STARTPROJECT
        return f"{layers} layers of middleware" if layers > 1 else "its middleware"
    if origin == "other":
        names = {row.name for row in rows if row.crossing and row.origin == origin}
        return f"calls of {names.pop()}" if len(names) == 1 else "other calls"
    plain = {"signal": "a signal", "view": "the view", "close": "the response's close"}
    return "signals" if origin == "signal" and one.usual[origin] > 1 else plain[origin]
