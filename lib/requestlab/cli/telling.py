"""How a run, or a ramp of them, is told on the command line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from requestlab.cli.tables import figure, percent, print_columns, print_json, print_table
from requestlab.measurement.ramp import Ramp
from requestlab.measurement.run import Run
from requestlab.measurement.validity import LATE_MS
from requestlab.system.values import to_plain

_ASKED = ("label", "url", "path", "load", "users", "each", "rate", "arrivals", "seed", "keep_alive", "expect")


def tell(found: Run | Ramp, save: Path | None, as_json: bool) -> None:
    """Print what was found; `save` is where a run was saved."""
    if isinstance(found, Ramp):
        _tell_ramp(found, as_json)
    elif as_json:
        print_json({**_facts(found), "saved": save and str(save), "machine": to_plain(found.about.machine)})
    else:
        print_table(_rows(found, save))


def why_invalid(found: Run | Ramp) -> str:
    """Return why figures are not to be believed at all, or nothing."""
    if isinstance(found, Run):
        return f"the run is invalid: {why(found)}" if found.summary["validity"] == "invalid" else ""
    invalid = [(step, run) for step, run in zip(found.steps, found, strict=True) if why_invalid(run)]
    return "; ".join(f"the run with {step:g} {found.unit} is invalid: {why(run)}" for step, run in invalid)


def why(run: Run) -> str:
    """Return the reasons why a run is not valid, and how often each kind of failure happened."""
    kinds = ", ".join(f"{count:,} × {kind}" for kind, count in _failures(run).items())
    return "; ".join(run.summary["reasons"]) + (f" ({kinds})" if kinds else "")


def _tell_ramp(ramp: Ramp, as_json: bool) -> None:
    about = ramp.runs[0].about
    if as_json:
        facts = {"label": ramp.label, "url": about.url, "path": about.path, "unit": ramp.unit}
        print_json({**facts, "steps": [_facts(run) for run in ramp], "machine": to_plain(about.machine)})
        return
    opened = ramp.unit != "users"
    print_table([("ramp", f"{ramp.label}, {about.path}, {ramp.runs[0].seconds:.3g} s each")])
    late = [f"late > {LATE_MS:g} ms", "late p99 ms"] if opened else []
    heads = [ramp.unit, "answers/s", "p50 ms", "p95 ms", "p99 ms", "errors", *late, "server CPU ms", "validity"]
    rows = [[_step(step), *_cells(run, opened)] for step, run in zip(ramp.steps, ramp, strict=True)]
    print_columns(heads, rows)
    for step, run in zip(ramp.steps, ramp, strict=True):
        if run.summary["reasons"]:
            print_table([(f"{_step(step)} {ramp.unit}", "; ".join(run.summary["reasons"]))])


def _step(step: float) -> str:
    return f"{step:,g}"


def _cells(run: Run, opened: bool) -> list[str]:
    summary = run.summary
    times = [figure(summary[name]) for name in ("throughput", "p50", "p95", "p99")]
    late = [f"{summary['late']:,}", figure(summary["late_p99"])] if opened else []
    return [*times, f"{summary['errors']:,}", *late, figure(summary["cpu_per_request"]), summary["validity"]]


def _facts(run: Run) -> dict[str, Any]:
    return {
        **{name: getattr(run.about, name) for name in _ASKED},
        "seconds": run.seconds,
        "planned": len(run.requests),
        "sent": _sent(run),
        **run.summary,
        "generator_cpu_per_request": run.generator_cpu_per_request,
        "generator_share": run.generator_share,
        "connections": run.connections,
        "workers": _shares(run),
        "counts": run.about.counts,
    }


def _rows(run: Run, save: Path | None) -> Iterator[tuple[str, str]]:
    summary = run.summary
    yield "run", f"{run.label}, {run.about.path}, {run.about.load}, {run.seconds:.3g} s"
    yield "throughput", f"{figure(summary['throughput'])} answers/s"
    yield from _planned(run)
    for name in ("p50", "p95", "p99", "max"):
        yield name, f"{figure(summary[name])} ms{_of_that_service(run, name)}"
    yield "errors", f"{summary['errors']:,} of {len(run.requests):,} requests"
    for kind, count in _failures(run).items():
        yield "", f"{count:,} × {kind}"
    yield "server CPU", f"{figure(summary['cpu_per_request'])} ms/request"
    generator = f"{figure(run.generator_cpu_per_request)} ms/request, {percent(run.generator_share)} of its core"
    yield "generator CPU", generator
    yield "connections", f"{run.connections:,} opened, warm-up included"
    yield from _workers(run)
    yield "validity", summary["validity"]
    for reason in summary["reasons"]:
        yield "", reason
    if save is not None:
        yield "saved", str(save)


def _planned(run: Run) -> Iterator[tuple[str, str]]:
    """An open loop has a schedule: tell what became of it."""
    if run.about.rate is None:
        return
    summary = run.summary
    yield "planned", f"{len(run.requests):,} requests"
    late = f"{summary['late']:,} of them more than {LATE_MS:g} ms late, 99% within {figure(summary['late_p99'])} ms"
    yield "sent", f"{_sent(run):,}, {late}"
    yield "times", "response from when a request was planned, service from when it was sent"


def _of_that_service(run: Run, name: str) -> str:
    known = run.about.rate is not None and f"service_{name}" in run.summary
    return f" response, {figure(run.summary[f'service_{name}'])} ms service" if known else ""


def _workers(run: Run) -> Iterator[tuple[str, str]]:
    """Who served the answers, where the probe was on; else, how many requests each worker itself has counted."""
    if shares := _shares(run):
        for pid, share in shares.items():
            yield f"worker {pid}", f"served {percent(share)}"
        return
    counts = run.about.counts
    for pid, count in sorted(counts.items(), key=lambda row: -row[1]):
        of_all = f" ({percent(count / sum(counts.values()))})" if count else ""
        yield f"worker {pid}", f"counted {count:,} requests{of_all}, warm-up included"


def _sent(run: Run) -> int:
    return int((run.requests["sent"] > 0).sum())


def _failures(run: Run) -> dict[str, int]:
    """Return how often each kind of failure happened, the most frequent first."""
    failed = run.requests[(run.requests["error"] != "") | (run.requests["status"] >= 400)]
    kinds = failed["error"].astype(str).where(failed["error"] != "", "status " + failed["status"].astype(str))
    return {str(kind): int(count) for kind, count in kinds.value_counts().items()}


def _shares(run: Run) -> dict[int, float]:
    """Return each worker's share of the answers; empty where the probe was off."""
    shares = run.requests["pid"].dropna().value_counts(normalize=True)
    return {int(pid): float(shares[pid]) for pid in shares.index}
