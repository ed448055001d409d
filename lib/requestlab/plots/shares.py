"""What the figure of the crossover has to show: for each contender its throughput over the share of waiting."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from requestlab.comparison.comparison import CANNOT_TELL, FASTER, SLOWER, Comparison, Ratio
from requestlab.errors import ConfigurationError
from requestlab.plots.inputs import Contender, gather
from requestlab.plots.ratio_rows import first_runs
from requestlab.plots.ratio_words import times
from requestlab.system import wording
from requestlab.trace.activity import Floats

Formula = Callable[[float], float]
"""Answers per second that are expected at a share of waiting, in percent."""


@dataclass(frozen=True, eq=False)
class CrossoverCurve:
    """One contender over the shares: `shares` in percent, `rounds` its answers per second in each round of each share.

    `ratios` are to the baseline's, None for the baseline itself; `formula` is what was expected, or None.
    """

    contender: Contender
    shares: Floats
    rounds: Sequence[Floats]
    ratios: Sequence[Ratio | None]
    formula: Formula | None

    @property
    def label(self) -> str:
        return self.contender.label

    @cached_property
    def middles(self) -> Floats:
        """The geometric mean over the rounds at each share; NaN where none counts."""
        return np.array([float(np.exp(np.log(each).mean())) if each.size else np.nan for each in self.rounds])

    def expected(self, shares: Floats) -> Floats:
        """Return what the formula says at these shares."""
        assert self.formula is not None
        return np.array([float(self.formula(share)) for share in shares.tolist()])

    def where(self, verdict: str) -> list[float]:
        """Return the shares with that verdict on it."""
        return [
            share
            for share, ratio in zip(self.shares.tolist(), self.ratios, strict=True)
            if ratio is not None and ratio.verdict == verdict
        ]

    @property
    def finding(self) -> str:
        """Where it is slower and where it is faster than the baseline, in words that follow the label."""
        if all(ratio is None for ratio in self.ratios):
            return "is what the others are compared with"
        parts = []
        if slower := self.where(SLOWER):
            parts.append(f"slower at {percents(slower)}")
        if unknown := self.where(CANNOT_TELL):
            parts.append(f"not told apart at {percents(unknown)}")
        if faster := self.where(FASTER):
            most = max(ratio.value for ratio in self.ratios if ratio is not None and ratio.verdict == FASTER)
            parts.append(f"faster at {percents(faster)} ({'up to ' if len(faster) > 1 else ''}{times(most)} times)")
        return "is " + ", ".join(parts)


def percents(shares: Sequence[float]) -> str:
    """Return shares in words: `50 %`, `0 % and 50 %`, `0 %, 50 % and 90 %`."""
    said = [f"{share:g}\N{NO-BREAK SPACE}%" for share in shares]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def courses(
    results: object, expected: Mapping[str, Formula] | None
) -> tuple[list[CrossoverCurve], dict[float, Comparison]]:
    """Return the contenders over the shares, the baseline first, and the comparisons in the order of their shares."""
    by_share = _by_share(results)
    labels = next(iter(by_share.values())).labels
    firsts = {label: run for one in by_share.values() for label, run in first_runs(one).items()}
    if set(firsts) != set(labels):
        raise ConfigurationError("crossover() has nothing to draw: no slice of some contender was measured")
    formulas = _formulas(expected, labels)
    shares = np.array(list(by_share))
    found = []
    for contender in gather([{label: firsts[label] for label in labels}], "crossover"):
        label = contender.label
        rounds = [one.figures("throughput")[label].to_numpy(np.float64) for one in by_share.values()]
        ratios = [None if label == labels[0] else one.ratio(label, labels[0]) for one in by_share.values()]
        known = [each[np.isfinite(each) & (each > 0)] for each in rounds]
        found.append(CrossoverCurve(contender, shares, known, ratios, formulas.get(label)))
    return found, by_share


def title(found: Sequence[CrossoverCurve]) -> str:
    """Say of each contender where it is slower and where it is faster than the baseline."""
    others = [f"{course.label} {course.finding}" for course in found[1:]]
    return f"Against {found[0].label}, by the share of waiting: {wording.joined(others)}"


def _by_share(results: object) -> dict[float, Comparison]:
    given = dict(results) if isinstance(results, Mapping) else {}
    if not given or not all(_is_share(share) and isinstance(one, Comparison) for share, one in given.items()):
        raise ConfigurationError(
            "crossover() takes a mapping of shares of waiting, in percent, to comparisons of compare(), such as "
            f"{{0: result, 90: another}}, not {results!r}"
        )
    if len({one.labels for one in given.values()}) > 1:
        raise ConfigurationError("crossover() takes comparisons of the same contenders; these differ")
    if len(next(iter(given.values())).labels) == 1:
        raise ConfigurationError("crossover() needs two contenders; these comparisons have one")
    return {float(share): given[share] for share in sorted(given)}


def _is_share(share: object) -> bool:
    return isinstance(share, numbers.Real) and not isinstance(share, bool) and 0 <= float(share) <= 100


def _formulas(expected: Mapping[str, Formula] | None, labels: Sequence[str]) -> dict[str, Formula]:
    formulas = dict(expected or {})
    for label, formula in formulas.items():
        if label not in labels or not callable(formula):
            raise ConfigurationError(
                f"expected has {label!r}: {formula!r}; it maps contenders ({', '.join(labels)}) to functions of a share of "
                "waiting in percent, which return answers per second"
            )
    return formulas
