"""Which database: Django's settings for a URL, which the environment variable LABAPP_DATABASE says; see
database_urls.py."""

from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from labapp.database_urls import FORM, Database, parsed

FILE = "labapp.sqlite3"
"""In the directory in which the server was started."""

LOCK_TIMEOUT_S = 30
"""How long a writer waits for those before it: SQLite has one at a time, and Python's 5 s are soon over."""


def database_of(url: str) -> dict[str, Any]:
    """What Django's setting DATABASES["default"] must be. Raises ImproperlyConfigured, which never shows the URL."""
    try:
        database = parsed(url)
    except ValueError:
        raise ImproperlyConfigured(f"LABAPP_DATABASE is not a URL of a database; it must be {FORM}.") from None
    return (_postgresql(database) if database.postgresql else _sqlite()) | {"CONN_MAX_AGE": database.conn_max_age}


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


def _postgresql(database: Database) -> dict[str, Any]:
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": database.name,
        "USER": database.user,
        "PASSWORD": database.password,
        "HOST": database.host,
        "PORT": database.port,
        "OPTIONS": {"pool": True} if database.pool else {},
    }
