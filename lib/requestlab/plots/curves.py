"""The panel of the response time figure: curves, percentiles, predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, Locator, LogLocator, MaxNLocator, NullLocator

from requestlab.measurement.validity import TAIL
from requestlab.plots import style
from requestlab.plots.inputs import Contender
from requestlab.plots.lettering import POINTS_PER_INCH, width_in
from requestlab.system import wording
from requestlab.trace.activity import Floats, evenly

PERCENTILES = (50, 95, 99)

_TOP = 103.0
_QUANTITY = "response time in ms, from planned to answered (logarithmic)"
_AND_SERVICE = "; thin and dotted: service time, from sent to answered"
_DOTTED = (0, (1, 1.4))
_MAX_POINTS = 4000


@dataclass(frozen=True)
class Guess:
    """A reader's prediction of a median, in ms."""

    text: str
    ms: float
    colour: str


def marked(contender: Contender) -> list[int]:
    """Return the percentiles for which there is evidence: p95 and p99 only with at least `TAIL` requests beyond."""
    count = contender.run.response_ms.size
    return [q for q in PERCENTILES if count and (q == 50 or count * (100 - q) >= 100 * TAIL)]


def percentile(contender: Contender, q: float) -> float:
    """Return a percentile of the response time in ms, as the run's summary has it."""
    return float(np.percentile(contender.run.response_ms, q))


def scheduled(contender: Contender) -> bool:
    """Return whether its load was an open loop: only there, a request may be sent later than it was planned."""
    return contender.run.about.rate is not None


def set_axes(axes: Axes, contenders: Sequence[Contender], guesses_ms: Sequence[float]) -> None:
    """Set limits, ticks and labels so that every curve and prediction has its place."""
    service = [contender.run.service_ms for contender in contenders if scheduled(contender)]
    values = np.concatenate([*(contender.run.response_ms for contender in contenders), *service, np.array(guesses_ms)])
    low, high = (float(values.min()), float(values.max())) if values.size else (1.0, 100.0)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.15, high * 1.15)
    axes.xaxis.set_major_locator(_ticks(high / low))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_xlabel(_QUANTITY + (_AND_SERVICE if service else ""), labelpad=3)
    axes.set_ylim(0, _TOP)
    axes.set_yticks([0, 25, 50, 75, 95, 99], ["0 %", "25 %", "50 % (p50)", "75 %", "95 % (p95)", "99 % (p99)"])
    axes.set_ylabel("answered requests that took no longer", labelpad=2)
    for q in PERCENTILES:
        axes.axhline(q, color="#DDDDDD", linewidth=0.8, zorder=0)
    if not any(contender.run.response_ms.size for contender in contenders):
        axes.text(0.5, 0.72, "no request was answered", transform=axes.transAxes, ha="center", va="center")


def _ticks(ratio: float) -> Locator:
    if ratio < 4:
        return MaxNLocator(8, steps=[1, 2, 5, 10])
    return LogLocator(subs=(1, 2, 5) if ratio > 100 else (1, 2, 3, 5, 7), numticks=12)


def draw(axes: Axes, contender: Contender) -> None:
    """Draw one curve with steps, and its markers where it crosses the percentiles that mean something.

    For an open loop, the service time is drawn too, thin and dotted.
    """
    if not contender.run.response_ms.size:
        return
    colour = contender.look.colour
    if scheduled(contender):
        _draw_steps(axes, contender.run.service_ms, color=colour, linestyle=_DOTTED, linewidth=1.3)
    _draw_steps(axes, contender.run.response_ms, color=colour, linestyle=contender.look.line)
    at = marked(contender)
    strokes = contender.look.strokes | {"linestyle": "none", "zorder": 3}
    axes.plot([percentile(contender, q) for q in at], at, **strokes)


def _draw_steps(axes: Axes, times_ms: Floats, **how: Any) -> None:
    times = np.sort(times_ms)
    chosen = evenly(times.size, _MAX_POINTS)
    x = np.concatenate([times[:1], times[chosen]])
    share = np.concatenate([[0.0], (chosen + 1) * 100 / times.size])
    axes.step(x, share, where="post", **how)


def tie(axes: Axes, contender: Contender, height: float) -> None:
    """Draw a thin line from the curve to the label beside the axes, whose height is a share of theirs."""
    times = contender.run.response_ms
    if not times.size:
        return
    share = float(np.clip(height * _TOP, 1, 100))
    x = float(
        np.percentile(times, share, method="inverted_cdf")
    )  # a point on the steps, unlike a percentile between two
    thin = {
        "arrowstyle": "-",
        "color": contender.look.colour,
        "linewidth": 0.8,
        "alpha": 0.6,
        "shrinkA": 0,
        "shrinkB": 0,
    }
    axes.annotate("", (x, share), (1.025, height), "data", "axes fraction", arrowprops=thin, annotation_clip=False)


def draw_prediction(axes: Axes, guess: Guess, panel_in: float, above_in: float) -> None:
    """Draw a dashed line at the predicted median; its words stand `above_in` inches above the axes, where no curve is."""
    text = f"{guess.text}: half within {wording.number(guess.ms)} ms"
    low, high = np.log(axes.get_xlim())
    at_in = float((np.log(guess.ms) - low) / (high - low)) * panel_in
    wide_in = width_in(text, style.NOTE_PT)
    left_in = float(np.clip(at_in - wide_in / 2, 0, max(0, panel_in - wide_in)))
    axes.axvline(guess.ms, color=guess.colour, linestyle=(0, (4, 3)), linewidth=1.3, zorder=1.5)
    axes.plot([guess.ms], [50], color=guess.colour, marker="x", markersize=7, markeredgewidth=1.8, zorder=4)
    offset = (left_in * POINTS_PER_INCH, above_in * POINTS_PER_INCH + 3)
    axes.annotate(
        text, (0, 1), offset, "axes fraction", "offset points", fontsize=style.NOTE_PT, color=guess.colour, va="bottom"
    )
