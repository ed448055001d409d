"""What the clients of a load are told: how far away they are, how long they pause, which headers they send; and what is
noted of parts of bodies and of the server's processes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
import time
from collections import defaultdict
from contextlib import contextmanager, suppress

import numpy as np
import pandas as pd
import pytest

import requestlab as lab
from requestlab.errors import ConfigurationError
from requestlab.load.loads import MAX_DELAY_MS, MAX_PAUSE_MS
from tests.known_server import BODY, HEAD, known_server
from tests.tiny_server import answering, read_request, tiny_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"

ANSWER = HEAD + BODY
HELD_MS = 10
AWAY_MS = 20


# Far away.


def response_ms(url: str, *, each: int = 10, **more) -> np.ndarray:
    """Return the response times of one user, none of them failed."""
    run = lab.measure(url, "/", lab.closed(1, each=each, **more), seconds=30)
    assert not run.failed.any()
    assert len(run.response_ms) == each
    return run.response_ms


def test_a_delay_takes_four_ways_on_a_new_connection_and_two_on_one_that_is_kept():
    with known_server("delay", HELD_MS) as server:
        kept = response_ms(server.url, delay_ms=AWAY_MS)
        new = response_ms(server.url, delay_ms=AWAY_MS, keep_alive=False)
    assert server.requests == 20  # the delay asks for nothing more
    assert kept[0] >= 4 * AWAY_MS + HELD_MS
    assert kept[1:].min() >= 2 * AWAY_MS + HELD_MS
    assert new.min() >= 4 * AWAY_MS + HELD_MS


@pytest.mark.patient
def test_a_delay_is_all_that_it_adds():
    with known_server("delay", HELD_MS) as server:
        near, far = (np.median(response_ms(server.url, delay_ms=ms)[1:]) for ms in (0, AWAY_MS))
    assert (far - near) / (2 * AWAY_MS) == pytest.approx(1, abs=0.15)


@contextmanager
def slow_way(address: tuple[str, int], one_way_ms: float):
    """Another way to delay: a proxy in a thread, which hands on each piece so much later, in both directions; yields
    its URL."""

    async def hand_on(reader, writer) -> None:
        loop, ends = asyncio.get_running_loop(), asyncio.Event()
        while data := await reader.read(65_536):
            loop.call_later(one_way_ms / 1_000, writer.write, data)
        loop.call_later(one_way_ms / 1_000, ends.set)
        await ends.wait()
        writer.close()

    async def connected(reader, writer) -> None:
        there, back = await asyncio.open_connection(*address)
        await asyncio.gather(hand_on(reader, back), hand_on(there, writer))

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0)
        started.append((asyncio.get_running_loop(), server.sockets[0].getsockname()[1]))
        ready.set()
        await over.wait()
        server.close()

    started: list[tuple[asyncio.AbstractEventLoop, int]] = []
    ready, over = threading.Event(), asyncio.Event()
    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    ((loop, port),) = started
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


@pytest.mark.patient
def test_on_a_kept_connection_a_delay_is_that_of_a_proxy_which_delays_each_piece_both_ways():
    with known_server("delay", HELD_MS) as server, slow_way(server.address, 40) as url:
        through = np.median(response_ms(url)[1:])
        told = np.median(response_ms(server.url, delay_ms=40)[1:])
    assert through >= 2 * 40 + HELD_MS
    assert through / told == pytest.approx(1, abs=0.15)


def close_at_once(connection: socket.socket) -> None:
    read_request(connection)


def reset(connection: socket.socket) -> None:
    read_request(connection)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def half(connection: socket.socket) -> None:
    read_request(connection)
    connection.sendall(ANSWER[:-3])


def silent(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


ENDS = [
    (close_at_once, "closed before the answer"),
    (reset, "connection reset"),
    (half, "answer cut short"),
    (answering(b"good morning\r\n"), "answer not understood"),
    (silent, "timeout"),
    (None, "connection refused"),
]


@pytest.mark.parametrize(
    ("load", "seconds"), [(lab.closed(3, each=2, delay_ms=AWAY_MS), 30), (lab.open(20, delay_ms=AWAY_MS), 0.3)]
)
@pytest.mark.parametrize(("behave", "error"), ENDS, ids=[error for _, error in ENDS])
@pytest.mark.some(6)
def test_whatever_a_server_does_from_afar_becomes_a_row_with_its_error_and_nothing_hangs(behave, error, load, seconds):
    with tiny_server(behave or silent) as server:
        if behave is None:
            server.close()
        began = time.monotonic()
        run = lab.measure(server.url, "/", load, seconds=seconds, warmup=0, timeout=0.5)
        took = time.monotonic() - began
    asked = 6
    assert list(run.requests["error"]) == [error] * asked
    assert run.about.started == asked
    least_ms = 500 if error == "timeout" else 4 * AWAY_MS
    assert ((run.requests["done"] - run.requests["planned"]) / 1e6).min() >= least_ms
    assert run.connections == (0 if behave is None else asked)
    assert took < 10


def test_a_request_that_is_given_up_on_its_way_never_reaches_the_server():
    with tiny_server(answering(ANSWER)) as server:
        run = lab.measure(server.url, "/", lab.closed(2, each=1, delay_ms=300), timeout=0.2)
        time.sleep(0.5)
        assert server.accepted == 0
    assert list(run.requests["error"]) == ["timeout"] * 2


def test_a_server_that_closes_an_idle_connection_is_asked_on_a_new_one_once_that_is_known():
    def once(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(ANSWER)

    with tiny_server(once) as server:
        load = lab.closed(1, each=3, delay_ms=5, pause_ms=100)
        run = lab.measure(server.url, "/", load, seconds=30)
        assert server.accepted == 3
    assert (run.connections, int(run.failed.sum())) == (3, 0)


# Pauses.


@pytest.mark.patient
def test_users_pause_between_an_answer_and_the_next_request_on_the_connection_they_have():
    with known_server("delay", 20) as server:
        run = lab.measure(server.url, "/", lab.closed(4, pause_ms=60), seconds=1.5)
    assert (run.connections, int(run.failed.sum())) == (4, 0)
    assert str(run.about.load) == "4 users, 60 ms apart"
    rows = pd.concat([run.warmup, run.requests])
    for _, own in rows.groupby("user"):
        between = own["planned"].to_numpy()[1:] - own["done"].to_numpy()[:-1]
        assert set(between) == {60_000_000}
        assert (own["sent"].to_numpy()[1:] - own["done"].to_numpy()[:-1]).min() >= 59_000_000
    assert run.answers <= 4 * (run.seconds / 0.080 + 1)
    assert run.answers > 0.8 * 4 * run.seconds / 0.080
    assert run.mean_under_way("planned") + run.mean_pausing == pytest.approx(4, rel=0.001)
    assert not [reason for reason in run.summary["reasons"] if "Little" in reason]


# Headers.


def test_headers_reach_the_server_once_each_in_place_of_the_loads_own():
    heads: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        while head := read_request(connection):
            heads.append(head)
            connection.sendall(ANSWER)

    own = {"Host": "example.org", "Accept-Encoding": "gzip", "user-agent": "mine", "X-Empty": ""}
    with tiny_server(behave) as server:
        for load in (lab.closed(1, each=1, headers=own), lab.open(10, headers=own)):
            lab.measure(server.url, "/there/", load, seconds=0.1, warmup=0)
        lab.measure(server.url, "/there/", lab.closed(1, each=1, headers=own, keep_alive=False))
    assert len(heads) == 3
    for number, head in enumerate(heads):
        first, *lines = head.decode().rstrip().split("\r\n")
        sent = defaultdict(list)
        for line in lines:
            name, _, value = line.partition(":")
            sent[name.lower()].append(value.strip())
        assert first == "GET /there/ HTTP/1.1"
        closing = {"connection": ["close"]} if number == 2 else {}
        assert sent == {name.lower(): [value] for name, value in own.items()} | {"accept": ["*/*"]} | closing


def test_what_headers_ask_for_is_what_the_application_answers(served):
    stack = ["startproject", "django.middleware.gzip.GZipMiddleware"]
    server = served(lab.SYNC, middleware=stack)
    plain, zipped = (
        lab.measure(server, "/sync/page/", lab.closed(1, each=2, headers=headers))
        for headers in ({}, {"Accept-Encoding": "gzip"})
    )
    refused = lab.measure(server, "/sync/page/", lab.closed(1, each=2, headers={"Host": "example.org"}))
    assert 0 < zipped.requests["size"].max() < plain.requests["size"].min() / 2
    assert list(refused.requests["status"]) == [400, 400]


def test_no_caption_and_no_saved_run_tells_a_secret_header(tmp_path):
    names = ("Authorization", "Cookie", "proxy-authorization", "X-API-Key", "X-Auth-Token", "X-CSRFToken")
    load = lab.closed(2, each=1, headers={"Accept": "text/html", **dict.fromkeys(names, "hunter2")})
    assert str(load) == "2 users, 1 request each, with Accept: text/html, " + ", ".join(
        f"{name}: ***" for name in names
    )
    with tiny_server(answering(ANSWER)) as server:
        run = lab.measure(server.url, "/", load)
    loaded = lab.load_run(run.save(tmp_path / "a.run"))
    assert loaded.about.load == str(load)
    assert "hunter2" not in f"{run!r} {loaded.about}"


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"delay_ms": -1}, rf"closed\(delay_ms=-1\): expected a number from 0 to {MAX_DELAY_MS:,.0f}"),
        ({"delay_ms": MAX_DELAY_MS + 1}, "from 0 to"),
        ({"delay_ms": "far"}, r"closed\(delay_ms='far'\)"),
        ({"pause_ms": -1}, rf"closed\(pause_ms=-1\): expected a number from 0 to {MAX_PAUSE_MS:,.0f}"),
        ({"pause_ms": None}, r"closed\(pause_ms=None\)"),
        ({"headers": ["Host"]}, "expected a mapping such as"),
        ({"headers": {"Host": 1}}, "expected a mapping"),
        ({"headers": {"A B": "c"}}, "expected a mapping"),
        ({"headers": {"A": "b\r\nC: d"}}, "expected a mapping"),
        ({"headers": {"Connection": "close"}}, "Connection is said by keep_alive, or by the body"),
        ({"away_ms": 3}, "no argument called 'away_ms'; the arguments are keep_alive, delay_ms, headers"),
    ],
)
def test_clients_that_cannot_be_are_refused_with_what_was_expected(more, words):
    with pytest.raises(ConfigurationError, match=words):
        lab.closed(1, **more)


def test_stock_httpx_is_not_told_of_what_it_does_not_know():
    for load in (lab.closed(1, delay_ms=1), lab.closed(1, pause_ms=1), lab.closed(1, headers={"A": "b"})):
        with pytest.raises(ConfigurationError, match="closed loops with kept connections only"):
            lab.measure("http://127.0.0.1:9", "/", load, client="httpx")


def test_stock_httpx_goes_through_no_proxy_that_the_environment_names(monkeypatch):
    with tiny_server(answering(OK)) as elsewhere, tiny_server(answering(OK)) as server:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, elsewhere.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        run = lab.measure(server.url, "/", lab.closed(2, each=3), client="httpx", seconds=30)
        assert run.summary["errors"] == 0
        assert (elsewhere.accepted, server.accepted) == (0, 2)


@pytest.mark.parametrize("said", ["1 2 0 3", "nonsense", "1 2", f"{2**70} 2 0 3", "\xff"])
def test_what_a_server_says_of_itself_is_no_word_of_the_probe(said):
    answer = OK.replace(b"\r\n", f"\r\nRequestlab-Served: {said}\r\n".encode("latin-1"), 1)
    with tiny_server(answering(answer)) as server:
        run = lab.measure(server.url, "/", lab.closed(1, each=3), seconds=30)
    assert run.requests["pid"].isna().all()
    assert run.summary["errors"] == 0


# Parts of bodies.


SIZES = [5, 700, 11]


def in_parts(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while read_request(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number, size in enumerate(SIZES):
            time.sleep(0.04 if number else 0)
            connection.sendall(b"%x\r\n%s\r\n" % (size, b"x" * size))
        with suppress(OSError):
            connection.sendall(b"0\r\n\r\n")


@pytest.mark.parametrize("delay_ms", [0, 10])
def test_parts_of_bodies_are_noted_exactly_and_are_still_there_when_a_run_was_saved(delay_ms, tmp_path):
    with tiny_server(in_parts) as server:
        run = lab.measure(server.url, "/", lab.closed(2, each=3, delay_ms=delay_ms), parts=True, seconds=30)
    by_request = run.parts.groupby("request")
    assert sorted(by_request.groups) == list(range(6))
    assert {tuple(sizes) for _, sizes in by_request["size"]} == {tuple(SIZES)}
    assert list(run.requests["size"]) == [sum(SIZES)] * 6
    first, second, third = (by_request["ms"].nth(number).to_numpy() for number in range(3))
    for part, least_ms in ((first, 0), (second, 40), (third, 80)):
        assert part.min() >= 2 * delay_ms + least_ms
    loaded = lab.load_run(run.save(tmp_path / "with-parts.run"))
    pd.testing.assert_frame_equal(loaded.parts, run.parts)
    pd.testing.assert_frame_equal(loaded.requests, run.requests)


def test_parts_of_the_warm_up_belong_to_no_request_and_nobody_notes_what_was_not_asked_for():
    with tiny_server(in_parts) as server:
        run = lab.measure(server.url, "/", lab.closed(1), parts=True, seconds=0.4, warmup=0.3)
        without = lab.measure(server.url, "/", lab.closed(1, each=1))
    assert len(run.parts) == 3 * (len(run.warmup) + len(run.requests))
    assert sum(run.parts["request"] == -1) == 3 * len(run.warmup) > 0
    assert list(run.parts["request"].unique()) == [-1, *range(len(run.requests))]
    assert without.parts.empty


def test_of_a_view_that_streams_and_one_that_does_not_the_parts_say_which_is_which(served):
    server = served(lab.ASGI)
    streamed, whole = (
        lab.measure(server, path, lab.closed(1, each=2), parts=True).parts.groupby("request")["ms"].agg(["min", "max"])
        for path in ("/async/stream/?n=3&ms=30", "/async/page/")
    )
    assert (streamed["max"] - streamed["min"]).min() > 25
    assert len(streamed) == len(whole) == 2


# Processes.


@pytest.mark.parametrize(("probe", "kept_s", "databases"), [(False, 60, 1), (1.0, 60, 1), (1.0, 0, 0)])
@pytest.mark.some(1)
def test_memory_files_sockets_and_database_connections_of_each_worker_are_read_over_time(probe, kept_s, databases):
    application = lab.app(settings={"CONN_MAX_AGE": kept_s})
    with lab.serve(lab.SYNC, workers=2, application=application, probe=probe) as server:
        lab.measure(server, "/sync/rows/", lab.closed(4, each=25), seconds=30)
        run = lab.measure(server, "/sync/page/", lab.closed(1), seconds=0.8)
    read = run.processes
    assert set(read["pid"]) == set(server.pids)
    for _, own in read.groupby("pid"):
        assert len(own) >= 4  # at both ends, and four times a second
        assert (own["time"].diff().dropna() > 0).all()
        assert (own["resident"] > 5).all()
        assert (own["peak"] >= own["resident"]).all()
        assert (own["files"] > own["sockets"]).all()
        assert (own["sockets"] >= 1).all()
        assert (own["threads"] >= 1).all()
        assert set(own["databases"]) == {databases}
    assert run.threads.empty != bool(probe)
