"""The arithmetic of verdicts: what several rounds say, as an interval, and what the interval says.

The round is the unit of replication. Requests within one run are alike because they share a moment of the machine;
rounds do not. So each round gives one figure, and the interval is that of the mean over the rounds.

All intervals are anytime-valid: with the stated confidence, the truth is in the intervals after 4, 5, 6 and all later
rounds at once. So it is no cheating to look after each round, and to stop when one likes what one sees. Student's t
holds for one number of rounds only, which was fixed before the first.

They are the t-test's own confidence sequence: Lai, On confidence sequences (Annals of Statistics 4, 1976), in the form
of Wang and Ramdas, Anytime-valid t-tests and confidence sequences for Gaussian means with unknown variance (Sequential
Analysis, 2025). Let S be the sum and V the sum of squares of n figures, each less the mean that is tried. Where that is
the true mean of independent normal figures,

    √(c² / (n + c²)) · ((n + c²) V / ((n + c²) V - S²))^(n / 2)

is a martingale, which ever reaches 1 / α with a probability of α at most (Ville's inequality). The interval is of all
means for which it is below that.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import optimize, special  # not scipy.stats, which takes half a second to load, and asks these functions

from requestlab.errors import ConfigurationError
from requestlab.system import checks

MAX_FIGURES = 1_000_000

Figures = Sequence[float] | np.ndarray
"""One figure a round; NaN where there is none."""

CONFIDENCE = 0.99
"""Of each interval. A comparison looks at five figures: with 99% each, at least 95% of comparisons are right in all
five (Bonferroni's inequality)."""

FALSE_ALARMS = 0.05
"""The largest share of comparisons of a thing with itself that may call a winner in any of their figures."""

MIN_ROUNDS = 4
"""With fewer there is no interval: no mean is out of the question yet."""

MIXTURE = 0.1
"""The c² above: a small one is for large effects, in units of the scatter between rounds. After 4, 5, 6, 8, 12, 20 and
60 rounds, the interval reaches 6.9, 3.8, 2.8, 2.1, 1.4, 1.0 and 0.54 standard deviations to either side. With c² = 1 it
would have no end before the sixth round, and be a twentieth narrower after the twelfth."""

SCATTER_PRIOR = 0.1
"""Shape of the gamma distribution that the precision is mixed over in `scatter`."""

DEPENDENT = 0.01
"""Rounds follow each other, and are not independent, where they are more like their neighbours than all but this share
of independent ones."""


@dataclass(frozen=True)
class Interval:
    """An estimate: `value`, and the bounds `low` and `high` of its interval, from so many `rounds`.

    All three are NaN where there is no evidence; then `why` says what is missing. `caveats` speak against any verdict
    on it. `dependence` is the correlation of neighbouring rounds where that is no chance, and the interval is wider for
    it; else 0. `held_up` says what else it is wider for.

    >>> lab.interval([1.2, 1.3, 1.25, 1.22, 1.27]).low
    """

    value: float
    low: float
    high: float
    rounds: int
    confidence: float = CONFIDENCE
    why: str = ""
    caveats: tuple[str, ...] = ()
    dependence: float = 0.0
    held_up: str = ""

    @property
    def known(self) -> bool:
        """Whether there are bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def width(self) -> float:
        """How far the bounds of a ratio lie apart: high / low - 1."""
        return self.high / self.low - 1 if self.known and self.low > 0 else math.inf

    @property
    def dependent(self) -> str:
        """Whether neighbouring rounds were alike, and what follows, in words; empty: they were not."""
        if not self.dependence:
            return ""
        return f"rounds were like their neighbours (correlation {self.dependence:.2f}), and the interval is wider"

    def __str__(self) -> str:
        if not self.known:
            return f"unknown ({self.why})" if self.why else "unknown"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def interval(values: Figures, *, baseline: Figures | None = None) -> Interval:
    """Return the mean of one figure per round with its interval, in the order of the rounds; those without a figure
    (NaN) do not count.

    With `baseline`, a figure per round of something else, it is how many times as much they are: see `ratio`.

    >>> lab.interval([12.1, 11.9, 12.3, 12.0, 12.2], baseline=[6.0, 6.1, 5.9, 6.0, 6.2])
    """
    return _interval(_known(values)) if baseline is None else ratio(values, baseline)


def ratio(over: Figures, under: Figures) -> Interval:
    """Return how many times `over` is `under`, from their figures round by round.

    The interval is that of the mean log-ratio, carried back: its value is the geometric mean of the rounds' ratios.
    Rounds in which one of the two has no figure, or none above 0, do not count.
    """
    above, below = _figures(over), _figures(under)
    if above.shape != below.shape:
        raise ConfigurationError(
            f"a ratio is one of as many rounds on both sides, not of {len(above)} and {len(below)}"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(above) - np.log(below)
    found = _interval(_known(logs))
    value, low, high = map(float, np.exp((found.value, found.low, found.high)))
    return replace(found, value=value, low=low, high=high)


def scatter(values: Figures) -> Interval:
    """Return the standard deviation of one figure per round, with its interval: anytime-valid, too.

    Each figure's distance from the mean of those before, brought to one scale, is normal and independent of the others
    (Helmert). The martingale is their likelihood, averaged over a gamma distribution of the precision around the one
    that is tried, over that of the one that is tried.
    """
    known = _known(values)
    found, count = _interval(known), len(known)
    deviation, free = float(known.std(ddof=1)) if count > 1 else math.nan, count - 1
    if count < MIN_ROUNDS:
        return replace(found, value=deviation)
    low, high = (deviation * math.sqrt(free / squares) if squares else math.inf for squares in reversed(_squares(free)))
    return Interval(deviation, low, high, count)


def reach(rounds: int) -> float:
    """Return how far an interval reaches to either side of its middle, in standard deviations between rounds; infinite
    with too few rounds."""
    wide = rounds + MIXTURE
    most = (wide / (MIXTURE * (1 - CONFIDENCE) ** 2)) ** (1 / rounds)
    left = wide - most * MIXTURE
    return math.sqrt((most - 1) * wide / left * (rounds - 1) / rounds) if left > 0 else math.inf


def rounds_for(half: float, deviation: float, most: int) -> int | None:
    """Return after how many rounds an interval reaches no further than `half`, with such a standard deviation between
    them; None where that takes more than `most`."""
    return next((n for n in range(MIN_ROUNDS, most + 1) if reach(n) * deviation <= half), None)


def chi_squared(share: float, freedom: int) -> float:
    """Return the value that such a share of the chi-squared distribution lies below."""
    return float(special.chdtri(freedom, 1 - share))


def _squares(freedom: int) -> tuple[float, float]:
    """Return the least and the largest sum of squares, over the variance, of so many normal figures that cannot be
    ruled out."""
    prior = SCATTER_PRIOR
    constant = special.gammaln(prior + freedom / 2) - special.gammaln(prior) + prior * math.log(prior)

    def evidence(squares: float) -> float:
        against = constant - (prior + freedom / 2) * math.log(prior + squares / 2) + squares / 2
        return float(against + math.log(1 - CONFIDENCE))

    low = optimize.brentq(evidence, 0.0, freedom) if evidence(0.0) > 0 else 0.0
    return low, optimize.brentq(evidence, freedom, 100 * freedom + 100)


def _interval(values: np.ndarray) -> Interval:
    count = len(values)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0, why="no round has a figure")
    middle = float(values.mean())
    if count < MIN_ROUNDS:
        why = f"{count} {'round has' if count == 1 else 'rounds have'} a figure, and an interval needs {MIN_ROUNDS}"
        return Interval(middle, math.nan, math.nan, count, why=why)
    alike = _dependence(values)
    half = reach(count) * float(values.std(ddof=1)) * math.sqrt((1 + alike) / (1 - alike))
    return Interval(middle, middle - half, middle + half, count, dependence=alike)


def _dependence(values: np.ndarray) -> float:
    """Return the correlation of neighbouring rounds, at most 0.9, where it is no chance; else 0.

    That of n independent rounds is nearly normal, with mean -1/n and variance (n - 2)² / (n² (n - 1)): Moran, Some
    theorems on time series II (Biometrika 35, 1948). The variance of a mean of rounds that follow each other so is
    larger by (1 + r) / (1 - r).
    """
    count, apart = len(values), values - values.mean()
    squares = float(apart @ apart)
    if squares == 0 or count <= MIN_ROUNDS:
        return 0.0
    found = float(apart[1:] @ apart[:-1]) / squares
    chance = -1 / count + (count - 2) / (count * math.sqrt(count - 1)) * float(special.ndtri(1 - DEPENDENT))
    return min(found, 0.9) if found > chance else 0.0


def _known(values: Figures) -> np.ndarray:
    given = _figures(values)
    return np.extract(np.isfinite(given), given)


def _figures(values: Any) -> np.ndarray:
    """Return figures as floats, shape (rounds,); raises ConfigurationError for what are none."""
    try:
        several = isinstance(values, Sequence) or inspect.getattr_static(values, "__array__", None)
        if several and not isinstance(values, str | bytes) and len(values) <= MAX_FIGURES:
            given = np.asarray(values, dtype=float)
            if given.ndim == 1:
                return given
    except (TypeError, ValueError, OverflowError):
        pass
    raise checks.wrong("interval(values)", values, f"a list of numbers, one a round, at most {MAX_FIGURES:,}")
