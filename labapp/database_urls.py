"""The URL of a database, taken apart. Plain values, without Django: whoever starts a server can ask before there is
one.

sqlite://                                   a file, the same as an empty URL
postgres://user:password@host:5432/name     PostgreSQL; user, password, host and port may be left out

Options follow a question mark, with & between them:

conn_max_age=60     seconds for which a thread keeps its connection for later requests; 0 unless said: none keeps one
pool=1              psycopg's pool: connections are kept by the process and lent to requests; PostgreSQL only
"""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

POSTGRESQL = ("postgres", "postgresql")
MAX_AGE_S = 3_600

FORM = (
    "empty, sqlite:// or postgres://user:password@host:port/name, then ?conn_max_age= with seconds from 0 to "
    f"{MAX_AGE_S:,}, or, for PostgreSQL, ?pool=1"
)
"""What is expected, for the messages of those who refuse one."""


@dataclass(frozen=True)
class Database:
    """Where a database is, and how its connections are kept; all names are empty for SQLite."""

    postgresql: bool
    name: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    host: str = ""
    port: str = ""
    conn_max_age: int = 0
    pool: bool = False


def parsed(url: str) -> Database:
    """Take a URL apart. Raises ValueError, which never shows it, for what is no URL of a database."""
    if not url.isprintable():
        raise ValueError("line ends and tabs, which urlsplit() would leave out")
    parts = urlsplit(url or "sqlite://")
    chosen = _options(parts)
    if parts.scheme == "sqlite" and not parts.netloc and parts.path in ("", "/") and not chosen["pool"]:
        return Database(False, conn_max_age=chosen["conn_max_age"])
    if parts.scheme not in POSTGRESQL:
        raise ValueError("neither SQLite nor PostgreSQL")
    return Database(
        True,
        name=_name(parts),
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        host=parts.hostname or "",
        port=str(parts.port or ""),
        conn_max_age=chosen["conn_max_age"],
        pool=bool(chosen["pool"]),
    )


def _options(parts: SplitResult) -> dict[str, int]:
    """The options with their defaults. Raises ValueError for what is none, or cannot be together."""
    given = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True) if parts.query else []
    chosen = {"conn_max_age": 0, "pool": 0}
    if len(dict(given)) < len(given) or not chosen.keys() >= dict(given).keys():
        raise ValueError("an unknown option, or one that stands there twice")
    if not all(text.isascii() and text.isdecimal() and len(text) <= 4 for _, text in given):
        raise ValueError("an option that is no small whole number")
    chosen |= {name: int(text) for name, text in given}
    if parts.fragment or chosen["pool"] > 1 or chosen["conn_max_age"] > (0 if chosen["pool"] else MAX_AGE_S):
        raise ValueError("out of bounds, or kept by two at once")
    return chosen


def _name(parts: SplitResult) -> str:
    """The name of a PostgreSQL database. Raises ValueError where none is named, and for a port that is none."""
    name = unquote(parts.path.removeprefix("/"))
    in_all = unquote(parts.netloc) + name
    if not name or "/" in name or not in_all.isprintable() or parts.port == 0:
        raise ValueError("no name of a database, or no port")
    return name
