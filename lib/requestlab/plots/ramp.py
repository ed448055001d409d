"""Figure: throughput and response time against load, and where throughput stops growing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.wording import brief
from requestlab.errors import ConfigurationError
from requestlab.measurement.ramp import GROWTH, Ramp
from requestlab.measurement.validity import TAIL, fell_behind
from requestlab.plots import inputs, marks, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Guess, Predicted
from requestlab.plots.marks import Curve, Labels, Level
from requestlab.plots.sheet import AXIS_IN, Picture, Sheet
from requestlab.system import wording
from requestlab.trace.activity import Floats

Ramps = Ramp | Mapping[str, Ramp]
"""What the figure takes, one or several times: a ramp, or one mapping of labels to ramps."""

BEHIND = "did not keep up"
MAX_NOTES = 4
MAX_TOLD = 3
_LEFT_IN, _MIN_IN, _TIMES_IN, _BETWEEN_IN = 0.85, 2.5, 2.2, 0.2
_PERCENTILES = (50, 95)
_DECADE = 10.0
_ONCE = "One run for each step shows no more than what happened once: a verdict needs several rounds."


@remembered
@style.applied()
def ramp(*ramps: Ramps, predicted: Predicted = None) -> Picture:
    """Draw throughput against load above, and p50 and p95 of the response time against load below, for each ramp.

    >>> steps = lab.measure(server, "/sync/page/", lab.closed(users=[1, 2, 5, 10, 20, 50]))
    >>> lab.plots.ramp(steps, predicted=800)

    Takes ramps, or one mapping of labels to ramps, either all of users or all of rates; else ConfigurationError. The
    title says from which load on throughput gains less than `GROWTH`, or, for open loops, up to which planned rate the
    answers keep up. Steps that are suspect or invalid are crossed. `predicted` is the highest throughput per second
    that the reader expects, for all ramps or by label.
    """
    curves = _curves(ramps, predicted)
    contenders = [curve.contender for curve in curves]
    named = [_named(curve) for curve in sorted(curves, key=lambda curve: -curve.ramp.throughput[curve.steps.argmax()])]

    page = Sheet(finding(curves))
    upper = marks.named_panel(page, _MIN_IN, named, _LEFT_IN, _BETWEEN_IN)
    high_in = max(_TIMES_IN, 0.2 * len(_PERCENTILES) * len(curves))
    lower = page.panel(high_in, _LEFT_IN, marks.RIGHT_IN, below_in=AXIS_IN)
    for axes in (upper, lower):
        _set_load(axes, curves, labelled=axes is lower)
    _draw_throughput(upper, curves, inputs.guesses(contenders))
    _draw_times(lower, curves)
    page.explain(*_explained(curves))
    runs = [run for curve in curves for run in curve.runs]
    return page.picture(inputs.small_print(contenders, circumstances=True), inputs.details(runs))


# What there is to be drawn


@dataclass(frozen=True, eq=False)
class RampCurve:
    """One ramp in the figure: its first run, with label and look, and the loads of its steps."""

    contender: Contender
    ramp: Ramp
    steps: Floats

    @property
    def label(self) -> str:
        return self.contender.label

    @property
    def runs(self) -> list[Contender]:
        """The run of each step, labelled with its load."""
        labels = [f"{self.label}, {self.ramp.at(step)}" for step in self.ramp.steps]
        return [Contender(label, run, self.contender.look) for label, run in zip(labels, self.ramp, strict=True)]

    @property
    def doubts(self) -> dict[str, list[float]]:
        """Why steps are crossed, each reason with its steps."""
        found: dict[str, list[float]] = {}
        for i in self.ramp.doubted:
            run, summary = self.ramp.runs[i], self.ramp.runs[i].summary
            why = BEHIND if fell_behind(run) else f"{summary['validity']}, {summary['reasons'][0]}"
            found.setdefault(why, []).append(self.ramp.steps[i])
        return found

    def percentile(self, q: int) -> Floats:
        """Return a percentile of the response time at each step, in ms; NaN where there is no evidence for it."""
        return np.array([run.percentile(q) if q in run.marked else math.nan for run in self.runs])

    def last(self, values: Floats) -> tuple[float, float] | None:
        """Return the highest load for which there is a value, and that value."""
        known = [pair for pair in zip(self.steps.tolist(), values.tolist(), strict=True) if np.isfinite(pair[1])]
        return max(known, default=None)


def _curves(ramps: Sequence[Any], predicted: Predicted) -> list[RampCurve]:
    what = (
        "ramp() takes ramps, as measure() returns them for a list of users or rates, or one mapping of labels to ramps"
    )
    labels, given = inputs.several(ramps, Ramp, what)
    if len({one.unit for one in given}) > 1:
        raise ConfigurationError("ramp() draws either users or requests/s on one axis, and these ramps have both")
    firsts = [one.runs[0] for one in given]
    runs = [dict(zip(labels, firsts, strict=True))] if labels else firsts
    found = inputs.gather(runs, "ramp", predicted=predicted, what="a number of requests per second")
    return [RampCurve(contender, one, np.array(one.steps)) for contender, one in zip(found, given, strict=True)]


# In words


def finding(curves: Sequence[RampCurve]) -> str:
    """Say where the throughput of each ramp stops growing, or how far its answers keep up; of many, who comes how
    far."""
    told = wording.joined(
        [f"{one.label} {one.ramp.finding.partition(' (')[0].partition(', not')[0]}" for one in curves]
    )
    least, *_, most = sorted([*curves, *curves], key=lambda curve: curve.ramp.peak)
    low, high = (f"{curve.ramp.peak:,.0f}" for curve in (least, most))
    ends = f"Peaks from {low} requests/s ({least.label}) to {high} ({most.label})"
    all_told = [f"Throughput: {told}", told] if len(curves) <= MAX_TOLD else []
    return brief(*all_told, ends, f"Peaks from {low} to {high} requests/s")


def _named(curve: RampCurve) -> Curve:
    contender, ramp, end = curve.contender, curve.ramp, curve.last(curve.ramp.throughput)
    caveats = [f"crossed: {', '.join(ramp.at(ramp.steps[i]) for i in ramp.doubted)}"] if ramp.doubted else []
    span = " to ".join(dict.fromkeys(f"{step:,g}" for step in (min(ramp.steps), max(ramp.steps))))
    notes = [*caveats, f"{contender.run.about.path}, {span} {ramp.unit}", contender.circumstances[-1]]
    block = contender.block(marks.NAMES_IN, [ramp.finding], notes, f"{contender.look.glyph} {curve.label}")
    return Curve(block, contender.look.colour, lambda height: end)


def _explained(curves: Sequence[RampCurve]) -> Iterator[str]:
    keeps_up = f"“Keeps up”: no more than {GROWTH:.0%} of what was planned is missing."
    rule = (
        keeps_up if curves[0].ramp.open else f"“Stops growing” (dotted line): no higher load brings {GROWTH:.0%} more."
    )
    tails = any(curve.last(curve.percentile(95)) for curve in curves)
    drawn = "p50 thick, p95 thin and dotted, where" if tails else "p50; p95 is not drawn, where fewer than"
    yield f"Each point is one run. {rule} Below: {drawn} {TAIL} requests lie beyond it. {_ONCE}"
    notes = [f"{curve.label}, {at}: {why}" for curve in curves for why, at in _doubted(curve)]
    for note in notes[:MAX_NOTES]:
        yield f"× {note}."
    if more := notes[MAX_NOTES:]:
        yield f"× and {wording.counted(len(more), 'more reason')}, in the table below the figure."


def _doubted(curve: RampCurve) -> Iterator[tuple[str, str]]:
    for why, steps in curve.doubts.items():
        unit = "requests/s" if curve.ramp.open else "user" if steps == [1] else "users"
        yield why, f"{wording.listed([f'{step:,g}' for step in steps])} {unit}"


# Drawing


def _set_load(axes: Axes, curves: Sequence[RampCurve], labelled: bool) -> None:
    steps = np.unique(np.concatenate([curve.steps for curve in curves]))
    low, high = float(steps[0]), float(steps[-1])
    if high > _DECADE * low:
        axes.set_xscale("log")
        margin = (high / low) ** 0.04
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = 0.04 * (high - low) or 0.5 * high
        axes.set_xlim(low - margin, high + margin)
    marks.name_ticks(axes, steps.tolist(), [f"{step:,g}" for step in steps])
    axes.tick_params(labelbottom=labelled)
    axes.grid(axis="x", linewidth=0.6, color=style.PALE)
    if labelled:
        what = "planned requests per second" if curves[0].ramp.open else "users at once"
        axes.set_xlabel(f"load: {what}{_scale(axes.get_xscale())}", labelpad=3)


def _scale(scale: str) -> str:
    return " (logarithmic)" if scale == "log" else ""


def _draw_throughput(axes: Axes, curves: Sequence[RampCurve], guessed: Sequence[Guess]) -> None:
    top = max([1.0, *(curve.ramp.throughput.max() for curve in curves), *(guess.value for guess in guessed)])
    axes.set_ylim(0, 1.14 * top)
    marks.number(axes.yaxis, 6)
    axes.set_ylabel("answers per second", labelpad=3)
    labels = Labels(axes)
    for curve in curves:
        throughput, turn = curve.ramp.throughput, curve.ramp.turn
        _draw_line(axes, curve, throughput)
        labels.avoid(curve.steps, throughput)
        if turn is not None and len(curve.steps) > 1:
            thin: dict[str, Any] = {"colors": curve.contender.look.colour, "linestyles": style.DOTTED, "linewidth": 1.1}
            axes.vlines(turn, 0, throughput[curve.steps == turn][0], **thin)
    if curves[0].ramp.open:
        _draw_planned(axes, labels)
    for curve in curves:
        for step in curve.doubts.get(BEHIND, [])[:1]:
            labels.put(BEHIND, (step, float(curve.ramp.throughput[curve.steps == step][0])), optional=True)
    for guess in guessed:
        labels.predict(guess.value, guess.colour)
        text = f"{guess.text}: peak {wording.number(guess.value)} requests/s"
        labels.put(text, (axes.get_xlim()[0], guess.value), color=guess.colour)


def _draw_planned(axes: Axes, labels: Labels) -> None:
    load = np.linspace(*axes.get_xlim(), 400)
    seen = load[(load >= 0) & (load <= axes.get_ylim()[1])]
    axes.plot(seen, seen, color=style.INK, linestyle=style.DOTTED, linewidth=1.0, zorder=2.5)
    labels.avoid(seen, seen)
    if seen.size:
        at = float(seen[int(0.7 * (seen.size - 1))])
        labels.put("planned rate", (at, at), to_the_left=True, color=style.GREY)


def _draw_times(axes: Axes, curves: Sequence[RampCurve]) -> None:
    times = np.concatenate([curve.percentile(q) for curve in curves for q in _PERCENTILES])
    times = times[np.isfinite(times)]
    low, high = (float(times.min()), float(times.max())) if times.size else (1.0, 1.0)
    if high > _DECADE * low:
        axes.set_yscale("log")
    axes.set_ylim((low / 1.4, high * 1.4) if high > _DECADE * low else (0, 1.12 * high))
    marks.number(axes.yaxis, 6)
    axes.set_ylabel(f"response time in ms{_scale(axes.get_yscale())}", labelpad=3)
    if not times.size:
        axes.text(0.5, 0.5, "no request was answered", transform=axes.transAxes, ha="center", va="center")
    names = []
    for curve in curves:
        look = curve.contender.look
        for q, how in zip(_PERCENTILES, ({}, {"linewidth": 1.1, "linestyle": style.DOTTED}), strict=True):
            times = curve.percentile(q)
            _draw_line(axes, curve, times, **how)
            if (end := curve.last(times)) is not None:
                text = f"p{q} {wording.ms(end[1])} ms {look.glyph} {curve.label}"
                names.append(Level(end[1], text, look.ink, x=end[0]))
    marks.name_levels(axes, names, marks.NAMES_IN)


def _draw_line(axes: Axes, curve: RampCurve, values: Floats, **how: Any) -> None:
    """Draw a curve; where a step is suspect or invalid, its marker is hollow and crossed."""
    strokes = curve.contender.look.strokes | how
    order = np.argsort(curve.steps, kind="stable")
    axes.plot(curve.steps[order], values[order], **strokes)
    at = curve.steps[curve.ramp.doubted], values[curve.ramp.doubted]
    axes.plot(*at, **strokes | {"linestyle": "none", "markerfacecolor": "white", "zorder": 3, "clip_on": False})
    axes.plot(*at, "x", color=style.INK, ms=7, markeredgewidth=1.2, zorder=4, clip_on=False)
