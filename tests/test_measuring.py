from __future__ import annotations

import os
import sys
import time

import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError, GeneratorError, RemoteTargetError
from requestlab.load.target import on_this_machine
from tests.conftest import left_after, marked_processes, seconds_to_interrupt
from tests.tiny_server import answering, read_request, tiny_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


@pytest.fixture(scope="module")
def server():
    with lab.serve(lab.SYNC, probe=True) as server:
        yield server


def test_a_fixed_number_of_requests_is_sent_exactly_and_seen_by_the_server():
    seen: list[bytes] = []

    def count(connection):
        while request := read_request(connection):
            seen.append(request)
            connection.sendall(OK)

    with tiny_server(count) as tiny:
        run = lab.measure(tiny.url, "/some/path/?a=1", lab.closed(users=7, each=11))
    assert len(run.requests) == len(seen) == 77
    assert list(run.requests.groupby("user").size()) == [11] * 7
    assert set(seen) == {seen[0]}
    assert seen[0].startswith(b"GET /some/path/?a=1 HTTP/1.1\r\nHost: ")
    assert run.connections == 7


def test_every_request_is_planned_sent_answered_in_that_order_and_only_after_its_users_last_was_answered(server):
    requests = lab.measure(server, "/sync/page/", lab.closed(users=4), seconds=0.3).requests
    assert len(requests) > 10
    assert (requests["planned"] <= requests["sent"]).all()
    assert (requests["sent"] < requests["first_byte"]).all()
    assert (requests["first_byte"] <= requests["done"]).all()
    assert requests["planned"].is_monotonic_increasing
    for _, own in requests.groupby("user"):
        assert (own["planned"].to_numpy()[1:] >= own["done"].to_numpy()[:-1]).all()


def test_waiting_is_measured_as_waiting_and_cpu_as_cpu(server):
    waits = lab.measure(server, "/sync/wait/?ms=40", lab.closed(users=1), seconds=0.5)
    burns = lab.measure(server, "/sync/burn/?ms=20", lab.closed(users=1), seconds=0.5)
    assert waits.response_ms.min() >= 40
    assert waits.summary["throughput"] <= 25
    assert waits.summary["cpu_per_request"] < 20  # a thread that sleeps uses no CPU
    assert burns.summary["cpu_per_request"] >= 19  # nearly all of it within the stretch, at both of its ends


def test_warm_up_is_kept_apart_and_in_no_summary(server):
    run = lab.measure(server, "/sync/page/", lab.closed(users=2), seconds=0.3, warmup=0.2)
    assert len(run.warmup) > 0
    assert run.warmup["done"].max() < run.about.start <= run.requests["done"].min()
    assert len(run.warmup) + len(run.requests) == len(run.samples)
    assert 0.25 < run.seconds < 3


def test_a_status_of_400_or_above_counts_as_an_error_and_makes_the_run_suspect(server):
    run = lab.measure(server, "/sync/wait/?ms=soon", lab.closed(users=2, each=5))
    assert run.summary["errors"] == 10
    assert set(run.requests["status"]) == {400}
    assert run.summary["validity"] == "invalid"
    assert "no request was answered with a status below 400" in " ".join(run.summary["reasons"])


def test_requests_under_way_when_the_time_is_over_may_finish(server):
    run = lab.measure(server, "/sync/wait/?ms=300", lab.closed(users=2), seconds=0.1, warmup=0)
    assert list(run.requests["error"]) == ["", ""]
    assert (run.requests["done"] > run.about.end).all()


def test_versions_and_machine_travel_with_the_run(server):
    about = lab.measure(server, "/sync/page/", lab.closed(users=1, each=1)).about
    machine = about.machine
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert all(machine.versions[name] for name in ("django", "asgiref", "gunicorn", "uvicorn", "uvloop"))
    assert machine.cores >= machine.usable_cores >= 1
    assert (about.configuration.server, about.capacity, about.nonce) == ("gunicorn-sync", 1, True)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"path": "sync/page/"}, "begins with a slash"),
        ({"load": 10}, r"requestlab\.closed"),
        ({"seconds": 0}, "from 0.01 to 600"),
        ({"seconds": float("nan")}, "from 0.01 to 600"),
        ({"timeout": 1e9}, "from 0.01 to 120"),
        ({"warmup": -1}, "from 0 to 600"),
        ({"warmup": 0.5}, "has no warm-up"),
        ({"expect": ""}, "a text that each answer holds"),
        ({"client": "curl"}, "expected one of: lab, httpx"),
        ({"client": "httpx", "load": lab.open(10)}, "knows closed loops with kept connections only"),
        ({"client": "httpx", "load": lab.closed(1, keep_alive=False)}, "knows closed loops with kept connections only"),
        ({"load": lab.open(20_000), "seconds": 101}, "more than 2,000,000 requests"),
        ({"target": 8000}, "a server of serve"),
        ({"target": "http://127.0.0.1:99999"}, "not an address|expected an address"),
        ({"target": "https://127.0.0.1"}, "plain HTTP only"),
        ({"target": "http://no-such-host.invalid"}, "cannot be found"),
    ],
)
def test_values_that_cannot_work_are_refused_with_what_was_expected(change, words, server):
    arguments = {"target": server, "path": "/sync/page/", "load": lab.closed(1, each=1)} | change
    with pytest.raises(ConfigurationError, match=words):
        lab.measure(arguments.pop("target"), arguments.pop("path"), arguments.pop("load"), **arguments)


@pytest.mark.parametrize("users", [0, -1, 5001, 1.5, True, "10"])
def test_a_number_of_users_out_of_bounds_is_refused(users):
    with pytest.raises(ConfigurationError, match="from 1 to 5,000"):
        lab.closed(users)


def test_another_machine_is_refused_unless_somebody_says_so():
    with pytest.raises(RemoteTargetError, match="remote=True"):
        lab.measure("http://192.0.2.1", "/")  # an address reserved for documentation


@pytest.mark.parametrize(
    ("host", "here"), [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("192.0.2.1", False)]
)
def test_this_machine_is_known_by_its_addresses(host, here):
    assert on_this_machine(host) is here


@pytest.mark.patient
def test_an_interrupt_ends_a_measurement_within_half_a_second_and_leaves_nothing():
    code = (
        "import requestlab as lab, time\n"
        "lab.measure  # is imported: an interrupt waits until that is whole\n"
        "with lab.serve(lab.SYNC) as server:\n"
        "    print('ready', flush=True)\n"
        "    try:\n"
        "        lab.measure(server, '/sync/page/', lab.closed(50), seconds=60)\n"
        "    except KeyboardInterrupt:\n"
        "        print(time.monotonic(), flush=True)\n"
    )
    before_all = {process.pid for process in marked_processes()}
    assert seconds_to_interrupt(code, after_s=1.0) < 0.5
    assert left_after(2.0, besides=before_all) == []


def test_a_load_process_that_fails_is_an_error_with_its_own_words(monkeypatch, server):
    monkeypatch.setenv("PYTHONPATH", os.path.join(os.path.dirname(__file__), "broken"))
    with pytest.raises(GeneratorError, match="broken on purpose"):
        lab.measure(server, "/sync/page/", lab.closed(1, each=1))


def test_five_hundred_users_each_have_a_connection_of_their_own():
    with tiny_server(answering(OK)) as tiny:
        run = lab.measure(tiny.url, "/", lab.closed(users=500, each=2))
    assert run.connections == 500
    assert run.summary["errors"] == 0
    assert len(run.requests) == 1000


def test_the_stock_client_does_the_same_with_more_cpu_and_says_so(server):
    load_client, stock = (
        lab.measure(server, "/sync/page/", lab.closed(2, each=40), client=name) for name in ("lab", "httpx")
    )
    assert stock.about.load == "2 users, 40 requests each, with stock httpx"
    for run in (load_client, stock):
        assert len(run.requests) == sum(run.about.counts.values()) == run.about.started == 80
        assert run.summary["errors"] == 0
    assert set(load_client.requests["body"]) == set(stock.requests["body"])
    assert set(load_client.requests["pid"]) == set(stock.requests["pid"])
    assert (stock.requests["first_byte"] <= stock.requests["done"]).all()
    assert stock.generator_cpu_per_request > 2 * load_client.generator_cpu_per_request


def test_the_stock_clients_failures_are_rows_too():
    with tiny_server(answering(b"nonsense\r\n\r\n", close=True)) as tiny:
        run = lab.measure(tiny.url, "/", lab.closed(2, each=2), client="httpx", seconds=20)
    assert list(run.requests["error"]) == ["other network error"] * 4
    with tiny_server(lambda connection: time.sleep(1)) as tiny:
        run = lab.measure(tiny.url, "/", lab.closed(2, each=1), client="httpx", timeout=0.1)
    assert list(run.requests["error"]) == ["timeout"] * 2


@pytest.mark.parametrize("load", [lab.closed(2, each=5, keep_alive=False), lab.open(50, keep_alive=False)], ids=str)
def test_without_keep_alive_every_request_has_a_connection_of_its_own_whatever_the_server_does(load):
    with tiny_server(answering(OK)) as tiny:  # which keeps a connection that it was asked to close
        run = lab.measure(tiny.url, "/", load, seconds=0.2, warmup=0)
        assert tiny.accepted == run.connections == len(run.samples) == 10
    assert run.summary["errors"] == 0
    assert run.about.keep_alive is False
    assert str(run.about.load).endswith(", a new connection for each request")


@pytest.mark.parametrize("configuration", [lab.SYNC, lab.ASGI, lab.NULL], ids=str)
def test_connections_are_kept_or_not_as_the_load_says_and_the_server_can(configuration):
    with lab.serve(configuration, application="bare") as server:
        assert lab.measure(server, "/", lab.closed(2, each=5, keep_alive=False)).connections == 10
        kept = lab.measure(server, "/", lab.closed(2, each=5)).connections
    assert kept == (10 if configuration is lab.SYNC else 2)
