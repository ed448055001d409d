"""The servers of the lab: one row each, with its command line. To add a server, add a row to `SERVERS`."""

from __future__ import annotations

from dataclasses import dataclass

from requestlab.system import checks

APPLICATION = "requestlab.worker.entry:application"
"""What every server loads. It answers the readiness question and passes all else to the real application."""

BACKLOG = 2048
"""Length of the accept queue: gunicorn's and uvicorn's own default, set for every server."""

MAX_CONNECTIONS = 10_000
"""Connections that a worker may have open, where the server has such a limit; uvicorn has none."""

_GUNICORN = (
    "-m gunicorn --bind fd://{fd} --workers {workers} "
    f"--worker-connections {MAX_CONNECTIONS} --log-level warning --no-control-socket {APPLICATION} --worker-class "
)
_UVICORN = (
    f"-m uvicorn --fd {{fd}} --workers {{workers}} --backlog {BACKLOG} --log-level warning --no-access-log "
    f"--http httptools --interface asgi3 {APPLICATION} --loop {{loop}}"
)


@dataclass(frozen=True)
class ServerType:
    """One kind of server.

    `command` follows the Python interpreter on the command line. It names in braces what it takes: `{fd}`, the
    descriptor that it listens on, `{workers}`, `{threads}`, and `{loop}`, or `{Loop}` with a capital letter. `packages`
    are the distributions whose versions decide how it behaves, `own_loop` is the event loop of an ASGI server where
    nobody chooses another.
    """

    name: str
    title: str
    interface: str
    command: str
    packages: tuple[str, ...]
    own_loop: str = "asyncio"

    @property
    def runs_application(self) -> bool:
        """False for what answers by itself."""
        return APPLICATION in self.command

    def takes(self, name: str) -> bool:
        """Return whether a field of a configuration means something to it: `workers`, `threads` or `loop`."""
        return f"{{{name}}}" in self.command or f"{{{name.capitalize()}}}" in self.command

    def arguments(self, fd: int, workers: int, threads: int, loop: str | None) -> list[str]:
        """Return the command line, without the interpreter; `loop` is None where it runs none."""
        named = {"fd": fd, "workers": workers, "threads": threads, "loop": loop, "Loop": str(loop).capitalize()}
        return self.command.format(**named).split()


_ROWS = (
    ServerType("gunicorn-sync", "gunicorn, sync worker", "wsgi", _GUNICORN + "sync", ("gunicorn",)),
    ServerType(
        "gunicorn-gthread", "gunicorn, gthread worker", "wsgi", _GUNICORN + "gthread --threads {threads}", ("gunicorn",)
    ),
    ServerType(
        "gunicorn-uvicorn",
        "gunicorn, uvicorn worker",
        "asgi",
        _GUNICORN + "requestlab.worker.gunicorn_workers.{Loop}Worker",
        ("gunicorn", "uvicorn", "uvicorn-worker", "uvloop", "httptools"),
    ),
    ServerType(
        "gunicorn-asgi",
        "gunicorn, its own ASGI worker",
        "asgi",
        _GUNICORN + "asgi --asgi-loop {loop}",
        ("gunicorn", "uvloop"),
    ),
    ServerType("uvicorn", "uvicorn", "asgi", _UVICORN, ("uvicorn", "uvloop", "httptools")),
    ServerType(
        "null", "null server: one constant answer", "asgi", "-m requestlab.serving.null {fd}", ("uvloop",), "uvloop"
    ),
    ServerType(
        "upstream",
        "upstream: external API and object store",
        "asgi",
        "-m requestlab.serving.upstream {fd}",
        ("uvloop", "httptools"),
        "uvloop",
    ),
)

SERVERS = {row.name: row for row in _ROWS}


def find(name: str) -> ServerType:
    """Return the row of that name, or raise ConfigurationError with the names there are."""
    return SERVERS[checks.one_of("server", name, SERVERS)]
