"""What somebody else on the same machine can do to a lab: nothing, where others share it."""

from __future__ import annotations

import json
import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

import requestlab as lab
from requestlab.advice.discover import Visitor
from requestlab.serving.proxy import PLACES
from requestlab.system import place
from requestlab.worker.ready import READY_PATH

NOBODY = 65_534
as_root = pytest.mark.skipif(os.getuid() != 0, reason="only root can be another user")


@pytest.fixture
def shared(monkeypatch) -> None:
    monkeypatch.setenv(place.SHARED, "1")


def as_another_user(do) -> object:
    """Call it in a process of another user of the system, and return what it returns, through JSON."""
    read, written = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(written, json.dumps(do()).encode())
        finally:
            os._exit(0)
    os.close(written)
    with os.fdopen(read, "rb") as answer:
        told = json.loads(answer.read() or b'"it failed"')
    os.waitpid(pid, 0)
    return told


def answer_to(address: tuple[str, int], request: str) -> str:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(f"{request}\r\nHost: here\r\nConnection: close\r\n\r\n".encode())
        return b"".join(iter(lambda: connection.recv(65_536), b"")).decode()


def statuses(address: tuple[str, int], requests: list[str]) -> list[str]:
    return [answer_to(address, request).split()[1] for request in requests]


@as_root
@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI], ids=["wsgi", "asgi"])
def test_a_neighbour_is_refused_by_a_server_and_seen_in_the_run(configuration, shared):
    asks = ["GET /sync/page/ HTTP/1.1", "POST /sync/upload/ HTTP/1.1", f"GET {READY_PATH}?hold HTTP/1.1"]
    with lab.serve(configuration, probe=True) as server:
        assert as_another_user(lambda: statuses(server.address, asks)) == ["403"] * 3
        own = lab.measure(server, "/sync/page/", lab.closed(2, each=5))
        assert (own.summary["errors"], sum(own.about.counts.values())) == (0, 10)
        assert server.get("/sync/page/").status_code == 200
        assert httpx.get(server.url + "/sync/page/").status_code == 403
        text = httpx.get(server.url + "/sync/page/", headers={"requestlab-token": "0" * 32}).text
        assert (
            text
            == "This server belongs to somebody else's lab on this machine. Its owner's requests have server.headers.\n"
        )


@as_root
def test_a_neighbour_can_neither_ask_nor_empty_an_upstream_and_is_counted(shared):
    with lab.serve(lab.UPSTREAM) as upstream, lab.serve(lab.SYNC, upstream=upstream) as server:
        httpx.put(upstream.url + "/objects/own/one", content=b"kept")
        asks = ["GET /api/", "POST /statistics/", "DELETE /objects/own/", f"GET {READY_PATH}", f"GET /~{'0' * 32}/api/"]

        def ask() -> object:
            return [answer_to(upstream.address, f"{one} HTTP/1.1").split()[1] for one in asks]

        assert as_another_user(ask) == ["404"] * len(asks)
        assert httpx.get(upstream.url + "/objects/own/one").content == b"kept"
        assert httpx.get(upstream.url + "/statistics/").json()["strangers"] == len(asks)
        run = lab.measure(server, "/sync/fetch/?ms=1", lab.closed(1, each=3))
        assert run.about.upstream is not None
        assert (run.about.upstream.requests, run.about.upstream.strangers) == (3, 0)


@as_root
def test_a_neighbour_reads_no_file_of_a_run_and_no_secret_in_the_list_of_processes():
    with lab.serve(lab.UPSTREAM) as upstream, lab.serve(lab.ASGI, probe=True, upstream=upstream) as server:
        lab.measure(server, "/async/fetch/?ms=1", lab.closed(1, each=3))
        folder, pid = server.directory, server.pids[0]

        def look() -> object:
            seen: list[str] = []
            for path in (folder, f"/proc/{pid}/environ", f"/proc/{pid}/fd"):
                try:
                    seen.append(f"{os.listdir(path) if os.path.isdir(path) else Path(path).read_bytes()!r}")
                except OSError:
                    continue
            return seen

        assert as_another_user(look) == []
        secrets = [server._secret, upstream._secret, urlsplit(upstream.url).path.strip("/~"), *server.headers.values()]
        lines = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):  # it has just ended
                if process.uids().real == os.getuid():
                    lines.append(" ".join(process.cmdline()))
        assert not [line for line in lines if any(secret in line for secret in secrets)]


def test_no_token_stands_in_a_saved_run(tmp_path):
    with lab.serve(lab.UPSTREAM) as upstream, lab.serve(lab.ASGI, upstream=upstream) as server:
        token = urlsplit(upstream.url).path
        runs = [
            lab.measure(server, "/async/fetch/?ms=1", lab.closed(1, each=3)),
            lab.measure(upstream, "/api/?ms=1", lab.closed(1, each=3)),
        ]
    for run in runs:
        run.save(tmp_path / "one.run")
        assert token.strip("/~") not in json.dumps(str(lab.load_run(tmp_path / "one.run").about))
        assert run.summary["errors"] == 0


@pytest.mark.parametrize(
    ("variables", "shared_"),
    [({}, False), ({"JUPYTERHUB_USER": "ada"}, True), ({"REQUESTLAB_SHARED": "1"}, True)]
    + [({"JUPYTERHUB_USER": "ada", "REQUESTLAB_SHARED": said}, False) for said in ("", "0")],
)
def test_a_machine_is_shared_on_a_hub_and_where_it_is_said(variables, shared_, monkeypatch):
    for name in ("JUPYTERHUB_USER", place.SHARED):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert place.is_shared() is shared_


@pytest.fixture
def null() -> Iterator[lab.Server]:
    with lab.serve(lab.NULL) as server:
        yield server


def test_the_null_server_tells_the_runs_secret_to_nobody_but_the_lab(null):
    assert httpx.get(null.url + READY_PATH).json() == {"null": True}
    assert null.is_itself()


@pytest.mark.skipif(shutil.which("nginx", path=PLACES) is None, reason="there is no nginx on this machine")
def test_a_proxy_lets_in_only_those_who_know_its_address(shared):
    with lab.serve(lab.SYNC) as server, lab.proxy(server) as address:
        own = lab.measure(address, "/sync/page/", lab.closed(2, each=5))
        assert (own.summary["errors"], set(own.requests["status"])) == (0, {200})
        assert httpx.get(address.partition("/~")[0] + "/sync/page/", trust_env=False).status_code == 404


def test_hey_and_advice_bring_the_token(shared):
    with lab.serve(lab.SYNC) as server:
        if shutil.which("hey"):
            assert lab.hey(server, "/sync/page/", users=2, requests=10) is not None
        with Visitor(server) as visitor:
            answer, _ = visitor.get(lab.ask("/sync/page/"))
            assert answer is not None
            assert answer.status_code == 200
