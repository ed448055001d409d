"""Starting a server, knowing that it is ready, and stopping it."""

from __future__ import annotations

import json
import os
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil

from requestlab.errors import ConfigurationError, LabError, ServerGoneError, ServerStartError
from requestlab.serving import interpreters, servers
from requestlab.serving.configuration import Configuration
from requestlab.serving.readiness import NotReady, wait_until_ready, who_answers
from requestlab.serving.servers import BACKLOG
from requestlab.serving.supervisor import MAIN_PID, VARIABLES_FILE
from requestlab.serving.tracebacks import last_error
from requestlab.system import checks, machine
from requestlab.system.cells import Cell, running_cell
from requestlab.system.clocks import cpu_time_ns
from requestlab.system.folders import end_all_of, temporary_folder
from requestlab.system.interrupts import held_back, interrupt_says
from requestlab.system.place import is_shared
from requestlab.system.progress import Progress
from requestlab.worker import environment, ready

if TYPE_CHECKING:
    import httpx

START_TIMEOUT_S = 30.0
GRACE_S = 1.0
"""How long a server may take to stop in an orderly way before it is killed."""

PATIENCE_S = 5.0
"""How much longer its supervisor may take before it is killed too."""

LOOK_S = 0.05
"""How often who waits for the end looks whether somebody has interrupted."""

END, MAX_REPORT = b"\n", 65_536

LAST_LINES = 15
"""So many lines of its log an error tells of a server that has ended."""

SETTLING_S = 0.05
SETTLED = 0.1
"""A server has settled when, for so many seconds, its workers used less than that share of a core."""

_OTHER_PEOPLES_SETTINGS = (
    "GUNICORN_CMD_ARGS",
    "WEB_CONCURRENCY",
    "PORT",
    "UVICORN_",
    "DJANGO_SETTINGS_MODULE",
    "LABAPP_",
    "PYTHONDEVMODE",  # which turns on asyncio's debug mode too
)

_running: set[Server] = set()
_lock = threading.Lock()


@dataclass(frozen=True)
class Termination:
    """How a server ended after SIGTERM: after so many `seconds`, with which exit status (`returncode`: negative where a
    signal ended it), and the last lines of its log."""

    seconds: float
    returncode: int | None
    log: tuple[str, ...]


class Server:
    """A running server. Made by `serve`; a context manager.

    `url` is its base address, of which `base` stands before each path (of an upstream: the run's token), `pids` its
    worker processes, `headers` what each request must bring (on a machine that others share: the run's token), `cores`
    where it and its load run, `directory` where its workers run and write. It ends with the `with` block, with
    `stop()`, or with this process, however that ends: see `requestlab.serving.supervisor`.

    >>> server.url, server.pids, server.alive
    """

    def __init__(self, configuration: Configuration, start_timeout_s: float = START_TIMEOUT_S) -> None:
        self.configuration = configuration
        self.cores = _cores(configuration)
        self.directory = ""
        self.cell: Cell | None = None
        self._pids: tuple[int, ...] = ()
        self._end: dict[str, Any] | None = None
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._secret, self._owner, self._stopping = secrets.token_hex(32), os.getpid(), threading.RLock()
        self.base = ready.in_address(self._secret) if configuration.server == "upstream" else ""
        self.headers = {ready.TOKEN_HEADER: ready.token(self._secret)} if is_shared() else {}
        row = servers.find(configuration.server)
        _demand(row)
        try:
            with _listen(row) as listener:
                self.address: tuple[str, int] = listener.getsockname()
                self.url = f"http://{self.address[0]}:{self.address[1]}{self.base}"
                with held_back():
                    self._begin(listener)
                with Progress(f"starting {configuration.label}") as progress:
                    self._pids = self._ask_all_workers(time.monotonic() + start_timeout_s, progress.tick)
                if not row.opens_its_port:
                    listener.listen(BACKLOG)  # gunicorn's ASGI worker had shortened the queue to asyncio's 100
        except NotReady as problem:
            self.stop()
            what = f"the server {configuration.label!r} {problem}"
            why = last_error(self.log)
            raise ServerStartError(f"{what}{f': {why}' if why else '.'}{self._epitaph()}") from None
        except OSError as problem:  # no port, no room, no more processes
            self._stop_at_once()
            raise ServerStartError(f"the server {configuration.label!r} could not be started: {problem}") from None
        except BaseException:
            self._stop_at_once()  # nothing has been served that would need an orderly end
            raise

    def _begin(self, listener: socket.socket) -> None:
        """Start its processes below a supervisor."""
        self.directory = temporary_folder()
        at = servers.Listener(listener.fileno(), self.address[1])
        variables = _variables(self.configuration, self._secret, self.directory)
        variables[environment.GUARDED] = "1" if self.headers else ""
        arguments = servers.understood(self.configuration.arguments(at), self.machine.versions)
        self._command = [*self._python(variables), *arguments]
        self._supervisor = self._supervise(listener.fileno(), variables)
        assert self._supervisor.stdout is not None
        self._output = self._supervisor.stdout
        with _lock:
            _running.add(self)

    def __enter__(self) -> Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, KeyboardInterrupt):
            self._stop_at_once()  # nobody who interrupts wants to wait for the last answer
        else:
            self.stop()

    def __repr__(self) -> str:
        state = "running" if self.alive else "stopped"
        return f"<Server {self.configuration.label} at {self.url}, {state}, workers {list(self.pids)}>"

    @property
    def pids(self) -> tuple[int, ...]:
        """Its worker processes: those that answered at the start, and where its options renew them, those of now."""
        if self.configuration.renews_workers and self._end is None:
            self._pids = tuple(sorted(filter(psutil.pid_exists, self.counts))) or self._pids
        return self._pids

    @property
    def main_pid(self) -> int | None:
        """The process that was started, which has the workers or is the only one; None after its end."""
        try:
            pid = int(Path(self.directory, MAIN_PID).read_text())
        except (OSError, ValueError):
            return None
        return pid if self.alive else None

    def terminate(self, patience_s: float = 60.0) -> Termination:
        """Send SIGTERM to the server, as a deployment does, and wait until it has ended by itself.

        Returns how long that took. Requests under way are answered, or not, as the server has it: measure while another
        thread calls this. Raises ServerGoneError where it has ended before, and LabError where it has not in time.
        """
        self.check()
        main = self.main_pid
        began = time.monotonic()
        if main is not None:
            with suppress(ProcessLookupError):
                os.kill(main, signal.SIGTERM)
        ending = select.poll()
        ending.register(self._output)
        if not ending.poll(patience_s * 1000):
            raise LabError(f"the server {self.configuration.label!r} has not ended {patience_s:g} s after SIGTERM")
        seconds = time.monotonic() - began
        self.stop()
        assert self._end is not None
        return Termination(seconds, self._end["returncode"], tuple(self._end["log"]))

    def get(self, path: str, timeout: float = 10.0) -> httpx.Response:
        """Ask for a path once, by httpx, and return the answer, whatever its status: to read it, not to measure.

        Raises ServerGoneError where the server has ended, and httpx.TransportError where no answer comes.
        """
        import httpx  # only here: it takes long to import

        self.check()
        headers = self.headers | dict(self.configuration.application.headers)
        return httpx.get(self.url + path, headers=headers, timeout=timeout, trust_env=False)

    @property
    def alive(self) -> bool:
        """Whether the server still runs: its supervisor writes nothing, and closes its output only when it ends."""
        if self._end is not None:
            return False
        said = select.poll()
        said.register(self._output)
        return not said.poll(0)

    @property
    def log(self) -> str:
        """What the server has written so far; after its end, the last lines of that."""
        if self._end is not None:
            return "\n".join(self._end["log"])
        try:
            return Path(self.directory, "server.log").read_text(errors="replace")
        except OSError:
            return ""

    @property
    def machine(self) -> machine.Machine:
        """This machine, with the versions that the server runs on."""
        python = self.configuration.interpreter
        return interpreters.interpreter(python).machine if python else machine.facts()

    @property
    def last_error(self) -> str:
        """The last exception that its log tells of, in a sentence; or nothing."""
        return last_error(self.log)

    @property
    def counts(self) -> dict[int, int]:
        """How many requests have reached the application in each worker so far, by pid; empty for the null server."""
        return ready.request_counts(self.directory)

    def is_itself(self) -> bool | None:
        """Ask whoever answers at the address for this run's secret; None where nobody answers within a second."""
        return who_answers(self.address, self._secret, self.base)

    def settle(self, most_s: float, tick: Callable[[], None] = lambda: None) -> None:
        """Wait until the workers have nothing left to do, but at most `most_s`: the requests that clients gave up are
        over.

        A question to every worker waits in line behind them; what is still under way then shows as CPU time.
        """
        deadline = time.monotonic() + most_s
        try:
            self._ask_all_workers(deadline, tick)
        except NotReady:
            return
        while self._busy() and time.monotonic() < deadline:
            tick()

    def _busy(self) -> bool:
        before = self._cpu_ns()
        time.sleep(SETTLING_S)
        return self._cpu_ns() - before > SETTLED * SETTLING_S * 1e9

    def _cpu_ns(self) -> int:
        return sum(cpu_time_ns(pid) or 0 for pid in self.pids)

    def check(self) -> None:
        """Raise ServerGoneError if the server is no longer there."""
        if not self.alive:
            stopped = "was stopped; call serve() again" if self._end is not None else "ended by itself"
            self.stop()
            raise ServerGoneError(f"the server {self.configuration.label!r} at {self.url} {stopped}.{self._epitaph()}")

    def begin_to_stop(self) -> None:
        """Tell the server to end, and do not wait for it: several that end at once take as long as one. `stop()`
        waits."""
        told = self._supervisor.stdin if self._supervisor and os.getpid() == self._owner else None
        if told is not None and not told.closed:
            with suppress(OSError):  # it has ended already
                told.write(END)  # it ends when its input does, too; but a forked process may hold a copy of that
                told.close()

    def stop(self) -> None:
        """End every process of the server and give back its port and its files. May be called again, and from several
        threads: each returns when all is over. In a forked process, nothing is done: the server is its parent's."""
        if os.getpid() != self._owner:
            return
        with self._stopping, held_back() as interrupts:
            if self._end is None:
                self.begin_to_stop()
                self._end = self._wait_for_the_end(interrupts)
                if self._supervisor is not None:
                    self._output.close()
            with _lock:
                _running.discard(self)

    def _stop_at_once(self) -> None:
        if self._supervisor and self._supervisor.returncode is None and os.getpid() == self._owner:
            os.kill(self._supervisor.pid, signal.SIGTERM)
        self.stop()

    def _wait_for_the_end(self, interrupts: list[object]) -> dict[str, Any]:
        report = b""
        if self._supervisor is not None:
            report = self._last_words(self._supervisor, interrupts)
            self._supervisor.wait()
        end = _understand(report, Path(self.directory, "supervisor.log"))
        if self.directory:
            if self._supervisor and self._supervisor.returncode < 0:
                end_all_of(self.directory)
            shutil.rmtree(self.directory, ignore_errors=True)  # in case the supervisor was killed
        return end

    def _last_words(self, supervisor: subprocess.Popen[bytes], interrupts: list[object]) -> bytes:
        """Return what the supervisor writes at its end. An interrupt hurries it; where it takes too long, or somebody
        interrupts once more, it is killed, and with it the server."""
        words, deadline, told = b"", time.monotonic() + GRACE_S + PATIENCE_S, None
        ending = select.poll()
        ending.register(self._output)
        while True:
            if ending.poll(1000 * LOOK_S):
                if not (more := os.read(self._output.fileno(), MAX_REPORT)):
                    return words
                words += more
            elif told != signal.SIGKILL and (len(interrupts) > 1 or time.monotonic() > deadline):
                told = signal.SIGKILL
                os.kill(supervisor.pid, told)  # Popen.kill would poll, which an interrupt may have spoilt
            elif not told and interrupts:
                told = signal.SIGTERM
                os.kill(supervisor.pid, told)

    def _python(self, variables: dict[str, str]) -> list[str]:
        """Return how Python is to be started, and what it is lent, in `variables`."""
        python = self.configuration.interpreter
        if not python:
            return [sys.executable, "-m"]
        return interpreters.command_of(python, self.directory, self.configuration.application.packages, variables)

    def _ask_all_workers(self, deadline: float, tick: Callable[[], None]) -> tuple[int, ...]:
        workers = self.configuration.workers
        return wait_until_ready(self.address, self._secret, workers, self._output, deadline, tick, self.base)

    def _supervise(self, fd: int, variables: dict[str, str]) -> subprocess.Popen[bytes]:
        started_in = self.configuration.application.working_directory
        return supervise(self._command, fd, self.cores.server, self.directory, variables, started_in)

    def _epitaph(self) -> str:
        assert self._end is not None
        status = self._end["returncode"]
        if status is None:
            how = "none, it was ended by the lab"
        else:
            how = f"killed by signal {-status}" if status < 0 else str(status)
        log = "last lines of its log:" if self._end["log"] else "its log is empty"
        lines = [f"command: {' '.join(self._command)}", f"exit status: {how}", log]
        return "\n".join(["", *lines, *(f"    {line}" for line in self._end["log"][-LAST_LINES:])])


def supervise(
    command: list[str], fd: int, cores: Sequence[int], directory: str, variables: dict[str, str], started_in: str = ""
) -> subprocess.Popen[bytes]:
    """Start a server's command on a listening descriptor, below a supervisor, which is returned: it ends the server
    when its input ends, or this process, and then removes the directory. Its `stdout` is its report."""
    spec = {
        "command": command,
        "fd": fd,
        "cores": cores,
        "directory": directory,
        "started_in": started_in or directory,
        "owner": os.getpid(),
        "grace_s": GRACE_S,
    }
    Path(directory, VARIABLES_FILE).write_text(json.dumps(variables))  # nobody else may look into this folder
    read, written = os.pipe()
    try:
        with open(Path(directory, "supervisor.log"), "wb") as words:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "requestlab.serving.supervisor", json.dumps(spec | {"report": written})],
                stdin=subprocess.PIPE,
                stdout=words,  # what a `sitecustomize` prints is no report
                stderr=words,
                pass_fds=[fd, written],
                start_new_session=True,
            )
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(written)
    process.stdout = os.fdopen(read, "rb")
    return process


@interrupt_says("the start of a server; nothing of it is left")
def serve(configuration: Configuration, **changes: Any) -> Server:
    """Start a server and return it as soon as every worker has answered with this run's secret.

    >>> with serve(SYNC, workers=2) as server:
    ...     print(server.url)

    `changes` are fields of the configuration, or of its application, to replace first. Raises ConfigurationError for
    values that cannot work, and ServerStartError, with the command, the exit status and the last log lines, where it
    does not start. In a notebook, a cell that is run again first ends the servers that it has left running.

    Resources: the server's processes, one listening port on the loopback address and one temporary directory; all are
    given back by `stop()`, by leaving the `with` block, and when this process ends in any way.
    """
    machine.require_unix()
    if not isinstance(configuration, Configuration):
        raise ConfigurationError(
            f"serve() takes a Configuration such as requestlab.SYNC, not {checks.shown(configuration)}"
        )
    wanted = configuration.replace(**changes) if changes else configuration
    cell = running_cell()
    if cell is not None:
        _end_those_before(cell)
    server = Server(wanted)
    server.cell = cell
    return server


def _end_those_before(cell: Cell) -> None:
    """End the servers that this cell of a notebook has left running when it was run before: their names are taken by
    the new ones, and nobody could end them."""
    for server in running():
        if server.cell and server.cell.name == cell.name and server.cell.execution != cell.execution:
            server.stop()
            print(f"Ended what this cell had started before: {server.configuration.label} at {server.url}.")


def running() -> list[Server]:
    """Return the servers of this process that have not been stopped."""
    with _lock:
        return list(_running)


def stop_all() -> None:
    """Stop every server that this process has started; the last cell of each lesson.

    >>> lab.stop_all()
    """
    still_there = running()
    for server in still_there:
        server.begin_to_stop()
    for server in still_there:
        server.stop()


def _cores(configuration: Configuration) -> machine.Cores:
    if configuration.all_cores:
        return machine.all_cores()
    return machine.upstream_cores() if configuration.server == "upstream" else machine.split_cores()


def _demand(row: servers.ServerType) -> None:
    """Raise ConfigurationError where the server is not installed."""
    if row.extra and machine.version(row.extra) is None:
        missing = f"server {row.name!r} needs the package {row.extra}, which is not installed"
        raise ConfigurationError(f"{missing}: pip install 'requestlab[servers]' installs it")


def _listen(row: servers.ServerType) -> socket.socket:
    listener = socket.socket()
    # Accepted connections inherit it. Without, uvicorn on a descriptor answers keep-alive requests after 40 ms: Nagle's
    # algorithm holds the body back until the client's delayed acknowledgement of the head (uvicorn issue 3149).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if row.opens_its_port:
        listener.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEPORT, 1
        )  # it keeps the port for the server, who shares it
        listener.bind(("127.0.0.1", 0))
    else:
        listener.bind(("127.0.0.1", 0))
        listener.listen(BACKLOG)
    return listener


def _variables(configuration: Configuration, secret: str, directory: str) -> dict[str, str]:
    probe = configuration.probe
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_OTHER_PEOPLES_SETTINGS)}
    return kept | {
        environment.TARGET: configuration.target,
        environment.INTERFACE: configuration.interface,
        environment.PROBE: environment.WITHIN_BUDGET if probe is True else str(float(probe) or ""),
        environment.ASYNCIO_DEBUG: "1" if configuration.asyncio_debug else "",
        environment.SWITCH_INTERVAL_MS: str(configuration.switch_interval_ms or ""),
        environment.SECRET: secret,
        environment.DIRECTORY: directory,
        **configuration.application.variables(directory),
        **configuration.env,
    }


def _understand(report: bytes, words: Path) -> dict[str, Any]:
    try:
        end = json.loads(report)
        return {"returncode": end["returncode"], "log": end["log"]}
    except ValueError:
        said = words.read_text(errors="replace").splitlines() if words.exists() else []
        return {"returncode": None, "log": ["(the supervisor left no report)", *said]}
