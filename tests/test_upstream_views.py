"""The views fetch and export, in processes of their own, against the real upstream."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator

import httpx
import pytest

import requestlab as lab
from labapp import exporting, fetching, http_clients
from tests.test_labapp import app_in_its_own_process, python
from tests.tiny_server import answering, tiny_server

MODES = ["sync", "async"]
INTERFACES = ["wsgi", "asgi"]
CLIENTS = ["light", "httpx"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[lab.Server]:
    with lab.serve(lab.UPSTREAM) as server:
        yield server


@pytest.fixture(scope="module")
def ask(upstream) -> Iterator:
    with app_in_its_own_process("none", LABAPP_UPSTREAM=upstream.url) as app:
        yield app


@pytest.mark.parametrize("interface", INTERFACES)
@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("together", [0, 1])
def test_twins_fetch_alike(ask, interface, client, together):
    query = f"?n=5&ms=10&together={together}&client={client}"
    sync, twin = (ask(f"/{mode}/fetch/{query}", interface=interface) for mode in MODES)
    assert (sync.status, sync.body, sync.headers) == (twin.status, twin.body, twin.headers)
    assert (sync.status, sync.body) == (200, "Fetched 5 of 5.\n")
    for answer in (sync, twin):
        assert answer.wall_ms >= (10 if together else 5 * 10)


@pytest.mark.parametrize("mode", MODES)
def test_calls_together_overlap(ask, mode):
    assert ask(f"/{mode}/fetch/?n=20&ms=100&together=1").wall_ms < 20 * 100


@pytest.mark.parametrize("together", [0, 1])
@pytest.mark.parametrize("mode", MODES)
def test_calls_that_fail_are_counted_and_give_a_502(upstream, ask, mode, together):
    ms = 1 + MODES.index(mode) + 2 * together  # options of its own, so a count of its own
    answer = ask(f"/{mode}/fetch/?n=20&ms={ms}&fail=0.25&together={together}")
    assert (answer.status, answer.body) == (502, "Fetched 15 of 20. Failed: 5 × 503.\n")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at_once", [1, 7])
@pytest.mark.parametrize("client", CLIENTS)
def test_an_export_arrives_whole_and_the_stores_account_is_the_same(upstream, ask, mode, at_once, client):
    bucket = f"{mode}-{at_once}-{client}"
    query = f"?n=50&size=333&ms=0&at_once={at_once}&client={client}&bucket={bucket}&keep=1"
    answer = ask(f"/{mode}/export/{query}", interface="asgi")
    told = json.loads(answer.body)
    assert (answer.status, told["count"], told["bytes"]) == (200, 50, 50 * 333)
    held = httpx.get(f"{upstream.url}/objects/{bucket}/").json()
    assert held == told["store"] == {"count": 50, "bytes": 50 * 333, "checksum": told["checksum"]}
    for number in (0, 49):
        body = httpx.get(f"{upstream.url}/objects/{bucket}/{number}").content
        assert body.startswith(f"object {number} of {bucket}. ".encode())


@pytest.mark.parametrize("mode", MODES)
def test_an_export_empties_its_bucket_unless_it_is_to_be_kept(upstream, ask, mode):
    before = httpx.get(f"{upstream.url}/objects/").json()["count"]
    assert json.loads(ask(f"/{mode}/export/?n=5").body)["store"]["count"] == 5
    assert httpx.get(f"{upstream.url}/objects/").json()["count"] == before


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at_once", [1, 4])
def test_writes_that_fail_are_tried_again_and_reported_one_by_one_where_they_fail_for_good(ask, mode, at_once):
    again, lost = (ask(f"/{mode}/export/?n=20&ms=0&fail={fail}&at_once={at_once}") for fail in (0.05, 1))
    assert (again.status, json.loads(again.body)["count"]) == (200, 20)
    told = json.loads(lost.body)
    assert (lost.status, told["count"], told["store"]["count"]) == (502, 0, 0)
    assert told["lost"] == {str(number): "status 503" for number in range(20)}


def test_a_store_that_confirms_other_bytes_is_not_believed():
    work = exporting.Export(exporting.Asked(2, 10, 1, "light", "bucket", False, ""))
    work.answered(0, http_clients.Answer(200, b"00000000\n"))
    assert work.problems == {0: "status 200"}
    assert list(work.due(range(2))) == [0, 1] * exporting.TRIES


def test_without_an_upstream_the_answer_says_what_to_do():
    with app_in_its_own_process("none") as ask:
        answers = [ask(f"/{mode}/{view}/") for mode in MODES for view in ("fetch", "export")]
    for answer in answers:
        assert answer.status == 503
        assert "LABAPP_UPSTREAM=http://" in answer.body


def test_an_upstream_that_is_gone_is_failed_calls_and_lost_objects():
    with app_in_its_own_process("none", LABAPP_UPSTREAM="http://127.0.0.1:9") as ask:
        for mode, client in itertools.product(MODES, CLIENTS):
            fetched = ask(f"/{mode}/fetch/?n=3&client={client}&together=1")
            exported = ask(f"/{mode}/export/?n=2&client={client}")
            assert (fetched.status, fetched.body) == (502, "Fetched 0 of 3. Failed: 3 × no answer.\n")
            assert exported.status == 502
            assert set(json.loads(exported.body)["lost"]) == {"0", "1"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    ("path", "sentence"),
    [
        ("fetch/?n=101", f"n must be a whole number from 0 to {fetching.CALLS_MAX}; this request gave '101'.\n"),
        ("fetch/?together=2", "together must be 0 or 1; this request gave '2'.\n"),
        ("fetch/?client=curl", "client must be httpx or light; this request gave 'curl'.\n"),
        ("fetch/?fail=2", "fail must be a number from 0 to 1; this request gave '2'.\n"),
        ("export/?at_once=0", "at_once must be a whole number from 1 to 32; this request gave '0'.\n"),
        ("export/?bucket=a/b", "bucket must be up to 100 letters, digits and dashes; this request gave 'a/b'.\n"),
    ],
)
def test_what_is_out_of_bounds_is_a_400_that_says_the_bound(ask, mode, path, sentence):
    answer = ask(f"/{mode}/{path}")
    assert (answer.status, answer.body) == (400, sentence)


def test_an_export_logs_how_far_it_has_come(upstream):
    with lab.serve(lab.SYNC, upstream=upstream) as server:
        httpx.get(f"{server.url}/sync/export/?n=200&ms=0&bucket=log")
        lines = server.log.splitlines()
    assert lines == [f"export log: {done} of 200 objects" for done in range(20, 201, 20)]


LEAKING = """
import asyncio, os
from django.test import AsyncRequestFactory
from asgiref.sync import async_to_sync
from labapp.asgi import application
from labapp import async_views, upstream

def sockets():
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
    return sum(link.startswith("socket:") for link in links)

counts = []
for client in ("light", "httpx"):
    for _ in range(3):
        request = AsyncRequestFactory().get(f"/?n=4&ms=1&together=1&client={client}")
        assert async_to_sync(async_views.fetch)(request).status_code == 200
        counts.append((sockets(), len(upstream._of_loop)))
print(counts == [(0, 0)] * 6, counts)
"""


def test_a_client_is_closed_with_its_loop_and_leaves_no_socket(upstream):
    done = python(LEAKING, LABAPP_UPSTREAM=upstream.url)
    assert done.stdout.startswith("True"), done.stdout
    assert done.stderr == ""


def test_connections_are_kept_and_one_that_was_closed_meanwhile_is_opened_anew():
    for close, connections in ((False, 1), (True, 4)):
        with tiny_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", close=close)) as server:
            client = http_clients.Light(server.url)
            assert [client.request("GET", "/") for _ in range(4)] == [(200, b"ok")] * 4
            assert server.accepted == connections
            for connected, stream in client._idle:
                stream.close()
                connected.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",
        b"SSH-2.0\r\n\r\n",
    ],
)
def test_an_answer_that_is_none_is_said_to_be_none(answer):
    async def ask(url: str) -> http_clients.Answer:
        client = http_clients.AsyncLight(url)
        try:
            return await client.request("GET", "/")
        finally:
            await client.close()

    with tiny_server(answering(answer, close=True)) as server:
        assert http_clients.Light(server.url).request("GET", "/").status == http_clients.NO_ANSWER
        assert asyncio.run(ask(server.url)).status == http_clients.NO_ANSWER
