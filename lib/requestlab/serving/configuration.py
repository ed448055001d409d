"""What to serve: frozen values, and the three that have names."""

from __future__ import annotations

import dataclasses
import ipaddress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from requestlab.errors import ConfigurationError
from requestlab.serving import databases, servers
from requestlab.system.values import to_plain

APPLICATIONS = {
    "django": {"wsgi": "labapp.wsgi:application", "asgi": "labapp.asgi:application"},
    "bare": {"wsgi": "labapp.bare:wsgi", "asgi": "labapp.bare:asgi"},
}
"""What can stand behind a server: the Django project, or a bare callable that answers as many bytes without Django."""

NO_MIDDLEWARE = "none"
LAYERS = ("startproject", "sync", "async", "hybrid")
"""What a middleware stack can be made of: Django's default seven at most once, and layers that only pass requests on."""

MAX_LAYERS = 20
MIDDLEWARE = (NO_MIDDLEWARE, *LAYERS)
LOOPS = ("asyncio", "uvloop")
MAX_WORKERS = 32
MAX_THREADS = 256
MIN_SWITCH_INTERVAL_MS = 0.01
MAX_SWITCH_INTERVAL_MS = 1_000.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Configuration:
    """How the app is served.

    >>> SYNC.replace(server="gunicorn-gthread", threads=4)

    `server` names a row of `requestlab.serving.servers.SERVERS`, which also decides the interface. `workers` are processes,
    `threads` are threads in each worker (only where the server takes them), `loop` is the event loop of an ASGI server
    (None: asyncio), and `application` is what is served.

    `middleware` is the app's stack: "none", or layers, outermost first, such as ("sync", "startproject", "async"), which
    are kept as one string with commas. `probe` says which requests each worker traces, that is, records from the inside:
    none (False), a share of them (0.1: one in ten; 1.0: all), or as many as cost it little (True: all of them, until tracing
    takes more than a few percent of a busy worker's CPU time). `asyncio_debug` is asyncio's debug mode, and `switch_interval_ms` how long a
    thread may keep the GIL when another wants it (None: Python's own 5 ms). `database` is the app's: "", an SQLite file in
    the server's own directory, or a URL (see `requestlab.serving.databases`). With `all_cores`, the server may also run on the core
    that is otherwise kept free for the load: right where the load has next to nothing to do, and a figure is about cores.
    `upstream` is the address of the external API and object store that some views call, or the server itself,
    `serve(UPSTREAM)`, which somebody else has to stop. Values that cannot work raise ConfigurationError.
    """

    name: str
    server: str
    application: str = "django"
    workers: int = 1
    threads: int = 1
    loop: str | None = None
    middleware: str = "startproject"
    probe: bool | float = False
    asyncio_debug: bool = False
    switch_interval_ms: float | None = None
    database: str = ""
    all_cores: bool = False
    upstream: str = ""

    def __post_init__(self) -> None:
        row = servers.find(self.server)
        _one_of("application", self.application, APPLICATIONS)
        object.__setattr__(self, "middleware", _stack(self.middleware))
        object.__setattr__(self, "probe", _share("probe", self.probe))
        object.__setattr__(self, "upstream", _address("upstream", self.upstream))
        _within("workers", self.workers, MAX_WORKERS)
        _within("threads", self.threads, MAX_THREADS)
        if self.threads != 1 and "threads" not in row.takes:
            takers = ", ".join(other.name for other in servers.SERVERS.values() if "threads" in other.takes)
            raise ConfigurationError(f"server {self.server!r} has no threads of its own; {takers} takes threads")
        if not row.runs_application and self.workers != 1:
            raise ConfigurationError(f"server {self.server!r} has one worker")
        if self.loop is not None:
            _one_of("loop", self.loop, LOOPS)
            if "loop" not in row.takes:
                raise ConfigurationError(f"server {self.server!r} runs no event loop; give it none")
        if not isinstance(self.all_cores, bool):
            raise ConfigurationError(f"all_cores={self.all_cores!r}: expected True or False")
        self._check_interpreter()
        object.__setattr__(self, "database", databases.checked(self.database))
        if self.database and self.application != "django":
            raise ConfigurationError(f"application {self.application!r} asks no database; give it none")

    def _check_interpreter(self) -> None:
        if not isinstance(self.asyncio_debug, bool):
            raise ConfigurationError(f"asyncio_debug={self.asyncio_debug!r}: expected True or False")
        if self.asyncio_debug and self.event_loop is None:
            raise ConfigurationError(f"server {self.server!r} runs no event loop, so it has no asyncio_debug")
        if self.switch_interval_ms is not None:
            _between("switch_interval_ms", self.switch_interval_ms, MIN_SWITCH_INTERVAL_MS, MAX_SWITCH_INTERVAL_MS)
        for field in ("asyncio_debug", "switch_interval_ms", "upstream"):
            if getattr(self, field) and not servers.find(self.server).runs_application:
                raise ConfigurationError(f"server {self.server!r} runs no application, so it takes no {field}")

    def __repr__(self) -> str:
        shown = self.shown()
        said = [
            f"{field.name}={shown[field.name]!r}"
            for field in dataclasses.fields(self)
            if field.name in ("name", "workers", "middleware") or getattr(self, field.name) != field.default
        ]
        return f"Configuration({', '.join(said)})"

    def replace(self, **changes: Any) -> Configuration:
        """Return a copy with some fields changed; an unknown field raises ConfigurationError."""
        fields = [field.name for field in dataclasses.fields(self)]
        unknown = [name for name in changes if name not in fields]
        if unknown:
            raise ConfigurationError(f"a configuration has no {unknown[0]!r}; it has {', '.join(fields)}")
        return dataclasses.replace(self, **changes)

    def without_password(self) -> Configuration:
        """Return it as it may be printed and saved: without the password of the database."""
        return self.replace(database=databases.masked(self.database))

    def shown(self) -> dict[str, Any]:
        """Return its fields as plain values, without the password of the database."""
        return to_plain(self.without_password())  # type: ignore[no-any-return]

    @property
    def interface(self) -> str:
        """`wsgi` or `asgi`, as the server has it."""
        return servers.find(self.server).interface

    @property
    def target(self) -> str:
        """Where the application is: `module:attribute`."""
        return APPLICATIONS[self.application][self.interface]

    @property
    def event_loop(self) -> str | None:
        """The loop's name, or None for a server without one."""
        row = servers.find(self.server)
        return (self.loop or row.own_loop) if row.interface == "asgi" else None

    @property
    def capacity(self) -> int | None:
        """How many requests it can hold in hand at once; None where only the machine sets the limit."""
        return None if self.interface == "asgi" else self.workers * self.threads

    @property
    def label(self) -> str:
        """The name, and what differs from the named configuration: `sync, workers=4`."""
        base = NAMED.get(self.name)
        if base is None:
            return self.name
        silent = {"name", "probe", "upstream"}
        said = dataclasses.asdict(self) | {"database": databases.label(self.database)}
        changed = [
            f"{field.name}={said[field.name]}"
            for field in dataclasses.fields(self)
            if field.name not in silent and getattr(self, field.name) != getattr(base, field.name)
        ]
        return ", ".join([self.name, *changed])


def _one_of(field: str, value: object, allowed: Any) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{field}={value!r} is not known; expected one of: {', '.join(allowed)}")


def _stack(given: object) -> str:
    layers = given.split(",") if isinstance(given, str) else given
    if isinstance(layers, list | tuple) and all(isinstance(layer, str) for layer in layers):
        layers = [layer.strip() for layer in layers]
        if layers in ([], [NO_MIDDLEWARE]):
            return NO_MIDDLEWARE
        if set(layers) <= set(LAYERS) and len(layers) <= MAX_LAYERS and layers.count("startproject") <= 1:
            return ",".join(layers)
    raise ConfigurationError(
        f"middleware={given!r} is not known; expected {NO_MIDDLEWARE!r}, or up to {MAX_LAYERS} layers, outermost first, "
        f"of: {', '.join(LAYERS)}; startproject at most once"
    )


def _share(field: str, value: float) -> bool | float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ConfigurationError(f"{field}={value!r}: expected True, False, or a share of requests such as 0.1")
    return bool(value) if isinstance(value, int) or not value else value  # True and 1.0 are equal, and not the same


def _address(field: str, value: object) -> str:
    """Return the base address; of a server of the lab, its own."""
    given = getattr(value, "url", value)
    if given == "":
        return ""
    address = given.rstrip("/") if isinstance(given, str) else ""
    address = address if "://" in address else f"http://{address}"
    if _is_here(address):
        return address
    raise ConfigurationError(
        f"{field}={value!r}: expected an address on this machine, such as 127.0.0.1:8001, or a server of "
        "serve(requestlab.UPSTREAM)"
    )


def _is_here(address: str) -> bool:
    """Return whether it is http://HOST:PORT and nothing more, HOST being this machine's own name for itself."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        return address == f"http://{host}:{port}" and (host == "localhost" or ipaddress.IPv4Address(host).is_loopback)
    except ValueError:
        return False


def _between(field: str, value: object, least: float, most: float) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise ConfigurationError(f"{field}={value!r}: expected a number from {least:g} to {most:g}")


def _within(field: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"{field}={value!r}: expected a whole number from 1 to {most}")


SYNC = Configuration(name="sync", server="gunicorn-sync")
"""Sync-only: WSGI, one request at a time in each worker, Django's default middleware."""

MIXED = Configuration(name="mixed", server="uvicorn")
"""ASGI with Django's default middleware, for sync and async views side by side."""

ASYNC = Configuration(name="async", server="uvicorn", middleware="none")
"""ASGI with as little sync in the path as Django allows; its fair twin is `SYNC.replace(middleware="none")`."""

NULL = Configuration(name="null", server="null", application="bare", middleware="none")
"""A server that does next to nothing: what the load client measures here is itself."""

UPSTREAM = Configuration(name="upstream", server="upstream", application="bare", middleware="none")
"""The external API and the object store behind the servers: see `requestlab.serving.upstream`."""

NAMED = {configuration.name: configuration for configuration in (SYNC, MIXED, ASYNC, NULL, UPSTREAM)}
