"""What speaks against any verdict on contenders, whatever their figures say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from requestlab.measurement import validity

if TYPE_CHECKING:
    from requestlab.comparison.comparison import Comparison, Slice
    from requestlab.measurement.run import Run

MAX_FAILED = 0.01
"""Share of failed requests above which figures of the rest are no basis for a verdict."""

UNEVENLY = 0.25
"""How far the shares of disturbed slices of two contenders may lie apart, before the disturbance may be what was compared."""

_TAILS = {"p50": 0.05, "p95": 0.005, "p99": 0.001}
"""Failures are in no percentile; as many would move it: a tenth of the requests beyond it."""


def about_one(label: str, runs: Sequence[Run], metric: str) -> Iterator[str]:
    """Yield what speaks against the figure of one contender: its end, its generator, its failures, its queue."""
    if not runs:
        yield f"no slice of {label} counts"
        return
    invalid = [run for run in runs if run.summary["validity"] == "invalid"]
    if invalid:
        yield f"{len(invalid)} of {len(runs)} slices of {label} are invalid: {invalid[0].summary['reasons'][0]}"
    if metric != "cpu_per_request" and 2 * sum(run.generator_was_busy for run in runs) > len(runs):
        yield f"the generator was busy for most of the time under {label}: it may be what was measured"
    sent = sum(len(run.requests) for run in runs)
    failed = sum(run.summary["errors"] for run in runs)
    if sent and failed / sent > min(MAX_FAILED, _TAILS.get(metric, 1.0)):
        yield f"{failed:,} of {sent:,} requests failed under {label}"
    if metric in _TAILS and 2 * sum(validity.fell_behind(run) for run in runs) > len(runs):
        yield f"{label} did not keep up with the rate: its response times depend on how long a slice lasted"


def about_both(result: Comparison, over: str, under: str) -> Iterator[str]:
    """Yield what speaks against setting these two against each other: other answers, other disturbances."""
    statuses = {label: main_status(result.runs(label)) for label in (over, under)}
    if None not in statuses.values() and len(set(statuses.values())) > 1:
        said = " and ".join(f"{status} under {label}" for label, status in statuses.items())
        yield f"the answers are not alike: most have status {said}"
    shares = [_disturbed(result.slices, label) for label in (over, under)]
    if abs(shares[0] - shares[1]) > UNEVENLY:
        yield (
            f"what disturbed the slices did not fall on both alike: {shares[0]:.0%} of those of {over}, {shares[1]:.0%} of those "
            f"of {under}"
        )


def main_status(runs: Sequence[Run]) -> int | None:
    """Return the status that most answers have."""
    every = [status for run in runs for status in run.requests["status"] if status]
    return max(set(every), key=every.count) if every else None


def _disturbed(slices: Sequence[Slice], label: str) -> float:
    """Return which share of the slices that count was disturbed."""
    own = [part for part in slices if part.label == label and not part.dropped]
    return sum(bool(part.disturbed) for part in own) / len(own) if own else 0.0
