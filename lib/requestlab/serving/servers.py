"""The servers of the lab: one row each, with how its command line is built.

To add a server, write a function that returns its arguments and one row of `SERVERS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from requestlab.system import checks

APPLICATION = "requestlab.worker.entry:application"
"""What every server loads. It answers the readiness question and passes all else to the real application."""

BACKLOG = 2048
"""Length of the accept queue: gunicorn's and uvicorn's own default, set for every server."""

MAX_CONNECTIONS = 10_000
"""Connections that a worker may have open, where the server has such a limit; uvicorn has none."""


@dataclass(frozen=True)
class ServerType:
    """One kind of server.

    `arguments(fd, workers, threads, loop)` follows the Python interpreter on the command line; `fd` is the descriptor that it
    listens on, `loop` None where it runs none. `takes` names the fields of a configuration that mean something to it,
    `packages` the distributions whose versions decide how it behaves, `own_loop` the event loop of an ASGI server where nobody
    chooses another. `runs_application` is False for what answers by itself.
    """

    name: str
    title: str
    interface: str
    arguments: Callable[[int, int, int, str | None], list[str]]
    takes: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    own_loop: str = "asyncio"
    runs_application: bool = True


def _gunicorn(fd: int, workers: int, worker_class: str, *more: str) -> list[str]:
    open_to_all = ["--worker-connections", str(MAX_CONNECTIONS)]
    quiet = ["--log-level", "warning", "--no-control-socket"]
    where = ["--bind", f"fd://{fd}", "--workers", str(workers), *open_to_all]
    return ["-m", "gunicorn", *where, *quiet, "--worker-class", worker_class, *more, APPLICATION]


def _gunicorn_sync(fd: int, workers: int, threads: int, loop: str | None) -> list[str]:
    return _gunicorn(fd, workers, "sync")


def _gunicorn_gthread(fd: int, workers: int, threads: int, loop: str | None) -> list[str]:
    return _gunicorn(fd, workers, "gthread", "--threads", str(threads))


def _gunicorn_uvicorn(fd: int, workers: int, threads: int, loop: str | None) -> list[str]:
    worker = {"asyncio": "AsyncioWorker", "uvloop": "UvloopWorker"}[loop or "asyncio"]
    return _gunicorn(fd, workers, f"requestlab.worker.gunicorn_workers.{worker}")


def _gunicorn_asgi(fd: int, workers: int, threads: int, loop: str | None) -> list[str]:
    return _gunicorn(fd, workers, "asgi", "--asgi-loop", str(loop))


def _uvicorn(fd: int, workers: int, threads: int, loop: str | None) -> list[str]:
    how = ["--loop", str(loop), "--http", "httptools", "--interface", "asgi3"]
    quiet = ["--log-level", "warning", "--no-access-log"]
    where = ["--fd", str(fd), "--workers", str(workers), "--backlog", str(BACKLOG)]
    return ["-m", "uvicorn", *where, *how, *quiet, APPLICATION]


def _own(module: str) -> Callable[[int, int, int, str | None], list[str]]:
    """Return the arguments of a server that is a module of the lab."""
    return lambda fd, workers, threads, loop: ["-m", module, str(fd)]


_LOOP = frozenset({"loop"})
_THREADS = frozenset({"threads"})
_GUNICORN = ("gunicorn",)
_UVICORN = ("uvicorn", "uvloop", "httptools")

_ROWS = (
    ServerType("gunicorn-sync", "gunicorn, sync worker", "wsgi", _gunicorn_sync, packages=_GUNICORN),
    ServerType("gunicorn-gthread", "gunicorn, gthread worker", "wsgi", _gunicorn_gthread, _THREADS, _GUNICORN),
    ServerType(
        "gunicorn-uvicorn",
        "gunicorn, uvicorn worker",
        "asgi",
        _gunicorn_uvicorn,
        _LOOP,
        ("gunicorn", "uvicorn", "uvicorn-worker", "uvloop", "httptools"),
    ),
    ServerType("gunicorn-asgi", "gunicorn, its own ASGI worker", "asgi", _gunicorn_asgi, _LOOP, ("gunicorn", "uvloop")),
    ServerType("uvicorn", "uvicorn", "asgi", _uvicorn, _LOOP, _UVICORN),
    ServerType(
        "null",
        "null server: one constant answer",
        "asgi",
        _own("requestlab.serving.null"),
        packages=("uvloop",),
        own_loop="uvloop",
        runs_application=False,
    ),
    ServerType(
        "upstream",
        "upstream: external API and object store",
        "asgi",
        _own("requestlab.serving.upstream"),
        packages=("uvloop", "httptools"),
        own_loop="uvloop",
        runs_application=False,
    ),
)

SERVERS = {row.name: row for row in _ROWS}


def find(name: str) -> ServerType:
    """Return the row of that name, or raise ConfigurationError with the names there are."""
    return SERVERS[checks.one_of("server", name, SERVERS)]
