"""Addresses on the command line: what is asked where, and a word before another machine is loaded."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit

import click

from requestlab.errors import ConfigurationError
from requestlab.serving.configuration import NAMED

DEFAULT_PATH = {
    "sync": "/sync/page/",
    "mixed": "/sync/page/",
    "async": "/async/page/",
    "null": "/",
    "upstream": "/api/?ms=50",
}
"""What a named configuration is asked for, unless said otherwise."""


def neither(target: str) -> click.UsageError:
    """Return the error for what is no target at all."""
    known = ", ".join(NAMED)
    return click.UsageError(
        f"{target!r} is neither a configuration ({known}) nor an address such as http://127.0.0.1:8000/"
    )


def split(target: str, path: str | None) -> tuple[str, str]:
    """Return the base of an address and the path, from TARGET and PATH; only one of them may say a path."""
    if "://" not in target:
        raise neither(target)
    parts = parse(target)
    own = target.partition("://")[2].removeprefix(parts.netloc).partition("#")[0]  # geturl() would drop a lone "?"
    if path is not None and own not in ("", "/"):
        raise click.UsageError(f"{target!r} has a path already; leave out {path!r}, or the path of the address")
    return f"{parts.scheme}://{parts.netloc}", path or ("" if own.startswith("/") else "/") + own


def parse(address: str) -> SplitResult:
    """Return the parts of an address, or raise ConfigurationError."""
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


def announce(base: str, path: str, what: str) -> None:
    """Say what is about to happen to another machine; Ctrl-C stops it."""
    import httpx

    from requestlab.load.target import on_this_machine, resolve

    try:
        url = httpx.URL(base + path)
    except httpx.InvalidURL:
        return  # measure() will say so
    address = resolve(url)[1][0]
    if not on_this_machine(address):
        click.echo(f"About to load another machine, {url.host} ({address}): {what}. Ctrl-C stops it.", err=True)
