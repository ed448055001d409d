"""What the figure of ramps has to show: for each ramp its figures step by step, and where its throughput stops growing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from requestlab.errors import ConfigurationError
from requestlab.measurement.ramp import Ramp
from requestlab.plots.inputs import Contender, gather
from requestlab.system import wording
from requestlab.trace.activity import Floats

Ramps = Ramp | Mapping[str, Ramp]
"""What the figure takes, one or several times: a ramp, or one mapping of labels to ramps."""

GROWTH = 0.05
"""A gain in throughput below this is none; answers that fall behind the planned rate by no more keep up with it."""


@dataclass(frozen=True, eq=False)
class RampCurve:
    """One ramp in the figure; `contender` is its first run, with label and look."""

    contender: Contender
    ramp: Ramp

    @property
    def label(self) -> str:
        return self.contender.label

    @property
    def open(self) -> bool:
        """Whether the steps are rates of an open loop."""
        return self.ramp.unit != "users"

    @cached_property
    def steps(self) -> Floats:
        """The load of each step."""
        return np.array(self.ramp.steps)

    @cached_property
    def throughput(self) -> Floats:
        """Answers per second at each step."""
        return np.array([run.summary["throughput"] for run in self.ramp])

    def percentile(self, q: int) -> Floats:
        """Return a percentile of the response time at each step, in ms; NaN where there is no evidence for it."""
        shown = [q in Contender(self.label, run, self.contender.look).marked for run in self.ramp]
        found = [run.summary[f"p{q}"] if known else math.nan for run, known in zip(self.ramp, shown, strict=True)]
        return np.array(found)

    @cached_property
    def doubted(self) -> list[int]:
        """The positions of steps that are suspect or invalid."""
        return [i for i, run in enumerate(self.ramp) if run.summary["validity"] != "valid"]

    @cached_property
    def _usable(self) -> list[int]:
        return [i for i, run in enumerate(self.ramp) if run.summary["validity"] != "invalid" and self.throughput[i] > 0]

    @property
    def peak(self) -> float:
        """The most answers per second at any step that is not invalid; 0 if there is none."""
        return max((float(self.throughput[i]) for i in self._usable), default=0.0)

    @property
    def knee(self) -> float | None:
        """The load from which on throughput grows no more, by less than `GROWTH`; None where it grew to the last step."""
        ordered = sorted(self._usable, key=lambda i: self.steps[i])
        enough = [i for i in ordered if self.throughput[i] * (1 + GROWTH) >= self.peak]
        return float(self.steps[enough[0]]) if enough and enough[0] != ordered[-1] else None

    @property
    def kept_up(self) -> float | None:
        """The highest planned rate up to which the answers kept up at every step; None where they did at no step."""
        best = None
        for i in sorted(range(len(self.steps)), key=lambda i: self.steps[i]):
            if i not in self._usable or self.throughput[i] < (1 - GROWTH) * self.steps[i]:
                break
            best = float(self.steps[i])
        return best

    @property
    def turn(self) -> float | None:
        """The load that the finding is about: the knee, or up to which the answers kept up."""
        return self.kept_up if self.open else self.knee

    @property
    def finding(self) -> str:
        """Where its throughput stops growing, or how far it keeps up, in words that follow the label."""
        if not self.peak:
            return "answered nothing"
        if self.open:
            return self._finding_of_rates()
        if len(self.steps) == 1:
            return f"{self._rate(self.peak)} at {self.at(self.steps[0])}"
        if self.knee is None:
            return f"still grows at {self.at(self.steps.max())} ({self._rate(self.peak)})"
        return f"stops growing at {self.at(self.knee)} (peak {self._rate(self.peak)})"

    def at(self, step: float) -> str:
        """Return a step in words: `1 user`, `200 requests/s`."""
        return f"{step:,g} requests/s" if self.open else wording.counted(int(step), "user")

    def _finding_of_rates(self) -> str:
        peak = f" (peak {self._rate(self.peak)})"
        if self.kept_up is None:
            return f"falls behind {self.at(self.steps.min())}{peak}"
        if self.kept_up == self.steps.max():
            return f"keeps up with the highest, {self.at(self.kept_up)}"
        return f"keeps up with {self.at(self.kept_up)}, not with more{peak}"

    @staticmethod
    def _rate(value: float) -> str:
        return f"{value:,.0f} requests/s" if value >= 9.5 else f"{value:.1f} requests/s"


def climbs(ramps: Sequence[Any]) -> list[RampCurve]:
    """Return the ramps of a figure with labels and looks; ConfigurationError for anything else, and for unlike loads."""
    mapping = ramps[0] if len(ramps) == 1 and isinstance(ramps[0], Mapping) else None
    given = list(ramps if mapping is None else mapping.values())
    wrong = [
        "an empty one" if isinstance(one, Ramp) else repr(one)
        for one in given
        if not (isinstance(one, Ramp) and len(one))
    ]
    if wrong or not given:
        what = wrong[0] if wrong else "nothing"
        raise ConfigurationError(
            f"ramp() takes ramps, as measure() returns them for a list of users or rates, not {what}; or one mapping of "
            "labels to ramps"
        )
    units = {one.unit for one in given}
    if len(units) > 1:
        raise ConfigurationError("ramp() draws either users or requests/s on one axis, and these ramps have both")
    firsts = [one.runs[0] for one in given]
    found = gather([dict(zip(mapping, firsts, strict=True))] if mapping else firsts, "ramp")
    return [RampCurve(contender, one) for contender, one in zip(found, given, strict=True)]
