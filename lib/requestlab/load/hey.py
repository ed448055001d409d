"""Other people's load tools, to repeat other people's tests and to check the load client against: hey and wrk.

Neither is required. Both run on the core of the generator, so that they do not take time from the server.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass

from requestlab.errors import LabError
from requestlab.serving.server import Server

_HEY_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_HEY_P50 = re.compile(r"50%+ in ([\d.]+) secs")
_HEY_STATUS = re.compile(r"\[(\d{3})\]\s+(\d+) responses")
_WRK_RATE = re.compile(r"Requests/sec:\s+([\d.]+)")
_WRK_P50 = re.compile(r"50%\s+([\d.]+)(us|ms|s)\b")
_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class ToolResult:
    """What a tool said: `throughput` in answers per second, `p50` in ms, and all of its `text`."""

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
    """
    if shutil.which("hey") is None:
        return None
    amount = ["-n", str(requests)] if seconds is None else ["-z", f"{seconds:g}s"]
    closing = [] if keep_alive else ["-disable-keepalive"]
    text = _run(["hey", "-cpus", "1", "-c", str(users), *amount, *closing, server.url + path], server)
    bad = [f"{count} × status {status}" for status, count in _HEY_STATUS.findall(text) if not status.startswith("2")]
    if bad or "Error distribution" in text:
        raise LabError(f"hey had failures: {', '.join(bad) or text}")
    return ToolResult("hey", float(_found(_HEY_RATE, text)[0]), float(_found(_HEY_P50, text)[0]) * 1000, text)


def wrk(server: Server, path: str, *, users: int = 10, seconds: float = 1.0) -> ToolResult | None:
    """Let wrk ask a server; None where it is not installed (Debian and Ubuntu: package wrk), LabError where it fails.

    wrk counts whole seconds only.
    """
    if shutil.which("wrk") is None:
        return None
    length = f"-d{max(1, round(seconds))}s"
    text = _run(["wrk", "--latency", "-t1", f"-c{users}", length, server.url + path], server)
    if "Non-2xx" in text or "Socket errors" in text:
        raise LabError(f"wrk had failures: {text}")
    number, unit = _found(_WRK_P50, text)
    return ToolResult("wrk", float(_found(_WRK_RATE, text)[0]), float(number) * _MS[unit], text)


def _run(command: list[str], server: Server) -> str:
    core = server.cores.generator

    def on_its_core() -> None:
        if core is not None:
            os.sched_setaffinity(0, {core})

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=on_its_core, stdin=subprocess.DEVNULL)
    if done.returncode != 0:
        raise LabError(f"{command[0]} failed with status {done.returncode}: {(done.stderr or done.stdout).strip()}")
    return done.stdout


def _found(pattern: re.Pattern[str], text: str) -> tuple[str, ...]:
    match = pattern.search(text)
    if match is None:
        raise LabError(f"the answer of the tool was not understood: {text.strip()[:500]}")
    return match.groups()
