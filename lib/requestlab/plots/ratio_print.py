"""The small print of a comparison: its rounds, what was dropped, what was asked for, over which connections."""

from __future__ import annotations

from collections.abc import Mapping

from requestlab.comparison.comparison import Comparison
from requestlab.plots.inputs import Contender
from requestlab.system import wording

MAX_REASONS = 3


def circumstances(results: Mapping[str, Comparison]) -> list[str]:
    """Return the lines for all cases; what is alike in all of them is said once."""
    told = {case: _facts(result) for case, result in results.items()}
    kinds = next(iter(told.values()))
    return [kind + _each({case: facts[kind] for case, facts in told.items()}, ": ") for kind in kinds]


def capacities(contenders: list[Contender]) -> str:
    """Return how many requests each contender can hold in hand at once."""
    return f"capacity: {_each({contender.label: contender.capacity for contender in contenders})}"


def load(result: Comparison) -> str:
    """Return the load that all contenders were under, or nothing where they differ."""
    loads = set(result.about.loads.values())
    return str(loads.pop()) if len(loads) == 1 else ""


def _facts(result: Comparison) -> dict[str, str]:
    """Return lines of text by what they begin with."""
    about = result.about
    asked = [{label: what[label] for label in result.labels} for what in (about.paths, about.loads)]
    return {
        "": f"{_rounds(result)}; ended because {about.stopped}",
        "slices dropped: ": _dropped(result),
        "asked: ": " under ".join(map(_each, asked)),
        "connections opened: ": _each(_connections(result)),
    }


def _rounds(result: Comparison) -> str:
    count = len({part.round for part in result.slices})
    whole = "" if result.complete == count else f", {result.complete} of them whole"
    about = result.about
    return f"{wording.counted(count, 'round')}{whole}, slices of {about.seconds:g} s, order shuffled, seed {about.seed}"


def _dropped(result: Comparison) -> str:
    suspect = sum(part.run.summary["validity"] == "suspect" for part in result.slices if not part.dropped)
    kept, dropped = result.disturbed, result.dropped_why
    return "; ".join(
        [
            f"{result.dropped:,} of {len(result.slices):,}" + (f", because of {_kinds(dropped)}" if dropped else ""),
            *([f"disturbed, but counted, since so many are: {_kinds(kept)}"] if kept else []),
            *([f"suspect: {suspect:,}"] if suspect else []),
        ]
    )


def _kinds(counts: Mapping[str, int]) -> str:
    """`steal (12), other processes (3)`, the most frequent first."""
    ranked = sorted(counts.items(), key=lambda kind: -kind[1])
    said = [f"{why.replace(', ', ' and ')} ({number:,})" for why, number in ranked[:MAX_REASONS]]
    rest = sum(number for _, number in ranked[MAX_REASONS:])
    return ", ".join([*said, *([f"other reasons ({rest:,})"] if rest else [])])


def _connections(result: Comparison) -> dict[str, str]:
    found = {}
    for label in result.labels:
        runs = result.runs(label)
        if runs:
            opened, sent = sum(run.connections for run in runs), sum(len(run.samples) for run in runs)
            found[label] = f"{opened:,} for {wording.counted(sent, 'request')}"
    return found


def _each(texts: Mapping[str, str], between: str = " ") -> str:
    """`10 users`, or `sync 1 user; async 10 users` where they differ."""
    alike: dict[str, list[str]] = {}
    for label, text in texts.items():
        alike.setdefault(text, []).append(label)
    if len(alike) == 1:
        return next(iter(alike))
    parts = [f"{' and '.join(labels)}{between}{text}" for text, labels in alike.items()]
    return (" · " if between == ": " else "; ").join(parts)
