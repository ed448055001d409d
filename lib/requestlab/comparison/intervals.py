"""The arithmetic of verdicts: what several rounds say, as an interval, and what the interval says.

The round is the unit of replication. Requests within one run are alike because they share a moment of the machine;
rounds do not. So each round gives one figure, and Student's t over the rounds gives the interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import special  # not scipy.stats, which takes half a second to load, and asks these functions

Figures = Sequence[float] | np.ndarray
"""One figure a round; NaN where there is none."""

CONFIDENCE = 0.99
"""Of each interval. A comparison looks at five figures: with 99 % each, at least 95 % of comparisons are right in all
five (Bonferroni's inequality)."""

FALSE_ALARMS = 0.05
"""The largest share of comparisons of a thing with itself that may call a winner in any of their figures."""

MIN_ROUNDS = 4
"""With fewer, no interval is given: t with one or two degrees of freedom says nothing that is of use."""

_SURE = (1 + CONFIDENCE) / 2
"""The quantile at one end of an interval."""


@dataclass(frozen=True)
class Interval:
    """An estimate: `value`, and the bounds `low` and `high` of its interval, from so many `rounds`.

    All three are NaN where there is no evidence; then `why` says what is missing. `caveats` speak against any verdict
    on it.
    """

    value: float
    low: float
    high: float
    rounds: int
    confidence: float = CONFIDENCE
    why: str = ""
    caveats: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether there are bounds."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def width(self) -> float:
        """How far the bounds of a ratio lie apart: high / low - 1."""
        return self.high / self.low - 1 if self.known and self.low > 0 else math.inf

    def __str__(self) -> str:
        if not self.known:
            return f"unknown ({self.why})" if self.why else "unknown"
        return f"{self.value:.3g} ({self.low:.3g} to {self.high:.3g})"


def interval(values: Figures, *, baseline: Figures | None = None) -> Interval:
    """Return the mean of one figure per round with its interval by Student's t; rounds without a figure (NaN) do not
    count.

    With `baseline`, a figure per round of something else, it is how many times as much they are: see `ratio`.
    """
    return _interval(_known(values)) if baseline is None else ratio(values, baseline)


def ratio(over: Figures, under: Figures) -> Interval:
    """Return how many times `over` is `under`, from their figures round by round.

    The interval is that of the mean log-ratio, by Student's t, carried back: its value is the geometric mean of the
    rounds' ratios. Rounds in which one of the two has no figure, or none above 0, do not count.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.asarray(over, dtype=float)) - np.log(np.asarray(under, dtype=float))
    found = _interval(_known(logs))
    value, low, high = map(math.exp, (found.value, found.low, found.high))
    return replace(found, value=value, low=low, high=high)


def scatter(values: Figures) -> Interval:
    """Return the standard deviation of one figure per round, with its interval by the chi-squared distribution."""
    known = _known(values)
    if len(known) < MIN_ROUNDS:
        return _interval(known)
    found, free = float(known.std(ddof=1)), len(known) - 1
    low, high = (found * math.sqrt(free / chi_squared(share, free)) for share in (_SURE, 1 - _SURE))
    return Interval(found, low, high, len(known))


def students_t(share: float, freedom: int) -> float:
    """Return the value that such a share of Student's t distribution lies below."""
    return float(special.stdtrit(freedom, share))


def chi_squared(share: float, freedom: int) -> float:
    """Return the value that such a share of the chi-squared distribution lies below."""
    return float(special.chdtri(freedom, 1 - share))


def _interval(values: np.ndarray) -> Interval:
    count = len(values)
    if count == 0:
        return Interval(math.nan, math.nan, math.nan, 0, why="no round has a figure")
    middle = float(values.mean())
    if count < MIN_ROUNDS:
        why = f"{count} rounds have a figure, and an interval needs {MIN_ROUNDS}"
        return Interval(middle, math.nan, math.nan, count, why=why)
    half = float(students_t(_SURE, count - 1) * values.std(ddof=1) / math.sqrt(count))
    return Interval(middle, middle - half, middle + half, count)


def _known(values: Figures) -> np.ndarray:
    given = np.asarray(values, dtype=float)
    return np.extract(np.isfinite(given), given)
