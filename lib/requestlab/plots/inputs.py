"""What a figure is asked to show: runs with their labels and looks, the reader's predictions, the small print."""

from __future__ import annotations

import math
import numbers
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from requestlab.errors import ConfigurationError
from requestlab.measurement.run import Run
from requestlab.plots.style import SeriesStyle, looks
from requestlab.serving.servers import SERVERS
from requestlab.system import wording

Runs = Run | Mapping[str, Run]
"""What figures take, one or several times: a run, or one mapping of labels to runs."""

Predicted = float | Mapping[str, float | None] | None
"""A reader's prediction: for all runs, for each label, or none."""

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


def predictions(predicted: Predicted, contenders: Sequence[Contender], what: str) -> list[float | None]:
    """Return one prediction for each contender, None where there is none; `what` it is of, for the error's message."""
    if not isinstance(predicted, Mapping):
        return [checked(predicted, what)] * len(contenders)
    labels = [contender.label for contender in contenders]
    unknown = [label for label in predicted if label not in labels]
    if unknown:
        raise ConfigurationError(f"predicted has no run called {unknown[0]!r}; the runs are {', '.join(labels)}")
    return [checked(predicted.get(label), what) for label in labels]


def checked(value: object, what: str) -> float | None:
    """Return a reader's prediction as a number of 0 or more, or None; `what` was expected, for the error's message."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value) or value < 0:
        raise ConfigurationError(f"predicted={value!r}: expected {what}, a number, or None")
    return float(value)


def small_print(contenders: Sequence[Contender]) -> list[str]:
    """Return the lines of the caption: machine and versions, then what served each run."""
    machines = list(dict.fromkeys(contender.run.about.machine.caption for contender in contenders))
    if len(machines) > 1:
        machines.insert(0, "These runs come from different machines or versions:")
    served: dict[str, dict[str, None]] = {}
    for contender in contenders:
        served.setdefault(contender.served_by, {})[contender.label] = None
    if len(served) == 1:
        return [*machines, *served]
    return [*machines, " · ".join(f"{' and '.join(labels)}: {by}" for by, labels in served.items())]


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
