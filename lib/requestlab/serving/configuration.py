"""How the app is served: frozen values, and those that have names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from requestlab.errors import ConfigurationError
from requestlab.serving import applications, servers, views
from requestlab.serving.applications import PARTS, Application, Bare, LabApp
from requestlab.serving.project import Project
from requestlab.system import checks
from requestlab.system.values import to_plain
from requestlab.system.wording import listed
from requestlab.worker.ready import without_token

LOOPS = ("asyncio", "uvloop")
MAX_WORKERS = 32
MAX_THREADS = 256
MIN_SWITCH_INTERVAL_MS = 0.01
MAX_SWITCH_INTERVAL_MS = 1_000.0

OWN_VARIABLES = ("REQUESTLAB_", "LABAPP_", "DJANGO_SETTINGS_MODULE", "PYTHONASYNCIODEBUG")
"""What the names of variables begin with that the lab sets."""

RENEWING = (
    "--max-requests",
    "--limit-max-requests",
    "--workers-lifetime",
    "--workers-max-rss",
    "--max-worker-lifetime",
)
"""Options of servers with which they end a worker and start another."""

_NOT_IN_LABEL = ("name", "probe", "upstream")


@dataclass(frozen=True, kw_only=True, repr=False)
class Configuration:
    """How the app is served.

    >>> SYNC.replace(server="gunicorn-gthread", threads=4, middleware="none")

    `server` names a row of `requestlab.serving.servers.SERVERS`, which also decides the interface. `workers` are
    processes, `threads` those of each worker (only where the server takes them), `loop` the event loop of an ASGI
    server (None: asyncio). `application` is what is served: `LabApp(...)`, `Bare()`, or their short names, "django" and
    "bare"; `replace` takes the fields of an application too.

    `probe` says which requests each worker traces: none (False), a share of them (0.1: one in ten; 1.0: all), or as
    many as cost it little (True: all, until tracing takes more than a few percent of a busy worker's CPU time).
    `asyncio_debug` is asyncio's debug mode, `switch_interval_ms` how long a thread may keep the GIL when another wants
    it (None: Python's own 5 ms). With `all_cores` the server may also run on the core that is kept free for the load.
    `options` are added to the server's command line, `["--limit-concurrency", "5"]`, and `env` to its environment.
    `python` is the path of another interpreter, or a name that is found in PATH (empty: the lab's own); what it lacks
    to run the server, it is lent.

    Values that cannot work raise ConfigurationError.
    """

    name: str
    server: str
    workers: int = 1
    threads: int = 1
    loop: str | None = None
    application: Application = field(default_factory=LabApp)
    probe: bool | float = False
    asyncio_debug: bool = False
    switch_interval_ms: float | None = None
    all_cores: bool = False
    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, hash=False)
    python: str = ""

    def __post_init__(self) -> None:
        row = servers.find(self.server)
        self._keep("application", applications.application(self.application))
        self._keep("workers", checks.whole("workers", self.workers, 1, MAX_WORKERS))
        self._keep("threads", checks.whole("threads", self.threads, 1, MAX_THREADS))
        self._keep("probe", _share(self.probe))
        if self.loop is not None:
            checks.one_of("loop", self.loop, LOOPS)
        checks.truth("asyncio_debug", self.asyncio_debug)
        if self.switch_interval_ms is not None:
            checks.number("switch_interval_ms", self.switch_interval_ms, MIN_SWITCH_INTERVAL_MS, MAX_SWITCH_INTERVAL_MS)
        checks.truth("all_cores", self.all_cores)
        self._keep("options", _options(self.options))
        row.check_options(self.options)
        self._keep("env", _environment(self.env))
        self._keep("python", _python(self.python))
        self._check_server(row)

    def _keep(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_server(self, row: servers.ServerType) -> None:
        """Raise ConfigurationError for what this server does not have."""
        if self.threads != 1 and not row.takes("threads"):
            takers = listed([other.name for other in servers.SERVERS.values() if other.takes("threads")])
            raise ConfigurationError(f"server {self.server!r} has no threads of its own; {takers} take threads")
        if self.loop is not None and not row.takes("loop"):
            raise ConfigurationError(f"server {self.server!r} runs no event loop; give it none")
        if self.asyncio_debug and self.event_loop is None:
            raise ConfigurationError(f"server {self.server!r} runs no event loop, so it has no asyncio_debug")
        if self.workers != 1 and not row.takes("workers"):
            raise ConfigurationError(f"server {self.server!r} has one worker")
        for name in ("asyncio_debug", "switch_interval_ms", "upstream", "python"):
            if getattr(self, name) and not row.runs_application:
                raise ConfigurationError(f"server {self.server!r} runs no application, so it takes no {name}")

    def __repr__(self) -> str:
        usual = Configuration(name=self.name, server=self.server).shown()
        always = ("name", "server", "workers", "middleware")
        said = [f"{name}={value!r}" for name, value in self.shown().items() if name in always or value != usual[name]]
        return f"Configuration({', '.join(said)})"

    def replace(self, **changes: Any) -> Configuration:
        """Return a copy with some fields changed, its own or those of its application.

        Raises ConfigurationError for fields that there are not, and values that cannot work.
        """
        fields = [one.name for one in dataclasses.fields(self)]
        checks.known_names("a configuration", changes, [*fields, *PARTS], "field")
        application = applications.application(changes.pop("application", self.application), before=self.application)
        parts = {name: changes.pop(name) for name in PARTS if name in changes}
        return dataclasses.replace(self, application=applications.changed(application, parts), **changes)

    def without_password(self) -> Configuration:
        """Return it as it may be printed and saved: without the password of the database, the token of the upstream,
        and secrets in settings and environment."""
        return self.replace(
            database=applications.masked(self.database),
            upstream=without_token(self.upstream),
            settings=views.masked(self.settings),
            env={name: views.mask(name, value) for name, value in self.env.items()},
        )

    def shown(self) -> dict[str, Any]:
        """Return its fields and those of its application as plain values, without the password of the database."""
        shown: dict[str, Any] = {}
        for name, value in to_plain(self.without_password()).items():
            shown |= {"application": value.pop("kind"), **value} if name == "application" else {name: value}
        if shown.get("views"):
            shown["views"] = views.shown(shown["views"])
        return shown

    @property
    def middleware(self) -> str:
        """The stack of its application: see `LabApp`."""
        return self.application.middleware

    @property
    def database(self) -> str:
        """The URL of its application's database."""
        return self.application.database

    @property
    def upstream(self) -> str:
        """The address of the upstream that its application calls."""
        return self.application.upstream

    @property
    def interpreter(self) -> str:
        """The Python of its server: its own, or its application's; empty, the lab's."""
        return self.python or self.application.python

    @property
    def views(self) -> str:
        """The reader's own views: see `LabApp`."""
        return self.application.views

    @property
    def settings(self) -> str:
        """The reader's own settings, as text."""
        return self.application.settings

    @property
    def interface(self) -> str:
        """`wsgi` or `asgi`, as the server has it."""
        return servers.find(self.server).interface

    @property
    def target(self) -> str:
        """Where the application is: `module:attribute`."""
        return self.application.targets[self.interface]

    @property
    def event_loop(self) -> str | None:
        """The loop's name, or None for a server without one."""
        row = servers.find(self.server)
        return (self.loop or row.own_loop) if row.interface == "asgi" else None

    @property
    def capacity(self) -> int | None:
        """How many requests it can hold in hand at once; None where only the machine sets the limit."""
        return self.workers * self.threads if servers.find(self.server).limited else None

    @property
    def label(self) -> str:
        """The name, and what differs from the named configuration: `sync, workers=4`."""
        base = NAMED.get(self.name)
        if base is None:
            return self.name
        if isinstance(self.application, Project):
            served = self.replace(application=base.application)
            return f"{self.application.name}, {served.label}"
        usual = base.replace(application=self.application.kind).shown() | {"application": base.application.kind}
        different = {
            name: value for name, value in self.shown().items() if name not in _NOT_IN_LABEL and value != usual[name]
        }
        if "database" in different:
            different["database"] = applications.database_label(different["database"])
        return ", ".join([self.name, *(f"{name}={_short(value)}" for name, value in different.items())])

    @property
    def renews_workers(self) -> bool:
        """Whether its options have workers end after so many requests, or so long, and be started anew."""
        return any(option.startswith(RENEWING) for option in self.options)

    def arguments(self, listener: servers.Listener) -> list[str]:
        """Return the module that Python is to run, and its arguments."""
        row = servers.find(self.server)
        return row.arguments(listener, self.workers, self.threads, self.event_loop, self.options)


def _options(given: object) -> tuple[str, ...]:
    if isinstance(given, list | tuple) and all(isinstance(one, str) and one for one in given):
        return tuple(given)
    raise checks.wrong("options", given, 'a list as on a command line, such as ["--limit-concurrency", "5"]')


def _python(given: object) -> str:
    return "" if isinstance(given, str) and not given else checks.interpreter("python", given)


def _environment(given: object) -> dict[str, str]:
    if not isinstance(given, Mapping) or not all(isinstance(part, str) for pair in given.items() for part in pair):
        raise checks.wrong("env", given, 'a mapping of text to text, such as {"MALLOC_ARENA_MAX": "2"}')
    for name in given:
        if not name or "=" in name or name.startswith(OWN_VARIABLES):
            raise checks.wrong("env", name, "names of variables that the lab does not set itself")
    return dict(sorted(given.items()))


def _short(value: object) -> str:
    """Return a value as a label has it: lists and mappings without their marks."""
    if isinstance(value, list):
        return " ".join(value)
    return " ".join(f"{name}={one}" for name, one in value.items()) if isinstance(value, dict) else str(value)


def _share(value: float) -> bool | float:
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise checks.wrong("probe", value, "True, False, or a share of requests such as 0.1")
    return bool(value) if isinstance(value, int) or not value else value  # True and 1.0 are equal, and not the same


SYNC = Configuration(name="sync", server="gunicorn-sync")
"""Sync-only: WSGI, one request at a time in each worker, Django's default middleware."""

THREADS = SYNC.replace(name="threads", server="gunicorn-gthread", threads=4)
"""The same with threads: WSGI, four requests at a time in each worker."""

ASGI = Configuration(name="asgi", server="uvicorn")
"""ASGI with Django's default middleware, for sync and async views side by side."""

MIXED = ASGI
"""`ASGI` by what it serves: sync code and async code, mixed."""

ASYNC = Configuration(name="async", server="uvicorn", application=LabApp(middleware="none"))
"""ASGI with as little sync in the path as Django allows; its fair twin is `SYNC.replace(middleware="none")`."""

NULL = Configuration(name="null", server="null", application=Bare())
"""A server that does next to nothing: what the load client measures here is itself."""

UPSTREAM = Configuration(name="upstream", server="upstream", application=Bare())
"""The external API and the object store behind the servers: see `requestlab.serving.upstream`."""

NAMED = {configuration.name: configuration for configuration in (SYNC, THREADS, ASGI, ASYNC, NULL, UPSTREAM)}
