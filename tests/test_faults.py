"""What must not outlive a fault: real kernels, real servers, real signals."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

import requestlab as lab
from requestlab.errors import ServerGoneError
from tests.conftest import left_after, marked_processes, nobody_listens_on, seconds_to_interrupt

SERVE = """
import requestlab as lab
server = lab.serve(lab.SYNC, server="{}", workers=2, probe=True)
print(server.address[1])
"""
MEASURE = "run = lab.measure(server, '/sync/wait/?ms=20', lab.closed(users=20), seconds=60)"
GENERATOR = "requestlab.load.generator"
SERVERS = ["gunicorn-sync", "gunicorn-uvicorn", "uvicorn"]
OWN = ["null", "upstream"]
"""Servers of one process, which are modules of the lab."""


class Kernel:
    """A real ipykernel, as JupyterLab would start it."""

    def __init__(self) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel()
        self.client: BlockingKernelClient = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    def run(self, code: str) -> str:
        """Execute a cell, and return what it printed and what it raised."""
        said: list[str] = []
        status = "aborted"
        while status == "aborted":  # as is whatever comes in the moment after an interrupt
            reply = self.client.execute_interactive(
                code, timeout=60, output_hook=lambda message: said.append(_text(message))
            )
            status = reply["content"]["status"]
        return "".join(said).rpartition("\r")[2]  # progress of a slow start stands before it

    def interrupt(self, request: str) -> dict:
        """Interrupt, and return the reply to that request."""
        self.manager.interrupt_kernel()
        while True:
            reply = self.client.get_shell_msg(timeout=20)
            if reply["parent_header"].get("msg_id") == request:
                return reply

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)

    def children(self, word: str = "") -> list[psutil.Process]:
        """Return the processes of the lab, or those with that word in their command line."""
        return [one for one in marked_processes() if one.pid != self.pid and (not word or word in one.cmdline())]

    def wait_for(self, word: str, then_s: float = 0.0) -> None:
        deadline = time.monotonic() + 20
        while not self.children(word):
            assert time.monotonic() < deadline, f"{word} never started"
            time.sleep(0.005)
        time.sleep(then_s)

    def leaves_nothing(self, port: int | None = None) -> bool:
        left = left_after(2.0, besides={self.pid})
        assert [" ".join(process.cmdline()) for process in left] == []
        return port is None or nobody_listens_on(port)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


def _text(message: dict) -> str:
    content = message["content"]
    return content.get("text", "") + content.get("ename", "")


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.mark.parametrize("server", SERVERS)
def test_a_kernel_killed_while_it_measures_takes_everything_with_it(kernel, server):
    port = int(kernel.run(SERVE.format(server)))
    kernel.client.execute(MEASURE)
    kernel.wait_for(GENERATOR, then_s=0.5)
    assert len(kernel.children()) >= 4  # supervisor, generator, two workers
    os.kill(kernel.pid, signal.SIGKILL)
    assert kernel.leaves_nothing(port)


def test_a_kernel_killed_while_a_server_starts_takes_everything_with_it(kernel):
    kernel.run("import requestlab as lab")
    kernel.client.execute("server = lab.serve(lab.MIXED, workers=4)")
    kernel.wait_for("uvicorn")
    os.kill(kernel.pid, signal.SIGKILL)
    assert kernel.leaves_nothing()


@pytest.mark.patient
def test_an_interrupted_measurement_ends_within_half_a_second_and_its_server_lives_on(kernel):
    kernel.run("import requestlab as lab; lab.stop_all()")  # from a try before
    port = int(kernel.run(SERVE.format("gunicorn-sync")))
    request = kernel.client.execute(MEASURE)
    kernel.wait_for(GENERATOR, then_s=0.5)
    before = time.monotonic()
    reply = kernel.interrupt(request)
    assert time.monotonic() - before < 0.5
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert not kernel.children(GENERATOR)
    still = "print(server.alive, len(lab.measure(server, '/sync/page/', lab.closed(2, each=3)).requests))"
    assert kernel.run(still) == "True 6\n"
    kernel.run("server.stop()")
    assert kernel.leaves_nothing(port)


def test_an_interrupt_inside_a_with_block_stops_the_server(kernel, tmp_path):
    kernel.run("import requestlab as lab, pathlib, time")
    inside = f"    pathlib.Path({str(tmp_path / 'inside')!r}).touch()\n    time.sleep(60)"
    request = kernel.client.execute(f"with lab.serve(lab.MIXED) as server:\n{inside}")
    while not (tmp_path / "inside").exists():
        time.sleep(0.02)
    kernel.interrupt(request)
    assert kernel.leaves_nothing(int(kernel.run("print(server.address[1])")))


def test_a_restarted_kernel_leaves_nothing_behind(kernel):
    port = int(kernel.run(SERVE.format("uvicorn")))
    kernel.manager.restart_kernel(now=False)
    kernel.client.wait_for_ready(timeout=60)
    assert kernel.leaves_nothing(port)


@pytest.mark.parametrize(
    ("who", "number", "server", "status"),
    [
        *(("supervisor", signal.SIGKILL, server, "") for server in (*SERVERS, *OWN)),
        *(("supervisor", number, "uvicorn", "") for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)),
        *(("master", signal.SIGKILL, server, "killed by signal 9") for server in SERVERS),
    ],
)
def test_a_supervisor_or_master_that_ends_takes_the_server_with_it_and_is_reported(who, number, server, status):
    with lab.serve(lab.SYNC, server=server, workers=1 if server in OWN else 2) as running:
        master = psutil.Process(running.pids[0]).parent()
        supervisor = next(one for one in marked_processes() if "requestlab.serving.supervisor" in one.cmdline())
        {"master": master, "supervisor": supervisor}[who].send_signal(number)
        assert left_after(2.0) == []
        assert nobody_listens_on(running.address[1])
        deadline = time.monotonic() + 2.0  # a process in its last milliseconds has no environment any more
        while running.alive and time.monotonic() < deadline:
            time.sleep(0.005)
        with pytest.raises(ServerGoneError, match=f"(?s)ended by itself.*{status}"):
            lab.measure(running, "/sync/page/")


def test_a_server_that_dies_during_a_run_makes_it_invalid_and_every_failure_a_row():
    with lab.serve(lab.MIXED, workers=1) as running:

        def kill_it_under_load() -> None:
            while sum(running.counts.values()) < 10:
                time.sleep(0.01)
            os.kill(running.pids[0], signal.SIGKILL)

        threading.Thread(target=kill_it_under_load, daemon=True).start()
        run = lab.measure(running, "/sync/wait/?ms=20", lab.closed(users=5), seconds=1, warmup=0, timeout=1)
    assert run.summary["validity"] == "invalid"
    assert "the server ended during the run" in run.summary["reasons"]
    assert run.summary["errors"] >= 5
    assert set(run.requests["error"]) >= {"", "connection refused"}
    assert (run.requests["done"] > run.requests["planned"]).all()


@pytest.mark.patient
def test_an_interrupted_start_ends_within_half_a_second_and_leaves_nothing():
    code = (
        "import os, time, requestlab as lab\n"
        "lab.LabApp.targets = {'wsgi': 'tests.stubborn:app'}\n"
        "print('starting', flush=True)\n"
        "try:\n"
        "    lab.serve(lab.SYNC)\n"
        "except KeyboardInterrupt:\n"
        "    print(time.monotonic(), flush=True)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    assert seconds_to_interrupt(code, after_s=1.5, environment=environment) < 0.5
    assert left_after(2.0) == []
