"""The child process that owns one server, and ends it whatever becomes of the notebook.

Run as `python -m requestlab.serving.supervisor SPEC`, in a session of its own, so that an interrupt in the notebook
does not reach the server. It holds the server as its child, adopts every orphan among the server's processes, and ends
all of them as soon as one of these happens: its standard input reaches its end (the notebook closed it, or is gone),
the owner's pidfd becomes readable (the notebook was killed, even if a copy of the pipe lives on), it is signalled, or
the server itself ends. If the supervisor is killed, the kernel kills the server (`kernel.die_with_parent`); where the
kernel cannot, a `guardian` does, and the supervisor looks ten times a second whether owner and server are there.

When all is over, it writes one line of JSON to the descriptor `report`: `{"returncode": …, "log": last lines}`.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from requestlab.serving.guardian import Guardian, marked
from requestlab.worker import kernel, lifeline

LOOK_MS = 100
MAIN_PID = "server.pid"
"""In the run's directory: the process that was started."""

VARIABLES_FILE = "variables.json"
"""In the run's directory: the server's environment, which need not be the supervisor's. It is removed when read."""

LOG_LINES = 100
LOG_BYTES = 10_000  # escaped as JSON it still fits into a pipe, which nobody may be reading
FAILED_LOAD_PATIENCE_S = 1.0
"""How long a server that cannot load its application may take to say so by its own exit status."""

_ENDINGS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, lifeline.FAILED_LOAD)


def main() -> None:
    """Run the server that SPEC describes: `command`, `fd`, `cores`, `directory`, `started_in`, `owner`, `grace_s`,
    `report`."""
    spec = json.loads(sys.argv[1])
    log = Path(spec["directory"], "server.log")
    kernel.adopt_orphans()
    guardian = Guardian(spec["directory"]) if kernel.PORTABLE else None
    for number in _ENDINGS:
        signal.signal(number, _leave)
    returncode = None
    try:
        with log.open("wb") as output:
            server = _start(spec, output)
        os.close(spec["fd"])  # a port must not outlive its server
        Path(spec["directory"], MAIN_PID).write_text(str(server.pid))
        returncode = _wait_for_the_end(server, spec["owner"], guardian)
    except SystemExit:  # told by a signal: at once
        spec["grace_s"] = 0.0
        raise
    finally:
        for number in _ENDINGS:
            signal.signal(number, signal.SIG_IGN)
        end_descendants(spec["grace_s"], guardian)
        if guardian:
            guardian.dismiss()
        _report(spec["report"], returncode, log)
        shutil.rmtree(spec["directory"], ignore_errors=True)


def _leave(number: int, frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # once is enough: every worker may say the same
    if number == lifeline.FAILED_LOAD:
        raise _FailedLoad
    sys.exit(128 + number)


def _start(spec: dict[str, Any], output: Any) -> subprocess.Popen[bytes]:
    supervisor, file = os.getpid(), Path(spec["directory"], VARIABLES_FILE)
    variables = json.loads(file.read_text()) | {lifeline.SUPERVISOR_VARIABLE: str(supervisor)}
    file.unlink()

    def before_exec() -> None:
        if not kernel.PORTABLE:
            kernel.die_with_parent()
        if os.getppid() != supervisor:
            os._exit(1)  # it was killed in this very moment
        kernel.run_on(spec["cores"])
        kernel.open_as_many_files_as_may_be()

    return subprocess.Popen(
        spec["command"],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        cwd=spec["started_in"],
        env=variables,
        pass_fds=[spec["fd"]],
        preexec_fn=before_exec,
    )


class _FailedLoad(Exception):
    """A worker could not load the application."""


def _wait_for_the_end(server: subprocess.Popen[bytes], owner: int, guardian: Guardian | None) -> int | None:
    """Return the server's exit status, or None where it still runs."""
    try:
        if guardian:
            _look_again_and_again(server, owner, guardian)
        else:
            _wait(server, owner)
        return server.poll()
    except ProcessLookupError:  # the owner was gone before the wait began
        return None
    except _FailedLoad:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return server.wait(FAILED_LOAD_PATIENCE_S)
        return None


def _wait(server: subprocess.Popen[bytes], owner: int) -> None:
    owner_ends = os.pidfd_open(owner)
    server_ends = os.pidfd_open(server.pid)
    waiting = select.poll()
    waiting.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    waiting.register(owner_ends, select.POLLIN)
    waiting.register(server_ends, select.POLLIN)
    waiting.poll()  # nothing is ever written to the standard input: any event on it is its end


def _look_again_and_again(server: subprocess.Popen[bytes], owner: int, guardian: Guardian) -> None:
    waiting = select.poll()
    waiting.register(sys.stdin.fileno(), select.POLLIN | select.POLLHUP)
    while os.getppid() == owner and server.poll() is None and not waiting.poll(LOOK_MS):
        guardian.look()


def end_descendants(grace_s: float, guardian: Guardian | None = None) -> None:
    """SIGTERM to the direct children, at most `grace_s` seconds of waiting, SIGKILL to all, until none is left."""
    import psutil  # only here: the server should not wait for this import

    me = psutil.Process()

    def descendants(*, direct: bool = False) -> list[Any]:
        found = {process.pid: process for process in me.children(recursive=not direct)}
        if guardian:
            found.pop(guardian.pid, None)
            found |= {} if direct else {process.pid: process for process in marked(me.pid)}
        return list(found.values())

    for process in descendants(direct=True):
        _signal(process, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while (left := descendants()) and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=min(0.02, grace_s))
    while left := descendants():
        for process in left:
            _signal(process, signal.SIGKILL)
        psutil.wait_procs(left, timeout=0.2)


def _signal(process: Any, number: int) -> None:
    import psutil

    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _report(descriptor: int, returncode: int | None, log: Path) -> None:
    with contextlib.suppress(OSError):  # of a notebook that is gone, say
        with log.open("rb") as file:
            file.seek(-min(LOG_BYTES, log.stat().st_size), os.SEEK_END)
            lines = file.read().decode(errors="replace").splitlines()[-LOG_LINES:]
        os.write(descriptor, json.dumps({"returncode": returncode, "log": lines}).encode() + b"\n")


if __name__ == "__main__":
    main()
