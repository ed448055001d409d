"""What a figure is asked to show: runs with their labels and looks, the reader's predictions, percentiles, the small print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from requestlab.comparison.comparison import Comparison
from requestlab.comparison.wording import each_or_all
from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run
from requestlab.measurement.validity import TAIL
from requestlab.plots import style
from requestlab.plots.style import SeriesStyle, looks
from requestlab.serving.servers import SERVERS
from requestlab.system import checks, wording

Runs = Run | Mapping[str, Run]
"""What figures take, one or several times: a run, or one mapping of labels to runs."""

Predicted = float | Mapping[str, float | None] | None
"""A reader's prediction: for all runs, for each label, or none."""

PERCENTILES = (50, 95, 99)

_SERVERS_OWN = ("gunicorn", "uvicorn", "uvicorn-worker")


@dataclass(frozen=True)
class Contender:
    """One run in a figure."""

    label: str
    run: Run
    look: SeriesStyle

    @property
    def heading(self) -> str:
        """Marker and label, and a word of warning for a run that is suspect or invalid."""
        validity = self.run.summary["validity"]
        caveat = "" if validity == "valid" else f" ({validity})"
        return f"{self.look.glyph} {self.label}{caveat}"

    @property
    def failed(self) -> int:
        """Requests that failed or were answered with a status of 400 or above."""
        return int(self.run.failed.sum())

    @property
    def failures(self) -> str:
        """How many failed, in words to go behind the label; empty if none did."""
        total = len(self.run.requests)
        return f" ({self.failed:,} of {wording.counted(total, 'request')} failed)" if self.failed else ""

    @property
    def circumstances(self) -> list[str]:
        """What was asked for, and how many requests the configuration can hold in hand at once."""
        return [*self.asked, f"capacity: {self.capacity}"]

    @property
    def asked(self) -> list[str]:
        """The load, and the loads that were beside it on the same server."""
        about = self.run.about
        others = (f"beside {path}, {load}" for path, load in about.beside.items())
        return [f"{about.path}, {about.load}", *others]

    @property
    def capacity(self) -> str:
        """How many requests the configuration can hold in hand at once, in words."""
        if self.run.about.configuration is None:
            return "unknown"
        most = self.run.about.capacity
        return "no limit of its own" if most is None else f"{wording.counted(most, 'request')} at once"

    @property
    def served_by(self) -> str:
        """Server, versions and event loop: `uvicorn 0.54.0 on asyncio`."""
        configuration = self.run.about.configuration
        row = SERVERS.get(configuration.server) if configuration else None
        if configuration is None or row is None:
            return "server unknown"
        versions = self.run.about.machine.versions
        packages = " and ".join(f"{name} {versions.get(name)}" for name in row.packages if name in _SERVERS_OWN)
        if row.interface == "wsgi":
            return f"{packages} ({row.name}), no event loop"
        loop = configuration.loop or "asyncio"
        return f"{packages or row.name} on {loop} {versions.get(loop, '')}".rstrip()

    @property
    def open_loop(self) -> bool:
        """Whether its load was an open loop: only there, a request may be sent later than it was planned."""
        return self.run.about.rate is not None

    @property
    def marked(self) -> list[int]:
        """The percentiles for which there is evidence: p95 and p99 only with at least `TAIL` requests beyond."""
        count = self.run.response_ms.size
        return [q for q in PERCENTILES if count and (q == 50 or count * (100 - q) >= 100 * TAIL)]

    def percentile(self, q: float) -> float:
        """Return a percentile of the response time in ms, as the run's summary has it."""
        return float(np.percentile(self.run.response_ms, q))


def gather(runs: Sequence[Runs], figure: str, most: int | None = None) -> list[Contender]:
    """Return the contenders of a figure called `figure`; ConfigurationError for anything that is not a run."""
    labelled = list(_labelled(runs))
    wrong = [repr(run) for _, run in labelled if not isinstance(run, Run)]
    if wrong or not labelled:
        what = wrong[0] if wrong else "nothing"
        raise ConfigurationError(f"{figure}() takes runs of measure(), or one mapping of labels to runs, not {what}")
    if most is not None and len(labelled) > most:
        raise ConfigurationError(f"{figure}() shows at most {most} runs side by side, not {len(labelled)}")
    labels = _told_apart(labelled)
    faces = looks([(_name(run), run.label) for _, run in labelled])
    return [Contender(label, run, face) for label, (_, run), face in zip(labels, labelled, faces, strict=True)]


def _labelled(runs: Sequence[Any]) -> list[tuple[str, Any]]:
    if len(runs) == 1 and isinstance(runs[0], Mapping):
        return [(str(label), run) for label, run in runs[0].items()]
    return [(run.label if isinstance(run, Run) else "", run) for run in runs]


def _told_apart(labelled: Sequence[tuple[str, Run]]) -> list[str]:
    """Add the path to labels that occur twice, and a number to those that are still alike."""
    times = Counter(label for label, _ in labelled)
    longer = [label if times[label] == 1 else f"{label}, {run.about.path}" for label, run in labelled]
    seen: Counter[str] = Counter()
    told = []
    for label in longer:
        seen[label] += 1
        told.append(label if seen[label] == 1 else f"{label} #{seen[label]}")
    return told


def _name(run: Run) -> str:
    configuration = run.about.configuration
    return configuration.name if configuration else run.label


def first_runs(result: Comparison) -> dict[str, Run]:
    """Return one run of each contender of a comparison, one that counts if there is any."""
    ranked = sorted(result.slices, key=lambda part: bool(part.dropped), reverse=True)
    runs = {part.label: part.run for part in ranked}
    return {label: runs[label] for label in result.labels if label in runs}


# The reader's predictions


@dataclass(frozen=True)
class Guess:
    """A reader's prediction: `your prediction`, or `your prediction for sync`, its number and its colour."""

    text: str
    value: float
    colour: str


def predicted_for(
    predicted: Predicted, names: Sequence[str], what: str, *, noun: str = "run", positive: bool = False
) -> dict[str, float | None]:
    """Return a prediction for each name, None where there is none: the one check of what a reader predicted.

    `what` was expected, `positive` or 0 as well, and a name is that of a `noun`; ConfigurationError for anything else.
    """
    given = predicted if isinstance(predicted, Mapping) else dict.fromkeys(names, predicted)
    checks.known_names("predicted", given, names, noun)
    found = {name: checked(value, what, positive) for name, value in given.items()}
    return {name: found.get(name) for name in names}


def checked(value: object, what: str, positive: bool = False) -> float | None:
    """Return a reader's prediction as a number, or None; `what` was expected, `positive` or 0 as well."""
    bounds: dict[str, float] = {"above": 0} if positive else {"least": 0}
    return None if value is None else checks.number("predicted", value, **bounds, kind=what, also="or None")


def predictions(
    predicted: Predicted, contenders: Sequence[Contender], what: str, positive: bool = False
) -> list[float | None]:
    """Return one prediction for each contender, None where there is none."""
    labels = [contender.label for contender in contenders]
    return list(predicted_for(predicted, labels, what, positive=positive).values())


def guesses(contenders: Sequence[Contender], expected: Sequence[float | None]) -> list[Guess]:
    """Return the predictions to be drawn in one panel: a single one for all runs where they are alike."""
    pairs = [(one, value) for one, value in zip(contenders, expected, strict=True) if value is not None]
    if pairs and len(set(expected)) == 1:
        return [Guess("your prediction", pairs[0][1], style.INK)]
    return [Guess(f"your prediction for {one.label}", value, one.look.ink) for one, value in pairs]


# The small print, and what it has no room for


def small_print(contenders: Sequence[Contender], circumstances: bool = False, asked: str = "") -> list[str]:
    """Return the two lines of the small print: machine and versions; capacity and loads.

    The second line is left out where the figure states the `circumstances` beside each run. `asked` are the loads in other words
    than those of the runs.
    """
    machines = list(dict.fromkeys(contender.run.about.machine.caption for contender in contenders))
    if len(machines) > 1:
        machines[0] = f"These runs come from different machines or versions: {machines[0]}"
    served = each_or_all({contender.label: contender.served_by for contender in contenders}, ": ")
    capacities = each_or_all({contender.label: contender.capacity for contender in contenders})
    asked = asked or each_or_all({contender.label: ", ".join(contender.asked) for contender in contenders})
    stated = [] if circumstances else [f"capacity: {capacities} · asked: {asked}"]
    return [" · ".join([*machines, served]), *stated]


def details(contenders: Iterable[Contender]) -> list[tuple[str, str]]:
    """Return how each run was measured, for the table that stays with the figure."""
    rows = []
    for contender in contenders:
        about, total = contender.run.about, len(contender.run.requests)
        told = [
            f"{wording.counted(total, 'request')} over {wording.counted(contender.run.connections, 'connection')}",
            f"{about.seconds:g} s after {about.warmup:g} s of warm-up, seed {about.seed}",
            f"asked: {', '.join(contender.asked)}; capacity: {contender.capacity}; {contender.served_by}",
            *contender.run.summary["reasons"],
        ]
        rows.append((contender.label, "; ".join(told)))
    return rows
