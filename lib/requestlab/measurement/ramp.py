"""The record of a ramp: one run for each step of the load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from requestlab.measurement.run import Run

GROWTH = 0.05
"""A gain in throughput below this is none; answers that fall behind the planned rate by no more keep up with it."""

_FIGURES = ("throughput", "p50", "p95", "p99", "errors", "cpu_per_request", "validity")


@dataclass(frozen=True, eq=False)
class Ramp:
    """The runs of a load with several steps, in their order. Made by `measure` with a list of users or rates."""

    runs: tuple[Run, ...]

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
    def throughput(self) -> list[float]:
        """Answers per second at each step."""
        return [float(run.summary["throughput"]) for run in self.runs]

    @property
    def peak(self) -> float:
        """The most answers per second at any step that is not invalid; 0 if there is none."""
        return max((self.throughput[i] for i in self._usable()), default=0.0)

    @property
    def knee(self) -> float | None:
        """The load from which on throughput grows no more, by less than `GROWTH`; None where it grew to the last step."""
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
