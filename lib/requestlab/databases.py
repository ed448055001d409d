"""Which database the app asks, as a URL; what is wrong with it, and how to show it without its password.

    sqlite://                                   a file in the server's own directory; the same as ""
    postgres://user:password@host:5432/name     PostgreSQL; user, password, host and port may be left out

Options follow a question mark, with & between them: `conn_max_age=60`, seconds for which a thread keeps its connection for
later requests (0 unless said: none keeps one), or `pool=1`, psycopg's pool of connections, PostgreSQL only.
"""

from __future__ import annotations

import os
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from requestlab.errors import ConfigurationError

VARIABLE = "REQUESTLAB_DATABASE_URL"
"""In the environment of a notebook: the reader's own PostgreSQL, on which the lesson is to run."""

MOST_AGE_S = 3_600
POSTGRESQL = ("postgres", "postgresql")


def database(*, conn_max_age: int = 0, pool: bool = False) -> str:
    """Return the URL of the database in REQUESTLAB_DATABASE_URL, or else of an SQLite file in the server's own directory.

    >>> lab.serve(lab.SYNC, database=lab.database(conn_max_age=60))

    How connections are kept is what the options here say, whatever the variable says. Raises ConfigurationError for what is
    no such URL, and for a pool on SQLite.
    """
    url = checked(os.environ.get(VARIABLE, "")) or "sqlite://"
    options = {"conn_max_age": conn_max_age, "pool": int(pool)}
    chosen = urlencode({name: value for name, value in options.items() if value})
    return checked("?".join([url.partition("?")[0], *([chosen] if chosen else [])]))


def checked(url: object) -> str:
    """Return the URL, empty for the default one; raise ConfigurationError, which never shows a password, for any other."""
    try:
        if isinstance(url, str) and url.isprintable():
            parts = urlsplit(url or "sqlite://")
            chosen = _options(parts)
            sqlite = parts.scheme == "sqlite" and not parts.netloc and parts.path in ("", "/") and not chosen["pool"]
            if sqlite or (parts.scheme in POSTGRESQL and _names_one(parts)):
                return url if not sqlite or any(chosen.values()) else ""
    except ValueError:
        pass  # a port that is no number, say
    raise ConfigurationError(
        f"database={_said(url)} cannot be used; expected '', 'sqlite://' or 'postgres://user:password@host:port/name', then "
        f"'?conn_max_age=' with seconds from 0 to {MOST_AGE_S:,}, or, for PostgreSQL, '?pool=1'"
    )


def masked(url: str) -> str:
    """Return the URL with `***` for a password."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    user, _, host = parts.netloc.rpartition("@")
    return parts._replace(netloc=f"{user.partition(':')[0]}:***@{host}").geturl()


def label(url: str) -> str:
    """Return what a figure says of it: the kind, and the options: `postgresql?pool=1`."""
    parts = urlsplit(url)
    kind = "postgresql" if parts.scheme in POSTGRESQL else "sqlite"
    return f"{kind}?{parts.query}" if parts.query else kind


def _options(parts: SplitResult) -> dict[str, int]:
    """Return the options with their defaults; raise ValueError for what is none, or cannot be together."""
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
    """Return whether a PostgreSQL database is named; raise ValueError for a port that is none."""
    name = unquote(parts.path.removeprefix("/"))
    in_all = unquote(parts.netloc) + name
    return bool(name) and "/" not in name and in_all.isprintable() and (parts.port is None or parts.port > 0)


def _said(url: object) -> str:
    """Return what may be said about it: of text that may hold a password, next to nothing."""
    return "'...'" if isinstance(url, str) and url else repr(url)
