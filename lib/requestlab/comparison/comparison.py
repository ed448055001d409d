"""The record of a comparison: every slice of every round, and what they say together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from requestlab.comparison import caveats, intervals
from requestlab.comparison.intervals import Interval
from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run
from requestlab.measurement.validity import TAIL
from requestlab.system.machine import Machine

METRICS = {"throughput": +1, "p50": -1, "p95": -1, "p99": -1, "cpu_per_request": -1}
"""What is compared, and whether more (+1) or less (-1) of it is faster."""

ALIKE = 0.03
"""Differences below this are never called: two processes of one configuration may differ by as much for as long as they live
(where their memory lies, the seed of their hashes), and no number of rounds makes that go away. `make bench` looks whether
it is enough."""

FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"


@dataclass(frozen=True)
class Slice:
    """One contender in one round. `disturbed` says what evidence from outside speaks against it, if any, and `dropped`
    whether it was left out for that."""

    round: int
    position: int
    label: str
    run: Run
    disturbed: str = ""
    dropped: bool = False


@dataclass(frozen=True)
class Ratio:
    """How many times one contender's figure is another's.

    `value`, `low` and `high` are those of `interval`; `verdict` says whether `over` is faster than `under`, slower, or that
    this cannot be told, and `reason` why. `caveats` are those of `interval`: they speak against any verdict on the two.
    """

    over: str
    under: str
    metric: str
    interval: Interval
    verdict: str
    reason: str

    @property
    def caveats(self) -> tuple[str, ...]:
        return self.interval.caveats

    @property
    def value(self) -> float:
        return self.interval.value

    @property
    def low(self) -> float:
        return self.interval.low

    @property
    def high(self) -> float:
        return self.interval.high

    def __str__(self) -> str:
        return f"{self.metric}, {self.over} / {self.under}: {self.interval}: {self.verdict}"


@dataclass(frozen=True, kw_only=True)
class ComparisonFacts:
    """What was asked of a comparison, and how it went.

    `paths`, `loads` in words, and the loads `beside` by path, are told by label. Of the limits that were fixed before, `wanted` is the
    number of rounds, `budget` in seconds and `width` are None where there were none; `stopped` says why there were no more rounds.
    `seconds` is the length of a slice, `seed` makes the same orders again.
    """

    paths: Mapping[str, str]
    loads: Mapping[str, str]
    beside: Mapping[str, Mapping[str, str]]
    seed: int
    seconds: float
    wanted: int
    budget: float | None
    width: float | None
    machine: Machine
    stopped: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several rounds of the same contenders. Made by `compare`.

    `labels` are the contenders, the first of them the baseline; `control` is the label under which the baseline took part a
    second time, or None.
    """

    slices: tuple[Slice, ...]
    labels: tuple[str, ...]
    control: str | None
    about: ComparisonFacts

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row a slice, in the order of time: `round`, `position` in it, `contender`, its figures, `errors`, `validity`,
        `reasons`, what it was `disturbed` by, and whether it was `dropped` for that."""
        rows = []
        for part in self.slices:
            summary = part.run.summary
            figures = {name: summary[name] for name in (*METRICS, "errors", "validity")}
            where = {"round": part.round, "position": part.position, "contender": part.label}
            rows.append({**where, **figures, "reasons": "; ".join(summary["reasons"])})
            rows[-1] |= {"disturbed": part.disturbed, "dropped": part.dropped}
        return pd.DataFrame(rows)

    @property
    def dropped(self) -> int:
        """How many slices do not count, because of evidence from outside."""
        return sum(part.dropped for part in self.slices)

    @property
    def dropped_why(self) -> dict[str, int]:
        """That evidence, and how many slices each kind of it took."""
        return dict(Counter(part.disturbed for part in self.slices if part.dropped))

    @property
    def disturbed(self) -> dict[str, int]:
        """Evidence against slices that count all the same, because it speaks against so many: how many, by kind."""
        return dict(Counter(part.disturbed for part in self.slices if part.disturbed and not part.dropped))

    @property
    def complete(self) -> int:
        """How many rounds count for both of the baseline and another contender: for the one with the fewest."""
        counts = self.figures("throughput").notna()
        first, *others = self._all
        return min((int((counts[first] & counts[other]).sum()) for other in others), default=int(counts[first].sum()))

    def runs(self, label: str) -> list[Run]:
        """Return the runs of one contender that count, round by round."""
        self._demand(label)
        return [part.run for part in self.slices if part.label == label and not part.dropped]

    def figures(self, metric: str) -> pd.DataFrame:
        """Return one figure of every contender, a row a round; NaN where it was dropped or has no evidence.

        A percentile needs `audit.TAIL` requests beyond it in a slice. Whether a contender has as many is decided for all of
        its slices together, by the one in the middle: to leave out rounds with few answers would be to leave out slow ones.
        """
        _one_of(metric)
        table = pd.DataFrame(index=sorted({part.round for part in self.slices}), columns=[*self._all], dtype=float)
        for part in self.slices:
            if not part.dropped:
                table.loc[part.round, part.label] = part.run.summary[metric]
        for label in self._all:
            if self._too_few(label, metric):
                table[label] = math.nan
        table.index.name = "round"
        return table

    def ratio(self, over: str, under: str, metric: str = "throughput") -> Ratio:
        """Return how many times the figure of `over` is that of `under`, with its interval and the verdict on `over`.

        Raises ConfigurationError for a contender or a metric that there is not.
        """
        self._demand(over, under)
        table = self.figures(metric)
        found = self._told(intervals.ratio(list(table[over]), list(table[under])), (over, under), metric)
        verdict, reason = _judge(found, metric)
        if kept := sum(self.disturbed.values()):
            reason += f"; {kept} of {len(self.slices)} slices were disturbed from outside and count, since so many were"
        return Ratio(over, under, metric, found, verdict, reason)

    def difference(self, over: str, under: str, metric: str = "p50") -> Interval:
        """Return by how much the figure of `over` exceeds that of `under`, in its unit, with its interval."""
        self._demand(over, under)
        table = self.figures(metric)
        return self._told(intervals.interval(list(table[over] - table[under])), (over, under), metric)

    def scatter(self, over: str, under: str, metric: str = "throughput") -> Interval:
        """Return by which factor, less 1, the ratio of two figures differs from round to round: the standard deviation of
        its logarithm, with its interval."""
        self._demand(over, under)
        table = self.figures(metric)
        return self._told(intervals.scatter(list(np.log(table[over] / table[under]))), (over, under), metric)

    def estimate(self, of: Callable[[pd.DataFrame], Sequence[float]], metric: str = "cpu_per_request") -> Interval:
        """Return a figure that is computed from those of several contenders, round by round, with its interval.

        >>> result.estimate(lambda cpu: cpu["asgi"] - cpu["sync"])

        What speaks against any of the contenders speaks against it.
        """
        return self._told(intervals.interval(list(of(self.figures(metric)))), self.labels, metric)

    def verdict(self, over: str, under: str, metric: str = "throughput") -> str:
        """Return `faster`, `slower` or `cannot tell`, of `over` against `under`."""
        return self.ratio(over, under, metric).verdict

    @property
    def resolution(self) -> Interval | None:
        """What the machine made of one configuration under two names: the ratio of their throughputs; None without control."""
        if self.control is None:
            return None
        return self.ratio(self.control, self.labels[0]).interval

    def caveats(self, label: str, metric: str = "throughput") -> list[str]:
        """Return what speaks against any verdict on this contender: its generator, its failures, its end."""
        self._demand(label)
        return list(caveats.about_one(label, self.runs(label), metric))

    def __repr__(self) -> str:
        first = self.labels[0]
        others = [str(self.ratio(label, first)) for label in self.labels[1:]]
        return f"<Comparison, {self.complete} rounds: {'; '.join(others) or first}>"

    @property
    def _all(self) -> tuple[str, ...]:
        return (*self.labels, *([self.control] if self.control else []))

    def _told(self, found: Interval, labels: Sequence[str], metric: str) -> Interval:
        """Return an interval with what speaks against it, and why it is missing where it is."""
        against = [caveat for label in labels for caveat in self.caveats(label, metric)]
        if len(labels) == 2:
            against += caveats.about_both(self, *labels)
        if self.control is not None and self.control not in labels:
            same = self.ratio(self.control, self.labels[0], metric)
            if same.verdict != CANNOT_TELL:  # a lab that tells a thing from itself cannot be believed about others
                against.append(f"the A/A control found a winner where there is none: {same.interval}")
        few = [why for label in labels if (why := self._too_few(label, metric))]
        why = "; ".join(few) if few and not found.known else found.why
        return replace(found, caveats=tuple(against), why=why)

    def _demand(self, *labels: str) -> None:
        for label in labels:
            if label not in self._all:
                raise ConfigurationError(f"there is no contender {label!r}; there are {', '.join(self._all)}")

    def _too_few(self, label: str, metric: str) -> str:
        """Say so where a percentile of this contender has too few requests beyond it; empty: it has enough."""
        if metric not in ("p95", "p99"):
            return ""
        needed = TAIL * 100 // (100 - int(metric[1:]))
        counts = [len(run.response_ms) for run in self.runs(label)]
        middle = int(np.median(counts)) if counts else 0
        if middle >= needed:
            return ""
        return (
            f"{metric} needs {needed:,} answers in a slice, and {label} gave {middle:,}: longer slices would have them"
        )


def _one_of(metric: object) -> None:
    if metric not in METRICS:
        raise ConfigurationError(f"metric={metric!r} is not known; expected one of: {', '.join(METRICS)}")


def _judge(found: Interval, metric: str) -> tuple[str, str]:
    if found.caveats:
        return CANNOT_TELL, "; ".join(found.caveats)
    if not found.known:
        return CANNOT_TELL, found.why
    if found.low > 1 + ALIKE or found.high < 1 / (1 + ALIKE):
        more = found.low > 1
        return (FASTER if more == (METRICS[metric] > 0) else SLOWER), "the interval lies on one side"
    if found.low <= 1 <= found.high:
        return CANNOT_TELL, "the interval holds 1"
    return CANNOT_TELL, f"the interval comes within {ALIKE:.0%} of 1, as far as two equal processes may lie apart"
