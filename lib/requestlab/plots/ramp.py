"""Figure: throughput and response time against load, and where throughput stops growing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from requestlab.errors import ConfigurationError
from requestlab.measurement.ramp import GROWTH, Ramp
from requestlab.measurement.validity import TAIL
from requestlab.plots import inputs, style
from requestlab.plots.inputs import Contender, Guess, Predicted
from requestlab.plots.marks import (
    Curve,
    Floats,
    Labels,
    Level,
    name_levels,
    name_ticks,
    named_panel,
    number,
    prediction,
)
from requestlab.plots.sheet import AXIS_IN, Picture, Sheet
from requestlab.system import wording

Ramps = Ramp | Mapping[str, Ramp]
"""What the figure takes, one or several times: a ramp, or one mapping of labels to ramps."""

MAX_NOTES = 4
MAX_TOLD = 3
_LEFT_IN, _RIGHT_IN, _BESIDE_IN = 0.85, 3.4, 3.05
_MIN_IN, _TIMES_IN, _BETWEEN_IN = 2.5, 2.2, 0.2
_PERCENTILES = (50, 95)
_DECADE = 10.0
_ONCE = "One run for each step shows no more than what happened once: a verdict needs several rounds."


@style.applied()
def ramp(*ramps: Ramps, predicted: Predicted = None) -> Picture:
    """Draw throughput against load above, and p50 and p95 of the response time against load below, for each ramp.

    >>> steps = lab.measure(server, "/sync/page/", lab.closed(users=[1, 2, 5, 10, 20, 50]))
    >>> lab.plots.ramp(steps, predicted=800)

    Takes ramps, or one mapping of labels to ramps, either all of users or all of rates; else ConfigurationError. The title says
    from which load on throughput gains less than `GROWTH`, or, for open loops, up to which planned rate the answers keep up.
    Steps that are suspect or invalid are crossed. `predicted` is the highest throughput per second that the reader expects,
    for all ramps or by label.
    """
    curves = _curves(ramps)
    contenders = [curve.contender for curve in curves]
    expected = inputs.predictions(predicted, contenders, "a number of requests per second")
    named = [_named(curve) for curve in sorted(curves, key=lambda curve: -curve.last[1])]

    sheet = Sheet(finding(curves))
    upper = named_panel(sheet, _MIN_IN, named, _LEFT_IN, _RIGHT_IN, _BETWEEN_IN)
    lower = sheet.panel(max(_TIMES_IN, 0.2 * len(_PERCENTILES) * len(curves)), _LEFT_IN, _RIGHT_IN, below_in=AXIS_IN)
    for axes in (upper, lower):
        _set_load(axes, curves, labelled=axes is lower)
    _draw_throughput(upper, curves, inputs.guesses(contenders, expected))
    _draw_times(lower, curves)
    sheet.explain(*_explained(curves))
    runs = [run for curve in curves for run in curve.runs]
    return sheet.picture(inputs.small_print(contenders, circumstances=True), inputs.details(runs))


# What there is to be drawn


@dataclass(frozen=True, eq=False)
class RampCurve:
    """One ramp in the figure; `contender` is its first run, with label and look."""

    contender: Contender
    ramp: Ramp

    @property
    def label(self) -> str:
        return self.contender.label

    @property
    def open(self) -> bool:
        """Whether the steps are rates of an open loop."""
        return self.ramp.unit != "users"

    @cached_property
    def runs(self) -> list[Contender]:
        """The run of each step, labelled with its load."""
        labels = [f"{self.label}, {self.at(step)}" for step in self.ramp.steps]
        return [Contender(label, run, self.contender.look) for label, run in zip(labels, self.ramp, strict=True)]

    @cached_property
    def steps(self) -> Floats:
        """The load of each step."""
        return np.array(self.ramp.steps)

    @cached_property
    def throughput(self) -> Floats:
        """Answers per second at each step."""
        return np.array(self.ramp.throughput)

    def percentile(self, q: int) -> Floats:
        """Return a percentile of the response time at each step, in ms; NaN where there is no evidence for it."""
        return np.array([run.percentile(q) if q in run.marked else math.nan for run in self.runs])

    @cached_property
    def doubted(self) -> list[int]:
        """The positions of steps that are suspect or invalid."""
        return [i for i, run in enumerate(self.ramp) if run.summary["validity"] != "valid"]

    @property
    def last(self) -> tuple[float, float]:
        """Load and throughput at the highest load."""
        i = int(self.steps.argmax())
        return float(self.steps[i]), float(self.throughput[i])

    @property
    def turn(self) -> float | None:
        """The load that the finding is about: the knee, or up to which the answers kept up."""
        return self.ramp.kept_up if self.open else self.ramp.knee

    @property
    def finding(self) -> str:
        """Where its throughput stops growing, or how far it keeps up, in words that follow the label."""
        peak, turn, most = _rate(self.ramp.peak), self.turn, float(self.steps.max())
        if not self.ramp.peak:
            return "answered nothing"
        if self.open and turn is None:
            return f"falls behind {self.at(self.steps.min())} (peak {peak})"
        if turn is not None and self.open:
            highest = f"the highest, {self.at(most)}"
            return f"keeps up with {highest if turn == most else f'{self.at(turn)}, not with more (peak {peak})'}"
        if turn is not None:
            return f"stops growing at {self.at(turn)} (peak {peak})"
        return f"{peak} at {self.at(most)}" if len(self.steps) == 1 else f"still grows at {self.at(most)} ({peak})"

    def at(self, step: float) -> str:
        """Return a step in words: `1 user`, `200 requests/s`."""
        return f"{step:,g} requests/s" if self.open else wording.counted(int(step), "user")


def _rate(value: float) -> str:
    return f"{value:,.0f} requests/s" if value >= 9.5 else f"{value:.1f} requests/s"


def _curves(ramps: Sequence[Any]) -> list[RampCurve]:
    """Return the ramps of a figure with labels and looks; ConfigurationError for anything else, and for unlike loads."""
    mapping = ramps[0] if len(ramps) == 1 and isinstance(ramps[0], Mapping) else None
    given = list(ramps if mapping is None else mapping.values())
    wrong = ["an empty one" if isinstance(one, Ramp) and not len(one) else repr(one) for one in given]
    wrong = [what for what, one in zip(wrong, given, strict=True) if not (isinstance(one, Ramp) and len(one))]
    if wrong or not given:
        raise ConfigurationError(
            f"ramp() takes ramps, as measure() returns them for a list of users or rates, not {[*wrong, 'nothing'][0]}; or one "
            "mapping of labels to ramps"
        )
    if len({one.unit for one in given}) > 1:
        raise ConfigurationError("ramp() draws either users or requests/s on one axis, and these ramps have both")
    firsts = [one.runs[0] for one in given]
    found = inputs.gather([dict(zip(mapping, firsts, strict=True))] if mapping else firsts, "ramp")
    return [RampCurve(contender, one) for contender, one in zip(found, given, strict=True)]


# In words


def finding(curves: Sequence[RampCurve]) -> str:
    """Say where the throughput of each ramp stops growing, or how far its answers keep up; of many, who comes how far."""
    what = "Answers against the planned rate" if curves[0].open else "Throughput"
    if len(curves) <= MAX_TOLD:
        return f"{what}: {wording.joined([f'{curve.label} {curve.finding}' for curve in curves])}"
    ranked = sorted(curves, key=lambda curve: curve.ramp.peak)
    most, least = (f"{curve.ramp.peak:,.0f} requests/s under {curve.label}" for curve in (ranked[-1], ranked[0]))
    return f"{what}: of {len(curves)} peaks, the highest is {most}; the lowest is {least}"


def _named(curve: RampCurve) -> Curve:
    """Return what stands beside a curve: what it came to, what speaks against it, what was asked for."""
    contender, end = curve.contender, curve.last
    caveats = [f"crossed: {', '.join(curve.at(curve.steps[i]) for i in curve.doubted)}"] if curve.doubted else []
    span = " to ".join(dict.fromkeys(f"{step:,g}" for step in (curve.steps.min(), curve.steps.max())))
    notes = [*caveats, f"{contender.run.about.path}, {span} {curve.ramp.unit}", contender.circumstances[-1]]
    block = contender.block(_BESIDE_IN, [curve.finding], notes, f"{contender.look.glyph} {curve.label}")
    return Curve(block, contender.look.colour, lambda height: end)


def _explained(curves: Sequence[RampCurve]) -> Iterator[str]:
    rule = (
        f"“Keeps up”: no more than {GROWTH:.0%} of what was planned is missing."
        if curves[0].open
        else f"“Stops growing”: no higher load brings {GROWTH:.0%} more."
    )
    below = f"Below: p50 thick, p95 thin and dotted, where {TAIL} requests lie beyond it."
    yield f"Each point is one run. {rule} {below} {_ONCE}"
    doubted = [curve.runs[i] for curve in curves for i in curve.doubted]
    caveats = [f"× {one.label}: {one.run.summary['validity']}, {one.run.summary['reasons'][0]}." for one in doubted]
    yield from caveats[:MAX_NOTES]
    if len(caveats) > MAX_NOTES:
        yield f"× and {wording.counted(len(caveats) - MAX_NOTES, 'more step')} that are suspect or invalid."


# Drawing


def _set_load(axes: Axes, curves: Sequence[RampCurve], labelled: bool) -> None:
    """Set the axis of load: logarithmic where the steps span more than a factor of ten, with the steps as its ticks."""
    steps = np.unique(np.concatenate([curve.steps for curve in curves]))
    low, high = float(steps[0]), float(steps[-1])
    if high > _DECADE * low:
        axes.set_xscale("log")
        margin = (high / low) ** 0.04
        axes.set_xlim(low / margin, high * margin)
    else:
        margin = 0.04 * (high - low) or 0.5 * high
        axes.set_xlim(low - margin, high + margin)
    name_ticks(axes, steps.tolist(), [f"{step:,g}" for step in steps])
    axes.tick_params(labelbottom=labelled)
    axes.grid(axis="x", linewidth=0.6, color=style.PALE)
    if labelled:
        what = "planned requests per second" if curves[0].open else "users at once"
        axes.set_xlabel(f"load: {what}{_scale(axes.get_xscale())}", labelpad=3)


def _scale(scale: str) -> str:
    return " (logarithmic)" if scale == "log" else ""


def _draw_throughput(axes: Axes, curves: Sequence[RampCurve], guessed: Sequence[Guess]) -> None:
    """Draw throughput against load, the planned rate of open loops, and the reader's predictions."""
    top = max([1.0, *(float(curve.throughput.max()) for curve in curves), *(guess.value for guess in guessed)])
    axes.set_ylim(0, 1.14 * top)
    number(axes.yaxis, 6)
    axes.set_ylabel("answers per second", labelpad=3)
    labels = Labels(axes)
    for curve in curves:
        _draw_line(axes, curve, curve.throughput)
        if curve.turn is not None and len(curve.steps) > 1:
            height = float(curve.throughput[curve.steps == curve.turn][0])
            how: dict[str, Any] = {"color": curve.contender.look.colour, "linestyle": style.DOTTED, "linewidth": 1.1}
            axes.plot([curve.turn] * 2, [0, height], **how)
        labels.avoid(curve.steps, curve.throughput)
    if curves[0].open:
        _draw_planned(axes, labels)
    for guess in guessed:
        prediction(axes, guess.value, color=guess.colour, axis="y")
        labels.avoid_level(guess.value)
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
    """Draw p50 (thick) and p95 (thin, dotted) against load, each with its name at the right end."""
    times = np.concatenate([curve.percentile(q) for curve in curves for q in _PERCENTILES])
    times = times[np.isfinite(times)]
    low, high = (float(times.min()), float(times.max())) if times.size else (1.0, 1.0)
    if high > _DECADE * low:
        axes.set_yscale("log")
    axes.set_ylim((low / 1.4, high * 1.4) if high > _DECADE * low else (0, 1.12 * high))
    number(axes.yaxis, 6)
    axes.set_ylabel(f"response time in ms{_scale(axes.get_yscale())}", labelpad=3)
    if not times.size:
        axes.text(0.5, 0.5, "no request was answered", transform=axes.transAxes, ha="center", va="center")
    names = []
    for curve in curves:
        look = curve.contender.look
        for q, how in zip(_PERCENTILES, ({}, {"linewidth": 1.1, "linestyle": style.DOTTED}), strict=True):
            times = curve.percentile(q)
            _draw_line(axes, curve, times, **how)
            known = np.flatnonzero(np.isfinite(times))
            if known.size:
                last = known[curve.steps[known].argmax()]
                text = f"p{q} {wording.ms(float(times[last]))} ms {look.glyph} {curve.label}"
                names.append(Level(float(times[last]), text, look.ink, x=float(curve.steps[last])))
    name_levels(axes, names, _BESIDE_IN)


def _draw_line(axes: Axes, curve: RampCurve, values: Floats, **how: Any) -> None:
    """Draw a curve; where a step is suspect or invalid, its marker is hollow and crossed."""
    strokes = curve.contender.look.strokes | how
    order = np.argsort(curve.steps, kind="stable")
    axes.plot(curve.steps[order], values[order], **strokes)
    at = curve.steps[curve.doubted], values[curve.doubted]
    axes.plot(*at, **strokes | {"linestyle": "none", "markerfacecolor": "white", "zorder": 3, "clip_on": False})
    axes.plot(*at, "x", color=style.INK, ms=7, markeredgewidth=1.2, zorder=4, clip_on=False)
