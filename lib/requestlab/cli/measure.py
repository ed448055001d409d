"""`requestlab measure`: one load on one target, and a report of how it fared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from requestlab.cli.addresses import DEFAULT_PATH, announce, split
from requestlab.cli.options import configuration, json_option, serving_options
from requestlab.cli.output import figure, percent, print_json, print_table
from requestlab.configurations import NAMED, Configuration
from requestlab.load import MOST_EACH, MOST_USERS, Closed, closed

if TYPE_CHECKING:
    from requestlab.runs import Run


@click.command()
@click.argument("target")
@click.argument("path", required=False)
@click.option(
    "--users", type=click.IntRange(1, MOST_USERS), default=1, show_default=True, help="Clients in a closed loop."
)
@click.option("--each", type=click.IntRange(1, MOST_EACH), help="Requests of each user.  [default: until time is over]")
@click.option("--seconds", type=float, default=2.0, show_default=True, help="Length of the measured stretch.")
@click.option("--warmup", type=float, help="Seconds of load before it.  [default: 0.25; with --each 0]")
@click.option(
    "--timeout", type=float, default=10.0, show_default=True, help="Seconds after which a request has failed."
)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Keep every request in this file.")
@click.option("--remote", is_flag=True, help="TARGET is another machine, and its owner agrees.")
@serving_options
@json_option
def measure(
    target: str,
    path: str | None,
    users: int,
    each: int | None,
    seconds: float,
    warmup: float | None,
    timeout: float,
    save: Path | None,
    remote: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Put one load on TARGET and say how it fared.

    TARGET is an address on this machine, such as http://127.0.0.1:8000/path/, or a named configuration of the bundled app,
    served for the time of the measurement: sync (WSGI), mixed (ASGI, Django's default middleware), async (ASGI, no
    middleware), null (no application at all). PATH is the app's page unless said otherwise. Exits with 1 where the run is invalid: where nothing was answered, say.
    """
    from requestlab.machine import require_linux

    require_linux()
    load = closed(users, each=each)
    settings = {"seconds": seconds, "warmup": warmup, "timeout": timeout}
    _demand_folder(save)
    if target in NAMED:
        if remote:
            raise click.UsageError("--remote is for an address; a configuration is served on this machine")
        run = _measure_configuration(configuration(target, options), path or DEFAULT_PATH[target], load, settings)
    else:
        run = _measure_address(*split(target, path, options), load, settings, remote)
    problem = _save(run, save)
    _report(run, None if problem else save, as_json)
    if problem:
        raise click.ClickException(problem)
    if run.summary["validity"] == "invalid":
        raise click.ClickException(_why_invalid(run))


def _measure_configuration(wanted: Configuration, path: str, load: Closed, settings: dict[str, Any]) -> Run:
    from requestlab import measuring, serving

    measuring.check(load, measuring.Settings(**settings))  # before a server is started for nothing
    with serving.serve(wanted) as server:
        return measuring.measure(server, path, load, **settings)


def _measure_address(base: str, path: str, load: Closed, settings: dict[str, Any], remote: bool) -> Run:
    from requestlab import measuring

    measuring.check(load, measuring.Settings(**settings))  # before anything is announced
    if remote:
        announce(base, path, load, settings["seconds"])
    return measuring.measure(base, path, load, remote=remote, **settings)


def _demand_folder(save: Path | None) -> None:
    if save is None:
        return
    if save.is_dir():
        raise click.UsageError(f"--save {save}: that is a folder; name a file in it")
    if not save.parent.is_dir():
        raise click.UsageError(f"--save {save}: there is no folder {str(save.parent)!r}")


def _save(run: Run, save: Path | None) -> str | None:
    """Save the run where that was asked for; return what went wrong."""
    try:
        if save is not None:
            run.save(save)
        return None
    except OSError as problem:
        return f"the run could not be saved in {str(save)!r}: {problem.strerror}"


def _report(run: Run, save: Path | None, as_json: bool) -> None:
    if not as_json:
        print_table(_run_rows(run, save))
        return
    told = {name: run.about[name] for name in ("label", "url", "path", "load", "users", "each")}
    generator = {"generator_cpu_per_request": run.generator_cpu_per_request, "generator_share": run.generator_share}
    rest = {"connections": run.connections, "workers": _shares(run), "saved": save and str(save)}
    print_json({**told, "seconds": run.seconds, **run.summary, **generator, **rest, "machine": run.about["machine"]})


def _run_rows(run: Run, save: Path | None) -> Iterator[tuple[str, str]]:
    summary = run.summary
    yield "run", f"{run.label}, {run.about['path']}, {run.about['load']}, {run.seconds:.3g} s"
    yield "throughput", f"{figure(summary['throughput'])} answers/s"
    for name in ("p50", "p95", "p99", "max"):
        yield name, f"{figure(summary[name])} ms"
    yield "errors", f"{summary['errors']:,} of {len(run.requests):,} requests"
    for kind, count in _failures(run).items():
        yield "", f"{count:,} × {kind}"
    yield "server CPU", f"{figure(summary['cpu_per_request'])} ms/request"
    generator = f"{figure(run.generator_cpu_per_request)} ms/request, {percent(run.generator_share)} of its core"
    yield "generator CPU", generator
    yield "connections", f"{run.connections:,} opened, warm-up included"
    for pid, share in _shares(run).items():
        yield f"worker {pid}", f"served {percent(share)}"
    yield "validity", summary["validity"]
    for reason in summary["reasons"]:
        yield "", reason
    if save is not None:
        yield "saved", str(save)


def _failures(run: Run) -> dict[str, int]:
    """Return how often each kind of failure happened, the most frequent first."""
    failed = run.requests[(run.requests["error"] != "") | (run.requests["status"] >= 400)]
    kinds = failed["error"].astype(str).where(failed["error"] != "", "status " + failed["status"].astype(str))
    return {str(kind): int(count) for kind, count in kinds.value_counts().items()}


def _shares(run: Run) -> dict[int, float]:
    """Return each worker's share of the answers; empty where the probe was off."""
    shares = run.requests["pid"].dropna().value_counts(normalize=True)
    return {int(pid): float(shares[pid]) for pid in shares.index}


def _why_invalid(run: Run) -> str:
    kinds = ", ".join(f"{count:,} × {kind}" for kind, count in _failures(run).items())
    return f"the run is invalid: {'; '.join(run.summary['reasons'])}" + (f" ({kinds})" if kinds else "")
