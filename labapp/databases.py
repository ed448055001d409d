"""Which database, from a URL; the environment variable LABAPP_DATABASE says one.

(empty) or sqlite://                       a file, labapp.sqlite3, in the directory in which the server was started
postgres://user:password@host:5432/name    PostgreSQL; user, password, host and port may be left out

Options follow a question mark, with & between them:

conn_max_age=60     seconds for which a thread keeps its connection for later requests; 0 unless said: none keeps one
pool=1              psycopg's pool: connections are kept by the process and lent to requests; PostgreSQL only
"""

from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

FILE = "labapp.sqlite3"
MOST_AGE_S = 3_600

LOCK_TIMEOUT_S = 30
"""How long a writer waits for those before it: SQLite has one at a time, and Python's 5 s are soon over."""


def database_of(url: str) -> dict[str, Any]:
    """What Django's setting DATABASES["default"] must be. Raises ImproperlyConfigured, which never shows the URL."""
    try:
        parts = urlsplit(_printable(url) or "sqlite://")
        chosen = _options(parts)
        if parts.scheme == "sqlite" and not parts.netloc and parts.path in ("", "/") and not chosen["pool"]:
            return _sqlite() | {"CONN_MAX_AGE": chosen["conn_max_age"]}
        if parts.scheme in ("postgres", "postgresql") and _names_one(parts):
            return _postgresql(parts, pool=bool(chosen["pool"])) | {"CONN_MAX_AGE": chosen["conn_max_age"]}
    except ValueError:
        pass  # a port that is no number, say
    raise ImproperlyConfigured(
        "LABAPP_DATABASE is not a URL of a database; it must be empty, sqlite:// or postgres://user:password@host:port/name, "
        f"then ?conn_max_age= with seconds from 0 to {MOST_AGE_S:,}, or, for PostgreSQL, ?pool=1."
    )


def _printable(url: str) -> str:
    if not url.isprintable():
        raise ValueError("urlsplit() would leave out line ends and tabs")
    return url


def _options(parts: SplitResult) -> dict[str, int]:
    """The options with their defaults. Raises ValueError for what is none, or cannot be together."""
    given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    chosen = {"conn_max_age": 0, "pool": 0}
    if len(dict(given)) < len(given) or not chosen.keys() >= dict(given).keys():
        raise ValueError("an unknown option, or one that stands there twice")
    if not all(text.isascii() and text.isdecimal() and len(text) <= 4 for _, text in given):
        raise ValueError("an option that is no small whole number")
    chosen |= {name: int(text) for name, text in given}
    if parts.fragment or chosen["pool"] > 1 or chosen["conn_max_age"] > (0 if chosen["pool"] else MOST_AGE_S):
        raise ValueError("out of bounds, or kept by two at once")
    return chosen


def _names_one(parts: SplitResult) -> bool:
    """Whether a PostgreSQL database is named. Raises ValueError for a port that is none."""
    name = _name(parts)
    in_all = unquote(parts.netloc) + name
    return bool(name) and "/" not in name and in_all.isprintable() and (parts.port is None or parts.port > 0)


def _name(parts: SplitResult) -> str:
    return unquote(parts.path.removeprefix("/"))


def _sqlite() -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path.cwd() / FILE,  # never in memory: there, each thread would have a database of its own
        "OPTIONS": {
            "timeout": LOCK_TIMEOUT_S,
            # A transaction that reads and then writes would find "database is locked" at once, whatever the timeout.
            "transaction_mode": "IMMEDIATE",
            # Safe against a server that ends, which is all that is tried here; FULL waits for the disk at each commit.
            "init_command": "PRAGMA synchronous=NORMAL",
        },
    }


def _postgresql(parts: SplitResult, *, pool: bool) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _name(parts),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": parts.hostname or "",
        "PORT": str(parts.port or ""),
        "OPTIONS": {"pool": True} if pool else {},
    }
