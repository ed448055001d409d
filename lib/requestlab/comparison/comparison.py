"""The record of a comparison: every slice of every round, what they say together, and what speaks against it."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pandas as pd

from requestlab.comparison import intervals
from requestlab.comparison.intervals import MIN_ROUNDS, Interval
from requestlab.errors import ConfigurationError
from requestlab.measurement import validity
from requestlab.measurement.run import Run
from requestlab.system import checks
from requestlab.system.machine import Machine

METRICS = {"throughput": +1, "p50": -1, "p95": -1, "p99": -1, "cpu_per_request": -1}
"""What is compared, and whether more (+1) or less (-1) of it is faster."""

ALIKE = 0.03
"""Differences below this are never called: two processes of one configuration may differ by as much for as long as they
live (where their memory lies, the seed of their hashes). `make bench` looks whether it is enough."""

UNSEEN = 0.25
"""The same, where nothing is known of a server's processes: others may have disturbed them, and nobody saw it."""

MAX_FAILED = 0.01
"""Share of failed requests above which figures of the rest are no basis for a verdict."""

UNEVENLY = 0.25
"""How far the shares of disturbed slices of two contenders may lie apart, before the disturbance may be what was
compared. Ratios are then widened by as much as it may have been; where that is not known, there is no verdict."""

MAX_HELD_UP = 0.9
"""Where others may have held up a contender by more, nothing is known of it."""

_TAILS = {"p50": 0.05, "p95": 0.005, "p99": 0.001}
"""Failures are in no percentile; as many would move it: a tenth of the requests beyond it."""

FASTER, SLOWER, CANNOT_TELL = "faster", "slower", "cannot tell"

ANSWERED = "all that was asked is answered"
"""Why a comparison stopped that had no need of more rounds."""


@dataclass(frozen=True)
class Slice:
    """One contender in one round; `disturbed` by what, if anything, and whether it was `dropped` for that."""

    round: int
    position: int
    label: str
    run: Run
    disturbed: str = ""
    dropped: bool = False


@dataclass(frozen=True)
class Ratio:
    """How many times one contender's figure is another's.

    `verdict` says whether `over` is faster than `under`, slower, or that this cannot be told, and `reason` why.
    `settled`: more rounds would not change that; they are told apart, or alike. `value`, `low`, `high` and `caveats`
    are those of `interval`.
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

    @property
    def settled(self) -> bool:
        return self.verdict != CANNOT_TELL or (not self.caveats and _alike(self.interval))

    def __str__(self) -> str:
        why = f", {self.reason}" if self.verdict == CANNOT_TELL else ""
        return f"{self.metric}, {self.over} / {self.under}: {self.interval}: {self.verdict}{why}"


@dataclass(frozen=True, kw_only=True)
class ComparisonFacts:
    """What was asked of a comparison, and how it went.

    By label: `paths`, `loads` in words, and the loads `beside` by path. `seconds` is the length of the first slices.
    `asked` says in words what was to be answered. Limits: `wanted` rounds (None: as many as it takes) and a `budget` in
    seconds, to which some were `borrowed` that others left over. `stopped` says why there were no more rounds.
    """

    paths: Mapping[str, str]
    loads: Mapping[str, str]
    beside: Mapping[str, Mapping[str, str]]
    seed: int
    seconds: float
    asked: tuple[str, ...]
    wanted: int | None
    budget: float | None
    machine: Machine
    borrowed: float = 0.0
    stopped: str = ""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Several rounds of the same contenders, of which the first is the baseline. Made by `compare`.

    `control` is the label under which the baseline took part a second time, or None.

    >>> result.slices[0].run.summary["p50"], result.complete
    """

    slices: tuple[Slice, ...]
    labels: tuple[str, ...]
    control: str | None
    about: ComparisonFacts

    @cached_property
    def rounds(self) -> pd.DataFrame:
        """One row a slice, in the order of time: `round`, `position` in it, `contender`, its figures, `errors`,
        `validity`, `reasons`, what it was `disturbed` by, and whether it was `dropped` for that."""
        rows = [
            {
                "round": part.round,
                "position": part.position,
                "contender": part.label,
                **{name: part.run.summary[name] for name in (*METRICS, "errors", "validity")},
                "reasons": "; ".join(part.run.summary["reasons"]),
                "disturbed": part.disturbed,
                "dropped": part.dropped,
            }
            for part in self.slices
        ]
        return pd.DataFrame(rows)

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The contenders, and the control after them where there is one."""
        return (*self.labels, *([self.control] if self.control else []))

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
        first, *others = self.all_labels
        return min((int((counts[first] & counts[other]).sum()) for other in others), default=int(counts[first].sum()))

    def runs(self, label: str) -> list[Run]:
        """Return the runs of one contender that count, round by round."""
        self._demand(label)
        return [part.run for part in self.slices if part.label == label and not part.dropped]

    def figures(self, metric: str) -> pd.DataFrame:
        """Return one figure of every contender, a row a round; NaN where it was dropped or has no evidence.

        A percentile needs `validity.TAIL` requests beyond it. Where a slice has fewer, as many rounds as it takes are
        joined, and a row is the percentile of all their answers (`joined`). Whether a contender has as many is decided
        for all of its slices together: to leave out rounds with few answers would be to leave out slow ones.
        """
        checks.one_of("metric", metric, METRICS)
        if (joined := self.joined(metric)) > 1:
            return self._joined_figures(metric, joined)
        found: dict[str, dict[int, float]] = defaultdict(dict)
        for part in self.slices:
            found[part.label][part.round] = math.nan if part.dropped else part.run.summary[metric]
        table = pd.DataFrame(found, columns=list(self.all_labels), dtype=float).sort_index().rename_axis("round")
        for label in self.all_labels:
            if self._too_few(label, metric):
                table[label] = math.nan
        return table

    def joined(self, metric: str) -> int:
        """Return of how many rounds together each figure is: one, but for a percentile of slices with few answers.

        By what the first rounds gave (`intervals.MIN_ROUNDS`), so that later ones do not change it: an interval may
        then be looked at after each.
        """
        if not (needed := _needed(metric)):
            return 1
        first = sorted({part.round for part in self.slices})[:MIN_ROUNDS]
        given = {
            label: [len(part.run.response_ms) for part in self.slices if part.label == label and part.round in first]
            for label in self.all_labels
        }
        fewest = min((float(np.median(counts)) for counts in given.values() if counts), default=0.0)
        return max(1, math.ceil(needed / fewest)) if fewest else 1

    def _joined_figures(self, metric: str, joined: int) -> pd.DataFrame:
        rounds = sorted({part.round for part in self.slices})
        groups = [set(rounds[at : at + joined]) for at in range(0, len(rounds) - joined + 1, joined)]
        q, table = int(metric[1:]), pd.DataFrame(math.nan, index=range(len(groups)), columns=list(self.all_labels))
        for number, group in enumerate(groups):
            for label in self.all_labels:
                parts = [part for part in self.slices if part.label == label and part.round in group]
                kept = [part.run.response_ms for part in parts if not part.dropped]
                if 2 * len(kept) > joined:
                    table.loc[number, label] = np.percentile(np.concatenate(kept), q)
        return table.rename_axis("round")

    def ratio(self, over: str, under: str, metric: str = "throughput") -> Ratio:
        """Return how many times the figure of `over` is that of `under`, with its interval and the verdict on `over`.

        Raises ConfigurationError for a contender or a metric that there is not.
        """
        found = intervals.ratio(*self._two(over, under, metric))
        if self._unevenly_disturbed(over, under):
            found = self._widened(found, over, under, metric)
        found = self._judged(found, (over, under), metric)
        apart = ALIKE if self._all_seen(over, under) else UNSEEN
        verdict, reason = _judge(found, metric, apart)
        reason += "".join(f"; {why}" for why in (found.dependent, found.held_up) if why)
        if (joined := self.joined(metric)) > 1 and found.known:
            reason += f"; each {metric} is of {joined} rounds together, which have answers enough"
        if kept := sum(self.disturbed.values()):
            reason += f"; {kept} of {len(self.slices)} slices were disturbed from outside and count, since so many were"
        return Ratio(over, under, metric, found, verdict, reason)

    def course(self, over: str, under: str, metric: str = "throughput") -> pd.DataFrame:
        """Return how the interval of a ratio shrank: `value`, `low` and `high` after each number of rounds that had
        one."""
        upper, lower = self._two(over, under, metric)
        known = [pair for pair in zip(upper, lower, strict=True) if np.isfinite(pair).all()]
        found = {n: intervals.ratio(*np.transpose(known[:n])) for n in range(1, len(known) + 1)}
        rows = {n: [one.value, one.low, one.high] for n, one in found.items() if one.known}
        return pd.DataFrame.from_dict(rows, "index", columns=["value", "low", "high"]).rename_axis("rounds")

    def difference(self, over: str, under: str, metric: str = "p50") -> Interval:
        """Return by how much the figure of `over` exceeds that of `under`, in its unit, with its interval."""
        upper, lower = self._two(over, under, metric)
        return self._judged(intervals.interval(upper - lower), (over, under), metric)

    def scatter(self, over: str, under: str, metric: str = "throughput") -> Interval:
        """Return by which factor, less 1, the ratio of two figures differs from round to round: the standard deviation
        of its logarithm, with its interval."""
        upper, lower = self._two(over, under, metric)
        return self._judged(intervals.scatter(np.log(upper / lower)), (over, under), metric)

    def estimate(self, of: Callable[[pd.DataFrame], Sequence[float]], metric: str = "cpu_per_request") -> Interval:
        """Return a figure that is computed from those of several contenders, round by round, with its interval.

        >>> result.estimate(lambda cpu: cpu["asgi"] - cpu["sync"])

        What speaks against any of the contenders speaks against it.
        """
        return self._judged(intervals.interval(of(self.figures(metric))), self.labels, metric)

    @property
    def resolution(self) -> Interval | None:
        """What the machine made of one configuration under two names: the ratio of their throughputs; None without
        control."""
        if self.control is None:
            return None
        return self.ratio(self.control, self.labels[0]).interval

    def caveats(self, label: str, metric: str = "throughput") -> list[str]:
        """Return what speaks against any verdict on this contender: its generator, its failures, its end."""
        self._demand(label)
        return list(_caveats_of_one(label, self.runs(label), metric))

    def fell_behind(self, label: str) -> bool:
        """Return whether a contender did not keep up with the rate of an open loop, in most slices."""
        return _fell_behind(self.runs(label))

    def __repr__(self) -> str:
        first = self.labels[0]
        others = [str(self.ratio(label, first)) for label in self.labels[1:]]
        return f"<Comparison, {self.complete} rounds: {'; '.join(others) or first}>"

    def _all_seen(self, *labels: str) -> bool:
        """Return whether the processes of these contenders' servers are known."""
        return all(run.about.pids for label in labels for run in self.runs(label))

    def _two(self, over: str, under: str, metric: str) -> tuple[np.ndarray, np.ndarray]:
        self._demand(over, under)
        table = self.figures(metric)
        return table[over].to_numpy(), table[under].to_numpy()

    def _judged(self, found: Interval, labels: Sequence[str], metric: str) -> Interval:
        """Return an interval with what speaks against it, and why it is missing where it is."""
        against = [caveat for label in labels for caveat in self.caveats(label, metric)]
        if len(labels) == 2:
            against += self._other_answers(*labels)
            against += [] if found.held_up else self._unevenly_disturbed(*labels)
        if self.control is not None and self.control not in labels:
            same = self.ratio(self.control, self.labels[0], metric)
            if same.verdict != CANNOT_TELL:  # a lab that tells a thing from itself cannot be believed about others
                against.append(f"the A/A control found a winner where there is none: {same.interval}")
        why = found.why if found.known else self._why_unknown(labels, metric) or found.why
        return replace(found, caveats=tuple(against), why=why)

    def _why_unknown(self, labels: Sequence[str], metric: str) -> str:
        """Say what is missing for a figure of these contenders; empty: too few rounds."""
        missing = self.figures(metric)[[*labels]].isna().all().any()
        if metric == "cpu_per_request" and missing and self.complete:
            return "CPU time is not known for addresses, beside other loads, nor where a worker ended"
        return "; ".join(why for label in labels if (why := self._too_few(label, metric)))

    def _widened(self, found: Interval, over: str, under: str, metric: str) -> Interval:
        """Return a ratio that holds what it would be, had others held up neither of the two; as it is where that is not
        known."""
        kept = {label: self._kept(label, metric) for label in (over, under)}
        if not min(kept.values()) >= 1 - MAX_HELD_UP or not found.known:
            return found
        slower, faster = (under, over) if METRICS[metric] > 0 else (over, under)
        each = " and ".join(f"{label} by {1 - share:.0%}" for label, share in kept.items())
        return replace(
            found,
            low=found.low * kept[slower],
            high=found.high / kept[faster],
            held_up=f"others held up {each} at most, and the interval is as much wider",
        )

    def _kept(self, label: str, metric: str) -> float:
        """Return which share of a figure is left at least where what others took is taken out, as the geometric mean
        over rounds; NaN where that is not known."""
        shares = np.array([validity.kept(run, metric) for run in self.runs(label)])
        return math.exp(np.log(shares).mean()) if len(shares) and (shares > 0).all() else math.nan

    def _other_answers(self, over: str, under: str) -> Iterator[str]:
        statuses = {label: _main_status(self.runs(label)) for label in (over, under)}
        if None not in statuses.values() and len(set(statuses.values())) > 1:
            said = " and ".join(f"{status} under {label}" for label, status in statuses.items())
            yield f"the answers are not alike: most have status {said}"

    def _unevenly_disturbed(self, over: str, under: str) -> list[str]:
        """Return what speaks against setting two against each other where they were disturbed unevenly."""
        shares = [_disturbed_share(self.slices, label) for label in (over, under)]
        if abs(shares[0] - shares[1]) <= UNEVENLY:
            return []
        each = f"{shares[0]:.0%} of those of {over}, {shares[1]:.0%} of those of {under}"
        return [f"what disturbed the slices did not fall on both alike: {each}"]

    def _demand(self, *labels: str) -> None:
        for label in labels:
            if not isinstance(label, str) or label not in self.all_labels:
                raise ConfigurationError(
                    f"there is no contender {checks.shown(label)}; there are {', '.join(self.all_labels)}"
                )

    def _too_few(self, label: str, metric: str) -> str:
        """Say so where a percentile of this contender has too few requests beyond it; empty: it has enough."""
        if not (needed := _needed(metric)):
            return ""
        counts = [len(run.response_ms) for run in self.runs(label)]
        middle, joined = int(np.median(counts)) if counts else 0, self.joined(metric)
        if middle >= needed or (joined > 1 and len(self._joined_figures(metric, joined)) >= MIN_ROUNDS):
            return ""
        given = f"needs {needed:,} answers in a slice, and {label} gave {middle:,}"
        return f"{metric} {given}: longer slices would have them"


def _needed(metric: str) -> int:
    """Return how many answers a percentile needs, so that `validity.TAIL` lie beyond it; 0 for all else."""
    return validity.TAIL * 100 // (100 - int(metric[1:])) if metric in ("p95", "p99") else 0


def _judge(found: Interval, metric: str, apart: float) -> tuple[str, str]:
    if found.caveats:
        return CANNOT_TELL, "; ".join(found.caveats)
    if not found.known:
        return CANNOT_TELL, found.why
    if found.low > 1 + apart or found.high < 1 / (1 + apart):
        more = found.low > 1
        return (FASTER if more == (METRICS[metric] > 0) else SLOWER), "the interval lies on one side"
    if _alike(found):
        return CANNOT_TELL, f"they are within {ALIKE:.0%} of each other, as two equal processes may be"
    if found.low <= 1 <= found.high:
        return CANNOT_TELL, "the interval holds 1"
    why = (
        "as far as two equal processes may lie apart" if apart == ALIKE else "and the servers' processes cannot be seen"
    )
    return CANNOT_TELL, f"the interval comes within {apart:.0%} of 1, {why}"


def _alike(found: Interval) -> bool:
    """Return whether the whole interval is as near to 1 as two equal processes are."""
    return found.low >= 1 / (1 + ALIKE) and found.high <= 1 + ALIKE


def _caveats_of_one(label: str, runs: Sequence[Run], metric: str) -> Iterator[str]:
    if not runs:
        yield f"no slice of {label} counts"
        return
    if invalid := [run for run in runs if run.summary["validity"] == "invalid"]:
        yield f"{len(invalid)} of {len(runs)} slices of {label} are invalid: {invalid[0].summary['reasons'][0]}"
    if metric != "cpu_per_request" and 2 * sum(run.generator_was_busy for run in runs) > len(runs):
        yield f"the generator was busy for most of the time under {label}: it may be what was measured"
    sent = sum(len(run.requests) for run in runs)
    failed = sum(run.summary["errors"] for run in runs)
    if sent and failed / sent > min(MAX_FAILED, _TAILS.get(metric, 1.0)):
        yield f"{failed:,} of {sent:,} requests failed under {label}"
    if metric in _TAILS and _fell_behind(runs):
        yield f"{label} did not keep up with the rate: its response times depend on how long a slice lasted"


def _fell_behind(runs: Sequence[Run]) -> bool:
    return 2 * sum(validity.fell_behind(run) for run in runs) > len(runs)


def _main_status(runs: Sequence[Run]) -> int | None:
    """Return the status that most answers have."""
    statuses = np.concatenate([run.requests["status"] for run in runs]) if runs else np.array([])
    answered, counts = np.unique(statuses[statuses > 0], return_counts=True)
    return int(answered[counts.argmax()]) if len(answered) else None


def _disturbed_share(slices: Sequence[Slice], label: str) -> float:
    """Return which share of the slices that count was disturbed."""
    own = [part for part in slices if part.label == label and not part.dropped]
    return sum(bool(part.disturbed) for part in own) / len(own) if own else 0.0
