"""`requestlab compare`: several contenders under one load, in rounds, and what can be told of them."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from requestlab.cli.addresses import announce
from requestlab.cli.options import json_option, load_of, load_options, remote_option, slice_options
from requestlab.cli.tables import demand_folder
from requestlab.cli.targets import Contender, contenders
from requestlab.load.loads import Closed, Load, Steps

if TYPE_CHECKING:
    from requestlab.comparison.comparison import Comparison
    from requestlab.measurement.measure import Settings

ROUNDS = 8
_KNOCK_S = 2.0


@click.command()
@click.argument("targets", metavar="TARGET [TARGET...]", nargs=-1, required=True)
@click.option("--path", help="What all are asked for.  [default: the app's page; of an address, its own path]")
@load_options(ramps=False)
@click.option(
    "--rounds", type=click.IntRange(min=1), help=f"Rounds.  [default: {ROUNDS}; with --budget as many as fit]"
)
@click.option("--budget", type=float, metavar="SECONDS", help="Start no round that would end later than this.")
@click.option("--width", type=float, help="Stop as soon as every interval is narrower: 0.05, its ends lie 5 % apart.")
@click.option(
    "--control", is_flag=True, help="Let the first take part twice (A/A): what is seen where nothing differs."
)
@slice_options(seconds=1.0)
@click.option("--seed", type=click.IntRange(min=0), help="Makes the same order, and poisson arrivals, again.")
@click.option(
    "--save-figure", "figure", type=click.Path(dir_okay=False, path_type=Path), help="Draw it: a .png, .svg or .pdf."
)
@remote_option
@json_option
def compare(
    targets: tuple[str, ...],
    path: str | None,
    users: int | None,
    each: int | None,
    rate: float | None,
    arrivals: str | None,
    no_keep_alive: bool,
    rounds: int | None,
    budget: float | None,
    width: float | None,
    control: bool,
    seconds: float,
    warmup: float | None,
    timeout: float,
    expect: str | None,
    seed: int | None,
    figure: Path | None,
    remote: bool,
    as_json: bool,
) -> None:
    """Say how many times as fast as the first TARGET each other one is, or that this cannot be told.

    A TARGET is a configuration of the bundled app (sync, mixed, async, null), served for as long as it takes, or an address
    on this machine. A configuration can be varied and can have a path, and each can have a label:

    \b
        requestlab compare sync mixed --users 10
        requestlab compare sync sync:workers=2 mixed:workers=2
        requestlab compare wsgi=sync asgi=mixed:server=gunicorn-uvicorn,loop=uvloop
        requestlab compare mixed/sync/page/ mixed/async/page/
        requestlab compare http://127.0.0.1:8000/ http://127.0.0.1:8001/
        requestlab compare old=http://127.0.0.1:8000/a/ new=http://127.0.0.1:8000/b/?x=1

    Fields: server, application, workers, threads, loop, middleware, probe, asyncio_debug, switch_interval_ms, all_cores,
    upstream (HOST:PORT, as all from the first / on is the path). A label is what stands before an = that comes before the first :
    and the first /.

    All are alive at once and are measured once in each round, in an order left to chance. Exits with 0 where the comparison
    ran, also where it cannot tell; with 1 where slices are invalid or nothing could be compared.
    """
    from requestlab.system.machine import require_linux

    require_linux()
    from requestlab.cli import findings
    from requestlab.comparison import compare
    from requestlab.measurement import measure

    field = contenders(targets, path)
    if len(field) < 2 and not control:
        raise click.UsageError("there is one target; give two or more, or --control to compare it with itself")
    load = load_of(users, each, rate, arrivals, no_keep_alive, seed)
    assert not isinstance(load, Steps)
    settings = measure.Settings(seconds=seconds, warmup=warmup, timeout=timeout, expect=expect)
    measure.check(load, settings)
    _check_limits(rounds, budget, width)
    _demand_figure(figure)
    wanted = rounds or _rounds_in(budget, load, settings, len(field) + control)
    _look_at(field.values(), remote, f"{load}, in {wanted} rounds of {seconds:g} s each")
    result = compare.compare(
        {label: one.target for label, one in field.items()},
        {label: one.path for label, one in field.items()},
        load,
        rounds=wanted,
        budget=budget,
        width=width,
        control=control,
        seconds=seconds,
        warmup=warmup,
        timeout=timeout,
        seed=seed,
        expect=expect,
        remote=remote,
    )
    problem = _draw(result, figure)
    findings.tell(result, None if problem else figure, as_json)
    if problem or (problem := findings.why_not(result)):
        raise click.ClickException(problem)


def _check_limits(rounds: int | None, budget: float | None, width: float | None) -> None:
    """Refuse what `compare` would, before a server is started or anything is announced."""
    from requestlab.comparison.compare import MAX_BUDGET_S, MAX_ROUNDS

    for option, value, most in (
        ("rounds", rounds, MAX_ROUNDS),
        ("budget", budget, MAX_BUDGET_S),
        ("width", width, 10),
    ):
        if value is not None and not 0 < value <= most:
            raise click.UsageError(f"--{option} {value:g}: expected a number above 0 and up to {most:g}")


def _rounds_in(budget: float | None, load: Load, settings: Settings, count: int) -> int:
    """Return as many rounds as can fit into the budget at the very most; it is the budget that ends them."""
    from requestlab.comparison.compare import MAX_ROUNDS

    if budget is None:
        return ROUNDS
    if isinstance(load, Closed) and load.each is not None:
        return MAX_ROUNDS
    return min(MAX_ROUNDS, math.ceil(budget / (count * (settings.warmup_of(load) + settings.seconds))))


def _demand_figure(figure: Path | None) -> None:
    demand_folder("--save-figure", figure)
    if figure is None:
        return
    from requestlab.plots.sheet import SUFFIXES

    if figure.suffix.lower() not in SUFFIXES:
        raise click.UsageError(f"--save-figure {figure}: expected a name that ends in {', '.join(SUFFIXES)}")


def _look_at(field: Iterable[Contender], remote: bool, what: str) -> None:
    """Refuse addresses and paths that cannot work, announce load on other machines, and see that somebody is there."""
    from requestlab.load.target import find_target

    aims = [
        find_target(one.target if isinstance(one.target, str) else "http://127.0.0.1:1", one.path, remote)
        for one in field
    ]
    for one, at in zip(field, aims, strict=True):
        if isinstance(one.target, str):
            if remote:
                announce(one.target, one.path, what)
            _knock(one, at.family, at.address)


def _knock(one: Contender, family: int, address: tuple[Any, ...]) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(_KNOCK_S)
        try:
            attempt.connect(address)
        except OSError as problem:
            raise click.ClickException(f"nobody answers at {one.target}: {problem.strerror or problem}") from None


def _draw(result: Comparison, figure: Path | None) -> str:
    """Save the figure where that was asked for; return what went wrong."""
    if figure is None:
        return ""
    from requestlab.errors import LabError
    from requestlab.plots.ratios import ratios

    try:
        ratios(result).save(figure)
    except (OSError, LabError) as problem:
        return f"the figure could not be saved in {str(figure)!r}: {getattr(problem, 'strerror', None) or problem}"
    return ""
