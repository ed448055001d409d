"""`requestlab measure`: one load on one target, or a ramp of loads, and a report of how it fared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from requestlab.cli.addresses import DEFAULT_PATH, announce, split
from requestlab.cli.options import (
    configuration,
    given,
    json_option,
    load_of,
    load_options,
    remote_option,
    serving_options,
    slice_options,
)
from requestlab.cli.tables import demand_folder
from requestlab.load.loads import Load, Steps
from requestlab.serving.configuration import NAMED, Configuration

if TYPE_CHECKING:
    from requestlab.measurement.ramp import Ramp
    from requestlab.measurement.run import Run


@click.command()
@click.argument("target")
@click.argument("path", required=False)
@load_options(ramps=True)
@click.option("--seed", type=click.IntRange(min=0), help="Makes the same poisson arrivals again.  [default: 0]")
@slice_options(seconds=2.0)
@click.option("--save", type=click.Path(dir_okay=False, path_type=Path), help="Keep every request in this file.")
@remote_option
@serving_options
@json_option
def measure(
    target: str,
    path: str | None,
    users: int | list[int] | None,
    each: int | None,
    rate: float | list[float] | None,
    arrivals: str | None,
    no_keep_alive: bool,
    seed: int | None,
    seconds: float,
    warmup: float | None,
    timeout: float,
    expect: str | None,
    save: Path | None,
    remote: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Put one load on TARGET and say how it fared.

    TARGET is an address on this machine, such as http://127.0.0.1:8000/path/, or a named configuration of the bundled app,
    served for the time of the measurement: sync (WSGI), mixed (ASGI, Django's default middleware), async (ASGI, no
    middleware), null (no application at all), upstream (what some views call). PATH is the app's page unless said otherwise.

    The load is a closed loop of --users, each of whom waits for an answer before asking again, or an open loop at a --rate.
    Several of them, as in --users 1,10,50, make a ramp: a table with one row for each, which took --seconds.

    Exits with 1 where a run is invalid: where nothing was answered, say.
    """
    from requestlab.system.machine import require_linux

    require_linux()
    from requestlab.cli import telling

    if seed is not None and arrivals != "poisson":
        raise click.UsageError("--seed is for --arrivals poisson; all other loads leave nothing to chance")
    load = load_of(users, each, rate, arrivals, no_keep_alive, seed)
    settings = {"seconds": seconds, "warmup": warmup, "timeout": timeout, "expect": expect}
    demand_folder("--save", save)
    if save is not None and isinstance(load, Steps):
        raise click.UsageError(f"--save keeps one run, and this ramp makes {len(load.loads)}; leave it out")
    if target in NAMED:
        if remote:
            raise click.UsageError("--remote is for an address; a configuration is served on this machine")
        found = _measure_configuration(configuration(target, options), path or DEFAULT_PATH[target], load, settings)
    else:
        found = _measure_address(target, path, options, load, settings, remote)
    problem = _save(found, save)
    telling.tell(found, None if problem else save, as_json)
    if problem:
        raise click.ClickException(problem)
    if why := telling.why_invalid(found):
        raise click.ClickException(why)


def _measure_configuration(
    wanted: Configuration, path: str, load: Load | Steps, settings: dict[str, Any]
) -> Run | Ramp:
    from requestlab.measurement import measure
    from requestlab.serving.server import serve

    measure.check(load, measure.Settings(**settings))  # before a server is started for nothing
    with serve(wanted) as server:
        return measure.measure(server, path, load, **settings)


def _measure_address(
    target: str, path: str | None, options: dict[str, Any], load: Load | Steps, settings: dict[str, Any], remote: bool
) -> Run | Ramp:
    from requestlab.measurement import measure

    base, path = split(target, path)
    if taken := next(iter(given(options)), None):
        raise click.UsageError(
            f"--{taken.replace('_', '-')} is for a configuration ({', '.join(NAMED)}), which the lab serves itself"
        )
    measure.check(load, measure.Settings(**settings))  # before anything is announced
    if remote:
        announce(base, path, f"{load}, for {settings['seconds']:g} s{_each(load)} and the warm-up before")
    return measure.measure(base, path, load, remote=remote, **settings)


def _each(load: Load | Steps) -> str:
    return " each" if isinstance(load, Steps) else ""


def _save(found: Run | Ramp, save: Path | None) -> str | None:
    """Save the run where that was asked for; return what went wrong."""
    try:
        if save is not None:
            found.save(save)  # type: ignore[union-attr]
        return None
    except OSError as problem:
        return f"the run could not be saved in {str(save)!r}: {problem.strerror}"
