"""The record of a comparison: every slice of every round, and what they say together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pandas as pd

from requestlab import intervals
from requestlab.audit import TAIL
from requestlab.errors import ConfigurationError
from requestlab.intervals import Interval
from requestlab.runs import Run

METRICS = {"throughput": +1, "p50": -1, "p95": -1, "p99": -1, "cpu_per_request": -1}
"""What is compared, and whether more (+1) or less (-1) of it is faster."""

ALIKE = 0.03
"""Differences below this are never called: two processes of one configuration may differ by as much for as long as they live
(where their memory lies, the seed of their hashes), and no number of rounds makes that go away. `make bench` looks whether
it is enough."""

MOST_FAILED = 0.01
"""Share of failed requests above which figures of the rest are no basis for a verdict."""

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
    this cannot be told, and `reason` why. `doubts` speak against any verdict on the two, see `Comparison.doubts`.
    """

    over: str
    under: str
    metric: str
    interval: Interval
    verdict: str
    reason: str
    doubts: tuple[str, ...] = ()

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


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several rounds of the same contenders. Made by `compare`.

    `labels` are the contenders, the first of them the baseline; `control` is the label under which the baseline took part a
    second time, or None. `about` holds plain values: `paths`, `loads`, `seed`, `stopped` (why there were no more rounds),
    `seconds` of each slice, machine facts.
    """

    slices: tuple[Slice, ...]
    labels: tuple[str, ...]
    control: str | None
    about: dict[str, Any]

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

        A round's p95 and p99 stand on less than a run's own: two requests beyond the percentile in each slice, and
        `audit.TAIL` of them over all rounds together. How much they scatter is in the interval.
        """
        _one_of(metric)
        table = pd.DataFrame(index=sorted({part.round for part in self.slices}), columns=[*self._all], dtype=float)
        for part in self.slices:
            if not part.dropped:
                table.loc[part.round, part.label] = self._figure(part.run, metric)
        for label in self._all:
            if metric in ("p95", "p99") and self._beyond(label, metric) < TAIL:
                table[label] = math.nan
        table.index.name = "round"
        return table

    def ratio(self, over: str, under: str, metric: str = "throughput") -> Ratio:
        """Return how many times the figure of `over` is that of `under`, with its interval and the verdict on `over`.

        Raises ConfigurationError for a contender or a metric that there is not.
        """
        self._demand(over, under)
        table = self.figures(metric)
        found = intervals.ratio(list(table[over]), list(table[under]))
        doubts = tuple(doubt for label in (over, under) for doubt in self.doubts(label))
        if self.control not in (None, over, under):
            doubts += self._doubts_by_control(metric)
        verdict, reason = _judge(found, doubts, metric)
        return Ratio(over, under, metric, found, verdict, reason, doubts)

    def difference(self, over: str, under: str, metric: str = "p50") -> Interval:
        """Return by how much the figure of `over` exceeds that of `under`, in its unit, with its interval."""
        self._demand(over, under)
        table = self.figures(metric)
        return intervals.interval(list(table[over] - table[under]))

    def verdict(self, over: str, under: str, metric: str = "throughput") -> str:
        """Return `faster`, `slower` or `cannot tell`, of `over` against `under`."""
        return self.ratio(over, under, metric).verdict

    @property
    def resolution(self) -> Interval | None:
        """What the machine made of one configuration under two names: the ratio of their throughputs; None without control."""
        if self.control is None:
            return None
        return self.ratio(self.control, self.labels[0]).interval

    def doubts(self, label: str) -> list[str]:
        """Return what speaks against any verdict on this contender: its generator, its failures, its end."""
        self._demand(label)
        runs = self.runs(label)
        if not runs:
            return [f"no slice of {label} counts"]
        found = []
        invalid = [run for run in runs if run.summary["validity"] == "invalid"]
        if invalid:
            found.append(
                f"{len(invalid)} of {len(runs)} slices of {label} are invalid: {invalid[0].summary['reasons'][0]}"
            )
        if 2 * sum(run.generator_was_busy for run in runs) > len(runs):
            found.append(f"the generator was busy for most of the time under {label}: it may be what was measured")
        sent = sum(len(run.requests) for run in runs)
        failed = sum(run.summary["errors"] for run in runs)
        if sent and failed / sent > MOST_FAILED:
            found.append(f"{failed:,} of {sent:,} requests failed under {label}")
        return found

    def __repr__(self) -> str:
        first = self.labels[0]
        others = [str(self.ratio(label, first)) for label in self.labels[1:]]
        return f"<Comparison, {self.complete} rounds: {'; '.join(others) or first}>"

    @property
    def _all(self) -> tuple[str, ...]:
        return (*self.labels, *([self.control] if self.control else []))

    def _doubts_by_control(self, metric: str) -> tuple[str, ...]:
        """A lab that tells a thing from itself cannot be believed about others."""
        assert self.control is not None
        same = self.ratio(self.control, self.labels[0], metric)
        return (
            ()
            if same.verdict == CANNOT_TELL
            else (f"the A/A control found a winner where there is none: {same.interval}",)
        )

    def _demand(self, *labels: str) -> None:
        for label in labels:
            if label not in self._all:
                raise ConfigurationError(f"there is no contender {label!r}; there are {', '.join(self._all)}")

    def _beyond(self, label: str, metric: str) -> float:
        share = (100 - int(metric[1:])) / 100
        return share * sum(
            len(part.run.response_ms) for part in self.slices if part.label == label and not part.dropped
        )

    @staticmethod
    def _figure(run: Run, metric: str) -> float:
        if metric in ("p95", "p99") and len(run.response_ms) * (100 - int(metric[1:])) < 200:
            return math.nan
        return float(run.summary[metric])


def _one_of(metric: object) -> None:
    if metric not in METRICS:
        raise ConfigurationError(f"metric={metric!r} is not known; expected one of: {', '.join(METRICS)}")


def _judge(found: Interval, doubts: Sequence[str], metric: str) -> tuple[str, str]:
    if doubts:
        return CANNOT_TELL, "; ".join(doubts)
    if not found.known:
        return CANNOT_TELL, found.why
    if found.low > 1 + ALIKE or found.high < 1 / (1 + ALIKE):
        more = found.low > 1
        return (FASTER if more == (METRICS[metric] > 0) else SLOWER), "the interval lies on one side"
    if found.low <= 1 <= found.high:
        return CANNOT_TELL, "the interval holds 1"
    return CANNOT_TELL, f"the interval comes within {ALIKE:.0%} of 1, as far as two equal processes may lie apart"
