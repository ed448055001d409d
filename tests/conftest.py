"""What all tests share: a mark on every process that a test starts, a check that none is left, and servers for many
tests."""

from __future__ import annotations

import errno
import math
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import settings

import requestlab as lab
from requestlab.serving.server import Server, running
from tests import postgres
from tests.patience import CANNOT_TELL, TRIES_OF_OTHERS, patient
from tests.processes import MARK, end, is_alive, left_after, marked_processes, own_children, started_for_all

__all__ = ["is_alive", "left_after", "marked_processes", "nobody_listens_on", "seconds_to_interrupt"]

MAX_SHARED_SERVERS = 6
"""So many run at once; where one more is wanted, the one that was not asked for longest is stopped."""

ALL_CASES = bool(os.environ.get("REQUESTLAB_ALL_CASES"))

settings.register_profile(
    "lab", deadline=None, derandomize=bool(os.environ.get("CI")), max_examples=100 if ALL_CASES else 40
)
"""How long an example takes says more about the machine than about the code; and what CI tries is the same each
time."""

settings.load_profile("lab")


# Tests that measure run alone (see the Makefile). Each test runs again where it failed on a disturbed machine; those of
# times more often, and once more without evidence. Hypothesis repeats its own.


def pytest_itemcollected(item: pytest.Item) -> None:
    if not isinstance(item, pytest.Function) or hasattr(item.obj, "hypothesis"):
        return
    again = lambda evidence: item.user_properties.append(("again", evidence))  # noqa: E731
    if marker := item.get_closest_marker("measuring") or item.get_closest_marker("patient"):
        item.obj = patient(item.obj, again, slices=marker.kwargs.get("slices", 2), of_times=True)
        item.add_marker(pytest.mark.timeout(300))
    else:
        item.obj = patient(item.obj, again, tries=TRIES_OF_OTHERS)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what only `make test-all` tries: tests marked as `thorough`, and of those marked `some(n)` all but n
    cases. Two Pythons try different ones."""
    if ALL_CASES:
        return
    cases: dict[tuple[str, str], list[pytest.Item]] = {}
    for item in items:
        if item.get_closest_marker("some"):
            cases.setdefault((item.path.name, getattr(item, "originalname", item.name)), []).append(item)
    left_out = {item for item in items if item.get_closest_marker("thorough")}
    for of_one in cases.values():
        marker = of_one[0].get_closest_marker("some")
        assert marker is not None
        wanted, step = marker.args[0], max(1.0, len(of_one) / marker.args[0])
        first = sys.version_info.minor // 2 % math.ceil(step)
        kept = {of_one[int(first + number * step) % len(of_one)] for number in range(wanted)}
        left_out |= set(of_one) - kept
    if left_out:
        config.hook.pytest_deselected(items=[item for item in items if item in left_out])
        items[:] = [item for item in items if item not in left_out]


MAX_UNTOLD = 0.05
"""Share of a session's tests that may be left out since the machine was too disturbed to tell; or three of them."""


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say which tests were run again, and why; and which cannot tell."""
    for report in _calls(terminalreporter):
        for name, evidence in report.user_properties:
            if name == "again":
                terminalreporter.line(f"AGAIN {report.nodeid}: {evidence}")
    for report in _untold(terminalreporter):
        terminalreporter.line(f"CANNOT TELL {report.nodeid}: {report.longrepr[2]}")


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Fail a session in which too many tests cannot tell: it has not seen what it was run for."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and len(_untold(reporter)) > max(3, MAX_UNTOLD * len(_calls(reporter))) and not exitstatus:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _calls(reporter: Any) -> list[Any]:
    return [one for many in reporter.stats.values() for one in many if getattr(one, "when", "") == "call"]


def _untold(reporter: Any) -> list[Any]:
    return [one for one in _calls(reporter) if one.skipped and CANNOT_TELL in str(one.longrepr)]


def nobody_listens_on(port: int, *, within_s: float = 2.0) -> bool:
    """Return whether the port is given back in time: a process closes its sockets in its very last milliseconds."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        with socket.socket() as attempt:
            if attempt.connect_ex(("127.0.0.1", port)) == errno.ECONNREFUSED:
                return True
        time.sleep(0.005)
    return False


def seconds_to_interrupt(code: str, *, after_s: float, environment: Mapping[str, str] | None = None) -> float:
    """Run a script that prints a line when it begins and time.monotonic() when interrupted; return how long that
    took."""
    script = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert script.stdout is not None
    script.stdout.readline()
    time.sleep(after_s)
    before = time.monotonic()
    script.send_signal(signal.SIGINT)
    after = float(script.stdout.readline())
    script.wait(10)
    script.stdout.close()
    return after - before


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive() -> None:
    """A shell starts what it puts into the background deaf to SIGINT, and every process that a test starts would
    inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _mark_on_every_process_of_the_tests() -> Iterator[None]:
    os.environ[MARK] = secrets.token_hex(8)
    yield
    assert not end(left_after(2.0, shared=True)), "left running at the end of all tests"


@pytest.fixture(scope="session")
def served() -> Iterator[Callable[..., Server]]:
    """Servers that tests share: `served(lab.SYNC, probe=True)` returns one that runs, and starts it where there is
    none.

    For tests that neither end it nor count from zero what it does. Never in a `with` block, which would stop it. It may
    be stopped when the test is over, and is at the end of the session.
    """
    servers: dict[lab.Configuration, Server] = {}

    def get(configuration: lab.Configuration, **changes: Any) -> Server:
        wanted = configuration.replace(**changes)
        server = servers.pop(wanted, None)
        if server is None or server not in running():  # somebody has called stop_all()
            while len(servers) >= MAX_SHARED_SERVERS:
                servers.pop(next(iter(servers))).stop()
            with started_for_all():
                server = lab.serve(wanted)
        servers[wanted] = server
        server.check()
        return server

    yield get
    for server in servers.values():
        server.begin_to_stop()
    for server in servers.values():
        server.stop()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty database, in a cluster that all tests share and that ends with them."""
    folder = postgres.programs()
    if folder is None:
        why = "there is no PostgreSQL on this machine (on Debian and Ubuntu: apt install postgresql)"
        pytest.fail(why) if os.environ.get("CI") else pytest.skip(why)
    with postgres.cluster(folder) as url:
        yield url


@pytest.fixture(autouse=True)
def nothing_left_running() -> Iterator[None]:
    """Fail any test that leaves a process behind, and end that process."""
    before = {process.pid for process in marked_processes()} | own_children()
    yield
    described = end(left_after(2.0, besides=before))
    assert not described, f"left running: {described}"
