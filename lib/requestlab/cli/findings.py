"""How a comparison is told on the command line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from requestlab.cli.tables import figure, print_columns, print_json, print_table, times
from requestlab.cli.telling import why
from requestlab.comparison.comparison import CANNOT_TELL, FASTER, METRICS, SLOWER, Comparison, Ratio
from requestlab.comparison.intervals import CONFIDENCE
from requestlab.system.values import to_plain

PHRASES = {
    "throughput": ("answers {} times as many requests per second as {}", "requests per second"),
    "p50": ("has {} times the median response time (p50) of {}", "median response time (p50)"),
    "p95": ("has {} times the p95 response time of {}", "p95 response time"),
    "p99": ("has {} times the p99 response time of {}", "p99 response time"),
    "cpu_per_request": ("spends {} times the CPU time per request of {}", "CPU time per request"),
}
"""Each metric in a sentence, with the ratio and the baseline to fill in, and by itself."""

HEADS = (
    "",
    "requests/s",
    "p50 ms",
    "p95 ms",
    "p99 ms",
    "CPU ms/request",
    "failed",
    "connections / requests",
    "at once",
)
_OF_CPU = {FASTER: "less CPU", SLOWER: "more CPU"}
_NO_CPU = "it is not known for addresses, beside other loads, nor where a worker ended"


def tell(result: Comparison, saved: Path | None, as_json: bool) -> None:
    """Print what was found; `saved` is where a figure of it is."""
    if as_json:
        print_json({**_facts(result), "figure": saved and str(saved)})
        return
    print_columns(HEADS, [_cells(result, label) for label in _all(result)], named=True)
    for label in result.labels[1:]:
        click.echo()
        for metric in METRICS:
            click.echo(sentence(result, _against(result, label, metric)))
    click.echo()
    print_table(_rows(result, saved))


def sentence(result: Comparison, ratio: Ratio) -> str:
    """Return one finding as a reader would say it, with the reason where there is no verdict."""
    phrase, noun = PHRASES[ratio.metric]
    said = f"{ratio.over} {phrase.format(times(ratio.value), ratio.under)}"
    if ratio.interval.known:
        said += f" ({times(ratio.low)} to {times(ratio.high)})"
    elif ratio.interval.rounds == 0:
        said = f"{ratio.over} against {ratio.under}, {noun}"
    if ratio.verdict != CANNOT_TELL:
        return f"{said}: {_OF_CPU[ratio.verdict] if ratio.metric == 'cpu_per_request' else ratio.verdict}"
    return f"{said}: {CANNOT_TELL}, {_reason(result, ratio)}"


def why_not(result: Comparison) -> str:
    """Return why the figures are not the comparison that was wanted, or nothing: slices are invalid, none count, or a server
    has ended, which may have been between two slices."""
    found = []
    for label in _all(result):
        runs = result.runs(label)
        if invalid := [run for run in runs if run.summary["validity"] == "invalid"]:
            found.append(f"{len(invalid)} of {len(runs)} slices of {label} are invalid: {why(invalid[0])}")
    if not found and not result.complete:
        found.append(
            f"nothing could be compared: in no round do the slices of all contenders count, {_dropped(result)}"
        )
    if not found and str(result.about.stopped).endswith("has ended"):
        found.append(f"the comparison ended early: {result.about.stopped}")
    return "; ".join(found)


def _all(result: Comparison) -> list[str]:
    return [*result.labels, *([result.control] if result.control else [])]


def _against(result: Comparison, label: str, metric: str) -> Ratio:
    return result.ratio(label, result.labels[0], metric)


def _reason(result: Comparison, ratio: Ratio) -> str:
    if ratio.caveats:
        return "for the caveats below"
    if not ratio.interval.known:
        nowhere = ratio.interval.rounds == 0 and result.complete
        return _NO_CPU if nowhere and ratio.metric == "cpu_per_request" else ratio.interval.why.partition("; ")[0]
    return ratio.reason.partition("; ")[0]  # what disturbed slices that count has a row of its own


def _cells(result: Comparison, label: str) -> list[str]:
    runs = result.runs(label)
    middles = [figure(float(result.figures(metric)[label].median())) for metric in METRICS]
    failed = sum(run.summary["errors"] for run in runs)
    opened, requests = sum(run.connections for run in runs), sum(len(run.samples) for run in runs)
    return [label, *middles, f"{failed:,}", f"{opened:,} / {requests:,}", _capacity(result, label)]


def _capacity(result: Comparison, label: str) -> str:
    """How many requests the contender can have in hand."""
    about = next(part.run.about for part in result.slices if part.label == label)
    if about.configuration is None:
        return "unknown"
    return "no limit" if about.capacity is None else f"{about.capacity:,}"


def _rows(result: Comparison, saved: Path | None) -> Iterator[tuple[str, str]]:
    about = result.about
    yield "asked", f"{_alike(about.paths)} under {_alike(about.loads)}"
    tried = len({part.round for part in result.slices})
    whole = "" if result.complete == tried else f", {result.complete} of them whole"
    how = f"slices of {about.seconds:g} s, order shuffled, seed {about.seed}, intervals at {CONFIDENCE:.0%}"
    yield "rounds", f"{tried}{whole}; {how}; above are medians of rounds"
    yield "stopped", f"because {about.stopped}"
    yield "dropped", _dropped(result)
    if result.disturbed:
        yield "disturbed", f"but counted, since so many are: {_kinds(result.disturbed)}"
    suspect = [part.run for part in result.slices if not part.dropped and part.run.summary["validity"] == "suspect"]
    if suspect:
        yield (
            "suspect",
            f"{len(suspect)} of {len(result.slices)} slices, one because {suspect[0].summary['reasons'][0]}",
        )
    caveats = [
        caveat for label in _all(result)[1:] for metric in METRICS for caveat in _against(result, label, metric).caveats
    ]
    for number, caveat in enumerate(dict.fromkeys(caveats)):
        yield "" if number else "caveats", caveat
    if result.control:
        yield "A/A", _control(result)
    yield "machine", about.machine.caption
    if saved is not None:
        yield "figure", str(saved)


def _control(result: Comparison) -> str:
    assert result.control is not None
    ratio = _against(result, result.control, "throughput")
    said = sentence(result, ratio)
    if ratio.verdict != CANNOT_TELL:
        return f"{said}, though it is the same: trust no difference as small"
    return f"{said}; as it should be" if ratio.interval.known else said


def _dropped(result: Comparison) -> str:
    evidence = f" for evidence from outside: {_kinds(result.dropped_why)}" if result.dropped else ""
    return f"{result.dropped:,} of {len(result.slices):,} slices{evidence}"


def _kinds(counts: dict[str, int]) -> str:
    return "; ".join(f"{count:,} × {kind}" for kind, count in counts.items())


def _alike(texts: Mapping[str, str]) -> str:
    """Return the text that all have, or each label with its own."""
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return "; ".join(f"{label}: {text}" for label, text in texts.items())


def _facts(result: Comparison) -> dict[str, Any]:
    about = result.about
    labels = _all(result)
    ratios = [_against(result, label, metric) for label in labels[1:] for metric in METRICS]
    return {
        "contenders": {label: _contender(result, label) for label in labels},
        "baseline": result.labels[0],
        "control": result.control,
        "ratios": [_ratio(ratio) for ratio in ratios],
        "resolution": result.resolution and dataclasses.asdict(result.resolution),
        "complete": result.complete,
        "rounds": result.rounds.to_dict("records"),
        "dropped": result.dropped,
        "dropped_why": result.dropped_why,
        "disturbed": result.disturbed,
        **to_plain(about),
    }


def _ratio(ratio: Ratio) -> dict[str, Any]:
    interval = {name: value for name, value in dataclasses.asdict(ratio.interval).items() if name != "why"}
    said = {"over": ratio.over, "under": ratio.under, "metric": ratio.metric}
    return {**said, **interval, "verdict": ratio.verdict, "reason": ratio.reason, "caveats": ratio.caveats}


def _contender(result: Comparison, label: str) -> dict[str, Any]:
    runs = result.runs(label)
    about = next(part.run.about for part in result.slices if part.label == label)
    return {
        **{name: to_plain(getattr(about, name)) for name in ("configuration", "url", "path", "load", "capacity")},
        **{metric: float(result.figures(metric)[label].median()) for metric in METRICS},
        "requests": sum(len(run.requests) for run in runs),
        "errors": sum(run.summary["errors"] for run in runs),
        "connections": sum(run.connections for run in runs),
        "caveats": result.caveats(label),
    }
