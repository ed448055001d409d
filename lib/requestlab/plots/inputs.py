"""What a figure is asked to show: runs with their labels and looks, the reader's predictions, the small print."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from requestlab.comparison.comparison import Comparison
from requestlab.comparison.wording import each_or_all
from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run
from requestlab.measurement.validity import TAIL
from requestlab.plots import style
from requestlab.plots.sheet import Line, lines
from requestlab.plots.style import SeriesStyle, looks
from requestlab.system import checks, wording

Runs = Run | Mapping[str, Run]
"""What figures take, one or several times: a run, or one mapping of labels to runs."""

Predicted = float | Mapping[str, float | None] | None
"""A reader's prediction: for all runs, for each label, or none."""

Kind = TypeVar("Kind")

PERCENTILES = (50, 95, 99)


@dataclass(frozen=True)
class Contender:
    """One run in a figure, and what the reader predicted of it."""

    label: str
    run: Run
    look: SeriesStyle
    predicted: float | None = None

    @property
    def heading(self) -> str:
        """Marker and label, and a word of warning for a run that is suspect or invalid."""
        validity = self.run.summary["validity"]
        return f"{self.look.glyph} {self.label}{'' if validity == 'valid' else f' ({validity})'}"

    @property
    def under(self) -> str:
        """The label as the end of a sentence: `under sync, workers=2`; `(alone)`, where it is not a configuration's
        name."""
        configuration = self.run.about.configuration
        ours = self.label.startswith((self.run.label, configuration.name if configuration else self.run.label))
        return f"under {self.label}" if ours else f"({self.label})"

    @property
    def failures(self) -> str:
        """How many requests failed, in words to go behind the label; empty if none did."""
        failed, total = int(self.run.failed.sum()), len(self.run.requests)
        return f" ({failed:,} of {wording.counted(total, 'request')} failed)" if failed else ""

    @property
    def circumstances(self) -> list[str]:
        """What was asked for, and how many requests the configuration can have in hand at once."""
        return [self.run.about.asked, f"capacity: {self.run.about.at_once}"]

    @property
    def marked(self) -> list[int]:
        """The percentiles for which there is evidence: p95 and p99 only with at least `TAIL` requests beyond."""
        count = self.run.response_ms.size
        return [q for q in PERCENTILES if count and (q == 50 or count * (100 - q) >= 100 * TAIL)]

    def percentile(self, q: float, method: Any = "linear") -> float:
        """Return a percentile of the response time in ms, as the summary has it, or by another method of NumPy."""
        return float(np.percentile(self.run.response_ms, q, method=method))

    def block(
        self, most_in: float, said: Iterable[str] = (), notes: Iterable[str] = (), heading: str = ""
    ) -> list[Line]:
        """Return the lines that name it in a figure: a heading, what it came to, and in grey what else is to be
        known."""
        return [
            *lines(heading or self.heading, most_in, style.HEADING_PT, self.look.ink, bold=True),
            *lines(said, most_in),
            *lines(notes, most_in, color=style.GREY),
        ]


def several(given: Sequence[Any], kind: type[Kind], expected: str) -> tuple[list[str], list[Kind]]:
    """Return things of a kind that came one by one or in one mapping, and their labels, empty for those that came one
    by one.

    ConfigurationError, saying what was `expected`, for anything else, and for nothing.
    """
    mapping = given[0] if len(given) == 1 and isinstance(given[0], Mapping) else None
    found: list[Any] = list(given if mapping is None else mapping.values())
    wrong = [checks.shown(one) for one in found if not isinstance(one, kind)]
    if wrong or not found:
        raise ConfigurationError(f"{expected}, not {[*wrong, 'nothing'][0]}")
    return [] if mapping is None else list(map(str, mapping)), found


def gather(
    runs: Sequence[Runs],
    figure: str,
    most: int | None = None,
    *,
    predicted: Predicted = None,
    what: str = "",
    positive: bool = False,
) -> list[Contender]:
    """Return the contenders of a figure called `figure`, with what was `predicted` of each; ConfigurationError for what
    is no run.

    `what` should have been predicted, `positive` or 0 as well.
    """
    labels, given = several(runs, Run, f"{figure}() takes runs of measure(), or one mapping of labels to runs")
    if most is not None and len(given) > most:
        raise ConfigurationError(f"{figure}() shows at most {most} runs side by side, not {len(given)}")
    labels = _told_apart(labels or [run.label for run in given], given)
    guesses = predicted_for(predicted, labels, what, positive=positive)
    named = [run.about.configuration.name if run.about.configuration else run.label for run in given]
    faces = looks(list(zip(named, [run.label for run in given], strict=True)))
    return [Contender(*parts) for parts in zip(labels, given, faces, guesses.values(), strict=True)]


def _told_apart(labels: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """Add the path to labels that occur twice, and a number to those that are still alike."""
    pairs = zip(labels, runs, strict=True)
    longer = [label if labels.count(label) == 1 else f"{label}, {run.about.path}" for label, run in pairs]
    seen = [longer[: i + 1].count(label) for i, label in enumerate(longer)]
    return [label if times == 1 else f"{label} #{times}" for label, times in zip(longer, seen, strict=True)]


def first_runs(result: Comparison) -> dict[str, Run]:
    """Return one run of each contender of a comparison, one that counts if there is any."""
    ranked = sorted(result.slices, key=lambda part: bool(part.dropped), reverse=True)
    runs = {part.label: part.run for part in ranked}
    return {label: runs[label] for label in result.labels if label in runs}


# The reader's predictions


DRAWN = 1e-9, 1e12
"""No axis holds what is measured and what is further from it."""


@dataclass(frozen=True)
class Guess:
    """A reader's prediction: `your prediction`, or `your prediction for sync`, its number and its colour."""

    text: str
    value: float
    colour: str


def predicted_for(
    predicted: Predicted, names: Sequence[str], what: str, *, noun: str = "run", positive: bool = False
) -> dict[str, float | None]:
    """Return a prediction for each name of a `noun`, None where there is none.

    `what` was expected, `positive` or 0 as well; ConfigurationError for anything else.
    """
    given = predicted if isinstance(predicted, Mapping) else dict.fromkeys(names, predicted)
    checks.known_names("predicted", given, names, noun)
    found = {name: checked(value, what, positive) for name, value in given.items()}
    return {name: found.get(name) for name in names}


def checked(value: object, what: str, positive: bool = False) -> float | None:
    """Return a reader's prediction as a number, or None; `what` was expected, `positive` or 0 as well."""
    if value is None:
        return None
    bounds: dict[str, float] = {"above": 0} if positive else {"least": 0}
    given = checks.number("predicted", value, **bounds, kind=what, also="or None")
    if given and not DRAWN[0] <= given <= DRAWN[1]:
        raise checks.wrong("predicted", value, f"{what} that can be drawn, from {DRAWN[0]:g} to {DRAWN[1]:g}, or None")
    return given


def guesses(contenders: Sequence[Contender]) -> list[Guess]:
    """Return the predictions to be drawn in one panel: a single one for all runs where they are alike."""
    found = [
        Guess(f"your prediction for {one.label}", one.predicted, one.look.ink)
        for one in contenders
        if one.predicted is not None
    ]
    if len(found) == len(contenders) and len({guess.value for guess in found}) == 1:
        return [Guess("your prediction", found[0].value, style.INK)]
    return found


# The small print, and what it has no room for


def small_print(contenders: Sequence[Contender], circumstances: bool = False, asked: str = "") -> list[str]:
    """Return the two texts of the small print: machine and versions; capacity and loads, in other words if they are
    `asked` so.

    The second is left out where the figure states the `circumstances` beside each run.
    """
    about = {contender.label: contender.run.about for contender in contenders}
    machines = list(dict.fromkeys(one.machine.caption for one in about.values()))
    if len(machines) > 1:
        machines[0] = f"These runs come from different machines or versions: {machines[0]}"
    served = each_or_all({label: one.served_by for label, one in about.items()}, ": ")
    capacity = each_or_all({label: one.at_once for label, one in about.items()})
    asked = asked or each_or_all({label: one.asked for label, one in about.items()})
    return [" · ".join([*machines, served]), *([] if circumstances else [f"capacity: {capacity} · asked: {asked}"])]


def details(contenders: Iterable[Contender]) -> list[tuple[str, str]]:
    """Return how each run was measured, for the table that stays with the figure."""
    return [(contender.label, "; ".join(_measured(contender.run))) for contender in contenders]


def _measured(run: Run) -> Iterator[str]:
    about, total = run.about, wording.counted(len(run.requests), "request")
    opened = f"; {wording.counted(run.connections, 'connection')} opened, warm-up included" if run.connections else ""
    yield f"{total}{opened}"
    most = "at most " if about.each is not None else ""
    yield f"{most}{about.seconds:g} s after {about.warmup:g} s of warm-up, seed {about.seed}"
    yield f"asked: {about.asked}; capacity: {about.at_once}; {about.served_by}"
    if about.unseen:
        yield f"not audited on this system: {wording.listed(about.unseen)}"
    yield from run.summary["reasons"]
