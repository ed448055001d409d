"""What stands behind a server: frozen values, one class for each kind of application.

A kind says where its application is, for each interface, and which environment variables its processes need. Fields
that it does not have are empty class attributes. To add a kind, write such a class and add it to `Application`.
"""

from __future__ import annotations

import dataclasses
import inspect
import ipaddress
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode, urlsplit

import labapp
from labapp.database_urls import FORM, POSTGRESQL, Database, parsed
from requestlab.errors import ConfigurationError
from requestlab.serving.project import Project
from requestlab.serving.views import dotted, packed, path_of_views, settings_text
from requestlab.system import checks
from requestlab.worker.ready import without_token

NO_MIDDLEWARE = "none"
LAYERS = ("startproject", "sync", "async", "hybrid")
"""What a middleware stack can be made of: Django's default seven at most once, and layers that only pass requests
on."""

MIDDLEWARE = (NO_MIDDLEWARE, *LAYERS)
MAX_LAYERS = 20

DATABASE_VARIABLE = "REQUESTLAB_DATABASE_URL"
"""In the environment of a notebook: the reader's own PostgreSQL, on which the lesson is to run."""

_DEFAULT_DATABASE = Database(postgresql=False)


@dataclass(frozen=True)
class LabApp:
    """The lab's Django project, `labapp`, with views and settings of the reader's own where wanted: see `app`.

    >>> SYNC.replace(middleware=("sync", "startproject"), database="postgres://user@host/name")

    `middleware` is its stack: "none", or layers, outermost first, such as ("sync", "startproject", "async"), kept as
    one string with commas. `database` is "", an SQLite file in the server's own directory, or a URL (see
    `labapp.database_urls`). `upstream` is the address of the external API and object store that some views call, or the
    server itself, `serve(UPSTREAM)`, which somebody else has to stop. `views` is the path of a Python file, `settings`
    a mapping, kept as text. Values that cannot work raise ConfigurationError.
    """

    middleware: str = "startproject"
    database: str = ""
    upstream: str = ""
    views: str = ""
    settings: str = ""

    kind: ClassVar[str] = "django"
    targets: ClassVar[Mapping[str, str]] = {"wsgi": "labapp.wsgi:application", "asgi": "labapp.asgi:application"}
    packages: ClassVar[tuple[Path, ...]] = (Path(labapp.__file__).parent,)
    python: ClassVar[str] = ""
    working_directory: ClassVar[str] = ""
    headers: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        object.__setattr__(self, "views", path_of_views(self.views))
        object.__setattr__(self, "settings", settings_text(self.settings))
        object.__setattr__(self, "middleware", _stack(self.middleware, self.views))
        object.__setattr__(self, "database", DatabaseUrl(checked_database(self.database)))
        object.__setattr__(self, "upstream", _address(self.upstream))

    def variables(self, directory: str) -> dict[str, str]:
        """Return what the environment of its processes must hold, whose server has this `directory`; the secret key is
        another one each time."""
        return {
            "DJANGO_SETTINGS_MODULE": "labapp.settings",
            "LABAPP_MIDDLEWARE": self.middleware,
            "LABAPP_DATABASE": self.database,
            "LABAPP_UPSTREAM": self.upstream,
            "LABAPP_VIEWS": self.views,
            "LABAPP_SETTINGS": self.settings,
            "LABAPP_SECRET_KEY": secrets.token_urlsafe(50),
        }


@dataclass(frozen=True)
class Bare:
    """A bare callable that answers as many bytes as labapp's page, without Django.

    >>> lab.serve(lab.SYNC, application=lab.Bare())
    """

    kind: ClassVar[str] = "bare"
    targets: ClassVar[Mapping[str, str]] = {"wsgi": "labapp.bare:wsgi", "asgi": "labapp.bare:asgi"}
    packages: ClassVar[tuple[Path, ...]] = LabApp.packages
    python: ClassVar[str] = ""
    working_directory: ClassVar[str] = ""
    headers: ClassVar[Mapping[str, str]] = {}
    middleware: ClassVar[str] = NO_MIDDLEWARE
    database: ClassVar[str] = ""
    upstream: ClassVar[str] = ""
    views: ClassVar[str] = ""
    settings: ClassVar[str] = ""

    def variables(self, directory: str) -> dict[str, str]:
        return {}


Application = LabApp | Bare | Project
Stack = str | Sequence[str | Callable[..., Any]]

APPLICATIONS: dict[str, type[LabApp | Bare]] = {one.kind: one for one in (LabApp, Bare)}
"""The kinds that have a short name, by that name."""

PARTS = tuple(field.name for field in dataclasses.fields(LabApp))
"""Fields of an application that can be given as if they were fields of a configuration."""


def app(
    *views: Callable[..., Any] | str | Path,
    settings: Mapping[str, Any] | None = None,
    middleware: Stack = "startproject",
    database: str = "",
    upstream: str = "",
) -> LabApp:
    """Return an application of the reader's own views, in front of labapp's.

    >>> serve(ASGI, application=app("views.py", settings={"CONN_MAX_AGE": 60}, middleware=["timing", "startproject"]))

    `views` is one Python file, or functions of a notebook. In both, `def slow(request)` answers at /slow/, sync or
    async, and so does a class-based view; a file may have `urlpatterns` instead, and models, whose tables are made.
    Middleware is named as in `LabApp`, by dotted names, by names from that file, or is a function or class of the
    notebook. `settings` are put over labapp's: literals, of which CONN_MAX_AGE and the like go to the database, and
    INSTALLED_APPS are added.

    Raises ConfigurationError where that cannot be served; what fails when it is run, `serve` tells.
    """
    if not isinstance(middleware, str):
        checks.instance("middleware", middleware, (list, tuple), "a list of layers, or a text with commas")  # type: ignore[arg-type]
    layers = middleware.split(",") if isinstance(middleware, str) else list(middleware)
    own = [layer for layer in layers if callable(layer)]
    functions = [one for one in views if callable(one)]
    if len(views) > 1 and len(functions) < len(views):
        raise ConfigurationError("app() takes one file, or functions, not several files or both")
    if own and len(functions) < len(views):
        raise ConfigurationError("app() takes middleware from that file by its name, as text")
    own_settings = {} if settings is None else checks.instance("settings", settings, Mapping, "a mapping")  # type: ignore[type-abstract]
    text = packed([*functions, *own]) if functions or own else path_of_views(views[0]) if views else ""
    names = [getattr(layer, "__name__", layer) for layer in layers]
    return LabApp(names, database, upstream, text, dict(own_settings))  # type: ignore[arg-type]


def application(given: object, before: Application | None = None) -> Application:
    """Return the application that is meant: a value is itself, a short name is `before` if that is of its kind, else a
    new one."""
    if isinstance(given, Application):
        return given
    kind = APPLICATIONS[checks.one_of("application", given, APPLICATIONS)]
    return before if isinstance(before, kind) else kind()


def changed(before: Application, parts: Mapping[str, object]) -> Application:
    """Return it with some parts changed; raise ConfigurationError for parts that it does not have, unless they are
    empty."""
    fields = {field.name for field in dataclasses.fields(before)}
    for name in parts.keys() - fields:
        if getattr(LabApp(**{name: parts[name]}), name) != getattr(before, name):  # type: ignore[arg-type]
            raise ConfigurationError(f"application {before.kind!r} has no {name}; give it none")
    own: dict[str, Any] = {name: value for name, value in parts.items() if name in fields}
    return dataclasses.replace(before, **own)


def database(*, conn_max_age: int = 0, pool: bool = False) -> str:
    """Return the URL of the database in REQUESTLAB_DATABASE_URL, or else of an SQLite file in the server's own
    directory.

    >>> lab.serve(lab.SYNC, database=lab.database(conn_max_age=60))

    The options replace those of the variable. Raises ConfigurationError for what is no such URL, and for a pool on
    SQLite.
    """
    url = checked_database(os.environ.get(DATABASE_VARIABLE, "")) or "sqlite://"
    age = checks.whole("database(conn_max_age)", conn_max_age, 0, 1_000_000_000)
    options = {"conn_max_age": age, "pool": int(checks.truth("database(pool)", pool))}
    chosen = urlencode({name: value for name, value in options.items() if value})
    return checked_database("?".join([url.partition("?")[0], *([chosen] if chosen else [])]))


def checked_database(url: object) -> str:
    """Return the URL, empty for the default one; raise ConfigurationError, which never shows a password, for any
    other."""
    try:
        if isinstance(url, str):
            return "" if parsed(url) == _DEFAULT_DATABASE else url
    except ValueError:
        pass
    shown = "'...'" if isinstance(url, str) and url else checks.shown(url)
    raise ConfigurationError(f"database={shown} cannot be used; it must be {FORM}")


class DatabaseUrl(str):
    """The URL of a database, which shows without its password wherever fields are shown."""

    def __repr__(self) -> str:
        return str.__repr__(masked(self))


def masked(url: str) -> str:
    """Return the URL of a database with `***` for a password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()


def database_label(url: str) -> str:
    """Return the kind of a database and its options: `postgresql?pool=1`."""
    parts = urlsplit(url)
    kind = "postgresql" if parts.scheme in POSTGRESQL else "sqlite"
    return f"{kind}?{parts.query}" if parts.query else kind


def _stack(given: object, views: str) -> str:
    layers = given.split(",") if isinstance(given, str) else given
    if isinstance(layers, list | tuple) and all(isinstance(layer, str) for layer in layers):
        layers = [layer.strip() for layer in layers]
        if layers in ([], [NO_MIDDLEWARE]):
            return NO_MIDDLEWARE
        if views:
            layers = [layer if layer in LAYERS else dotted(layer, views) for layer in layers]
        known = all(layer in LAYERS or _is_dotted(layer) for layer in layers)
        if known and len(layers) <= MAX_LAYERS and layers.count("startproject") <= 1:
            return ",".join(layers)
    raise ConfigurationError(
        f"middleware={checks.shown(given)} is not known; expected {NO_MIDDLEWARE!r}, or up to {MAX_LAYERS} layers, outermost first, "
        f"of: {', '.join(LAYERS)}; startproject at most once; or dotted names of other middleware"
    )


def _is_dotted(name: str) -> bool:
    return "." in name and all(part.isidentifier() for part in name.split("."))


def _address(upstream: object) -> str:
    """Return the base address of an upstream; of a server of the lab, its own."""
    given = upstream if isinstance(upstream, str) else inspect.getattr_static(upstream, "url", None)
    if isinstance(given, str) and not given:
        return ""
    address = given.rstrip("/") if isinstance(given, str) else ""
    address = address if "://" in address else f"http://{address}"
    if _is_here(address):
        return address
    expected = "an address on this machine, such as 127.0.0.1:8001, or a server of serve(requestlab.UPSTREAM)"
    raise checks.wrong("upstream", upstream, expected)


def _is_here(address: str) -> bool:
    """Return whether it is http://HOST:PORT and nothing more but a token, HOST being this machine's own name for
    itself."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
        if without_token(address) != f"http://{host}:{port}":
            return False
        return host == "localhost" or ipaddress.IPv4Address(host).is_loopback
    except ValueError:
        return False
