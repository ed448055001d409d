"""What the load client makes of answers of every kind, good and bad, byte by byte."""

from __future__ import annotations

import asyncio
import itertools
import socket
import struct
import time

import httpx
import pytest
from hypothesis import given, settings, strategies as st

import requestlab as lab
from requestlab.load.transport import LoadClientTransport
from tests.tiny_server import Behaviour, answering, read_request, tiny_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
CLOSING = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello"
NO_CONTENT = b"HTTP/1.1 204 No Content\r\n\r\n"
NOT_MODIFIED = b"HTTP/1.1 304 Not Modified\r\n\r\n"


def resetting(connection: socket.socket) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def resetting_half_way(connection: socket.socket) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.sendall(OK[:-2])


def measured(server, *, each=3, users=2, timeout=5.0):
    return lab.measure(server.url, "/", lab.closed(users, each=each), timeout=timeout, seconds=30)


@pytest.mark.parametrize(
    ("answer", "close", "size"),
    [
        (OK, False, 5),
        (CLOSING, True, 5),
        (CLOSING + b"surplus, which does not spoil the next request", True, 5),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n", False, 5),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", True, 13),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", True, 13),
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, 0),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, False, 5),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\n\r\nhello", False, 5),
    ],
)
def test_every_kind_of_complete_answer_is_understood(answer, close, size):
    with tiny_server(answering(answer, close=close)) as server:
        run = measured(server)
    assert list(run.requests["error"].unique()) == [""]
    assert list(run.requests["size"].unique()) == [size]
    status = int(answer.replace(b"100 Continue", b"").split(b"HTTP/1.")[-1].split()[1])
    assert list(run.requests["status"].unique()) == [status]
    assert run.summary["errors"] == (6 if status == 404 else 0)


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (answering(b"", close=True), "closed before the answer"),
        (answering(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello", close=True), "answer cut short"),
        (answering(b"SSH-2.0-OpenSSH_9.2\r\n\r\n"), "answer not understood"),
        (answering(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n"), "answer not understood"),
        (answering(b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 2000 + b"\r\n"), "answer not understood"),
        (resetting, "connection reset"),
        (resetting_half_way, "connection reset"),
    ],
)
def test_every_kind_of_failure_is_a_row_with_its_name(behave, error):
    with tiny_server(behave) as server:
        run = measured(server)
    assert list(run.requests["error"]) == [error] * 6
    assert run.summary["validity"] == "invalid"
    assert run.summary["errors"] == 6


@pytest.mark.patient
def test_a_server_that_is_not_there_is_a_row_for_every_attempt_and_no_flood():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening
        run = lab.measure(f"http://127.0.0.1:{unused.getsockname()[1]}", "/", lab.closed(2), seconds=0.5, warmup=0)
    assert set(run.requests["error"]) == {"connection refused"}
    assert 2 <= len(run.requests) <= 14  # a user waits a tenth of a second after each failure


def test_silence_becomes_a_timeout_not_earlier_than_asked():
    with tiny_server(lambda connection: time.sleep(5)) as server:
        run = measured(server, each=1, timeout=0.3)
    assert list(run.requests["error"]) == ["timeout"] * 2
    assert ((run.requests["done"] - run.requests["planned"]) / 1e9 >= 0.3).all()
    assert (run.requests["first_byte"] == 0).all()


def test_the_first_byte_is_stamped_when_it_comes_and_the_end_when_it_ends():
    def dawdle(connection: socket.socket) -> None:
        while read_request(connection):
            time.sleep(0.05)
            connection.sendall(OK[:-5])
            time.sleep(0.05)
            connection.sendall(OK[-5:])

    with tiny_server(dawdle) as server:
        requests = measured(server).requests
    assert ((requests["first_byte"] - requests["sent"]) / 1e9 >= 0.05).all()
    assert ((requests["done"] - requests["sent"]) / 1e9 >= 0.1).all()
    assert (requests["first_byte"] < requests["first_body"]).all()
    assert ((requests["first_body"] - requests["sent"]) / 1e9 >= 0.1).all()
    assert (requests["first_body"] <= requests["done"]).all()


def test_a_connection_is_kept_where_the_server_keeps_it_and_opened_anew_where_not():
    with tiny_server(answering(OK)) as server:
        assert measured(server, each=10).connections == 2 == server.accepted
    with tiny_server(answering(CLOSING, close=True)) as server:
        run = measured(server, each=10)
        assert server.accepted == run.connections == 20
    assert run.summary["errors"] == 0


def test_the_client_closes_when_the_answer_says_so():
    seen: list[bytes] = []

    def linger(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(CLOSING)
        seen.append(connection.recv(1))  # as gunicorn's sync worker waits for its client

    with tiny_server(linger) as server:
        measured(server, each=20, users=1)
    assert seen == [b""] * 20


def closing_when_idle(answer: bytes, after_s: float, slow_s: float = 0.0) -> Behaviour:
    """Return a behaviour that keeps the connection, and closes it all the same so long after the answer; each
    connection but the first waits before it answers."""
    connections = itertools.count()

    def behave(connection: socket.socket) -> None:
        time.sleep(slow_s * bool(next(connections)))
        if read_request(connection):
            connection.sendall(answer)
            time.sleep(after_s)

    return behave


@pytest.mark.parametrize("answer", [NO_CONTENT, NOT_MODIFIED, OK], ids=["204", "304", "200"])
def test_a_server_that_closes_an_idle_connection_ends_nothing_in_an_open_loop(answer):
    """Requests are 40 ms apart, and the connection is closed between them."""
    with tiny_server(closing_when_idle(answer, 0.01)) as server:
        run = lab.measure(server.url, "/", lab.open(25), seconds=0.4, warmup=0)
        assert server.accepted == run.connections
    assert len(run.samples) == run.about.started == 10
    assert list(run.requests["error"]) == [""] * 10
    assert run.requests["planned"].is_unique
    assert run.connections >= 8  # opened anew, each time


@pytest.mark.parametrize("answer", [NO_CONTENT, NOT_MODIFIED, OK], ids=["204", "304", "200"])
def test_a_server_that_closes_an_idle_connection_ends_nothing_in_a_closed_loop(answer):
    """One user is served at once and done; its connection is closed while the other still waits."""
    with tiny_server(closing_when_idle(answer, 0.02, slow_s=0.2)) as server:
        run = measured(server, each=1)
    assert len(run.samples) == run.about.started == server.accepted == 2
    assert list(run.requests["error"]) == [""] * 2
    assert sorted(run.requests["user"]) == [0, 1]


@pytest.mark.parametrize("answer", [NO_CONTENT, NOT_MODIFIED], ids=["204", "304"])
@pytest.mark.parametrize("load", [lab.closed(3, each=10), lab.open(150)], ids=str)
def test_answers_without_a_body_are_one_row_each(answer, load):
    with tiny_server(answering(answer)) as server:
        run = lab.measure(server.url, "/", load, seconds=0.2, warmup=0)
    assert len(run.samples) == run.about.started == 30
    assert run.summary["errors"] == 0
    assert set(run.requests["size"]) == {0}


def test_a_server_that_breaks_its_promise_of_keep_alive_is_seen_as_such():
    with tiny_server(answering(OK, close=True)) as server:
        run = measured(server, each=10)
    assert set(run.requests["error"]) <= {"", "closed before the answer", "connection reset"}
    assert len(run.requests) == 20


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 60), min_size=0, max_size=6), st.sampled_from([b"chunked", b"length"]))
def test_an_answer_may_arrive_in_any_pieces(cuts, framing):
    body = bytes(range(65, 91))
    if framing == b"length":
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 26\r\n\r\n" + body
    else:
        answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1a\r\n" + body + b"\r\n0\r\n\r\n"
    edges = sorted({0, len(answer), *(cut for cut in cuts if cut < len(answer))})

    def in_pieces(connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while read_request(connection):
            for start, end in itertools.pairwise(edges):
                connection.sendall(answer[start:end])

    with tiny_server(in_pieces) as server:
        assert _get(server.url).content == body


@settings(max_examples=40, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_nonsense_is_an_error_and_never_a_crash(nonsense):
    with tiny_server(answering(nonsense, close=True)) as server:
        try:
            answer = _get(server.url)
        except httpx.TransportError:
            return
        assert 200 <= answer.status_code <= 999


def _get(url: str) -> httpx.Response:
    async def get() -> httpx.Response:
        async with httpx.AsyncClient(transport=LoadClientTransport()) as client:
            return await client.get(url)

    return asyncio.run(get())


def test_an_answer_that_nobody_asked_for_is_no_answer():
    with tiny_server(answering(OK + OK)) as server:
        requests = measured(server, each=4).requests
    assert (requests["first_byte"][requests["error"] == ""] > 0).all()
    assert "answer not understood" in set(requests["error"])
