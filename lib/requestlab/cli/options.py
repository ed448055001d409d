"""Options that several commands share, and the values that they make: configurations and loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from requestlab.load import loads
from requestlab.load.loads import ARRIVALS, MAX_EACH, MAX_RATE, MAX_USERS, Load, Steps
from requestlab.serving import servers
from requestlab.serving.applications import APPLICATIONS, MIDDLEWARE
from requestlab.serving.configuration import (
    LOOPS,
    MAX_SWITCH_INTERVAL_MS,
    MAX_THREADS,
    MAX_WORKERS,
    MIN_SWITCH_INTERVAL_MS,
    NAMED,
    Configuration,
)

json_option = click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of a table.")
remote_option = click.option("--remote", is_flag=True, help="TARGET is another machine, and its owner agrees.")


def _several(one: click.ParamType[Any]) -> Callable[[str], Any]:
    """Return a type for one value, or for several with commas between them: `1,10,50`."""

    def number_or_numbers(text: str) -> Any:
        values = [one.convert(part.strip(), None, None) for part in text.split(",")]
        return values[0] if len(values) == 1 else values

    return number_or_numbers


class Words(click.Choice[str]):
    """One of the choices, or several with commas between them: `sync,async`."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return ",".join(super(Words, self).convert(word.strip(), param, ctx) for word in str(value).split(","))


class Share(click.ParamType[bool | float]):
    """Yes, no, or a part of the whole: `0.1`."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool | float:
        try:
            share = float(value)
        except ValueError:
            return click.BOOL.convert(value, param, ctx)
        if not 0 <= share <= 1:
            self.fail(f"{value} is not a share, from 0 to 1", param, ctx)
        return share


def serving_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add one option for each field of a configuration; the choices come from where they are defined."""
    for option in (
        click.option(
            "--all-cores",
            is_flag=True,
            default=None,
            help="Let the server use the core that is kept free for the load, too.",
        ),
        click.option(
            "--database",
            metavar="URL",
            help="The app's: sqlite:// or postgres://user@host/name, each with ?conn_max_age=60, the last with ?pool=1.",
        ),
        click.option(
            "--upstream",
            metavar="HOST:PORT",
            help="Address of what the views fetch and export call; `requestlab serve upstream` starts one.",
        ),
        click.option(
            "--switch-interval-ms",
            type=click.FloatRange(MIN_SWITCH_INTERVAL_MS, MAX_SWITCH_INTERVAL_MS),
            help="How long a thread may keep the GIL when another wants it.  [default: Python's 5]",
        ),
        click.option("--asyncio-debug", is_flag=True, default=None, help="asyncio's debug mode, for an ASGI server."),
        click.option(
            "--probe-share", "probe", type=Share(), help="Do so for that share of them only: 0.1, one in ten."
        ),
        click.option(  # both set the same field, so both are of its type
            "--probe", type=Share(), flag_value="yes", help="Record from the inside who served each request, and how."
        ),
        click.option("--application", type=click.Choice(list(APPLICATIONS)), help="What is served."),
        click.option(
            "--middleware",
            type=Words(MIDDLEWARE),
            help="The app's middleware stack: none, or layers, outermost first, as in sync,startproject.",
        ),
        click.option("--loop", type=click.Choice(LOOPS), help="Event loop of an ASGI server."),
        click.option("--threads", type=click.IntRange(1, MAX_THREADS), help="Threads in each worker."),
        click.option("--workers", type=click.IntRange(1, MAX_WORKERS), help="Worker processes."),
        click.option("--server", type=click.Choice(list(servers.SERVERS)), help="Server and worker class."),
    ):
        command = option(command)
    return command


def load_options(*, ramps: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of a load, or of a ramp of loads; `load_of` makes it from them."""
    rate: click.ParamType[Any] = click.FloatRange(0, MAX_RATE, min_open=True)
    users: click.ParamType[Any] = click.IntRange(1, MAX_USERS)
    metavar = "NUMBER[,NUMBER...]" if ramps else None

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option("--no-keep-alive", is_flag=True, help="Open a new connection for each request."),
            click.option("--arrivals", type=click.Choice(ARRIVALS), help="How they are spaced.  [default: constant]"),
            click.option(
                "--rate",
                type=_several(rate) if ramps else rate,
                metavar=metavar,
                help="Requests per second in an open loop: due whether or not those before are answered.",
            ),
            click.option(
                "--each", type=click.IntRange(1, MAX_EACH), help="Requests of each user.  [default: no limit]"
            ),
            click.option(
                "--users",
                type=_several(users) if ramps else users,
                metavar=metavar,
                help="Clients in a closed loop: each waits for an answer before it asks again.  [default: 1]",
            ),
        ):
            command = option(command)
        return command

    return add


def slice_options(seconds: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the options of a measured stretch, which takes so many `seconds` unless said otherwise."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in (
            click.option(
                "--expect", metavar="TEXT", help="What the body of each answer must hold; else it has failed."
            ),
            click.option(
                "--timeout",
                type=float,
                default=10.0,
                show_default=True,
                help="Seconds after which a request has failed.",
            ),
            click.option("--warmup", type=float, help="Seconds of load before it.  [default: 0.25; with --each 0]"),
            click.option(
                "--seconds", type=float, default=seconds, show_default=True, help="Length of the measured stretch."
            ),
        ):
            command = option(command)
        return command

    return add


def configuration(name: str, options: Mapping[str, Any]) -> Configuration:
    """Return the named configuration with the options that were given."""
    return NAMED[name].replace(**given(options))


def load_of(
    users: int | list[int] | None,
    each: int | None,
    rate: float | list[float] | None,
    arrivals: str | None,
    no_keep_alive: bool,
    seed: int | None,
) -> Load | Steps:
    """Return the load that those options ask for; with several users or rates, a ramp."""
    if rate is None:
        if arrivals is not None:
            raise click.UsageError("--arrivals is for an open loop; give it a --rate")
        return loads.closed(1 if users is None else users, each=each, keep_alive=not no_keep_alive)
    if users is not None:
        raise click.UsageError("--users makes a closed loop and --rate an open one; give one of them")
    if each is not None:
        raise click.UsageError("--each is for the --users of a closed loop; an open one ends after --seconds")
    return loads.open(rate, arrivals=arrivals or ARRIVALS[0], seed=seed or 0, keep_alive=not no_keep_alive)


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that stand on the command line."""
    return {name: value for name, value in options.items() if value is not None}
