"""Figure: throughput against the share of waiting in a request, beside what a formula said of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import takewhile

import numpy as np
from matplotlib.axes import Axes

from requestlab.comparison.comparison import CANNOT_TELL, FASTER, SLOWER, Comparison, Ratio
from requestlab.comparison.wording import brief, circumstances_of, found
from requestlab.errors import ConfigurationError
from requestlab.plots import inputs, style
from requestlab.plots.guesses import remembered
from requestlab.plots.inputs import Contender
from requestlab.plots.marks import NAMES_IN, Curve, name_ticks, named_panel, number, prediction, x_in
from requestlab.plots.sheet import POINTS_PER_INCH, Line, Picture, Sheet, size_in
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats

Formula = Callable[[float], float]
"""Answers per second that are expected at a share of waiting, in percent."""

_HIGH_IN, _LEFT_IN, _PREDICTION_IN = 3.6, 0.85, 0.19
_MAX_NOTES = 4
_MARGIN, _BESIDE = 4.0, 0.9  # percent: beyond the shares, and between curves that would lie on each other
_NEAR = 20.0
"""So many percent may lie between two shares, for the crossing between them to be given as a number."""


@remembered
@style.applied()
def crossover(
    results: Mapping[float, Comparison], expected: Mapping[str, Formula] | None = None, predicted: float | None = None
) -> Picture:
    """Draw the throughput of each contender against the share of waiting in a request, each round a point.

    >>> results = {}
    >>> for share in (0, 90):
    ...     path = f"/sync/wait_and_burn/?wait={share}&burn={100 - share}"
    ...     results[share] = lab.compare({"sync": lab.SYNC, "threads": lab.THREADS}, path, lab.closed(4), rounds=4)
    >>> lab.plots.crossover(results, expected={"sync": lambda share: 10.0}, predicted=30)

    `results` maps shares in percent to comparisons of the same contenders, the first of them the baseline. `expected`
    maps labels to functions of such a share that return answers per second; they are drawn dotted. `predicted` is the
    share from which on the reader expects others to be faster. Raises ConfigurationError for anything that is not so.
    """
    by_share = _by_share(results)
    curves = _curves(by_share, expected or {})
    guess = inputs.checked(predicted, "a share of waiting in percent")
    named = [_named(curve) for curve in sorted(curves, key=lambda curve: -curve.middles[-1])]

    page = Sheet(finding(curves))
    page.space(_PREDICTION_IN * (guess is not None))
    axes = named_panel(page, _HIGH_IN, named, _LEFT_IN)
    _set_axes(axes, curves, guess)
    for i, curve in enumerate(curves):
        _draw(axes, curve, (i - (len(curves) - 1) / 2) * _BESIDE)
    _name_crossings(axes, curves)
    if guess is not None:
        prediction(axes, guess, f"your prediction: faster from {guess:g}% on")
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

    @cached_property
    def crossing(self) -> tuple[float, float, float] | None:
        """The shares up to which it is slower than the baseline, near which it is as fast, and from which on it is
        faster; None where that is not so."""
        verdicts = {share: ratio.verdict for share, ratio in zip(self.shares.tolist(), self.ratios, strict=False)}
        slower, faster = ([share for share, found in verdicts.items() if found == word] for word in (SLOWER, FASTER))
        if not slower or not faster or max(slower) > min(faster):
            return None
        low, high = max(slower), min(faster)
        between = (self.shares >= low) & (self.shares <= high)
        values = np.log([ratio.value for ratio in self.ratios])[between]
        return low, float(np.interp(0.0, np.sort(values), self.shares[between])), high

    @property
    def crosses(self) -> str:
        """Where it crosses the baseline, in words: `near 15%`, `between 0 and 50%`; empty where it does not."""
        if self.crossing is None:
            return ""
        low, middle, high = self.crossing
        return f"near {middle:.0f}%" if high - low <= _NEAR else f"between {low:g} and {high:g}%"

    def expected(self, shares: Floats) -> Floats:
        """Return what the formula says at these shares."""
        return np.array([float(self.formula(share)) for share in shares.tolist()] if self.formula else [])


def _percent(share: float) -> str:
    return f"{share:g}%"


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


def finding(curves: Sequence[CrossoverCurve]) -> str:
    """Say where each contender crosses the baseline, how it fares at each share, or from which share on it is
    faster."""
    said: dict[str, list[str]] = {}
    for curve in curves[1:]:
        said.setdefault(_fares(curve, curves[0].label), []).append(curve.label)
    told = "; ".join(f"{wording.listed(labels)}{_verb(how, len(labels))}" for how, labels in said.items())
    long = [f"{told} of waiting" if told.endswith("%") else told, told] if "" not in said else []
    return brief(*long, *_first_faster(curves))


def _first_faster(curves: Sequence[CrossoverCurve]) -> Iterator[str]:
    """Yield from which share on each contender is faster, at ever less length."""
    said: dict[str, list[str]] = {}
    for curve in curves[1:]:
        faster = len(list(takewhile(lambda ratio: ratio.verdict == FASTER, reversed(curve.ratios))))
        said.setdefault(f"from {curve.shares[-faster]:g}% on" if faster else "nowhere", []).append(curve.label)
    each = "; ".join(f"{wording.listed(labels)} {where}" for where, labels in said.items())
    yield f"Faster than {curves[0].label} where a request waits – {each}"
    yield f"Faster than {curves[0].label} – {each}"
    yield f"Who is faster than {curves[0].label} depends on the share of waiting"


def _verb(how: str, number: int) -> str:
    crossing = how.startswith("crosses")
    return f" {how.replace('crosses', 'cross', 1) if number > 1 else how}" if crossing else f": {how}"


def _fares(curve: CrossoverCurve, baseline: str) -> str:
    if curve.crosses:
        return f"crosses {baseline} {curve.crosses}"
    verdicts = [ratio.verdict for ratio in curve.ratios]
    if len(set(verdicts)) > 1:
        return ""
    return f"{verdicts[0]}{'' if verdicts[0] == CANNOT_TELL else f' than {baseline}'} at each share"


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
    foot = 2.0 if any(curve.crosses for curve in curves[1:]) else 1.35  # where it is named
    axes.set_ylim(float(every.min()) / foot, float(every.max()) * 1.35)
    number(axes.yaxis)
    axes.set_ylabel("answers per second (logarithmic)", labelpad=3)
    axes.grid(axis="both", linewidth=0.6, color=style.PALE)


def _draw(axes: Axes, curve: CrossoverCurve, beside: float) -> None:
    look = curve.contender.look
    for share, each in zip(curve.shares.tolist(), curve.rounds, strict=True):
        axes.plot(
            [share + beside] * len(each), each, look.marker, color=look.colour, alpha=0.25, ms=4, markeredgewidth=0
        )
    axes.plot(curve.shares + beside, curve.middles, **look.strokes, zorder=3)
    if curve.formula:
        fine = np.linspace(curve.shares[0], curve.shares[-1], 200)
        axes.plot(fine, curve.expected(fine), color=look.colour, linestyle=style.DOTTED, linewidth=1.5, zorder=2)


def _name_crossings(axes: Axes, curves: Sequence[CrossoverCurve]) -> None:
    """Circle where curves cross that of the baseline, and say so at the foot of the panel."""
    first, *others = curves
    for row, crosses in enumerate(dict.fromkeys(curve.crosses for curve in others if curve.crosses)):
        whose = [curve for curve in others if curve.crosses == crosses]
        x = float(np.mean([curve.crossing[1] for curve in whose if curve.crossing]))
        y = float(np.exp(np.interp(x, first.shares, np.log(first.middles))))
        axes.plot(x, y, "o", markerfacecolor="none", color=style.INK, ms=13, markeredgewidth=1.3, zorder=4)
        axes.vlines(x, axes.get_ylim()[0], y, colors=style.INK, linestyles=style.DOTTED, linewidth=1.1)
        who = "" if len(whose) == len(others) else f"{wording.listed([curve.label for curve in whose])} "
        line = Line(f"{who}{'cross' if len(whose) > 1 else 'crosses'} {crosses}", bold=True)
        at_in = min(x_in(axes, x) + 0.06, size_in(axes)[0] - line.wide_in)
        paper = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 1.0}
        place = (at_in * POINTS_PER_INCH, 5 + (line.high_in * POINTS_PER_INCH + 1) * row)
        axes.annotate(line.text, (0, 0), place, "axes fraction", "offset points", bbox=paper, **line.font)
