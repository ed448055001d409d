"""`requestlab doctor`: examine this machine, and show what was found."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from requestlab.cli.options import json_option
from requestlab.cli.tables import figure, gigabytes, percent, print_columns, print_json, print_table

if TYPE_CHECKING:
    from requestlab.cli.examination import Examination
    from requestlab.comparison.intervals import Interval


@click.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at this machine, at how good the load client is on it, and at what it can tell today.

    Measures the load process against a server that does next to nothing, its ceiling and its floor; then a configuration
    against itself (A/A), from which follows how small a difference a comparison of 60 s can tell. Takes some twenty-five seconds.
    Exits with 1 where the self-test of keep-alive connections fails.
    """
    from requestlab.system.machine import require_linux

    require_linux()
    from requestlab.cli.examination import examine

    found = examine()
    if as_json:
        print_json(
            {
                **dataclasses.asdict(found),
                "floor": dataclasses.asdict(found.floor),
                "trapped": found.trapped,
                "upstream_ceiling": found.upstream_ceiling,
            }
        )
    else:
        _print_examination(found)
    if found.trapped:
        sys.exit(1)


def _print_examination(found: Examination) -> None:
    print_table(_machine_rows(found))
    click.echo("\nThe load client, against a server that does next to nothing:\n")
    _print_load_client(found)
    verdict = "FAILED" if found.trapped else "passed"
    click.echo(f"\nkeep-alive self-test: {verdict}, two small writes arrive after {figure(found.keep_alive_p50)} ms")
    click.echo(
        f"upstream: {figure(found.upstream_cpu_per_request)} ms of CPU time per request; at most {figure(found.upstream_ceiling)} "
        "answers /s on a core of its own"
    )
    click.echo(f"resolution: {found.resolution}{_control(found.resolution.control)}")
    for warning in found.warnings:
        click.echo(f"warning: {warning}")


def _control(interval: Interval) -> str:
    """Return what the A/A saw, in brackets, where it saw anything."""
    if not interval.known:
        return ""
    return f" (A/A: ratio {interval.value:.2f}, {interval.low:.2f} to {interval.high:.2f})"


def _machine_rows(found: Examination) -> Iterator[tuple[str, str]]:
    facts, around = found.machine, found.limits
    cpu = "no limit" if around.cpu_limit is None else f"limited to {around.cpu_limit:g}"
    memory = "no limit" if around.memory_limit is None else f"limited to {gigabytes(around.memory_limit)}"
    yield "processor", facts.processor
    yield "cores", f"{facts.usable_cores} usable of {facts.cores}, {cpu}"
    yield "governor", around.governor or "unknown"
    yield "memory", f"{gigabytes(around.memory)}, {gigabytes(around.memory_available)} available, {memory}"
    yield "open files", "no limit" if around.open_files is None else f"at most {around.open_files:,}"
    yield "load average", f"{around.load_average:.2f}"
    yield "CPU pressure", "unknown" if around.cpu_pressure is None else f"{around.cpu_pressure:.1f}%"
    yield "CPU steal", percent(found.steal)
    yield "system", facts.system
    yield "python", f"{facts.python} ({facts.implementation}, GIL {'on' if facts.gil else 'off'})"
    yield from facts.limits.items()
    for package, version in facts.versions.items():
        yield package, version or "not installed"


def _print_load_client(found: Examination) -> None:
    heads = ("users", "requests /s", "p50 ms", "p99 ms", "CPU ms/request", "of its core", "slices apart")
    rows = [
        (
            str(row.users),
            figure(row.throughput),
            figure(row.p50),
            figure(row.p99),
            figure(row.generator_cpu_per_request),
            percent(row.generator_share),
            percent(row.spread),
        )
        for row in found.load_client
    ]
    print_columns(heads, rows)
