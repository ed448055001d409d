"""Figure: what one call costs in each of the ways to call a function, beside what the documentation says of crossings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from requestlab.comparison.call_costs import CallCosts
from requestlab.comparison.intervals import CONFIDENCE
from requestlab.errors import ConfigurationError
from requestlab.plots import price_rows, style
from requestlab.plots.inputs import Predicted, checked
from requestlab.plots.lettering import width_in, wrapped
from requestlab.plots.price_rows import Price
from requestlab.plots.sheet import Picture
from requestlab.plots.tallies import us
from requestlab.system import wording

_WHAT = "a price in µs"
_RIGHT_IN, _HEAD_IN, _FOOT_IN, _MAX_NAME_IN = 2.0, 0.6, 0.46, 2.85


def call_costs(found: CallCosts, *, predicted: Predicted = None) -> Picture:
    """Draw what one call costs in each way to call a function, as `lab.call_costs()` found it, on a logarithmic axis.

    >>> lab.plots.call_costs(lab.call_costs(), predicted={"sync_to_async warm": 1000})

    A row for each way, with its price and interval and, faintly, each round; shaded is what Django's documentation says of
    crossings. `predicted` is a price in µs, one for all ways or one by name. Raises ConfigurationError for anything else.
    """
    rows = _rows(found, predicted)
    title = finding(found)
    one = None if isinstance(predicted, Mapping) else predicted
    with style.style():
        return Picture(_drawn(found, rows, one, title), f"{title}.")


def finding(found: CallCosts) -> str:
    """Say what a crossing costs warm and cold, and how many plain calls that is."""
    busy = found.about.busy_threads
    beside = f" beside {wording.counted(busy, 'thread')} that compute{'s' * (busy == 1)}" if busy else ""
    if not {"call", "sync_to_async warm", "sync_to_async cold"} <= set(found.names):
        costs = {name: found.cost(name).value for name in found.names}
        least, most = min(costs, key=costs.__getitem__), max(costs, key=costs.__getitem__)
        return f"One call costs from {us(costs[least])} ({least}) to {us(costs[most])} ({most}){beside}"
    warm, cold = (us(found.cost(f"sync_to_async {state}").value) for state in ("warm", "cold"))
    times = price_rows.about(found.ratio("sync_to_async warm", "call").value)
    return f"sync_to_async costs {warm}{beside}, as much as {times} plain calls, and {cold} where its thread must be started"


def _rows(found: object, predicted: Predicted) -> list[Price]:
    if not isinstance(found, CallCosts):
        raise ConfigurationError(f"call_costs() draws what lab.call_costs() returned, not {found!r}")
    names = found.names
    guesses = predicted if isinstance(predicted, Mapping) else {}
    if unknown := [name for name in guesses if name not in names]:
        raise ConfigurationError(f"predicted has no price called {unknown[0]!r}; the prices are {', '.join(names)}")
    checked(None if isinstance(predicted, Mapping) else predicted, _WHAT)
    return [
        Price(
            name,
            wrapped(found.about.what[name], _MAX_NAME_IN, style.NOTE_PT),
            found.cost(name),
            found.cost(name, "mean").value,
            found.rounds[name].to_numpy(np.float64),
            np.array([number in found.about.disturbed for number in found.rounds.index]),
            None if name == names[0] else found.ratio(name, names[0]).value,
            checked(guesses.get(name), _WHAT),
        )
        for name in names
    ]


def _drawn(found: CallCosts, rows: Sequence[Price], guess: float | None, title: str) -> Figure:
    written = [width_in(row.name, price_rows.NAME_PT, bold=True) for row in rows]
    left_in = 0.12 + max([*written, *(width_in(line, style.NOTE_PT) for row in rows for line in row.what)])
    panel_in = style.WIDTH_IN - 2 * style.MARGIN_IN - left_in - _RIGHT_IN
    rows_in = sum(row.height_in for row in rows)
    frame = style.Frame(rows_in + _FOOT_IN + _HEAD_IN, title, _caption(found, rows))
    axes = frame.axes(style.MARGIN_IN + left_in, _FOOT_IN, panel_in, rows_in)
    price_rows.set_axes(axes, rows, guess, rows_in)
    price_rows.draw_claims(axes)
    top = 0.0
    for row in rows:
        price_rows.draw(axes, row, top, left_in / panel_in, rows[0].name)
        top += row.height_in
    if guess is not None:
        price_rows.draw_guess(axes, guess, 0.0, rows_in)
    return frame.figure


def _caption(found: CallCosts, rows: Sequence[Price]) -> list[str]:
    disturbed = found.about.disturbed
    dots = f"Faint dots: the median of each of {wording.counted(len(found.rounds), 'round')}"
    if disturbed:
        dots += f", hollow where something else took time of the cores ({len(disturbed):,} of them)"
    texts = [f"{dots}. Dot and line: the price and its interval at {CONFIDENCE:.0%} confidence."]
    if any(row.far for row in rows):
        texts.append("Diamond: the mean over all calls, where it is far from the median, since a few calls wait long.")
    texts += [f"Doubtful: {caveat}." for caveat in found.about.caveats]
    busy = wording.counted(found.about.busy_threads, "other thread")
    texts.append(
        f"{busy} of the process computed meanwhile; event loop: {found.about.loop_class}.".replace(
            "0 other", "No other"
        )
    )
    return [*texts, found.about.machine.caption]
