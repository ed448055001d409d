"""Figure: what one call costs in each of the ways to call a function, beside what the documentation says of
crossings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.call_costs import CallCosts
from requestlab.comparison.intervals import CONFIDENCE, Interval
from requestlab.comparison.wording import brief
from requestlab.errors import ConfigurationError
from requestlab.plots import inputs, marks, sheet, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Predicted
from requestlab.plots.sheet import AXIS_IN, MARGIN_IN, Line, Picture, Sheet
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats

CLAIMS = (
    ("tens of µs,\nin a request", 10.0, 100.0, "#E3ECF5"),
    ("a few\nhundred µs,\nno loop yet", 100.0, 900.0, "#F5E9D6"),
)
"""What Django's documentation, from 6.1 on, says of a crossing: the words, from and to how many µs, and a shade."""

ONE_MS_US = 1000.0
"""What it said up to 6.0."""

MAIN = ("call", "sync_to_async warm", "sync_to_async cold", "async_to_sync cold")
"""The ways to call that are drawn where not all are asked for."""

_LOOK = style.SeriesStyle(style.INK, "o")
_MAX_NAME_IN, _RIGHT_IN, _CLAIMS_IN, _GUESS_IN, _GAP_IN = 2.85, 2.0, 0.55, 0.2, 0.02
_ROOM = 1.6
"""By this factor the axis goes beyond what is drawn."""

_FAR = 1.5
"""From this factor on, a mean is far from the median."""


@dataclass(frozen=True, eq=False)
class Row:
    """One way to call: its name and what it is, in lines; its cost, the mean over all calls and each round's median, in
    µs; how many times the first way's cost that is, in words; what the reader predicted."""

    name: Sequence[Line]
    cost: Interval
    mean: float
    rounds: Floats
    times: str
    predicted: float | None

    @property
    def height_in(self) -> float:
        """How much room the row needs."""
        return sheet.height_in(self.name) + _GAP_IN + _GUESS_IN * (self.predicted is not None)

    @property
    def far(self) -> bool:
        """Whether the mean is far from the median."""
        return not 1 / _FAR < self.mean / self.cost.value < _FAR

    @property
    def figures(self) -> list[Line]:
        """What stands to the right of the row."""
        unit = 1e3 if self.cost.value >= 1e3 else 1.0
        low, high = (wording.ms(bound / unit) for bound in (self.cost.low, self.cost.high))
        cost = wording.us(self.cost.value) + (f" ({low} to {high})" if self.cost.known else "")
        notes = ", ".join(filter(None, [self.times, f"mean {wording.us(self.mean)}" if self.far else ""]))
        return [Line(cost, bold=True), *sheet.lines(notes, _RIGHT_IN, color=style.GREY)]


@remembered
@style.applied()
def call_costs(found: CallCosts, *, predicted: Predicted = None, all: bool = False) -> Picture:
    """Draw what one call costs in each way to call a function, as `lab.call_costs()` found it, on a logarithmic axis.

    >>> lab.plots.call_costs(lab.call_costs(), predicted={"sync_to_async warm": 1000})

    A row for each way in `MAIN`, and each of which there is a prediction, or for `all` ways, with its cost and interval
    and, faintly, each round; shaded is what Django's documentation says of crossings. `predicted` is a cost in µs, one
    for all ways or one by name. Raises ConfigurationError for anything else.
    """
    if not isinstance(found, CallCosts):
        raise ConfigurationError(f"call_costs() draws what lab.call_costs() returned, not {checks.shown(found)}")
    guesses = inputs.predicted_for(predicted, found.names, "a cost in µs", noun="call cost")
    for_all = None if isinstance(predicted, Mapping) else guesses[found.names[0]]
    by_name = {name: None if for_all is not None else guess for name, guess in guesses.items()}
    main = [name for name in found.names if name in MAIN or by_name[name] is not None]
    names = found.names if all or not main else main
    rows = [_row(found, name, by_name[name]) for name in names]
    hollow = [number in found.about.disturbed for number in found.rounds.index]
    page = Sheet(finding(found))
    _draw_rows(page, rows, hollow, for_all)
    page.explain(*_explained(found, rows))
    return page.picture([found.about.machine.caption, _circumstances(found)], _details(found))


def finding(found: CallCosts) -> str:
    """Say what a crossing costs warm and cold, and how many plain calls that is."""
    beside = found.about.beside
    if not {"call", "sync_to_async warm", "sync_to_async cold"} <= set(found.names):
        costs = sorted((found.cost(name).value, name) for name in found.names)
        least, most = (f"{wording.us(cost)} ({name})" for cost, name in (costs[0], costs[-1]))
        return f"One call costs from {least} to {most}{beside}"
    warm, cold = (wording.us(found.cost(f"sync_to_async {state}").value) for state in ("warm", "cold"))
    told = f"sync_to_async costs {warm}{beside}, as much as {wording.times(found.ratio('sync_to_async warm', 'call').value)} plain calls"
    return brief(f"{told}; cold {cold}", told)


def _row(found: CallCosts, name: str, predicted: float | None) -> Row:
    first = found.names[0]
    return Row(
        [Line(name, 9.5, bold=True), *sheet.lines(found.about.what[name], _MAX_NAME_IN, color=style.GREY)],
        found.cost(name),
        found.cost(name, "mean").value,
        found.rounds[name].to_numpy(np.float64),
        "" if name == first else f"{wording.times(found.ratio(name, first).value)} × {first}",
        predicted,
    )


def _draw_rows(page: Sheet, rows: Sequence[Row], hollow: Sequence[bool], for_all: float | None) -> None:
    left_in = 0.12 + max(line.wide_in for row in rows for line in row.name)
    heights_in = [_GUESS_IN * (for_all is not None), *(row.height_in for row in rows)]
    page.space(_CLAIMS_IN)
    axes, places = marks.rows(page, heights_in, MARGIN_IN + left_in, MARGIN_IN + _RIGHT_IN, below_in=AXIS_IN)
    _set_axis(axes, rows, for_all)
    _draw_claims(axes)
    for row, (_, bottom) in zip(rows, places[1:], strict=True):
        top = bottom - sheet.height_in(row.name)
        middle = (top + bottom) / 2
        marks.estimate(axes, middle, row.cost, row.rounds, _LOOK, hollow=hollow)
        if row.far:
            axes.plot(row.mean, middle, "D", markerfacecolor="white", markeredgecolor=style.INK, ms=5.5, zorder=5)
        sheet.write_at(axes, row.name, middle, -left_in)
        sheet.write_at(axes, row.figures, middle, sheet.size_in(axes)[0] + 0.12)
        _draw_guess(axes, row.predicted, top, bottom)
    _draw_guess(axes, for_all, places[0][1], places[-1][1])


def _set_axis(axes: Axes, rows: Sequence[Row], for_all: float | None) -> None:
    costs = [[row.cost.value, row.cost.low, row.cost.high, row.mean, row.predicted or np.nan] for row in rows]
    rounds = [row.rounds for row in rows]
    every = np.concatenate([*costs, *rounds, [CLAIMS[0][1] / 2, 5 * ONE_MS_US, for_all or np.nan]])
    every = every[every > 0]
    axes.set_xscale("log")
    axes.set_xlim(float(every.min()) / _ROOM, float(every.max()) * _ROOM)
    marks.number(axes.xaxis)
    axes.grid(axis="x", color=style.PALE, linewidth=0.6)
    axes.set_xlabel("µs for one call of a function that does nothing (logarithmic)", labelpad=3)


def _draw_claims(axes: Axes) -> None:
    for text, low, high, shade in CLAIMS:
        axes.axvspan(low, high, color=shade, linewidth=0, zorder=0)
        _write_above(axes, text, float(np.sqrt(low * high)), "center")
    axes.axvline(ONE_MS_US, color=style.GREY, linestyle=style.DOTTED, linewidth=1.3, zorder=1)
    _write_above(axes, "1 ms,\nuntil 6.0", ONE_MS_US * 1.06, "left")
    _write_above(axes, "what Django's documentation\nsays of a crossing:", CLAIMS[0][1] / 1.25, "right")


def _write_above(axes: Axes, text: str, x: float, side: str) -> None:
    font = Line(text, style.CAPTION_PT, style.GREY).font
    axes.text(x, 1.01, text, transform=axes.get_xaxis_transform(), ha=side, va="bottom", linespacing=1.2, **font)


def _draw_guess(axes: Axes, value: float | None, top: float, bottom: float) -> None:
    if value is not None:
        marks.prediction(axes, value, f"your prediction: {wording.number(value)} µs", span=(top, bottom))


def _explained(found: CallCosts, rows: Sequence[Row]) -> Iterator[str]:
    rounds, disturbed = wording.counted(len(found.rounds), "round"), len(found.about.disturbed)
    hollow = f", hollow where something else took time of the cores ({disturbed:,} of them)" if disturbed else ""
    yield f"Faint dots: the median of each of {rounds}{hollow}. Dot and line: the cost, its {CONFIDENCE:.0%} interval."
    if any(row.far for row in rows):
        yield "Diamond: the mean over all calls, where it is far from the median, since a few calls wait long."
    yield from (f"Doubtful: {caveat}." for caveat in found.about.caveats)


def _circumstances(found: CallCosts) -> str:
    about = found.about
    busy = wording.counted(about.busy_threads, "other thread") if about.busy_threads else "no other threads"
    return f"on core {', '.join(map(str, about.cores))} · event loop: {about.loop_class} · {busy} of the process computed meanwhile"


def _details(found: CallCosts) -> list[tuple[str, str]]:
    about = found.about
    asked = f"{len(found.rounds)} of {wording.counted(about.wanted, 'round')} in {about.seconds:g} s, seed {about.seed}"
    return [("rounds", asked), *((f"round {number}", f"disturbed by {why}") for number, why in about.disturbed.items())]
