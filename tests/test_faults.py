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
server = lab.serve(lab.{name}, server="{server}", workers=2, probe=True)
print(server.address[1])
"""
MEASURE = "run = lab.measure(server, '/sync/wait/?ms=20', lab.closed(users=20), seconds=60)"
BOTH_KINDS = [("SYNC", "gunicorn-sync"), ("MIXED", "gunicorn-uvicorn"), ("MIXED", "uvicorn")]


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
        return "".join(said)

    @property
    def pid(self) -> int:
        return int(self.manager.provisioner.pid)

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


def ends(server: lab.Server) -> bool:
    """Wait for the server to be known as ended: a process in its last milliseconds has no environment any more."""
    deadline = time.monotonic() + 2.0
    while server.alive and time.monotonic() < deadline:
        time.sleep(0.005)
    return not server.alive


def _of_the_lab(kernel: Kernel) -> list[psutil.Process]:
    return [process for process in marked_processes() if process.pid != kernel.pid]


def _wait_for_the_generator() -> None:
    deadline = time.monotonic() + 20
    while not any("requestlab.load.generator" in process.cmdline() for process in marked_processes()):
        assert time.monotonic() < deadline, "the load never started"
        time.sleep(0.02)
    time.sleep(0.5)  # well into the load


def _nothing_is_left_of_the_lab(kernel: Kernel) -> None:
    left = left_after(2.0, besides={kernel.pid})
    assert [" ".join(process.cmdline()) for process in left] == []


@pytest.mark.parametrize(("name", "server"), BOTH_KINDS)
def test_a_kernel_killed_while_it_measures_takes_everything_with_it(kernel, name, server):
    port = int(kernel.run(SERVE.format(name=name, server=server)))
    kernel.client.execute(MEASURE)
    _wait_for_the_generator()
    assert len(_of_the_lab(kernel)) >= 4  # supervisor, generator, two workers
    os.kill(kernel.pid, signal.SIGKILL)
    _nothing_is_left_of_the_lab(kernel)
    assert nobody_listens_on(port)


def test_a_kernel_killed_while_a_server_starts_takes_everything_with_it(kernel):
    kernel.run("import requestlab as lab")
    kernel.client.execute("server = lab.serve(lab.MIXED, workers=4)")
    deadline = time.monotonic() + 20
    while not any("uvicorn" in process.cmdline() for process in marked_processes()):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(kernel.pid, signal.SIGKILL)
    _nothing_is_left_of_the_lab(kernel)


def test_an_interrupted_measurement_ends_within_half_a_second_and_its_server_lives_on(kernel):
    port = int(kernel.run(SERVE.format(name="SYNC", server="gunicorn-sync")))
    request = kernel.client.execute(MEASURE)
    _wait_for_the_generator()
    before = time.monotonic()
    kernel.manager.interrupt_kernel()
    while True:
        reply = kernel.client.get_shell_msg(timeout=20)
        if reply["parent_header"].get("msg_id") == request:
            break
    took = time.monotonic() - before
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert took < 0.5
    assert not any("requestlab.load.generator" in process.cmdline() for process in _of_the_lab(kernel))
    assert kernel.run(
        "print(server.alive, len(lab.measure(server, '/sync/page/', lab.closed(2, each=3)).requests))"
    ) == ("True 6\n")
    kernel.run("server.stop()")
    _nothing_is_left_of_the_lab(kernel)
    assert nobody_listens_on(port)


def test_an_interrupt_inside_a_with_block_stops_the_server(kernel):
    kernel.run("import requestlab as lab, time")
    request = kernel.client.execute("with lab.serve(lab.MIXED) as server:\n    time.sleep(60)")
    deadline = time.monotonic() + 20
    while not any("uvicorn" in process.cmdline() for process in marked_processes()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1.0)
    kernel.manager.interrupt_kernel()
    while kernel.client.get_shell_msg(timeout=20)["parent_header"].get("msg_id") != request:
        pass
    port = int(kernel.run("print(server.address[1])"))
    _nothing_is_left_of_the_lab(kernel)
    assert nobody_listens_on(port)


def test_a_restarted_kernel_leaves_nothing_behind(kernel):
    port = int(kernel.run(SERVE.format(name="MIXED", server="uvicorn")))
    kernel.manager.restart_kernel(now=False)
    kernel.client.wait_for_ready(timeout=60)
    _nothing_is_left_of_the_lab(kernel)
    assert nobody_listens_on(port)


@pytest.mark.parametrize(("name", "server"), BOTH_KINDS)
def test_a_killed_supervisor_takes_the_server_with_it(name, server):
    with lab.serve(lab.SYNC, server=server, workers=2) as running:
        supervisor = next(
            process for process in marked_processes() if "requestlab.serving.supervisor" in process.cmdline()
        )
        supervisor.kill()
        assert left_after(2.0) == []
        assert nobody_listens_on(running.address[1])
        assert ends(running)
        with pytest.raises(ServerGoneError, match="ended by itself"):
            lab.measure(running, "/sync/page/")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_supervisor_that_is_told_to_go_ends_its_server_first(number):
    with lab.serve(lab.MIXED, workers=2) as running:
        supervisor = next(
            process for process in marked_processes() if "requestlab.serving.supervisor" in process.cmdline()
        )
        supervisor.send_signal(number)
        assert left_after(2.0) == []
        assert nobody_listens_on(running.address[1])


@pytest.mark.parametrize(("name", "server"), BOTH_KINDS)
def test_a_killed_master_takes_its_workers_with_it_and_is_reported(name, server):
    with lab.serve(lab.SYNC, server=server, workers=2) as running:
        master = psutil.Process(running.pids[0]).parent()
        assert master is not None
        master.kill()
        assert left_after(2.0) == []
        assert nobody_listens_on(running.address[1])
        assert ends(running)
        with pytest.raises(ServerGoneError, match="killed by signal 9"):
            lab.measure(running, "/sync/page/")


def test_a_server_that_dies_during_a_run_makes_it_invalid_and_every_failure_a_row():
    with lab.serve(lab.MIXED, workers=1) as running:
        threading.Timer(0.8, os.kill, (running.pids[0], signal.SIGKILL)).start()
        run = lab.measure(running, "/sync/wait/?ms=20", lab.closed(users=5), seconds=2, timeout=1)
    assert run.summary["validity"] == "invalid"
    assert "the server ended during the run" in run.summary["reasons"]
    assert run.summary["errors"] >= 5
    assert set(run.requests["error"]) >= {"", "connection refused"}
    assert (run.requests["done"] > run.requests["planned"]).all()


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
