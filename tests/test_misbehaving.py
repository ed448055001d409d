"""Clients that misbehave: what each of them does to a server that writes down what it saw, and what its rows say."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median
from zlib import crc32

import pytest

import requestlab as lab
from requestlab.load.connection import CLOSED, LEFT, REFUSED, RESET
from requestlab.measurement.run import Run
from tests.load_process import plan, run_plan
from tests.made_runs import closed_loop, made
from tests.patience import soon
from tests.test_beside import beside
from tests.tiny_server import TinyServer, answering, read_request, tiny_server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
LARGE = 20_000_000
SECONDS = 0.5


@dataclass
class Seen:
    """What a server saw of one connection: the bytes and when they came, its end (`eof`, `reset`, or empty), when that
    was."""

    data: bytes = b""
    times: list[tuple[float, int]] = field(default_factory=list)
    end: str = ""
    ended: float = math.nan


@contextmanager
def watching(
    answer: Callable[[socket.socket, Seen], None] = lambda connection, seen: None,
) -> Iterator[tuple[TinyServer, list[Seen]]]:
    """A server that reads all it gets, writes that down, and calls `answer` after each piece."""
    everything: list[Seen] = []

    def behave(connection: socket.socket) -> None:
        seen = Seen()
        everything.append(seen)
        try:
            while data := connection.recv(65_536):
                seen.data += data
                seen.times.append((time.monotonic(), len(data)))
                answer(connection, seen)
            seen.ended, seen.end = time.monotonic(), "eof"
        except OSError:
            seen.ended, seen.end = time.monotonic(), "reset"

    with tiny_server(behave) as server:
        yield server, everything
        time.sleep(0.05)  # for who has left before anybody accepted
        soon(lambda: all(one.end for one in everything))


def thanking(is_all: Callable[[bytes], bool], close: bool = True) -> Callable[[socket.socket, Seen], None]:
    """Answer when all of a request is there."""

    def answer(connection: socket.socket, seen: Seen) -> None:
        if is_all(seen.data):
            connection.sendall(OK)
            if close:
                connection.shutdown(socket.SHUT_WR)

    return answer


def measured(server: TinyServer, load: object, **more: object) -> Run:
    return lab.measure(server.url, "/there/", load, **({"seconds": SECONDS, "warmup": 0} | more))  # type: ignore[call-overload,no-any-return]


def stays(run: Run) -> list[float]:
    return list((run.requests["done"] - run.requests["sent"]) / 1e9)


def began(run: Run) -> float:
    """When the first client began, on the clock that a server in this process reads, too."""
    return float(run.requests["sent"].min()) / 1e9


# What each kind does.


@pytest.mark.patient
def test_silent_clients_connect_send_nothing_and_stay_to_the_end():
    with watching() as (server, seen):
        run = measured(server, lab.silent(3), warmup=0.2)
    assert [(one.data, one.end) for one in seen] == [(b"", "eof")] * 3
    assert all(one.ended - began(run) >= 0.5 for one in seen)
    assert list(run.requests["error"]) == ["left"] * 3
    assert sorted(run.requests["user"]) == [0, 1, 2]
    assert (run.requests["first_byte"] == 0).all()
    assert min(stays(run)) >= 0.5
    assert (run.summary["validity"], run.summary["reasons"], run.summary["errors"]) == ("valid", [], 0)


@pytest.mark.patient
def test_slow_senders_send_no_faster_than_they_say_and_all_of_it():
    with watching(thanking(lambda data: data.endswith(b"\r\n\r\n" + b"." * 2_000))) as (server, seen):
        run = measured(server, lab.slow_senders(2, size=2_000, per_s=10_000))
    full = [one for one in seen if one.data.endswith(b"\r\n\r\n" + b"." * 2_000)]
    assert len(full) >= 2
    for one in full:
        assert one.data.startswith(b"POST /there/ HTTP/1.1\r\n")
        assert b"content-length: 2000\r\n" in one.data
    for one in seen[:2]:
        gone = -len(one.data.partition(b"\r\n\r\n")[0]) - 4
        for at, size in one.times:
            gone += size
            assert gone <= 10_000 * (at - began(run))
        assert len(one.times) > 2
    answered = run.requests[run.requests["error"] == ""]
    assert len(answered) == len(full)
    assert ((answered["done"] - answered["sent"]) / 1e9 >= 0.2).all()
    assert set(answered["status"]) == {200}
    assert set(run.requests["error"]) <= {"", "left"}
    assert run.about.started == len(run.samples) == len(seen)


@pytest.mark.patient
def test_who_sends_at_once_lets_nobody_wait_for_the_body():
    """Not for the next look at the client, and not for the acknowledgement of the head, which takes 40 ms."""
    with watching(thanking(lambda data: data.endswith(b"." * 10_000), close=False)) as (server, _):
        run = measured(server, lab.slow_senders(1, size=10_000, per_s=1e9))
    assert server.accepted == 1
    assert len(run.requests) > 10
    assert min(stays(run)[1:]) < 0.005
    assert median(stays(run)) < 0.02


def test_a_slow_sender_of_a_head_sends_a_head_of_that_size_slowly_and_is_answered():
    with watching(thanking(lambda data: data.endswith(b"\r\n\r\n"))) as (server, seen):
        run = measured(server, lab.slow_senders(1, head=True, size=1_000, per_s=4_000))
    assert seen[0].data.startswith(b"GET /there/ HTTP/1.1\r\n")
    assert len(seen[0].data) == 1_000
    assert seen[0].ended - began(run) >= 0.25
    assert run.requests["status"][0] == 200
    assert stays(run)[0] >= 0.25


@pytest.mark.patient
def test_a_head_that_is_not_complete_is_never_answered():
    with watching() as (server, seen):
        run = measured(server, lab.slow_senders(1, head=True, per_s=100))
    assert 20 <= len(seen[0].data) <= 60
    assert b"\r\n\r\n" not in seen[0].data
    assert list(run.requests["error"]) == ["left"]


@pytest.mark.patient
@pytest.mark.parametrize(("per_s", "least"), [(50_000, 5_000), (2_000_000, 0.5 * 2_000_000 * SECONDS)])
def test_slow_readers_read_as_fast_as_they_say_and_no_faster_and_the_system_hides_it_not(per_s, least):
    sent: list[int] = []

    def large(connection: socket.socket) -> None:
        while read_request(connection):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE)
            for _ in range(LARGE // 100_000):
                sent.append(connection.send(b"." * 100_000))

    with tiny_server(large) as server:
        run = measured(server, lab.slow_readers(1, per_s=per_s))
    (row,) = run.requests.to_dict("records")
    assert (row["status"], row["error"]) == (200, "left")
    assert row["first_byte"] > 0
    assert least <= row["size"] <= per_s * stays(run)[0]
    assert sum(sent) < LARGE / 2  # the server could not get rid of more than the system's buffers hold


@pytest.mark.patient
def test_a_slow_reader_that_has_read_the_answer_asks_again_on_the_same_connection():
    with tiny_server(answering(OK)) as server:
        run = measured(server, lab.slow_readers(1, per_s=500))
        assert server.accepted == 1
    answered = run.requests[run.requests["error"] == ""]
    assert 2 <= len(answered) <= math.ceil(500 * SECONDS / len(OK))
    assert set(answered["body"]) == {crc32(b"hello")}
    assert ((answered["done"] - answered["sent"]) / 1e9 >= (len(OK) - 1) / 500).all()


def test_idle_clients_ask_once_and_keep_the_connection():
    with watching(thanking(bool, close=False)) as (server, seen):
        run = measured(server, lab.idle(3))
    assert [one.data.count(b"GET /there/") for one in seen] == [1] * 3
    assert all(one.ended - began(run) >= SECONDS / 2 for one in seen)
    assert list(run.requests["status"]) == [200] * 3
    assert list(run.requests["error"]) == ["left"] * 3
    assert ((run.requests["first_byte"] > 0) & (run.requests["first_byte"] < run.requests["done"])).all()
    assert all(stay >= SECONDS / 2 for stay in stays(run))


@pytest.mark.parametrize("said", [True, False])
def test_an_idle_client_that_the_server_closes_does_not_come_again(said):
    answer = OK.replace(b"OK\r\n", b"OK\r\nConnection: close\r\n") if said else OK
    with tiny_server(answering(answer, close=True)) as server:
        run = measured(server, lab.idle(2))
        assert server.accepted == 2
    assert list(run.requests["error"]) == ["closed by the server"] * 2
    assert list(run.requests["status"]) == [200] * 2
    assert (run.requests["done"] < run.about.end).all()


@pytest.mark.patient
def test_who_disconnects_is_seen_to_leave_half_way_and_comes_again():
    with watching() as (server, seen):
        run = measured(server, lab.disconnecting(2, after_ms=100))
    assert len(seen) == len(run.requests) == run.about.started
    assert 4 <= len(seen) <= 10
    assert {one.end for one in seen} == {"eof"}
    assert all(one.data.count(b"GET /there/") == 1 for one in seen)
    assert set(run.requests["error"]) == {"left"}
    assert sum(stay >= 0.1 for stay in stays(run)) >= len(seen) - 2  # the last ones leave with everybody


@pytest.mark.patient
def test_who_disconnects_while_the_answer_arrives_resets_the_connection():
    def endless(connection: socket.socket, seen: Seen) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            connection.sendall(b"." * 100_000)

    with watching(endless) as (server, seen):
        run = measured(server, lab.disconnecting(1, after_ms=50))
    assert {one.end for one in seen} == {"reset"}
    assert set(run.requests["error"]) == {"left"}
    assert set(run.requests["status"]) == {200}


@pytest.mark.patient
def test_who_is_answered_before_it_leaves_waits_until_then():
    with tiny_server(answering(OK)) as server:
        run = measured(server, lab.disconnecting(1, after_ms=100))
    assert set(run.requests["error"]) == {""}
    assert 3 <= len(run.requests) <= 5
    assert (run.requests["planned"].diff().dropna() / 1e6 >= 100).all()


@pytest.mark.patient
@pytest.mark.parametrize("load", [lab.silent(2), lab.slow_senders(2, per_s=10), lab.slow_readers(2, per_s=100)])
def test_who_is_closed_out_comes_again_a_tenth_of_a_second_later(load):
    with tiny_server(lambda connection: None) as server:
        run = measured(server, load)
    closed = run.requests["error"].isin(["closed by the server", "connection reset"])
    assert set(run.requests["error"][~closed]) <= {"left"}
    assert 4 <= closed.sum() <= 12
    assert run.about.started == len(run.requests)


# What becomes of them in a run.


@pytest.mark.parametrize("load", [lab.silent(2), lab.idle(1), lab.slow_readers(1, per_s=10)])
def test_where_nobody_listens_every_attempt_is_a_row_and_the_run_is_invalid(load):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        run = lab.measure(f"http://127.0.0.1:{unused.getsockname()[1]}", "/", load, seconds=0.3, warmup=0)
    assert set(run.requests["error"]) <= {"connection refused", "left"}
    assert "connection refused" in set(run.requests["error"])
    assert "no client could connect" in run.summary["reasons"]
    assert run.summary["validity"] == "invalid"


@pytest.fixture
def server(served):
    return served(lab.ASGI, probe=True)


@pytest.mark.patient
def test_victims_are_judged_and_those_beside_them_are_rows_of_their_own(server):
    others = {
        "/sync/page/": lab.silent(2),
        "/sync/upload/": lab.slow_senders(2, per_s=5_000, size=1_000),
        "/async/page/": lab.idle(2),
        "/sync/wait/?ms=300": lab.disconnecting(2, after_ms=60),
        "/async/stream/?n=20&size=60000&ms=0": lab.slow_readers(1, per_s=50_000),
    }
    run = lab.measure(server, "/async/wait/?ms=5", lab.closed(1), seconds=0.8, warmup=0, beside=others)
    assert run.summary["validity"] != "invalid"
    assert run.summary["errors"] == 0
    assert {path: one.about.load for path, one in run.beside.items()} == {
        path: str(load) for path, load in others.items()
    }
    for path, one in run.beside.items():
        assert one.summary["validity"] != "invalid", (path, one.summary["reasons"])
        assert one.summary["errors"] == 0, path
        assert one.about.started == len(one.samples)
        assert one.requests["user"].nunique() == others[path].clients
    uploads = run.beside["/sync/upload/"].requests
    assert set(uploads["status"]) <= {200, 0}
    body = f"Received 1000 bytes, checksum {crc32(b'.' * 1_000)}.\n".encode()
    assert set(uploads[uploads["error"] == ""]["body"]) == {crc32(body)}
    asked = sum(len(one.samples) for path, one in run.beside.items()) - 2  # the silent ones asked nothing
    assert len(run.samples) <= sum(run.about.counts.values()) <= asked + len(run.samples)


@pytest.mark.patient
def test_contenders_are_compared_beside_clients_that_misbehave(server, served):
    result = lab.compare(
        {"sync": served(lab.SYNC), "asgi": server}, "/sync/page/", lab.closed(1), rounds=2, seconds=0.3, warmup=0,
        beside={"/sync/page/": lab.silent()},
    )  # fmt: skip
    assert result.about.beside["sync"] == {"/sync/page/": "1 silent client"}
    held = min(run.summary["max"] for run in result.runs("sync"))
    assert held >= 100  # the silent one held the only worker
    assert all(run.summary["p50"] < held / 2 for run in result.runs("asgi"))


def ended(*errors: int, **about: int) -> Run:
    """A run of clients that ended so."""
    rows = [{"error": error, "user": user, "status": 0, "first_byte": 0} for user, error in enumerate(errors)]
    rows = [row | ({"sent": 0} if row["error"] == REFUSED else {}) for row in rows]
    return made(rows, misbehaving="silent", connections=len(rows), **about)


@pytest.mark.parametrize(
    ("run", "validity", "errors", "words"),
    [
        (ended(LEFT, CLOSED), "valid", 0, ""),
        (ended(LEFT, CLOSED, RESET), "suspect", 1, "1 of 3 requests failed"),
        (ended(LEFT, CLOSED, started=3), "invalid", 0, "3 requests were sent, and 2 were answered or failed"),
        (beside(closed_loop(), ended(LEFT)), "valid", 0, ""),
        (beside(closed_loop(), ended(LEFT, REFUSED)), "suspect", 0, "1 of 2 clients could not connect"),
        (beside(closed_loop(), ended(REFUSED, REFUSED)), "suspect", 0, "no client could connect"),
    ],
)
def test_clients_that_left_are_no_failures_and_those_that_stayed_away_are_told_with_the_victims(
    run, validity, errors, words
):
    assert (run.summary["validity"], run.summary["errors"]) == (validity, errors)
    assert words in " ".join(run.summary["reasons"])


@pytest.mark.patient
def test_as_many_as_are_allowed_come_and_go_in_time():
    with watching() as (server, seen):
        outcome = run_plan(plan(server.address, connections=1_000, misbehaving="silent", seconds=1.0))
        soon(lambda: len(seen) == 1_000 and all(one.end for one in seen))
    assert len(seen) == outcome.report.started == len(outcome.samples) == 1_000
    assert {one.end for one in seen} == {"eof"}
