"""Addresses on the command line: what is asked where, and a word before another machine is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click

from requestlab.cli.options import given
from requestlab.configurations import NAMED
from requestlab.errors import ConfigurationError
from requestlab.load import Load

DEFAULT_PATH = {"sync": "/sync/page/", "mixed": "/sync/page/", "async": "/async/page/", "null": "/"}
"""What a named configuration is asked for, unless said otherwise."""


def split(target: str, path: str | None, options: Mapping[str, Any]) -> tuple[str, str]:
    """Return the base of an address and the path, from TARGET and PATH; an address takes no options of a configuration."""
    known = ", ".join(NAMED)
    if "://" not in target:
        raise click.UsageError(
            f"{target!r} is neither a configuration ({known}) nor an address such as http://127.0.0.1:8000/"
        )
    if taken := next(iter(given(options)), None):
        raise click.UsageError(f"--{taken} is for a configuration ({known}), which the lab serves itself")
    parts = parse(target)
    own = parts._replace(scheme="", netloc="", fragment="").geturl()
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


def announce(base: str, path: str, load: Load, seconds: float) -> None:
    """Say what is about to happen to another machine; Ctrl-C stops it."""
    import httpx

    from requestlab.aiming import on_this_machine
    from requestlab.transport import resolve

    try:
        url = httpx.URL(base + path)
    except httpx.InvalidURL:
        return  # measure() will say so
    address = resolve(url)[1][0]
    if not on_this_machine(address):
        click.echo(
            f"About to load another machine, {url.host} ({address}): {load}, for {seconds:g} s and the warm-up before. "
            "Ctrl-C stops it.",
            err=True,
        )
