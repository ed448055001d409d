"""The command line: `requestlab lab | doctor | serve | measure`.

Figures go to standard output, as a table or with `--json` as one line of strict JSON; all else goes to standard error. What
is slow to import is imported by the command that needs it.
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import SplitResult, urlsplit

import click

from requestlab import servers
from requestlab.configurations import APPLICATIONS, LOOPS, MIDDLEWARE, MOST_THREADS, MOST_WORKERS, NAMED, Configuration
from requestlab.errors import ConfigurationError, LabError
from requestlab.load import MOST_EACH, MOST_USERS, Closed, closed

if TYPE_CHECKING:
    from requestlab.doctor import Examination
    from requestlab.runs import Run
    from requestlab.serving import Server

INTERRUPTED = 128 + signal.SIGINT
DEFAULT_PATH = {"sync": "/sync/page/", "mixed": "/sync/page/", "async": "/async/page/", "null": "/"}
_LOOK_S = 0.1
_MORE = "requestlab.more"


def main() -> None:
    """Run the command line of this process."""
    _open_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal without × is no reason to fail
    signal.signal(signal.SIGTERM, _leave)
    commands(prog_name="requestlab")


def _open_standard_descriptors() -> None:
    """Stand in for what the caller has closed (`2>&-`): a server's listener must not become somebody's standard error."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)


def _leave(number: int, frame: object) -> NoReturn:
    sys.exit(128 + number)  # as an exception, so that servers are stopped on the way out


class _Commands(click.Group):
    """Turns what a user can act on into one message and an exit status; a traceback is left for defects."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except LabError as problem:
            raise click.ClickException(str(problem)) from None
        except UnicodeError as problem:  # of a host or a path that no encoding allows
            raise click.ClickException(f"that cannot be part of an address: {problem}") from None
        except OSError as problem:
            if problem.errno == errno.EPIPE:  # the reader of a pipe has left; click knows what to do
                raise
            raise click.ClickException(str(problem)) from None
        except KeyboardInterrupt:
            raise click.exceptions.Exit(INTERRUPTED) from None


class _PassingOn(click.Command):
    """Keeps what follows `--` for another program."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        own, more = (args[: args.index("--")], args[args.index("--") + 1 :]) if "--" in args else (args, [])
        context.meta[_MORE] = more
        return super().parse_args(context, own)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="requestlab")
def commands() -> None:
    """Measure what a Django request costs under WSGI and ASGI, on this machine."""


# Options that several commands share


def serving_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option for each field of a configuration; the choices come from where they are defined."""
    for option in (
        click.option(
            "--probe", is_flag=True, default=None, help="Record which process and thread served each request."
        ),
        click.option("--application", type=click.Choice(list(APPLICATIONS)), help="What is served."),
        click.option("--middleware", type=click.Choice(MIDDLEWARE), help="The app's middleware stack."),
        click.option("--loop", type=click.Choice(LOOPS), help="Event loop of an ASGI server."),
        click.option("--threads", type=click.IntRange(1, MOST_THREADS), help="Threads in each worker."),
        click.option("--workers", type=click.IntRange(1, MOST_WORKERS), help="Worker processes."),
        click.option("--server", type=click.Choice(list(servers.SERVERS)), help="Server and worker class."),
    ):
        command = option(command)
    return command


json_option = click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of a table.")


def configuration(name: str, options: Mapping[str, Any]) -> Configuration:
    """Return the named configuration with the options that were given."""
    return NAMED[name].replace(**{field: value for field, value in options.items() if value is not None})


def _demand_linux() -> None:
    if not sys.platform.startswith("linux"):
        raise LabError(
            f"the lab runs servers and load on Linux only, and this is {sys.platform}; use a container or WSL"
        )


# lab


@commands.command(cls=_PassingOn, options_metavar="", epilog="What follows -- is passed on to JupyterLab.")
@click.argument("folder", required=False, metavar="[FOLDER] [-- ARGUMENT...]", type=click.Path(path_type=Path))
@click.pass_context
def lab(context: click.Context, folder: Path | None) -> None:
    """Open JupyterLab on FOLDER: the notebooks, unless said otherwise. Ctrl-C ends it."""
    from requestlab import jupyter

    jupyter.start(folder, context.meta[_MORE])


# doctor


@commands.command()
@json_option
def doctor(as_json: bool) -> None:
    """Look at this machine, and at how good the ruler is on it.

    Measures the load process against a server that does next to nothing: its ceiling and its floor. Exits with 1 where the
    self-test of keep-alive connections fails.
    """
    _demand_linux()
    from requestlab.doctor import examine, steps

    with _steps(steps()) as step:
        found = examine(step)
    if as_json:
        _print_json({**dataclasses.asdict(found), "floor": dataclasses.asdict(found.floor), "trapped": found.trapped})
    else:
        _print_examination(found)
    if found.trapped:
        sys.exit(1)


@contextmanager
def _steps(count: int) -> Iterator[Callable[[str], None]]:
    """Show on a terminal what is being done and how much is left; the line is taken away at the end."""
    shown = sys.stderr is not None and sys.stderr.isatty()
    done = width = 0

    def show(line: str) -> None:
        nonlocal width
        if shown:
            click.echo("\r" + line.ljust(width), err=True, nl=False)
            width = len(line)

    def step(what: str) -> None:
        nonlocal done
        done += 1
        show(f"measuring {done} of {count}: {what}")

    try:
        yield step
    finally:
        show("")
        show("\r")


def _print_examination(found: Examination) -> None:
    _print_table(_machine_rows(found))
    click.echo("\nThe ruler, against a server that does next to nothing:\n")
    heads = ("users", "requests /s", "p50 ms", "p99 ms", "CPU ms/request", "of its core", "slices apart")
    rows = [
        (
            str(row.users),
            _figure(row.throughput),
            _figure(row.p50),
            _figure(row.p99),
            _figure(row.generator_cpu_per_request),
            _percent(row.generator_share),
            _percent(row.spread),
        )
        for row in found.ruler
    ]
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for cells in (heads, *rows):
        click.echo("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True)))
    verdict = "FAILED" if found.trapped else "passed"
    click.echo(f"\nkeep-alive self-test: {verdict}, two small writes arrive after {_figure(found.keep_alive_p50)} ms")
    for warning in found.warnings:
        click.echo(f"warning: {warning}")


def _machine_rows(found: Examination) -> Iterator[tuple[str, str]]:
    facts, around = found.machine, found.surroundings
    cpu = "no limit" if around.cpu_limit is None else f"limited to {around.cpu_limit:g}"
    memory = "no limit" if around.memory_limit is None else f"limited to {_gigabytes(around.memory_limit)}"
    yield "processor", facts["processor"]
    yield "cores", f"{facts['usable_cores']} usable of {facts['cores']}, {cpu}"
    yield "governor", around.governor or "unknown"
    yield "memory", f"{_gigabytes(around.memory)}, {_gigabytes(around.memory_available)} available, {memory}"
    yield "open files", "no limit" if around.open_files is None else f"at most {around.open_files:,}"
    yield "load average", f"{around.load_average:.2f}"
    yield "CPU pressure", "unknown" if around.cpu_pressure is None else f"{around.cpu_pressure:.1f}%"
    yield "CPU steal", _percent(found.steal)
    yield "system", facts["system"]
    yield "python", f"{facts['python']} ({facts['implementation']}, GIL {'on' if facts['gil'] else 'off'})"
    yield from facts["limits"].items()
    for package, version in facts["versions"].items():
        yield package, version or "not installed"


# serve


@commands.command()
@click.argument("name", metavar=f"[{'|'.join(NAMED)}]", type=click.Choice(list(NAMED)), default="sync")
@serving_options
@json_option
def serve(name: str, as_json: bool, **options: Any) -> None:
    """Run one configuration until Ctrl-C, for a browser or another load tool.

    Exits with 1 where the server ends by itself.
    """
    _demand_linux()
    from requestlab import serving

    with serving.serve(configuration(name, options)) as server:
        _print_server(server, as_json)
        while server.alive:
            time.sleep(_LOOK_S)
        server.check()


def _print_server(server: Server, as_json: bool) -> None:
    asked = server.configuration
    if as_json:
        facts = {"url": server.url, "pids": list(server.pids), "pid": os.getpid(), "label": asked.label}
        _print_json({**facts, "configuration": dataclasses.asdict(asked)})
        return
    rows = {
        "serving": f"{asked.label} ({servers.find(asked.server).title})",
        "address": server.url + DEFAULT_PATH[asked.name],
        "workers": ", ".join(map(str, server.pids)),
        "to stop": f"Ctrl-C, or: kill {os.getpid()}",
    }
    _print_table(rows.items())


# measure


@commands.command()
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

    TARGET is a named configuration (sync, mixed, …), served for the time of the measurement, or an address on this machine,
    such as http://127.0.0.1:8000/path/. Exits with 1 where the run is invalid: where nothing was answered, say.
    """
    _demand_linux()
    load = closed(users, each=each)
    settings = {"seconds": seconds, "warmup": warmup, "timeout": timeout}
    _demand_folder(save)
    if target in NAMED:
        if remote:
            raise click.UsageError("--remote is for an address; a configuration is served on this machine")
        run = _measure_configuration(configuration(target, options), path or DEFAULT_PATH[target], load, settings)
    else:
        run = _measure_address(*_split(target, path, options), load, settings, remote)
    problem = _save(run, save)
    _report(run, None if problem else save, as_json)
    if problem:
        raise click.ClickException(problem)
    if run.summary["validity"] == "invalid":
        raise click.ClickException(_why_invalid(run))


def _measure_configuration(wanted: Configuration, path: str, load: Closed, settings: dict[str, Any]) -> Run:
    from requestlab import measuring, serving

    with serving.serve(wanted) as server:
        return measuring.measure(server, path, load, **settings)


def _measure_address(base: str, path: str, load: Closed, settings: dict[str, Any], remote: bool) -> Run:
    from requestlab import measuring

    if remote:
        _announce(base, path, load, settings)
    return measuring.measure(base, path, load, remote=remote, **settings)


def _split(target: str, path: str | None, options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the base of an address and the path, from TARGET and PATH."""
    known = ", ".join(NAMED)
    if "://" not in target:
        raise click.UsageError(
            f"{target!r} is neither a configuration ({known}) nor an address such as http://127.0.0.1:8000/"
        )
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise click.UsageError(f"--{given[0]} is for a configuration ({known}), which the lab serves itself")
    parts = _parse(target)
    own = parts._replace(scheme="", netloc="", fragment="").geturl()
    if path is not None and own not in ("", "/"):
        raise click.UsageError(f"{target!r} has a path already; leave out {path!r}, or the path of the address")
    return f"{parts.scheme}://{parts.netloc}", path or ("" if own.startswith("/") else "/") + own


def _parse(address: str) -> SplitResult:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as problem:
        raise ConfigurationError(f"{address!r} is not an address: {problem}") from None
    if not address.isprintable():
        raise ConfigurationError(f"{address!r} is not an address: it has control characters in it")
    if port == 0:
        raise ConfigurationError(f"{address!r} is not an address: no server has port 0")
    if "@" in parts.netloc:
        raise ConfigurationError("an address with a user name in it is not supported: the load sends no credentials")
    return parts


def _announce(base: str, path: str, load: Closed, settings: dict[str, Any]) -> None:
    """Say what is about to happen to another machine; Ctrl-C stops it."""
    import httpx

    from requestlab.measuring import on_this_machine
    from requestlab.transport import resolve

    try:
        url = httpx.URL(base + path)
    except httpx.InvalidURL:
        return  # measure() will say so
    address = resolve(url)[1][0]
    if not on_this_machine(address):
        click.echo(
            f"About to load another machine, {url.host} ({address}): {load}, for {settings['seconds']:g} s and the warm-up "
            "before. Ctrl-C stops it.",
            err=True,
        )


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
        _print_table(_run_rows(run, save))
        return
    told = {name: run.about[name] for name in ("label", "url", "path", "load", "users", "each")}
    generator = {"generator_cpu_per_request": run.generator_cpu_per_request, "generator_share": run.generator_share}
    rest = {"connections": run.connections, "workers": _shares(run), "saved": save and str(save)}
    _print_json({**told, "seconds": run.seconds, **run.summary, **generator, **rest, "machine": run.about["machine"]})


def _run_rows(run: Run, save: Path | None) -> Iterator[tuple[str, str]]:
    summary = run.summary
    yield "run", f"{run.label}, {run.about['path']}, {run.about['load']}, {run.seconds:.3g} s"
    yield "throughput", f"{_figure(summary['throughput'])} answers/s"
    for name in ("p50", "p95", "p99", "max"):
        yield name, f"{_figure(summary[name])} ms"
    yield "errors", f"{summary['errors']:,} of {len(run.requests):,} requests"
    for kind, count in _failures(run).items():
        yield "", f"{count:,} × {kind}"
    yield "server CPU", f"{_figure(summary['cpu_per_request'])} ms/request"
    generator = f"{_figure(run.generator_cpu_per_request)} ms/request, {_percent(run.generator_share)} of its core"
    yield "generator CPU", generator
    yield "connections", f"{run.connections:,} opened"
    for pid, share in _shares(run).items():
        yield f"worker {pid}", f"served {_percent(share)}"
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


# Output


def _print_table(rows: Any) -> None:
    rows = list(rows)
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        click.echo(f"{name:<{width}}  {value}")


def _print_json(value: Any) -> None:
    click.echo(json.dumps(_strict(value), allow_nan=False))


def _strict(value: Any) -> Any:
    """Return the value with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {str(key): _strict(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _figure(value: float) -> str:
    """Return three significant digits, or all of a larger number."""
    return "–" if math.isnan(value) else f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{share:.0%}"


def _gigabytes(size: int) -> str:
    return f"{size / 1e9:.3g} GB"


if __name__ == "__main__":
    main()
