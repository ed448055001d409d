"""The record of a ramp: one run for each step of the load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from requestlab.measurement.run import Run
from requestlab.system import checks, wording
from requestlab.trace.activity import Floats

GROWTH = 0.05
"""A gain in throughput below this is none; answers that fall behind the planned rate by no more keep up with it."""

_FIGURES = ("throughput", "p50", "p95", "p99", "errors", "cpu_per_request", "validity")


@dataclass(frozen=True, eq=False)
class Ramp:
    """The runs of a load with several steps, in their order. Made by `measure` with a list of users or rates.

    >>> lab.measure(server, "/sync/page/", lab.closed(users=[1, 2, 5])).table
    """

    runs: tuple[Run, ...]

    def __post_init__(self) -> None:
        expected = "the runs of the steps, at least one, in a tuple"
        runs = checks.instance("Ramp(runs)", self.runs, tuple, expected)
        if not runs or not all(isinstance(run, Run) for run in runs):
            raise checks.wrong("Ramp(runs)", runs, expected)

    @property
    def label(self) -> str:
        """How figures call it: the label of its runs."""
        return self.runs[0].label

    @property
    def unit(self) -> str:
        """What the steps count: `users` or `requests/s`."""
        return "users" if self.runs[0].about.users is not None else "requests/s"

    @property
    def steps(self) -> list[float]:
        """The users, or the planned rate, of each run."""
        key = "users" if self.unit == "users" else "rate"
        return [float(getattr(run.about, key)) for run in self.runs]

    @property
    def table(self) -> pd.DataFrame:
        """One row a step: the load, and the figures of its run as in `Run.summary`."""
        rows = [{name: run.summary[name] for name in _FIGURES} for run in self.runs]
        return pd.DataFrame(rows, index=pd.Index(self.steps, name=self.unit))

    @property
    def open(self) -> bool:
        """Whether the steps are rates of an open loop."""
        return self.unit != "users"

    @property
    def throughput(self) -> Floats:
        """Answers per second at each step."""
        return np.array([run.summary["throughput"] for run in self.runs], dtype=np.float64)

    @property
    def doubted(self) -> list[int]:
        """The positions of steps that are suspect or invalid."""
        return [i for i, run in enumerate(self.runs) if run.summary["validity"] != "valid"]

    @property
    def peak(self) -> float:
        """The most answers per second at any step that is not invalid; 0 if there is none."""
        return max((float(self.throughput[i]) for i in self._usable()), default=0.0)

    @property
    def knee(self) -> float | None:
        """The load from which on throughput grows no more, by less than `GROWTH`; None where it grew to the last
        step."""
        usable = self._usable()
        enough = [i for i in usable if self.throughput[i] * (1 + GROWTH) >= self.peak]
        return self.steps[enough[0]] if enough and enough[0] != usable[-1] else None

    @property
    def kept_up(self) -> float | None:
        """The highest planned rate up to which the answers kept up at every step; None where they did at no step."""
        best = None
        for i in np.argsort(self.steps, kind="stable").tolist():
            if i not in self._usable() or self.throughput[i] < (1 - GROWTH) * self.steps[i]:
                break
            best = self.steps[i]
        return best

    @property
    def turn(self) -> float | None:
        """The load that the finding is about: the knee, or up to which the answers kept up."""
        return self.kept_up if self.open else self.knee

    @property
    def finding(self) -> str:
        """Where its throughput stops growing, or how far it keeps up, in words that follow its label."""
        peak, turn, most = _rate(self.peak), self.turn, max(self.steps)
        if not self.peak:
            return "answered nothing"
        if self.open and turn is None:
            return f"falls behind {self.at(min(self.steps))} (peak {peak})"
        if turn is not None and self.open:
            highest = f"the highest, {self.at(most)}"
            return f"keeps up with {highest if turn == most else f'{self.at(turn)}, not with more (peak {peak})'}"
        if turn is not None:
            return f"stops growing at {self.at(turn)} (peak {peak})"
        return f"{peak} at {self.at(most)}" if len(self) == 1 else f"still grows at {self.at(most)} ({peak})"

    def at(self, step: float) -> str:
        """Return a step in words: `1 user`, `200 requests/s`."""
        return f"{step:,g} requests/s" if self.open else wording.counted(int(step), "user")

    def _usable(self) -> list[int]:
        """Return the positions of the steps that are not invalid, by load."""
        usable = [
            i for i, run in enumerate(self.runs) if run.summary["validity"] != "invalid" and self.throughput[i] > 0
        ]
        return sorted(usable, key=lambda i: self.steps[i])

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        steps = ", ".join(f"{step:g}" for step in self.steps)
        return f"<Ramp {self.label}, {steps} {self.unit}>"


def _rate(value: float) -> str:
    return f"{value:,.0f} requests/s" if value >= 9.5 else f"{value:.1f} requests/s"
