"""What is asked where, as it stands on the command line: TARGET and PATH of `measure`, the contenders of `compare`.

    [LABEL=]CONFIGURATION[:FIELD=VALUE[,FIELD=VALUE...]][/PATH/]        a VALUE may be a list: middleware=sync,async
    [LABEL=]CONFIGURATION:python=/usr/bin/python3.13                    a VALUE with a slash takes no PATH behind it
    [LABEL=]http://127.0.0.1:8000/PATH/

A label is what stands before an = that comes before the first colon and the first slash: so a query or a path may hold
any of them, and a field is never taken for a label.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from requestlab.cli.options import in_place, serving_options
from requestlab.errors import ConfigurationError
from requestlab.load.target import Target, find_target, on_this_machine
from requestlab.serving.configuration import NAMED, Configuration
from requestlab.serving.project import Project
from requestlab.worker.ready import IN_ADDRESS

DEFAULT_PATH = {
    "sync": "/sync/page/",
    "threads": "/sync/page/",
    "asgi": "/sync/page/",
    "async": "/async/page/",
    "null": "/",
    "upstream": "/api/?ms=50",
}
"""What a named configuration is asked for, unless said otherwise."""


def default_path(configuration: Configuration) -> str:
    """Return what it is asked for, unless said otherwise: a project's own home page."""
    return "/" if configuration.application.kind == "project" else DEFAULT_PATH[configuration.name]


_ADDRESS = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)(?P<host>://[^/?#]*)(?P<path>[^#]*)", re.IGNORECASE)

_PATH = re.compile(f"(?!{IN_ADDRESS.pattern})/")
"""Where a path begins: not at the token of an upstream."""

FIELDS: dict[str, click.ParamType[Any]] = {
    str(option.name): option.type for option in click.command()(serving_options(lambda: None)).params
}
del FIELDS["database"]
"""What a configuration can be varied in, and how it is read. Not in its database: a target is also a label, and is
printed."""


HOLD_SLASHES = ("views", "settings", "options", "env", "python")
"""Fields in which a slash does not begin the path; beside them, `--path` says it."""


@dataclass(frozen=True)
class Contender:
    """What takes part, under which label, and which path it is asked for."""

    label: str
    target: Configuration | str
    path: str


def contenders(texts: Sequence[str], path: str | None, project: Project | None = None) -> dict[str, Contender]:
    """Return the contenders by label; `path` is asked of all that have none of their own, and the `project` is served
    in place of the bundled app.

    Raises a usage error for what cannot be read, and for two contenders under one label.
    """
    found: dict[str, Contender] = {}
    for text in texts:
        one = contender(text, path, project)
        if one.label not in found:
            found[one.label] = one
        elif one.label == text:
            raise click.UsageError(
                f"{text!r} stands there twice; give one of them a label (again={text}), or use --control to compare a "
                "configuration with itself"
            )
        else:
            raise click.UsageError(f"two contenders are called {one.label!r}; give one of them another label")
    return found


def contender(text: str, path: str | None, project: Project | None = None) -> Contender:
    """Return what one argument says."""
    label, target = _labelled(text)
    if _ADDRESS.match(target):
        base, asked = split(target, path)
        return Contender(label, base, asked)
    holds_paths = any(f"{field}=" in target for field in HOLD_SLASHES)
    variant, *own = [target] if holds_paths else _PATH.split(target, maxsplit=1)
    name, colon, fields = variant.partition(":")
    if name not in NAMED:
        raise _neither(target)
    if own and path is not None:
        raise click.UsageError(f"{target!r} has a path already; leave out --path {path!r}, or the path of the target")
    plain = in_place(NAMED[name], project)
    configuration = _varied(text, plain, fields) if colon else plain
    return Contender(label, configuration, f"/{own[0]}" if own else path or default_path(configuration))


def _labelled(text: str) -> tuple[str, str]:
    if not text.isprintable():
        raise click.UsageError(f"{text!r} cannot be a target: it has control characters in it")
    head = re.split("[:/]", text, maxsplit=1)[0]
    if "=" not in head:
        return text, text
    label, _, target = text.partition("=")
    if not label.strip():
        raise click.UsageError(f"{text!r}: expected a label before the =, as in again={target}")
    return label.strip(), target


def _varied(text: str, base: Configuration, fields: str) -> Configuration:
    changes: dict[str, Any] = {}
    for part in re.split(",(?=[^,=]*=)", fields):  # at those commas that a new FIELD= comes behind
        field, equals, value = part.partition("=")
        if not equals or field not in FIELDS or field in changes:
            what = f"{field!r} stands there twice" if field in changes else f"{part!r} is not FIELD=VALUE"
            raise click.UsageError(f"{text!r}: {what}; expected, as in {base.name}:workers=2, of {', '.join(FIELDS)}")
        try:
            changes[field] = FIELDS[field].convert(value, None, None)
        except click.BadParameter as problem:
            raise click.UsageError(f"{text!r}: {field}: {problem.message}") from None
    try:
        return base.replace(**changes)
    except ConfigurationError as problem:
        raise click.UsageError(f"{text!r}: {problem}") from None


def _neither(target: str) -> click.UsageError:
    """Return the error for what is no target at all."""
    known = ", ".join(NAMED)
    return click.UsageError(
        f"{target!r} is neither a configuration ({known}) nor an address such as http://127.0.0.1:8000/"
    )


def split(address: str, path: str | None) -> tuple[str, str]:
    """Return the base of an address and the path, from TARGET and PATH; only one of them may say a path."""
    parts = _ADDRESS.match(address)
    if parts is None:
        raise _neither(address)
    own = parts["path"]
    if path is not None and own not in ("", "/"):
        raise click.UsageError(f"{address!r} has a path already; leave out {path!r}, or the path of the address")
    return parts["scheme"].lower() + parts["host"], path or ("" if own.startswith("/") else "/") + own


def check_path(path: str) -> None:
    """Raise ConfigurationError for a path that cannot be asked for, before a server is started for it."""
    find_target("http://127.0.0.1:1", path)


def announce(found: Target, what: str) -> None:
    """Say what is about to happen to another machine; Ctrl-C stops it."""
    address = found.address[0]
    if not on_this_machine(address):
        click.echo(f"About to load another machine, {found.url.host} ({address}): {what}. Ctrl-C stops it.", err=True)
