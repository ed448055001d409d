"""nginx in front of a server: requests pass, slow senders are taken in, and nothing of it is left."""

from __future__ import annotations

import os
import shutil

import httpx
import psutil
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, ServerGoneError
from requestlab.serving import proxy as proxies

installed = pytest.mark.skipif(
    shutil.which("nginx", path=proxies.PLACES) is None and not os.environ.get("CI"), reason="there is no nginx here"
)


@installed
def test_requests_pass_through_and_nothing_is_left(served, tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    server = served(lab.SYNC)
    with lab.proxy(server) as address:
        assert address != server.url
        answer = httpx.get(f"{address}/sync/page/")
        assert (answer.status_code, answer.headers["server"][:5]) == (200, "nginx")
        body = os.urandom(3_000_000)
        assert httpx.post(f"{address}/sync/upload/", content=body).text.startswith("Received 3000000 bytes")
        started = [one for one in psutil.Process().children(recursive=True) if one.name() == "nginx"]
        assert len(started) == 2
    assert not any(one.is_running() for one in started)
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)
    assert [path for path in tmp_path.iterdir() if str(path) != server.directory] == []


@installed
def test_a_slow_sender_does_not_hold_a_sync_worker_behind_it(served):
    """Alone, the worker would read for the whole second and answer nobody else."""
    server = served(lab.SYNC)
    slow = {"/sync/upload/": lab.slow_senders(1, size=100_000, per_s=50_000)}
    with lab.proxy(server) as address:
        beside = {
            name: lab.measure(target, "/sync/page/", lab.closed(1), seconds=1.0, beside=slow)
            for name, target in (("behind", address), ("open", server))
        }
    assert len(beside["behind"].samples) > 20
    assert len(beside["open"].samples) < 0.2 * len(beside["behind"].samples)


def test_a_missing_nginx_and_a_server_that_has_ended_are_sentences(served, monkeypatch):
    server = lab.serve(lab.NULL)
    monkeypatch.setattr(proxies, "PLACES", "")
    with pytest.raises(ConfigurationError, match="there is no nginx on this machine"), lab.proxy(server):
        pass
    server.stop()
    with pytest.raises(ServerGoneError), lab.proxy(server):
        pass


@installed
def test_an_nginx_that_does_not_start_says_why(served, monkeypatch):
    monkeypatch.setattr(proxies, "CONFIGURATION", "nonsense here;")
    with pytest.raises(lab.LabError, match='unknown directive "nonsense"'), lab.proxy(served(lab.NULL)):
        pass
