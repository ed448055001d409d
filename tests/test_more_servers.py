"""Servers that are installed only where asked for; options that renew workers; and the orderly end of any server."""

from __future__ import annotations

import httpx
import pytest

import requestlab as lab
from requestlab.serving.servers import SERVERS
from tests.conftest import nobody_listens_on

EXTRA = [name for name, row in SERVERS.items() if row.extra]
SEVERAL = [name for name in EXTRA if SERVERS[name].takes("workers")]


@pytest.mark.parametrize("name", EXTRA)
def test_every_extra_server_answers_several_users_without_a_failure_and_its_probe_has_spans(name):
    workers = 2 if name in SEVERAL else 1
    with lab.serve(lab.SYNC, server=name, workers=workers, probe=1.0) as server:
        assert len(set(server.pids)) == workers
        run = lab.measure(server, "/sync/page/", lab.closed(6, each=20), seconds=30)
        assert httpx.get(server.url + "/async/page/").status_code == 200
    assert (run.about.started, int(run.failed.sum())) == (120, 0)
    assert sum(run.about.counts.values()) == 120
    assert {"request", "middleware", "view"} <= set(run.spans["kind"].astype(str))
    assert (run.spans["kind"] == "view").sum() == 120
    assert set(run.requests["pid"].dropna()) <= set(server.pids)
    assert run.about.served_by.startswith(SERVERS[name].packages[0])
    assert nobody_listens_on(server.address[1])
