from __future__ import annotations

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
from requestlab.worker import environment
from requestlab.worker.ready import READY_PATH
from tests.conftest import left_after, marked_processes, nobody_listens_on

REAL = ["gunicorn-sync", "gunicorn-gthread", "gunicorn-uvicorn", "gunicorn-asgi", "uvicorn"]


def serve_instead(monkeypatch, application, target):
    """Let a kind of application be another one, which may be of these tests."""
    monkeypatch.setattr(application, "targets", {"wsgi": target, "asgi": target})
    monkeypatch.setenv("PYTHONPATH", os.getcwd())


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("name", REAL)
def test_every_server_serves_django_with_all_its_workers(name, workers):
    with lab.serve(lab.SYNC, server=name, workers=workers) as server:
        assert len(set(server.pids)) == workers
        for path in ("/sync/page/", "/async/page/"):
            answer = httpx.get(server.url + path)
            assert answer.status_code == 200
            assert "<html" in answer.text
        assert server.log == ""
    assert nobody_listens_on(server.address[1])


@pytest.mark.parametrize("name", ["gunicorn-uvicorn", "gunicorn-asgi", "uvicorn"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_an_asgi_server_runs_the_loop_that_was_asked_for(name, loop):
    with lab.serve(lab.ASYNC, server=name, loop=loop) as server:
        mapped = " ".join(entry.path for entry in psutil.Process(server.pids[0]).memory_maps())
    assert ("uvloop" in mapped) == (loop == "uvloop")


@pytest.mark.parametrize("name", REAL)
def test_bare_callables_answer_without_django(name):
    with lab.serve(lab.SYNC, server=name, application="bare") as server:
        assert httpx.get(server.url + "/anything").status_code == 200
        mapped = psutil.Process(server.pids[0]).memory_maps()
        assert not any("_sqlite3" in entry.path for entry in mapped)  # which Django's settings would have loaded


def test_ready_means_an_answer_with_this_runs_nonce():
    with lab.serve(lab.SYNC) as one, lab.serve(lab.SYNC) as two:
        nonces = [httpx.get(server.url + READY_PATH).json()["nonce"] for server in (one, two)]
    assert nonces[0] != nonces[1]
    assert all(len(nonce) == 32 for nonce in nonces)


@pytest.mark.skipif(shutil.which("ss") is None, reason="needs the command ss (Debian package iproute2)")
@pytest.mark.parametrize("name", REAL)
def test_the_accept_queue_is_equally_long_for_all(name):
    with lab.serve(lab.SYNC, server=name) as server:
        text = subprocess.run(["ss", "-Hltn"], capture_output=True, text=True, check=True).stdout
    backlogs = {
        int(port.rpartition(":")[2]): int(backlog) for _, _, backlog, port, *_ in map(str.split, text.splitlines())
    }
    assert backlogs[server.address[1]] == BACKLOG


@pytest.mark.measuring
@pytest.mark.parametrize(("name", "loop"), [("uvicorn", "asyncio"), ("uvicorn", "uvloop")])
def test_two_small_writes_on_keep_alive_do_not_take_forty_milliseconds(name, loop):
    with lab.serve(lab.ASYNC, server=name, loop=loop, application="bare") as server:
        run = lab.measure(server, "/", lab.closed(1, each=30))
    assert run.connections == 1
    assert run.summary["p50"] < 20  # the trap costs 40; an answer takes well under one


@pytest.mark.parametrize("name", REAL)
def test_a_server_that_cannot_load_its_application_ends_at_once_with_command_status_and_log(name, monkeypatch):
    serve_instead(monkeypatch, lab.LabApp, "nowhere:app")
    with pytest.raises(ServerStartError, match="No module named 'nowhere'") as caught:
        serving.Server(lab.SYNC.replace(server=name, workers=2), start_timeout_s=60)
    message = str(caught.value)
    assert "not ready in time" not in message
    assert f"-m {'uvicorn --fd' if name == 'uvicorn' else 'gunicorn --bind fd://'}" in message
    if (
        name == "gunicorn-sync"
    ):  # its own word for it is 3; where both workers fail at one moment, it trips over that, and ends with 1
        assert re.search(r"exit status: [13]\n", message)


def test_a_server_that_never_answers_is_an_error_when_the_time_is_over(monkeypatch):
    serve_instead(monkeypatch, lab.LabApp, "tests.stubborn:app")
    with pytest.raises(ServerStartError, match=r"0 of 1 workers had answered"):
        serving.Server(lab.SYNC, start_timeout_s=1.0)


def test_a_log_of_any_size_does_not_keep_a_server_from_ending(monkeypatch):
    serve_instead(monkeypatch, lab.LabApp, "tests.chatty:app")
    with pytest.raises(ServerStartError, match="the last words"):
        lab.serve(lab.ASYNC)


@pytest.mark.measuring
def test_an_interrupt_inside_the_block_does_not_wait_for_answers_under_way():
    def interrupted() -> None:
        with lab.serve(lab.SYNC) as server:
            threading.Thread(target=_ignore_errors, args=(server.url + "/sync/wait/?ms=9000",)).start()
            time.sleep(0.3)
            raise KeyboardInterrupt

    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert time.monotonic() - before < 4  # the view would have taken nine
    assert left_after(2.0) == []


def test_what_is_not_a_configuration_is_refused():
    with pytest.raises(ConfigurationError, match=r"requestlab\.SYNC"):
        lab.serve("sync")


def test_stopping_twice_is_fine_and_a_stopped_server_says_so():
    server = lab.serve(lab.SYNC)
    server.stop()
    server.stop()
    assert not server.alive
    with pytest.raises(ServerGoneError, match="was stopped"):
        lab.measure(server, "/sync/page/")


def test_stop_all_stops_what_was_started():
    servers = [lab.serve(lab.SYNC), lab.serve(lab.ASYNC)]
    lab.stop_all()
    assert not any(server.alive for server in servers)
    assert serving.running() == []


def test_settings_of_other_people_do_not_reach_the_server(monkeypatch):
    monkeypatch.setenv("GUNICORN_CMD_ARGS", "--workers 3")
    monkeypatch.setenv("WEB_CONCURRENCY", "3")
    monkeypatch.setenv("UVICORN_WORKERS", "3")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "somebody.elses")
    for configuration in (lab.SYNC, lab.MIXED):
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
        debug = None
    return json.dumps({"at_load_ms": AT_LOAD_MS, "now_ms": sys.getswitchinterval() * 1000, "debug": debug}).encode()

def wsgi(environ, start_response):
    start_response("200 OK", [])
    return [facts()]

async def asgi(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": facts()})
"""

LOOPED = ["gunicorn-uvicorn", "gunicorn-asgi", "uvicorn"]


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """Serves an application that tells how its interpreter is set, and returns what it tells."""
    (tmp_path / "interpreter.py").write_text(INTERPRETER)
    monkeypatch.setattr(lab.Bare, "targets", {"wsgi": "interpreter:wsgi", "asgi": "interpreter:asgi"})
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def tell(**changes):
        with lab.serve(lab.SYNC, application="bare", **changes) as server:
            return httpx.get(server.url).json()

    return tell


@pytest.mark.parametrize("name", REAL)
def test_the_switch_interval_is_set_before_the_application_is_loaded(interpreter, name):
    told = interpreter(server=name, switch_interval_ms=0.5)
    assert (told["at_load_ms"], told["now_ms"]) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("name", REAL)
def test_the_interpreter_is_as_python_has_it_unless_asked_otherwise(interpreter, name, monkeypatch):
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    monkeypatch.setenv("PYTHONDEVMODE", "1")
    monkeypatch.setenv("REQUESTLAB_SWITCH_INTERVAL_MS", "1")
    told = interpreter(server=name)
    assert told["now_ms"] == pytest.approx(5)
    assert not told["debug"]


@pytest.mark.parametrize("name", LOOPED)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_asyncio_debug_puts_the_loop_of_each_worker_into_debug_mode(interpreter, name, loop):
    assert interpreter(server=name, loop=loop, asyncio_debug=True)["debug"] is True


@pytest.mark.measuring
@pytest.mark.parametrize("name", LOOPED)
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_debug_mode_logs_a_block_of_over_a_hundred_milliseconds(name, loop):
    with lab.serve(lab.ASYNC, server=name, loop=loop, asyncio_debug=True) as server:
        httpx.get(server.url + "/async/block/?ms=0")  # the first request of all takes longer
        assert any("Executing <Task" not in _logged(server, "/async/block/?ms=20") for _ in range(5))
        said = _logged(server, "/async/block/?ms=110")
    assert "Executing <Task" in said
    assert "took 0." in said
    assert "async_views" not in said  # it names the task, and not the view


def test_without_debug_mode_a_block_is_not_logged():
    with lab.serve(lab.ASYNC) as server:
        assert _logged(server, "/async/block/?ms=110") == ""


def _logged(server, path):
    """Return what the server logs for one request; it does so just after the answer has gone out."""
    before = len(server.log)
    assert httpx.get(server.url + path).status_code == 200
    time.sleep(0.1)
    return server.log[before:]


def test_a_stack_of_layers_is_served():
    for configuration in (lab.SYNC, lab.MIXED):
        with lab.serve(configuration, middleware=("sync", "startproject", "async", "hybrid")) as server:
            for mode in ("sync", "async"):
                assert httpx.get(f"{server.url}/{mode}/hop/?n=2").text == "Hopped 2 times.\n"
            assert server.log == ""


def test_the_share_of_requests_to_trace_is_handed_on():
    given = (False, True, 1.0, 0.1)
    shares = [serving._variables(lab.MIXED.replace(probe=p), "", "")[environment.PROBE] for p in given]
    assert shares == ["", environment.WITHIN_BUDGET, "1.0", "0.1"]


def test_every_run_has_a_secret_key_of_its_own_that_its_workers_share():
    with lab.serve(lab.SYNC, workers=2) as one, lab.serve(lab.SYNC) as two:
        keys = [{psutil.Process(pid).environ()["LABAPP_SECRET_KEY"] for pid in server.pids} for server in (one, two)]
    assert [len(key) for key in keys] == [1, 1]
    assert keys[0] != keys[1]


def test_server_and_generator_do_not_share_a_core_where_there_are_two():
    with lab.serve(lab.SYNC, workers=2) as server:
        used = set().union(*(psutil.Process(pid).cpu_affinity() or [] for pid in server.pids))
    assert used == set(server.cores.server)
    if len(os.sched_getaffinity(0)) > 1:
        assert server.cores.generator is not None
        assert server.cores.generator not in used


def test_a_server_of_all_cores_may_run_on_the_one_that_is_kept_for_the_load():
    with lab.serve(lab.SYNC, all_cores=True) as server:
        assert os.sched_getaffinity(server.pids[0]) == os.sched_getaffinity(0) == set(server.cores.server)
        assert server.cores.generator is None
        assert lab.measure(server, "/sync/page/", lab.closed(users=1, each=1)).about.cores_shared


def test_fifty_starts_and_stops_leave_nothing():
    descriptors = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        with lab.serve(lab.SYNC, application="bare") as server:
            port = server.address[1]
        assert nobody_listens_on(port)
    assert left_after(2.0) == []
    assert len(os.listdir("/proc/self/fd")) <= descriptors


def test_eight_servers_start_at_once_and_do_not_collide():
    started: list[serving.Server] = []
    problems: list[BaseException] = []

    def start() -> None:
        try:
            started.append(lab.serve(lab.SYNC, application="bare", workers=2))
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pids = [pid for server in started for pid in server.pids]
    ports = {server.address[1] for server in started}
    assert all(server.alive for server in started)  # although the threads that started them have ended
    for server in started:
        server.stop()
    assert problems == []
    assert len(ports) == 8
    assert len(set(pids)) == 16
    assert left_after(2.0) == []


def test_a_server_that_does_not_want_to_stop_is_stopped(monkeypatch):
    with lab.serve(lab.SYNC) as server:
        stuck = threading.Thread(target=_ignore_errors, args=(server.url + "/sync/wait/?ms=9000",))
        stuck.start()
        time.sleep(0.3)
        before = time.monotonic()
    assert time.monotonic() - before < 5  # the view waits for nine
    assert left_after(2.0) == []
    stuck.join()


def wait_for(condition) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _ignore_errors(url: str) -> None:
    try:
        httpx.get(url, timeout=15)
    except httpx.HTTPError:
        pass


@pytest.mark.parametrize("end", [KeyboardInterrupt, None])
def test_what_an_application_has_started_ends_with_its_server(end, monkeypatch):
    serve_instead(monkeypatch, lab.Bare, "tests.spawning:app")

    def visit() -> None:
        with lab.serve(lab.SYNC, application="bare"):
            wait_for(
                lambda: any("sleep" in process.cmdline() for process in marked_processes())
            )  # between fork and exec
            if end is not None:
                raise end

    if end is None:
        visit()
    else:
        with pytest.raises(end):
            visit()
    assert left_after(2.0) == []


@pytest.mark.parametrize("name", REAL)
def test_every_worker_counts_the_requests_that_reach_the_application(name):
    with lab.serve(lab.SYNC, server=name, workers=2, application="bare") as server:
        assert server.counts == dict.fromkeys(server.pids, 0)  # the question whether it is ready does not count
        lab.measure(server, "/", lab.closed(4, each=10))
        assert set(server.counts) == set(server.pids)
        assert sum(server.counts.values()) == 40
        os.kill(server.pids[0], signal.SIGKILL)
        assert sum(server.counts.values()) == 40  # of one that was killed, too
    assert server.counts == {}


def test_threads_of_one_worker_count_together():
    with lab.serve(lab.SYNC, server="gunicorn-gthread", threads=8, application="bare") as server:
        lab.measure(server, "/", lab.closed(16, each=100), seconds=30)
        assert list(server.counts.values()) == [1_600]


def test_the_null_server_counts_nothing():
    with lab.serve(lab.NULL) as server:
        lab.measure(server, "/", lab.closed(1, each=3))
        assert server.counts == {}


def test_a_server_knows_whether_it_is_itself_that_answers():
    with lab.serve(lab.SYNC) as one, lab.serve(lab.SYNC) as other:
        assert one.is_itself() is True
        one.address = other.address
        assert one.is_itself() is False
        port = other.address[1]
    assert nobody_listens_on(port)
    assert one.is_itself() is None


@pytest.mark.measuring
def test_a_server_settles_when_it_has_nothing_left_to_do_or_the_time_is_over():
    with lab.serve(lab.SYNC) as server:
        started = time.monotonic()
        server.settle(10)
        assert time.monotonic() - started < 5
        burning = threading.Thread(target=_ignore_errors, args=(server.url + "/sync/burn/?ms=1000",))
        burning.start()
        time.sleep(0.2)
        started = time.monotonic()
        server.settle(0.2)
        assert 0.2 <= time.monotonic() - started < 0.7
        server.settle(10)
        burning.join()
        assert time.monotonic() - started > 0.7
