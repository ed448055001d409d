"""Other people's load tools, to repeat other people's tests and to check the load client against: hey and wrk.

Neither is required. Both run on the core of the generator, so that they do not take time from the server.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from requestlab.errors import LabError
from requestlab.serving.server import Server
from requestlab.system import checks
from requestlab.worker import kernel

_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_P50 = re.compile(r"50%+(?: in)?\s+([\d.]+) ?(us|ms|s)")
_FAILED = re.compile(r"\[[1345]\d\d\]\s+\d+ responses|Error distribution|Non-2xx|Socket errors")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class ToolResult:
    """What a tool said: `throughput` in answers per second, `p50` in ms, and all of its `text`.

    >>> lab.hey(server, "/sync/page/")
    """

    tool: str
    throughput: float
    p50: float
    text: str

    def __repr__(self) -> str:
        return f"<{self.tool}: {self.throughput:,.0f} /s, p50 {self.p50:.3g} ms>"


def hey(
    server: Server,
    path: str,
    *,
    users: int = 50,
    requests: int = 200,
    seconds: float | None = None,
    keep_alive: bool = True,
) -> ToolResult | None:
    """Let hey ask a server, by default as hey does unless told otherwise: 200 requests, 50 users; or for `seconds`.

    Returns None where it is not installed (Debian and Ubuntu: package hey); LabError where it fails or requests did.

    >>> lab.hey(server, "/sync/page/", users=10, seconds=1)
    """
    _demand(server)
    amount = ["-n", str(requests)] if seconds is None else ["-z", f"{seconds:g}s"]
    closing = [] if keep_alive else ["-disable-keepalive"]
    return _result(
        ["hey", "-cpus", "1", "-c", str(users), *amount, *closing, *_token(server), server.url + path], server
    )


def wrk(server: Server, path: str, *, users: int = 10, seconds: float = 1.0) -> ToolResult | None:
    """Let wrk ask a server for `seconds`, rounded to whole ones.

    Returns None where it is not installed (Debian and Ubuntu: package wrk); LabError where it fails or requests did.

    >>> lab.wrk(server, "/sync/page/", users=10, seconds=1)
    """
    _demand(server)
    length = f"-d{max(1, round(seconds))}s"
    return _result(["wrk", "--latency", "-t1", f"-c{users}", length, *_token(server), server.url + path], server)


def _demand(server: object) -> None:
    checks.instance("server", server, Server, "a server of serve()")


def _token(server: Server) -> list[str]:
    """Return how both are told what a request must bring, where others share the machine."""
    return [word for header in server.headers.items() for word in ("-H", ": ".join(header))]


def _result(command: list[str], server: Server) -> ToolResult | None:
    tool, core = command[0], server.cores.generator
    if shutil.which(tool) is None:
        return None

    def on_its_core() -> None:
        if core is not None:
            kernel.run_on({core})

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=on_its_core, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise LabError(f"{tool} failed with status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    rate, p50 = _RATE.search(done.stdout), _P50.search(done.stdout)
    if rate is None or p50 is None:
        raise LabError(f"the answer of {tool} was not understood: {done.stdout.strip()[:500]}")
    if _FAILED.search(done.stdout):
        raise LabError(f"{tool} had failures: {done.stdout}")
    return ToolResult(tool, float(rate[1]), float(p50[1]) * _MS[p50[2]], done.stdout)
