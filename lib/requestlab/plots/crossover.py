"""Figure: throughput against the share of waiting in a request, beside what a formula said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.comparison import Comparison, Ratio
from requestlab.comparison.wording import along, circumstances_of, found
from requestlab.errors import ConfigurationError
from requestlab.plots import inputs, style
from requestlab.plots.inputs import Contender
from requestlab.plots.marks import NAMES_IN, Curve, name_ticks, named_panel, number, prediction
from requestlab.plots.sheet import Picture, Sheet
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats

Formula = Callable[[float], float]
"""Answers per second that are expected at a share of waiting, in percent."""

_HIGH_IN, _LEFT_IN, _PREDICTION_IN = 3.6, 0.85, 0.19
_MAX_NOTES = 4
_MARGIN = 4.0


@style.applied()
def crossover(
    results: Mapping[float, Comparison], expected: Mapping[str, Formula] | None = None, predicted: float | None = None
) -> Picture:
    """Draw the throughput of each contender against the share of waiting in a request, each round a point.

    >>> results = {share: lab.compare(contenders, f"/sync/wait_and_burn/?wait={share}&burn={100 - share}", load) for
    share in (0, 90)} >>> lab.plots.crossover(results, expected={"sync": lambda share: 10.0}, predicted=30)

    `results` maps shares in percent to comparisons of the same contenders, the first of them the baseline. `expected`
    maps labels to functions of such a share that return answers per second; they are drawn dotted. `predicted` is the
    share from which on the reader expects others to be faster. Raises ConfigurationError for anything that is not so.
    """
    by_share = _by_share(results)
    curves = _curves(by_share, expected or {})
    guess = inputs.checked(predicted, "a share of waiting in percent")
    named = [_named(curve) for curve in sorted(curves, key=lambda curve: -curve.middles[-1])]

    others = [along(curve.label, curve.judged) for curve in curves[1:]]
    page = Sheet(f"Against {curves[0].label}, by the share of waiting: {wording.joined(others)}")
    page.space(_PREDICTION_IN * (guess is not None))
    axes = named_panel(page, _HIGH_IN, named, _LEFT_IN)
    _set_axes(axes, curves, guess)
    for curve in curves:
        _draw(axes, curve)
    if guess is not None:
        prediction(axes, guess, f"your prediction: faster from {guess:g} % on")
    page.explain(*_explained(curves))
    told = circumstances_of({_percent(share): result for share, result in by_share.items()})
    return page.picture(inputs.small_print([curve.contender for curve in curves], True), list(told.items()))


# What there is to be drawn


@dataclass(frozen=True, eq=False)
class CrossoverCurve:
    """One contender over the shares: `shares` in percent, `rounds` its answers per second in each round of each share.

    `ratios` are to the baseline's, none for the baseline itself; `formula` is what was expected, or None.
    """

    contender: Contender
    shares: Floats
    rounds: Sequence[Floats]
    ratios: Sequence[Ratio]
    formula: Formula | None

    @property
    def label(self) -> str:
        return self.contender.label

    @property
    def judged(self) -> list[tuple[str, Ratio]]:
        """The shares in words, and the ratio at each; nothing for the baseline."""
        return [(_percent(share), ratio) for share, ratio in zip(self.shares.tolist(), self.ratios, strict=False)]

    @cached_property
    def middles(self) -> Floats:
        """The geometric mean over the rounds at each share; NaN where none counts."""
        return np.array([float(np.exp(np.log(each).mean())) if each.size else np.nan for each in self.rounds])

    def expected(self, shares: Floats) -> Floats:
        """Return what the formula says at these shares."""
        return np.array([float(self.formula(share)) for share in shares.tolist()] if self.formula else [])


def _percent(share: float) -> str:
    return f"{share:g} %"


def _curves(by_share: Mapping[float, Comparison], expected: Mapping[str, Formula]) -> list[CrossoverCurve]:
    results = list(by_share.values())
    first, *others = labels = results[0].labels
    checks.known_names("expected", expected, labels, "contender")
    if not all(map(callable, expected.values())):
        raise checks.wrong("expected", expected, "functions of a share in percent that return answers per second")
    runs = {label: run for one in results for label, run in inputs.first_runs(one).items()}
    if set(runs) != set(labels):
        raise ConfigurationError("crossover() has nothing to draw: no slice of some contender was measured")
    drawn = []
    for contender in inputs.gather([{label: runs[label] for label in labels}], "crossover"):
        label = contender.label
        rounds = [one.figures("throughput")[label].to_numpy(np.float64) for one in results]
        known = [each[np.isfinite(each) & (each > 0)] for each in rounds]
        ratios = [one.ratio(label, first) for one in results if label in others]
        drawn.append(CrossoverCurve(contender, np.array(list(by_share)), known, ratios, expected.get(label)))
    return drawn


def _by_share(results: object) -> dict[float, Comparison]:
    """Return the comparisons in the order of their shares; ConfigurationError for what cannot be drawn."""
    if not isinstance(results, Mapping):
        raise checks.wrong("crossover(results)", results, "a mapping such as {0: result, 90: another}")
    _, given = inputs.several(
        [results], Comparison, "crossover() takes a mapping of shares to comparisons of compare()"
    )
    shares = [checks.number("a share of waiting", share, 0, 100) for share in results]
    if len({one.labels for one in given}) > 1 or len(given[0].labels) == 1:
        raise ConfigurationError("crossover() takes comparisons of the same contenders, two at least")
    return dict(sorted(zip(shares, given, strict=True), key=lambda pair: pair[0]))


# In words


def _named(curve: CrossoverCurve) -> Curve:
    contender, end = curve.contender, (float(curve.shares[-1]), float(curve.middles[-1]))
    ratios = [f"{share}: {found(ratio)}" for share, ratio in curve.judged if ratio.interval.known]
    block = contender.block(NAMES_IN, ratios, [contender.circumstances[-1]], f"{contender.look.glyph} {curve.label}")
    return Curve(block, contender.look.colour, lambda height: end)


def _explained(curves: Sequence[CrossoverCurve]) -> Iterator[str]:
    dotted = " Dotted: what the formula says." if any(curve.formula for curve in curves) else ""
    yield (
        f"Faint points: the rounds; markers: their middle.{dotted} To the right: how many times the throughput of "
        f"{curves[0].label}, round by round, with its interval."
    )
    caveats = [(share, note) for curve in curves for share, ratio in curve.judged for note in ratio.caveats]
    for share, caveat in list(dict.fromkeys(caveats))[:_MAX_NOTES]:
        yield f"Against it speaks: at {share}, {caveat}."


# Drawing


def _set_axes(axes: Axes, curves: Sequence[CrossoverCurve], guess: float | None) -> None:
    shares = curves[0].shares
    ends = [*shares.tolist(), *([] if guess is None else [guess])]
    axes.set_xlim(min(ends) - _MARGIN, max(ends) + _MARGIN)
    name_ticks(axes, shares.tolist(), [_percent(share) for share in shares])
    axes.set_xlabel("share of waiting in a request; the rest is computing", labelpad=3)
    every = np.concatenate([part for curve in curves for part in (*curve.rounds, curve.expected(shares))])
    axes.set_yscale("log")
    axes.set_ylim(float(every.min()) / 1.35, float(every.max()) * 1.35)
    number(axes.yaxis)
    axes.set_ylabel("answers per second (logarithmic)", labelpad=3)
    axes.grid(axis="both", linewidth=0.6, color=style.PALE)


def _draw(axes: Axes, curve: CrossoverCurve) -> None:
    look = curve.contender.look
    for share, each in zip(curve.shares.tolist(), curve.rounds, strict=True):
        axes.plot([share] * len(each), each, look.marker, color=look.colour, alpha=0.25, ms=4, markeredgewidth=0)
    axes.plot(curve.shares, curve.middles, **look.strokes, zorder=3)
    if curve.formula:
        fine = np.linspace(curve.shares[0], curve.shares[-1], 200)
        axes.plot(fine, curve.expected(fine), color=look.colour, linestyle=style.DOTTED, linewidth=1.5, zorder=2)
