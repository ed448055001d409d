"""The upstream keeps its promises: delays by lower bound, failures, limits and checksums exactly."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import socket
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner
from hypothesis import given, settings, strategies as st

import requestlab as lab
from requestlab import cli
from requestlab.serving.upstream import api, statistics, store
from requestlab.system import machine
from requestlab.worker.ready import READY_PATH

seeds = map("seed={}".format, itertools.count())
"""A query of one's own is a service of one's own, with a count of failures and a line of its own."""


@pytest.fixture(scope="module")
def upstream() -> Iterator[lab.Server]:
    with lab.serve(lab.UPSTREAM) as server:
        yield server


@pytest.fixture(scope="module")
def ask(upstream) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=upstream.url, limits=httpx.Limits(max_connections=100), timeout=20) as client:
        yield client


def at_once(ask: httpx.Client, path: str, times: int) -> Counter[int]:
    """Ask so many times at once; return the statuses."""
    with ThreadPoolExecutor(times) as threads:
        return Counter(answer.status_code for answer in threads.map(ask.get, [path] * times))


def known(upstream: lab.Server, requests: bytes) -> bytes:
    """Return these requests to paths of the upstream's as those send them who know its address."""
    return requests.replace(b" /", f" {urlsplit(upstream.url).path}/".encode())


def answer_to(upstream: lab.Server, request: bytes) -> bytes:
    """Send these bytes and return all that comes before the connection is closed."""
    with socket.create_connection(upstream.address, timeout=10) as connection:
        connection.sendall(known(upstream, request))
        return b"".join(iter(lambda: connection.recv(65536), b""))


# A server of the lab


def test_it_is_a_server_like_any_other_and_stands_on_the_generators_core(upstream, ask):
    assert ask.get(READY_PATH).json()["pid"] == upstream.pids[0]
    generator = machine.split_cores().generator
    assert upstream.cores.server == ((generator,) if generator is not None else machine.split_cores().server)
    assert set(os.sched_getaffinity(upstream.pids[0])) == set(upstream.cores.server)
    assert upstream.log == ""


# What comes over a connection


def test_a_thousand_requests_behind_a_slow_one_on_one_connection_are_answered_in_turn(upstream):
    slow, quick = (f"GET /api/?ms={ms} HTTP/1.1\r\nHost: here\r\n\r\n".encode() for ms in (50, 0))
    last = b"GET /x HTTP/1.0\r\n\r\n"
    parts = answer_to(upstream, slow + quick * 1_500 + slow + last).split(b"HTTP/1.1 ")[1:]
    assert [part.split()[0] for part in parts] == [b"200"] * 1_502 + [b"404"]


LARGE = 2**20 + 1


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"PUT /objects/large/y HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE), 413),
        *(
            (b"GET %s HTTP/1.1\r\nConnection: close\r\n\r\n" % path, 400)
            for path in (b"/objects/../x", b"/objects/b/n/m", b"/objects/b%20/n", b"/objects/b/" + b"n" * 101)
        ),
    ],
    ids=lambda one: one if isinstance(one, int) else one[:20].decode(),
)
def test_what_cannot_be_served_gets_that_status_and_no_more(upstream, request_bytes, status):
    assert answer_to(upstream, request_bytes).startswith(f"HTTP/1.1 {status} ".encode())


def test_a_client_that_leaves_half_way_gives_the_place_in_line_back(upstream, ask):
    path = f"/api/?ms=50&limit=1&{next(seeds)}"
    with socket.create_connection(upstream.address) as connection:
        connection.sendall(known(upstream, f"GET {path} HTTP/1.1\r\n\r\n".encode()))
    assert ask.get(path).status_code == 200


# The external API


@pytest.mark.parametrize("ms", [0.5, 3, 30.5])
def test_an_answer_never_comes_early(ask, ms):
    for _ in range(5):
        before = time.perf_counter()
        assert ask.get(f"/api/?ms={ms}").json() == {"answer": 42}
        assert time.perf_counter() - before >= ms / 1000


def test_its_own_account_of_lateness_is_no_larger_than_what_a_client_sees(upstream, ask):
    before = statistics.ask(upstream.url)
    begin = time.perf_counter_ns()
    for _ in range(20):
        ask.get("/api/?ms=2")
    seen = time.perf_counter_ns() - begin - 20 * 2_000_000
    told = statistics.difference(upstream.url, before, statistics.ask(upstream.url))
    assert (told.timed, told.promised_ns) == (20, 20 * 2_000_000)
    assert 0 < told.late_ns < seen


def test_exponential_delays_are_spread_and_the_same_seed_makes_the_same(upstream, ask):
    def promised(query: str) -> list[int]:
        sums = [statistics.ask(upstream.url)["promised_ns"]]
        for _ in range(8):
            ask.get(f"/api/?{query}")
            sums.append(statistics.ask(upstream.url)["promised_ns"])
        return [after - before for before, after in itertools.pairwise(sums)]

    first = promised("ms=2&spread=exponential&seed=1")
    assert len(set(first)) == 8
    assert promised("spread=exponential&ms=2&seed=1") == first  # another service
    assert promised("ms=2&spread=exponential&seed=2") != first


@pytest.mark.parametrize(
    ("fail", "failed"),
    [("0", []), ("0.1", [10, 20, 30, 40]), ("0.25", list(range(4, 41, 4))), ("1", list(range(1, 41)))],
)
def test_exactly_that_share_of_answers_fails(ask, fail, failed):
    path = f"/api/?ms=0&fail={fail}&{next(seeds)}"
    statuses = [ask.get(path).status_code for _ in range(40)]
    assert [number for number, status in enumerate(statuses, 1) if status == 503] == failed
    assert statuses.count(200) == 40 - len(failed)


@pytest.mark.patient
def test_beyond_the_limit_requests_stand_in_line_or_are_refused_where_that_was_asked_for(upstream, ask):
    statistics.ask(upstream.url, "POST")
    begin = time.perf_counter()
    assert at_once(ask, f"/api/?ms=40&limit=2&{next(seeds)}", 6) == {200: 6}
    assert time.perf_counter() - begin >= 3 * 0.04
    assert statistics.ask(upstream.url)["most_at_once"] > 2
    assert at_once(ask, f"/api/?ms=300&limit=2&refuse=1&{next(seeds)}", 6) == {200: 2, 429: 4}


@pytest.mark.patient
def test_without_a_limit_they_overlap(ask):
    begin = time.perf_counter()
    assert at_once(ask, "/api/?ms=200", 10) == {200: 10}
    assert time.perf_counter() - begin < 10 * 0.2


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("ms=-1", "ms must be a number from 0 to 10000; this request gave '-1'.\n"),
        ("ms=nan", "ms must be a number from 0 to 10000; this request gave 'nan'.\n"),
        ("fail=1.5", "fail must be a number from 0 to 1; this request gave '1.5'.\n"),
        ("limit=1.0", "limit must be a whole number from 0 to 10000; this request gave '1.0'.\n"),
        ("refuse=2", "refuse must be a whole number from 0 to 1; this request gave '2'.\n"),
        ("spread=wide", "spread must be one of constant, exponential; this request gave 'wide'.\n"),
        ("sm=5", "'sm' is not known; expected, once each: ms, fail, limit, refuse, seed, spread.\n"),
        ("ms=5&ms=6", "a parameter stands there twice; expected, once each: "),
    ],
)
def test_what_is_out_of_bounds_is_a_400_with_a_sentence(ask, query, sentence):
    answer = ask.get(f"/api/?{query}")
    assert answer.status_code == 400
    assert answer.text.startswith(sentence)


@given(st.dictionaries(st.sampled_from([*api.MOST, "spread"]), st.text(max_size=12)) | st.text(max_size=60))
@settings(deadline=None)
def test_any_query_is_answered_within_bounds(query):
    text = query if isinstance(query, str) else str(httpx.QueryParams(query))
    with contextlib.suppress(api.BadRequest):
        found = api.options_of(text, 50.0)
        assert all(0 <= getattr(found, name) <= most for name, most in api.MOST.items())


@pytest.mark.parametrize(
    ("method", "path", "status"), [("PUT", "/api/", 405), ("GET", "/elsewhere/", 404), ("POST", "/objects/b/n", 405)]
)
def test_what_it_does_not_offer_it_says(ask, method, path, status):
    assert ask.request(method, path).status_code == status


# The object store


def test_what_was_put_is_there_byte_for_byte_and_the_checksums_are_right(ask):
    bodies = {f"n-{number}": os.urandom(number * 100) for number in range(20)}
    for name, body in bodies.items():
        assert ask.put(f"/objects/kept/{name}", content=body).text == f"{zlib.crc32(body):08x}\n"
    for name, body in bodies.items():
        assert ask.get(f"/objects/kept/{name}").content == body
    expected = sum(zlib.crc32(name.encode() + body) for name, body in bodies.items()) % 2**32
    told = {"count": 20, "bytes": sum(map(len, bodies.values())), "checksum": f"{expected:08x}"}
    assert ask.get("/objects/kept/").json() == told
    assert ask.delete("/objects/kept/").json() == told
    assert ask.get("/objects/kept/").json() == {"count": 0, "bytes": 0, "checksum": "00000000"}
    assert ask.get("/objects/kept/n-1").status_code == 404


def test_an_object_that_is_put_again_counts_once_and_buckets_do_not_touch(ask):
    for body in (b"first", b"second one"):
        ask.put("/objects/one/x", content=body)
    ask.put("/objects/two/x", content=b"other")
    assert ask.get("/objects/one/").json() == {"count": 1, "bytes": 10, "checksum": f"{zlib.crc32(b'xsecond one'):08x}"}
    assert ask.get("/objects/").json()["count"] == 2
    ask.delete("/objects/one/")
    assert ask.get("/objects/two/x").content == b"other"
    assert ask.delete("/objects/").json()["count"] == 1


def test_a_put_that_fails_changes_nothing_and_one_with_a_delay_takes_it(ask):
    assert ask.put("/objects/failing/x?fail=1", content=b"lost").status_code == 503
    assert ask.get("/objects/failing/").json()["count"] == 0
    before = time.perf_counter()
    assert ask.put("/objects/failing/x?ms=20", content=bytes(LARGE - 1)).status_code == 200
    assert time.perf_counter() - before >= 0.02
    assert ask.delete("/objects/failing/").json()["bytes"] == LARGE - 1


def test_a_store_that_is_full_says_so_and_keeps_what_it_has_until_a_bucket_is_emptied(monkeypatch):
    monkeypatch.setattr(store, "MAX_BYTES", 3 * store.OVERHEAD)
    kept = store.Store()
    for name in "abc":
        kept.put("bucket", name, b"")
    with pytest.raises(store.Full, match="3 objects"):
        kept.put("bucket", "d", b"1")
    assert kept.summary("bucket")["count"] == 3
    kept.delete("bucket")
    kept.put("bucket", "d", bytes(3 * store.OVERHEAD))


# What a run notes down of it


@pytest.mark.patient
def test_statistics_count_and_the_most_at_once_can_be_begun_anew(upstream, ask):
    before = statistics.ask(upstream.url, "POST")
    at_once(ask, f"/api/?ms=100&fail=0.5&limit=3&refuse=1&{next(seeds)}", 5)
    after = statistics.ask(upstream.url)
    told = statistics.difference(upstream.url, before, after)
    assert (told.requests, told.refused, told.failed, told.timed) == (5, 2, 1, 3)
    assert 3 <= told.most_at_once <= 5
    assert after["at_once"] == 0


def test_where_nobody_answers_or_somebody_else_does_nothing_is_told(upstream, served):
    assert statistics.ask("http://127.0.0.1:9") is None
    assert statistics.ask(served(lab.NULL).url) is None
    own = statistics.ask(upstream.url)
    assert statistics.difference("x", own, own | {"pid": 1}) == statistics.UpstreamUse("x", None)
    assert statistics.difference("x", None, own) == statistics.UpstreamUse("x", None)


@pytest.mark.measuring
def test_a_run_notes_down_what_the_upstream_did_and_is_suspect_where_that_was_saturated(upstream):
    stop = threading.Event()

    def saturate() -> None:
        requests = known(upstream, b"GET /api/?ms=0 HTTP/1.1\r\n\r\n" * 100)
        with socket.create_connection(upstream.address) as connection:
            while not stop.is_set():
                connection.sendall(requests)
                answered = 0
                while answered < 100:
                    answered += connection.recv(2**20).count(b"answer")

    with lab.serve(lab.SYNC, upstream=upstream) as server, ThreadPoolExecutor(2) as threads:
        quiet = lab.measure(server, "/sync/fetch/?ms=1&n=3", lab.closed(users=1, each=20))
        for _ in range(2):
            threads.submit(saturate)
        try:
            run = lab.measure(server, "/sync/fetch/?ms=1", lab.closed(users=1), seconds=1)
        finally:
            stop.set()
    told = quiet.about.upstream
    assert (told.url, told.pid) == (upstream.url.partition("/~")[0], upstream.pids[0])
    assert (told.requests, told.timed, told.promised_ns) == (60, 60, 60_000_000)
    assert 0 < quiet.upstream_share < 1
    assert quiet.upstream_wait >= 0
    assert run.summary["validity"] == "suspect"
    assert any(reason.startswith("the upstream used ") for reason in run.summary["reasons"])


def test_the_command_line_gives_a_server_its_upstream(upstream):
    arguments = ["measure", "sync", "/sync/fetch/?ms=1", "--each", "2", "--json"]
    host_and_port = upstream.url.removeprefix("http://")
    told = json.loads(CliRunner().invoke(cli.commands, [*arguments, "--upstream", host_and_port]).stdout)
    assert told["errors"] == 0
    assert CliRunner().invoke(cli.commands, [*arguments, "--upstream", "example.org:80"]).exit_code != 0


def test_an_upstream_that_has_gone_makes_a_run_suspect():
    with lab.serve(lab.UPSTREAM) as upstream:
        server = lab.serve(lab.SYNC, upstream=upstream)
    with server:
        run = lab.measure(server, "/sync/fetch/?ms=1", lab.closed(users=1, each=2))
    assert list(run.requests["status"]) == [502, 502]
    assert any("is it still running?" in reason for reason in run.summary["reasons"])
