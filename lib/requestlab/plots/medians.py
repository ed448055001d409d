"""Figure: one time of each contender as a bar, with its number."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.comparison import CANNOT_TELL, Comparison
from requestlab.comparison.intervals import CONFIDENCE, Interval, interval
from requestlab.comparison.wording import PHRASES, brief, circumstances
from requestlab.errors import ConfigurationError
from requestlab.plots import inputs, marks, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender, Predicted, Runs
from requestlab.plots.sheet import AXIS_IN, MARGIN_IN, Line, Picture, Sheet, height_in, lines, size_in, write_at
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats

METRICS = ("p50", "p95", "p99", "cpu_per_request")
"""What is drawn: names of `comparison.METRICS` that are times."""

_NAME_IN, _RIGHT_IN, _BAR_IN, _APART_IN, _PREDICTION_IN = 2.4, 2.0, 0.34, 0.14, 0.19
_NEAR, _FAR = 1.25, 2.0  # as much longer than the shortest is still short; and so many times longer is long
_LOOK = style.SeriesStyle(style.INK, "|")


@dataclass(frozen=True, eq=False)
class Bar:
    """One contender: its time with the interval, and that of each round, in ms; a run has one of these alone."""

    contender: Contender
    time: Interval
    rounds: Floats

    @property
    def text(self) -> str:
        """Its number."""
        return f"{wording.ms(self.time.value)} ms"


@remembered
@style.applied()
def medians(*given: Runs | Comparison, predicted: Predicted = None, metric: str = "p50") -> Picture:
    """Draw the median of the response time as a bar for each run, or for each contender of a comparison, in ms.

    >>> lab.plots.medians({"in turn": one, "at once": other}, predicted={"at once": 20})

    Takes runs, or one mapping of labels to runs, or one comparison, whose bars have the interval over its rounds.
    `predicted` is the time in ms that the reader expects, for all or by label. `metric` is another time to draw: one of
    `METRICS`. Raises ConfigurationError for anything that is not so, and where there is no figure.
    """
    checks.one_of("metric", metric, METRICS)
    result = given[0] if len(given) == 1 and isinstance(given[0], Comparison) else None
    runs = [inputs.first_runs(result)] if result is not None else given
    contenders = inputs.gather(runs, "medians", predicted=predicted, what="a time in ms")  # type: ignore[arg-type]
    drawn = [_bar(contender, metric, result) for contender in contenders]

    page = Sheet(finding(drawn, metric, result))
    names = [lines(f"{c.look.glyph} {c.label}", _NAME_IN, style.HEADING_PT, c.look.ink, bold=True) for c in contenders]
    heights_in = [
        max(_BAR_IN + _PREDICTION_IN * (one.contender.predicted is not None), height_in(name)) + _APART_IN
        for one, name in zip(drawn, names, strict=True)
    ]
    left_in = MARGIN_IN + 0.15 + max(line.wide_in for name in names for line in name)
    axes, places = marks.rows(page, heights_in, left_in, _RIGHT_IN, below_in=AXIS_IN)
    ends = [[*one.rounds, one.time.high if one.time.known else 0.0, one.contender.predicted or 0.0] for one in drawn]
    axes.set_xlim(0, 1.03 * max(map(max, ends)))
    marks.number(axes.xaxis)
    axes.set_xlabel(f"{PHRASES[metric].heading} in ms", labelpad=3)
    for one, name, (_, bottom) in zip(drawn, names, places, strict=True):
        _draw(axes, one, name, bottom - _APART_IN / 2, MARGIN_IN - left_in)
    rounds = f"Faint points: the rounds. Black line: the {CONFIDENCE:.0%} interval over them."
    page.explain(rounds if result is not None else "Each bar is one run.")
    details = inputs.details(contenders) if result is None else list(circumstances(result).items())
    return page.picture(inputs.small_print(contenders), details)


def finding(drawn: Sequence[Bar], metric: str, result: Comparison | None) -> str:
    """Say which is the shortest and which the longest time, or which are short where all others are far longer; or that
    a comparison cannot tell."""
    ranked = sorted(drawn, key=lambda one: one.time.value)
    first, last = ranked[0], ranked[-1]
    if len(drawn) == 1:
        return f"{first.contender.label}: {first.text}"
    short, long = first.contender, last.contender
    heading = PHRASES[metric].heading.partition(" (")[0]
    what = f"{heading[:1].upper()}{heading[1:]}" if metric == "p50" else heading
    told = f"{what}: {first.text} {short.under}, {last.text} {long.under}"
    if result is not None and result.ratio(short.label, long.label, metric).verdict == CANNOT_TELL:
        which = f"{CANNOT_TELL} which is faster"
        return brief(f"{told}; {which}", f"{which.capitalize()}: {short.label} or {long.label}", which.capitalize())
    near = [one for one in ranked if one.time.value < _NEAR * first.time.value]
    far = ranked[len(near) :]
    if 1 < len(near) < len(ranked) - 1 and far[0].time.value > _FAR * near[-1].time.value:
        named = wording.listed([one.contender.label for one in near])
        groups = f"{first.text} under {named}; others at least {far[0].text}"
        return brief(f"{what}: {groups}", groups, told)
    return brief(told, f"{what}: from {first.text} to {last.text}")


def _bar(contender: Contender, metric: str, result: Comparison | None) -> Bar:
    evident = metric == "cpu_per_request" or int(metric[1:]) in contender.marked
    alone = [contender.run.summary[metric] if evident else None]
    figures = alone if result is None else result.figures(metric)[contender.label]
    rounds = np.array([np.nan if figure is None else figure for figure in figures], dtype=np.float64)
    rounds = rounds[np.isfinite(rounds)]
    if not len(rounds):
        raise ConfigurationError(f"medians(): there is no {metric} of {contender.label}: too few answers, or none")
    return Bar(contender, interval(rounds.tolist()), rounds)


def _draw(axes: Axes, one: Bar, name: Sequence[Line], bottom: float, name_at_in: float) -> None:
    top, look, guess = bottom - _BAR_IN, one.contender.look, one.contender.predicted
    middle = (top + bottom) / 2
    marks.bars(axes, 0.0, one.time.value, top, bottom, **look.bar)
    if len(one.rounds) > 1:
        marks.estimate(axes, middle, one.time, one.rounds, _LOOK, half_in=_BAR_IN / 2 - 0.05)
    if guess is not None:
        marks.prediction(axes, guess, f"your prediction: {wording.number(guess)} ms", span=(top - 0.03, bottom + 0.03))
    interval_of = [f"{wording.ms(one.time.low)} to {wording.ms(one.time.high)}"] if one.time.known else []
    write_at(axes, name, middle, name_at_in)
    beside = [Line(one.text, style.HEADING_PT, bold=True), *lines(interval_of, _RIGHT_IN)]
    write_at(axes, beside, middle, size_in(axes)[0] + 0.12)
