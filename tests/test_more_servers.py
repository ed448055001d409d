"""Servers that are installed only where asked for; options that renew workers; and the orderly end of any server."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, LabError, ServerGoneError
from requestlab.serving import server as serving
from requestlab.serving.servers import SERVERS
from tests.conftest import left_after, nobody_listens_on
from tests.patience import soon

EXTRA = [name for name, row in SERVERS.items() if row.extra]
_FOLDER = ["--static-path-route", "/kept", "--static-path-mount", str(Path(__file__).parent)]
OPTIONS = {
    "gunicorn-gevent": (["--limit-request-line", "100"], f"/sync/page/?{'x' * 200}", "414"),
    "granian-wsgi": (_FOLDER, "/kept/patience.py", "200"),
    "granian-asgi": (_FOLDER, "/kept/patience.py", "200"),
    "hypercorn": (["--log-level", "info"], "/sync/page/", "Running on"),
    "daphne": (["--access-log", "-"], "/sync/page/", "GET /sync/page/"),
    "waitress": (["--ident", "my own"], "/sync/page/", "my own"),
    "uwsgi": (["--add-header", "X-Own: yes"], "/sync/page/", "x-own"),
}
"""Options of each, a path, and what is seen only with them: in status, headers or log."""


@pytest.mark.parametrize("name", EXTRA)
@pytest.mark.some(4)
def test_every_extra_server_answers_several_users_without_a_failure_takes_options_and_shows_spans(name):
    row, (options, path, seen) = SERVERS[name], OPTIONS[name]
    workers = 2 if row.takes("workers") else 1
    with lab.serve(lab.SYNC, server=name, workers=workers, probe=1.0, options=options) as server:
        assert len(set(server.pids)) == workers
        run = lab.measure(server, "/sync/page/", lab.closed(6, each=20), seconds=30)
        assert httpx.get(server.url + "/async/page/").status_code == 200
        answer = httpx.get(server.url + path)
        assert soon(lambda: seen in f"{answer.status_code} {answer.headers} {server.log}")
        assert "Traceback" not in server.log
    assert nobody_listens_on(server.address[1])
    assert (run.about.started, int(run.failed.sum()), sum(run.about.counts.values())) == (120, 0, 120)
    assert set(run.about.counts) == set(server.pids)
    kinds = run.spans["kind"].astype(str)
    assert {"request", "middleware"} <= set(kinds)
    assert sum(kinds == "view") == 120
    assert set(run.requests["pid"]) <= set(server.pids)
    assert f"{row.packages[0]} {run.about.machine.versions[row.packages[0]]}" in run.about.served_by


@pytest.mark.patient
@pytest.mark.parametrize("name", ["granian-wsgi", "waitress", "uwsgi"])
def test_threads_of_an_extra_server_wait_at_once(name):
    with lab.serve(lab.SYNC, server=name, threads=8) as server:
        run = lab.measure(server, "/sync/wait/?ms=300", lab.closed(8, each=1), seconds=30)
    assert server.configuration.capacity == 8
    assert int(run.failed.sum()) == 0
    assert run.seconds < 8 * 0.3  # as long as it would take one thread


@pytest.mark.parametrize("name", EXTRA)
def test_a_server_whose_package_is_missing_is_refused_in_a_sentence(name, monkeypatch):
    monkeypatch.setattr(serving.machine, "version", lambda package: None)
    with pytest.raises(ConfigurationError) as caught:
        lab.serve(lab.SYNC, server=name)
    extra = SERVERS[name].extra
    assert str(caught.value) == (
        f"server {name!r} needs the package {extra}, which is not installed: "
        "pip install 'requestlab[servers]' installs it"
    )


@pytest.mark.parametrize(("name", "more"), [("gunicorn-sync", []), ("uwsgi", ["--min-worker-lifetime", "0"])])
@pytest.mark.some(1)
def test_workers_that_are_renewed_do_not_make_a_run_invalid_and_are_counted(name, more):
    with lab.serve(lab.SYNC, server=name, workers=2, options=["--max-requests", "20", *more]) as server:
        first = set(server.pids)
        run = lab.measure(server, "/sync/page/", lab.closed(2, each=60), seconds=30)
        assert first.isdisjoint(server.pids)
        assert httpx.get(server.url + "/sync/page/").status_code == 200
    new = [pid for pid, count in run.about.counts.items() if pid not in first and count]
    assert (int(run.failed.sum()), sum(run.about.counts.values())) == (0, 120)
    assert len(new) >= 3  # 120 requests, 40 of them of the first two at most
    assert run.summary["validity"] != "invalid"
    assert any(reason.startswith(f"{len(new)} workers were started anew") for reason in run.summary["reasons"])


# SIGTERM.


GONE = {"closed before the answer", "connection reset"}


@contextmanager
def under_way(server: lab.Server, path: str, requests: int):
    """Measure that many requests in a thread, and go on when all have reached the application; the run is in the list
    at the end."""
    runs: list[lab.Run] = []
    load = lab.closed(requests, each=1)
    thread = threading.Thread(target=lambda: runs.append(lab.measure(server, path, load, seconds=30, timeout=20)))
    thread.start()
    assert soon(lambda: sum(server.counts.values()) >= requests)
    yield runs
    thread.join()


@pytest.mark.parametrize(
    ("name", "answered", "status"),
    [
        ("gunicorn-gthread", True, 0),
        ("uvicorn", True, -15),
        ("granian-wsgi", True, 0),
        ("hypercorn", True, 0),
        ("daphne", False, 0),
        ("waitress", False, -15),
    ],
)
@pytest.mark.some(3)
def test_after_sigterm_requests_under_way_are_answered_or_reset_as_the_server_has_it(name, answered, status):
    threads = {"threads": 4} if SERVERS[name].takes("threads") else {}
    server = lab.serve(lab.SYNC, server=name, **threads)
    with under_way(
        server, "/async/wait/?ms=800" if name == "daphne" else "/sync/wait/?ms=800", 3 if threads else 1
    ) as runs:
        ended = server.terminate(20)
    (run,) = runs
    assert not server.alive
    assert left_after(2.0) == []
    assert ended.returncode == status
    assert 0 < ended.seconds < 20
    if answered:
        assert set(run.requests["status"]) == {200}
    else:
        assert set(run.requests["error"]) <= GONE
    with pytest.raises(ServerGoneError, match="was stopped; call serve"):
        server.terminate()


def test_a_server_that_does_not_end_in_time_after_sigterm_is_an_error_and_can_still_be_stopped():
    server = lab.serve(lab.SYNC, server="gunicorn-gthread", threads=2)
    with under_way(server, "/sync/wait/?ms=5000", 1) as runs:
        with pytest.raises(LabError, match=r"'sync, server=gunicorn-gthread, threads=2' has not ended 0\.2 s after"):
            server.terminate(0.2)
        server.stop()
    assert not server.alive
    assert set(runs[0].requests["error"]) <= GONE
