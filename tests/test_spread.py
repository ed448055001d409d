"""One plan on several machines: rows of all, clocks, a worker that dies, and networks of their own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import httpx
import numpy as np
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, GeneratorError, RemoteTargetError
from requestlab.load.cluster import Clock
from requestlab.load.plan import Generator, Plan
from requestlab.load.spread import Spread, divided
from requestlab.load.target import find_target
from requestlab.measurement.measure import Settings, measure_slice
from tests.cluster import Cluster, cluster
from tests.known_server import known_server

pytestmark = [pytest.mark.measuring, pytest.mark.filterwarnings("ignore::ResourceWarning")]

PLAN = Plan(family=2, address=("127.0.0.1", 1), requests=("GET /",), seconds=1, warmup_s=0, timeout_s=1)


@pytest.fixture(scope="module")
def three() -> Iterator[Cluster]:
    with cluster() as made:
        yield made


# The parts of a plan


def test_users_are_shared_out_and_none_is_lost():
    parts = divided(replace(PLAN, users=8, connections=8), 3)
    assert [part.users for part, _ in parts] == [3, 3, 2] == [part.connections for part, _ in parts]
    assert [after_s for _, after_s in parts] == [0, 0, 0]


def test_constant_arrivals_of_the_parts_interleave_to_those_of_the_whole():
    from requestlab.load.open_loop import schedule

    whole = schedule(replace(PLAN, rate=90.0))
    parts = divided(replace(PLAN, rate=90.0), 3)
    due = sorted(at + int(after_s * 1e9) for part, after_s in parts for at in schedule(part))
    assert len(due) == len(whole)
    assert np.abs(np.array(due) - whole).max() <= 2  # ns, by rounding


def test_arrivals_by_chance_differ_between_the_parts_and_have_the_rate_together():
    from requestlab.load.open_loop import schedule

    parts = divided(replace(PLAN, rate=3_000.0, arrivals="poisson", seed=5, seconds=10), 3)
    schedules = [schedule(part) for part, _ in parts]
    assert len({tuple(one[:5]) for one in schedules}) == 3
    assert abs(sum(map(len, schedules)) - 30_000) < 5 * 30_000**0.5


@pytest.mark.parametrize(
    ("before", "after", "drift"),
    [((10, 20), (15, 25), 0), ((10, 20), (26, 30), 6), ((10, 20), (1, 3), 7)],
)
def test_clocks_have_drifted_as_far_as_no_offset_explains_both_comparisons(before, after, drift):
    assert Clock(*before).drift_ns(Clock(*after)) == drift


# Three workers on this host


@pytest.mark.some(2)
@pytest.mark.parametrize(
    ("load", "requests"),
    [
        (lab.closed(users=5, each=8), 40),
        (lab.closed(users=2, each=8), 16),  # fewer users than workers
        (lab.open(rate=60), None),
        (lab.open(rate=60, arrivals="poisson", seed=2), None),
    ],
    ids=str,
)
def test_one_plan_from_three_generators_has_every_row(three, load, requests):
    with known_server("exponential", 5, 1) as known:
        run = lab.measure(known.url, "/", load, on=three.client, **({} if requests else {"seconds": 1}))
    generators = run.about.generators
    assert sum(one.rows for one in generators) == len(run.samples) == known.requests == run.about.started
    assert requests in (None, known.requests)
    assert run.summary["errors"] == 0
    assert [one.name for one in generators] == sorted(three.names())[: len(generators)]
    for one in generators:
        own = (run.column("user") >= one.users[0]) & (run.column("user") < one.users[1])
        assert own.sum() == one.rows > 0
    starts = [one.users[0] for one in generators]
    assert starts == sorted(set(starts))


def test_response_times_are_those_that_the_server_held(three):
    with known_server("exponential", 20, 3) as known:
        run = lab.measure(known.url, "/", lab.closed(users=6, each=10), on=three.client)
    measured_ms = np.sort((run.column("done") - run.column("sent")) / 1e6)
    assert (measured_ms > np.sort(known.held_ms)).all()


def test_processes_of_one_host_have_one_clock(three):
    """Their offset is none; what was found must say so within what it says of itself."""
    with known_server("constant", 1, 1) as known:
        run = lab.measure(known.url, "/", lab.closed(users=3, each=5), on=three.client)
    for one in run.about.generators:
        assert abs(one.offset_ns) <= one.unsure_ns
        assert one.drift_ns == 0
        assert one.shares_its_core


def test_a_worker_that_dies_is_marked_and_no_row_that_came_is_lost(served):
    server = served(lab.ASYNC)
    with cluster() as dying:
        victim = dying.names()[1]
        after = sum(server.counts.values()) + 90
        threading.Thread(target=_kill_after, args=(dying.workers[1], server, after)).start()
        run = lab.measure(server, "/async/wait/?ms=5", lab.open(rate=60), seconds=4, on=dying.client)
    lost = [one for one in run.about.generators if one.lost]
    assert [one.name for one in lost] == [victim]
    assert "its worker ended" in lost[0].lost
    assert run.summary["validity"] == "invalid"
    assert victim in run.summary["reasons"][0]
    whole = [one for one in run.about.generators if not one.lost]
    assert [one.rows for one in whole] == [one.started for one in whole]
    assert sum(one.rows for one in run.about.generators) == len(run.samples)
    assert 0 < lost[0].rows < min(one.rows for one in whole)
    unaccounted = sum(run.about.counts.values()) - len(run.samples)
    assert 0 <= unaccounted <= 60 / 3 * 1.5  # what it had sent since it told last, at most


@pytest.mark.thorough
def test_a_worker_that_is_stopped_is_given_up_and_the_others_carry_the_next_load(served):
    server = served(lab.ASYNC)
    with cluster() as stopping:
        victim, after = stopping.names()[1], sum(server.counts.values()) + 60
        threading.Thread(target=_kill_after, args=(stopping.workers[1], server, after, signal.SIGSTOP)).start()
        began = time.monotonic()
        run = lab.measure(server, "/async/wait/?ms=5", lab.open(rate=60), seconds=2, on=stopping.client)
        assert time.monotonic() - began < 2 + 10 + 15 + 10  # its seconds, a request's timeout, patience; and some
        assert [(one.name, one.lost) for one in run.about.generators if one.lost] == [
            (victim, "its worker did not answer in time")
        ]
        assert run.summary["validity"] == "invalid"
        assert all(one.rows > 0 for one in run.about.generators)
        began = time.monotonic()
        again = lab.measure(server, "/async/wait/?ms=5", lab.closed(users=6, each=2), on=stopping.client)
        assert time.monotonic() - began < 45
    assert len(again.about.generators) == 2
    assert len(again.samples) == 12
    assert not any(one.lost for one in again.about.generators)


def test_after_a_worker_has_died_the_others_carry_the_next_load(served):
    with cluster() as dying, Spread(dying.client) as spread, known_server("constant", 1, 1) as known:
        slices = []
        at = find_target(known.url, "/")
        for killed in (dying.workers[1], *dying.workers[::2]):
            slices.append(measure_slice(at, lab.closed(users=6, each=2), Settings(seconds=60), spread))
            killed.kill()
            _wait_until_gone(dying, len(slices))
        with pytest.raises(GeneratorError, match="all workers"):
            measure_slice(at, lab.closed(users=6, each=2), Settings(seconds=60), spread)
    assert [len(run.about.generators) for run in slices[:2]] == [3, 2]
    assert [len(run.samples) for run in slices] == [12, 12, 12]
    assert not any(one.lost for run in slices for one in run.about.generators)


def _wait_until_gone(dying, count):
    deadline = time.monotonic() + 20
    while len(dying.names()) > 3 - count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _kill_after(worker, server, count, number=signal.SIGKILL):
    """Send it a signal once the server has counted so many requests."""
    while sum(server.counts.values()) < count:
        time.sleep(0.01)
    worker.send_signal(number)


def test_an_interrupt_gives_the_parts_up(three):
    with known_server("constant", 1, 1) as known:
        threading.Timer(1.5, signal.raise_signal, [signal.SIGINT]).start()
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            lab.measure(known.url, "/", lab.open(rate=30), seconds=60, on=three.client)
        assert time.monotonic() - began < 15
        seen = known.requests
        time.sleep(1)
        assert known.requests <= seen + 3
        run = lab.measure(known.url, "/", lab.closed(users=3, each=5), on=three.client)
    assert len(run.samples) == 15


def test_a_comparison_takes_a_cluster(three, served):
    result = lab.compare(
        {"sync": served(lab.SYNC), "async": served(lab.ASYNC)},
        {"sync": "/sync/wait/?ms=5", "async": "/async/wait/?ms=5"},
        lab.closed(users=6),
        rounds=2,
        seconds=0.3,
        on=three.client,
    )
    assert all(len(part.run.about.generators) == 3 for part in result.slices)


def test_a_saved_run_keeps_its_generators(three, tmp_path):
    with known_server("constant", 1, 1) as known:
        run = lab.measure(known.url, "/", lab.closed(users=3, each=5), on=three.client)
    assert lab.load_run(run.save(tmp_path / "spread.run")).about.generators == run.about.generators


# What cannot work


@pytest.mark.parametrize("odd", [1, "tcp://127.0.0.1:8786", object()])
def test_what_is_no_client_is_refused(odd):
    with pytest.raises(ConfigurationError, match="expected a Client"):
        lab.measure("http://127.0.0.1:1", "/", lab.closed(1), on=odd)


def test_a_cluster_without_workers_is_refused():
    with cluster(places=()) as empty, pytest.raises(ConfigurationError, match="no workers"):
        lab.measure("http://127.0.0.1:1", "/", lab.closed(1), on=empty.client)


def test_loads_beside_and_clients_that_misbehave_are_not_divided(three):
    with pytest.raises(ConfigurationError, match="beside"):
        lab.measure("http://127.0.0.1:1", "/", lab.closed(1), beside={"/": lab.open(1)}, on=three.client)
    with pytest.raises(ConfigurationError, match="divided"):
        lab.measure("http://127.0.0.1:1", "/", lab.silent(1), on=three.client)


def test_each_generator_is_audited_by_itself(three):
    with known_server("constant", 1, 1) as known:
        run = lab.measure(known.url, "/", lab.closed(users=3, each=5), on=three.client)
    busy = replace(run.about.generators[1], cpu_ns=int(0.9e9 * run.seconds), late_ns=int(0.2e9 * run.seconds))
    away = replace(run.about.generators[2], drift_ns=int(0.5e9 * run.seconds), unsure_ns=int(0.1e9 * run.seconds))
    doubted = replace(run, about=replace(run.about, generators=(run.about.generators[0], busy, away)))
    said = "\n".join(doubted.summary["reasons"])
    assert f"{busy.name} on {busy.host} used 90% of its core" in said
    assert f"{busy.name} on {busy.host} began" in said
    assert "went another way" in said
    assert "is known to" in said
    assert isinstance(busy, Generator)


# Networks of their own


@contextmanager
def networks(count: int) -> Iterator[list[str]]:
    """Make so many network namespaces on one bridge, with the addresses 10.203.7.2, 3 and so on; this one has .1."""
    names, tag = [], f"rl{os.getpid() % 100_000}"
    bridge = f"{tag}b"

    def ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True, capture_output=True)

    try:
        ip("link", "add", bridge, "type", "bridge")
        ip("addr", "add", "10.203.7.1/24", "dev", bridge)
        ip("link", "set", bridge, "up")
        for number in range(count):
            name, outside, inside = f"{tag}n{number}", f"{tag}o{number}", f"{tag}i{number}"
            ip("netns", "add", name)
            names.append(name)
            ip("link", "add", outside, "type", "veth", "peer", "name", inside)
            ip("link", "set", outside, "master", bridge, "up")
            ip("link", "set", inside, "netns", name)
            for command in (
                f"addr add 10.203.7.{number + 2}/24 dev {inside}",
                f"link set {inside} up",
                "link set lo up",
            ):
                ip("-n", name, *command.split())
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False)
        subprocess.run(["ip", "link", "del", bridge], check=False, capture_output=True)


def _can_make_networks() -> str:
    """Return why not, or nothing."""
    if not sys.platform.startswith("linux") or os.geteuid() != 0 or not shutil.which("ip"):
        return "only root on Linux, with `ip`, can make network namespaces"
    made = subprocess.run(["ip", "netns", "add", "rl-try"], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made here: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "del", "rl-try"], check=False)
    return ""


SERVER = """
from wsgiref.simple_server import make_server, WSGIRequestHandler
class Quiet(WSGIRequestHandler):
    def log_message(self, *_): pass
def app(environ, start):
    start("200 OK", [("Content-Type", "text/plain")])
    return [environ["REMOTE_ADDR"].encode()]
make_server("10.203.7.5", 8000, app, handler_class=Quiet).serve_forever()
"""


def test_one_plan_from_three_hosts_has_every_row():
    if why := _can_make_networks():
        pytest.skip(why)
    with networks(4) as names:
        inside = [("ip", "netns", "exec", name) for name in names]
        server = subprocess.Popen([*inside[3], sys.executable, "-c", SERVER], stderr=subprocess.DEVNULL)
        try:
            _wait_for("http://10.203.7.5:8000/")
            with cluster("10.203.7.1", inside[:3]) as hosts:
                with pytest.raises(RemoteTargetError):
                    lab.measure("http://10.203.7.5:8000", "/", lab.closed(6, each=10), on=hosts.client)
                with pytest.raises(ConfigurationError, match="each machine's own"):
                    lab.measure("http://127.0.0.1:8000", "/", lab.closed(6, each=10), on=hosts.client)
                run = lab.measure(
                    "http://10.203.7.5:8000", "/", lab.closed(6, each=10), on=hosts.client, remote=True, parts=True
                )
        finally:
            server.kill()
            server.wait()
    assert len(run.samples) == 60
    assert run.summary["errors"] == 0
    assert sorted(one.rows for one in run.about.generators) == [20, 20, 20]
    answered_by = {one.name.split("//")[1].split(":")[0] for one in run.about.generators}
    assert answered_by == {"10.203.7.2", "10.203.7.3", "10.203.7.4"}
    assert run.requests["body"].nunique() == 3  # each host was seen at its own address
    assert sorted(run.parts["request"].unique()) == list(range(60))


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            httpx.get(url, trust_env=False)
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
