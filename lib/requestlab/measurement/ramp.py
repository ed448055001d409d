"""The record of a ramp: one run for each step of the load."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from requestlab.measurement.run import Run

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

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)

    def __repr__(self) -> str:
        steps = ", ".join(f"{step:g}" for step in self.steps)
        return f"<Ramp {self.label}, {steps} {self.unit}>"
