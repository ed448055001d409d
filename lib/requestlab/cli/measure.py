"""`requestlab measure`: one load on one target, or a ramp of loads, and a report of how it fared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from requestlab.cli.options import (
    NewFile,
    configuration,
    given,
    json_option,
    load_of,
    load_options,
    project_options,
    remote_option,
    serving_options,
    settings_of,
    slice_options,
)
from requestlab.cli.tables import print_json, print_table
from requestlab.cli.targets import announce, check_path, default_path, split
from requestlab.load.loads import Load, Steps
from requestlab.load.target import find_target
from requestlab.measurement import measure as measuring
from requestlab.measurement.ramp import Ramp
from requestlab.measurement.run import Run
from requestlab.measurement.validity import LATE_MS
from requestlab.serving.configuration import NAMED
from requestlab.serving.server import serve
from requestlab.system.wording import figure, percent

_ASKED = ("label", "url", "path", "load", "users", "each", "rate", "arrivals", "seed", "keep_alive", "expect")


@click.command()
@click.argument("target")
@click.argument("path", required=False)
@load_options(ramps=True)
@click.option("--seed", type=click.IntRange(min=0), help="Makes the same poisson arrivals again.  [default: 0]")
@slice_options(seconds=2.0)
@click.option("--save", type=NewFile(), help="Keep every request in this file.")
@remote_option
@project_options
@serving_options
@json_option
def measure(target: str, path: str | None, save: Path | None, remote: bool, as_json: bool, **options: Any) -> None:
    """Put one load on TARGET and say how it fared.

    TARGET is an address on this machine, such as http://127.0.0.1:8000/path/, or a named configuration of the bundled
    app, served for the time of the measurement: sync (WSGI), asgi (ASGI, Django's default middleware), async (ASGI, no
    middleware), null (no application at all), upstream (what some views call). PATH is the app's page unless said
    otherwise.

    The load is a closed loop of --users, each of whom waits for an answer before asking again, or an open loop at a
    --rate. Several of them, as in --users 1,10,50, make a ramp: a table with one row for each, which took --seconds.

    Exits with 1 where a run is invalid: where nothing was answered, say.
    """
    if options["seed"] is not None and options["arrivals"] != "poisson":
        raise click.UsageError("--seed is for --arrivals poisson; all other loads leave nothing to chance")
    load, settings = load_of(options), settings_of(options)
    measuring.check(load, measuring.Settings(**settings))  # before anything is announced or started
    if save is not None and isinstance(load, Steps):
        raise click.UsageError(f"--save keeps one run, and this ramp makes {len(load.loads)}; leave it out")
    if target in NAMED:
        if remote:
            raise click.UsageError("--remote is for an address; a configuration is served on this machine")
        found = _measure_configuration(target, path, options, load, settings)
    else:
        found = _measure_address(target, path, options, load, settings, remote)
    problem = _save(found, save)
    _print(found, None if problem else save, as_json)
    if problem or (problem := _why_invalid(found)):
        raise click.ClickException(problem)


def _measure_configuration(
    name: str, path: str | None, options: dict[str, Any], load: Load | Steps, settings: dict[str, Any]
) -> Run | Ramp:
    asked = configuration(name, options)
    path = path or default_path(asked)
    check_path(path)
    with serve(asked) as server:
        return measuring.measure(server, path, load, **settings)


def _measure_address(
    target: str, path: str | None, options: dict[str, Any], load: Load | Steps, settings: dict[str, Any], remote: bool
) -> Run | Ramp:
    base, path = split(target, path)
    for name in given(options):
        option = f"--{name.replace('_', '-')}"
        raise click.UsageError(f"{option} is for a configuration ({', '.join(NAMED)}), which the lab serves itself")
    if remote:
        each = " each" if isinstance(load, Steps) else ""
        announce(find_target(base, path, remote), f"{load}, for {settings['seconds']:g} s{each} and the warm-up before")
    return measuring.measure(base, path, load, remote=remote, **settings)


def _save(found: Run | Ramp, save: Path | None) -> str:
    """Save the run where that was asked for; return what went wrong."""
    try:
        if save is not None:
            found.save(save)  # type: ignore[union-attr]
        return ""
    except OSError as problem:
        return f"the run could not be saved in {str(save)!r}: {problem.strerror}"


def _print(found: Run | Ramp, save: Path | None, as_json: bool) -> None:
    if not isinstance(found, Run):
        _print_ramp(found, as_json)
    elif as_json:
        print_json({**_facts(found), "saved": save and str(save), "machine": found.about.machine})
    else:
        print_table(_rows(found, save))


def _why_invalid(found: Run | Ramp) -> str:
    """Return why figures are not to be believed at all, or nothing."""
    if isinstance(found, Run):
        return f"the run is invalid: {why(found)}" if found.summary["validity"] == "invalid" else ""
    steps = zip(found.steps, found, strict=True)
    return "; ".join(
        f"the run with {step:g} {found.unit} is invalid: {why(run)}" for step, run in steps if _why_invalid(run)
    )


def why(run: Run) -> str:
    """Return the reasons why a run is not valid, and how often each kind of failure happened."""
    kinds = ", ".join(f"{count:,} × {kind}" for kind, count in _failures(run).items())
    return "; ".join(run.summary["reasons"]) + (f" ({kinds})" if kinds else "")


# A ramp


def _print_ramp(ramp: Ramp, as_json: bool) -> None:
    about = ramp.runs[0].about
    if as_json:
        facts = {"label": ramp.label, "url": about.url, "path": about.path, "unit": ramp.unit}
        print_json({**facts, "steps": [_facts(run) for run in ramp], "machine": about.machine})
        return
    print_table([("ramp", f"{ramp.label}, {about.path}, {ramp.runs[0].seconds:.3g} s each")])
    late = [] if ramp.unit == "users" else [f"late > {LATE_MS:g} ms", "late p99 ms"]
    heads = [ramp.unit, "answers/s", "p50 ms", "p95 ms", "p99 ms", "errors", *late, "server CPU ms", "validity"]
    steps = [f"{step:,g}" for step in ramp.steps]
    print_table([heads, *([step, *_cells(run)] for step, run in zip(steps, ramp, strict=True))], ">")
    for step, run in zip(steps, ramp, strict=True):
        if run.summary["reasons"]:
            print_table([(f"{step} {ramp.unit}", "; ".join(run.summary["reasons"]))])


def _cells(run: Run) -> list[str]:
    summary = run.summary
    times = [figure(summary[name]) for name in ("throughput", "p50", "p95", "p99")]
    late = [] if run.about.rate is None else [f"{summary['late']:,}", figure(summary["late_p99"])]
    return [*times, f"{summary['errors']:,}", *late, figure(summary["cpu_per_request"]), summary["validity"]]


# One run


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
    if run.about.rate is not None:
        yield from _planned(run)
    for name in ("p50", "p95", "p99", "max"):
        service = summary.get(f"service_{name}") if run.about.rate is not None else None
        yield name, f"{figure(summary[name])} ms" + (f" response, {figure(service)} ms service" if service else "")
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
    summary = run.summary
    yield "planned", f"{len(run.requests):,} requests"
    late = f"{summary['late']:,} of them more than {LATE_MS:g} ms late, 99% within {figure(summary['late_p99'])} ms"
    yield "sent", f"{_sent(run):,}, {late}"
    yield "times", "response from when a request was planned, service from when it was sent"


def _workers(run: Run) -> Iterator[tuple[str, str]]:
    """Who served the answers, where the probe was on; else, how many requests each worker itself has counted."""
    for pid, share in _shares(run).items():
        yield f"worker {pid}", f"served {percent(share)}"
    if _shares(run):
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
