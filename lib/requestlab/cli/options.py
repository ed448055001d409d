"""Options that several commands share, and the values that they make: configurations and loads."""

from __future__ import annotations

import ast
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
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
from requestlab.serving.project import Project, project

_Command = Callable[..., Any]

json_option = click.option("--json", "as_json", is_flag=True, help="One line of JSON instead of a table.")
remote_option = click.option("--remote", is_flag=True, help="TARGET is another machine, and its owner agrees.")


class _Several(click.ParamType[Any]):
    """One value, or a list of several with commas between them: `1,10,50`."""

    def __init__(self, one: click.ParamType[Any]) -> None:
        self.name = one.name
        self._one = one

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        values = [self._one.convert(part.strip(), param, ctx) for part in str(value).split(",")]
        return values[0] if len(values) == 1 else values


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


class Literal(click.ParamType[dict[str, Any]]):
    """A mapping as Python writes it: `{"CONN_MAX_AGE": 60}`."""

    name = "mapping"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        try:
            found = ast.literal_eval(str(value))
        except (ValueError, SyntaxError):
            found = None
        if not isinstance(found, dict):
            self.fail(f"""{value!r} is no mapping as Python writes it, such as {{"CONN_MAX_AGE": 60}}""", param, ctx)
        return found


class CommandLine(click.ParamType[list[str]]):
    """Words as a shell reads them: `--limit-concurrency 5`."""

    name = "words"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> list[str]:
        try:
            return shlex.split(str(value))
        except ValueError as problem:
            self.fail(f"{value!r} cannot be read as a command line: {problem}", param, ctx)


class Variables(CommandLine):
    """Variables as a shell reads them: `MALLOC_ARENA_MAX=2`."""

    name = "variables"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        words = super().convert(value, param, ctx)
        if not all("=" in word for word in words):
            self.fail(f"{value!r} are no variables, such as MALLOC_ARENA_MAX=2", param, ctx)
        return dict(word.split("=", 1) for word in words)


class NewFile(click.Path):
    """A file to be written: its folder must be there before anything is measured for it."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        file = Path(value)
        if file.is_dir():
            self.fail(f"{str(value)!r}: that is a folder; name a file in it", param, ctx)
        if not file.parent.is_dir():
            self.fail(f"there is no folder {str(file.parent)!r}", param, ctx)
        return file


def _options(*several: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Return a decorator that adds several options, which help lists in this order."""

    def add(command: _Command) -> _Command:
        for option in reversed(several):
            command = option(command)
        return command

    return add


serving_options = _options(
    click.option("--server", type=click.Choice(list(servers.SERVERS)), help="Server and worker class."),
    click.option("--workers", type=click.IntRange(1, MAX_WORKERS), help="Worker processes."),
    click.option("--threads", type=click.IntRange(1, MAX_THREADS), help="Threads in each worker."),
    click.option("--loop", type=click.Choice(LOOPS), help="Event loop of an ASGI server."),
    click.option(
        "--middleware",
        type=Words(MIDDLEWARE),
        help="The app's middleware stack: none, or layers, outermost first, as in sync,startproject.",
    ),
    click.option("--application", type=click.Choice(list(APPLICATIONS)), help="What is served."),
    click.option(  # this and the next set the same field, so both are of its type
        "--probe", type=Share(), flag_value="yes", help="Record from the inside who served each request, and how."
    ),
    click.option("--probe-share", "probe", type=Share(), help="Do so for that share of them only: 0.1, one in ten."),
    click.option("--asyncio-debug", is_flag=True, default=None, help="asyncio's debug mode, for an ASGI server."),
    click.option(
        "--switch-interval-ms",
        type=click.FloatRange(MIN_SWITCH_INTERVAL_MS, MAX_SWITCH_INTERVAL_MS),
        help="How long a thread may keep the GIL when another wants it.  [default: Python's 5]",
    ),
    click.option(
        "--upstream",
        metavar="HOST:PORT",
        help="Address of what the views fetch and export call; `requestlab serve upstream` starts one.",
    ),
    click.option(
        "--database",
        metavar="URL",
        help="The app's: sqlite:// or postgres://user@host/name, each with ?conn_max_age=60, the last with ?pool=1.",
    ),
    click.option(
        "--views", metavar="FILE", help="Views of your own: a Python file, each at its name, or with urlpatterns."
    ),
    click.option("--settings", type=Literal(), help="Settings over the app's: '{\"CONN_MAX_AGE\": 60}'."),
    click.option(
        "--options", type=CommandLine(), help="More of the server's own command line: '--limit-concurrency 5'."
    ),
    click.option("--env", type=Variables(), help="Variables of the server's environment: 'MALLOC_ARENA_MAX=2'."),
    click.option(
        "--python", metavar="FILE", help="Another interpreter for the server, which it is lent what it lacks."
    ),
    click.option(
        "--all-cores",
        is_flag=True,
        default=None,
        help="Let the server use the core that is kept free for the load, too.",
    ),
)
"""Adds one option for each field of a configuration; the choices come from where they are defined."""


def load_options(*, ramps: bool) -> Callable[[_Command], _Command]:
    """Add the options of a load, or of a ramp of loads; `load_of` makes it from them."""
    rate: click.ParamType[Any] = click.FloatRange(0, MAX_RATE, min_open=True)
    users: click.ParamType[Any] = click.IntRange(1, MAX_USERS)
    metavar = "NUMBER[,NUMBER...]" if ramps else None
    return _options(
        click.option(
            "--users",
            type=_Several(users) if ramps else users,
            metavar=metavar,
            help="Clients in a closed loop: each waits for an answer before it asks again.  [default: 1]",
        ),
        click.option("--each", type=click.IntRange(1, MAX_EACH), help="Requests of each user.  [default: no limit]"),
        click.option(
            "--rate",
            type=_Several(rate) if ramps else rate,
            metavar=metavar,
            help="Requests per second in an open loop: due whether or not those before are answered.",
        ),
        click.option("--arrivals", type=click.Choice(ARRIVALS), help="How they are spaced.  [default: constant]"),
        click.option("--no-keep-alive", is_flag=True, help="Open a new connection for each request."),
    )


project_options = _options(
    click.option(
        "--project",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Serve the Django project in DIR, a copy of it.",
    ),
    click.option("--project-settings", metavar="MODULE", help="Its settings.  [default: as manage.py names them]"),
    click.option("--project-python", metavar="FILE", help="Its interpreter.  [default: in its .venv, else the lab's]"),
    click.option("--project-env", type=Variables(), help="Variables that it needs: 'NAME=VALUE NAME=VALUE'."),
    click.option("--login", metavar="USER", help="Make a session of that user in its copied database."),
    click.option("--cookie", help="What else to send it as cookies."),
    click.option("--migrate", is_flag=True, default=None, help="Apply migrations to its copied database."),
)
"""Adds what says which project is served in place of the bundled app; `project_of` takes it."""


def slice_options(seconds: float) -> Callable[[_Command], _Command]:
    """Add the options of a measured stretch, which takes so many `seconds` unless said otherwise; `settings_of` takes
    them."""
    return _options(
        click.option(
            "--seconds", type=float, default=seconds, show_default=True, help="Length of the measured stretch."
        ),
        click.option("--warmup", type=float, help="Seconds of load before it.  [default: 0.25; with --each 0]"),
        click.option(
            "--timeout", type=float, default=10.0, show_default=True, help="Seconds after which a request has failed."
        ),
        click.option("--expect", metavar="TEXT", help="What the body of each answer must hold; else it has failed."),
    )


def configuration(name: str, options: dict[str, Any]) -> Configuration:
    """Return the named configuration with the options that were given, of a project where that was given."""
    return in_place(NAMED[name], project_of(options)).replace(**given(options))


def in_place(configuration: Configuration, project: Project | None) -> Configuration:
    """Return it with the project in place of the bundled app, where there is one."""
    return configuration if project is None else configuration.replace(application=project)


def project_of(options: dict[str, Any]) -> Project | None:
    """Take the options of a project out, and return that project; None where there is none."""
    names = ("project_settings", "project_python", "project_env", "login", "cookie", "migrate")
    directory, about = options.pop("project", None), given({name: options.pop(name, None) for name in names})
    if directory is None:
        if about:
            raise click.UsageError(f"--{next(iter(about)).replace('_', '-')} is for a --project; name its folder")
        return None
    return project(directory, **{name.removeprefix("project_"): value for name, value in about.items()})


def load_of(options: dict[str, Any]) -> Load | Steps:
    """Take the options of a load out, and return that load; with several users or rates, a ramp."""
    users, each, rate, arrivals, no_keep_alive, seed = (
        options.pop(name) for name in ("users", "each", "rate", "arrivals", "no_keep_alive", "seed")
    )
    if rate is None:
        if arrivals is not None:
            raise click.UsageError("--arrivals is for an open loop; give it a --rate")
        return loads.closed(1 if users is None else users, each=each, keep_alive=not no_keep_alive)
    if users is not None:
        raise click.UsageError("--users makes a closed loop and --rate an open one; give one of them")
    if each is not None:
        raise click.UsageError("--each is for the --users of a closed loop; an open one ends after --seconds")
    load: Load | Steps = loads.open(
        rate, arrivals=arrivals or ARRIVALS[0], seed=seed or 0, keep_alive=not no_keep_alive
    )
    return load


def settings_of(options: dict[str, Any]) -> dict[str, Any]:
    """Take the options of a measured stretch out, and return them as `measure` and `compare` take them."""
    return {name: options.pop(name) for name in ("seconds", "warmup", "timeout", "expect")}


def given(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that stand on the command line."""
    return {name: value for name, value in options.items() if value is not None}
