"""The two panels of the figure of ramps: throughput and response time against load, on one axis of load."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from requestlab.plots import style
from requestlab.plots.climbs import RampCurve
from requestlab.plots.labels import Labels
from requestlab.plots.lettering import POINTS_PER_INCH, width_in
from requestlab.system import wording
from requestlab.trace.activity import Floats

PERCENTILES = (50, 95)
BESIDE_IN = 3.05
"""How wide the words beside the panels may be."""

_DECADE = 10.0
_LINE_IN = 0.165
_THIN: Any = (0, (1, 1.4))


def set_load(axes: Axes, climbs: Sequence[RampCurve], panel_in: float, labelled: bool) -> None:
    """Set the axis of load: logarithmic where the steps span more than a factor of ten, with the steps as its ticks."""
    steps = np.unique(np.concatenate([climb.steps for climb in climbs]))
    low, high = float(steps[0]), float(steps[-1])
    if high > _DECADE * low:
        axes.set_xscale("log")
        margin = (high / low) ** 0.04
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = 0.04 * (high - low) or 0.5 * high
        axes.set_xlim(low - margin, high + margin)
    ticks = apart(axes, steps, panel_in, [f"{step:,g}" for step in steps])
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:,g}" for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.tick_params(labelbottom=labelled)
    axes.grid(axis="x", linewidth=0.6, color="#E9E9E9")
    if labelled:
        scale = " (logarithmic)" if axes.get_xscale() == "log" else ""
        axes.set_xlabel(
            f"load: {'planned requests per second' if climbs[0].open else 'users at once'}{scale}", labelpad=3
        )


def apart(axes: Axes, at: Floats, panel_in: float, texts: Sequence[str]) -> list[float]:
    """Return those places, ascending, whose texts below the axis do not touch, the last one among them."""
    chosen: list[float] = []
    left = np.inf
    low, high = (float(axes.transScale.transform((end, 1))[0]) for end in axes.get_xlim())
    for place, text in zip(at[::-1].tolist(), texts[::-1], strict=True):
        scaled = float(axes.transScale.transform((place, 1))[0])
        at_in, half_in = panel_in * (scaled - low) / (high - low), width_in(text, style.NOTE_PT) / 2
        if at_in + half_in + 0.08 < left:
            chosen.insert(0, place)
            left = at_in - half_in
    return chosen


def set_throughput(axes: Axes, climbs: Sequence[RampCurve], expected: Sequence[float | None]) -> None:
    """Set the axis of throughput, which begins at 0."""
    top = max(
        [1.0, *(float(climb.throughput.max()) for climb in climbs), *(one for one in expected if one is not None)]
    )
    axes.set_ylim(0, 1.14 * top)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.set_ylabel("answers per second", labelpad=3)


def set_times(axes: Axes, climbs: Sequence[RampCurve]) -> None:
    """Set the axis of response time: logarithmic where the times span more than a factor of ten, else from 0."""
    times = np.concatenate([climb.percentile(q) for climb in climbs for q in PERCENTILES])
    times = times[np.isfinite(times)]
    low, high = (float(times.min()), float(times.max())) if times.size else (1.0, 1.0)
    if high > _DECADE * low:
        axes.set_yscale("log")
        axes.set_ylim(low / 1.4, high * 1.4)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,), numticks=12))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        axes.set_ylim(0, 1.12 * high)
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    scale = " (logarithmic)" if axes.get_yscale() == "log" else ""
    axes.set_ylabel(f"response time in ms{scale}", labelpad=3)
    if not times.size:
        axes.text(0.5, 0.5, "no request was answered", transform=axes.transAxes, ha="center", va="center")


def draw_throughput(axes: Axes, climbs: Sequence[RampCurve], expected: Sequence[float | None]) -> None:
    """Draw throughput against load, the planned rate of open loops, and the reader's predictions."""
    labels = Labels(axes)
    for climb in climbs:
        _draw_line(axes, climb, climb.throughput)
        if climb.turn is not None and len(climb.steps) > 1:
            height = float(climb.throughput[np.flatnonzero(climb.steps == climb.turn)[0]])
            axes.plot([climb.turn] * 2, [0, height], color=climb.contender.look.colour, linestyle=_THIN, linewidth=1.1)
        labels.avoid(climb.steps, climb.throughput)
    if climbs[0].open:
        _draw_planned(axes, labels)
    for text, number, colour in _guesses(climbs, expected):
        axes.axhline(number, color=colour, linestyle=(0, (4, 3)), linewidth=1.3, zorder=1.5)
        labels.avoid(np.array(axes.get_xlim()), np.full(2, number))
        labels.put(f"{text}: peak {wording.number(number)} requests/s", (axes.get_xlim()[0], number), color=colour)


def draw_times(axes: Axes, climbs: Sequence[RampCurve], panel_in: float) -> None:
    """Draw p50 (thick) and p95 (thin, dotted) against load, each with its name at the right end."""
    ends: list[tuple[float, float, str, str]] = []
    for climb in climbs:
        for q, how in zip(PERCENTILES, ({}, {"linewidth": 1.1, "linestyle": _THIN}), strict=True):
            times = climb.percentile(q)
            _draw_line(axes, climb, times, **how)
            known = np.flatnonzero(np.isfinite(times))
            if known.size:
                last = known[climb.steps[known].argmax()]
                text = f"p{q} {wording.ms(float(times[last]))} ms {climb.contender.look.glyph} {climb.label}"
                ends.append((float(climb.steps[last]), float(times[last]), text, climb.contender.look.ink))
    _name_ends(axes, ends, panel_in)


def _draw_line(axes: Axes, climb: RampCurve, values: Floats, **how: Any) -> None:
    strokes = climb.contender.look.strokes | how
    order = np.argsort(climb.steps, kind="stable")
    axes.plot(climb.steps[order], values[order], **strokes)
    at = climb.doubted
    hollow = strokes | {"linestyle": "none", "markerfacecolor": "white", "zorder": 3, "clip_on": False}
    axes.plot(climb.steps[at], values[at], **hollow)
    axes.plot(climb.steps[at], values[at], "x", color=style.INK, ms=7, markeredgewidth=1.2, zorder=4, clip_on=False)


def _draw_planned(axes: Axes, labels: Labels) -> None:
    load = np.geomspace(max(axes.get_xlim()[0], 1e-9), axes.get_xlim()[1], 200) if axes.get_xlim()[0] > 0 else None
    load = np.linspace(0, axes.get_xlim()[1], 200) if load is None else load
    axes.plot(load, load, color=style.INK, linestyle=_THIN, linewidth=1.0, zorder=2.5)
    seen = load[load <= axes.get_ylim()[1]]
    labels.avoid(seen, seen)
    if seen.size:
        at = float(seen[int(0.7 * (seen.size - 1))])
        labels.put("planned rate", (at, at), to_the_left=True, color=style.GREY)


def _guesses(climbs: Sequence[RampCurve], expected: Sequence[float | None]) -> list[tuple[str, float, str]]:
    pairs = [(climb, number) for climb, number in zip(climbs, expected, strict=True) if number is not None]
    if pairs and len(set(expected)) == 1:
        return [("your prediction", pairs[0][1], style.INK)]
    return [(f"your prediction for {climb.label}", number, climb.contender.look.ink) for climb, number in pairs]


def _name_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], panel_in: float) -> None:
    """Write each name beside the panel, as close to its curve's end as the others allow, tied to it by a thin line."""
    ranked = sorted(ends, key=lambda end: end[1])
    wide_in = axes.get_position().width * style.WIDTH_IN
    low, high = (float(axes.transScale.transform((1, limit))[1]) for limit in axes.get_ylim())
    wanted = [panel_in * (float(axes.transScale.transform((1, y))[1]) - low) / (high - low) for _, y, _, _ in ranked]
    for (x, y, text, ink), at_in in zip(ranked, spread(wanted, _LINE_IN, panel_in), strict=True):
        tie(axes, (x, y), at_in / panel_in, ink)
        place = (0.03 * wide_in * POINTS_PER_INCH, 0)
        how: dict[str, Any] = {"fontsize": style.NOTE_PT, "color": ink, "va": "center", "annotation_clip": False}
        axes.annotate(_short(text), (1, at_in / panel_in), place, "axes fraction", "offset points", **how)


def _short(text: str) -> str:
    while width_in(text, style.NOTE_PT) > BESIDE_IN:
        text = f"{text[:-2]}…"
    return text


def tie(axes: Axes, at: tuple[float, float], height: float, colour: str) -> None:
    """Draw a thin line from a point of the data to the words beside the axes, whose height is a share of theirs."""
    thin = {"arrowstyle": "-", "color": colour, "linewidth": 0.8, "alpha": 0.6, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", at, (1.025, height), "data", "axes fraction", arrowprops=thin, annotation_clip=False)


def spread(wanted: Sequence[float], apart: float, most: float) -> list[float]:
    """Return ascending places from 0 to `most`, at least `apart` from each other, close to those wanted (ascending)."""
    places: list[float] = []
    for place in wanted:
        places.append(max(place, places[-1] + apart) if places else max(place, 0.0))
    for i in reversed(range(len(places))):
        places[i] = min(places[i], most if i == len(places) - 1 else places[i + 1] - apart)
    return places
