"""Servers that the lab has not started: who listens at an address, with which versions, and what a comparison makes of
one that cannot be seen."""

from __future__ import annotations

import os
import socket
from dataclasses import replace

import numpy as np
import pytest

import requestlab as lab
from requestlab.comparison.comparison import UNSEEN, Comparison
from requestlab.load.listeners import listeners
from requestlab.system import machine
from tests.known_server import BODY, HEAD
from tests.made_runs import comparison, slice_of
from tests.tiny_server import answering, tiny_server


@pytest.mark.parametrize(
    "configuration",
    [
        lab.SYNC.replace(workers=2),
        lab.ASGI,
        lab.ASGI.replace(workers=2),
        lab.SYNC.replace(server="waitress"),
        lab.SYNC.replace(server="granian-wsgi"),
        lab.SYNC.replace(server="uwsgi", workers=2),
        lab.NULL,
    ],
    ids=lambda configuration: configuration.label,
)
@pytest.mark.some(3)
def test_processes_cores_and_versions_of_a_server_at_an_address_are_those_of_the_lab(configuration, served):
    server = served(configuration)
    there = listeners(server.address[1])
    assert set(there.pids) == set(server.pids)
    assert set(there.cores) == set(server.cores.server)
    assert there.machine == server.machine


def test_a_run_at_an_address_is_told_like_one_of_a_server(served):
    server = served(lab.SYNC, workers=2)
    own, address = (lab.measure(target, "/sync/page/", lab.closed(2, each=20)) for target in (server, server.url))
    assert address.label == server.url
    assert (address.about.configuration, address.about.capacity) == (None, None)
    assert set(address.about.pids) == set(own.about.pids)
    assert address.about.machine == own.about.machine == machine.facts()
    assert address.summary["cpu_per_request"] > 0
    assert set(address.processes["pid"]) == set(server.pids)


def test_who_listens_in_this_process_or_nowhere_is_not_known():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        here = listeners(port)
    for there in (here, listeners(port)):
        assert (there.pids, there.cores) == ((), ())
        assert there.machine == machine.unknown()
    assert (here.machine.python, here.machine.versions) == ("", {})
    assert "versions of the server unknown" in here.machine.caption


def test_the_run_of_a_server_that_cannot_be_seen_has_no_processes_and_no_versions():
    with tiny_server(answering(HEAD + BODY)) as server:
        run = lab.measure(server.url, "/", lab.closed(1, each=5))
    assert (run.about.pids, run.about.server_cpu_ns) == ((), None)
    assert run.processes.empty
    assert np.isnan(run.summary["cpu_per_request"])
    assert run.about.machine.versions == {}


def without_pids(result: Comparison, *labels: str) -> Comparison:
    """Return the same comparison, as if the processes of these contenders had not been seen."""

    def unseen(one):
        run = replace(one.run, about=replace(one.run.about, pids=()))
        return replace(one, run=slice_of(one.run.summary, run))

    return replace(result, slices=tuple(unseen(one) if one.label in labels else one for one in result.slices))


@pytest.mark.parametrize("hidden", [("base",), ("other",), ("base", "other")])
def test_a_ratio_with_one_that_cannot_be_seen_must_be_farther_from_one_and_says_so(hidden):
    seen = comparison({"base": np.full(8, 100.0), "other": np.full(8, 100.0 * (1 + UNSEEN) * 0.99)})
    assert seen.ratio("other", "base").verdict == "faster"
    for over, under in (("other", "base"), ("base", "other")):
        found = without_pids(seen, *hidden).ratio(over, under)
        assert found.verdict == "cannot tell"
        assert found.reason.startswith("the interval comes within 25% of 1, and the servers' processes cannot be seen")
        assert found.reason in str(found)
    farther = comparison({"base": np.full(8, 100.0), "other": np.full(8, 100.0 * (1 + UNSEEN) * 1.01)})
    assert without_pids(farther, *hidden).ratio("other", "base").verdict == "faster"
    assert without_pids(farther, *hidden).ratio("base", "other").verdict == "slower"


def test_the_lab_itself_does_not_count_as_who_listens_though_it_holds_the_port_for_a_server(served):
    server = served(lab.SYNC, server="granian-wsgi")
    assert os.getpid() not in listeners(server.address[1]).pids


def test_a_comparison_of_addresses_knows_the_versions_of_those_it_sees(served):
    server = served(lab.SYNC)
    with tiny_server(answering(HEAD + BODY)) as tiny:
        contenders = {"seen": server.url, "unseen": tiny.url}
        result = lab.compare(contenders, "/sync/page/", lab.closed(1), rounds=2, seconds=0.1)
    assert result.about.machine == machine.facts()
    assert all(run.about.pids for run in result.runs("seen"))
    assert not any(run.about.pids for run in result.runs("unseen"))
