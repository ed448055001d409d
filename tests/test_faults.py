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

import requestlab as lab
from requestlab.errors import ServerGoneError
from tests.conftest import left_after, marked_processes, nobody_listens_on, seconds_to_interrupt
from tests.kernels import Kernel

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


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    kernel = Kernel()
    yield kernel
    kernel.close()


@pytest.mark.parametrize("server", SERVERS)
@pytest.mark.some(1)
def test_a_kernel_killed_while_it_measures_takes_everything_with_it(kernel, server):
    port = int(kernel.run(SERVE.format(server)))
    kernel.client.execute(MEASURE)
    kernel.wait_for(GENERATOR, then_s=0.5)
    assert len(kernel.children()) >= 4  # supervisor, generator, two workers
    os.kill(kernel.pid, signal.SIGKILL)
    assert kernel.leaves_nothing(port)


def test_a_kernel_killed_while_a_server_starts_takes_everything_with_it(kernel):
    kernel.run("import requestlab as lab")
    kernel.client.execute("server = lab.serve(lab.ASGI, workers=4)")
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
    assert reply["content"]["ename"] == "Interrupted"
    assert not kernel.children(GENERATOR)
    still = "print(server.alive, len(lab.measure(server, '/sync/page/', lab.closed(2, each=3)).requests))"
    assert kernel.run(still) == "True 6\n"
    kernel.run("server.stop()")
    assert kernel.leaves_nothing(port)


def test_an_interrupt_inside_a_with_block_stops_the_server(kernel, tmp_path):
    kernel.run("import requestlab as lab, pathlib, time")
    inside = f"    pathlib.Path({str(tmp_path / 'inside')!r}).touch()\n    time.sleep(60)"
    request = kernel.client.execute(f"with lab.serve(lab.ASGI) as server:\n{inside}")
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
@pytest.mark.some(5)
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
    with lab.serve(lab.ASGI, workers=1) as running:

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
