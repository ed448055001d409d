"""The servers of the lab: one row each, with its command line. To add a server, add a row to `SERVERS`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from requestlab.errors import ConfigurationError
from requestlab.system import checks

APPLICATION = "requestlab.worker.entry:application"
"""What every server loads. It answers the readiness question and passes all else to the real application."""

BACKLOG = 2048
"""Length of the accept queue: gunicorn's and uvicorn's own default, set for every server."""

MAX_CONNECTIONS = 10_000
"""Connections that a worker may have open, where the server has such a limit; uvicorn has none."""

_GUNICORN = (
    "gunicorn --bind fd://{fd} --workers {workers} "
    f"--worker-connections {MAX_CONNECTIONS} --log-level warning --no-control-socket --worker-class "
)
_GRANIAN = (
    "granian --host 127.0.0.1 --port {port} --workers {workers} "
    f"--backlog {BACKLOG} --log-level warning --http 1 --no-ws --interface "
)

_SINCE = {"--no-control-socket": ("gunicorn", (25, 1))}
"""Flags of the lab's own that older versions of a package, in an interpreter of the reader's, do not know."""

_REFUSED = {
    "workers": "-w --workers --processes -p",
    "threads": "--threads --blocking-threads",
    "loop": "--loop --asgi-loop",
    "server": "-k --worker-class --interface --http",
    "application": "--module --wsgi --wsgi-file --factory --call --app-dir --pythonpath --chdir --working-dir",
    "": "-b --bind --host --port --fd --uds --listen --unix-socket --unix_socket -u -e --endpoint --insecure-bind --quic-bind "
    "--http-socket --socket --http11-socket -s --daemon -D --daemonize --pid --pid-file --pidfile -c --config --ini "
    "--reload --preload --preload-app --master",
}
"""Options that are not for the reader to give, by the field that sets them; by nothing, those that the lab needs as
they are."""

_FIELD_OF = {option: field for field, options in _REFUSED.items() for option in options.split()}


@dataclass(frozen=True)
class ServerType:
    """One kind of server.

    `command` is a module that Python runs, and its arguments up to the application. It names in braces what it takes:
    `{fd}`, the descriptor that it listens on, or `{port}` where it opens one itself, `{workers}`, `{threads}`, and
    `{loop}`, or `{Loop}` with a capital letter. `packages` are the distributions whose versions decide how it behaves,
    the first of them its own. `own_loop` is the event loop of an ASGI server where nobody chooses another.
    `application` is what it is told to load, nothing for what answers by itself. `limited`: its workers take only so
    many requests at once. `extra` is the package that it needs and that is not installed unless asked for.
    """

    name: str
    title: str
    interface: str
    command: str
    packages: tuple[str, ...]
    own_loop: str = "asyncio"
    application: str = APPLICATION
    limited: bool = False
    extra: str = ""

    @property
    def runs_application(self) -> bool:
        """Whether it loads an application."""
        return bool(self.application)

    @property
    def module(self) -> str:
        """What Python is to run."""
        return self.command.split()[0]

    @property
    def opens_its_port(self) -> bool:
        """Whether it listens on a port by number, not on a descriptor."""
        return "{port}" in self.command

    def takes(self, name: str) -> bool:
        """Return whether a field of a configuration means something to it: `workers`, `threads` or `loop`."""
        return f"{{{name}}}" in self.command or f"{{{name.capitalize()}}}" in self.command

    def check_options(self, options: Sequence[str]) -> None:
        """Raise ConfigurationError for options of its command line that are the lab's to give."""
        if options and not self.runs_application:
            raise ConfigurationError(f"server {self.name!r} takes no options")
        for option in options:
            name = option.partition("=")[0]
            short = name[:2] if name.startswith("-") and not name.startswith("--") else name
            for given in (name, short):
                if (field := _FIELD_OF.get(given)) is not None:
                    why = (
                        f"the field {field} of the configuration says that" if field else "the lab needs that as it is"
                    )
                    raise ConfigurationError(f"option {option!r} of {self.name!r} cannot be given: {why}")

    def arguments(
        self, listener: Listener, workers: int, threads: int, loop: str | None, options: Sequence[str]
    ) -> list[str]:
        """Return the command line, without the interpreter; `loop` is None where it runs none."""
        named = {"workers": workers, "threads": threads, "loop": loop, "Loop": str(loop).capitalize()}
        command = self.command.format(fd=listener.fd, port=listener.port, **named).split()
        return [*command, *options, *([self.application] if self.application else [])]


@dataclass(frozen=True)
class Listener:
    """Where a server is to listen: a descriptor that listens already, and the port of it."""

    fd: int
    port: int


_ROWS = (
    ServerType("gunicorn-sync", "gunicorn, sync worker", "wsgi", _GUNICORN + "sync", ("gunicorn",), limited=True),
    ServerType(
        "gunicorn-gthread",
        "gunicorn, gthread worker",
        "wsgi",
        _GUNICORN + "gthread --threads {threads}",
        ("gunicorn",),
        limited=True,
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
    ServerType(
        "uvicorn",
        "uvicorn",
        "asgi",
        f"uvicorn --fd {{fd}} --workers {{workers}} --backlog {BACKLOG} --log-level warning --no-access-log "
        "--http httptools --interface asgi3 --loop {loop}",
        ("uvicorn", "uvloop", "httptools"),
    ),
    ServerType(
        "gunicorn-gevent",
        "gunicorn, gevent worker",
        "wsgi",
        _GUNICORN + "gevent",
        ("gunicorn", "gevent"),
        extra="gevent",
    ),
    ServerType(
        "granian-wsgi",
        "granian, WSGI",
        "wsgi",
        _GRANIAN + "wsgi --blocking-threads {threads}",
        ("granian",),
        limited=True,
        extra="granian",
    ),
    ServerType(
        "granian-asgi",
        "granian, ASGI",
        "asgi",
        _GRANIAN + "asgi --loop {loop}",
        ("granian", "uvloop"),
        extra="granian",
    ),
    ServerType(
        "hypercorn",
        "hypercorn",
        "asgi",
        f"hypercorn --bind fd://{{fd}} --workers {{workers}} --backlog {BACKLOG} --log-level warning "
        "--worker-class {loop}",
        ("hypercorn", "uvloop"),
        application=f"asgi:{APPLICATION}",  # or it takes it for WSGI
        extra="hypercorn",
    ),
    ServerType(
        "daphne",
        "daphne",
        "asgi",
        "daphne --fd {fd} --verbosity 0 --no-server-name",
        ("daphne", "twisted"),
        extra="daphne",
    ),
    ServerType(
        "waitress",
        "waitress",
        "wsgi",
        f"requestlab.worker.waitress_server {{fd}} --threads {{threads}} --connection-limit {MAX_CONNECTIONS} "
        "--asyncore-use-poll",
        ("waitress",),
        limited=True,
        extra="waitress",
    ),
    ServerType(
        "uwsgi",
        "uWSGI",
        "wsgi",
        "requestlab.worker.uwsgi_server --master --die-on-term --need-app --disable-logging --enable-threads --lazy-apps "
        "--tcp-nodelay --add-header Connection:close "
        f"--listen {BACKLOG} --http-socket fd://{{fd}} --workers {{workers}} --threads {{threads}}",
        ("pyuwsgi",),
        limited=True,
        application=f"--module={APPLICATION}",
        extra="pyuwsgi",
    ),
    ServerType(
        "null",
        "null server: one constant answer",
        "asgi",
        "requestlab.serving.null {fd}",
        ("uvloop",),
        "uvloop",
        application="",
    ),
    ServerType(
        "upstream",
        "upstream: external API and object store",
        "asgi",
        "requestlab.serving.upstream {fd}",
        ("uvloop", "httptools"),
        "uvloop",
        application="",
    ),
)

SERVERS = {row.name: row for row in _ROWS}


def find(name: str) -> ServerType:
    """Return the row of that name, or raise ConfigurationError with the names there are."""
    return SERVERS[checks.one_of("server", name, SERVERS)]


def understood(arguments: Iterable[str], versions: Mapping[str, str | None]) -> list[str]:
    """Return the arguments without the flags of the lab that these versions do not know, and do not need."""
    return [one for one in arguments if one not in _SINCE or _is_new(one, versions)]


def _is_new(flag: str, versions: Mapping[str, str | None]) -> bool:
    package, since = _SINCE[flag]
    version = versions.get(package)
    return version is None or tuple(map(int, version.split(".")[:2])) >= since
