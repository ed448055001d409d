"""`requestlab doctor`: what this machine is, how good the load client is on it, what can be told today, and warnings in
words."""

from __future__ import annotations

import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import click
import psutil

from requestlab.cli.options import json_option
from requestlab.cli.tables import print_json, print_table
from requestlab.comparison import resolution
from requestlab.comparison.resolution import BUDGET_S, Resolution
from requestlab.load.loads import MAX_USERS, closed
from requestlab.measurement.measure import measure
from requestlab.measurement.run import Run
from requestlab.measurement.validity import TAIL
from requestlab.serving.applications import Bare
from requestlab.serving.configuration import NULL, UPSTREAM, Configuration
from requestlab.serving.server import serve
from requestlab.system import limits, machine
from requestlab.system.limits import SLOWING, Limits
from requestlab.system.machine import Machine
from requestlab.system.place import places
from requestlab.system.progress import Progress
from requestlab.system.values import to_plain
from requestlab.system.wording import counted, figure, gigabytes, percent

USERS = (1, 10, 50)
ROUNDS = 3
SLICE_S = 0.4
UPSTREAM_USERS = 10
UPSTREAM_PATH = "/api/?ms=0"
WARMUP_S = 0.1
OVERHEAD_S = 0.15
STARTING_S = 1.0
"""What a slice takes beyond its load, and three servers to start. For the time that is left, only."""

TRAP_MS = 20.0
"""A keep-alive answer of two small writes that takes longer has met Nagle's algorithm and the delayed
acknowledgement."""

BUSY_LOAD = 0.5
BUSY_PRESSURE = 10.0
MUCH_STEAL = 0.05
MUCH_SPREAD = 0.25

TWO_WRITES = Configuration(name="two small writes", server="uvicorn", application=Bare())


@dataclass(frozen=True)
class LoadClient:
    """What the load process did with so many users: medians over the slices.

    `throughput` is in answers per second, times are in ms, `generator_share` is its part of one core, and `spread` how
    far the slices lay apart: (most - least) / median of the throughput. A figure without evidence is NaN.
    """

    users: int
    throughput: float
    p50: float
    p99: float
    generator_cpu_per_request: float
    generator_share: float
    spread: float


@dataclass(frozen=True)
class Examination:
    """What `examine` found: the load client with each number of users, times in ms, and `steal`, the share of all CPU
    time that went to other machines."""

    machine: Machine
    limits: Limits
    load_client: tuple[LoadClient, ...]
    keep_alive_p50: float
    upstream_cpu_per_request: float
    steal: float
    resolution: Resolution
    warnings: tuple[str, ...]

    @property
    def upstream_ceiling(self) -> float:
        """How many answers per second the upstream could give, had it a core to itself: from its CPU time, since the
        load process would be at its own ceiling long before."""
        return 1_000 / self.upstream_cpu_per_request if self.upstream_cpu_per_request else math.nan

    @property
    def trapped(self) -> bool:
        """Whether the self-test failed: keep-alive answers come late, or not at all."""
        return not self.keep_alive_p50 < TRAP_MS


@click.command()
@click.option("--line", is_flag=True, help="One line, to show to who teaches: is this machine ready?")
@json_option
def doctor(line: bool, as_json: bool) -> None:
    """Look at this machine, at how good the load client is on it, and at what it can tell today.

    Measures the load process against a server that does next to nothing, its ceiling and its floor; then a
    configuration against itself (A/A), from which follows how small a difference a comparison of 60 s can tell. Takes
    some twenty-five seconds. Exits with 1 where the self-test of keep-alive connections fails.
    """
    found = examine()
    if as_json:
        derived = {"floor": found.load_client[0], "trapped": found.trapped, "upstream_ceiling": found.upstream_ceiling}
        print_json({**to_plain(found), **derived})
    elif line:
        click.echo(in_a_line(found))
    else:
        _print(found)
    if found.trapped:
        sys.exit(1)


# What is measured


def examine() -> Examination:
    """Look at this machine, measure the load client on it, and what it can tell today; some twenty-five seconds.

    Raises what `serve` and `measure` raise.

    Resources: three servers at a time and the load process for the time of the call.
    """
    around, facts = limits.limits(), machine.facts()
    psutil.cpu_times_percent()  # which tells of the time since the last call
    runs = _measure_all()
    able = resolution.resolution()
    steal = psutil.cpu_times_percent().steal / 100
    load_client = tuple(_load_client(users, runs[f"{users}"]) for users in USERS)
    p50, upstream_cpu = _middle(runs["keep alive"], "p50"), _middle(runs["upstream"], "cpu_per_request")
    warnings = [
        *(place.sentence for place in places()),
        *about_the_machine(facts, around),
        *about_the_load_client(load_client, p50, steal),
        *about_the_resolution(able),
    ]
    return Examination(facts, around, load_client, p50, upstream_cpu, steal, able, tuple(warnings))


def _measure_all() -> dict[str, list[Run]]:
    """Measure in rounds, so that a bad moment of the machine falls on one slice of each kind and not on all of one.

    Return the slices of the null server by number of users, those of the self-test, and those of the upstream.
    """
    runs: dict[str, list[Run]] = defaultdict(list)
    with (
        Progress("the load client") as progress,
        serve(NULL) as null,
        serve(TWO_WRITES) as uvicorn,
        serve(UPSTREAM) as upstream,
    ):
        each = [(f"{users}", null, "/", users) for users in USERS]
        each += [("keep alive", uvicorn, "/", 1), ("upstream", upstream, UPSTREAM_PATH, UPSTREAM_USERS)]
        for left, (kind, server, path, users) in zip(range(ROUNDS * len(each), 0, -1), each * ROUNDS, strict=True):
            what = f"measuring the load client, {server.configuration.label}, {closed(users=users)}"
            progress.step(what, left * (SLICE_S + WARMUP_S + OVERHEAD_S) + STARTING_S + BUDGET_S)
            runs[kind].append(measure(server, path, closed(users=users), seconds=SLICE_S, warmup=WARMUP_S))
    return runs


def _load_client(users: int, runs: list[Run]) -> LoadClient:
    rates = [run.summary["throughput"] for run in runs]
    middle = statistics.median(rates)
    enough = sum(len(run.response_ms) for run in runs) >= 100 * TAIL
    return LoadClient(
        users=users,
        throughput=middle,
        p50=_middle(runs, "p50"),
        p99=_middle(runs, "p99") if enough else math.nan,
        generator_cpu_per_request=statistics.median(run.generator_cpu_per_request for run in runs),
        generator_share=statistics.median(run.generator_share for run in runs),
        spread=(max(rates) - min(rates)) / middle if middle else math.nan,
    )


def _middle(runs: list[Run], name: str) -> float:
    return float(statistics.median(run.summary[name] for run in runs))


# Warnings


def about_the_machine(facts: Machine, around: Limits) -> Iterator[str]:
    """Yield one sentence for each thing that will make figures worse; `facts` are those of `machine.facts`."""
    cores = facts.usable_cores
    if cores == 1:
        yield "one core only: load and server share it, and each slows the other down"
    if around.cpu_limit is not None and around.cpu_limit < cores:
        yield f"limited to {around.cpu_limit:g} of {cores} cores: whoever uses more is halted for tens of milliseconds"
    for name in around.slowing:
        yield f"{name} is set: {SLOWING[name]}, servers included; unset it before you measure"
    if around.load_average > BUSY_LOAD * facts.cores:
        yield f"the load average was {around.load_average:.1f} on {facts.cores} cores: something else may be running"
    if around.cpu_pressure is not None and around.cpu_pressure > BUSY_PRESSURE:
        yield f"in {around.cpu_pressure:.0f}% of the ten seconds before, something waited for a core"
    if around.governor is None:
        yield "the governor of the CPU's frequency is unknown, as in most virtual machines: speed may change unseen"
    elif around.governor != "performance":
        yield f"the CPU's frequency follows the governor {around.governor!r}: speed changes with load"
    if around.open_files is not None and around.open_files < MAX_USERS:
        yield f"at most {around.open_files} files may be open, and each user is one: keep loads well below"


def about_the_load_client(load_client: tuple[LoadClient, ...], keep_alive_p50: float, steal: float) -> Iterator[str]:
    """Yield one sentence for each thing that went wrong, or was unsteady, while the load client was measured."""
    if not keep_alive_p50 < TRAP_MS:
        yield (
            f"two small writes on a kept-alive connection took {keep_alive_p50:.3g} ms: TCP_NODELAY does not work here, and "
            "figures of ASGI servers mean nothing"
        )
    if silent := [row.users for row in load_client if math.isnan(row.p50)]:
        yield f"the null server did not answer {' and '.join(map(str, silent))} users: nothing can be measured here"
    if steal > MUCH_STEAL:
        yield f"other machines on the same host took {steal:.0%} of the CPU time meanwhile"
    spread = max((row.spread for row in load_client if not math.isnan(row.spread)), default=0.0)
    if spread > MUCH_SPREAD:
        yield f"equal slices lay up to {spread:.0%} apart, and so will single measurements: compare over many rounds"


def about_the_resolution(able: Resolution) -> Iterator[str]:
    """Yield one sentence where a configuration seemed to differ from itself, and where nothing could be said of it."""
    if able.differed:
        ratio = f"{able.control.value:.2f} times ({able.control.low:.2f} to {able.control.high:.2f})"
        yield f"one configuration answered {ratio} as fast as itself (A/A): trust no difference as small on this machine today"
    if able.why:
        yield f"it is not known which differences can be told today: {able.why}"


# How it is shown


def in_a_line(found: Examination) -> str:
    """Return the machine, what it can tell today, and how many warnings there are."""
    ready = "not ready: keep-alive answers come late" if found.trapped else "ready"
    warnings = counted(len(found.warnings), "warning")
    return f"{ready} · {found.machine.caption} · {found.resolution} · {warnings}"


def _print(found: Examination) -> None:
    print_table(_machine_rows(found))
    click.echo("\nThe load client, against a server that does next to nothing:\n")
    heads = ("users", "requests /s", "p50 ms", "p99 ms", "CPU ms/request", "of its core", "slices apart")
    print_table([heads, *map(_cells, found.load_client)], ">")
    verdict = "FAILED" if found.trapped else "passed"
    click.echo(f"\nkeep-alive self-test: {verdict}, two small writes arrive after {figure(found.keep_alive_p50)} ms")
    click.echo(
        f"upstream: {figure(found.upstream_cpu_per_request)} ms of CPU time per request; at most {figure(found.upstream_ceiling)} "
        "answers /s on a core of its own"
    )
    seen = found.resolution.control
    control = f" (A/A: ratio {seen.value:.2f}, {seen.low:.2f} to {seen.high:.2f})" if seen.known else ""
    click.echo(f"resolution: {found.resolution}{control}")
    for warning in found.warnings:
        click.echo(f"warning: {warning}")


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


def _cells(row: LoadClient) -> tuple[str, ...]:
    return (
        str(row.users),
        figure(row.throughput),
        figure(row.p50),
        figure(row.p99),
        figure(row.generator_cpu_per_request),
        percent(row.generator_share),
        percent(row.spread),
    )
