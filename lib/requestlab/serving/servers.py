"""The servers of the lab: one row each, with how its command line is built.

To add a server, write a function that returns its arguments and one row of `SERVERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from requestlab.errors import ConfigurationError

if TYPE_CHECKING:
    from requestlab.serving.configuration import Configuration

APPLICATION = "requestlab.worker.entry:application"
"""What every server loads. It answers the readiness question and passes all else to the real application."""

BACKLOG = 2048
"""Length of the accept queue: gunicorn's and uvicorn's own default, set for every server."""


MAX_CONNECTIONS = 10_000
"""Connections that a worker may have open, where the server has such a limit; uvicorn has none."""


@dataclass(frozen=True)
class Server:
    """One server: `arguments(configuration, fd)` follows the Python interpreter on the command line.

    `takes` names the fields of a configuration that mean something to it, `packages` the distributions whose versions
    decide how it behaves, `own_loop` the event loop of an ASGI server where nobody chooses another. `runs_application` is
    False for what answers by itself.
    """

    name: str
    title: str
    interface: str
    arguments: Callable[[Configuration, int], list[str]]
    takes: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    own_loop: str = "asyncio"
    runs_application: bool = True


def _gunicorn(configuration: Configuration, fd: int, *more: str) -> list[str]:
    workers = str(configuration.workers)
    quiet = ["--log-level", "warning", "--no-control-socket"]
    open_to_all = ["--worker-connections", str(MAX_CONNECTIONS)]
    return ["-m", "gunicorn", "--bind", f"fd://{fd}", "--workers", workers, *open_to_all, *quiet, *more, APPLICATION]


def _gunicorn_sync(configuration: Configuration, fd: int) -> list[str]:
    return _gunicorn(configuration, fd, "--worker-class", "sync")


def _gunicorn_gthread(configuration: Configuration, fd: int) -> list[str]:
    return _gunicorn(configuration, fd, "--worker-class", "gthread", "--threads", str(configuration.threads))


def _gunicorn_uvicorn(configuration: Configuration, fd: int) -> list[str]:
    worker = {"asyncio": "AsyncioWorker", "uvloop": "UvloopWorker"}[configuration.event_loop or "asyncio"]
    return _gunicorn(configuration, fd, "--worker-class", f"requestlab.worker.gunicorn_workers.{worker}")


def _gunicorn_asgi(configuration: Configuration, fd: int) -> list[str]:
    return _gunicorn(configuration, fd, "--worker-class", "asgi", "--asgi-loop", str(configuration.event_loop))


def _uvicorn(configuration: Configuration, fd: int) -> list[str]:
    how = ["--loop", str(configuration.event_loop), "--http", "httptools", "--interface", "asgi3"]
    quiet = ["--log-level", "warning", "--no-access-log"]
    workers = ["--workers", str(configuration.workers), "--backlog", str(BACKLOG)]
    return ["-m", "uvicorn", "--fd", str(fd), *workers, *how, *quiet, APPLICATION]


def _null(configuration: Configuration, fd: int) -> list[str]:
    return ["-m", "requestlab.serving.null", str(fd)]


def _upstream(configuration: Configuration, fd: int) -> list[str]:
    return ["-m", "requestlab.serving.upstream", str(fd)]


_LOOP = frozenset({"loop"})

SERVERS = {
    row.name: row
    for row in (
        Server("gunicorn-sync", "gunicorn, sync worker", "wsgi", _gunicorn_sync, packages=("gunicorn",)),
        Server(
            "gunicorn-gthread",
            "gunicorn, gthread worker",
            "wsgi",
            _gunicorn_gthread,
            takes=frozenset({"threads"}),
            packages=("gunicorn",),
        ),
        Server(
            "gunicorn-uvicorn",
            "gunicorn, uvicorn worker",
            "asgi",
            _gunicorn_uvicorn,
            takes=_LOOP,
            packages=("gunicorn", "uvicorn", "uvicorn-worker", "uvloop", "httptools"),
        ),
        Server(
            "gunicorn-asgi",
            "gunicorn, its own ASGI worker",
            "asgi",
            _gunicorn_asgi,
            takes=_LOOP,
            packages=("gunicorn", "uvloop"),
        ),
        Server("uvicorn", "uvicorn", "asgi", _uvicorn, takes=_LOOP, packages=("uvicorn", "uvloop", "httptools")),
        Server(
            "null",
            "null server: one constant answer",
            "asgi",
            _null,
            packages=("uvloop",),
            own_loop="uvloop",
            runs_application=False,
        ),
        Server(
            "upstream",
            "upstream: external API and object store",
            "asgi",
            _upstream,
            packages=("uvloop", "httptools"),
            own_loop="uvloop",
            runs_application=False,
        ),
    )
}


def find(name: str) -> Server:
    """Return the row of that name, or raise ConfigurationError with the names there are."""
    try:
        return SERVERS[name]
    except (KeyError, TypeError):
        raise ConfigurationError(f"server={name!r} is not known; expected one of: {', '.join(SERVERS)}") from None
