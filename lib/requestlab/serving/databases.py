"""Which database the app asks, as a URL (`labapp.database_urls` says which there are), and how to show it without its password."""

from __future__ import annotations

import os
from urllib.parse import urlencode, urlsplit

from labapp.database_urls import FORM, POSTGRESQL, Database, parsed
from requestlab.errors import ConfigurationError

VARIABLE = "REQUESTLAB_DATABASE_URL"
"""In the environment of a notebook: the reader's own PostgreSQL, on which the lesson is to run."""

DEFAULT = Database(postgresql=False)


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
        if isinstance(url, str):
            return "" if parsed(url) == DEFAULT else url
    except ValueError:
        pass
    raise ConfigurationError(f"database={_said(url)} cannot be used; it must be {FORM}")


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


def _said(url: object) -> str:
    """Return what may be said about it: of text that may hold a password, next to nothing."""
    return "'...'" if isinstance(url, str) and url else repr(url)
