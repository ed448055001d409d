"""Options that several commands share, and the configuration that they make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from requestlab import servers
from requestlab.configurations import APPLICATIONS, LOOPS, MIDDLEWARE, MOST_THREADS, MOST_WORKERS, NAMED, Configuration

json_option = click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of a table.")


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


def configuration(name: str, options: Mapping[str, Any]) -> Configuration:
    """Return the named configuration with the options that were given."""
    return NAMED[name].replace(**given(options))


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that stand on the command line."""
    return {name: value for name, value in options.items() if value is not None}
