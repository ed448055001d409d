"""`requestlab compare`: several contenders under one load, in rounds, and what can be told of them."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from requestlab.cli.measure import why
from requestlab.cli.options import (
    NewFile,
    json_option,
    load_of,
    load_options,
    project_of,
    project_options,
    remote_option,
    settings_of,
    slice_options,
)
from requestlab.cli.tables import print_json, print_table
from requestlab.cli.targets import Contender, announce, check_path, contenders
from requestlab.comparison import compare as comparing, wording
from requestlab.comparison.compare import BUDGET_S, check_limits
from requestlab.comparison.comparison import METRICS, Comparison, Ratio
from requestlab.comparison.intervals import CONFIDENCE
from requestlab.errors import LabError
from requestlab.load.loads import Steps
from requestlab.load.target import Target, find_target
from requestlab.measurement.measure import Settings, check
from requestlab.system.values import to_plain
from requestlab.system.wording import figure

_FIGURES = ("requests/s", "p50 ms", "p95 ms", "p99 ms", "CPU ms/request")
_HEADS = ("", *_FIGURES, "failed", "connections / requests", "at once")
_KNOCK_S = 2.0


@click.command()
@click.argument("targets", metavar="TARGET [TARGET...]", nargs=-1, required=True)
@click.option("--path", help="What all are asked for.  [default: the app's page; of an address, its own path]")
@load_options(ramps=False)
@click.option(
    "--ask",
    multiple=True,
    type=click.Choice(list(METRICS)),
    help="Stop as soon as each is told from the first by this; may be given several times.  [default: throughput]",
)
@click.option("--width", type=float, help="Stop as soon as every interval is narrower: 0.05, its ends lie 5% apart.")
@click.option(
    "--budget", type=float, metavar="SECONDS", help=f"Start no round that would end later.  [default: {BUDGET_S:g}]"
)
@click.option("--rounds", type=click.IntRange(min=1), help="As many rounds, and ask nothing.")
@click.option(
    "--control", is_flag=True, help="Let the first take part twice (A/A): what is seen where nothing differs."
)
@slice_options(seconds=1.0)
@click.option("--seed", type=click.IntRange(min=0), help="Makes the same order, and poisson arrivals, again.")
@click.option("--save-figure", "file", type=NewFile(), help="Draw it: a .png, .svg or .pdf.")
@remote_option
@project_options
@json_option
def compare(
    targets: tuple[str, ...],
    path: str | None,
    rounds: int | None,
    file: Path | None,
    remote: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say how many times as fast as the first TARGET each other one is, or that this cannot be told.

    A TARGET is a configuration of the bundled app (sync, asgi, async, null), served for as long as it takes, or an
    address on this machine. A configuration can be varied and can have a path, and each can have a label:

    \b
        requestlab compare sync asgi --users 10
        requestlab compare sync sync:workers=2 asgi:workers=2
        requestlab compare sync asgi:server=gunicorn-uvicorn,loop=uvloop
        requestlab compare asgi/sync/page/ asgi/async/page/
        requestlab compare http://127.0.0.1:8000/ http://127.0.0.1:8001/
        requestlab compare sync asgi --project ~/mysite --path /news/ --users 10
        requestlab compare old=http://127.0.0.1:8000/a/ new=http://127.0.0.1:8000/b/?x=1

    Fields: server, application, workers, threads, loop, middleware, probe, asyncio_debug, switch_interval_ms,
    all_cores, upstream (HOST:PORT, as all from the first / on is the path). A label is what stands before an = that
    comes before the first : and the first /.

    All are alive at once and are measured once in each round, in an order left to chance. Exits with 0 where the
    comparison ran, also where it cannot tell; with 1 where slices are invalid or nothing could be compared.
    """
    field, seed = contenders(targets, path, project_of(options)), options["seed"]
    if len(field) < 2 and not options["control"]:
        raise click.UsageError("there is one target; give two or more, or --control to compare it with itself")
    load, settings = load_of(options), settings_of(options)
    assert not isinstance(load, Steps)
    check(load, Settings(**settings))
    _check_figure(file)
    ask, budget = list(options.pop("ask")) or None, options["budget"]
    check_limits(rounds, options["width"])
    length = f"in {rounds} rounds" if rounds else f"for at most {budget or BUDGET_S:g} s in rounds"
    _look_at(field.values(), remote, f"{load}, {length} of {settings['seconds']:g} s each")
    result = comparing.compare(
        {label: one.target for label, one in field.items()},
        {label: one.path for label, one in field.items()},
        load,
        ask=ask,
        rounds=rounds,
        seed=seed,
        remote=remote,
        **options,
        **settings,
    )
    problem = _draw(result, file)
    _print(result, None if problem else file, as_json)
    if problem or (problem := why_not(result)):
        raise click.ClickException(problem)


def _check_figure(file: Path | None) -> None:
    if file is None:
        return
    from requestlab.plots.sheet import SUFFIXES

    if file.suffix.lower() not in SUFFIXES:
        raise click.UsageError(f"--save-figure {file}: expected a name that ends in {', '.join(SUFFIXES)}")


def _look_at(field: Iterable[Contender], remote: bool, what: str) -> None:
    """Refuse addresses and paths that cannot work, announce load on other machines, and see that somebody is there."""
    found = []
    for one in field:
        if isinstance(one.target, str):
            found.append((one.target, find_target(one.target, one.path, remote)))
        else:
            check_path(one.path)
    for address, target in found:
        if remote:
            announce(target, what)
        _knock(address, target)


def _knock(address: str, target: Target) -> None:
    try:
        socket.create_connection(target.address[:2], _KNOCK_S).close()
    except OSError as problem:
        raise click.ClickException(f"nobody answers at {address}: {problem.strerror or problem}") from None


def _draw(result: Comparison, file: Path | None) -> str:
    """Save the figure where that was asked for; return what went wrong."""
    if file is None:
        return ""
    from requestlab.plots.ratios import ratios

    try:
        ratios(result).save(file)
    except (OSError, LabError) as problem:
        return f"the figure could not be saved in {str(file)!r}: {getattr(problem, 'strerror', None) or problem}"
    return ""


def why_not(result: Comparison) -> str:
    """Return why the figures are not the comparison that was wanted, or nothing: slices are invalid, none count, or a
    server has ended, which may have been between two slices."""
    found = []
    for label in result.all_labels:
        runs = result.runs(label)
        if invalid := [run for run in runs if run.summary["validity"] == "invalid"]:
            found.append(f"{len(invalid)} of {len(runs)} slices of {label} are invalid: {why(invalid[0])}")
    if found:
        return "; ".join(found)
    if not result.complete:
        none = "nothing could be compared: in no round do the slices of all contenders count"
        return f"{none}; dropped were {wording.dropped(result)}"
    return f"the comparison ended early: {result.about.stopped}" if result.about.stopped.endswith("has ended") else ""


# What was found


def _print(result: Comparison, file: Path | None, as_json: bool) -> None:
    if as_json:
        print_json({**_facts(result), "figure": file and str(file)})
        return
    print_table([_HEADS, *(_cells(result, label) for label in result.all_labels)], "<>")
    for label in result.labels[1:]:
        click.echo()
        for ratio in _ratios(result, label):
            click.echo(wording.sentence(ratio))
    click.echo()
    print_table(_rows(result, file))


def _ratios(result: Comparison, label: str) -> list[Ratio]:
    return [result.ratio(label, result.labels[0], metric) for metric in METRICS]


def _cells(result: Comparison, label: str) -> list[str]:
    facts = _contender(result, label)
    middles = [figure(facts[metric]) for metric in METRICS]
    connections = f"{facts['connections']:,} / {sum(len(run.samples) for run in result.runs(label)):,}"
    unlimited = "unknown" if facts["configuration"] is None else "no limit"
    capacity = unlimited if facts["capacity"] is None else f"{facts['capacity']:,}"
    return [label, *middles, f"{facts['errors']:,}", connections, capacity]


def _rows(result: Comparison, file: Path | None) -> Iterator[tuple[str, str]]:
    told = wording.circumstances(result)
    told["rounds"] += f", intervals at {CONFIDENCE:.0%}; above are medians of rounds"
    del told["connections"]  # they stand in the table above
    yield from told.items()
    every = [ratio for label in result.all_labels[1:] for ratio in _ratios(result, label)]
    for number, caveat in enumerate(dict.fromkeys(caveat for ratio in every for caveat in ratio.caveats)):
        yield "" if number else "caveats", caveat
    if result.control:
        yield "A/A", wording.control_sentence(result.ratio(result.control, result.labels[0]))
    yield "machine", result.about.machine.caption
    if file is not None:
        yield "figure", str(file)


def _facts(result: Comparison) -> dict[str, Any]:
    return {
        "contenders": {label: _contender(result, label) for label in result.all_labels},
        "baseline": result.labels[0],
        "control": result.control,
        "ratios": [_ratio(ratio) for label in result.all_labels[1:] for ratio in _ratios(result, label)],
        "resolution": result.resolution,
        "course": {
            label: result.course(label, result.labels[0]).reset_index().to_dict("records")
            for label in result.all_labels[1:]
        },
        "complete": result.complete,
        "rounds": result.rounds.to_dict("records"),
        "dropped": result.dropped,
        "dropped_why": result.dropped_why,
        "disturbed": result.disturbed,
        **to_plain(result.about),
    }


def _ratio(ratio: Ratio) -> dict[str, Any]:
    said: dict[str, Any] = to_plain(ratio)
    said |= said.pop("interval")
    del said["why"]  # it stands in the reason
    return said


def _contender(result: Comparison, label: str) -> dict[str, Any]:
    runs = result.runs(label)
    about = next(part.run.about for part in result.slices if part.label == label)
    return {
        **{name: getattr(about, name) for name in ("configuration", "url", "path", "load", "capacity")},
        **{metric: float(result.figures(metric)[label].median()) for metric in METRICS},
        "requests": sum(len(run.requests) for run in runs),
        "errors": sum(run.summary["errors"] for run in runs),
        "connections": sum(run.connections for run in runs),
        "caveats": result.caveats(label),
    }
