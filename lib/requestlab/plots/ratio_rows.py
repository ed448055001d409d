"""What the figure of ratios has to show: one row for each case and contender, and the control."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from requestlab.comparison.comparison import METRICS, Comparison, Ratio
from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run
from requestlab.plots import style
from requestlab.plots.inputs import Contender, Predicted, checked, gather
from requestlab.plots.style import SeriesStyle
from requestlab.trace.activity import Floats

NOBODYS = SeriesStyle(style.NOBODY, "o", filled=False)
"""The look of the control, and of a contender of which nothing was measured."""


@dataclass(frozen=True, eq=False)
class Row:
    """One ratio: in which `case`, its look, the ratio of each round (only those that have one).

    `control` is true for the baseline under its second name. `predicted` is the reader's number, or None.
    """

    case: str
    ratio: Ratio
    face: SeriesStyle
    each: Floats
    control: bool = False
    predicted: float | None = None

    @property
    def caveats(self) -> tuple[str, ...]:
        """What speaks against any verdict."""
        return self.ratio.caveats

    @property
    def label(self) -> str:
        """What stands before the row: `▲ async`, `sync again (A/A)`."""
        return f"{self.ratio.over} (A/A)" if self.control else f"{self.face.glyph} {self.ratio.over}"


@dataclass(frozen=True, eq=False)
class Cases:
    """The comparisons of one figure by name, and the contender that all others are divided by."""

    results: Mapping[str, Comparison]
    baseline: str

    @property
    def several(self) -> bool:
        """Whether there is more than one, so that each needs its name."""
        return len(self.results) > 1

    @property
    def labels(self) -> list[str]:
        """The contenders other than the baseline, in the order in which they come up first."""
        found = dict.fromkeys(label for result in self.results.values() for label in result.labels)
        return [label for label in found if label != self.baseline]

    @property
    def controlled(self) -> bool:
        """Whether there is an A/A control."""
        return any(result.control is not None for result in self.results.values())

    @property
    def contenders(self) -> list[Contender]:
        """Each contender of each case of which anything was measured, with its looks; the control is none."""
        first = {label: run for result in self.results.values() for label, run in first_runs(result).items()}
        faces = {contender.label: contender.look for contender in gather([first], "ratios")} if first else {}
        return [
            Contender(label, run, faces[label])
            for result in self.results.values()
            for label, run in first_runs(result).items()
        ]


def cases(result: object, baseline: str | None) -> Cases:
    """Return what a figure of ratios was given; ConfigurationError for anything that cannot be drawn."""
    given: Mapping[Any, Any] = result if isinstance(result, Mapping) else {"": result}
    wrong = [repr(one) for one in given.values() if not isinstance(one, Comparison)]
    if wrong or not given:
        what = wrong[0] if wrong else "nothing"
        raise ConfigurationError(
            f"ratios() takes a comparison of compare(), or one mapping of names to them, not {what}"
        )
    results: dict[str, Comparison] = {str(name): one for name, one in given.items()}
    firsts = list(dict.fromkeys(one.labels[0] for one in results.values()))
    if baseline is None and len(firsts) > 1:
        raise ConfigurationError(f"these comparisons have several baselines ({', '.join(firsts)}); say baseline=...")
    chosen = firsts[0] if baseline is None else baseline
    for one in results.values():
        if chosen not in one.labels:
            raise ConfigurationError(f"baseline={chosen!r}: expected one of the contenders: {', '.join(one.labels)}")
    found = Cases(results, chosen)
    if not found.labels and not found.controlled:
        raise ConfigurationError("ratios() needs two contenders, or one with a control; this comparison has one alone")
    return found


def chosen_metrics(metrics: object) -> list[str]:
    """Return the names of the metrics, each once; ConfigurationError for one that there is not, and for none."""
    names = [metrics] if isinstance(metrics, str) else list(metrics) if isinstance(metrics, Sequence) else []
    if not names or any(name not in METRICS for name in names):
        raise ConfigurationError(f"metrics={metrics!r}: expected some of: {', '.join(METRICS)}")
    return list(dict.fromkeys(names))


def rows(given: Cases, metric: str, predicted: Predicted) -> list[Row]:
    """Return the rows of one metric: case by case, first the contenders, then the control.

    `predicted` is a number for all rows, or one by label or, where there are several, by case.
    """
    faces = {contender.label: contender.look for contender in given.contenders}
    numbers = _numbers(predicted, given)
    found = []
    for case, result in given.results.items():
        for label in given.labels:
            if label in result.labels:
                number = numbers.get(label, numbers.get(case))
                found.append(_row(case, result, (label, given.baseline), metric, faces.get(label, NOBODYS), number))
        if result.control is not None:
            found.append(_row(case, result, (result.control, result.labels[0]), metric, None, None))
    return found


def _row(
    case: str, result: Comparison, pair: tuple[str, str], metric: str, face: SeriesStyle | None, predicted: float | None
) -> Row:
    over, under = pair
    table = result.figures(metric)
    each = (table[over] / table[under]).to_numpy(np.float64)
    each = each[np.isfinite(each) & (each > 0)]
    ratio = result.ratio(over, under, metric)
    return Row(case, ratio, face or NOBODYS, each, control=face is None, predicted=predicted)


def first_runs(result: Comparison) -> dict[str, Run]:
    """Return one run of each contender, one that counts if there is any."""
    ranked = sorted(result.slices, key=lambda part: bool(part.dropped), reverse=True)
    runs = {part.label: part.run for part in ranked}
    return {label: runs[label] for label in result.labels if label in runs}


def _numbers(predicted: Predicted, given: Cases) -> dict[str, float | None]:
    what = "a ratio of throughputs above 0"
    known = [*given.labels, *(given.results if given.several else ())]
    asked = predicted if isinstance(predicted, Mapping) else dict.fromkeys(given.labels, predicted)
    unknown = [name for name in asked if name not in known]
    if unknown:
        raise ConfigurationError(f"predicted has no contender called {unknown[0]!r}; there are {', '.join(known)}")
    numbers = {name: checked(number, what) for name, number in asked.items()}
    if 0 in numbers.values():
        raise ConfigurationError(f"predicted={predicted!r}: expected {what}, a number, or None")
    return numbers
