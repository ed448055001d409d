from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import threading
import time

import httpx
import psutil
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, ServerGoneError, ServerStartError
from requestlab.serving import server as serving
from requestlab.serving.servers import BACKLOG
from requestlab.worker import environment, kernel
from requestlab.worker.ready import QUESTION_HEADER, READY_PATH
from tests.conftest import left_after, marked_processes, nobody_listens_on

REAL = ["gunicorn-sync", "gunicorn-gthread", "gunicorn-uvicorn", "gunicorn-asgi", "uvicorn"]
LOOPED = ["gunicorn-uvicorn", "gunicorn-asgi", "uvicorn"]


def serve_instead(monkeypatch, application, target):
    """Let a kind of application be another one, which may be of these tests."""
    monkeypatch.setattr(application, "targets", {"wsgi": target, "asgi": target})
    monkeypatch.setenv("PYTHONPATH", os.getcwd())


def mapped(server: lab.Server) -> str:
    """Return the files that a worker has in memory."""
    return " ".join(entry.path for entry in psutil.Process(server.pids[0]).memory_maps())


@contextlib.contextmanager
def asking(server: lab.Server, path: str):
    """Ask in a thread, whatever becomes of it, and give the request time to arrive."""

    def ask() -> None:
        with contextlib.suppress(httpx.HTTPError):
            httpx.get(server.url + path, timeout=15)

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.3)
    yield
    thread.join()


@pytest.mark.parametrize("name", REAL)
@pytest.mark.some(3)
def test_every_server_serves_django_with_all_its_workers_and_an_accept_queue_as_long_as_the_others(name):
    with lab.serve(lab.SYNC, server=name, workers=3) as server:
        assert len(set(server.pids)) == 3
        for path in ("/sync/page/", "/async/page/"):
            answer = httpx.get(server.url + path)
            assert answer.status_code == 200
            assert "<html" in answer.text
        assert server.log == ""
        if shutil.which("ss"):  # Debian package iproute2
            (line,) = subprocess.check_output(["ss", "-Hltn", f"sport = :{server.address[1]}"], text=True).splitlines()
            assert int(line.split()[2]) == BACKLOG
    assert nobody_listens_on(server.address[1])


@pytest.mark.parametrize("name", REAL)
@pytest.mark.some(3)
def test_every_worker_counts_the_requests_that_reach_the_application_also_without_django(name):
    with lab.serve(lab.SYNC, server=name, workers=2, application="bare") as server:
        assert "_sqlite3" not in mapped(server)  # which Django's settings would have loaded
        assert server.counts == dict.fromkeys(server.pids, 0)  # the question whether it is ready does not count
        lab.measure(server, "/", lab.closed(4, each=10))
        assert set(server.counts) == set(server.pids)
        assert sum(server.counts.values()) == 40
        os.kill(server.pids[0], signal.SIGKILL)
        assert sum(server.counts.values()) == 40  # of one that was killed, too
    assert server.counts == {}


def test_threads_of_one_worker_count_together_and_the_null_server_counts_nothing():
    with lab.serve(lab.SYNC, server="gunicorn-gthread", threads=8, application="bare") as server:
        lab.measure(server, "/", lab.closed(16, each=100), seconds=30)
        assert list(server.counts.values()) == [1_600]
    with lab.serve(lab.NULL) as null:
        lab.measure(null, "/", lab.closed(1, each=3))
        assert null.counts == {}


def test_every_run_has_a_secret_and_a_secret_key_of_its_own_that_its_workers_share():
    with lab.serve(lab.SYNC, workers=2) as one, lab.serve(lab.SYNC) as two:
        own = [[psutil.Process(pid).environ() for pid in server.pids] for server in (one, two)]
        secrets, keys = (
            [{each[name] for each in processes} for processes in own]
            for name in (environment.SECRET, "LABAPP_SECRET_KEY")
        )
        assert one.is_itself() is True
        one.address = two.address
        assert one.is_itself() is False
    assert nobody_listens_on(two.address[1])
    assert one.is_itself() is None
    for found in (secrets, keys):
        assert [len(each) for each in found] == [1, 1]
        assert found[0] != found[1]
    assert {len(secret) for secret in secrets[0] | secrets[1]} == {64}


@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI, lab.ASYNC], ids=["sync", "asgi", "async"])
@pytest.mark.parametrize("said", [{}, {QUESTION_HEADER: "0" * 32}, {QUESTION_HEADER: b"\xff"}])
def test_the_lab_s_own_question_is_any_request_where_somebody_else_asks_it(configuration, said, served):
    """So nobody on this machine can hold up a worker unseen, or learn what it answers."""
    server = served(configuration)
    before = sum(server.counts.values())
    answer = httpx.get(f"{server.url}{READY_PATH}?hold", headers=said, trust_env=False)
    assert (answer.status_code, sum(server.counts.values()) - before) == (404, 1)
    assert server.is_itself() is True
    assert sum(server.counts.values()) - before == 1


@pytest.mark.patient
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_two_small_writes_on_keep_alive_do_not_take_forty_milliseconds(loop):
    with lab.serve(lab.ASYNC, server="uvicorn", loop=loop, application="bare") as server:
        run = lab.measure(server, "/", lab.closed(1, each=30))
    assert run.connections == 1
    assert run.summary["p50"] < 20  # the trap costs 40; an answer takes well under one


# Starts that fail.


@pytest.mark.parametrize("name", REAL)
@pytest.mark.some(2)
def test_a_server_that_cannot_load_its_application_ends_at_once_with_command_status_and_log(name, monkeypatch):
    serve_instead(monkeypatch, lab.LabApp, "nowhere:app")
    with pytest.raises(ServerStartError, match="No module named 'nowhere'") as caught:
        serving.Server(lab.SYNC.replace(server=name, workers=2), start_timeout_s=60)
    message = str(caught.value)
    assert "not ready in time" not in message
    assert f"-m {'uvicorn --fd' if name == 'uvicorn' else 'gunicorn --bind fd://'}" in message
    if name == "gunicorn-sync":  # its own status is 3; where both workers fail at one moment, it trips over that: 1
        assert re.search(r"exit status: [13]\n", message)


def test_a_server_that_never_answers_is_an_error_when_the_time_is_over(monkeypatch):
    serve_instead(monkeypatch, lab.LabApp, "tests.stubborn:app")
    with pytest.raises(ServerStartError, match=r"0 of 1 workers had answered"):
        serving.Server(lab.SYNC, start_timeout_s=1.0)


def test_a_log_of_any_size_does_not_keep_a_server_from_ending(monkeypatch):
    serve_instead(monkeypatch, lab.LabApp, "tests.chatty:app")
    with pytest.raises(ServerStartError, match="the last words"):
        lab.serve(lab.ASYNC)


def test_what_is_not_a_configuration_is_refused():
    with pytest.raises(ConfigurationError, match=r"requestlab\.SYNC"):
        lab.serve("sync")


# The end.


@pytest.mark.patient
@pytest.mark.parametrize("end", [None, KeyboardInterrupt])
def test_neither_the_end_of_the_block_nor_an_interrupt_waits_for_answers_under_way(end):
    with contextlib.ExitStack() as stack, contextlib.suppress(KeyboardInterrupt), lab.serve(lab.SYNC) as server:
        stack.enter_context(asking(server, "/sync/wait/?ms=9000"))
        before = time.monotonic()
        if end:
            raise end
    assert time.monotonic() - before < 4  # the view would have taken nine
    assert left_after(2.0) == []


def test_stop_all_stops_what_was_started_and_a_stopped_server_says_so():
    servers = [lab.serve(lab.SYNC), lab.serve(lab.ASYNC)]
    lab.stop_all()
    assert not any(server.alive for server in servers)
    assert serving.running() == []
    servers[0].stop()  # again
    with pytest.raises(ServerGoneError, match="was stopped"):
        lab.measure(servers[0], "/sync/page/")


@pytest.mark.parametrize("end", [KeyboardInterrupt, None])
def test_what_an_application_has_started_ends_with_its_server(end, monkeypatch):
    serve_instead(monkeypatch, lab.Bare, "tests.spawning:app")
    with contextlib.suppress(KeyboardInterrupt), lab.serve(lab.SYNC, application="bare"):
        deadline = time.monotonic() + 5
        while not any("sleep" in process.cmdline() for process in marked_processes()):  # between fork and exec
            assert time.monotonic() < deadline
            time.sleep(0.01)
        if end:
            raise end
    assert left_after(2.0) == []


@pytest.mark.parametrize("times", [5, pytest.param(20, marks=pytest.mark.thorough)])
def test_starts_and_stops_leave_nothing(times):
    descriptors = psutil.Process().num_fds()
    for _ in range(times):
        with lab.serve(lab.SYNC, application="bare") as server:
            port = server.address[1]
        assert nobody_listens_on(port)
    assert left_after(2.0) == []
    assert psutil.Process().num_fds() <= descriptors


def test_eight_servers_start_at_once_and_do_not_collide():
    started: list[serving.Server] = []
    threads = [
        threading.Thread(target=lambda: started.append(lab.serve(lab.SYNC, application="bare", workers=2)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(server.alive for server in started)  # although the threads that started them have ended
    assert len({server.address[1] for server in started}) == 8
    assert len({pid for server in started for pid in server.pids}) == 16
    for server in started:
        server.stop()
    assert left_after(2.0) == []


# The interpreter of the workers.


def test_settings_of_other_people_do_not_reach_the_server(monkeypatch):
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--workers 3")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("UVICORN_WORKERS", "3")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "somebody.elses")
    for configuration in (lab.SYNC, lab.ASGI):
        with lab.serve(configuration) as server:
            commands = [" ".join(process.cmdline()) for process in marked_processes()]
            servers = [command for command in commands if "worker.entry" in command and "supervisor" not in command]
            assert len(servers) == (2 if configuration is lab.SYNC else 1)  # gunicorn has a master
            assert httpx.get(server.url + "/sync/page/").status_code == 200


INTERPRETER = """
import asyncio, json, sys

AT_LOAD_MS = sys.getswitchinterval() * 1000

def facts():
    try:
        debug = asyncio.get_running_loop().get_debug()
    except RuntimeError:
        debug = False
    return json.dumps([AT_LOAD_MS, sys.getswitchinterval() * 1000, debug]).encode()

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [facts()]

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": facts()})
"""


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize(("asked_ms", "ms"), [(0.5, 0.5), (None, 5)])
@pytest.mark.some(4)
def test_the_interpreter_is_as_python_has_it_unless_asked_otherwise(name, asked_ms, ms, tmp_path, monkeypatch):
    """The switch interval is set before the application is loaded."""
    (tmp_path / "interpreter.py").write_text(INTERPRETER)
    monkeypatch.setattr(lab.Bare, "targets", {"wsgi": "interpreter:wsgi", "asgi": "interpreter:asgi"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    monkeypatch.setenv("REQUESTLAB_SWITCH_INTERVAL_MS", "1")
    with lab.serve(lab.SYNC, application="bare", server=name, switch_interval_ms=asked_ms) as server:
        assert httpx.get(server.url).json() == [pytest.approx(ms), pytest.approx(ms), False]


@pytest.mark.patient
@pytest.mark.parametrize("name", LOOPED)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.some(3)
def test_a_server_runs_the_loop_that_was_asked_for_and_its_debug_mode_logs_a_long_block(name, loop):
    with lab.serve(lab.ASYNC, server=name, loop=loop, asyncio_debug=True) as server:
        assert ("uvloop" in mapped(server)) == (loop == "uvloop")
        httpx.get(server.url + "/async/block/?ms=0")  # the first request of all takes longer
        assert any("Executing <Task" not in _logged(server, "/async/block/?ms=20") for _ in range(5))
        said = _logged(server, "/async/block/?ms=110")
    assert "Executing <Task" in said
    assert "took 0." in said
    assert "async_views" not in said  # it names the task, and not the view


def test_without_debug_mode_a_block_is_not_logged(served):
    assert _logged(served(lab.ASYNC), "/async/block/?ms=110") == ""


def _logged(server, path):
    """Return what the server logs for one request; it does so just after the answer has gone out."""
    before = len(server.log)
    assert httpx.get(server.url + path).status_code == 200
    time.sleep(0.1)
    return server.log[before:]


@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI])
def test_a_stack_of_layers_is_served(configuration):
    with lab.serve(configuration, middleware=("sync", "startproject", "async", "hybrid")) as server:
        for mode in ("sync", "async"):
            assert httpx.get(f"{server.url}/{mode}/hop/?n=2").text == "Hopped 2 times.\n"
        assert server.log == ""


def test_the_share_of_requests_to_trace_is_handed_on():
    given = (False, True, 1.0, 0.1)
    shares = [serving._variables(lab.ASGI.replace(probe=p), "", "")[environment.PROBE] for p in given]
    assert shares == ["", environment.WITHIN_BUDGET, "1.0", "0.1"]


# Cores.

only_linux = pytest.mark.skipif(kernel.PORTABLE, reason="no core can be set apart there")


@only_linux
def test_server_and_generator_do_not_share_a_core_where_there_are_two(served):
    server = served(lab.SYNC, workers=2)
    used = set().union(*(psutil.Process(pid).cpu_affinity() or [] for pid in server.pids))
    assert used == set(server.cores.server)
    if len(os.sched_getaffinity(0)) > 1:
        assert server.cores.generator is not None
        assert server.cores.generator not in used


@only_linux
def test_a_server_of_all_cores_may_run_on_the_one_that_is_kept_for_the_load():
    with lab.serve(lab.SYNC, all_cores=True) as server:
        assert os.sched_getaffinity(server.pids[0]) == os.sched_getaffinity(0) == set(server.cores.server)
        assert server.cores.generator is None
        assert lab.measure(server, "/sync/page/", lab.closed(users=1, each=1)).about.cores_shared


@pytest.mark.patient
def test_a_server_settles_when_it_has_nothing_left_to_do_or_the_time_is_over():
    with lab.serve(lab.SYNC) as server:
        started = time.monotonic()
        server.settle(10)
        assert time.monotonic() - started < 5
        with asking(server, "/sync/burn/?ms=1000"):
            started = time.monotonic()
            server.settle(0.2)
            assert 0.2 <= time.monotonic() - started < 0.7
            server.settle(10)
        assert time.monotonic() - started > 0.6
